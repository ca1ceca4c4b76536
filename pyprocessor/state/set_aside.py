"""Moving a file of ours that cannot be used out of the way, so that it can be looked at later."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count

from pyprocessor.models.os_errors import unwritable
from pyprocessor.publish.durable import sync_folder


def set_aside(path: bytes, companions: Iterable[bytes], now: float) -> bytes:
    """Renames a file to `<path>.damaged-<UTC time>`, and along with it what bears its name and one of these endings.

    `now` is seconds since the epoch. Returns the new path. The file itself goes last: a kill on the way leaves it under
    its name, to be set aside again. Raises OutputUnwritable.
    """
    stamp = f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}".encode("ascii")
    try:
        aside = next(name for name in _names(path + b".damaged-" + stamp) if not os.path.lexists(name))
        for ending in (*companions, b""):
            if os.path.lexists(path + ending):
                os.rename(path + ending, aside + ending)
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise unwritable(error, path, "is damaged and could not be set aside") from error
    return aside


def forget(path: bytes) -> None:
    """Removes a file of the state folder, durably; nothing happens where there is none. Raises OutputUnwritable."""
    try:
        os.unlink(path)
        sync_folder(os.path.dirname(path))
    except FileNotFoundError:
        return
    except OSError as error:
        raise unwritable(error, path, "could not be removed") from error


def _names(first: bytes) -> Iterable[bytes]:
    yield first
    yield from (b"%s-%d" % (first, number) for number in count(2))
