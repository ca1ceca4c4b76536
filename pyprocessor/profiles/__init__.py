"""Profiles: what to make of a source and under which limits, from files, environment and command line.

file -> documents (plain values) -> flat (older form) -> validation against schema -> a Layer
layers, a file on top of what it extends: --config < --profile < environment < command line
layers -> merge -> Freezer (defaults, and what must fit together) -> models.Profile
"""

from __future__ import annotations

from pyprocessor.profiles.documents import builtin_names
from pyprocessor.profiles.loading import LoadedProfile, describe, load, load_alone, show, validate
from pyprocessor.profiles.overrides import Overrides, overrides_of
from pyprocessor.profiles.schema import json_schema

__all__ = [
    "LoadedProfile",
    "Overrides",
    "builtin_names",
    "describe",
    "json_schema",
    "load",
    "load_alone",
    "overrides_of",
    "show",
    "validate",
]
