"""Single jobs while a run goes on: cancelled, done again and taken in over its socket."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.models import JobState
from tests.acceptance.command import begin, call, call_here
from tests.process.runs import published, states
from tests.process.steered import encoding, slow_ffmpeg
from tests.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs are steered over local sockets")


FILES = 5


@pytest.fixture
def output(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Where the clips go, beside which there is one that no folder has."""
    for number in range(FILES):
        make_clip(tmp_path / "in" / f"{number}.mp4", seconds=6.0, audio=None)
    make_clip(tmp_path / "elsewhere.mp4", seconds=1.0, audio=None)
    return tmp_path / "out"


@pytest.fixture
def run(
    output: Path, tmp_path: Path, ffmpeg_path: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[subprocess.Popen[str]]:
    """A run that takes so long over its first file that all that is asked comes meanwhile."""
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.02))
    process = begin(
        "--input", tmp_path / "in", "--output", output, "--profile", "fast", "--jobs", "1", "--batch-size", "1"
    )
    yield process
    process.kill()
    if process.stdout is not None and not process.stdout.closed:
        process.communicate()


def asked(*words: object) -> str:
    """What a command prints that is to succeed."""
    done = call_here(*map(str, words))
    assert done.returncode == ExitCode.OK, done
    return done.stdout


def pending(output: Path) -> list[str]:
    """The files that wait and that no batch process has."""
    return [name.decode() for name, state in states(output).items() if state is JobState.PENDING]


def test_jobs_of_a_run_that_goes_on(
    output: Path, tmp_path: Path, run: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are cancelled while they wait, others are taken in, and one of these is cancelled and done again."""
    encoding(run, output)
    until(lambda: len(states(output)) == FILES and len(pending(output)) >= 2, "files that wait")
    first, second, *_ = pending(output)
    running = next(name.decode() for name, state in states(output).items() if state is JobState.RUNNING)
    assert asked("jobs", "cancel", first, second, "--output", output).startswith("2 of 2")
    assert {states(output)[name.encode()] for name in (first, second)} == {JobState.CANCELLED}
    jobs = tmp_path / "jobs.json"
    far = 4_000_000_000  # so that nothing becomes of them here
    more = [
        {"key": "more", "inputs": ["elsewhere.mp4"], "not_before": far},
        {"key": "later", "inputs": [{"job": "more"}]},
    ]
    jobs.write_text(json.dumps([{"task": "transcode", **job} for job in more]))
    assert asked("submit", jobs, "--output", output).startswith("2 jobs")
    assert json.loads(asked("jobs", "show", "more", "--output", output, "--json"))["origin"] == "submitted"
    assert asked("jobs", "cancel", "later", "--output", output).startswith("1 of 1")
    assert states(output)[b"later"] is JobState.CANCELLED
    said = asked("jobs", "retry", "later", running, "--output", output)
    assert said.startswith("1 of 2")
    assert f"{running} is running." in said
    assert states(output)[b"later"] is JobState.WAITING
    jobs.write_text(json.dumps([{"task": "transcode", "key": "more", "inputs": [{"job": "more"}]}]))
    assert call_here("submit", jobs, "--output", output).returncode == ExitCode.USAGE
    assert call_here("prune", "--output", output, "--export", tmp_path / "x").returncode == ExitCode.TRY_AGAIN
    asked("stop", "--now", "--output", output)
    run.communicate(timeout=DEADLINE_SECONDS)
    # The next run leaves what its user cancelled alone, until it is asked to do that as well.
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    again = ("--input", tmp_path / "in", "--output", output, "--profile", "fast", "--quiet")
    call(*again)
    done = {f"{number}.mp4" for number in range(FILES)}
    assert published(output) & done == done - {first, second}
    assert {states(output)[name.encode()] for name in (first, second)} == {JobState.CANCELLED}
    call(*again, "--retry-failed")
    assert published(output) >= done


def test_an_engine_that_does_not_answer(output: Path, run: subprocess.Popen[str]) -> None:
    """It is told so with its own exit code, and nothing is written behind the run's back."""
    encoding(run, output)
    (name,) = [name for name, state in states(output).items() if state is JobState.RUNNING]
    (output / ".pyprocessor" / "control.sock").unlink()
    refused = call_here("jobs", "cancel", name.decode(), "--output", output)
    assert refused.returncode == ExitCode.TRY_AGAIN
    assert "does not answer" in refused.stderr
    assert states(output)[name] is JobState.RUNNING
