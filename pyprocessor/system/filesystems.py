"""On which file system does a folder lie, what room is left on it, and does anybody write to a file?"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import NamedTuple

import psutil

from pyprocessor.models.os_errors import unwritable
from pyprocessor.system.kernel import read

_NETWORK_FILE_SYSTEMS = """
    9p acfs afp afpfs afs beegfs ceph cifs coda davfs fuse.ceph fuse.davfs2 fuse.gcsfuse fuse.glusterfs fuse.goofys
    fuse.rclone fuse.s3fs fuse.smbnetfs fuse.sshfs gfs gfs2 glusterfs gpfs lustre mfs ncpfs nfs nfs3 nfs4 ocfs2 orangefs
    panfs pvfs2 smb smb2 smb3 smbfs vboxsf virtiofs vmhgfs webdav
"""
NETWORK_FILE_SYSTEMS = frozenset(_NETWORK_FILE_SYSTEMS.split())
"""Types on which SQLite's shared memory file, and so its write-ahead log, is unreliable."""
COPY_ON_WRITE_FILE_SYSTEMS = frozenset({"bcachefs", "btrfs", "nilfs2"})
"""Types on which a write to SQLite's shared memory file takes new room; a full disk then ends the process by SIGBUS."""


def network_filesystem(path: bytes, *, proc: str = "/proc") -> bool:
    """Return whether the folder is on a file system reached over a network, or shared into a virtual machine."""
    return _file_system_type(path, proc).lower() in NETWORK_FILE_SYSTEMS


def shares_memory(path: bytes, *, proc: str = "/proc") -> bool:
    """Return whether a file of this folder can safely be memory that processes share."""
    return _file_system_type(path, proc).lower() not in NETWORK_FILE_SYSTEMS | COPY_ON_WRITE_FILE_SYSTEMS


def _file_system_type(path: bytes, proc: str) -> str:
    found = [(m.point, m.kind) for m in mounts(proc)] or [
        (os.fsencode(p.mountpoint), p.fstype) for p in psutil.disk_partitions(all=True)
    ]
    path, best, kind = os.path.realpath(path), -1, ""
    for point, mount_kind in found:
        prefix = point.rstrip(b"/")
        # Of two mounts on one point the later one covers the other, so equal lengths win too.
        if len(prefix) >= best and (path == prefix or path.startswith(prefix + b"/")):
            best, kind = len(prefix), mount_kind
    return kind


class Mount(NamedTuple):
    """One mounted file system; `root` is the part of it that is seen at `point`."""

    root: bytes
    point: bytes
    kind: str
    options: tuple[bytes, ...]


def mounts(proc: str) -> Iterator[Mount]:
    """Yield the lines of /proc/self/mountinfo, see proc_pid_mountinfo(5)."""
    for line in (read(f"{proc}/self/mountinfo") or b"").splitlines():
        fields = line.split(b" ")
        if b"-" not in fields[6:]:
            continue
        dash = fields.index(b"-", 6)
        root, point = (_unescaped(f) for f in fields[3:5])
        yield Mount(root, point, os.fsdecode(fields[dash + 1]), tuple(fields[dash + 3].split(b",")))


def _unescaped(field: bytes) -> bytes:
    """Undo the octal escapes of space, tab, newline and backslash."""
    head, *rest = field.split(b"\\")
    return head + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)


def free_disk_bytes(folder: bytes) -> int:
    """Return the free bytes for a folder that may not exist yet. Raises OutputUnwritable where its disk is lost."""
    while True:
        try:
            return shutil.disk_usage(folder or b".").free
        except (FileNotFoundError, NotADirectoryError) as error:
            above = os.path.dirname(folder)
            if above == folder:
                raise unwritable(error, folder, "cannot be used any more") from error
            folder = above
        except OSError as error:
            raise unwritable(error, folder, "cannot be used any more") from error


def open_for_writing(path: bytes) -> bool:
    """Return whether any process of this machine has the file open for writing; False where the kernel does not say.

    Linux refuses a read lease on such a file (fcntl(2), F_SETLEASE), for our own user's files on local file systems.
    The process must ignore SIGIO, which is sent when the file is opened while the lease is held.
    """
    if sys.platform != "linux":
        return False
    import fcntl

    try:
        with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            with contextlib.suppress(OSError):
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    return False
