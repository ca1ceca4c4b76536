"""Which videos show the same? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def near_duplicates(
    hashes: Mapping[str, Sequence[int]], *, most_bits: int = 10, least_share: float = 0.5
) -> list[tuple[str, ...]]:
    """Return groups of names whose videos show the same, each of two or more, in the order of `hashes`.

    `hashes` are `Analysis.hashes` by name. Two videos show the same where `least_share` of the hashes of the one that
    has fewer are within `most_bits` (of 64) of one of the other's. A video without hashes is in no group.
    """
    raise NotImplementedError
