"""What single files took before: a bounded table of factors, kept beside the learned costs of whole classes.

A file that is done again, into another folder or by another profile, is known: by the same encoder, preset and size it
takes what it took, and by another one it is as easy or hard among its like as it was. Sixteen bytes an entry, two
entries a file; the oldest go first.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
import struct
from collections.abc import Iterator

from pyprocessor.costs.calibration import replace_file
from pyprocessor.costs.model import CostClass, CostModel, class_of
from pyprocessor.models import Cost, CostFeatures, Source

FILE_NAME = "costs-of-files.bin"
MOST_ENTRIES = 60_000
ACROSS_ENCODERS = 0.5
"""How much of what sets a file apart with one encoder does so with another (54 real clips, x264 and SVT-AV1: 0.6 by
least squares, 0.3 to 0.5 by the median error)."""
_HEADER = b"pyprocessor files 1\n"
_ENTRY = struct.Struct("<QfI")
_LARGEST = math.log(50.0)


class FileHistory:
    """Mutable. Keys are hashes of a file's name, size and time, with and without how it was encoded.

    Values are the natural logarithm of measured / prior CPU-seconds, and a hash of the class it was measured in.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def factor(self, source: Source, features: CostFeatures, model: CostModel) -> float:
        """How many times the CPU time that `model` predicts for such files this one is to be expected to take."""
        if not self._known:
            return 1.0
        alike = self._known.get(_key(source, features))
        if alike is not None:
            return math.exp(alike[0]) / _usual(model, class_of(features, 1))
        ratio, tag = self._known.get(_key(source), (0.0, 0))
        other = next((known for known in model.classes if _tag(known) == tag), None)
        return 1.0 if other is None else (math.exp(ratio) / _usual(model, other)) ** ACROSS_ENCODERS

    def remember(self, source: Source, features: CostFeatures, threads: int, prior: Cost, measured: Cost) -> None:
        """Take in what one attempt took."""
        if not (prior.cpu_seconds > 0 and 0 < measured.cpu_seconds < math.inf):
            return
        ratio = max(-_LARGEST, min(_LARGEST, math.log(measured.cpu_seconds / prior.cpu_seconds)))
        for key in (_key(source), _key(source, features)):
            self._known.pop(key, None)  # so that it stands last, as the newest
            self._known[key] = ratio, _tag(class_of(features, threads))
        while len(self._known) > MOST_ENTRIES:
            del self._known[next(iter(self._known))]

    def save(self, path: str) -> None:
        """Write it beside `path`, sync it and put it in place. Raises `OSError`."""
        replace_file(path, _HEADER + b"".join(self._packed()))

    def _packed(self) -> Iterator[bytes]:
        return (_ENTRY.pack(key, *value) for key, value in self._known.items())

    @classmethod
    def load(cls, path: str) -> FileHistory:
        """The history saved at `path`, or an empty one where there is none. Raises `OSError` and `ValueError`."""
        history = cls()
        try:
            with open(path, "rb") as file:
                content = file.read(len(_HEADER) + MOST_ENTRIES * _ENTRY.size + 1)
        except FileNotFoundError:
            return history
        body = content[len(_HEADER) :]
        if not content.startswith(_HEADER) or len(body) % _ENTRY.size:
            raise ValueError("not a table of files")
        known = {key: (ratio, tag) for key, ratio, tag in _ENTRY.iter_unpack(body)}
        if not all(math.isfinite(ratio) for ratio, _ in known.values()):
            raise ValueError("not a number")
        history._known = known
        return history


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
