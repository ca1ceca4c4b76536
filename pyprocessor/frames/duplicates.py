"""Which videos show the same? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

_BANDS = 4
"""Of 16 bits each. Two pictures that are alike mostly have one in common."""
_MOST_NEIGHBOURS = 64
"""With how many of those in front of it a hash is compared that has the same band: a title may be in every video."""
_FEW = 4
"""Different pictures; videos of fewer have to be twice as much alike, since one may be like another by chance."""

Numbers: TypeAlias = "np.ndarray[Any, Any]"


def near_duplicates(
    hashes: Mapping[str, Sequence[int]], *, most_bits: int = 12, least_share: float = 0.4
) -> list[tuple[str, ...]]:
    """Return groups of names whose videos show the same, each of two or more, in the order of `hashes`.

    `hashes` are `Analysis.hashes` by name. Two videos show the same where `least_share` of the hashes of the one that
    has fewer are within `most_bits` (of 64; half of that if there are fewer than 4) of one of the other's; whichever is
    like one of a group is in it. A video without hashes is in no group.
    """
    names = list(hashes)
    own = [np.array(sorted(set(hashes[name])), dtype=np.uint64) for name in names]
    group = list(range(len(names)))

    def first(place: int) -> int:
        while group[place] != place:
            group[place] = group[group[place]]
            place = group[place]
        return place

    for one, other in _candidates(own, most_bits):
        a, b = first(one), first(other)
        if a != b and _share(own[one], own[other], most_bits) >= least_share:
            group[max(a, b)] = min(a, b)
    groups: dict[int, list[str]] = {}
    for place, name in enumerate(names):
        groups.setdefault(first(place), []).append(name)
    return [tuple(each) for each in groups.values() if len(each) > 1]


def _candidates(own: list[Numbers], most_bits: int) -> list[tuple[int, int]]:
    """Return the pairs of videos that have two pictures alike, found without comparing all with all."""
    bits = np.concatenate([*own, np.array([], dtype=np.uint64)])
    video = np.repeat(np.arange(len(own)), [len(each) for each in own])
    found = [np.empty(0, dtype=np.int64)]
    for band in range(_BANDS):
        key = (bits >> np.uint64(16 * band)).astype(np.uint16)
        order = np.argsort(key, kind="stable")
        sorted_key, sorted_bits, sorted_video = key[order], bits[order], video[order]
        for ahead in range(1, min(_MOST_NEIGHBOURS + 1, len(bits))):
            same = np.flatnonzero(sorted_key[ahead:] == sorted_key[:-ahead])
            if not same.size:
                break
            one, other = sorted_video[same], sorted_video[same + ahead]
            alike = np.bitwise_count(sorted_bits[same] ^ sorted_bits[same + ahead]) <= most_bits
            alike &= one != other
            found.append(np.minimum(one, other)[alike] * len(own) + np.maximum(one, other)[alike])
    return [divmod(int(pair), len(own)) for pair in np.unique(np.concatenate(found))]


def _share(one: Numbers, other: Numbers, most_bits: int) -> float:
    """Return the share of the hashes of the video with fewer that the other has as well."""
    few, many = sorted((one, other), key=len)
    if len(few) < _FEW:
        most_bits //= 2
    nearest = np.bitwise_count(few[:, None] ^ many[None, :]).min(axis=1)
    return float((nearest <= most_bits).mean())
