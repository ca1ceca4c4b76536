"""The file in which learned costs outlive a run: JSON in the user's state folder, replaced as a whole.

It is a cache of measurements. A file that cannot be read costs nothing but accuracy, so it is told and left behind;
runs that end at the same time overwrite each other's additions, and the last one stays.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import platformdirs

from pyprocessor.costs.model import HISTORY, CostClass, CostModel, History

FILE_VERSION = 2
_CHANNELS = ("cpu", "memory", "disk")
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file held. `problem` is a sentence for the user where it could not be used."""

    model: CostModel
    problem: str | None = None


def default_path() -> str:
    """Where learned costs are kept for this user on this machine."""
    return os.path.join(platformdirs.user_state_dir("pyprocessor", appauthor=False), "costs.json")


def load(path: str) -> Loaded:
    """The model saved at `path`; the priors where there is no file yet or it cannot be used."""
    try:
        with open(path, encoding="utf-8") as file:
            return Loaded(_from_document(json.load(file)))
    except FileNotFoundError:
        return Loaded(CostModel.priors())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged or of another version"
        return Loaded(
            CostModel.priors(),
            f"The learned costs in {path} cannot be used ({why}); predictions start from the built-in measurements.",
        )


def save(model: CostModel, path: str) -> None:
    """Write the model beside `path`, sync it and put it in place. Raises `OSError`."""
    replace_file(path, json.dumps(_document(model), indent=1, sort_keys=True).encode())


def replace_file(path: str, content: bytes) -> None:
    """Write a file of the user's state folder anew: whole or not at all. Raises `OSError`."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(prefix=".costs-", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def _document(model: CostModel) -> dict[str, Any]:
    return {
        "version": FILE_VERSION,
        "classes": [{"class": asdict(key), **_ratios(history)} for key, history in model.classes.items()],
        "groups": [{"group": list(key), **_ratios(history)} for key, history in model.groups.items()],
    }


def _ratios(history: History) -> dict[str, Any]:
    channels = {name: [round(ratio, 4) for ratio in getattr(history, name)] for name in _CHANNELS}
    return {"count": history.count, **channels}


def _from_document(document: Any) -> CostModel:
    if document["version"] != FILE_VERSION:
        raise ValueError("another version")
    return CostModel(
        _histories(document["classes"], lambda item: CostClass(**item["class"])),
        _histories(document["groups"], lambda item: tuple(str(part) for part in item["group"])),
    )


def _histories(items: list[dict[str, Any]], key: Callable[[dict[str, Any]], _Key]) -> Mapping[_Key, History]:
    return MappingProxyType({key(item): _history(item) for item in items})


def _history(item: dict[str, Any]) -> History:
    channels = [tuple(float(ratio) for ratio in item[name])[-HISTORY:] for name in _CHANNELS]
    if not all(math.isfinite(ratio) for channel in channels for ratio in channel):
        raise ValueError("not a number")
    return History.of(int(item["count"]), *channels)
