"""What identifies the bytes of a file, and do two files hold the same?"""

from __future__ import annotations

import hashlib
import os

from pyprocessor.models import Source

WHOLE_BYTES = 4 << 20
"""A file of at most so many bytes is read whole; of a larger one only samples are."""
_SAMPLES, _SAMPLE_BYTES = 4, 64 << 10
"""Samples are the start, the end, and between them at equal distances: each may be a seek."""
_BLOCK_BYTES = 1 << 20


def digest(source: Source) -> str:
    """Return a digest of a file's bytes, or of samples of them; empty where it cannot be read or has changed.

    Files that differ may have the same digest if they are sampled, see `is_sampled`. Measured: 5 ms for 4 MB, 0.2 ms
    for more.
    """
    try:
        with open(source.path, "rb") as file:  # buffered: a read of the system may return less than there is
            found = os.fstat(file.fileno())
            if (found.st_size, found.st_mtime_ns) != (source.size_bytes, source.mtime_ns):
                return ""
            taken = hashlib.sha256(b"%d\0" % found.st_size)
            if not is_sampled(source):
                taken.update(file.read(WHOLE_BYTES + 1))
            else:
                for number in range(_SAMPLES):
                    file.seek((found.st_size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
                    taken.update(file.read(_SAMPLE_BYTES))
    except OSError:
        return ""
    return taken.hexdigest()[:32]


def is_sampled(source: Source) -> bool:
    """Whether only samples of it are in its digest, so that files of the same digest have to be compared."""
    return source.size_bytes > WHOLE_BYTES


def same_bytes(one: str, other: str) -> bool:
    """Return whether two files hold the same bytes. Raises OSError."""
    with open(one, "rb", buffering=0) as first, open(other, "rb", buffering=0) as second:
        if os.path.sameopenfile(first.fileno(), second.fileno()):
            return True
        a, b = bytearray(_BLOCK_BYTES), bytearray(_BLOCK_BYTES)
        while True:
            length = first.readinto(a)
            if second.readinto(b) != length or a != b:
                return False
            if not length:
                return True
