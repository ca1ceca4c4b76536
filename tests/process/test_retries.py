"""What is tried again, how, and how often at most, within a run and over runs."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.monitor import Monitor
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.inspect import probe as probe_module
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.models import BatchSettings, JobState, OutcomeKind, Profile, job_id
from pyprocessor.profiles import load
from tests.process.engines import Undertaking
from tests.process.runs import Recorder, request, rows, run
from tests.process.steered import slow_ffmpeg
from tests.waiting import until

patched = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""For tests that fork, so that the inspector has what was replaced in this process."""


def profile(*, batch: BatchSettings | None = None, **errors: object) -> Profile:
    """The profile `fast` with other ways to deal with errors, and retries that do not keep anybody waiting."""
    fast = load("fast", environment={}).profile
    settings: dict[str, Any] = {"retry_delay_seconds": 0.02, "max_retry_delay_seconds": 0.05, **errors}
    return replace(fast, errors=replace(fast.errors, **settings), batch=batch or fast.batch)


def attempts(output: Path) -> list[AttemptRow]:
    """All attempts in the order in which they were begun."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return list(journal.attempts())


@pytest.mark.parametrize("times", ["first", "always"])
def test_what_ffmpeg_cannot_open_though_it_was_inspected_is_tried_once_more(
    times: str,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    standin_ffmpeg: str,
) -> None:
    """An ffmpeg that is told to end at that moment says what it says of a damaged file."""
    name = "standin-first-unopened.mp4" if times == "first" else "standin-unopened.mp4"
    make_clip(tmp_path / "in" / name)
    recorder = Recorder()
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile(), tool_path=standin_ffmpeg)
    run(asked, recorder, start_method="spawn")
    row = rows(tmp_path / "out")[name.encode()]
    assert (recorder.starts, row.retries_charged) == ([name] * 2, 1)
    wanted = (JobState.SUCCEEDED, None) if times == "first" else (JobState.FAILED, FailureKind.BAD_INPUT)
    assert (row.state, row.failure) == wanted


def test_a_poison_file_is_tried_so_often_and_no_more(tmp_path: Path, make_clip, standin_ffmpeg: str) -> None:  # type: ignore[no-untyped-def]
    """Its retries come after the first tries of others; later runs leave it alone until they are told not to."""
    make_clip(tmp_path / "in" / "standin-segv.mp4", seconds=8.0)
    for number in range(3):
        make_clip(tmp_path / "in" / f"{number}.mp4")
    asked = request(
        tmp_path / "in",
        tmp_path / "out",
        profile=profile(max_retries=2, batch=BatchSettings(jobs=1, batch_size=1)),
        tool_path=standin_ffmpeg,
    )
    recorder = Recorder()
    assert run(asked, recorder, start_method="spawn").exit_code == ExitCode.SOME_FAILED
    assert recorder.starts[-2:] == ["standin-segv.mp4"] * 2, recorder.starts
    assert len(recorder.starts) == 6
    row = rows(tmp_path / "out")[b"standin-segv.mp4"]
    assert (row.state, row.failure, row.retries_charged, row.crashes) == (JobState.FAILED, FailureKind.CRASH, 2, 3)
    again = Recorder()
    assert run(asked, again, start_method="spawn").exit_code == ExitCode.SOME_FAILED
    assert again.starts == []
    asked = replace(asked, retry_failed=True)
    assert run(asked, again, start_method="spawn").exit_code == ExitCode.SOME_FAILED
    assert again.starts == ["standin-segv.mp4"] * 3


def test_what_memory_is_short_for_ends_up_alone_and_then_fails(
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    standin_ffmpeg: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sheds are capped: after three it runs alone, with one thread, and the fourth is a failure with a sentence."""
    make_clip(tmp_path / "in" / "standin-killed.mp4", seconds=4.0)
    monkeypatch.setattr(Monitor, "take_oom_kill", lambda _: True)
    monkeypatch.setattr(Dispatch, "runs_alone", lambda *_: False)
    recorder = Recorder()
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile(), tool_path=standin_ffmpeg)
    assert run(asked, recorder, start_method="spawn").exit_code == ExitCode.SOME_FAILED
    made = attempts(tmp_path / "out")
    assert [a.outcome for a in made] == [OutcomeKind.SHED] * 3 + [OutcomeKind.FAILED]
    assert [a.threads for a in made[1:]] == [1, 1, 1]
    needs = [a.predicted.memory_bytes for a in made if a.predicted is not None]
    assert len(needs) == 4
    row = rows(tmp_path / "out")[b"standin-killed.mp4"]
    assert (row.state, row.failure, row.sheds) == (JobState.FAILED, FailureKind.RESOURCE, 3)
    assert "ended 4 times because memory ran short" in row.reason


@pytest.mark.long
def test_memory_that_runs_out_with_nothing_beside_is_a_failure_that_may_pass(
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    standin_ffmpeg: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is charged and tried again with one thread, as often as retries allow."""
    make_clip(tmp_path / "in" / "standin-killed.mp4", seconds=4.0)
    monkeypatch.setattr(Monitor, "take_oom_kill", lambda _: True)
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile(max_retries=1), tool_path=standin_ffmpeg)
    run(asked, start_method="spawn")
    made = attempts(tmp_path / "out")
    assert [(a.outcome, a.failure) for a in made] == [(OutcomeKind.FAILED, FailureKind.RESOURCE)] * 2
    assert made[-1].threads == 1
    assert "nothing ran beside it" in made[-1].reason


@pytest.mark.long
@patched
def test_an_inspection_that_stalls_is_tried_by_so_many_runs(
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that was slow to wake up costs nothing for ever, and a file that always hangs holds up only some runs."""
    make_clip(tmp_path / "in" / "a.mp4")
    make_clip(tmp_path / "in" / "one.mp4")
    probe = probe_module.probe

    def hang(path: bytes, **more: Any) -> Any:
        if path.endswith(b"one.mp4"):
            signal.pause()
        return probe(path, **more)

    monkeypatch.setattr(probe_module, "probe", hang)
    settings = profile(inspect_timeout_seconds=8.0, max_failed_runs=2)
    asked = request(tmp_path / "in", tmp_path / "out", profile=settings)
    for runs in range(1, 4):
        recorder = Recorder()
        result = run(asked, recorder, start_method="fork")
        row = rows(tmp_path / "out")[b"one.mp4"]
        assert (result.exit_code, row.state) == (ExitCode.SOME_FAILED, JobState.FAILED)
        assert row.failed_runs == min(runs, 2)
        assert len([1 for _, outcome, _ in recorder.outcomes if outcome.kind is OutcomeKind.FAILED]) == (runs < 3)
    assert "failed in 2 runs and is left alone" in row.reason
    monkeypatch.setattr(probe_module, "probe", probe)
    assert run(replace(asked, retry_failed=True), start_method="fork").exit_code == ExitCode.OK


@pytest.mark.long
def test_a_crash_of_an_earlier_run_counts(tmp_path: Path, ffmpeg_path: str, make_clip) -> None:  # type: ignore[no-untyped-def]
    """A process dies over a file, the run is killed, and the process of the next run dies too: that makes two."""
    make_clip(tmp_path / "in" / "one.mp4", seconds=3.0, audio=None)
    undertaking = Undertaking(tmp_path / "in", tmp_path / "out", "forkserver", errors={"retry_delay_seconds": 0.05})
    undertaking.tool_path = slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.5)
    try:
        undertaking.start()
        os.kill(undertaking.encoding()[0].worker.pid, signal.SIGSEGV)
        until(lambda: len(undertaking.attempts()) == 2 and undertaking.encoding(), "the second try")
        undertaking.kill()
        undertaking.nothing_left()
        assert rows(tmp_path / "out")[b"one.mp4"].crashes == 1
        undertaking.start()
        os.kill(undertaking.encoding()[0].worker.pid, signal.SIGSEGV)
        undertaking.finish(ExitCode.SOME_FAILED)
        row = rows(tmp_path / "out")[b"one.mp4"]
        assert (row.state, row.crashes, row.failure) == (JobState.QUARANTINED, 2, FailureKind.CRASH)
        assert "--retry-failed" in row.reason
        undertaking.finish(retry_failed=True)
    finally:
        undertaking.end()


def test_a_file_over_which_runs_are_killed_is_set_aside(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """It comes last from the second time on, so that all else is done, and after the third it is left alone."""
    make_clip(tmp_path / "in" / "long.mp4", seconds=30.0, size="640x360", audio=None)
    long = job_id(os.fsencode(tmp_path / "in" / "long.mp4"), "transcode")
    make_clip(tmp_path / "in" / "short.mp4")
    undertaking = Undertaking(
        tmp_path / "in", tmp_path / "out", "forkserver", errors={"max_killed_runs": 3}, batch={"jobs": 1}
    )
    try:
        for _ in range(3):
            undertaking.start()
            until(lambda: long in {a.job_id for a in undertaking.encoding()}, "the long file to be worked on")
            undertaking.kill()
            undertaking.nothing_left()
        states = {name: row.state for name, row in rows(tmp_path / "out").items()}
        assert states[b"short.mp4"] is JobState.SUCCEEDED, "the long one was put last"
        undertaking.finish(ExitCode.SOME_FAILED)
        row = rows(tmp_path / "out")[b"long.mp4"]
        assert (row.state, row.failure) == (JobState.QUARANTINED, FailureKind.CRASH)
        assert "3 runs in a row were killed" in row.reason
        with JournalReader.read_only(os.fsencode(tmp_path / "out" / ".pyprocessor")) as journal:
            told = journal.last_run()
        assert told is not None
        assert told.failed_before == 0, "it is counted once, as this run's"
        undertaking.finish(retry_failed=True)
    finally:
        undertaking.end()
