"""The profiles that come with pyprocessor."""

from __future__ import annotations

import os
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from pyprocessor.profiles.documents import Document, parse_document

_PACKAGE = "pyprocessor.builtin_profiles"
_FIRST = "default"


def _folder() -> Traversable:
    try:
        return resources.files(_PACKAGE)
    except ModuleNotFoundError:
        # A checkout run in place, without an install that maps the folder to its package name.
        return Path(__file__).parents[2] / "profiles"


@cache
def builtin_names() -> tuple[str, ...]:
    """Names of the built-in profiles, `default` first and then by alphabet."""
    names = (os.path.splitext(entry.name)[0] for entry in _folder().iterdir() if entry.name.endswith(".yaml"))
    return tuple(sorted(names, key=lambda name: (name != _FIRST, name)))


def read_builtin(name: str) -> Document:
    """The built-in profile of this name, which must be one of `builtin_names`."""
    content = _folder().joinpath(f"{name}.yaml").read_bytes()
    said = f"built-in profile {name}"
    return parse_document(content, name=said, identity=said, folder="", suffix=".yaml")
