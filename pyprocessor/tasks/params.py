"""Are the params of a job what its task takes, and which field is not? The fields are those of a dataclass.

A field's type is a plain one: str, int, float, bool, a Literal, a tuple or mapping of these, or one of them or None.
What a type cannot say, `__post_init__` of the record checks and raises as ValueError, a sentence that names the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

from pyprocessor.errors import FailureKind, JobError

P = TypeVar("P")


def params_as(kind: type[P], params: Any) -> P:
    """Return params, a mapping of JSON, as such a record. Raises JobError in a sentence that names the field."""
    if not isinstance(params, Mapping):
        raise JobError(FailureKind.BAD_INPUT, "The params of the job are no mapping.")
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # no type says "a dataclass"
    for name in params:
        if name not in names:
            close = get_close_matches(str(name), names, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"it takes {', '.join(names) or 'none'}."
            raise JobError(FailureKind.BAD_INPUT, f"`{name}` is no field of this task; {hint}")
    return record_of(kind, params, {})


def record_of(kind: type[P], values: Any, others: Mapping[type, Callable[[Any], Any]]) -> P:
    """Return JSON as such a record; `others` make values of types that JSON does not have. Raises JobError."""
    import msgspec  # takes 6 ms, and a run over a folder needs none of it

    try:
        return msgspec.convert(values, kind, dec_hook=lambda wanted, value: others[wanted](value))
    except msgspec.ValidationError as error:
        what, _, where = str(error).removeprefix("Object ").partition(" - at `$.")
        text = what[:1].lower() + what[1:].rstrip(".")
        raise JobError(FailureKind.BAD_INPUT, f"`{where.rstrip('`')}`: {text}." if where else f"{text}.") from error
