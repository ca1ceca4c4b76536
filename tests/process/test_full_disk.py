"""Runs on disks that fill up, become read-only or lose their permissions: they stop with 74 and a sentence, nothing is
failed or charged, and the same command goes on when there is room."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pyprocessor.errors import ExitCode, FailureKind, OutputUnwritable
from pyprocessor.models import JobState, Profile, ThrottlingSettings
from pyprocessor.models.os_errors import classify_os_error, publish_error
from pyprocessor.profiles import load
from tests.acceptance.command import assert_plain, begin, call
from tests.long import long_after
from tests.process.disks import MIB, fill, limit, loop_disk, quota_disk
from tests.process.runs import Recorder, has_begun, partials, published, request, rows, run, states
from tests.process.skips import disk_or_skip
from tests.process.steered import slow_ffmpeg
from tests.waiting import DEADLINE_SECONDS, until


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of 24 MiB."""
    with disk_or_skip(tmp_path / "disk", 24 * MIB, loop_disk) as point:
        yield point


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Four clips whose outputs take about 1 MB each."""
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4"):
        make_clip(tmp_path / "in" / name, seconds=4.0, size="640x360", audio=None)
    return tmp_path / "in"


def careless() -> Profile:
    """The profile `fast` without a reserve, which would else stop the run before the disk is full."""
    profile = load("fast", environment={}).profile
    return replace(profile, throttling=replace(ThrottlingSettings(), disk_reserve_bytes=0))


def job(inputs: Path, output: Path, *more: str) -> list[str | Path]:
    """The command line."""
    return ["--input", inputs, "--output", output, "--profile", "fast", "--disk-reserve", "0", *more]


def stop_and_go_on(inputs: Path, output: Path, recorder: Recorder) -> None:
    """A run that is to meet a disk that takes no more, whether the engine or a batch process meets it first."""
    with suppress(OutputUnwritable):
        result = run(request(inputs, output, profile=careless()), recorder)
        assert result.exit_code == ExitCode.OUTPUT_UNWRITABLE, recorder.notices
    assert not [outcome for _, outcome, _ in recorder.outcomes if outcome.failure is not None]


def nothing_charged(output: Path) -> None:
    """No job is failed, and no retry is used up."""
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert {row.retries_charged for row in rows(output).values()} == {0}


def test_a_disk_that_fills_while_encoding(inputs: Path, disk: Path) -> None:
    """As typed: 74, one plain sentence that says what to do; after that the same command does the rest."""
    output = disk / "out"
    filler = fill(disk, leave_bytes=MIB)
    assert_plain(call(*job(inputs, output)), 74, "full", "run the same command again")
    filler.unlink()
    assert_plain(call(*job(inputs, output)), 0)
    assert len(published(output)) == 4
    nothing_charged(output)
    assert partials(output) == []


@pytest.mark.long
@pytest.mark.parametrize("leave_bytes", [0, 40 << 10, 400 << 10])
def test_a_disk_that_fills_under_the_engine(inputs: Path, disk: Path, leave_bytes: int) -> None:
    """Journal, log and receipts are on it, too: whichever is refused first, the run stops and the next one goes on."""
    output = disk / "out"
    fillers: list[Path] = []

    def crowd(_: str) -> None:
        if not fillers:
            fillers.append(fill(disk, leave_bytes=leave_bytes))

    stop_and_go_on(inputs, output, Recorder(on_started=crowd))
    fillers[0].unlink()
    recorder = Recorder()
    assert run(request(inputs, output, profile=careless()), recorder).exit_code == ExitCode.OK, recorder.notices
    assert len(published(output)) == 4
    nothing_charged(output)
    assert partials(output) == []


def test_a_disk_that_is_full_at_the_start(inputs: Path, disk: Path) -> None:
    """There is not even room for the state folder; or only for that."""
    output = disk / "out"
    filler = fill(disk)
    assert_plain(call(*job(inputs, output)), 74, "full")
    filler.unlink()
    filler = fill(disk, leave_bytes=60 << 10)
    assert_plain(call(*job(inputs, output)), 74, "full")
    filler.unlink()
    assert_plain(call(*job(inputs, output)), 0)


def test_the_reserve_catches_it_before(inputs: Path, disk: Path) -> None:
    """With a reserve nothing is started that the disk has no room for, and no encoding is lost."""
    output = disk / "out"
    filler = fill(disk, leave_bytes=3 * MIB)
    result = call(*job(inputs, output), "--disk-reserve", "4MiB")
    assert_plain(result, 74, "nearly full")
    assert published(output) == set()
    filler.unlink()
    assert_plain(call(*job(inputs, output), "--disk-reserve", "4MiB"), 0)


def test_a_disk_that_becomes_read_only(inputs: Path, disk: Path) -> None:
    """As ext4 does after an error: whatever was open fails from one moment to the next."""
    output = disk / "out"

    def abort(_: str) -> None:
        subprocess.run(["mount", "-o", "remount,abort", str(disk)], capture_output=True, check=False)

    stop_and_go_on(inputs, output, Recorder(on_started=abort))
    assert_plain(call(*job(inputs, output)), 74)
    image = disk.with_name(disk.name + ".image")
    subprocess.run(["umount", str(disk)], check=True)
    subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True, check=False)
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    recorder = Recorder()
    assert run(request(inputs, output, profile=careless()), recorder).exit_code == ExitCode.OK, recorder.notices
    nothing_charged(output)


@pytest.fixture
def lock_folder(disk: Path) -> Iterator[object]:
    """Take away, also from root, the right to make anything in a folder; give it back at the end."""
    if shutil.which("chattr") is None:
        pytest.skip("there is no chattr here")
    locked: list[Path] = []

    def lock(folder: Path) -> None:
        subprocess.run(["chattr", "+i", str(folder)], check=True)
        locked.append(folder)

    yield lock
    for folder in locked:
        subprocess.run(["chattr", "-i", str(folder)], check=True)


def test_a_folder_that_takes_no_more_files(inputs: Path, disk: Path, lock_folder) -> None:  # type: ignore[no-untyped-def]
    """A missing permission there is no file's own trouble: the run stops instead of failing one file after another."""
    output = disk / "out"
    locked: list[Path] = []

    def lock(_: str) -> None:
        if not locked:
            locked.append(output / ".pyprocessor" / "partial")
            lock_folder(locked[0])

    recorder = Recorder(on_started=lock)
    stop_and_go_on(inputs, output, recorder)
    assert any("takes no more files" in text for level, text in recorder.notices if level == "error")
    subprocess.run(["chattr", "-i", str(locked[0])], check=True)
    assert run(request(inputs, output, profile=careless())).exit_code == ExitCode.OK
    nothing_charged(output)


def test_what_is_verified_is_kept(inputs: Path, disk: Path, lock_folder) -> None:  # type: ignore[no-untyped-def]
    """Where only the last step is refused, the next run does that step and does not encode again."""
    output = disk / "out"
    locked: list[Path] = []

    def lock(_: str) -> None:
        if not locked:
            locked.append(output)
            lock_folder(output)

    first = Recorder(on_started=lock)
    stop_and_go_on(inputs, output, first)
    kept = partials(output)
    assert kept
    assert published(output) == set()
    subprocess.run(["chattr", "-i", str(output)], check=True)
    second = Recorder()
    assert run(request(inputs, output, profile=careless()), second).exit_code == ExitCode.OK
    finished = [text for _, text in second.notices if "was finished by an earlier run" in text]
    assert len(finished) == len(kept)
    assert len(second.starts) == 4 - len(kept)
    assert len(published(output)) == 4
    nothing_charged(output)
    assert partials(output) == []


@pytest.mark.long
def test_an_output_that_hangs_for_a_while(disk: Path, tmp_path: Path, ffmpeg_path: str, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Everything that writes waits, the journal too; when the disk is back all goes on, and nothing is failed."""
    for name in ("a.mp4", "b.mp4"):
        make_clip(tmp_path / "long" / name, seconds=6.0, size="640x360", audio=None)
    output = disk / "out"
    slow = {"PYPROCESSOR_FFMPEG": slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 1.0)}
    running = begin(*job(tmp_path / "long", output), environment=slow)
    try:
        unfinished = output / ".pyprocessor" / "partial"
        until(lambda: has_begun(unfinished), "an ffmpeg that writes")
        if subprocess.run(["fsfreeze", "-f", str(disk)], capture_output=True, check=False).returncode:
            pytest.skip("this machine does not freeze a file system")
        try:
            engine = psutil.Process(running.pid)
            until(lambda: engine.status() == psutil.STATUS_DISK_SLEEP, "the engine to wait for the disk")
        finally:
            subprocess.run(["fsfreeze", "-u", str(disk)], check=True)
        said, _ = running.communicate(timeout=DEADLINE_SECONDS)
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()
    assert running.returncode == 0, said
    assert published(output) == {"a.mp4", "b.mp4"}
    nothing_charged(output)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A folder that a quota can be set on, of a btrfs."""
    with disk_or_skip(tmp_path / "disk", 160 * MIB, quota_disk) as counted:
        yield counted


@long_after(1, "left_bytes", [1500 << 10, 500 << 10, 150 << 10])
def test_a_quota_that_is_used_up(inputs: Path, volume: Path, left_bytes: int) -> None:
    """Whether ffmpeg, the journal or a receipt meets it first: 74, the quota is named, and no process crashes."""
    output = volume / "out"
    limit(volume, left_bytes)
    assert_plain(call(*job(inputs, output)), 74, "quota", "run the same command again")
    assert JobState.FAILED not in states(output).values()
    limit(volume, None)
    assert_plain(call(*job(inputs, output)), 0)
    assert len(published(output)) == 4
    nothing_charged(output)
    assert partials(output) == []


@pytest.mark.long
@pytest.mark.parametrize("left_bytes", [0, 64 << 10, 256 << 10, 1 << 20])
def test_a_quota_that_is_used_up_by_others(inputs: Path, volume: Path, left_bytes: int) -> None:
    """What is left goes while files are worked on."""
    output = volume / "out"
    limited: list[int] = []

    def crowd(_: str) -> None:
        if not limited:
            limited.append(left_bytes)
            limit(volume, left_bytes)

    stop_and_go_on(inputs, output, Recorder(on_started=crowd))
    limit(volume, None)
    recorder = Recorder()
    assert run(request(inputs, output, profile=careless()), recorder).exit_code == ExitCode.OK, recorder.notices
    assert len(published(output)) == 4
    nothing_charged(output)
    assert partials(output) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOTCONN, errno.ESTALE])
def test_a_quota_is_a_full_disk(number: int) -> None:
    """All that concerns the disk as a whole stops the run, whoever of us met it."""
    error = OSError(number, os.strerror(number))
    assert classify_os_error(error, b"/in/a.mov")[0] is FailureKind.DISK
    assert publish_error(error, b"/out/a.mp4", "could not be written").kind is FailureKind.DISK
    assert classify_os_error(OSError(errno.ENOENT, "x"), b"/in/a.mov")[0] is not FailureKind.DISK
