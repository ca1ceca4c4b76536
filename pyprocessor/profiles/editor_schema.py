"""The JSON Schema of profile files, for editors."""

from __future__ import annotations

from typing import Any

from pyprocessor.profiles.flat_schema import FlatProfile
from pyprocessor.profiles.schema import ProfileFile


def json_schema() -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) that takes the nested and the older flat form."""
    definitions: dict[str, Any] = {}
    for model in (ProfileFile, FlatProfile):
        schema = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[model.__name__] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pyprocessor profile",
        "description": "What pyprocessor makes of a source, and under which limits.",
        "anyOf": [{"$ref": "#/$defs/ProfileFile"}, {"$ref": "#/$defs/FlatProfile"}],
        "$defs": _tidy(definitions),
    }


def _tidy(schema: Any) -> Any:
    """Without the generated titles and the `default: null` of keys whose absence means something of its own."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {}
    for name, value in schema.items():
        generated = (name == "title" and isinstance(value, str)) or (name == "default" and value is None)
        if not generated:
            tidy[name] = _tidy(value)
    return tidy
