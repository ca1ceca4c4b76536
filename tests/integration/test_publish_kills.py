"""Killing the publisher before each line it runs: no half file or folder under a final name, and a sweep clears all."""

from __future__ import annotations

import ctypes
import errno
import linecache
import os
import re
import shutil
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
from pyprocessor.publish import renames
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import TEMPORARY_PREFIX
from pyprocessor.publish.grants import discard_displaced
from pyprocessor.publish.partials import seal, sweep_partials
from pyprocessor.publish.publish import publish
from pyprocessor.publish.seals import seal_at
from tests.integration.grants import FILM, OURS, POSTER, SEGMENTS, SOURCE, Grant, read, tree, write

ANYWHERE = Bounds(b"/", SOURCE)
ROOM = os.path.dirname(pyprocessor.publish.__file__)
NEW, OLD = b"new" * 400_000, b"old"
ENDED, MOST_LINES = 0, 2000

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the publisher is killed in a forked child")


ANY_LINE = re.compile("")
CHANGING_LINE = re.compile(
    r"\b(call|copyfileobj|exchange|fsync|link|mkdir|open|rename|rename_exclusive|replace|rmtree|unlink|utime)\("
    r"|\.(flush|write)\(|\b(discard|sync)\w*\("
)
"""A line that may change what lies on the disk, or bring it there."""


def killed_before_line(number: int, deed: Callable[[], object], kind: re.Pattern[str] = ANY_LINE) -> bool:
    """Runs the deed in a child that kills itself before its `number`th such line in the room; False where it ended."""
    child = os.fork()
    if child == 0:
        left = number

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(ROOM):
                return None
            if event == "line" and kind.search(linecache.getline(frame.f_code.co_filename, frame.f_lineno)):
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


# ---------------------------------------------------------------- several products


def without_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names cannot be exchanged, as on NFS; a free name can still be taken in one step."""
    real, exchange = renames._renameat2(), 2

    def call(*arguments: Any) -> int:
        if arguments[-1] == exchange:
            ctypes.set_errno(errno.EINVAL)
            return -1
        assert real is not None
        return real(*arguments)

    monkeypatch.setattr(renames, "_renameat2", lambda: call)


@pytest.fixture(params=["exchange", "no exchange", pytest.param("neither", marks=pytest.mark.long)])
def exchanging(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the system offers: exchanges, free names in one step only, nothing."""
    if request.param == "no exchange":
        without_exchange(monkeypatch)
    elif request.param == "neither":
        monkeypatch.setattr(renames, "_renameat2", lambda: None)
    return str(request.param)


@pytest.fixture(params=["taken", "free"])
def grant(request: pytest.FixtureRequest, tmp_path: Path, root: bytes) -> Grant:
    """Three products over existing or free names."""
    return Grant(root, os.path.join(bytes(tmp_path), b"partial"), taken=request.param == "taken")


def moments(begin: Callable[[], object], deed: Callable[[], object], state: Callable[[], object]) -> Iterator[int]:
    """Kill the deed before each change that it makes; yields which, wherever that leaves what no earlier kill left."""
    seen: list[object] = []
    for number in range(1, MOST_LINES):
        begin()
        killed = killed_before_line(number, deed, CHANGING_LINE)
        if (found := state()) not in seen:
            seen.append(found)
            yield number
        if not killed:
            return
    raise AssertionError("it never ended")


def test_killing_the_publisher_of_several_products(grant: Grant, exchanging: str) -> None:
    """Whenever the kill comes, what is found is brought to its end: all is there, of this attempt."""
    seen = 0
    for _ in moments(grant.begin, grant.publish, grant.state):
        grant.check_names()
        assert grant.settle()
        grant.check_done(placed=True)
        seen += 1
    assert seen > 3


@pytest.mark.parametrize("taken", [True, False])
def test_killing_the_publisher_of_the_only_product(tmp_path: Path, root: bytes, way: str, taken: bool) -> None:
    """It is placed when the next run settles it, and a copy that was begun before leaves nothing behind."""
    grant = Grant(root, os.path.join(bytes(tmp_path), b"partial"), taken=taken, names=(FILM,))
    for _ in moments(grant.begin, grant.publish, grant.state):
        grant.check_names()
        assert grant.settle()
        grant.check_done(placed=True)


@pytest.mark.parametrize("lost", [FILM, *(pytest.param(name, marks=pytest.mark.long) for name in (POSTER, SEGMENTS))])
def test_a_product_that_is_lost_takes_the_others_with_it(grant: Grant, exchanging: str, lost: bytes) -> None:
    """The kill left some products placed, and one that was not is gone: all is as before."""
    seen = 0
    for _ in moments(grant.begin, grant.publish, grant.state):
        if not lose(grant, lost):
            continue
        assert not grant.settle()
        grant.check_done(placed=False)
        seen += 1
    assert seen


def lose(grant: Grant, name: bytes) -> bool:
    """Removes what is sealed and not placed yet; False where it is placed."""
    partial, sealed = grant.partial(name), grant.intent(name).seal
    if seal_at(partial) != sealed or seal_at(grant.final(name)) == sealed:
        return False
    shutil.rmtree(partial) if os.path.isdir(partial) else os.unlink(partial)
    return True


@pytest.mark.long
@pytest.mark.parametrize("lost", [True, False])
def test_killing_who_settles(grant: Grant, exchanging: str, lost: bool) -> None:
    """Recovery may be cut off anywhere, on its way on or back, and is simply called again."""
    every = 1
    if os.path.dirname(grant.root) != os.path.dirname(grant.partials):  # each copy has many moments of its own
        grant, every = Grant(grant.root, grant.partials, taken=bool(grant.before), names=(FILM, POSTER)), 4
    for number in list(moments(grant.begin, grant.publish, grant.state))[::every]:

        def cut_off(number: int = number) -> None:
            grant.begin()
            killed_before_line(number, grant.publish, CHANGING_LINE)
            if lost:
                lose(grant, FILM)

        cut_off()
        placed = grant.settle()
        for _ in moments(cut_off, grant.settle, grant.state):
            grant.check_names()
            assert grant.settle() == placed
            grant.check_done(placed)


def test_killing_who_discards_what_was_displaced(grant: Grant, exchanging: str) -> None:
    """The journal has that all was published; whatever is left then is swept."""

    def published() -> None:
        grant.begin().publish()

    def discard() -> None:
        discard_displaced(grant.intents, partials=grant.partials, output_root=grant.root)

    for _ in moments(published, discard, grant.state):
        assert grant.settle()
        grant.check_done(placed=True)
    published()
    discard()
    assert os.listdir(grant.partials) == []
    assert tree(grant.root) == grant.after
