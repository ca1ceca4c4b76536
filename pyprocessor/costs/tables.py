"""How measured tables are read: tab-separated values with a line of column names, `#` before remarks."""

from __future__ import annotations

from importlib import resources


def rows(name: str) -> list[list[str]]:
    """The rows of the table `name` in this package, without its column names."""
    text = resources.files("pyprocessor.costs").joinpath(name).read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return lines[1:]
