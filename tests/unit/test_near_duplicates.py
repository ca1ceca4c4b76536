"""Which sets of hashes are of the same video."""

from __future__ import annotations

import random

from pyprocessor.frames import near_duplicates


def changed(value: int, bits: int, rng: random.Random) -> int:
    """The hash with so many bits turned over."""
    for bit in rng.sample(range(64), bits):
        value ^= 1 << bit
    return value


def test_pairs_are_found_among_many() -> None:
    """Of 400 videos, 20 have a copy with 5 bits turned over and a tenth of the pictures others."""
    rng = random.Random(4)
    hashes = {str(number): [rng.getrandbits(64) for _ in range(40)] for number in range(400)}
    for number in range(20):
        own = hashes[str(number)]
        hashes[f"{number} again"] = [changed(each, 5, rng) for each in own[4:]]
    assert near_duplicates(hashes) == [(str(number), f"{number} again") for number in range(20)]


def test_a_title_in_all_videos_makes_no_duplicates() -> None:
    """One picture in common, in as many videos as there are, is too few."""
    rng = random.Random(5)
    hashes = {str(number): [77, *(rng.getrandbits(64) for _ in range(9))] for number in range(200)}
    assert near_duplicates(hashes) == []


def test_what_is_like_one_of_a_group_is_in_it() -> None:
    """In the order of the names; without hashes in none."""
    rng = random.Random(6)
    a, b = ([rng.getrandbits(64) for _ in range(10)] for _ in range(2))
    hashes = {"none": [], "b": b, "long": [*a, *b], "a": a, "nothing": []}
    assert near_duplicates(hashes) == [("b", "long", "a")]
    assert near_duplicates({}) == []
