"""What becomes of a run when starting, sealing, removing or the program around it goes wrong."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ChildUnstartable, ExitCode, FailureKind, PublishError
from pyprocessor.inspect import probe as probe_module
from pyprocessor.intake import inspector
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState, Outcome, OutcomeKind, OutputFacts, Profile, Usage
from pyprocessor.profiles import load
from pyprocessor.workers import attempt
from pyprocessor.workers import process as child_module
from pyprocessor.workers.messages import Ended, OfAttempt, Published
from pyprocessor.workers.process import Child, context
from tests.acceptance.command import COMMAND
from tests.process.runs import Recorder, published, request, rows, run, states
from tests.waiting import DEADLINE_SECONDS, until

patched = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""For tests that fork, so that batch processes have what was replaced in this one."""


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Two files, one of them in a folder below."""
    make_clip(tmp_path / "in" / "a.mov")
    make_clip(tmp_path / "in" / "sub" / "b.mov")
    return tmp_path / "in"


def profile(*, stall_seconds: float = 60.0, max_retries: int = 0) -> Profile:
    """The profile `fast` with other ways to deal with errors."""
    fast = load("fast", environment={}).profile
    return replace(fast, errors=replace(fast.errors, stall_seconds=stall_seconds, max_retries=max_retries))


# ---------------------------------------------------------------- starting


class Unwilling:
    """A context whose processes do not start the first `failures` times."""

    def __init__(self, failures: int, error: Exception, *, started_unnoticed: bool = False) -> None:
        self._failures = failures
        self._error = error
        self._started_unnoticed = started_unnoticed
        self._context: Any = context("forkserver")

    def get_start_method(self) -> str:
        return "forkserver"

    def Pipe(self, duplex: bool) -> Any:  # noqa: N802 - the context's own name
        return self._context.Pipe(duplex)

    def Process(self, **arguments: Any) -> Any:  # noqa: N802 - likewise
        process = self._context.Process(**arguments)
        if self._failures:
            self._failures -= 1

            begin = process.start

            def start() -> None:
                if self._started_unnoticed:
                    del process.start  # it is pickled with the rest
                    begin()
                raise self._error

            process.start = start
        return process


def say_hello(connection: Connection, setup: object) -> None:
    """An entry point that says what it was given."""
    connection.send(setup)


def say_pid_and_wait(connection: Connection, setup: str) -> None:
    """An entry point that says its pid and waits for its pipe to close; then it writes its pid to a file."""
    with contextlib.suppress(OSError):  # the parent may be gone
        connection.send(os.getpid())
    with contextlib.suppress(EOFError, ConnectionResetError):
        connection.recv()
    path = Path(setup)
    path.with_name("written").write_text(str(os.getpid()))
    path.with_name("written").replace(path)


def end_with(connection: Connection, setup: int) -> None:
    """An entry point that says nothing: it exits with this code, or dies of this signal if it is negative."""
    if setup < 0:
        os.kill(os.getpid(), -setup)
        time.sleep(DEADLINE_SECONDS)
    sys.exit(setup)


def heard(child: Child) -> list[Any]:
    """All that a child says until its end."""
    said: list[Any] = []

    def ended() -> bool:
        try:
            said.extend(child.receive())
        except EOFError:
            return True
        return False

    until(ended, "the end of the child")
    return said


@pytest.mark.parametrize(
    "error", [EOFError("unexpected EOF"), BlockingIOError(11, "not now"), ConnectionRefusedError()]
)
def test_a_process_that_did_not_start_is_started_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forkserver that was killed is back in a moment, and so may be what the system lacked."""
    monkeypatch.setattr(child_module, "FIRST_PAUSE_SECONDS", 0.001)
    unwilling: Any = Unwilling(child_module.START_TRIES - 1, error)
    child = Child(unwilling, say_hello, 42, "pyprocessor-test")
    assert heard(child) == [42]
    assert child.join(DEADLINE_SECONDS)


def test_a_process_that_was_started_unnoticed_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forkserver is killed in the act: what it started finds nobody at its pipe, and is not taken for the next."""
    monkeypatch.setattr(child_module, "FIRST_PAUSE_SECONDS", 0.001)
    unwilling: Any = Unwilling(1, EOFError("unexpected EOF"), started_unnoticed=True)
    child = Child(unwilling, say_pid_and_wait, str(tmp_path / "ended"), "pyprocessor-test")
    until((tmp_path / "ended").exists, "the end of the unknown process")
    assert (tmp_path / "ended").read_text() != str(child.pid)
    assert child.connection.recv() == child.pid
    child.connection.close()
    assert child.join(DEADLINE_SECONDS)


def test_processes_that_never_start_are_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried for ever, and the same command may be run again."""
    monkeypatch.setattr(child_module, "FIRST_PAUSE_SECONDS", 0.001)
    unwilling: Any = Unwilling(child_module.START_TRIES, BlockingIOError(11, "Resource temporarily unavailable"))
    with pytest.raises(ChildUnstartable, match="Resource temporarily unavailable") as caught:
        Child(unwilling, say_hello, 42, "pyprocessor-test")
    assert caught.value.exit_code == ExitCode.TRY_AGAIN


def wait_for_ever(connection: Connection, setup: object) -> None:
    """An entry point that does not end by itself."""
    connection.send(setup)
    signal.pause()


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_nobody_waits_for_ever_for_a_process_that_does_not_go(method: str) -> None:
    """At exit multiprocessing joins all its processes, also one that hangs in the kernel."""
    child = Child(context(method), wait_for_ever, 42, "pyprocessor-test")
    assert child.connection.poll(DEADLINE_SECONDS)
    assert child.pid in {process.pid for process in multiprocessing.active_children()}
    assert not child.remove_dead(0.0)
    assert child.pid not in {process.pid for process in multiprocessing.active_children()}
    child.kill()
    assert child.remove_dead(DEADLINE_SECONDS)


def test_a_process_that_ends_without_a_word_is_told() -> None:
    """The next one would do the same; one that was killed is another matter."""
    with pytest.raises(ChildUnstartable, match="exit code 3"):
        heard(Child(context(), end_with, 3, "pyprocessor-test"))
    assert heard(Child(context(), end_with, -signal.SIGKILL, "pyprocessor-test")) == []
    assert heard(Child(context(), end_with, 0, "pyprocessor-test")) == []


def greet() -> None:
    """Start a process, and hear its greeting."""
    assert heard(Child(context("forkserver"), say_hello, 42, "pyprocessor-test")) == [42]


@patched
def test_a_fork_of_a_program_starts_processes_too() -> None:
    """As workers of a server do that has used us before it forks them."""
    greet()
    fork = multiprocessing.get_context("fork").Process(target=greet)
    fork.start()
    fork.join(DEADLINE_SECONDS)
    assert fork.exitcode == 0
    greet()


def test_a_daemonic_process_is_told_that_it_cannot_start_any() -> None:
    """As those of a pool of multiprocessing are."""
    with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(ChildUnstartable, match="daemonic"):
        pool.apply(greet)


def test_processes_of_others_have_their_main_module() -> None:
    """Ours do without: it takes time and memory in each. A program that uses multiprocessing finds it as it was."""
    described: Callable[[str], dict[str, Any]] = child_module.spawn.get_preparation_data
    before = set(described("another"))
    context()
    assert set(described("another")) == before
    assert not {"init_main_from_name", "init_main_from_path"} & set(described("pyprocessor-inspector"))


def test_a_program_without_a_guard_runs_once(inputs: Path, tmp_path: Path) -> None:
    """It may call the engine at its top level, without asking whether it is the main module."""
    program = tmp_path / "program.py"
    program.write_text(
        "from tests.process.runs import request, run\n"
        "from pathlib import Path\n"
        "print('begun')\n"
        f"print(run(request(Path({str(inputs)!r}), Path({str(tmp_path / 'out')!r}))).exit_code)\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    told = [line for line in done.stdout.splitlines() if not line.startswith("debug: ")]
    assert (told, done.stderr) == (["begun", "0"], "")
    assert published(tmp_path / "out") == {"a.mp4", "sub/b.mp4"}


ADOPTER = """
import ctypes, os, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
done = subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT)
left = 0
try:
    while os.waitpid(-1, 0):
        left += 1
except ChildProcessError:
    print("exit code", done.returncode, "left", left)
"""
"""Runs a command and tells how many processes, ended or not, nobody had waited for when it ended: it inherits them."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt what others leave behind")
@pytest.mark.parametrize("output", ["out", "in"], ids=["done", "refused"])
def test_no_process_of_ours_outlives_the_command(inputs: Path, tmp_path: Path, output: str) -> None:
    """A service manager finds nothing to kill when the command has ended, whether it worked or refused to."""
    command = [*COMMAND, "--input", str(inputs), "--output", str(tmp_path / output), "--profile", "fast", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", ADOPTER, *command],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    code = ExitCode.OK if output == "out" else ExitCode.USAGE
    assert (done.stdout.splitlines()[-1], done.stderr) == (f"exit code {code:d} left 0", "")


def test_a_caller_that_does_not_wait_for_children_changes_nothing(inputs: Path, tmp_path: Path) -> None:
    """What it ignores is inherited, and the kernel then keeps no exit codes, neither for it nor for the command."""
    careless = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [*COMMAND, "--input", str(inputs), "--output", str(tmp_path / "out"), "--profile", "fast", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", careless, *command],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert published(tmp_path / "out") == {"a.mp4", "sub/b.mp4"}


# ---------------------------------------------------------------- inside a batch process


def refuse(path: bytes, *_: object) -> Any:
    """As `seal` or `discard_attempts` where the folder may not be written."""
    raise PublishError(FailureKind.PERMISSION, f"{os.fsdecode(path)} could not be touched.")


@patched
def test_a_partial_that_cannot_be_removed_ends_one_job(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, standin_ffmpeg: str
) -> None:
    """The job fails for its own reason, its process lives on, and the others are done."""
    monkeypatch.setattr(attempt, "discard_attempts", refuse)
    (inputs / "a.mov").rename(inputs / "standin-fail.mov")
    recorder = Recorder()
    asked = request(inputs, tmp_path / "out", profile=profile(), tool_path=standin_ffmpeg)
    assert run(asked, recorder, start_method="fork").exit_code == ExitCode.SOME_FAILED
    assert states(tmp_path / "out") == {b"standin-fail.mov": JobState.FAILED, b"sub/b.mov": JobState.SUCCEEDED}
    assert rows(tmp_path / "out")[b"standin-fail.mov"].crashes == 0


@patched
def test_an_output_that_cannot_be_sealed_ends_one_job(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused after the verification is told as what it is."""
    monkeypatch.setattr(attempt, "seal", refuse)
    run(request(inputs, tmp_path / "out", profile=profile()), start_method="fork")
    for row in rows(tmp_path / "out").values():
        assert (row.state, row.failure, row.crashes) == (JobState.FAILED, FailureKind.PERMISSION, 0)
        assert row.reason.endswith("could not be touched.")


@patched
def test_a_defect_in_a_batch_process_leaves_its_traceback_in_the_logs(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The process dies, which the engine charges; nothing is shown that is not a sentence."""

    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(attempt.Attempt, "begin", break_down)
    run(request(inputs, tmp_path / "out"), start_method="fork")
    assert set(states(tmp_path / "out").values()) == {JobState.QUARANTINED}
    logs = list((tmp_path / "out" / ".pyprocessor" / "logs").glob("crash-*.log"))
    assert logs
    assert "ZeroDivisionError" in logs[0].read_text()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("change", ["shortened", "gone"])
def test_a_source_that_changed_is_not_blamed(change: str, tmp_path: Path, make_clip, standin_ffmpeg: str) -> None:  # type: ignore[no-untyped-def]
    """What is replaced under way may look damaged in between; the next run takes it up. One that is gone failed."""
    source = make_clip(tmp_path / "in" / "standin-stall.mov")
    recorder = Recorder(on_started=lambda _: source.write_bytes(b"new") if change == "shortened" else source.unlink())
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile(stall_seconds=1.0), tool_path=standin_ffmpeg)
    run(asked, recorder)
    ((_, outcome, _),) = recorder.outcomes
    if change == "gone":
        assert outcome.kind is OutcomeKind.FAILED
    else:
        assert outcome.kind is OutcomeKind.SKIPPED
        assert "The source changed" in outcome.reason


def test_a_shorter_film_in_the_sources_place_is_not_blamed(
    tmp_path: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of which a whole output is made, that lacks what was inspected before."""
    source, other = make_clip(tmp_path / "in" / "clip.mp4", seconds=4.0), make_clip(tmp_path / "other.mp4", seconds=1.0)
    begin = attempt.Attempt.begin

    def replaced(self: attempt.Attempt, *given: Any) -> Any:
        shutil.copyfile(other, source)
        return begin(self, *given)

    monkeypatch.setattr(attempt.Attempt, "begin", replaced)
    recorder = Recorder()
    run(request(tmp_path / "in", tmp_path / "out"), recorder, start_method="fork")
    ((_, outcome, _),) = recorder.outcomes
    assert (outcome.kind, "The source changed" in outcome.reason) == (OutcomeKind.SKIPPED, True)


@pytest.mark.parametrize(("change", "told"), [("touched", "The source changed"), ("gone", "The source was removed")])
def test_what_was_made_of_another_source_is_not_kept(
    change: str, told: str, tmp_path: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encode comes to a good end, but by then its source is not what it was."""
    source = make_clip(tmp_path / "in" / "clip.mp4")
    (tmp_path / "in" / "notes.txt").touch()  # the input as a whole is still there
    ended = attempt.Attempt.step_ended

    def then_change(self: attempt.Attempt, *took: Any) -> None:
        if change == "gone":
            source.unlink()
        else:
            os.utime(source, (1, 1))
        ended(self, *took)

    monkeypatch.setattr(attempt.Attempt, "step_ended", then_change)
    recorder = Recorder()
    run(request(tmp_path / "in", tmp_path / "out"), recorder, start_method="fork")
    ((_, outcome, _),) = recorder.outcomes
    assert (outcome.kind, outcome.reason[: len(told)]) == (OutcomeKind.SKIPPED, told)
    assert published(tmp_path / "out") == set()


@patched
def test_messages_of_another_attempt_change_nothing(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was given up on may still send something about a job that another attempt has."""
    send = Connection.send_bytes

    def with_stale_ones(self: Connection, told: bytes) -> None:
        failed = Outcome(OutcomeKind.FAILED, "of another attempt", FailureKind.CRASH)
        about = [message for message in pickle.loads(told) if isinstance(message, OfAttempt)]
        stale = [Ended(message.job_id, "00000000", failed, None) for message in about]
        stale += [
            Published(message.job_id, "00000000", OutputFacts(0, 0, None, 0, 0, 0, None), Usage(0.0, 0.0, 0))
            for message in about
        ]
        send(self, pickle.dumps((*stale, *pickle.loads(told))))

    monkeypatch.setattr(Connection, "send_bytes", with_stale_ones)
    recorder = Recorder()
    assert run(request(inputs, tmp_path / "out"), recorder, start_method="fork").exit_code == ExitCode.OK
    assert [outcome.kind for _, outcome, _ in recorder.outcomes] == [OutcomeKind.SUCCEEDED] * 2
    assert published(tmp_path / "out") == {"a.mp4", "sub/b.mp4"}


def test_a_retry_is_told_once_and_kept(inputs: Path, tmp_path: Path, standin_ffmpeg: str) -> None:
    """Listeners get it as the end of an attempt, without a second notice; the journal keeps it."""
    (inputs / "sub" / "b.mov").rename(inputs / "sub" / "standin-first-segv.mov")
    recorder = Recorder()
    asked = request(inputs, tmp_path / "out", profile=profile(max_retries=1), tool_path=standin_ffmpeg)
    # Spawned processes have today's environment, which the stand-in needs; a forkserver has that of its start.
    assert run(asked, recorder, start_method="spawn").exit_code == ExitCode.OK
    (retried,) = [outcome for _, outcome, again in recorder.outcomes if again]
    assert "standin-first-segv.mov" not in retried.reason
    assert not [text for _, text in recorder.notices if "tried again" in text]
    with JournalReader.read_only(os.fsencode(tmp_path / "out" / ".pyprocessor")) as journal:
        kept = [event.text for event in journal.events() if "tried again" in event.text]
    assert len(kept) == 1
    assert kept[0].startswith("sub/standin-first-segv.mov: ")


@patched
@pytest.mark.parametrize("frozen", ["one.mov", None])
def test_an_inspector_that_goes_silent_is_replaced(
    frozen: str | None,
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """Over one file, that file fails as stalled and all others are done; over the listing, the run says so and ends."""
    make_clip(inputs / "one.mov")
    probe, walk = probe_module.probe, inspector.walk

    def hang_over_one(path: bytes, **more: Any) -> Any:
        if path.endswith(b"one.mov"):
            signal.pause()
        return probe(path, **more)

    def hang_at_once(*arguments: Any) -> Any:
        signal.pause()
        return walk(*arguments)

    if frozen is None:
        monkeypatch.setattr(inspector, "walk", hang_at_once)
    else:
        monkeypatch.setattr(probe_module, "probe", hang_over_one)
    asked = profile()
    asked = replace(asked, errors=replace(asked.errors, inspect_timeout_seconds=8.0))
    recorder = Recorder()
    result = run(request(inputs, tmp_path / "out", profile=asked), recorder, start_method="fork")
    assert result.exit_code == ExitCode.SOME_FAILED
    if frozen is None:
        assert any("without an answer" in text for _, text in recorder.notices)
    else:
        assert published(tmp_path / "out") == {"a.mp4", "sub/b.mp4"}
        row = rows(tmp_path / "out")[b"one.mov"]
        assert (row.state, row.failure) == (JobState.FAILED, FailureKind.STALL)


def test_what_is_preloaded_exists() -> None:
    """A forkserver passes over a name that it cannot import without a word."""
    imports = "\n".join(f"import {name}" for name in child_module.PRELOADED)
    # In another process: the first of them ignores SIGINT.
    subprocess.run([sys.executable, "-c", imports], check=True, timeout=DEADLINE_SECONDS)
