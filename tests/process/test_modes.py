"""Modes through a whole run: results while the input is still listed, a process for each file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyprocessor.models import JobState, Mode
from tests.process.engines import Undertaking
from tests.process.runs import published, states
from tests.waiting import DEADLINE_SECONDS, until


@pytest.fixture
def inputs(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    """Two clips at once, and two in a folder that is listed last."""
    folder = tmp_path / "in"
    for name in ("a.mp4", "b.mp4", "last/c.mp4", "last/d.mp4"):
        make_clip(folder / name)
    return folder


def test_results_flow_while_the_input_is_still_being_listed(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And after a kill in the middle of the listing only what is left is done."""
    listed, output = tmp_path / "listed", tmp_path / "out"
    for number in range(2 * int(DEADLINE_SECONDS)):
        (inputs / f"empty-{number}").mkdir()
    monkeypatch.setenv("LIST_SLOWLY", str(listed))
    runs = Undertaking(inputs, output, "forkserver", batch={"mode": Mode.STREAMING})
    try:
        runs.start()
        until(lambda: published(output) == {"a.mp4", "b.mp4"}, "the files that are listed to be done")
        runs.kill()
        runs.start()
        listed.touch()
        runs.finish()
    finally:
        runs.end()
    assert published(output) == {"a.mp4", "b.mp4", "last/c.mp4", "last/d.mp4"}
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert len({attempt.job_id for attempt in runs.attempts()}) == 4


def test_each_file_has_a_process(inputs: Path, tmp_path: Path) -> None:
    """In the mode parallel, whatever else a batch would hold."""
    output = tmp_path / "out"
    runs = Undertaking(inputs, output, "forkserver", batch={"mode": Mode.PARALLEL})
    try:
        runs.finish()
    finally:
        runs.end()
    attempts = runs.attempts()
    assert len({attempt.worker.pid for attempt in attempts}) == len(attempts) == 4
