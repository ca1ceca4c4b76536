"""A grant of three products, over existing or free names, and what can be said of it at any moment."""

from __future__ import annotations

import os
import shutil

from pyprocessor.models import Source
from pyprocessor.models.products import Intent, Product
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import TEMPORARY_PREFIX
from pyprocessor.publish.grants import Placed, publish_all, settle
from pyprocessor.publish.partials import seal, sweep_partials
from pyprocessor.publish.seals import seal_at

OURS = b"0123456789abcdef0123"
"""What begins the name of an attempt's unfinished output."""
SOURCE = Source(b"/nonexistent/a.mov", b"a.mov", 1, 1)
"""One that nothing can hit."""

Tree = dict[bytes, bytes]
"""Content of each file, by path; a name with a slash at its end is a folder."""

FILM, POSTER, SEGMENTS = NAMES = b"film.mp4", b"film.jpg", b"segments"
ROLES = {FILM: ("main", b"mp4"), POSTER: ("poster", b"jpg"), SEGMENTS: ("hls", b"hls")}
"""Role, and extension of the temporary name."""
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
    """A film, a picture and a folder of segments (or some of them), and what lay under their names before."""

    def __init__(self, root: bytes, partials: bytes, *, taken: bool, names: tuple[bytes, ...] = NAMES) -> None:
        self.root, self.partials, self.names = root, partials, names
        self.after = {path: held for name in names for path, held in part(AFTER, name).items()}
        self.before = {path: held for name in names for path, held in part(BEFORE, name).items() if taken}
        self.bounds = Bounds(root, SOURCE)
        self.allowed = names
        self.intents: tuple[Intent, ...] = ()

    def begin(self) -> Grant:
        """Everything is verified and sealed, nothing has its name yet."""
        for folder in (self.root, self.partials):
            shutil.rmtree(folder, ignore_errors=True)
        plant(self.root, self.before)
        self.intents = tuple(self._intent(name) for name in self.names)
        return self

    def _intent(self, name: bytes) -> Intent:
        role, extension = ROLES[name]
        partial = os.path.join(self.partials, OURS + b"-1." + extension)
        for path, held in part(self.after, name).items():
            plant(self.partials, {os.path.basename(partial) + path.removeprefix(name): held})
        before = seal_at(os.path.join(self.root, name))
        product = Product(name, role, folder=name == SEGMENTS)
        return Intent(product, os.path.basename(partial).decode(), seal(partial), before)

    def intent(self, name: bytes) -> Intent:
        return next(intent for intent in self.intents if intent.product.name == name)

    def partial(self, name: bytes) -> bytes:
        """Where this product lies until it has its name."""
        return os.path.join(self.partials, self.intent(name).temporary.encode())

    def final(self, name: bytes) -> bytes:
        return os.path.join(self.root, name)

    def publish(self) -> tuple[Placed, ...]:
        return publish_all(self.intents, partials=self.partials, bounds=self.bounds, allowed=self.allowed)

    def settle(self) -> bool:
        return bool(settle(self.intents, partials=self.partials, bounds=self.bounds, allowed=self.allowed))

    def check_names(self) -> None:
        """Each name is free, or has its old content, or all of the new."""
        found = {name: held for name, held in tree(self.root).items() if not name.startswith(TEMPORARY_PREFIX)}
        for product in self.names:
            held = part(found, product)
            assert held in ({}, part(self.after, product), part(self.before, product)), product

    def check_done(self, placed: bool) -> None:
        """All is there or all is as before, and after a sweep nothing else is left."""
        found = {name: held for name, held in tree(self.root).items() if not name.startswith(TEMPORARY_PREFIX)}
        assert found == (self.after if placed else self.before)
        sweep_partials(self.partials)
        assert os.listdir(self.partials) == []
        assert tree(self.root) == (self.after if placed else self.before)

    def state(self) -> object:
        """What tells apart two moments of a publish."""
        return sorted(tree(self.root).items()), sorted(tree(self.partials).items())


def part(of: Tree, product: bytes) -> Tree:
    """What belongs to one product."""
    return {name: held for name, held in of.items() if name == product or name.startswith(product + b"/")}


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
