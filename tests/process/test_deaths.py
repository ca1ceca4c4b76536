"""The table of deaths: whatever dies, every job ends in one final state, and the same command goes on from there."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pyprocessor.errors import FailureKind
from pyprocessor.models import JobState, OutcomeKind
from tests.long import long_after
from tests.process.engines import Undertaking
from tests.process.runs import partials, published, rows
from tests.process.steered import slow_ffmpeg

if os.name != "posix":
    pytest.skip("signals as these are POSIX's", allow_module_level=True)

METHODS = ["forkserver", "spawn"]
NAMES = {"one.mp4", "two.mp4", "three.mp4"}


@dataclass(frozen=True)
class Death:
    """`strike` kills something once files are being encoded; `ends_run` says that the engine is among it. Of the
    attempts that ran, `crashed` says that those in the process that died are charged as crashes, and `told_to_end` that
    an ffmpeg was, which is charged as a fault of the surroundings."""

    strike: Callable[[Undertaking], None]
    ends_run: bool = False
    crashed: bool = False
    told_to_end: bool = False


def worker(number: int) -> Callable[[Undertaking], None]:
    """Signals one batch process."""
    return lambda undertaking: os.kill(undertaking.encoding()[0].worker.pid, number)


def ffmpeg(number: int) -> Callable[[Undertaking], None]:
    """Signals one ffmpeg."""

    def strike(undertaking: Undertaking) -> None:
        victim = undertaking.encoding()[0].ffmpeg
        assert victim is not None
        os.kill(victim.pid, number)

    return strike


def forkserver(undertaking: Undertaking) -> None:
    """Kills the forkserver, and nothing else."""
    undertaking.encoding()
    undertaking.forkserver().kill()


def engine(undertaking: Undertaking) -> None:
    """Kills the engine, and nothing else."""
    undertaking.encoding()
    undertaking.kill()


def worker_and_forkserver(undertaking: Undertaking) -> None:
    """Kills both, so that the exit code of the batch process is lost."""
    undertaking.encoding()
    server = undertaking.forkserver()
    victim = undertaking.encoding()[0].worker.pid  # anew: to find the other took its time
    server.kill()
    os.kill(victim, signal.SIGKILL)


def everything(undertaking: Undertaking) -> None:
    """Kills all processes of the run at once, as a machine does that loses its power: none sees another die."""
    undertaking.encoding()
    undertaking.freeze()
    for process in undertaking.processes():
        if process.pid != undertaking.engine_pid:
            with contextlib.suppress(psutil.NoSuchProcess):  # its end had come anyhow
                process.kill()
    undertaking.kill()


DEATHS = {
    "batch process, SIGSEGV": Death(worker(signal.SIGSEGV), crashed=True),
    "batch process, SIGKILL": Death(worker(signal.SIGKILL), crashed=True),
    "batch process, os._exit(0)": Death(worker(signal.SIGUSR1), crashed=True),
    "batch process, SIGTERM": Death(worker(signal.SIGTERM)),
    "ffmpeg, SIGKILL": Death(ffmpeg(signal.SIGKILL), crashed=True),
    "ffmpeg, SIGSEGV": Death(ffmpeg(signal.SIGSEGV), crashed=True),
    "ffmpeg, SIGTERM": Death(ffmpeg(signal.SIGTERM), told_to_end=True),
    "engine, SIGKILL": Death(engine, ends_run=True),
    "everything, SIGKILL": Death(everything, ends_run=True),
}
OF_A_FORKSERVER = {
    "forkserver, SIGKILL": Death(forkserver),
    "forkserver and batch process, SIGKILL": Death(worker_and_forkserver, crashed=True),
}
ONE_OF_EACH_KIND = [
    ("forkserver", name)
    for name in (
        "batch process, SIGSEGV",
        "batch process, SIGTERM",
        "ffmpeg, SIGKILL",
        "engine, SIGKILL",
        "everything, SIGKILL",
        "forkserver, SIGKILL",
    )
]
# How a process was started shows in how its end is learned, by its exit code or a signal, and not in what that means.
WHERE_SPAWNED = (
    "batch process, SIGKILL",
    "batch process, os._exit(0)",
    "ffmpeg, SIGKILL",
    "engine, SIGKILL",
    "everything, SIGKILL",
)
TABLE = [("forkserver", name) for name in DEATHS | OF_A_FORKSERVER] + [("spawn", name) for name in WHERE_SPAWNED]
TABLE.sort(key=lambda death: death not in ONE_OF_EACH_KIND)


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Three small files."""
    for name in sorted(NAMES):
        make_clip(tmp_path / "in" / name, seconds=2.0, audio=None)
    return tmp_path / "in"


@pytest.fixture
def undertake(inputs: Path, tmp_path: Path, ffmpeg_path: str) -> Iterator[Callable[..., Undertaking]]:
    """Makes undertakings over the inputs, each some seconds of waiting rather than of work, of which nothing is left
    running."""
    made: list[Undertaking] = []
    slow = slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.5)

    def make(start_method: str, **settings: object) -> Undertaking:
        made.append(Undertaking(inputs, tmp_path / "out", start_method, tool_path=slow, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for undertaking in made:
        undertaking.end()


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_what_stood_still_as_the_engine_was_killed_is_ended_by_the_next_run(
    method: str, undertake: Callable[..., Undertaking]
) -> None:
    """Batch processes, ffmpegs, the forkserver and the resource tracker: none notices anything any more."""
    undertaking = undertake(method)
    undertaking.start()
    undertaking.encoding()
    still = [process for process in undertaking.processes() if process.pid != undertaking.engine_pid]
    for process in still:
        process.suspend()
    undertaking.kill()
    assert undertaking.processes()
    undertaking.finish()
    undertaking.nothing_left()
    assert published(undertaking.output) == NAMES
    assert partials(undertaking.output) == []


@long_after(len(ONE_OF_EACH_KIND), ("method", "name"), TABLE)
def test_whatever_dies_nothing_is_lost(method: str, name: str, undertake: Callable[..., Undertaking]) -> None:
    """All files are done by the same command, nothing runs on, and only deaths are charged."""
    death = (DEATHS | OF_A_FORKSERVER)[name]
    undertaking = undertake(method, errors={"retry_delay_seconds": 0.05})
    undertaking.start()
    death.strike(undertaking)
    if death.ends_run:
        undertaking.nothing_left()
        before = {a.id for a in undertaking.attempts()}
    undertaking.finish()
    undertaking.nothing_left()
    output = undertaking.output
    jobs = rows(output)
    assert {row.state for row in jobs.values()} == {JobState.SUCCEEDED}
    assert published(output) == NAMES
    assert partials(output) == []
    attempts = undertaking.attempts()
    assert not [a for a in attempts if a.ended_at is None]
    succeeded = [a.job_id for a in attempts if a.outcome is OutcomeKind.SUCCEEDED]
    assert len(succeeded) == len(set(succeeded)) == len(NAMES)
    others = [a for a in attempts if a.outcome is not OutcomeKind.SUCCEEDED]
    if death.crashed:
        assert others
        assert {(a.outcome, a.failure, a.charged) for a in others} == {(OutcomeKind.FAILED, FailureKind.CRASH, True)}
        assert sum(row.crashes for row in jobs.values()) == len(others)
    elif death.told_to_end:
        (other,) = others
        assert (other.outcome, other.failure, other.charged) == (OutcomeKind.FAILED, FailureKind.INFRASTRUCTURE, True)
        assert not any(row.crashes for row in jobs.values())
    else:
        assert all((a.outcome, a.charged) == (OutcomeKind.INTERRUPTED, False) for a in others)
        assert not any(row.crashes or row.retries_charged for row in jobs.values())
    if death.ends_run:
        assert {a.id for a in others} <= before, "only what the death interrupted was begun twice"
    if name == "forkserver, SIGKILL":
        assert others == [], "its children run on"
    # Nothing that is done is done again.
    undertaking.finish()
    assert len(undertaking.attempts()) == len(attempts)
