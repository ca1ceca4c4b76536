"""A call that takes more and more memory, beside encodes, where the kernel kills whatever goes over the limit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.journal.reader import JournalReader
from tests.integration.worked import example_tasks
from tests.process.cgroups import MEMORY_PROFILE, MIB, Contained, MemoryGroup, run_inside
from tests.process.queues import Queue, ask
from tests.process.skips import group_or_skip

__all__ = ["example_tasks"]

LIMIT_BYTES = 1400 * MIB
"""Two 720p encodes of some 210 MiB each and our own processes fit, beside a call that stays below 700 MiB."""
GROWTH = 100
"""MiB a second."""
CLIPS = 4
CLIP_SECONDS = 12.0
"""Two encodes of it at once take longer than the call takes to fill what they leave."""


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A fresh group; the test is skipped where none can be made."""
    with group_or_skip(LIMIT_BYTES) as made:
        yield made


@pytest.fixture
def queue(tmp_path: Path, make_clip) -> Queue:  # type: ignore[no-untyped-def]
    """An output folder without jobs, beside a folder of 720p clips."""
    for number in range(CLIPS):
        make_clip(tmp_path / "in" / f"clip-{number}.mp4", seconds=CLIP_SECONDS, size="1280x720", audio=None)
    (tmp_path / "profile.yaml").write_text(MEMORY_PROFILE)
    return Queue(tmp_path)


@pytest.mark.parametrize("priority", [-1, 0], ids=["begun first", "begun last"])
@pytest.mark.parametrize("megabytes", [900, 3000])
def test_a_call_that_grows_beside_encodes(
    group: MemoryGroup,
    queue: Queue,
    example_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    megabytes: int,
    priority: int,
) -> None:
    """It is ended and tried again alone: one that fits the machine is done, another fails with a sentence.

    The kernel kills nothing, and the encodes come to their end.
    """
    monkeypatch.setenv("PYTHONPATH", str(example_tasks))
    job = ask("greedy", function="swell", megabytes=megabytes, megabytes_a_second=GROWTH)
    queue.submit({**job, "priority": priority})
    run = _run(group, tmp_path)
    assert run.oom_kills == 0, run.output
    states = queue.states()
    greedy = states.pop("greedy")
    assert list(states.values()) == ["succeeded"] * CLIPS, run.output
    assert greedy == ("succeeded" if megabytes == 900 else "failed"), run.output
    row = queue.rows()["greedy"]
    if greedy == "failed":
        assert "memory" in row.reason
    with JournalReader.read_only(queue.folder.path) as journal:
        events = list(journal.events())
        for attempt in journal.attempts():
            print(attempt)
    for event in events:
        print(event.kind, event.text)
    assert {"suspend", "shed"} & {event.kind for event in events if event.job_id is not None}


def _run(group: MemoryGroup, folder: Path) -> Contained:
    command = [sys.executable, "-m", "pyprocessor", "--input", str(folder / "in"), "--output", str(folder / "out")]
    return run_inside(group, [*command, "--profile", str(folder / "profile.yaml"), "--jobs", "3"])
