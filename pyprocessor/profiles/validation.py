"""Checks values against a pydantic model and says what is wrong in whole sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from pyprocessor.profiles.documents import KeyPath
from pyprocessor.profiles.problems import MAX_TOLD, Origin, listed, nearest, shown, wrong_value
from pyprocessor.profiles.schema import SECTIONS, ProfileFile, Section

_RULES = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "list_type": "must be a list, written [a, b]",
    "finite_number": "must be a finite number",
}


def problems_of(
    model: type[Section],
    sections: Mapping[str, type[Section]],
    values: dict[str, Any],
    origin: Callable[[KeyPath], Origin],
) -> list[str]:
    """One sentence for each thing wrong with the values; `sections` are the keys that hold keys of their own."""
    try:
        model.model_validate(values)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False)
        # Finding the nearest key takes long, and those after the first ones are only counted.
        return [
            _sentence(error, model, sections, values, origin, hint=number < MAX_TOLD)
            for number, error in enumerate(errors)
        ]
    return []


def _sentence(
    error: Any,
    model: type[Section],
    sections: Mapping[str, type[Section]],
    values: dict[str, Any],
    origin: Callable[[KeyPath], Origin],
    *,
    hint: bool,
) -> str:
    location: tuple[str | int, ...] = error["loc"]
    keys = tuple(part for part in location if isinstance(part, str))
    kind: str = error["type"]
    where = origin(keys)
    if kind == "extra_forbidden":
        holder = model if len(keys) == 1 else sections[keys[0]]
        return f"{where.prefix}unknown key {where.subject}{_suggestion(keys, holder, sections) if hint else '.'}"
    value = _at(values, location)
    rule = _rule(kind, error)
    items = [part for part in location if isinstance(part, int)]
    if items:
        return f"{where.prefix}item {items[0] + 1} of {where.subject} is {shown(value)}, but {rule}."
    return wrong_value(where, value, rule)


def _rule(kind: str, error: Any) -> str:
    context = error.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind == "model_type":
        return "must be a table of settings"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind == "string_too_long":
        return f"must be at most {context['max_length']} characters long"
    return _RULES.get(kind) or f"does not fit: {error['msg']}"


def _at(values: Any, location: tuple[str | int, ...]) -> object:
    for part in location:
        values = values[part]
    return values


def _suggestion(keys: KeyPath, holder: type[Section], sections: Mapping[str, type[Section]]) -> str:
    """The nearest key of the same table; failing that, the same key in another one."""
    word = keys[-1]
    close = nearest(word, holder.model_fields)
    if close is not None and close == word.casefold().replace("-", "_"):
        return f"; did you mean `{'.'.join((*keys[:-1], close))}`?"
    elsewhere = [f"{name}.{word}" for name, section in sections.items() if word in section.model_fields]
    if len(keys) > 1 and word in ProfileFile.model_fields and holder in SECTIONS.values():
        elsewhere.insert(0, word)
    if elsewhere:
        return f"; did you mean `{elsewhere[0]}`?"
    if close is not None:
        return f"; did you mean `{'.'.join((*keys[:-1], close))}`?"
    return f"; known here are {listed(holder.model_fields, 'and')}."
