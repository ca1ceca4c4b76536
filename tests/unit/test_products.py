"""Which names one grant can give, and what is decided about a product that a kill left on its way."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from pyprocessor.models.products import Intent, Product, Seal, naming_problem
from pyprocessor.publish.grants import Standing, standing


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([b"a.mp4", b"a.jpg", b"a/b.mp4", b"ab/c"], None),
        ([b"a", b"ab", b"a.b", b"b/a"], None),
        ([b"x/a", b"x/b", b"x/a"], "would both be named x/a"),
        ([b"x", b"x-y", b"x/y/z"], "named x and x/y/z: the second would lie in the first"),
        ([b"/etc/passwd"], "no path below"),
        ([b"a/../../b"], "no path below"),
        ([b"a//b"], "no path below"),
        ([b"a/"], "no path below"),
        ([b""], "no path below"),
        ([b"./a"], "no path below"),
        ([b"a\0b"], "no path below"),
        ([b"x" * 255 + b"/" + b"y" * 255], None),
        ([b"x" * 256 + b"/a"], "is too long: no part may have more than 255 bytes"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_names_of_one_grant(names: list[bytes], sentence: str | None) -> None:
    """No name lies in another or leaves the output, in whatever order they are given."""
    for order in permutations(names):
        told = naming_problem([Product(name) for name in order])
        assert told is None if sentence is None else told is not None and sentence in told


OURS, OLD, OTHER = (1, 1), (2, 2), (3, 3)


@pytest.mark.parametrize("before", [None, OLD])
def test_how_far_a_product_has_come(before: Seal | None) -> None:
    """Under its final name it is placed, whatever else is found; it is ready where both names are as when it was
    granted, or what was there has been moved away; all else is lost."""
    intent = Intent(Product(b"a"), "a", OURS, before)
    ready = []
    for final, partial, moved_away in product((None, OURS, OLD, OTHER), (None, OURS, OLD, OTHER), (False, True)):
        found = standing(intent, final=final, partial=partial, moved_away=moved_away)
        assert (found is Standing.PLACED) == (final == OURS)
        if found is Standing.READY:
            ready.append((final, partial, moved_away))
    on_the_way = [] if before is None else [(None, OURS, True)]
    untouched = [(before, OURS, moved_away) for moved_away in (False, True)]
    assert sorted(ready, key=str) == sorted(untouched + on_the_way, key=str)
