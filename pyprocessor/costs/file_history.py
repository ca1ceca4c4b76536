"""What single files took before: a bounded table of factors, kept beside the learned costs of whole classes.

A file that is done again, into another folder or by another profile, is known: by the same encoder, preset and size it
takes what it took, and by another one it is as easy or hard among its like as it was. Twelve bytes an entry, two
entries a file; the oldest go first.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
from collections.abc import Iterator

from pyprocessor.costs.calibration import replace_file
from pyprocessor.costs.model import CostModel, class_of
from pyprocessor.models import Cost, CostFeatures, Source

FILE_NAME = "costs-of-files.bin"
MOST_ENTRIES = 60_000
ACROSS_ENCODERS = 0.7
"""How much of what sets a file apart with one encoder does so with another (real clips, x264 against SVT-AV1)."""
_HEADER = b"pyprocessor files 1\n"
_ENTRY = struct.Struct("<Qf")
_LARGEST = math.log(50.0)


class FileHistory:
    """Mutable. Keys are hashes of a file's name, size and time, with or without how it was encoded; values are natural
    logarithms: of measured / prior CPU-seconds with it, and of how many times its class's usual without."""

    def __init__(self) -> None:
        self._known: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._known)

    def factor(self, source: Source, features: CostFeatures, model: CostModel) -> float:
        """How many times the CPU time that `model` predicts for such files this one is to be expected to take."""
        ratio = self._known.get(_key(source, features))
        if ratio is not None:
            return math.exp(ratio) / model.price(class_of(features, 1), 1.0).cpu
        return math.exp(ACROSS_ENCODERS * self._known.get(_key(source), 0.0))

    def remember(self, source: Source, features: CostFeatures, prior: Cost, measured: Cost, usual: float) -> None:
        """Take in what one attempt took; `usual` is what jobs of its class take, times their priors."""
        if not (prior.cpu_seconds > 0 and 0 < measured.cpu_seconds < math.inf):
            return
        ratio = math.log(measured.cpu_seconds / prior.cpu_seconds)
        self._put(_key(source), ratio - math.log(usual))
        self._put(_key(source, features), ratio)

    def _put(self, key: int, value: float) -> None:
        self._known.pop(key, None)  # so that it stands last, as the newest
        self._known[key] = max(-_LARGEST, min(_LARGEST, value))
        while len(self._known) > MOST_ENTRIES:
            del self._known[next(iter(self._known))]

    def save(self, path: str) -> None:
        """Write it beside `path`, sync it and put it in place. Raises `OSError`."""
        replace_file(path, _HEADER + b"".join(self._packed()))

    def _packed(self) -> Iterator[bytes]:
        return (_ENTRY.pack(key, value) for key, value in self._known.items())

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
        known = dict(_ENTRY.iter_unpack(body))
        if not all(map(math.isfinite, known.values())):
            raise ValueError("not a number")
        history._known = known
        return history


def _key(source: Source, features: CostFeatures | None = None) -> int:
    parts = [os.path.basename(source.path), str(source.size_bytes).encode(), str(source.mtime_ns).encode()]
    if features is not None:
        how = (features.encoder, features.preset, features.pixels, features.pixel_format, features.crf)
        parts.append(repr(how).encode())
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
