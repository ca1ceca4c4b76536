"""A process beside a run takes most of the memory away and lets go of it again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyprocessor.errors import JournalError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState
from tests.process.cgroups import MEMORY_PROFILE, MIB, MemoryGroup
from tests.process.runs import states
from tests.process.skips import group_or_skip
from tests.process.steered import slow_ffmpeg
from tests.waiting import DEADLINE_SECONDS, until

LIMIT_BYTES = 1100 * MIB
MAX_MEMORY_PERCENT = 60
"""660 MiB: two 720p encodes of some 220 MiB each beside our own processes fit."""
GRABBED_BYTES = 800 * MIB
CEILING_BYTES = 1000 * MIB
"""Up to where the hog fills the group, others included: well over what is allowed, below where the run must shed."""
CLIPS = 5


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A fresh group; the test is skipped where none can be made."""
    with group_or_skip(LIMIT_BYTES) as made:
        yield made


@pytest.fixture
def hog(group: MemoryGroup) -> Iterator[subprocess.Popen[str]]:
    """The other process, in the same group, holding nothing yet."""
    module = [sys.executable, "-m", "tests.process.memory_hog", str(group.folder), str(group.version)]
    command = group.command([*module, str(group.limit_bytes)])
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE_SECONDS) == 0


def test_a_run_waits_for_a_memory_hog_and_then_finishes_everything(  # type: ignore[no-untyped-def]
    group: MemoryGroup,
    hog: subprocess.Popen[str],
    tmp_path: Path,
    ffmpeg_path: str,
    make_clip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the hog holds on, files are suspended or ended and none is started; nothing is killed and nothing is lost.

    How fast memory fills decides which of the governor's levels are passed by.
    """
    for number in range(CLIPS):
        make_clip(tmp_path / "in" / f"clip-{number}.mp4", seconds=4.0, size="1280x720", audio=None)
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.5))
    (tmp_path / "profile.yaml").write_text(MEMORY_PROFILE)
    output = tmp_path / "out"
    command = [sys.executable, "-m", "pyprocessor", "--input", str(tmp_path / "in"), "--output", str(output)]
    command += ["--profile", str(tmp_path / "profile.yaml"), "--max-memory", str(MAX_MEMORY_PERCENT), "--jobs", "2"]
    with (
        subprocess.Popen(
            group.command(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run,
        contextlib.ExitStack() as ending,
    ):
        ending.callback(run.kill)  # else a test that fails would wait for it
        _wait_for(lambda: {JobState.SUCCEEDED, JobState.RUNNING} <= set(_states(output)), run, "a first output")
        _tell(hog, f"grab {GRABBED_BYTES} {CEILING_BYTES}")
        _wait_for(lambda: {"suspend", "shed"} & _kinds(output), run, "the governor")
        assert JobState.PENDING in _states(output) or JobState.ASSIGNED in _states(output), "all was done already"
        _tell(hog, "let go")
        said, _ = run.communicate(timeout=DEADLINE_SECONDS)
    assert run.returncode == 0, said
    assert group.oom_kills() == 0
    assert list(states(output).values()) == [JobState.SUCCEEDED] * CLIPS
    assert "recover" in _kinds(output)


def _tell(hog: subprocess.Popen[str], line: str) -> None:
    assert hog.stdin is not None
    hog.stdin.write(line + "\n")
    hog.stdin.flush()


def _wait_for(reached: Callable[[], object], run: subprocess.Popen[str], what: str) -> None:
    """Until it is reached; a run that ended before that, or takes too long, fails the test."""

    def there() -> object:
        assert run.poll() is None, f"{what} never came; the run ended with {run.poll()}:\n{run.communicate()[0]}"
        return reached()

    until(there, what)


def _states(output: Path) -> list[JobState]:
    try:
        return list(states(output).values())
    except JournalError:
        return []  # the run has not made it yet


def _kinds(output: Path) -> set[str]:
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return {event.kind for event in journal.events()}
