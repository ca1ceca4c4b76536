"""Whole runs with an end: what fits before it is done, the rest waits, and running files are treated as was asked."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest

from pyprocessor.engine import stopping
from pyprocessor.errors import ExitCode
from pyprocessor.models import JobState, OutcomeKind, Overrun, Profile, ScheduleSettings
from pyprocessor.profiles import load
from tests.clocks import Clock
from tests.process.runs import Recorder, partials, published, request, run, states
from tests.process.steered import slow_ffmpeg

EVENING = datetime(2026, 3, 3, 21, 0)  # noqa: DTZ001 - local time, as the engine takes it


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock[datetime]:
    """The clock on the engine's wall."""
    made = Clock(EVENING)
    monkeypatch.setattr(stopping, "local_time", made)
    return made


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Four clips of a moment's work each."""
    for number in range(4):
        make_clip(tmp_path / "in" / f"{number}.mp4")
    return tmp_path / "in"


@pytest.fixture
def film(tmp_path: Path, make_clip, ffmpeg_path: str) -> Path:  # type: ignore[no-untyped-def]
    """One of ten minutes: the same minute ten times over, which takes less to make."""
    minute = make_clip(tmp_path / "minute.mkv", seconds=60.0, size="1280x720", rate=5, audio=None)
    path = tmp_path / "in" / "film.mkv"
    path.parent.mkdir(exist_ok=True)
    again = ("-stream_loop", "9", "-i", str(minute), "-c", "copy", str(path))
    subprocess.run([ffmpeg_path, "-nostdin", "-loglevel", "error", *again], check=True)
    return path


def scheduled(**settings: object) -> Profile:
    """The profile `fast`, one file at a time, at these times."""
    profile = load("fast", environment={}).profile
    schedule = replace(ScheduleSettings(), **settings)  # type: ignore[arg-type]
    return replace(profile, schedule=schedule, batch=replace(profile.batch, enabled=False))


@pytest.mark.parametrize(("overrun", "first"), [(Overrun.FINISH, "succeeded"), (Overrun.REQUEUE, "interrupted")])
def test_at_the_end_running_files_are_finished_or_queued_again(
    overrun: Overrun,
    first: str,
    tmp_path: Path,
    clock: Clock[datetime],
    ffmpeg_path: str,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """Either way nothing more starts, the run ends 75, nothing half-made is left, and the next run does the rest."""
    for name in ("0.mp4", "1.mp4"):  # long enough that one still runs when the end comes
        make_clip(tmp_path / "in" / name, seconds=5.0, audio=None)
    slow = slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 1.0)

    def strike(_: str) -> None:
        clock.now = EVENING + timedelta(hours=2)

    recorder = Recorder(on_started=strike)
    profile = scheduled(until=time(23, 0), overrun=overrun)
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile, tool_path=slow)
    assert run(asked, recorder).exit_code == ExitCode.TRY_AGAIN
    assert len(recorder.starts) == 1
    assert [outcome.kind for _, outcome, _ in recorder.outcomes] == [OutcomeKind(first)]
    assert any("It is 23:00" in text for _, text in recorder.notices)
    assert partials(tmp_path / "out") == []
    assert len(published(tmp_path / "out")) == (1 if overrun is Overrun.FINISH else 0)
    assert run(replace(asked, profile=scheduled(), tool_path=ffmpeg_path)).exit_code == ExitCode.OK
    assert set(states(tmp_path / "out").values()) == {JobState.SUCCEEDED}


@pytest.mark.usefixtures("film")
def test_a_file_that_would_not_be_done_in_time_is_not_started(
    inputs: Path, tmp_path: Path, clock: Clock[datetime]
) -> None:
    """A short one is, and the run ends 75 at once where only long ones are left."""
    clock.now = EVENING + timedelta(minutes=119, seconds=45)
    recorder = Recorder()
    asked = request(inputs, tmp_path / "out", profile=scheduled(until=time(23, 0)))
    assert run(asked, recorder).exit_code == ExitCode.TRY_AGAIN
    assert sorted(recorder.starts) == ["0.mp4", "1.mp4", "2.mp4", "3.mp4"]
    assert states(tmp_path / "out")[b"film.mkv"] is JobState.PENDING
    assert any(text.startswith("Nothing more is started: the only waiting file") for _, text in recorder.notices)


@pytest.mark.usefixtures("film")
def test_a_file_that_runs_alone_is_not_started_either(tmp_path: Path, clock: Clock[datetime]) -> None:
    """A batch process died over it before, so it is done alone: by the same clock as all others."""
    clock.now = EVENING + timedelta(minutes=119, seconds=45)
    asked = request(tmp_path / "in", tmp_path / "out", profile=scheduled(until=time(23, 0)))
    assert run(asked).exit_code == ExitCode.TRY_AGAIN
    with contextlib.closing(sqlite3.connect(tmp_path / "out" / ".pyprocessor" / "journal.sqlite3")) as journal:
        assert journal.execute("UPDATE jobs SET crashes = 1").rowcount == 1
        journal.commit()
    recorder = Recorder()
    assert run(asked, recorder).exit_code == ExitCode.TRY_AGAIN
    assert recorder.starts == []
    assert any(text.startswith("Nothing more is started: the only waiting file") for _, text in recorder.notices)


def test_a_run_before_its_window_waits_for_it(inputs: Path, tmp_path: Path, clock: Clock[datetime]) -> None:
    """It says so, starts nothing, and works once the window is open."""
    began: list[datetime] = []
    recorder = Recorder(on_started=lambda _: began.append(clock.now))
    asked = request(inputs, tmp_path / "out", profile=scheduled(window=(time(22, 0), time(6, 0))))
    waits = []

    def tick(snapshot: object) -> None:
        waits.append(snapshot)
        if len(waits) == 3:
            clock.now = EVENING + timedelta(hours=1)

    recorder.tick = tick  # type: ignore[method-assign]
    assert run(asked, recorder).exit_code == ExitCode.OK
    assert began == [EVENING + timedelta(hours=1)] * 4
    assert any("Waiting until 22:00" in text for _, text in recorder.notices)


def test_finished_work_does_not_wait_for_a_window(inputs: Path, tmp_path: Path, clock: Clock[datetime]) -> None:
    """A run with nothing to do ends at once, whatever the time."""
    run(request(inputs, tmp_path / "out", profile=scheduled()))
    asked = request(inputs, tmp_path / "out", profile=scheduled(window=(time(22, 0), time(6, 0))))
    assert run(asked).exit_code == ExitCode.OK
    assert clock.now == EVENING
