"""A share whose server can be made to stop answering, as that of a network file system does: what waits for it cannot
be ended, not even by SIGKILL.

It is a file system in user space, read-only, that shows a folder. The server is a process of its own, and on a signal
it takes what is asked and answers none of it. It speaks the kernel's own protocol (fuse(4)), so it takes no library.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.05
_ANSWER_AT_MOST = 1 << 17
_HEADER = struct.Struct("<IIQQIIII")
_ANSWER = struct.Struct("<IiQ")
_MS_RDONLY, _MS_NOSUID, _MNT_DETACH = 1, 2, 2
_SILENT = {2, 36, 42}
"""FORGET, INTERRUPT, BATCH_FORGET: nobody waits for an answer."""

_REMEMBERED = {1, 3, 27}
"""LOOKUP, GETATTR, OPENDIR: what a client may answer by itself."""


class NoShare(Exception):
    """No such file system can be mounted here; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class Share:
    """A folder as the share shows it at `point`."""

    point: Path
    server: subprocess.Popen[bytes]

    def die(self) -> None:
        """From now on nothing is answered."""
        self.server.send_signal(signal.SIGUSR1)

    def fall_silent(self) -> None:
        """As `die`, but what is known of paths is still told, as a client of such a share does for a while."""
        self.server.send_signal(signal.SIGHUP)

    def return_to_life(self) -> None:
        """Answer what was asked meanwhile, and all that comes."""
        self.server.send_signal(signal.SIGUSR2)

    def lose(self, *, unmount: bool) -> None:
        """The server is gone for good: what is asked gets an error, or finds the empty folder below."""
        if unmount:  # first, so that nobody finds a share without a server
            _library().umount2(os.fsencode(self.point), _MNT_DETACH)
        self.server.kill()
        self.server.wait()


@contextlib.contextmanager
def share(folder: Path, point: Path) -> Iterator[Share]:
    """Mount `folder` at `point`, a folder that is made. At the end all that waits for the share gets an error."""
    if os.geteuid() != 0:
        raise NoShare("Mounting a share takes root.")
    if not os.path.exists("/dev/fuse"):
        raise NoShare("This machine has no file systems in user space.")
    point.mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen([sys.executable, __file__, str(folder), str(point)], stdout=subprocess.PIPE)
    assert server.stdout is not None
    try:
        said = server.stdout.readline()
        if said != b"mounted\n":
            raise NoShare("This machine does not let us mount a file system in user space.")
        yield Share(point, server)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        _library().umount2(os.fsencode(point), _MNT_DETACH)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class _Server:
    """Answers one request after another. A node's number is its place in the list of paths."""

    def __init__(self, root: bytes, device: int) -> None:
        self._device = device
        self._paths = [b"", root]
        self._numbers = {root: 1}
        self._dead = False
        self._unanswered: list[bytes] = []
        self._remembers = False
        signal.signal(signal.SIGUSR1, lambda *_: self._be(dead=True))
        signal.signal(signal.SIGHUP, lambda *_: self._be(dead=True, remembers=True))
        signal.signal(signal.SIGUSR2, lambda *_: self._be(dead=False))

    def _be(self, *, dead: bool, remembers: bool = False) -> None:
        self._dead, self._remembers = dead, remembers

    def serve(self) -> None:
        while True:
            if select.select([self._device], [], [], POLL_SECONDS)[0]:
                try:
                    self._unanswered.append(os.read(self._device, 1 << 20))
                except OSError:
                    return  # unmounted
            if self._remembers and self._unanswered and _HEADER.unpack_from(self._unanswered[-1])[1] in _REMEMBERED:
                self._serve(self._unanswered.pop())
            while self._unanswered and not self._dead:
                self._serve(self._unanswered.pop(0))

    def _serve(self, request: bytes) -> None:
        length, code, unique, node = _HEADER.unpack_from(request)[:4]
        try:
            answer, number = self._answer(code, node, request[_HEADER.size : length]), 0
        except OSError as error:
            answer, number = b"", -(error.errno or errno.EIO)
        if code not in _SILENT:
            with contextlib.suppress(OSError):  # whoever asked may be gone
                os.write(self._device, _ANSWER.pack(_ANSWER.size + len(answer), number, unique) + answer)

    def _answer(self, code: int, node: int, body: bytes) -> bytes:
        path = self._paths[node] if node < len(self._paths) else b""
        match code:
            case 1:  # LOOKUP
                below = os.path.join(path, body.rstrip(b"\0"))
                return struct.pack("<QQQQII", self._number(below), 0, 0, 0, 0, 0) + self._attributes(below)
            case 3:  # GETATTR
                return struct.pack("<QII", 0, 0, 0) + self._attributes(path)
            case 14 | 27:  # OPEN, OPENDIR
                return struct.pack("<QII", 0, 0, 0)
            case 15:  # READ
                _, offset, size = struct.unpack_from("<QQI", body)
                with open(path, "rb") as reading:
                    return os.pread(reading.fileno(), size, offset)
            case 28:  # READDIR
                _, offset, size = struct.unpack_from("<QQI", body)
                return self._names(path, offset, size)
            case 17:  # STATFS
                return struct.pack("<5Q4I6I", 1000, 0, 0, 1000, 0, 4096, 255, 4096, *[0] * 7)
            case 26:  # INIT
                return struct.pack("<IIIIHHIIHHI7I", 7, 31, _ANSWER_AT_MOST, 0, 8, 8, _ANSWER_AT_MOST, 1, *[0] * 10)
            case 18 | 25 | 29 | 38 | 2 | 36 | 42:  # the ends of things
                return b""
            case _:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def _number(self, path: bytes) -> int:
        os.lstat(path)
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
        return self._numbers[path]

    def _attributes(self, path: bytes) -> bytes:
        found = os.lstat(path)
        times = [found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns]
        return struct.pack(
            "<6Q10I",
            *(self._number(path), found.st_size, found.st_blocks),
            *(stamp // 10**9 for stamp in times),
            *(stamp % 10**9 for stamp in times),
            *(found.st_mode, found.st_nlink, found.st_uid, found.st_gid, 0, 4096, 0),
        )

    def _names(self, path: bytes, offset: int, size: int) -> bytes:
        told = b""
        for place, name in enumerate(sorted(os.listdir(path))[offset:], offset + 1):
            entry = struct.pack("<QQII", self._number(os.path.join(path, name)), place, len(name), 0) + name
            entry += bytes(-len(entry) % 8)
            if len(told) + len(entry) > size:
                break
            told += entry
        return told


def _main(folder: str, point: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _library().mount(b"share", os.fsencode(point), b"fuse", _MS_RDONLY | _MS_NOSUID, options):
        print("refused", flush=True)
        return
    server = _Server(os.fsencode(folder), device)
    print("mounted", flush=True)
    server.serve()


if __name__ == "__main__":
    _main(*sys.argv[1:])
