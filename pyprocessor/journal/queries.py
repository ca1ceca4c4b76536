"""Which SQL statement has which name? Loaded from `queries.sql`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

_NAME_LINE = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def parse(text: str) -> Mapping[str, str]:
    """Splits a text into its named statements; raises ValueError for a name that occurs twice."""
    parts = _NAME_LINE.split(text)
    statements: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in statements:
            raise ValueError(f"queries.sql names {name} twice")
        lines = (line for line in body.splitlines() if not line.startswith("--"))
        statements[name] = "\n".join(lines).strip()
    return MappingProxyType(statements)


def sql_file(name: str) -> str:
    """The text of a file beside this module."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


QUERIES: Mapping[str, str] = parse(sql_file("queries.sql"))
SCHEMA: str = sql_file("schema.sql")
