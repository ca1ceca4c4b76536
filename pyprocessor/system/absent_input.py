"""Is the input as a whole gone (a share unmounted, a server lost), and not one file of it?

Only batch processes and the inspector may call this, as it may wait for the input's disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

from pyprocessor.errors.errnos import UNREACHABLE
from pyprocessor.models import InputFolder, display


def absent(path: bytes, folders: Sequence[InputFolder]) -> str | None:
    """Return a sentence where the input that this file lies in cannot be read; `folders` are those of the run's inputs.

    An input that has become empty, on another file system than before, is taken for an unmounted share. A folder below
    it that is gone concerns its own files only.
    """
    folder = os.path.dirname(path)
    holding = (held for held in folders if path.startswith(os.path.join(held.path, b"")))
    innermost = max(holding, key=lambda held: len(held.path), default=InputFolder(folder))
    root, device = innermost.path, innermost.device
    try:
        with os.scandir(root) as entries:
            emptied = next(entries, None) is None and device not in (None, os.stat(root).st_dev)
    except FileNotFoundError:
        return f"The input {display(root)} is no longer there."
    except OSError as error:
        if error.errno in UNREACHABLE or error.errno == errno.EIO:
            return f"The input {display(root)} cannot be read any more: {error.strerror}."
        return None
    if emptied:
        return f"The input {display(root)} has become empty, as if something were not mounted."
    try:
        os.stat(folder)
    except OSError as error:
        if error.errno in UNREACHABLE:
            return f"The folder {display(folder)} of the input cannot be reached any more: {error.strerror}."
    return None
