"""Where do learned costs outlive a run? In one JSON file in the user's state folder, replaced as a whole.

It is a cache of measurements: a file that cannot be read costs nothing but accuracy, so a sentence names it and the run
goes on. Runs that end at the same time overwrite each other's additions, and the last one stays.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

import platformdirs

from pyprocessor.costs.file_history import MOST_ENTRIES, FileHistory
from pyprocessor.costs.model import HISTORY, CostClass, CostModel, History

FILE_VERSION = 3
_CHANNELS = ("cpu", "memory", "disk")
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file held. `problem` is a sentence for the user where it could not be used."""

    model: CostModel = field(default_factory=CostModel)
    files: FileHistory = field(default_factory=FileHistory)
    problem: str | None = None


def default_path() -> str:
    """Where learned costs are kept for this user on this machine."""
    return os.path.join(platformdirs.user_state_dir("pyprocessor", appauthor=False), "costs.json")


def load(path: str) -> Loaded:
    """What was saved at `path`; the priors where there is no file yet or it cannot be used."""
    try:
        with open(path, encoding="utf-8") as file:
            return _from_document(json.load(file))
    except FileNotFoundError:
        return Loaded()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged or of another version"
        problem = (
            f"The learned costs in {path} cannot be used ({why}); predictions start from the built-in measurements."
        )
        return Loaded(problem=problem)


def save(model: CostModel, files: FileHistory, path: str) -> None:
    """Write all beside `path`, sync it and put it in place. Raises `OSError`."""
    document = {
        "version": FILE_VERSION,
        "classes": [{"class": asdict(key), **_ratios(history)} for key, history in model.classes.items()],
        "groups": [{"group": list(key), **_ratios(history)} for key, history in model.groups.items()],
        "files": files.entries(),
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


def _from_document(document: Any) -> Loaded:
    if document["version"] != FILE_VERSION:
        raise ValueError("another version")
    classes = _histories(document["classes"], lambda item: CostClass(**item["class"]))
    groups = _histories(document["groups"], lambda item: tuple(str(part) for part in item["group"]))
    entries = [(int(key), _finite(ratio), int(tag)) for key, ratio, tag in document["files"][-MOST_ENTRIES:]]
    return Loaded(CostModel(MappingProxyType(classes), MappingProxyType(groups)), FileHistory(entries))


def _histories(items: list[dict[str, Any]], key: Callable[[dict[str, Any]], _Key]) -> dict[_Key, History]:
    return {
        key(item): History.of(int(item["count"]), *(tuple(map(_finite, item[name]))[-HISTORY:] for name in _CHANNELS))
        for item in items
    }


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a number")
    return number
