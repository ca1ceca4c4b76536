"""What is wrong with values, in whole sentences? Checks them against a model of `schema`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from pyprocessor.profiles.problems import MAX_TOLD, KeyPath, Origin, listed, nearest, shown, wrong_value
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


def problems_of(model: type[Section], values: dict[str, Any], origin: Callable[[KeyPath], Origin]) -> list[str]:
    """One sentence for each thing wrong with the values; `origin` says where each was written."""
    try:
        model.model_validate(values)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False)
        # Finding the nearest key takes long, and those after the first ones are only counted.
        return [
            _sentence(error, model, values, origin(_keys(error)), hint=number < MAX_TOLD)
            for number, error in enumerate(errors)
        ]
    return []


def _keys(error: Any) -> KeyPath:
    return tuple(part for part in error["loc"] if isinstance(part, str))


def _sentence(error: Any, model: type[Section], values: dict[str, Any], where: Origin, *, hint: bool) -> str:
    if error["type"] == "extra_forbidden":
        return f"{where.prefix}unknown key {where.subject}{_suggestion(_keys(error), model) if hint else '.'}"
    value: Any = values
    for part in error["loc"]:
        value = value[part]
    rule = _rule(error["type"], error)
    items = [part for part in error["loc"] if isinstance(part, int)]
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


def _suggestion(keys: KeyPath, model: type[Section]) -> str:
    """The nearest key of the same table; failing that, the same key in another one."""
    holder = model if len(keys) == 1 else model.sections[keys[0]]
    word = keys[-1]
    close = nearest(word, holder.model_fields)
    beside = f"; did you mean `{'.'.join((*keys[:-1], close))}`?" if close is not None else ""
    if close == word.casefold().replace("-", "_"):
        return beside
    elsewhere = [f"{name}.{word}" for name, section in model.sections.items() if word in section.model_fields]
    if len(keys) > 1 and word in ProfileFile.model_fields and holder in SECTIONS.values():
        elsewhere.insert(0, word)
    if elsewhere:
        return f"; did you mean `{elsewhere[0]}`?"
    return beside or f"; known here are {listed(holder.model_fields, 'and')}."
