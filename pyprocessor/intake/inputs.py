"""Which relative paths do the files of each input get?

The files of a folder that is the only input go by their path below it, a file by its own name. Of several inputs each
keeps its name, as `cp -r` has it, and as many of the folders above it as distinguish it from the others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from pyprocessor.models import Input, InputFolder
from pyprocessor.plan.naming import folded, order_key


def inputs_of(paths: Sequence[bytes]) -> tuple[Input, ...]:
    """Return the inputs in walking order, of distinct absolute paths; one that cannot be read is a folder."""
    names = _names(paths)
    inputs = []
    for path, name in zip(paths, names, strict=True):
        folder, device = True, None
        with suppress(OSError):
            status = os.stat(path)
            folder, device = stat.S_ISDIR(status.st_mode), status.st_dev
        if folder:
            inputs.append(Input(path, name if len(paths) > 1 else b"", InputFolder(path, device)))
        else:
            inputs.append(Input(path, name, InputFolder(os.path.dirname(path), device)))
    return tuple(sorted(inputs, key=lambda given: order_key(given.name if given.is_file else given.name + b"/")))


def _names(paths: Sequence[bytes]) -> list[bytes]:
    """Return the shortest ends of the paths such that none equals another or is a folder above it."""
    parts = [path.strip(b"/").split(b"/") for path in paths]
    lengths = [1] * len(paths)
    while True:
        ends = [tuple(map(folded, given[-length:])) for given, length in zip(parts, lengths, strict=True)]
        holders: dict[tuple[str, ...], list[int]] = {}
        for index, end in enumerate(ends):
            holders.setdefault(end, []).append(index)
        meeting: set[int] = set()
        for index, end in enumerate(ends):
            above = [other for depth in range(1, len(end)) for other in holders.get(end[:depth], ())]
            if above or len(holders[end]) > 1:
                meeting |= {index, *above, *holders[end]}
        longer = [index for index in meeting if lengths[index] < len(parts[index])]
        if not longer:
            return [b"/".join(given[-length:]) for given, length in zip(parts, lengths, strict=True)]
        for index in longer:
            lengths[index] += 1
