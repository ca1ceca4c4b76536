"""A call that takes more and more memory, beside encodes, where the kernel kills whatever goes over the limit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.journal.reader import JournalReader
from tests.integration.worked import example_tasks
from tests.long import long_after
from tests.process.cgroups import MEMORY_PROFILE, MIB, Contained, MemoryGroup, run_inside
from tests.process.queues import Queue, ask
from tests.process.skips import group_or_skip
from tests.process.steered import slow_ffmpeg

__all__ = ["example_tasks"]

LIMIT_BYTES = 1400 * MIB
"""Two 720p encodes of some 210 MiB each and our own processes fit, beside a call that stays below 700 MiB."""
GROWTH = 100
"""MiB a second."""
CLIPS = 3
CLIP_SECONDS, READ_RATE = 6.0, 0.4
"""An encode of it, read this slowly, takes longer than the call takes to fill what two of them leave."""


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A fresh group; the test is skipped where none can be made."""
    with group_or_skip(LIMIT_BYTES) as made:
        yield made


@pytest.fixture
def queue(tmp_path: Path, make_clip, ffmpeg_path: str, monkeypatch: pytest.MonkeyPatch) -> Queue:  # type: ignore[no-untyped-def]
    """An output folder without jobs, beside a folder of 720p clips."""
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", slow_ffmpeg(tmp_path / "slow", ffmpeg_path, READ_RATE))
    for number in range(CLIPS):
        make_clip(tmp_path / "in" / f"clip-{number}.mp4", seconds=CLIP_SECONDS, size="1280x720", audio=None)
    (tmp_path / "profile.yaml").write_text(MEMORY_PROFILE)
    return Queue(tmp_path)


@long_after(
    1,
    ("megabytes", "priority", "wait_seconds"),
    [(900, 0, 60.0), (3000, 0, 60.0), (900, -1, 0.0), (3000, -1, 0.0)],
    ids=["fits, beside", "does not fit, beside", "fits, before", "does not fit, before"],
)
def test_a_call_that_grows_beside_encodes(
    group: MemoryGroup,
    queue: Queue,
    example_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    megabytes: int,
    priority: int,
    wait_seconds: float,
) -> None:
    """It is ended and tried again alone: one that fits the machine is done, another fails with a sentence.

    The kernel kills nothing, and the encodes come to their end.
    """
    monkeypatch.setenv("PYTHONPATH", str(example_tasks))
    job = ask("greedy", function="swell", megabytes=megabytes, megabytes_a_second=GROWTH)
    assert isinstance(job["params"], dict)
    job["params"]["cost"] = {"wait_seconds": wait_seconds}  # one that mostly waits is started beside those for cores
    queue.submit({**job, "priority": priority})
    run = _run(group, tmp_path)
    assert run.oom_kills == 0, run.output
    states = queue.states()
    greedy = states.pop("greedy")
    assert list(states.values()) == ["succeeded"] * CLIPS, run.output
    assert greedy == ("succeeded" if megabytes == 900 else "failed"), run.output
    if greedy == "failed":
        assert "because memory ran short" in queue.rows()["greedy"].reason
    with JournalReader.read_only(queue.folder.path) as journal:
        kinds = {event.kind for event in journal.events()}
    assert kinds & {"suspend", "shed"}, kinds


def _run(group: MemoryGroup, folder: Path) -> Contained:
    command = [sys.executable, "-m", "pyprocessor", "--input", str(folder / "in"), "--output", str(folder / "out")]
    return run_inside(group, [*command, "--profile", str(folder / "profile.yaml"), "--jobs", "3"])
