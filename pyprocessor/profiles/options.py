"""Which encoder options may a profile pass on? None that names a file or sets threads."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from pyprocessor.models.encoders import video_encoder
from pyprocessor.profiles.problems import listed, nearest

_VALUE = re.compile(r"[A-Za-z0-9_.,:+-]{1,64}", re.ASCII)
_PARAMETER_VALUE = re.compile(r"[A-Za-z0-9_.,;()+|-]{1,256}", re.ASCII)
_LONGEST_PARAMETERS = 2000


@cache
def _names() -> dict[str, frozenset[str]]:
    """The names in each line of the table."""
    text = resources.files("pyprocessor.profiles").joinpath("encoder-options.tsv").read_text(encoding="utf-8")
    rows = (line.partition("\t") for line in text.splitlines() if not line.startswith("#"))
    return {name: frozenset(words.split()) for name, _, words in rows}


def option_problem(name: str, value: str, encoder: str) -> str | None:
    """Why this option may not be given to the encoder, as the end of a sentence; None where it may."""
    family = video_encoder(encoder).family
    allowed = _names()["any"] | _names().get(family or "unknown", frozenset())
    if name in ("threads", "filter_threads"):
        return "cannot be set here, because pyprocessor shares the processor's cores out itself"
    if name not in allowed:
        close = nearest(name, allowed)
        hint = f"; did you mean `{close}`" if close else f"; allowed are {listed(sorted(allowed), 'and')}"
        return f"is not among the options allowed for {encoder}{hint}"
    if name.endswith("-params"):
        return _parameters_problem(name, value)
    if not _VALUE.fullmatch(value):
        return "must be a word or a number of at most 64 letters, digits and . , : + - _"
    return None


def _parameters_problem(option: str, value: str) -> str | None:
    """Why a `key=value:key=value` text may not be given: the encoder reads it itself, and can open files."""
    known = _names()[option]
    if not value or len(value) > _LONGEST_PARAMETERS:
        return f"must be a text key=value:key=value of at most {_LONGEST_PARAMETERS} characters"
    for item in value.split(":"):
        key, equals, setting = item.partition("=")
        name = key.replace("_", "-")
        if name not in known and name.removeprefix("no-") not in known:
            if name in _names()["managed"]:
                return f"must not contain {key}, which pyprocessor sets itself"
            close = nearest(name, known)
            hint = f"; did you mean {close}" if close else ""
            return f"contains {key[:40]!r}, which is not among the parameters allowed in {option}{hint}"
        if not equals:
            return f"must give every parameter a value: write {key}=1"
        if not _PARAMETER_VALUE.fullmatch(setting):
            return f"gives {key} the value {setting[:40]!r}; only letters, digits and . , ; ( ) + | - _ may stand there"
    return None
