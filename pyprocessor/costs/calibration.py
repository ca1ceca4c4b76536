"""Where do learned costs outlive a run, and what did single files take? One JSON file in the user's state folder.

A file that cannot be read costs nothing but accuracy, so a sentence names it and the run goes on. Runs that end at the
same time overwrite each other's additions, and the last one stays.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import tempfile
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import platformdirs

from pyprocessor.costs.model import HISTORY, CostClass, CostModel, History, class_of, log_ratio
from pyprocessor.models import Cost, CostFeatures, Source

FILE_VERSION = 3
_CHANNELS = ("cpu", "memory", "disk")
MOST_ENTRIES = 60_000
ACROSS_ENCODERS = 0.5
"""How much of what sets a file apart with one encoder does so with another (54 real clips: 0.3 to 0.6)."""


class Taken(NamedTuple):
    """The natural logarithm of a file's measured / prior CPU-seconds, and a hash of the class it was measured in."""

    ratio: float
    tag: int


class FileHistory:
    """What single files took, those of earlier runs first, the oldest first. Mutable.

    The keys of `known` are hashes of a file's name, size and time, with or without how it was encoded.
    """

    def __init__(self, known: dict[int, Taken] | None = None) -> None:
        self.known = known or {}

    def factor(self, source: Source, features: CostFeatures, model: CostModel) -> float:
        """How many times the CPU time that `model` predicts for such files this one is expected to take.

        Encoded the same way: what it took. Encoded otherwise: part of how far it was from its class.
        """
        if not self.known or features.given is not None:
            return 1.0
        alike = self.known.get(_key(source, features))
        if alike is not None:
            return math.exp(alike.ratio) / model.factors(class_of(features, 1), 1.0).cpu
        taken = self.known.get(_key(source))
        if taken is None:
            return 1.0
        other = next((known for known in model.classes if _tag(known) == taken.tag), None)
        return 1.0 if other is None else (math.exp(taken.ratio) / model.factors(other, 1.0).cpu) ** ACROSS_ENCODERS

    def remember(self, source: Source, features: CostFeatures, threads: int, prior: Cost, measured: Cost) -> None:
        """Add what one attempt took, where the task did not say itself what it takes."""
        if features.given is not None or not (prior.cpu_seconds > 0 and 0 < measured.cpu_seconds < math.inf):
            return
        for key in (_key(source), _key(source, features)):
            self.known.pop(key, None)  # so that it stands last, as the newest
            ratio = log_ratio(prior.cpu_seconds, measured.cpu_seconds)
            self.known[key] = Taken(round(ratio, 4), _tag(class_of(features, threads)))
        while len(self.known) > MOST_ENTRIES:
            del self.known[next(iter(self.known))]


@functools.lru_cache(maxsize=4096)
def _tag(cost_class: CostClass) -> int:
    return int.from_bytes(hashlib.blake2b(repr(cost_class).encode(), digest_size=4).digest(), "little")


def _key(source: Source, features: CostFeatures | None = None) -> int:
    parts = [os.path.basename(source.path), str(source.size_bytes).encode(), str(source.mtime_ns).encode()]
    if features is not None:
        how = (features.encoder, features.preset, features.pixels, features.pixel_format, features.crf)
        parts.append(repr(how).encode())
    return int.from_bytes(hashlib.blake2b(b"\0".join(parts), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class LearnedCosts:
    """What a file held. `problem` is a sentence for the user where it could not be used."""

    model: CostModel = field(default_factory=CostModel)
    files: FileHistory = field(default_factory=FileHistory)
    problem: str | None = None


def default_path() -> str:
    """Where learned costs are kept for this user on this machine."""
    return os.path.join(platformdirs.user_state_dir("pyprocessor", appauthor=False), "costs.json")


def load(path: str) -> LearnedCosts:
    """What was saved at `path`; the priors where there is no file yet or it cannot be used."""
    try:
        with open(path, encoding="utf-8") as file:
            return _from_document(json.load(file))
    except FileNotFoundError:
        return LearnedCosts()
    except (OSError, ArithmeticError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged or of another version"
        problem = (
            f"The learned costs in {path} cannot be used ({why}); predictions start from the built-in measurements."
        )
        return LearnedCosts(problem=problem)


def save(model: CostModel, files: FileHistory, path: str) -> None:
    """Write all beside `path`, sync it and put it in place. Raises `OSError`."""
    document = {
        "version": FILE_VERSION,
        "classes": [{"class": key._asdict(), **_ratios(history)} for key, history in model.classes.items()],
        "groups": [{"group": list(key), **_ratios(history)} for key, history in model.groups.items()],
        "files": [(key, *entry) for key, entry in files.known.items()],
    }
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(prefix=".costs-", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(document, separators=(",", ":")))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _ratios(history: History) -> dict[str, Any]:
    channels = {name: [round(ratio, 4) for ratio in getattr(history, name)] for name in _CHANNELS}
    return {"count": history.count, **channels}


def _from_document(document: Any) -> LearnedCosts:
    if document["version"] != FILE_VERSION:
        raise ValueError("another version")
    classes = {CostClass(**item["class"]): _history(item) for item in document["classes"]}
    groups = {tuple(map(str, item["group"])): _history(item) for item in document["groups"]}
    files = {int(key): Taken(_finite(ratio), int(tag)) for key, ratio, tag in document["files"][-MOST_ENTRIES:]}
    return LearnedCosts(CostModel(classes, groups), FileHistory(files))


def _history(item: dict[str, Any]) -> History:
    return History(int(item["count"]), *(tuple(map(_finite, item[name]))[-HISTORY:] for name in _CHANNELS))


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
