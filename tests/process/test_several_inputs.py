"""Runs over several inputs: what each output is called, what a kill leaves, and an input that goes away."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.models import JobState
from tests.acceptance.command import assert_plain, begin, call
from tests.process.runs import Recorder, partials, published, request, rows, run, states

OUTPUTS = {"Trip/a.mp4", "Trip/deep/b.mp4", "1/DCIM/a.mp4", "2/DCIM/a.mp4", "film.mp4"}
FAST = ("--profile", "fast", "--jobs", "2")


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> list[Path]:  # type: ignore[no-untyped-def]
    """Three folders, two of one name, and a file."""
    clip = make_clip(tmp_path / "film.mov", seconds=2.0, audio=None)
    for name in ("Trip/a.mov", "Trip/deep/b.mov", "1/DCIM/a.mov", "2/DCIM/a.mov"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    return [tmp_path / name for name in ("Trip", "1/DCIM", "2/DCIM", "film.mov")]


def test_several_inputs_are_one_run(inputs: list[Path], tmp_path: Path) -> None:
    """In any order, with options or without; a second run does nothing, and one more input adds what is in it."""
    output = tmp_path / "out"
    planned = call(*inputs[:3], output, *FAST, "--plan")
    assert_plain(planned, 0, "4 files", "1/DCIM/a.mov")
    assert not output.exists()
    assert_plain(call(*inputs[:3], output, *FAST), 0, "4 files")
    assert_plain(call("--input", inputs[3], *inputs[2::-1], "--output", output, *FAST), 0, "1 file")
    assert published(output) == OUTPUTS
    assert_plain(call(*inputs, output, *FAST), 0, "all 5 files are already done")
    assert_plain(call("report", "--output", output), 0, "Nothing to do")


@pytest.mark.long
def test_kills_at_any_moment_lose_nothing(inputs: list[Path], tmp_path: Path) -> None:
    """The same command goes on: each file is done, once, under its name."""
    output = tmp_path / "out"
    chance = random.Random(8)
    for _ in range(6):
        process = begin(*inputs, output, *FAST, "--preset", "veryslow")
        time.sleep(chance.uniform(0.2, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert_plain(call(*inputs, output, *FAST, "--preset", "veryslow"), 0)
    assert published(output) == OUTPUTS
    assert partials(output) == []
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert_plain(call(*inputs, output, *FAST, "--preset", "veryslow"), 0, "all 5 files are already done")


def test_an_input_that_goes_away_fails_no_file(inputs: list[Path], tmp_path: Path) -> None:
    """It is that input that is named, not the folder above it, and the run is to be begun again when it is back."""
    output, away = tmp_path / "out", tmp_path / "away"
    asked = replace(request(inputs[0], output), inputs=inputs_of([bytes(path) for path in inputs]))

    def leave(name: str) -> None:
        if not away.exists():
            inputs[0].rename(away)

    recorder = Recorder(on_started=leave)
    assert run(asked, recorder).exit_code == ExitCode.TRY_AGAIN, recorder.notices
    assert any(f"The input {inputs[0]} is no longer there" in text for _, text in recorder.notices)
    assert not [outcome for _, outcome, _ in recorder.outcomes if outcome.failure is not None]
    away.rename(inputs[0])
    assert run(asked).exit_code == ExitCode.OK
    assert published(output) == OUTPUTS
    assert {row.failed_runs for row in rows(output).values()} == {0}
