"""What did this very file take before? A bounded table of factors, kept with the learned costs of whole classes.

A file that is done again is known: by the same encoder, preset and size it takes what it took, and by another one it is
as easy or hard among its like as it was. Each file has two entries; the oldest go first.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections.abc import Iterable

from pyprocessor.costs.model import CostClass, CostModel, class_of
from pyprocessor.models import Cost, CostFeatures, Source

MOST_ENTRIES = 60_000
ACROSS_ENCODERS = 0.5
"""How much of what sets a file apart with one encoder does so with another (54 real clips, x264 and SVT-AV1: 0.6 by
least squares, 0.3 to 0.5 by the median error)."""
_LARGEST = math.log(50.0)
Entry = tuple[int, float, int]
"""A hash of a file's name, size and time, with or without how it was encoded; the natural logarithm of measured / prior
CPU-seconds; and a hash of the class it was measured in."""


class FileHistory:
    """What single files took; `entries` are those of earlier runs, oldest first. Mutable."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._known = {key: (ratio, tag) for key, ratio, tag in entries}

    def entries(self) -> list[Entry]:
        """All that is known, oldest first."""
        return [(key, *value) for key, value in self._known.items()]

    def factor(self, source: Source, features: CostFeatures, model: CostModel) -> float:
        """How many times the CPU time that `model` predicts for such files this one is expected to take."""
        if not self._known:
            return 1.0
        alike = self._known.get(_key(source, features))
        if alike is not None:
            return math.exp(alike[0]) / _usual(model, class_of(features, 1))
        ratio, tag = self._known.get(_key(source), (0.0, 0))
        other = next((known for known in model.classes if _tag(known) == tag), None)
        return 1.0 if other is None else (math.exp(ratio) / _usual(model, other)) ** ACROSS_ENCODERS

    def remember(self, source: Source, features: CostFeatures, threads: int, prior: Cost, measured: Cost) -> None:
        """Add what one attempt took."""
        if not (prior.cpu_seconds > 0 and 0 < measured.cpu_seconds < math.inf):
            return
        ratio = max(-_LARGEST, min(_LARGEST, math.log(measured.cpu_seconds / prior.cpu_seconds)))
        for key in (_key(source), _key(source, features)):
            self._known.pop(key, None)  # so that it stands last, as the newest
            self._known[key] = round(ratio, 4), _tag(class_of(features, threads))
        while len(self._known) > MOST_ENTRIES:
            del self._known[next(iter(self._known))]


def _usual(model: CostModel, cost_class: CostClass) -> float:
    """How many times their priors jobs of this class take."""
    return model.price(cost_class, 1.0).cpu


@functools.lru_cache(maxsize=4096)
def _tag(cost_class: CostClass) -> int:
    return int.from_bytes(hashlib.blake2b(repr(cost_class).encode(), digest_size=4).digest(), "little")


def _key(source: Source, features: CostFeatures | None = None) -> int:
    parts = [os.path.basename(source.path), str(source.size_bytes).encode(), str(source.mtime_ns).encode()]
    if features is not None:
        how = (features.encoder, features.preset, features.pixels, features.pixel_format, features.crf)
        parts.append(repr(how).encode())
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
