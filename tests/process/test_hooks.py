"""Hooks of real runs: what they are told, and that none of them can hold, harm or be hijacked by anything."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pyprocessor.engine.hooks import AT_ONCE, MOST_WAITING, Call, Hooks
from pyprocessor.errors import ExitCode
from pyprocessor.models import HookSettings, JobState, Profile
from pyprocessor.profiles import load
from pyprocessor.state.job_logs import HOOKS_LOG_NAME
from tests.process.runs import Recorder, request, run, states
from tests.waiting import until


def profile(**hooks: object) -> Profile:
    """The profile `fast` with these hooks."""
    return replace(load("fast", environment={}).profile, hooks=HookSettings(**hooks))  # type: ignore[arg-type]


def python(code: str, *words: str) -> tuple[str, ...]:
    """The words that run this code in Python."""
    return (sys.executable, "-c", code, *words)


def recording(path: Path) -> tuple[str, ...]:
    """A hook that appends its variables, as a line of JSON, and complains on a standard input that is open."""
    return python(
        "import json, os, sys\n"
        "names = {os.fsdecode(k): v.hex() for k, v in os.environb.items() if k.startswith(b'PYPROCESSOR_')}\n"
        "assert sys.stdin.read() == ''\n"
        "open(sys.argv[1], 'a').write(json.dumps(names) + '\\n')",
        os.fspath(path),
    )


def recorded(path: Path) -> list[dict[str, bytes]]:
    """The calls that were made, without the prefix of their variables."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [
        {name.removeprefix("PYPROCESSOR_"): bytes.fromhex(value) for name, value in json.loads(line).items()}
        for line in lines
    ]


def test_each_file_and_the_run_are_told(tmp_path: Path, make_clip, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Success, failure and end; names with `;`, `$()`, quotes, a newline and bytes that are no text arrive as data."""
    monkeypatch.setenv("PYPROCESSOR_REASON", "why a hook called us")
    folder = tmp_path / "in"
    canary = tmp_path / "owned"
    names = [
        f"a; touch {canary.name}; .mp4".encode(),
        b"$(touch owned) `touch owned`.mp4",
        b"new\nline 'quote' \"x\".mp4",
        b"latin-\xe9.mp4",
    ]
    for name in names:
        make_clip(os.fsdecode(os.path.join(os.fsencode(folder), name)), audio=None)
    (folder / "bad; exit 1.mp4").write_text("not a film")
    done, failed, ended = tmp_path / "done", tmp_path / "failed", tmp_path / "ended"
    hooks = profile(on_success=recording(done), on_failure=recording(failed), on_end=recording(ended))
    recorder = Recorder()
    assert run(request(folder, tmp_path / "out", profile=hooks), recorder).exit_code == ExitCode.SOME_FAILED
    assert not [text for level, text in recorder.notices if "hook" in text]
    told = recorded(done)
    assert {call["SOURCE"] for call in told} == {os.path.join(os.fsencode(folder), name) for name in names}
    assert {call["OUTPUT"] for call in told} == {os.path.join(os.fsencode(tmp_path / "out"), name) for name in names}
    assert {(call["HOOK"], call["OUTCOME"], call["FAILURE"]) for call in told} == {(b"on_success", b"succeeded", b"")}
    (bad,) = recorded(failed)
    assert (bad["OUTCOME"], bad["FAILURE"]) == (b"failed", b"bad_input")
    assert b"is text, not video" in bad["REASON"]
    (end,) = recorded(ended)
    counts = ("EXIT_CODE", "SUCCEEDED", "FAILED", "OUTCOME")
    assert tuple(end[name] for name in counts) == (b"1", b"4", b"1", b"failed")
    assert end["OUTPUT"] == os.fsencode(tmp_path / "out")
    assert "REASON" not in end
    assert not list(tmp_path.rglob("owned"))


def test_a_hook_that_fails_or_is_missing_loses_no_file(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Both are told, what the first printed is in the log with its escapes made harmless, and the file is done."""
    make_clip(tmp_path / "in" / "a.mp4")
    failing = python("import sys; print('oh \\x1b[31mno'); sys.exit(3)")
    recorder = Recorder()
    hooks = profile(on_success=failing, on_end=("/nonexistent/hook",))
    assert run(request(tmp_path / "in", tmp_path / "out", profile=hooks), recorder).exit_code == ExitCode.OK
    assert states(tmp_path / "out") == {b"a.mp4": JobState.SUCCEEDED}
    told = [text for level, text in recorder.notices if level == "warning"]
    assert any("on_success" in text and "exit code 3" in text for text in told)
    assert any("on_end" in text and "could not be started" in text for text in told)
    log = (tmp_path / "out" / ".pyprocessor" / "logs" / os.fsdecode(HOOKS_LOG_NAME)).read_text()
    assert "oh \\x1b[31mno" in log


def test_a_hook_that_hangs_is_ended_with_all_it_started(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """After its time; the run goes on to its end and no process is left."""
    make_clip(tmp_path / "in" / "a.mp4")
    pids = tmp_path / "pids"
    hanging = python(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)",
        os.fspath(pids),
    )
    recorder = Recorder()
    hooks = profile(on_success=hanging, timeout_seconds=10.0)
    assert run(request(tmp_path / "in", tmp_path / "out", profile=hooks), recorder).exit_code == ExitCode.OK
    assert any("took longer than 10 s" in text for _, text in recorder.notices)
    until(lambda: not any(lives(int(pid)) for pid in pids.read_text().split()), "the end of the hook's processes")


@pytest.fixture
def as_the_command_has_it() -> Iterator[None]:
    """SIGUSR1 and SIGUSR2 blocked, as the command has them from its first moment on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def blocked(status: Path) -> set[int]:
    """The signals that /proc said were blocked."""
    mask = next(int(line.split()[1], 16) for line in status.read_text().splitlines() if line.startswith("SigBlk"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def ignored(status: Path) -> set[int]:
    """The signals that /proc said were ignored."""
    mask = next(int(line.split()[1], 16) for line in status.read_text().splitlines() if line.startswith("SigIgn"))
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells")
@pytest.mark.usefixtures("as_the_command_has_it")
def test_what_is_started_has_its_signals(tmp_path: Path, make_clip, ffmpeg_path: str) -> None:  # type: ignore[no-untyped-def]
    """No hook, and no ffmpeg, begins with a signal blocked or ignored that the engine blocks or ignores for itself; but
    ffmpegs ignore SIGHUP, which the kernel sends them where the process that started their batch dies."""
    make_clip(tmp_path / "in" / "a.mp4")
    looking = ("sh", "-c", 'cat /proc/self/status > "$0"')
    hooks = profile(on_success=(*looking, str(tmp_path / "success")), on_end=(*looking, str(tmp_path / "end")))
    wrapper = tmp_path / "ffmpeg"
    wrapper.write_text(f'#!/bin/sh\ncat /proc/self/status > "{tmp_path}/ffmpeg.status"\nexec "{ffmpeg_path}" "$@"\n')
    wrapper.chmod(0o755)
    asked = request(tmp_path / "in", tmp_path / "out", profile=hooks, tool_path=str(wrapper))
    # Spawned processes have today's mask; a forkserver has that of its start.
    assert run(asked, start_method="spawn").exit_code == ExitCode.OK
    before = set(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    assert {signal.SIGUSR1, signal.SIGUSR2} <= before
    for name in ("success", "end", "ffmpeg.status"):
        assert blocked(tmp_path / name) == before - {signal.SIGUSR1, signal.SIGUSR2}, name
        assert signal.SIGINT not in ignored(tmp_path / name), name


def hanging(mark: Path) -> tuple[str, ...]:
    """A hook that says that it has begun, here and in a file, and does not end by itself."""
    return python("import sys, time; print('begun', flush=True); open(sys.argv[1], 'w'); time.sleep(600)", str(mark))


def test_all_hooks_together_hold_the_end_of_a_run_for_as_long_as_one_may_take(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """What the last file's hook has taken of it is not there for that of the run; each has half of it at least."""
    make_clip(tmp_path / "in" / "a.mp4")
    hooks = profile(on_success=hanging(tmp_path / "1"), on_end=hanging(tmp_path / "2"), timeout_seconds=8.0)
    recorder = Recorder()
    assert run(request(tmp_path / "in", tmp_path / "out", profile=hooks), recorder).exit_code == ExitCode.OK
    held = time.time() - (tmp_path / "1").stat().st_mtime
    assert (tmp_path / "2").exists()
    told = [text for level, text in recorder.notices if level == "warning"]
    assert any("ended before its hooks did: 1 call was" in text for text in told)
    assert any("on_end" in text and "took longer than" in text for text in told)
    log = (tmp_path / "out" / ".pyprocessor" / "logs" / os.fsdecode(HOOKS_LOG_NAME)).read_text().splitlines()
    assert ["did not end before the run" in log[0], log[1].strip()] == [True, "begun"]
    assert held < 8.0 + 3.0, "the engine's own end took more than 3 s, or the hooks more than one's time"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("hook", ["on_success", "on_end"])
def test_a_signal_ends_the_wait_for_hooks(
    hook: str,
    number: int,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One is enough: nothing else is left to be finished. The run stays what it was, done."""
    make_clip(tmp_path / "in" / "a.mp4")
    begun = tmp_path / "begun"
    hooks = profile(**{hook: hanging(begun)}, timeout_seconds=120.0)
    recorder, waits = Recorder(), threading.Event()
    wait = Hooks.wait

    def told_of(self: Hooks, most_seconds: float, go_on: Callable[[], bool]) -> None:
        waits.set()
        wait(self, most_seconds, go_on)

    def strike() -> None:
        until(lambda: waits.is_set() and begun.exists(), "a hook to be waited for")
        os.kill(os.getpid(), number)

    monkeypatch.setattr(Hooks, "wait", told_of)
    before = {n: signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)}
    thread = threading.Thread(target=strike)
    thread.start()
    try:
        result = run(request(tmp_path / "in", tmp_path / "out", profile=hooks), recorder)
    finally:
        thread.join()
        for n, handler in before.items():
            signal.signal(n, handler)
    assert result.exit_code == ExitCode.OK
    assert any("1 call was not made or not finished" in text for _, text in recorder.notices)


def command_line(process: psutil.Process) -> str:
    """What it was started with; nothing of one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def lives(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_flood_of_output_is_bounded(tmp_path: Path) -> None:
    """A hook that prints without end is ended after its time, and only the beginning is kept."""
    told: list[str] = []
    settings = HookSettings(on_success=python("while True: print('x' * 1000)"), timeout_seconds=1.0)
    hooks = Hooks(settings, os.fsencode(tmp_path), lambda _, text: told.append(text))
    hooks.add(Call("on_success", "it", {}))
    hooks.finish(lambda: True)
    assert any("took longer" in text for text in told)
    assert (tmp_path / os.fsdecode(HOOKS_LOG_NAME)).stat().st_size < 64 * 1024


def test_only_a_few_run_at_once_and_only_so_many_wait(tmp_path: Path) -> None:
    """The queue is bounded, and what is left out is told once."""
    told: list[str] = []
    settings = HookSettings(on_success=python("import time; time.sleep(600)"))
    hooks = Hooks(settings, os.fsencode(tmp_path), lambda _, text: told.append(text))
    call = Call("on_success", "it", {})
    for _ in range(MOST_WAITING + 5):
        hooks.add(call)
    assert len(told) == 1
    hooks.poll(time.monotonic())
    started = [child for child in psutil.Process().children() if "time.sleep(600)" in command_line(child)]
    hooks.finish(lambda: False)
    assert 1 <= len(started) <= AT_ONCE
    assert f"{MOST_WAITING + 5} calls were not made" in told[-1]
    assert not [child for child in started if child.is_running()]


@pytest.mark.parametrize("variable", ["PYPROCESSOR_HOOKS_ON_SUCCESS", "PYPROCESSOR_HOOKS_ON_END"])
def test_no_variable_makes_a_hook(variable: str) -> None:
    """Hooks come from files that the user names, never from the environment."""
    assert load("fast", environment={variable: "touch,owned"}).profile.hooks == HookSettings()
