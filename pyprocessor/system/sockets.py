"""How is a local socket addressed in a folder whose path is longer than an address may be?"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

LONGEST_ADDRESS = 107 if sys.platform == "linux" else 103
"""Bytes of `sun_path` less the one that ends it."""
DESCRIPTORS = "/proc/self/fd"


@contextlib.contextmanager
def socket_address(folder: bytes, opened: int, name: bytes) -> Iterator[bytes]:
    """Context with an address of the socket `name` in a folder; `opened` is a descriptor of that folder.

    A path that is too long goes through the descriptor where the system shows descriptors as paths; elsewhere the
    folder becomes the current one meanwhile, for all threads.
    """
    path = os.path.join(folder, name)
    if len(path) <= LONGEST_ADDRESS:
        yield path
    elif os.path.exists(f"{DESCRIPTORS}/{opened}"):
        yield b"%s/%d/%s" % (DESCRIPTORS.encode(), opened, name)
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
