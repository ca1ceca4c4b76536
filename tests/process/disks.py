"""Small file systems of a test's own: in memory, or in a file behind a loop device, as a real disk is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.waiting import until

MIB = 1 << 20
_FREEZE, _THAW = 0xC0045877, 0xC0045878
"""FIFREEZE and FITHAW of linux/fs.h."""


class NoDisk(Exception):
    """No file system can be mounted here; the text is a sentence that says why."""


@contextlib.contextmanager
def memory_disk(point: Path, size_bytes: int) -> Iterator[Path]:
    """A file system in memory, mounted at `point`, a folder that is made."""
    with _mounted(["-t", "tmpfs", "-o", f"size={size_bytes}", "none"], point):
        yield point


@contextlib.contextmanager
def loop_disk(point: Path, size_bytes: int) -> Iterator[Path]:
    """An ext4 in a file beside `point`, mounted there."""
    image = point.with_name(point.name + ".image")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    if _refused("mkfs.ext4", "-q", "-m", "0", str(image)):
        raise NoDisk("There is no mkfs.ext4 here.")
    with _mounted(["-o", "loop", str(image)], point):
        yield point
    image.unlink()


@contextlib.contextmanager
def quota_disk(point: Path, size_bytes: int) -> Iterator[Path]:
    """A btrfs in a file beside `point`, mounted there, that counts what a volume of it takes: that one is given.

    Its limit, which is none at first, is root's, too: see `limit`.
    """
    image = point.with_name(point.name + ".image")
    with image.open("wb") as file:
        file.truncate(size_bytes)
    if _refused("mkfs.btrfs", "-q", str(image)):
        raise NoDisk("There is no mkfs.btrfs here.")
    with _mounted(["-o", "loop", str(image)], point):
        volume = point / "volume"
        if _refused("btrfs", "quota", "enable", str(point)) or _refused("btrfs", "subvolume", "create", str(volume)):
            raise NoDisk("This machine's btrfs has no quotas.")
        yield volume
    image.unlink()


def limit(volume: Path, limit_bytes: int | None) -> None:
    """How much a volume of `quota_disk` may take beyond what it does by now."""
    os.sync()
    told = subprocess.run(["btrfs", "qgroup", "show", "--raw", "-f", str(volume)], capture_output=True, check=True)
    name, taken, *_ = told.stdout.decode().splitlines()[-1].split()
    most = "none" if limit_bytes is None else str(int(taken) + limit_bytes)
    # Through the folder above, since what is at its limit does not take the command either.
    subprocess.run(["btrfs", "qgroup", "limit", most, name, str(volume.parent)], capture_output=True, check=True)


@contextlib.contextmanager
def _mounted(options: list[str], point: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        raise NoDisk("Mounting a file system takes root.")
    point.mkdir(parents=True)
    if _refused("mount", *options, str(point)):
        raise NoDisk("This machine does not let us mount a file system.")
    try:
        yield
    finally:
        # A process that was killed may not be gone yet.
        until(lambda: not _refused("umount", str(point)), f"the end of the last process that uses {point}")


@contextlib.contextmanager
def frozen(point: Path) -> Iterator[None]:
    """The disk takes no writes for the time of the context: whoever writes waits, and not even SIGKILL ends that."""
    disk = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(disk, _FREEZE)
        try:
            yield
        finally:
            fcntl.ioctl(disk, _THAW)
    finally:
        os.close(disk)


def fill(folder: Path, *, leave_bytes: int = 0) -> Path:
    """A file that takes all the room there is, but for `leave_bytes`; remove it to make room again."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as writing, contextlib.suppress(OSError):
        while True:
            writing.write(bytes(64 << 10))
    with filler.open("ab", buffering=0) as writing, contextlib.suppress(OSError):
        while True:
            writing.write(bytes(512))
    os.truncate(filler, max(0, filler.stat().st_size - leave_bytes))
    return filler


def _refused(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode != 0
    except FileNotFoundError:
        return True
