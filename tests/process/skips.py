"""What not every machine lets a test have: where it cannot be had, the test is skipped, with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.process.cgroups import MemoryGroup, NoMemoryGroup, memory_group
from tests.process.disks import NoDisk, memory_disk


@contextlib.contextmanager
def group_or_skip(limit_bytes: int) -> Iterator[MemoryGroup]:
    """A fresh memory control group."""
    with contextlib.ExitStack() as stack:
        try:
            group = stack.enter_context(memory_group(limit_bytes))
        except NoMemoryGroup as reason:
            pytest.skip(f"No control group of our own: {reason}")
        yield group


@contextlib.contextmanager
def disk_or_skip(
    point: Path, size_bytes: int, kind: Callable[[Path, int], AbstractContextManager[Path]] = memory_disk
) -> Iterator[Path]:
    """A fresh file system of this kind (see `disks`), mounted at `point`, a folder that is made."""
    with contextlib.ExitStack() as stack:
        try:
            disk = stack.enter_context(kind(point, size_bytes))
        except NoDisk as reason:
            pytest.skip(str(reason))
        yield disk
