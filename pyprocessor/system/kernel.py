"""What do the small text files of /proc, /sys and control groups say?"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Collection

Read = Callable[[str], bytes | None]
"""Returns a whole file; None where there is none, or its process or control group has just gone."""

_BLOCK = 1 << 16

_SURELY_WHOLE = 2048
"""Less than half a page (4096) is the end of the file, since no line is that long; this saves another read."""


def read(path: str) -> bytes | None:
    """Return the whole file, see `Read`."""
    return KernelFiles(keep=0).read(path)


def number(text: bytes | None) -> int | None:
    """Return the number in a file of one; None where it is missing or says `max`."""
    stripped = (text or b"").strip()
    return int(stripped) if stripped.lstrip(b"-").isdigit() else None


def entry(text: bytes | None, key: bytes, missing: int = 0) -> int:
    """Return the number behind `key`, such as "VmHWM:", in lines of "key number"."""
    if text is None:
        return missing
    begin = 0
    while (at := text.find(key, begin)) >= 0:
        begin = at + len(key)
        if (at == 0 or text[at - 1 : at] == b"\n") and text[begin : begin + 1] in (b" ", b"\t"):
            return int(text[begin : begin + 32].split(None, 1)[0])
    return missing


def average_of_10_seconds(text: bytes | None, kind: bytes) -> float | None:
    """Return avg10 of a pressure file's line `some` or `full`, percent of the time; None where it is not there."""
    for line in (text or b"").splitlines():
        if line.startswith(kind + b" avg10="):
            return float(line.split()[1].removeprefix(b"avg10="))
    return None


def descriptors_to_keep() -> int:
    """Return a quarter of the files that this process may have open."""
    if sys.platform == "win32":
        return 0
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1024 if soft == resource.RLIM_INFINITY else min(1024, soft // 4)


class KernelFiles:
    """Reads files and keeps up to `keep` of them open, which makes reading them again five times cheaper (measured).

    A file of a process or control group that is gone fails to read and is opened anew, perhaps as another's.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._open: dict[str, int] = {}
        weakref.finalize(self, _close_all, self._open)

    def read(self, path: str) -> bytes | None:
        """Return the whole file, see `Read`."""
        descriptor = self._open.get(path)
        if descriptor is not None:
            try:
                return _contents(descriptor)
            except OSError:
                os.close(self._open.pop(path))
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            text = _contents(descriptor)
        except OSError:
            os.close(descriptor)
            return None
        if len(self._open) < self._keep:
            self._open[path] = descriptor
        else:
            os.close(descriptor)
        return text

    def close_all_but(self, paths: Collection[str] = ()) -> None:
        """Close the open files that are not among these."""
        for path in [path for path in self._open if path not in paths]:
            os.close(self._open.pop(path))


def _contents(descriptor: int) -> bytes:
    if sys.platform == "win32":
        return os.read(descriptor, _BLOCK)
    text = os.pread(descriptor, _BLOCK, 0)
    if len(text) < _SURELY_WHOLE:
        return text
    while more := os.pread(descriptor, _BLOCK, len(text)):
        text += more
    return text


def _close_all(descriptors: dict[str, int]) -> None:
    while descriptors:
        os.close(descriptors.popitem()[1])
