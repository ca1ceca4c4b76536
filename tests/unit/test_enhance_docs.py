"""The page on ENHANCE explains each of its params."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from pyprocessor.tasks.enhance import ChatBackend, Enhancing

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()


def test_every_param_is_explained() -> None:
    """Those of a back end also where several are named."""
    section = PAGE.split("\n## ENHANCE\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    first = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert first == {field.name for field in fields(Enhancing)} - {"name"}
    (several,) = (row for row in rows if row.startswith("| `backends`"))
    assert {field.name for field in fields(ChatBackend)} <= set(re.findall(r"`(\w+)`", several))
