"""A batch process that stops answering is given up on, and what it was granted it cannot use any more."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pyprocessor.errors import FailureKind
from pyprocessor.models import JobState, OutcomeKind
from tests.long import long_after
from tests.process.engines import Undertaking, alive
from tests.process.runs import published, rows
from tests.process.steered import slow_ffmpeg
from tests.waiting import until

if os.name != "posix":
    pytest.skip("signals as these are POSIX's", allow_module_level=True)


@pytest.fixture
def undertake(tmp_path: Path) -> Iterator[Callable[..., Undertaking]]:
    """Makes undertakings over the folder `in`, of which nothing is left running."""
    made: list[Undertaking] = []

    def make(start_method: str, **settings: object) -> Undertaking:
        made.append(Undertaking(tmp_path / "in", tmp_path / "out", start_method, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for undertaking in made:
        undertaking.end()


@pytest.fixture
def slow(tmp_path: Path, ffmpeg_path: str) -> str:
    """An ffmpeg that reads two seconds of film in four."""
    return slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.5)


@long_after(1, "method", ["forkserver", "spawn"])
def test_a_batch_process_that_was_stopped_is_given_up_on(
    method: str,
    undertake: Callable[..., Undertaking],
    slow: str,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """It is ended with its ffmpegs, its jobs are charged as stalled and done by another, and it publishes nothing."""
    make_clip(tmp_path / "in" / "one.mp4", seconds=3.0, audio=None)
    errors = {"retry_delay_seconds": 0.05, "worker_silence_seconds": 15.0}
    undertaking = undertake(method, errors=errors, tool_path=slow)
    undertaking.start()
    (attempt,) = undertaking.encoding()
    os.kill(attempt.worker.pid, signal.SIGSTOP)
    undertaking.finish()
    assert not alive(attempt.worker.pid)
    undertaking.nothing_left()
    first, *others = undertaking.attempts()
    assert (first.outcome, first.failure, first.charged) == (OutcomeKind.FAILED, FailureKind.STALL, True)
    assert "did not answer any more" in first.reason
    assert [a.outcome for a in others] == [OutcomeKind.SUCCEEDED]
    assert others[0].worker != first.worker
    assert rows(tmp_path / "out")[b"one.mp4"].crashes == 0


@pytest.mark.long
def test_what_was_granted_to_a_stopped_process_is_decided_once_it_is_gone(
    undertake: Callable[..., Undertaking],
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped between the grant and the rename, it is killed before the engine publishes what it had verified."""
    mark = tmp_path / "stopped"
    monkeypatch.setenv("STOP_AT_GRANT", str(mark))
    for number in range(6):
        make_clip(tmp_path / "in" / f"{number}.mp4", seconds=2.0, size="320x180", audio=None)
    undertaking = undertake("spawn", errors={"retry_delay_seconds": 0.05, "worker_silence_seconds": 15.0})
    undertaking.start()
    worker = psutil.Process(int(until(lambda: mark.exists() and mark.read_text(), "a grant")))
    until(lambda: worker.status() == psutil.STATUS_STOPPED, "the process that was granted it to stop itself")
    with undertaking.journal() as journal:
        assert journal is not None
        granted = {row.id: row.attempt_id for row in journal.jobs(JobState.PUBLISHING)}
    held = {a.id for a in undertaking.attempts() if granted.get(a.job_id) == a.id and a.worker.pid == worker.pid}
    assert held
    undertaking.finish()
    assert not alive(worker.pid)
    assert published(tmp_path / "out") == {f"{number}.mp4" for number in range(6)}
    attempts = undertaking.attempts()
    assert {(a.outcome, a.charged) for a in attempts if a.id in held} == {(OutcomeKind.SUCCEEDED, False)}
    done = [a.job_id for a in attempts if a.outcome is OutcomeKind.SUCCEEDED]
    assert len(done) == len(set(done)) == 6


@pytest.mark.long
def test_a_grant_that_a_stopped_process_never_read_is_carried_out_for_it(
    undertake: Callable[..., Undertaking],
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """It had verified its output and the grant waits in its pipe when it is given up on; nothing is made twice."""
    make_clip(tmp_path / "in" / "one.mp4", seconds=4.0, size="320x180", audio=None)
    undertaking = undertake("spawn", errors={"worker_silence_seconds": 15.0})
    engine = undertaking.start()
    (attempt,) = undertaking.encoding()
    assert attempt.ffmpeg is not None
    encoder, worker = attempt.ffmpeg.pid, psutil.Process(attempt.worker.pid)
    engine.send_signal(signal.SIGSTOP)
    until(lambda: not alive(encoder), "the end of the encode")
    until(lambda: at_rest(worker), "the output to be verified")
    worker.suspend()
    engine.send_signal(signal.SIGCONT)
    undertaking.finish()
    assert not alive(attempt.worker.pid)
    (only,) = undertaking.attempts()
    assert (only.id, only.outcome, only.charged) == (attempt.id, OutcomeKind.SUCCEEDED, False)
    assert published(tmp_path / "out") == {"one.mp4"}
    row = rows(tmp_path / "out")[b"one.mp4"]
    assert row.produced is not None
    assert row.produced.mtime_ns == (tmp_path / "out" / "one.mp4").stat().st_mtime_ns


def at_rest(process: psutil.Process) -> bool:
    """Whether the process sleeps and goes on sleeping for two seconds, but for its looking around twice a second."""
    before = process.cpu_times().user
    with pytest.raises(psutil.TimeoutExpired):
        process.wait(2.0)
    return process.status() == psutil.STATUS_SLEEPING and process.cpu_times().user - before < 0.05


@pytest.mark.long
def test_an_engine_that_was_stopped_gives_nobody_up(
    undertake: Callable[..., Undertaking],
    slow: str,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """Stopped with all its processes for longer than their silence may last, as a machine that sleeps: they go on."""
    make_clip(tmp_path / "in" / "one.mp4", seconds=3.0, audio=None)
    undertaking = undertake("spawn", errors={"worker_silence_seconds": 12.0, "stall_seconds": 12.0}, tool_path=slow)
    undertaking.start()
    undertaking.encoding()
    processes = undertaking.processes()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # the inspector was about to end
            process.suspend()
    with pytest.raises(psutil.TimeoutExpired):
        psutil.Process(undertaking.engine_pid).wait(16.0)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()
    undertaking.finish()
    assert [a.outcome for a in undertaking.attempts()] == [OutcomeKind.SUCCEEDED]
    assert rows(tmp_path / "out")[b"one.mp4"].state is JobState.SUCCEEDED


@pytest.mark.long
def test_a_stopped_process_of_a_killed_run_is_ended_by_the_next_one(
    undertake: Callable[..., Undertaking],
    slow: str,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """It does not see its pipe close; so it is known by pid and start time, and gone before its job is begun again."""
    make_clip(tmp_path / "in" / "one.mp4", seconds=3.0, audio=None)
    undertaking = undertake("forkserver", tool_path=slow)
    undertaking.start()
    (attempt,) = undertaking.encoding()
    os.kill(attempt.worker.pid, signal.SIGSTOP)
    undertaking.kill()
    assert alive(attempt.worker.pid)
    undertaking.finish()
    assert not alive(attempt.worker.pid)
    undertaking.nothing_left()
    first, second = undertaking.attempts()
    assert (first.outcome, first.charged) == (OutcomeKind.INTERRUPTED, False)
    assert second.outcome is OutcomeKind.SUCCEEDED
    row = rows(tmp_path / "out")[b"one.mp4"]
    assert (row.state, row.killed_runs, row.retries_charged) == (JobState.SUCCEEDED, 0, 0)
