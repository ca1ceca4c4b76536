"""Runs that watch their input, as processes: what arrives is done, and nothing is done twice or left running."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from pyprocessor.engine import stopping
from pyprocessor.intake import watch_client as watching
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState, ScheduleSettings, WatchSettings
from pyprocessor.profiles import load
from tests.acceptance.command import COMMAND
from tests.process.runs import Recorder, published, request, rows, run_in_thread, states
from tests.process.steered import slow_ffmpeg
from tests.waiting import DEADLINE_SECONDS, until

OFTEN = {"PYPROCESSOR_WATCH_POLL_SECONDS": "0.5"}


def leads(process: psutil.Process) -> bool:
    """Whether it runs and leads a group, as the watcher process, the inspector and batch processes do."""
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        return process.status() != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == process.pid
    return False


class Watcher:
    """One run with --watch, as the installed command; all it says goes to a file."""

    def __init__(self, inputs: Path, output: Path, log: Path, *more: str, **variables: str) -> None:
        self.output = output
        self._log = log
        with open(log, "ab") as said:
            self.process = subprocess.Popen(
                [*COMMAND, "--input", str(inputs), "--output", str(output), "--profile", "fast", "--watch", *more],
                env={**os.environ, **OFTEN, **variables},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def until_made(self, *names: str) -> None:
        """Wait until exactly these outputs are there."""
        until(lambda: published(self.output) == set(names), lambda: self.said)

    def until_said(self, words: str, times: int = 1) -> None:
        """Wait until this was said so often."""
        until(lambda: self.said.count(words) >= times, lambda: self.said)

    def family(self) -> list[psutil.Process]:
        """Every process that the run has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def watcher_process(self) -> psutil.Process:
        """The watcher process of a run at rest, the only one below it that leads a group."""
        found: list[psutil.Process] = []

        def alone() -> bool:
            found[:] = [process for process in self.family() if leads(process)]
            return len(found) == 1

        until(alone, lambda: (self.said, found))
        return found[0]

    def end(self, number: int, exit_code: int) -> None:
        """Send this signal, wait for the end, which is with this exit code, and see that nothing of the run is left."""
        family = self.family()
        self.process.send_signal(number)
        assert self.process.wait(DEADLINE_SECONDS) == exit_code, self.said
        _, left = psutil.wait_procs(family, timeout=DEADLINE_SECONDS)
        assert left == []


Start = Callable[..., Watcher]


@pytest.fixture
def slowly(tmp_path: Path, ffmpeg_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read films no faster than they play, so that they are found at work."""
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 1.0))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts runs that watch tmp_path/in; those that still run at the end of the test are killed."""
    begun: list[Watcher] = []
    (tmp_path / "in").mkdir()

    def begin(*more: str, **variables: str) -> Watcher:
        settings = more if "--min-age" in more else ("--min-age", "1s", *more)
        begun.append(Watcher(tmp_path / "in", tmp_path / "out", tmp_path / "log", *settings, **variables))
        return begun[-1]

    yield begin
    for watcher in begun:
        if watcher.process.poll() is None:
            watcher.end(signal.SIGKILL, -signal.SIGKILL)


def attempts(output: Path) -> int:
    """How many attempts all runs of this output made together."""
    return sum(row.attempts for row in rows(output).values())


def test_files_are_done_as_they_arrive_and_sigterm_ends_it_cleanly(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """One that was there, one that comes, a tree that is moved in; then a stop with nothing left to do: exit code 0."""
    make_clip(tmp_path / "in" / "a.mp4")
    watcher = start("--verbose")
    watcher.until_made("a.mp4")
    make_clip(tmp_path / "in" / "b.mkv")
    watcher.until_made("a.mp4", "b.mp4")
    make_clip(tmp_path / "tree" / "deep" / "c.mp4")
    (tmp_path / "tree").rename(tmp_path / "in" / "tree")
    watcher.until_made("a.mp4", "b.mp4", "tree/deep/c.mp4")
    watcher.until_said("(3 files made, 0 failed)")
    watcher.end(signal.SIGTERM, 0)
    assert watcher.said.count("Succeeded: ") == 3
    assert set(states(tmp_path / "out").values()) == {JobState.SUCCEEDED}
    assert attempts(tmp_path / "out") == 3


@pytest.mark.long
def test_a_file_that_is_still_being_copied_is_not_taken(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """It grows in small pieces for many looks, its writer opening it anew for each: it is done once, whole."""
    whole = make_clip(tmp_path / "whole.mkv", seconds=4.0).read_bytes()
    watcher = start("--min-age", "3s")
    watcher.until_said("is watched for more")
    step = len(whole) // 12
    at, widest, last = 0, 0.0, time.monotonic()
    while at < len(whole):
        with open(tmp_path / "in" / "film.mkv", "ab") as file:
            file.write(whole[at : at + step])
        at += step
        time.sleep(0.4)
        widest, last = max(widest, time.monotonic() - last), time.monotonic()
    if widest > 2.0:
        pytest.skip("this machine is too busy to copy steadily")
    watcher.until_made("film.mp4")
    watcher.end(signal.SIGTERM, 0)
    row = rows(tmp_path / "out")[b"film.mkv"]
    assert (row.attempts, row.source.size_bytes) == (1, len(whole))
    assert row.produced is not None
    assert row.produced.frames == 100


@pytest.mark.long
def test_changed_files_are_done_again_and_a_failed_one_once_it_is_mended(
    start: Start,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """A file that fails is tried once and then left alone as long as it stays as it is; a source that goes changes
    nothing."""
    make_clip(tmp_path / "in" / "a.mp4")
    (tmp_path / "in" / "bad.mp4").write_text("this is no video\n" * 50)
    watcher = start()
    watcher.until_said("(1 file made, 1 failed)")
    made = (tmp_path / "out" / "a.mp4").stat().st_mtime_ns
    make_clip(tmp_path / "in" / "a.mp4", seconds=2.0)
    until(lambda: (tmp_path / "out" / "a.mp4").stat().st_mtime_ns != made, lambda: watcher.said)
    make_clip(tmp_path / "in" / "bad.mp4")
    watcher.until_made("a.mp4", "bad.mp4")
    watcher.until_said("(3 files made, 1 failed)")
    (tmp_path / "in" / "a.mp4").unlink()
    make_clip(tmp_path / "in" / "last.mp4")
    watcher.until_made("a.mp4", "bad.mp4", "last.mp4")
    watcher.until_said("(4 files made, 1 failed)")
    watcher.end(signal.SIGTERM, 1)
    assert watcher.said.count("Failed: bad.mp4") == 1


@pytest.mark.long
def test_a_folder_that_goes_and_comes_back_is_waited_for(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """It is told once, nothing that was done is done again, and what is new there is."""
    make_clip(tmp_path / "in" / "a.mp4")
    watcher = start()
    watcher.until_made("a.mp4")
    watcher.until_said("is watched for more")
    (tmp_path / "in").rename(tmp_path / "away")
    watcher.until_said("; it is watched again as soon as it is there")
    make_clip(tmp_path / "away" / "b.mp4")
    (tmp_path / "away").rename(tmp_path / "in")
    watcher.until_said("is there again")
    watcher.until_made("a.mp4", "b.mp4")
    shutil.rmtree(tmp_path / "in")
    watcher.until_said("; it is watched again as soon as it is there", times=2)
    make_clip(tmp_path / "in" / "c.mp4")
    watcher.until_made("a.mp4", "b.mp4", "c.mp4")
    watcher.until_said("(3 files made, 0 failed)")
    watcher.end(signal.SIGTERM, 0)
    assert attempts(tmp_path / "out") == 3


@pytest.mark.usefixtures("slowly")
def test_after_a_kill_the_same_command_goes_on(  # type: ignore[no-untyped-def]
    start: Start, tmp_path: Path, make_clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the middle of a file: nothing is left running, the rerun does the rest, finished ones only once."""
    make_clip(tmp_path / "in" / "a.mp4")
    first = start()
    first.until_made("a.mp4")
    make_clip(tmp_path / "in" / "long.mp4", seconds=10.0)
    until(lambda: JobState.RUNNING in states(tmp_path / "out").values(), lambda: first.said)
    first.end(signal.SIGKILL, -signal.SIGKILL)
    assert published(tmp_path / "out") == {"a.mp4"}
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    second = start()
    second.until_made("a.mp4", "long.mp4")
    second.until_said("(1 file made, 0 failed)")
    second.end(signal.SIGTERM, 0)
    assert rows(tmp_path / "out")[b"a.mp4"].attempts == 1


def test_a_watcher_process_that_is_killed_is_replaced(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """The run goes on watching, tells of it once, and does nothing again."""
    make_clip(tmp_path / "in" / "a.mp4")
    watcher = start()
    watcher.until_said("(1 file made, 0 failed)")
    for number in range(2):
        watcher.watcher_process().kill()
        make_clip(tmp_path / "in" / f"{number}.mp4")
        watcher.until_said(f"({number + 2} files made, 0 failed)")
    assert watcher.said.count("died and is replaced") == 1
    watcher.end(signal.SIGTERM, 0)
    assert attempts(tmp_path / "out") == 3


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_a_stop_in_the_middle_of_a_file_is_taken_up_by_the_next_run(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Exit code 143, no partial output, no process left."""
    make_clip(tmp_path / "in" / "long.mp4", seconds=10.0)
    watcher = start("--verbose", "--grace", "0")
    watcher.until_said("Started: long.mp4")
    watcher.end(signal.SIGTERM, 143)
    assert published(tmp_path / "out") == set()
    assert os.listdir(tmp_path / "out" / ".pyprocessor" / "partial") == []


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_a_file_that_changes_while_it_is_being_done_is_done_again(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """What is made in the end is made of what lies there in the end, and its name was never given to anything else."""
    make_clip(tmp_path / "in" / "a.mp4", seconds=10.0)
    watcher = start("--verbose")
    watcher.until_said("Started: a.mp4")
    make_clip(tmp_path / "in" / "a.mp4", seconds=2.0)
    size = (tmp_path / "in" / "a.mp4").stat().st_size
    watcher.until_said("Succeeded: a.mp4")
    watcher.until_said("(1 file made, 0 failed)")
    watcher.end(signal.SIGTERM, 0)
    row = rows(tmp_path / "out")[b"a.mp4"]
    assert (row.state, row.source.size_bytes) == (JobState.SUCCEEDED, size)
    assert row.produced is not None
    assert row.produced.frames == 50


@pytest.mark.usefixtures("slowly")
@pytest.mark.long
def test_a_watcher_process_that_hangs_is_told_and_holds_nothing_up(
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a network that is down: files that are known are done, it is told once, and it goes on when it answers."""
    monkeypatch.setattr(watching, "SILENCE_SECONDS", 5.0)
    profile = load("fast", environment={}).profile
    profile = replace(profile, watch=WatchSettings(0.5), scan=replace(profile.scan, min_age_seconds=0.5))
    make_clip(tmp_path / "in" / "a.mp4", seconds=10.0)
    recorder = Recorder()
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile, watch=True, limit=2)

    def silences() -> int:
        """How often it was told that the watcher process is silent, without that it answers again."""
        texts = [text for _, text in recorder.notices]
        return sum("takes long" in text for text in texts) - sum("answers again" in text for text in texts)

    before = set(psutil.Process().children(recursive=True))
    thread, results = run_in_thread(asked, recorder)
    until(lambda: recorder.starts == ["a.mp4"])
    ours = [p for p in psutil.Process().children(recursive=True) if p not in before and leads(p)]
    child = min(ours, key=lambda process: process.create_time())
    child.suspend()
    try:
        until(lambda: silences() == 1)
        make_clip(tmp_path / "in" / "b.mp4")
        until(lambda: published(tmp_path / "out") == {"a.mp4"})
        ticks = len(recorder.snapshots)
        until(lambda: len(recorder.snapshots) > ticks or any("Nothing is left" in text for _, text in recorder.notices))
        assert silences() == 1
    finally:
        child.resume()
    thread.join(DEADLINE_SECONDS)
    assert [result.exit_code for result in results] == [0]
    assert published(tmp_path / "out") == {"a.mp4", "b.mp4"}
    assert silences() == 0


@pytest.mark.long
def test_a_limit_ends_the_watching(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """`--limit 2` takes two files up, whenever they come, and the run ends when they are done."""
    watcher = start("--limit", "2", "--quiet")
    make_clip(tmp_path / "in" / "a.mp4")
    watcher.until_made("a.mp4")
    make_clip(tmp_path / "in" / "b.mp4")
    assert watcher.process.wait(DEADLINE_SECONDS) == 0, watcher.said
    assert published(tmp_path / "out") == {"a.mp4", "b.mp4"}
    assert watcher.said == ""


@pytest.mark.long
def test_the_window_comes_back_every_day(tmp_path: Path, make_clip, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    """A file that comes by day waits for the night, and one that comes the next day for the next night."""
    clock = [datetime(2026, 3, 3, 23, 0)]  # noqa: DTZ001 - local time, as the engine takes it
    monkeypatch.setattr(stopping, "local_time", lambda: clock[0])
    profile = load("fast", environment={}).profile
    profile = replace(
        profile,
        watch=WatchSettings(0.5),
        scan=replace(profile.scan, min_age_seconds=0.5),
        schedule=ScheduleSettings(window=(clock[0].time().replace(hour=22), clock[0].time().replace(hour=6))),
    )
    recorder = Recorder()
    closed = "The window 22:00-06:00 has closed: nothing more is started before 22:00"
    make_clip(tmp_path / "in" / "a.mp4")
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile, watch=True, limit=3)
    thread, results = run_in_thread(asked, recorder)
    until(lambda: published(tmp_path / "out") == {"a.mp4"} if (tmp_path / "out").exists() else False)
    for day, name in ((1, "b"), (2, "c")):
        clock[0] = datetime(2026, 3, 3, 12, 0) + timedelta(days=day)  # noqa: DTZ001 - as above
        until(lambda day=day: sum(closed in text for _, text in recorder.notices) == day)  # type: ignore[misc]
        make_clip(tmp_path / "in" / f"{name}.mp4")
        until(lambda name=name: JobState.PENDING in states(tmp_path / "out").values())  # type: ignore[misc]
        assert f"{name}.mp4" not in published(tmp_path / "out")
        clock[0] = datetime(2026, 3, 3, 22, 30) + timedelta(days=day)  # noqa: DTZ001 - as above
        until(lambda name=name: f"{name}.mp4" in published(tmp_path / "out"))  # type: ignore[misc]
    thread.join(DEADLINE_SECONDS)
    assert [result.exit_code for result in results] == [0]


@pytest.mark.long
def test_known_files_cost_no_line_in_the_journal(start: Start, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """A run that is started again over finished, skipped and failed files, and looks at them many times, writes
    nothing about them a second time."""
    for name in ("a.mp4", "b.mp4"):
        make_clip(tmp_path / "in" / name)
    (tmp_path / "in" / "bad.mp4").write_text("this is no video\n" * 50)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.mp4").write_bytes(b"mine")
    watcher = start()
    watcher.until_said("is watched for more")
    until(lambda: states(tmp_path / "out").get(b"b.mp4") is JobState.SKIPPED and len(states(tmp_path / "out")) == 3)
    watcher.until_said("1 file made, 1 failed")
    before = {row.id: row.updated_at for row in rows(tmp_path / "out").values()}
    watcher.watcher_process().kill()  # the next one tells of all files anew
    watcher.until_said("died and is replaced")
    watcher.watcher_process()
    make_clip(tmp_path / "in" / "z.mp4")
    watcher.until_said("2 files made, 1 failed")
    after = {row.id: row.updated_at for row in rows(tmp_path / "out").values()}
    assert {job: after[job] for job in before} == before
    with JournalReader.read_only(os.fsencode(tmp_path / "out" / ".pyprocessor")) as journal:
        assert len(list(journal.jobs())) == 4
    watcher.end(signal.SIGTERM, 1)
