"""How is a local socket addressed in a folder whose path is longer than an address may be?"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

LONGEST_ADDRESS = 107 if sys.platform == "linux" else 103
"""Bytes of `sun_path` less the one that ends it."""
_OPENED = "/proc/self/fd"


@contextlib.contextmanager
def socket_address(folder: bytes, opened: int, name: bytes, *, by_descriptor: bool | None = None) -> Iterator[bytes]:
    """Context with an address of the socket `name` in a folder; `opened` is a descriptor of that folder.

    A path that is too long goes through the descriptor where the system shows descriptors as paths; elsewhere the
    folder becomes the current one meanwhile, for all threads. `by_descriptor` says which way, for tests.
    """
    path = os.path.join(folder, name)
    if len(path) <= LONGEST_ADDRESS and by_descriptor is None:
        yield path
    elif by_descriptor if by_descriptor is not None else os.path.exists(f"{_OPENED}/{opened}"):
        yield b"%s/%d/%s" % (_OPENED.encode(), opened, name)
    else:
        before = os.open(".", os.O_RDONLY)
        try:
            os.fchdir(opened)
            try:
                yield name
            finally:
                os.fchdir(before)
        finally:
            os.close(before)
