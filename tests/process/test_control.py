"""Steering real runs from outside: status, pause, resume and stop over the socket, by signals, and with neither."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyprocessor.engine import monitor, stopping
from pyprocessor.errors import ExitCode
from pyprocessor.governor.governor import Decision, Governed, govern
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState, Reading
from pyprocessor.profiles import Overrides, load
from tests.acceptance.command import COMMAND, assert_plain, begin, call, call_here
from tests.long import long_after
from tests.process.runs import Recorder, partials, published, request, rows, run_in_thread, states
from tests.process.steered import ask, encoding, ffmpegs, gone, slow_ffmpeg, standing, state
from tests.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs are steered over local sockets and signals")
ONE_AT_A_TIME = ("--profile", "fast", "--batch-mode", "disabled")


@pytest.fixture(scope="session")
def real_time_ffmpeg(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An ffmpeg that encodes no faster than films play."""
    return slow_ffmpeg(tmp_path_factory.mktemp("ffmpeg") / "slow", ffmpeg_path, 1.0)


@pytest.fixture
def slowly(real_time_ffmpeg: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files take so long that they are found at work, which a slow preset does at the cost of the machine."""
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", real_time_ffmpeg)


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Three clips; the first, being the longest, is encoded first."""
    for number, seconds in enumerate((6.0, 1.0, 1.0)):
        make_clip(tmp_path / "in" / f"{number}.mp4", seconds=seconds, audio=None)
    return tmp_path / "in"


@pytest.fixture
def film(tmp_path: Path, make_clip, ffmpeg_path: str, slowly: None) -> Path:  # type: ignore[no-untyped-def]
    """One file that takes five minutes: far longer than what tests do meanwhile."""
    part = make_clip(tmp_path / "part.mp4", seconds=6.0, audio=None)
    (tmp_path / "in").mkdir()
    again = ("-stream_loop", "49", "-i", str(part), "-c", "copy", str(tmp_path / "in" / "film.mp4"))
    subprocess.run([ffmpeg_path, "-nostdin", "-loglevel", "error", *again], check=True)
    return tmp_path / "in"


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin runs that are killed at the end, should they still be there."""
    begun: list[subprocess.Popen[str]] = []

    def run(inputs: Path, output: Path, *more: str) -> subprocess.Popen[str]:
        begun.append(begin("--input", inputs, "--output", output, *ONE_AT_A_TIME, *more))
        return begun[-1]

    yield run
    for process in begun:
        process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate()


def stopped(process: psutil.Process) -> bool:
    return bool(process.status() == psutil.STATUS_STOPPED)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for its end; its exit code and what it said."""
    said, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert "Traceback" not in said, said
    return process.returncode, said


def assert_ended(process: subprocess.Popen[str], exit_code: int) -> str:
    """Wait for its end, which is with this exit code; what it said."""
    code, said = ended(process)
    assert code == exit_code, said
    return said


def pauses(output: Path) -> list[str]:
    """When it was paused and resumed, of all that the journal tells."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return [event.kind for event in journal.events() if event.kind in ("paused", "resumed")]


def frames(ffmpeg: str, path: Path) -> bytes:
    """A hash of every decoded frame."""
    argv = [ffmpeg, "-nostdin", "-loglevel", "error", "-i", str(path), "-f", "framemd5", "-"]
    return subprocess.run(argv, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_SECONDS).stdout


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for the signal."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("what a process catches is read from /proc")
    mask = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask.split()[1], 16) & 1 << (number - 1))


def holds_back(pid: int) -> bool:
    """Whether a process blocks SIGINT, or has begun to answer signals since, or has ended."""
    status = Path(f"/proc/{pid}/status")
    if not Path("/proc/self/status").exists():
        pytest.skip("what a process blocks is read from /proc")
    try:
        lines = dict(line.split(":") for line in status.read_text().splitlines() if line.startswith("Sig"))
    except FileNotFoundError:
        return True
    return bool(int(lines["SigBlk"], 16) & 1 << (signal.SIGINT - 1)) or catches(pid, signal.SIGTERM)


def test_a_frozen_run_goes_on_as_if_nothing_had_been(
    inputs: Path,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    make_clip,  # type: ignore[no-untyped-def]
    ffmpeg_path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`pause --now` stops the ffmpeg, `resume` lets it go on, and outputs equal those of an undisturbed run. All of
    it is seen by `status`, in the progress lines, in the log and in the journal, and nothing is charged."""
    still, output = tmp_path / "undisturbed", tmp_path / "out"
    # Longer than the call that freezes it takes.
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.3))
    process = start(inputs, output, "--progress-interval", "0.1")
    (ffmpeg,) = encoding(process, output)
    assert standing(output)["next"]["reason"] == "as many files run as may at once (1)"
    assert_plain(call("pause", "--output", output, "--now"), 0, "are suspended")
    until(lambda: stopped(ffmpeg), "the ffmpeg to stop")
    told = call_here("status", "--output", output)
    assert_plain(told, 0, "paused; running files are suspended", f"process {process.pid}", "still", "0 of 3 files")
    assert "waits because the run is paused" in told.stdout
    document = json.loads(call_here("status", "--output", output, "--json").stdout)
    assert (document["state"], document["left"], document["active"]) == ("paused_now", 3, 1)
    assert document["files"][0]["still"]
    assert document["next"]["name"] in ("1.mp4", "2.mp4")
    assert document["next"]["reason"] == "the run is paused"
    assert "3 files; the run is at work on them" in call_here("report", "--output", output).stdout
    cpu = sum(ffmpeg.cpu_times()[:2])
    until(lambda: standing(output)["snapshot"]["elapsed_seconds"] > document["elapsed_seconds"] + 2, "time to pass")
    assert stopped(ffmpeg)
    assert sum(ffmpeg.cpu_times()[:2]) == cpu
    assert standing(output)["files"][0]["running_seconds"] == document["files"][0]["running_seconds"]
    assert_plain(call_here("pause", "--output", output), 0, "already")
    assert stopped(ffmpeg), "a plain pause does not wake what stands still"
    assert_plain(call("resume", "--output", output), 0, "goes on")
    said = assert_ended(process, 0)
    assert "Paused: running files are suspended" in said
    assert "| ETA: paused\n" in said
    assert "Resumed" in said
    assert pauses(output) == ["paused", "resumed"]
    assert {(row.attempts, row.retries_charged, row.crashes, row.sheds) for row in rows(output).values()} == {
        (1, 0, 0, 0)
    }
    (log,) = (output / ".pyprocessor" / "logs").glob("run-*.log")
    assert "Paused: " in log.read_text()
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    assert_plain(call("--input", inputs, "--output", still, *ONE_AT_A_TIME), 0)
    for name in ("0.mp4", "1.mp4", "2.mp4"):
        assert frames(ffmpeg_path, output / name) == frames(ffmpeg_path, still / name)


@pytest.mark.usefixtures("slowly")
def test_a_plain_pause_finishes_what_runs_and_starts_nothing(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running file gets its output, the others wait until resumed, and the next run is not paused."""
    output = tmp_path / "out"
    process = start(inputs, output)
    encoding(process, output)
    assert_plain(call_here("pause", "--output", output), 0, "running files are finished")
    at_rest = {JobState.PENDING, JobState.SUCCEEDED}
    until(lambda: set(states(output).values()) <= at_rest, "the running file to be published and the rest put back")
    done = standing(output)["snapshot"]["done"]
    elapsed = standing(output)["snapshot"]["elapsed_seconds"]
    until(lambda: standing(output)["snapshot"]["elapsed_seconds"] > elapsed + 2, "time to pass")
    assert (state(output), standing(output)["snapshot"]["done"]) == ("paused", done)
    assert done < 3
    assert ffmpegs(process.pid) == []
    assert len(published(output)) == done
    assert_plain(call_here("stop", "--output", output), 0)
    assert_ended(process, 130)
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    assert_plain(call("--input", inputs, "--output", output, *ONE_AT_A_TIME), 0)
    assert len(published(output)) == 3


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_signals_pause_and_resume(inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """SIGUSR1 and SIGUSR2 do what the commands do."""
    output = tmp_path / "out"
    process = start(inputs, output)
    encoding(process, output)
    process.send_signal(signal.SIGUSR1)
    until(lambda: state(output) == "paused", "the pause")
    process.send_signal(signal.SIGUSR2)
    assert_ended(process, 0)
    assert len(published(output)) == 3


def test_a_pause_before_the_run_can_hear_it_is_kept(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """SIGUSR1 in the first moments ends nothing; the run begins paused."""
    output = tmp_path / "out"
    process = start(inputs, output)
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("what a process blocks is read from /proc")

    def blocks() -> bool:
        mask = next(line for line in status.read_text().splitlines() if line.startswith("SigBlk:"))
        return bool(int(mask.split()[1], 16) & 1 << (signal.SIGUSR1 - 1))

    while not blocks():  # without a pause, since it is so for a moment only
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGUSR1)
    until(lambda: state(output) == "paused", "the run to begin paused")
    assert rows(output) == {} or JobState.SUCCEEDED not in states(output).values()
    assert ask(output, "resume") == {"ok": True, "text": f"The run (process {process.pid}) goes on."}
    assert_ended(process, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_the_run_can_hear_it_ends_in_a_sentence(
    number: signal.Signals,
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[str]],
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """Neither a traceback nor a silent death, whatever the moment, and the same command does all of it afterwards."""
    output, clip = tmp_path / "out", make_clip(tmp_path / "in" / "a.mp4", size="64x48", audio=None)
    for pause_seconds in (0.0, 0.05, 0.1, 0.2, 0.4):
        process = start(clip.parent, output, "--grace", "0")
        # From here on each moment is as good as another: the exit code is the signal's, or the run was done before.
        until(partial(catches, process.pid, signal.SIGTERM), "the command to begin")
        time.sleep(pause_seconds)
        process.send_signal(number)
        if number == signal.SIGINT:
            time.sleep(pause_seconds)
            process.send_signal(number)
        code, said = ended(process)
        assert code in (128 + number, 0), said
        assert said != "" or code == 0
    assert_plain(call("--input", clip.parent, "--output", output, *ONE_AT_A_TIME), 0)
    assert published(output) == {"a.mp4"}
    assert partials(output) == []


@long_after(1, "interrupts", [2, 1, 3])
def test_ctrl_c_at_any_moment_ends_in_one_sentence(interrupts: int, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """From the command's first moment to its last: as a terminal sends it, to all processes of ours."""
    clip = make_clip(tmp_path / "in" / "a.mp4", seconds=1.0, size="64x48", audio=None)
    chance = random.Random(interrupts)
    for number in range(6):
        process = begin("--input", clip, "--output", tmp_path / f"out{number}", *ONE_AT_A_TIME)
        until(partial(holds_back, process.pid), "the command to begin")
        for pause_seconds in (chance.uniform(0, 1) for _ in range(interrupts)):
            time.sleep(pause_seconds)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        code, said = ended(process)
        assert code in (ExitCode.INTERRUPTED, ExitCode.OK), said
        assert said.count("Interrupted") <= 1
        assert code == ExitCode.OK or "Interrupted" in said or "Stopping" in said, said
        assert "Exception" not in said


@pytest.mark.usefixtures("slowly")
def test_sigterm_leaves_time_to_finish(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Within the grace the running file is finished; the others wait for the same command; exit code 143."""
    output = tmp_path / "out"
    process = start(inputs, output, "--grace", "1h")
    encoding(process, output)
    process.terminate()
    said = assert_ended(process, 143)
    assert "have 3600 s to finish" in said
    done = list(states(output).values()).count(JobState.SUCCEEDED)
    assert 1 <= done < 3
    assert len(published(output)) == done


@long_after(1, "seconds", ["0", "1s"])
def test_after_the_grace_files_are_ended(
    seconds: str, film: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """What is not done in time is ended, uncharged, and waits; nothing is left running or half made."""
    output = tmp_path / "out"
    process = start(film, output, "--grace", seconds)
    running = encoding(process, output)
    process.terminate()
    said = assert_ended(process, 143)
    assert psutil.wait_procs(running, timeout=DEADLINE_SECONDS)[1] == []
    (row,) = rows(output).values()
    assert (row.state, row.retries_charged, row.crashes) == (JobState.PENDING, 0, 0)
    assert partials(output) == []
    if seconds != "0":
        assert "The time to finish is over" in said


def test_a_second_sigterm_ends_at_once(film: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """Whoever cannot wait says so again; a frozen file is no obstacle."""
    output = tmp_path / "out"
    process = start(film, output, "--grace", "1h")
    running = encoding(process, output)
    assert ask(output, "pause", now=True) is not None
    until(lambda: stopped(running[0]), "the ffmpeg to stop")
    process.terminate()
    until(lambda: state(output) == "draining", "the first signal to be handled")
    until(lambda: not stopped(running[0]), "the ffmpeg to go on, so that it can finish")
    process.terminate()
    assert_ended(process, 143)
    assert psutil.wait_procs(running, timeout=DEADLINE_SECONDS)[1] == []


@pytest.mark.long
def test_the_governor_does_not_wake_what_the_user_froze(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a governor that stops and wakes the file by turns at every look, a frozen file stands still all along."""
    turns: list[str] = []

    def restless(governed: Governed, reading: Reading, running: Sequence[RunningJob], *settings: Any) -> Decision:
        decision = govern(governed, reading, running, *settings)
        if not running:
            return decision
        ids, stop = tuple(file.job_id for file in running), not running[0].suspended
        turns.append("suspend" if stop else "resume")
        return replace(decision, suspend=ids if stop else (), resume=() if stop else ids)

    monkeypatch.setattr(monitor, "govern", restless)
    profile = load("fast", environment={}, overrides=Overrides(batch_enabled=False)).profile
    output = tmp_path / "out"
    thread, results = run_in_thread(request(film, output, profile=profile), Recorder())
    until(lambda: standing(output).get("files"), "the file to be encoded")
    (ffmpeg,) = until(lambda: ffmpegs(os.getpid()), "its ffmpeg")
    until(lambda: stopped(ffmpeg), "the governor to stop it")
    until(lambda: not stopped(ffmpeg), "the governor to wake it")
    assert ask(output, "pause", now=True) is not None

    def stands_still_through(count: int) -> bool:
        upto = len(turns) + count
        while len(turns) < upto:
            if not stopped(ffmpeg):
                return False
            time.sleep(0.01)
        return True

    # That it is stopped once may be the governor's doing still, whose waking is under way.
    until(lambda: stands_still_through(8), "it to be frozen")
    seen = len(turns)
    assert stands_still_through(16)
    assert {"suspend", "resume"} == set(turns[seen:])
    assert ask(output, "resume") is not None
    until(lambda: not stopped(ffmpeg), "it to go on")
    assert ask(output, "stop", now=True) is not None
    thread.join(DEADLINE_SECONDS)
    assert [result.exit_code for result in results] == [130]


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_the_death_of_the_forkserver_is_no_end_of_what_is_frozen(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """The kernel hangs up on a group with stopped members whose last tie is gone; the batch process lives on."""
    output = tmp_path / "out"
    process = start(inputs, output)
    (ffmpeg,) = encoding(process, output)
    worker = ffmpeg.parent()
    assert worker is not None
    server = worker.parent()
    assert server is not None
    if server.pid == process.pid:
        pytest.skip("this system starts batch processes without a forkserver")
    assert ask(output, "pause", now=True) is not None
    until(lambda: stopped(ffmpeg), "the file to be frozen")
    server.kill()
    until(lambda: gone(server), "the forkserver to be gone")
    assert ask(output, "resume") is not None
    assert_ended(process, 0)
    assert {(row.attempts, row.crashes) for row in rows(output).values()} == {(1, 0)}


@pytest.mark.long
def test_time_spent_frozen_is_no_stall(film: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    """A file that stands still for longer than a stall may last is not ended for it."""
    profile = tmp_path / "stall.yaml"
    profile.write_text("extends: fast\nerror_handling: {stall_seconds: 6, max_retries: 0}\n")
    output = tmp_path / "out"
    process = start(film, output, "--profile", str(profile))
    (ffmpeg,) = encoding(process, output)
    assert ask(output, "pause", now=True) is not None
    until(lambda: stopped(ffmpeg), "the file to be frozen")
    elapsed = standing(output)["snapshot"]["elapsed_seconds"]
    until(lambda: standing(output)["snapshot"]["elapsed_seconds"] > elapsed + 8, "a stall's time to pass")
    assert ask(output, "resume") is not None
    until(lambda: not stopped(ffmpeg), "the file to go on")
    assert ffmpeg.is_running()
    assert standing(output)["snapshot"]["failed"] == 0
    assert ask(output, "stop", now=True) is not None
    assert_ended(process, 130)
    assert [row.state for row in rows(output).values()] == [JobState.PENDING]


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_stop_ends_in_the_manner_asked_for(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop` twice still finishes the running file, a pause then comes too late, and `stop --now` of a next run does
    not finish any."""
    output = tmp_path / "out"
    process = start(inputs, output)
    encoding(process, output)
    assert ask(output, "pause", now=True) is not None
    assert_plain(call_here("stop", "--output", output), 0, "finishes its running files")
    again = ask(output, "stop")
    assert again is None or again["ok"]
    late = call_here("pause", "--output", output)
    assert late.returncode in (75, 3), late.stderr
    assert_ended(process, 130)
    done = len(published(output))
    assert 1 <= done < 3
    process = start(inputs, output)
    encoding(process, output)
    assert ask(output, "pause", now=True) is not None
    assert_plain(call_here("stop", "--output", output, "--now"), 0, "ends its files")
    assert_ended(process, 130)
    assert len(published(output)) == done
    assert partials(output) == []
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    assert_plain(call("--input", inputs, "--output", output, *ONE_AT_A_TIME), 0)


@pytest.mark.usefixtures("slowly")
def test_where_nothing_runs(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder: 2. A finished run: told with its exit code, 3. A killed one: told as such, 3; its stale socket hinders
    nobody."""
    output = tmp_path / "out"
    for command in ("status", "pause", "resume", "stop"):
        assert_plain(call_here(command, "--output", output), 2, "holds no journal")
    process = start(inputs, output)
    encoding(process, output)
    process.kill()
    process.communicate()
    assert (output / ".pyprocessor" / "control.sock").exists()
    assert_plain(call_here("status", "--output", output), 3, "Nothing runs", "was killed", "left")
    for command in ("pause", "resume", "stop"):
        assert_plain(call_here(command, "--output", output), 3, "Nothing runs")
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    assert_plain(call("--input", inputs, "--output", output, *ONE_AT_A_TIME), 0)
    assert not (output / ".pyprocessor" / "control.sock").exists()
    assert_plain(call_here("status", "--output", output), 3, "Nothing runs", "exit code 0: all done", "3 succeeded")
    document = json.loads(call_here("status", "--output", output, "--json").stdout)
    assert (document["running"], document["last_run"]["exit_code"], document["left"]) == (False, 0, 0)


@pytest.mark.parametrize("journal", [None, b""], ids=["none", "begun"])
def test_without_a_journal_nothing_is_known_to_run(journal: bytes | None, tmp_path: Path) -> None:
    """A first run that has only just been started, or a journal that was removed, is no wrong command line and no
    broken disk; `report`, which has nothing to tell, says so."""
    state = tmp_path / "out" / ".pyprocessor"
    state.mkdir(parents=True)
    if journal is not None:
        (state / "journal.sqlite3").write_bytes(journal)
    for command in ("status", "pause", "resume", "stop"):
        assert_plain(call_here(command, "--output", tmp_path / "out"), 3, "Nothing runs")
    document = json.loads(call_here("status", "--output", tmp_path / "out", "--json").stdout)
    assert (document["running"], document["last_run"]) == (False, None)
    assert_plain(call_here("report", "--output", tmp_path / "out"), 2, "no journal")


@pytest.mark.long
def test_a_run_without_its_socket_is_reached_by_signals(
    film: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """The socket was removed: status tells what is in the journal, and all but `pause --now` still works."""
    output = tmp_path / "out"
    process = start(film, output, "--grace", "1h")
    encoding(process, output)
    (output / ".pyprocessor" / "control.sock").unlink()
    assert_plain(call_here("status", "--output", output), 0, f"process {process.pid}", "does not answer", "1 left")
    assert_plain(call_here("pause", "--output", output), 0, "by a signal")
    assert pauses(output) == ["paused"]
    assert_plain(call_here("pause", "--output", output, "--now"), 75, "without --now")
    assert_plain(call_here("resume", "--output", output), 0, "by a signal")
    assert pauses(output) == ["paused", "resumed"]
    assert_plain(call_here("stop", "--output", output), 0, "by a signal")
    assert_plain(call_here("stop", "--output", output), 0, "stopping already")
    assert process.poll() is None
    assert_plain(call_here("stop", "--output", output, "--now"), 0, "by signals")
    assert_ended(process, 143)
    assert partials(output) == []


def test_a_run_that_can_have_no_socket_goes_on_and_says_so(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """What has the socket's name stays, the reason is told once, and the exit code is as ever."""
    output = tmp_path / "out"
    (output / ".pyprocessor" / "control.sock").mkdir(parents=True)
    code, said = ended(start(inputs, output))
    assert code == 0, said
    assert said.count("cannot be asked how it stands") == 1
    assert len(published(output)) == 3
    assert (output / ".pyprocessor" / "control.sock").is_dir()


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_hostile_callers_hold_up_nothing(
    inputs: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Garbage, a line of a megabyte, half a line and 200 idle connections beside a real run."""
    output = tmp_path / "out"
    process = start(inputs, output)
    encoding(process, output)
    address = str(output / ".pyprocessor" / "control.sock")
    with contextlib.ExitStack() as stack:
        for number in range(200):
            caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            caller.settimeout(DEADLINE_SECONDS)
            with contextlib.suppress(OSError):
                caller.connect(address)
                caller.sendall((b"", b"\xff\x00garbage\n", b"x" * (1 << 20), b'{"do": "sto')[number % 4])
        told = call_here("status", "--output", output)
        assert told.returncode in (0, 3), told.stderr
        assert_ended(process, 0)
    assert len(published(output)) == 3


@long_after(1, "name", [b"n" * 120, b"latin-\xe9"], ids=["long", "not UTF-8"])
def test_outputs_of_any_name_can_be_asked(
    name: bytes, film: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """Paths that no socket's address can hold, and bytes that are no text."""
    output = Path(os.fsdecode(os.path.join(bytes(tmp_path), name, name)))
    process = start(film, output)
    encoding(process, output)
    mode = os.stat(os.fsencode(output) + b"/.pyprocessor/control.sock").st_mode & 0o777
    assert mode == 0o600
    assert_plain(call_here("status", "--output", output), 0, "State:  running", "film.mp4")
    assert_plain(call_here("stop", "--output", output, "--now"), 0)
    assert_ended(process, 130)


@pytest.mark.usefixtures("slowly")
def test_a_run_under_nohup_survives_its_terminal(inputs: Path, tmp_path: Path) -> None:
    """The terminal is closed while it works, which the shell does not survive; the run does, and does all."""
    output = tmp_path / "out"
    main, terminal = pty.openpty()
    name = os.ttyname(terminal)
    arguments = ["--input", str(inputs), "--output", str(output), *ONE_AT_A_TIME]
    # A session leader that opens a terminal has it; hanging up reaches its whole group, the run among it.
    script = 'exec <"$0" >"$0" 2>&1; nohup "$@" & echo $! >"$PIDFILE"; wait'
    pid_file = tmp_path / "pid"
    shell = subprocess.Popen(
        ["sh", "-c", script, name, *COMMAND, *arguments],
        env={**os.environ, "PIDFILE": str(pid_file)},
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(terminal)
    pid = int(until(lambda: pid_file.exists() and pid_file.read_text().strip(), "the run's pid"))
    run = psutil.Process(pid)
    until(lambda: standing(output).get("files"), "a file to be encoded")
    os.close(main)
    assert shell.wait(DEADLINE_SECONDS) == -signal.SIGHUP
    until(lambda: gone(run), "the run to be done")
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert len(published(output)) == 3


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_the_end_of_its_time_ends_a_pause(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands still is finished, and the run ends, instead of holding the output for ever."""
    clock = [datetime(2026, 3, 3, 21, 0)]  # noqa: DTZ001 - local time, as the engine takes it
    monkeypatch.setattr(stopping, "local_time", lambda: clock[0])
    profile = load("fast", overrides=Overrides(batch_enabled=False, until="23:00"), environment={}).profile
    output, recorder = tmp_path / "out", Recorder()
    thread, results = run_in_thread(request(inputs, output, profile=profile), recorder)
    until(lambda: standing(output).get("files"), "a running file")
    answer = ask(output, "pause", now=True)
    assert answer is not None
    assert answer["ok"]
    until(lambda: [f.get("still") for f in standing(output).get("files", ())] == [True], "a file that stands still")
    clock[0] += timedelta(hours=2)
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert [result.exit_code for result in results] == [ExitCode.TRY_AGAIN]
    assert any("The pause is over" in text for _, text in recorder.notices)
    assert len(published(output)) == 1
    assert partials(output) == []


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
@pytest.mark.parametrize("overrun", ["finish", "requeue"])
def test_a_window_that_closes_over_what_stands_still(
    overrun: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that watches goes on, and its pause holds: what stands still is finished after `resume`, as is told, or is
    ended and waits for the next window. State and sentence agree."""
    clock = [datetime(2026, 3, 3, 23, 0)]  # noqa: DTZ001 - local time, as the engine takes it
    monkeypatch.setattr(stopping, "local_time", lambda: clock[0])
    chosen = Overrides(batch_enabled=False, window="22:00-06:00", overrun=overrun)
    profile = load("fast", overrides=chosen, environment={}).profile
    output, recorder = tmp_path / "out", Recorder()
    thread, results = run_in_thread(request(inputs, output, profile=profile, watch=True), recorder)
    try:
        until(lambda: standing(output).get("files"), "a running file")
        ask(output, "pause", now=True)
        until(lambda: [f.get("still") for f in standing(output).get("files", ())] == [True], "a file that stands still")
        clock[0] += timedelta(hours=8)
        (told,) = until(
            lambda: [text for _, text in recorder.notices if "has closed" in text], "the end of the window to be told"
        )
        if overrun == "finish":
            assert "running files, which are suspended, are finished once `pyprocessor resume` lets them go on" in told
            assert [f["still"] for f in standing(output)["files"]] == [True]
            assert state(output) == "paused_now"
            ask(output, "resume")
            until(lambda: len(published(output)) == 1, "the file to be finished")
        else:
            assert "running files are ended and wait" in told
            until(lambda: not standing(output).get("files"), "the file to be ended")
            assert state(output) == "paused_now"
            ask(output, "resume")
        until(lambda: state(output) == "waiting", "the next window to be waited for")
        assert len(published(output)) == (overrun == "finish")
        clock[0] += timedelta(hours=16)
        until(lambda: len(published(output)) == 3, "the rest to be done in the next window")
    finally:
        ask(output, "stop", now=True)
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert [result.exit_code for result in results] == [ExitCode.OK]
    assert partials(output) == []
