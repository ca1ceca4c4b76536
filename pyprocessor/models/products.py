"""What does a job leave under names of its own, and what is a publish granted for?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pyprocessor.models.wording import display

MAIN = "main"
"""Role of the product that a job is done for, which gets its name last; the others are its companions."""

MAX_NAME_BYTES = 255
"""What ext4, XFS, APFS and NTFS take at most; Linux counts bytes, the others fewer units than bytes."""

Seal = tuple[int, int]
"""Identifies what was finished, also after a rename. A file: size in bytes and mtime in ns. A folder: bytes of all its
files, and a 63-bit digest of names, kinds, sizes and mtimes in it (`publish/seals`)."""


@dataclass(frozen=True, slots=True)
class Product:
    """A file or a folder that a job makes; `name` is below the output root."""

    name: bytes
    role: str = MAIN
    folder: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """What a publish is granted for, one for each product of the grant.

    `temporary` is its name in the partials folder, `seal` identifies it, `before` what lay under the final name when
    the worker looked: None where the name was free.
    """

    product: Product
    temporary: str
    seal: Seal
    before: Seal | None


def naming_problem(products: Sequence[Product]) -> str | None:
    """Return why one grant cannot give these names, as a sentence; None where it can."""
    paths = sorted(product.name.split(b"/") for product in products)
    for parts in paths:
        if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
            return f"The name {display(b'/'.join(parts))!r} of a product is no path below the output folder."
        if any(len(part) > MAX_NAME_BYTES for part in parts):
            start = display(b"/".join(parts))[:60]
            return f"The name {start!r}... of a product is too long: no part may have more than {MAX_NAME_BYTES} bytes."
    for one, other in pairwise(paths):  # whatever begins with a path follows it directly
        if other[: len(one)] == one:
            outer, inner = display(b"/".join(one)), display(b"/".join(other))
            if one == other:
                return f"Two products of one job would both be named {outer}."
            return f"Two products of one job cannot be named {outer} and {inner}: the second would lie in the first."
    return None
