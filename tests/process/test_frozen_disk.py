"""An output whose disk takes no writes for a while: the engine hangs in its journal, and can be asked and told all the
same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pyprocessor.control.client import Request, Verb, ask
from pyprocessor.control.stall_responder import INFORM_SECONDS
from pyprocessor.engine import loop
from pyprocessor.engine.recovery import Note
from pyprocessor.errors import ExitCode
from pyprocessor.models import JobState
from tests.acceptance.command import COMMAND, assert_plain, begin, call
from tests.process.disks import MIB, frozen, loop_disk
from tests.process.runs import Recorder, has_begun, partials, published, request, run_in_thread, states
from tests.process.skips import disk_or_skip
from tests.process.steered import below, gone, slow_ffmpeg, standing
from tests.waiting import DEADLINE_SECONDS, until


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    """A folder on an ext4 of its own."""
    with disk_or_skip(tmp_path / "disk", 64 * MIB, loop_disk) as point:
        yield point / "out"


@pytest.fixture
def inputs(tmp_path: Path, make_clip, ffmpeg_path: str, monkeypatch: pytest.MonkeyPatch) -> Path:  # type: ignore[no-untyped-def]
    """Three clips that take a while, since they are read no faster than they play."""
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 1.0))
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make_clip(tmp_path / "in" / name, seconds=8.0, size="320x180", audio=None)
    return tmp_path / "in"


class Running:
    """A run and what it prints, a line at a time; the ffmpegs below it at a moment are in `ffmpegs`."""

    def __init__(self, *job: str | Path) -> None:
        self.process = begin(*job)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def has_said(self, words: str) -> bool:
        return any(words in line for line in self.lines)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> tuple[int, str]:
        """Wait for the end, which has to come by itself: the exit code, and all that was printed."""
        code = self.process.wait(DEADLINE_SECONDS)
        self._reader.join(DEADLINE_SECONDS)
        return code, "".join(self.lines)


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    """Begin runs that are killed at the end, should they still be there."""
    begun: list[Running] = []

    def run(*job: str | Path) -> Running:
        begun.append(Running(*job))
        return begun[-1]

    yield run
    for running in begun:
        running.process.kill()
        running.end()
        assert running.process.stdout is not None
        running.process.stdout.close()


def job(inputs: Path, output: Path) -> list[str | Path]:
    return [
        "--input",
        inputs,
        "--output",
        output,
        "--profile",
        "fast",
        "--verbose",
        "--disk-reserve",
        "0",
    ]


def writes(output: Path) -> bool:
    """Whether an ffmpeg of the run writes by now."""
    return has_begun(output / ".pyprocessor" / "partial")


def status(output: Path) -> dict[str, object]:
    answered: dict[str, object] = json.loads(call("status", "--output", output, "--json").stdout)
    return answered


def test_a_run_whose_disk_hangs_answers_and_goes_on(inputs: Path, output: Path, start: Callable[..., Running]) -> None:
    """It says what it waits for and follows an order as soon as the disk is back; nothing is charged."""
    running = start(*job(inputs, output))
    until(
        lambda: writes(output) and standing(output).get("snapshot", {}).get("total") == 3,
        lambda: "".join(running.lines),
    )
    with frozen(output):
        until(lambda: status(output).get("disk_silent_seconds"), lambda: "".join(running.lines))
        told = call("status", "--output", output)
        assert_plain(told, 0, "waiting for the output's disk, which has not answered for", "of 3 files done")
        assert_plain(
            call("pause", "--output", output), 0, "is paused", "The run has waited for the disk of", "when that"
        )
        assert_plain(call("pause", "--output", output), 0, "paused already")
        until(
            lambda: running.has_said("Nothing is started or finished until that answers"),
            lambda: "".join(running.lines),
        )
    until(lambda: running.has_said("Paused: "), lambda: "".join(running.lines))
    assert running.has_said("answers again, after")
    assert status(output)["disk_silent_seconds"] == 0
    assert_plain(call("resume", "--output", output), 0, "goes on")
    code, said = running.end()
    assert (code, published(output)) == (0, {"a.mp4", "b.mp4", "c.mp4"}), said
    assert "Traceback" not in said
    assert "failed" not in said.replace("0 failed", "").replace("Failed: 0", ""), said


@pytest.mark.long
@pytest.mark.parametrize("twice", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_end_ends_though_its_disk_hangs(
    twice: signal.Signals,
    inputs: Path,
    output: Path,
    start: Callable[..., Running],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It says so and kills what is its own; what waits for the disk is gone as soon as that is back, and the same
    command does all there is to do."""
    running = start(*job(inputs, output))
    until(lambda: writes(output), lambda: "".join(running.lines))
    family = running.family()
    assert family
    with frozen(output):
        until(lambda: status(output).get("disk_silent_seconds"), lambda: "".join(running.lines))
        running.process.send_signal(twice)
        until(lambda: running.has_said("The run stops when that answers"), lambda: "".join(running.lines))
        running.process.send_signal(twice)
        until(lambda: running.has_said("the run ends without it"), lambda: "".join(running.lines))
        until(lambda: running.has_said("The run was ended without it"), lambda: "".join(running.lines))
    code, said = running.end()
    assert code == (ExitCode.INTERRUPTED if twice is signal.SIGINT else ExitCode.TERMINATED), said
    assert "Traceback" not in said
    _, left = psutil.wait_procs(family, timeout=DEADLINE_SECONDS)
    assert not [process for process in left if process.is_running()]
    assert JobState.FAILED not in states(output).values()
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    again = call(*map(str, job(inputs, output)))
    assert_plain(again, 0)
    assert published(output) == {"a.mp4", "b.mp4", "c.mp4"}
    assert partials(output) == []


@pytest.mark.long
def test_the_grace_ends_though_the_disk_hangs(inputs: Path, output: Path, start: Callable[..., Running]) -> None:
    """One SIGTERM with a grace is enough, as a service manager sends it."""
    running = start(*job(inputs, output), "--grace", "1")
    until(lambda: writes(output), lambda: "".join(running.lines))
    with frozen(output):
        running.process.send_signal(signal.SIGTERM)
        until(lambda: running.has_said("The run was ended without it"), lambda: "".join(running.lines))
    assert running.end()[0] == ExitCode.TERMINATED


@pytest.mark.long
def test_stop_now_ends_a_run_whose_disk_hangs(inputs: Path, output: Path, start: Callable[..., Running]) -> None:
    """The order comes over the socket."""
    running = start(*job(inputs, output))
    until(lambda: writes(output), lambda: "".join(running.lines))
    with frozen(output):
        until(lambda: status(output).get("disk_silent_seconds"), lambda: "".join(running.lines))
        assert_plain(call("stop", "--output", output, "--now"), 0, "ends its files", "when that answers")
        until(lambda: running.has_said("The run was ended without it"), lambda: "".join(running.lines))
    assert running.end()[0] == ExitCode.INTERRUPTED


@pytest.mark.long
def test_hooks_that_run_end_with_a_run_whose_disk_hangs(
    inputs: Path, output: Path, start: Callable[..., Running], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """They lead sessions of their own and would not notice that the engine is gone."""
    make_clip(inputs / "0.mp4", seconds=1.0, size="64x48", audio=None)
    config = tmp_path / "hooks.yaml"
    config.write_text("hooks:\n  on_success: [sleep, '600']\n  timeout_seconds: 600\n")
    running = start(*job(inputs, output), "--config", config)

    def hooks() -> list[psutil.Process]:
        return below(running.process.pid, "sleep")

    until(lambda: hooks() and writes(output), lambda: "".join(running.lines))
    called = hooks()
    try:
        with frozen(output):
            running.process.send_signal(signal.SIGINT)
            until(
                lambda: running.has_said("Stopping") or running.has_said("asked once more"), lambda: str(running.lines)
            )
            running.process.send_signal(signal.SIGINT)
            until(lambda: running.has_said("The run was ended without it"), lambda: "".join(running.lines))
            # The engine's loop still waits for the disk, so they may be zombies.
            until(lambda: all(map(gone, called)), lambda: str(called))
        assert running.end()[0] == ExitCode.INTERRUPTED
    finally:
        for process in called:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.long
def test_a_run_whose_words_nobody_reads_answers_and_ends(inputs: Path, tmp_path: Path) -> None:
    """A terminal that is stopped, or a pager: no disk is blamed, and the stall responder does not hang on it."""
    output = tmp_path / "out"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(1 << 12))
    os.set_blocking(writer, True)
    process = subprocess.Popen(
        [*COMMAND, *map(str, job(inputs, output))], stdin=subprocess.DEVNULL, stderr=writer, start_new_session=True
    )
    os.close(writer)
    try:
        until(lambda: standing(output), "a run that answers")
        began = time.monotonic()
        # The answers go on after the time at which the user is told, which nobody reads either.
        while time.monotonic() - began < INFORM_SECONDS + 5:
            assert status(output)["disk_silent_seconds"] == 0
            time.sleep(1.0)
        assert_plain(call("pause", "--output", output), 0, "held up for", "when it goes on")
        assert_plain(call("stop", "--output", output, "--now"), 0, "ends its files", "when it goes on")
        assert process.wait(DEADLINE_SECONDS) == ExitCode.INTERRUPTED
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)
        os.close(reader)


def test_a_run_that_settles_what_earlier_ones_left_answers(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may take long as well: what is asked meanwhile is answered, and done afterwards."""
    go_on = threading.Event()

    def slow(*arguments: object, **more: object) -> list[Note]:
        del arguments, more
        assert go_on.wait(DEADLINE_SECONDS)
        return []

    monkeypatch.setattr(loop, "recover", slow)
    output = tmp_path / "out"
    thread, results = run_in_thread(request(inputs, output), Recorder())
    try:
        until(lambda: standing(output), "a run that answers")
        assert ask(os.fsencode(output / ".pyprocessor"), Request(Verb.STATUS)).standing is not None
        assert ask(os.fsencode(output / ".pyprocessor"), Request(Verb.STOP, now=True)).ok
    finally:
        go_on.set()
        thread.join(DEADLINE_SECONDS)
    assert [result.exit_code for result in results] == [ExitCode.INTERRUPTED]
    assert published(output) == set()
