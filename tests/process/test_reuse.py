"""Sources of the same content are done once: others get copies of what was made, files of their own, byte for byte."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.engine.reuse import REUSED
from pyprocessor.errors import ExitCode
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import RunRow
from pyprocessor.models import JobState, OutcomeKind, Profile
from pyprocessor.profiles import load
from pyprocessor.workers.content import WHOLE_BYTES
from tests.process.runs import Recorder, published, request, run, states

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs are ended by signals")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def profile(**batch: Any) -> Profile:
    """The profile `fast`, some of its settings of batches changed."""
    usual = load("fast", environment={}).profile
    return replace(usual, batch=replace(usual.batch, **batch))


def twins(clip: Path, *names: str) -> None:
    """Copies of a clip beside it, byte for byte."""
    for name in names:
        shutil.copyfile(clip, clip.with_name(name))


def large(clip: Path, *, last: bytes = b"one") -> Path:
    """The clip with so much behind its end that only samples of it are read; `last` lies where none is taken."""
    size = clip.stat().st_size
    room = 2 * WHOLE_BYTES
    with clip.open("ab") as file:
        file.write((room + 8).to_bytes(4, "big") + b"free" + bytes(room))
    with clip.open("r+b") as file:
        file.seek(size + room // 2)
        file.write(last)
    return clip


def last_run(output: Path) -> RunRow:
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        found = journal.last_run()
    assert found is not None
    return found


def copies(output: Path) -> int:
    """How many events say that a job got a copy."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return sum(event.kind == REUSED for event in journal.events())


def encodes(output: Path) -> int:
    """How many attempts ran an ffmpeg of their own."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return sum(attempt.ffmpeg is not None for attempt in journal.attempts())


def test_identical_sources_are_encoded_once(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """One of three is encoded; the copies are equal files of their own, and each job has succeeded and says so."""
    clip = make_clip(tmp_path / "in" / "a.mp4")
    twins(clip, "b.mp4", "c.mp4")
    recorder = Recorder()
    assert run(request(tmp_path / "in", output, profile=profile()), recorder).exit_code == ExitCode.OK
    assert states(output) == dict.fromkeys((b"a.mp4", b"b.mp4", b"c.mp4"), JobState.SUCCEEDED)
    assert (encodes(output), copies(output)) == (1, 2)
    made = [output / name for name in sorted(published(output))]
    assert len({path.read_bytes() for path in made}) == 1
    assert len({path.stat().st_ino for path in made}) == 3
    ended = last_run(output)
    assert (ended.lookups, ended.hits) == (3, 2)
    assert ended.saved_cpu_seconds > 0
    notes = [outcome.reason for _, outcome, _ in recorder.outcomes if outcome.kind is OutcomeKind.SUCCEEDED]
    assert sum("same content" in note for note in notes) == 2


def test_larger_sources_are_compared(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """Of three whose samples are the same, the one that differs by a byte between them is encoded."""
    clip = large(make_clip(tmp_path / "in" / "a.mp4"))
    twins(clip, "b.mp4")
    large(make_clip(tmp_path / "in" / "c.mp4"), last=b"onf")
    assert run(request(tmp_path / "in", output, profile=profile())).exit_code == ExitCode.OK
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert (encodes(output), copies(output)) == (2, 1)
