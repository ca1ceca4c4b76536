"""Runs inside a memory control group too small for all that could run at once, with the kernel ready to kill."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState
from pyprocessor.profiles import load
from tests.benchmarks.bare import bare_calls, xargs
from tests.conftest import ClipMaker
from tests.process.cgroups import MEMORY_PROFILE, MIB, MemoryGroup, run_inside
from tests.process.runs import states
from tests.process.skips import group_or_skip

LIMIT_BYTES = 900 * MIB
"""Three 720p encodes of some 210 MiB each and our own processes fit, five do not."""
BUDGET_BYTES = LIMIT_BYTES * 80 // 100
CLIPS = 8
MORE_CLIPS = 4
"""So many more than can start before the model has learned anything."""


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    """A fresh group; the test is skipped where none can be made."""
    with group_or_skip(LIMIT_BYTES) as made:
        yield made


@pytest.fixture
def clips(tmp_path: Path, make_clip: ClipMaker) -> Path:
    """A folder of 720p clips, long enough for an encoder to fill its look-ahead."""
    for number in range(CLIPS):
        make_clip(tmp_path / "in" / f"clip-{number}.mp4", seconds=3.0, size="1280x720", audio=None)
    return tmp_path / "in"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """H.264, preset medium, without sound."""
    path = tmp_path / "profile.yaml"
    path.write_text(MEMORY_PROFILE)
    return path


def test_six_encodes_at_once_are_killed_here(group: MemoryGroup, clips: Path, profile: Path, tmp_path: Path) -> None:
    """What the other tests are about can happen: the kernel kills bare encodes, six at a time."""
    calls = list(bare_calls(clips, load(str(profile), environment={}).profile).values())
    (tmp_path / "bare").mkdir()
    run = run_inside(group, xargs(calls, tmp_path / "arguments", 6), cwd=tmp_path / "bare")
    assert run.oom_kills > 0
    assert run.returncode != 0


def test_predictions_keep_a_run_within_its_budget(
    group: MemoryGroup, clips: Path, profile: Path, tmp_path: Path
) -> None:
    """With what is known of encoders no file fails, nothing is killed, and memory stays within what was allowed."""
    command = [sys.executable, "-m", "pyprocessor", "--input", str(clips), "--output", str(tmp_path / "out")]
    run = run_inside(group, [*command, "--profile", str(profile), "--max-memory", "80", "--jobs", "6"])
    assert run.oom_kills == 0
    assert run.returncode == 0, run.output
    assert list(states(tmp_path / "out").values()) == [JobState.SUCCEEDED] * CLIPS
    assert run.peak_anonymous_bytes <= BUDGET_BYTES
    assert not [kind for kind in _kinds(tmp_path / "out") if kind in ("suspend", "shed")]


def test_a_run_whose_predictions_are_wrong_is_saved_by_what_is_measured(
    group: MemoryGroup, clips: Path, profile: Path, tmp_path: Path
) -> None:
    """Six at once would be admitted by a model that is wrong by a factor of four; all is done, and the model learns.

    Whether files are suspended and shed, or not begun because those that run take so much, depends on how soon
    the first ones show it.
    """
    for number in range(MORE_CLIPS):
        more = clips / f"more-{number}.mp4"
        shutil.copy(clips / "clip-0.mp4", more)
        with more.open("ab") as file:  # else it would be a copy, and not encoded
            file.write((12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))
    command = [sys.executable, "-m", "tests.process.misled", "--input", str(clips), "--output", str(tmp_path / "out")]
    run = run_inside(group, [*command, "--profile", str(profile)], cwd=Path.cwd())
    assert run.oom_kills == 0, run.output
    assert run.returncode == 0, run.output
    assert list(states(tmp_path / "out").values()) == [JobState.SUCCEEDED] * (CLIPS + MORE_CLIPS)
    with JournalReader.read_only(os.fsencode(tmp_path / "out" / ".pyprocessor")) as journal:
        done = [
            attempt for attempt in journal.attempts() if attempt.predicted is not None and attempt.usage is not None
        ]
    first, *_, last = [
        attempt.predicted.memory_bytes / attempt.usage.peak_memory_bytes
        for attempt in sorted(done, key=lambda attempt: attempt.started_at)
    ]
    assert first < 0.5, "it was not wrong"
    assert last > 0.8, "it is as wrong at the end as it was"


def _kinds(output: Path) -> list[str]:
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return [event.kind for event in journal.events()]
