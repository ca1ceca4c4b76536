"""Killing the publisher before each line it runs: no half file or folder under a final name, and a sweep clears all."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial as partial_call
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pyprocessor.publish
from pyprocessor.models import Source
from pyprocessor.publish import renames
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import TEMPORARY_PREFIX
from pyprocessor.publish.partials import seal, sweep_partials
from pyprocessor.publish.publish import publish

ANYWHERE = Bounds(b"/", Source(b"/nonexistent/a.mov", b"a.mov", 1, 1))
ROOM = os.path.dirname(pyprocessor.publish.__file__)
NEW, OLD = b"new" * 400_000, b"old"
ENDED, MOST_LINES = 0, 2000
OURS = b"0123456789abcdef0123"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the publisher is killed in a forked child")


def killed_before_line(number: int, deed: Callable[[], object]) -> bool:
    """Runs the deed in a child that kills itself before its `number`th line in the room; False where it ended."""
    child = os.fork()
    if child == 0:
        left = number

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(ROOM):
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            deed()
        finally:
            os._exit(ENDED)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process takes nothing from the page cache, so here syncing would only cost time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(params=["same", pytest.param("another", marks=pytest.mark.long)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bytes]:
    """Where final names lie: on the partials' file system or on another one."""
    if request.param == "same":
        yield os.path.join(bytes(tmp_path), b"out")
        return
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield os.path.join(os.fsencode(folder), b"out")


@pytest.fixture(params=["renameat2", pytest.param("without", marks=pytest.mark.long)])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the system's one-step calls and without them."""
    if request.param == "without":
        monkeypatch.setattr(renames, "_renameat2", lambda: None)
    return str(request.param)


def write(path: bytes, held: bytes) -> bytes:
    """A file with this content, its folders made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as writing:
        writing.write(held)
    return path


def read(path: bytes) -> bytes | None:
    """A file's content, or None where there is none."""
    try:
        with open(path, "rb") as reading:
            return reading.read()
    except FileNotFoundError:
        return None


def leftovers(folder: bytes) -> list[bytes]:
    """Temporary names of ours below a folder."""
    return [name for _, dirs, names in os.walk(folder) for name in dirs + names if name.startswith(TEMPORARY_PREFIX)]


@pytest.mark.parametrize("replace", [True, False])
def test_killing_the_publisher_of_a_file(tmp_path: Path, root: bytes, way: str, replace: bool) -> None:
    """The final name has the old content or all of the new, whenever the kill comes."""
    partials = os.path.join(bytes(tmp_path), b"partial")
    before = OLD if replace else None
    seen = set()
    for number in range(1, MOST_LINES):
        final = os.path.join(root, str(number).encode(), b"film.mp4")
        if replace:
            write(final, OLD)
        partial = write(os.path.join(partials, OURS + b"-1.mp4"), NEW)
        sealed = seal(partial)
        deed = partial_call(publish, partial, final, seal=sealed, replace=replace, bounds=ANYWHERE)
        killed = killed_before_line(number, deed)
        found = read(final)
        assert found in (before, NEW)
        assert found == NEW or read(partial) == NEW
        seen.add(found)
        sweep_partials(partials)
        assert os.listdir(partials) == []
        assert leftovers(root) == []
        if found == NEW:
            os.unlink(final)
        if not killed:
            break
    assert not killed
    assert seen == {before, NEW}
