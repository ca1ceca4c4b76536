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
from pyprocessor.models import Source
from pyprocessor.models.products import Intent, Product
from pyprocessor.publish import renames
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import TEMPORARY_PREFIX
from pyprocessor.publish.grants import discard_displaced, publish_all, settle
from pyprocessor.publish.partials import seal, sweep_partials
from pyprocessor.publish.publish import publish
from pyprocessor.publish.seals import seal_at

ANYWHERE = Bounds(b"/", Source(b"/nonexistent/a.mov", b"a.mov", 1, 1))
ROOM = os.path.dirname(pyprocessor.publish.__file__)
NEW, OLD = b"new" * 400_000, b"old"
ENDED, MOST_LINES = 0, 2000
OURS = b"0123456789abcdef0123"

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


# ---------------------------------------------------------------- several products

Tree = dict[bytes, bytes]
"""Content of each file, by path; a name with a slash at its end is a folder."""

FILM, POSTER, SEGMENTS = b"film.mp4", b"film.jpg", b"segments"
AFTER: Tree = {
    FILM: b"new film",
    POSTER: b"new picture",
    b"segments/": b"",
    b"segments/a.ts": b"1",
    b"segments/low/": b"",
    b"segments/low/b.ts": b"2",
}
BEFORE: Tree = {
    FILM: b"old",
    POSTER: b"old picture",
    b"segments/": b"",
    b"segments/a.ts": b"old",
    b"segments/z.ts": b"",
}


def tree(folder: bytes) -> Tree:
    """All that lies in a folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        inside = os.path.relpath(place, folder)
        found |= {os.path.normpath(os.path.join(inside, name)) + b"/": b"" for name in folders}
        found |= {
            os.path.normpath(os.path.join(inside, name)): read(os.path.join(place, name)) or b"" for name in files
        }
    return found


def plant(folder: bytes, held: Tree) -> None:
    """Make these files and folders."""
    os.makedirs(folder, exist_ok=True)
    for name, content in sorted(held.items()):
        path = os.path.join(folder, name)
        if path.endswith(b"/"):
            os.makedirs(path, exist_ok=True)
        else:
            write(path, content)


class Grant:
    """A film, a picture and a folder of segments, granted one below another, and what lay under their names before."""

    def __init__(self, root: bytes, partials: bytes, taken: bool) -> None:
        self.root, self.partials = root, partials
        self.before = BEFORE if taken else {}
        self.bounds = Bounds(root, ANYWHERE.source)
        self.allowed = (FILM, POSTER, SEGMENTS)
        self.intents: tuple[Intent, ...] = ()

    def begin(self) -> Grant:
        """Everything is verified and sealed, nothing has its name yet."""
        for folder in (self.root, self.partials):
            shutil.rmtree(folder, ignore_errors=True)
        plant(self.root, self.before)
        intents = []
        for name, role, temporary in ((FILM, "main", b"mp4"), (POSTER, "poster", b"jpg"), (SEGMENTS, "hls", b"d")):
            partial = os.path.join(self.partials, OURS + b"-1." + temporary)
            if role == "hls":
                inside = len(SEGMENTS) + 1
                plant(partial, {path[inside:]: held for path, held in AFTER.items() if SEGMENTS in path[: inside - 1]})
            else:
                write(partial, AFTER[name])
            product = Product(name, role, folder=role == "hls")
            before = seal_at(os.path.join(self.root, name))
            intents.append(Intent(product, os.path.basename(partial).decode(), seal(partial), before))
        self.intents = tuple(intents)
        return self

    def publish(self) -> object:
        return publish_all(self.intents, partials=self.partials, bounds=self.bounds, allowed=self.allowed)

    def settle(self) -> bool:
        return bool(settle(self.intents, partials=self.partials, bounds=self.bounds, allowed=self.allowed))

    def check_names(self) -> None:
        """Each name is free, or has its old content, or all of the new."""
        found = {name: held for name, held in tree(self.root).items() if not name.startswith(TEMPORARY_PREFIX)}
        for product in (FILM, POSTER, SEGMENTS):
            held = part(found, product)
            assert held in ({}, part(AFTER, product), part(self.before, product)), product

    def check_done(self, placed: bool) -> None:
        """All is there or all is as before, and after a sweep nothing else is left."""
        found = {name: held for name, held in tree(self.root).items() if not name.startswith(TEMPORARY_PREFIX)}
        assert found == (AFTER if placed else self.before)
        sweep_partials(self.partials)
        assert os.listdir(self.partials) == []
        assert tree(self.root) == (AFTER if placed else self.before)

    def state(self) -> object:
        """What tells apart two moments of a publish."""
        return sorted(tree(self.root).items()), sorted(tree(self.partials).items())


def part(of: Tree, product: bytes) -> Tree:
    """What belongs to one product."""
    return {name: held for name, held in of.items() if name == product or name.startswith(product + b"/")}


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
    return Grant(root, os.path.join(bytes(tmp_path), b"partial"), request.param == "taken")


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


@pytest.mark.parametrize("lost", [FILM, POSTER, SEGMENTS])
def test_a_product_that_is_lost_takes_the_others_with_it(grant: Grant, exchanging: str, lost: bytes) -> None:
    """The kill left some products placed, and one that was not is gone: all is as before."""
    seen = 0
    for _ in moments(grant.begin, grant.publish, grant.state):
        intent = next(intent for intent in grant.intents if intent.product.name == lost)
        partial = os.path.join(grant.partials, intent.temporary.encode())
        if seal_at(partial) != intent.seal or seal_at(os.path.join(grant.root, lost)) == intent.seal:
            continue
        shutil.rmtree(partial) if intent.product.folder else os.unlink(partial)
        assert not grant.settle()
        grant.check_done(placed=False)
        seen += 1
    assert seen


@pytest.mark.long
@pytest.mark.parametrize("lost", [True, False])
def test_killing_who_settles(grant: Grant, exchanging: str, lost: bool) -> None:
    """Recovery may be cut off anywhere, on its way on or back, and is simply called again."""
    for number in list(moments(grant.begin, grant.publish, grant.state)):

        def cut_off(number: int = number) -> None:
            grant.begin()
            killed_before_line(number, grant.publish, CHANGING_LINE)
            main = grant.intents[0]
            partial = os.path.join(grant.partials, main.temporary.encode())
            if lost and seal_at(partial) == main.seal and seal_at(os.path.join(grant.root, FILM)) != main.seal:
                os.unlink(partial)

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
    assert tree(grant.root) == AFTER
