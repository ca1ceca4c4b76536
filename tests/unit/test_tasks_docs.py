"""docs/tasks.md: each kind of work has a section that names all its params, with jobs that can be submitted."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pyprocessor.profiles.documents import parse_values
from pyprocessor.tasks import registry

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
OURS = [name for name in registry.names() if getattr(registry.task(name), "takes", None) is not None]


@pytest.mark.parametrize("name", OURS)
def test_every_param_is_explained(name: str) -> None:
    """In the table of its task's section, and each task has one line about it."""
    task = registry.task(name)
    rows = " ".join(re.findall(r"^\| (.*?) \|", SECTIONS[name.upper()], re.MULTILINE))
    for field in fields(task.takes):  # type: ignore[attr-defined]
        assert f"`{field.name}`" in rows, field.name
    summary = task.summary  # type: ignore[attr-defined]
    assert summary
    assert not summary.endswith(".")


@pytest.mark.parametrize("name", OURS)
def test_the_jobs_shown_are_right(name: str) -> None:
    """Their params, and how many inputs they have."""
    shown = re.findall(r"```yaml\n(.*?)```", SECTIONS[name.upper()], re.DOTALL)
    assert shown
    for text in shown:
        for job in parse_values(text.encode(), name="shown", suffix=".yaml")[0]:
            problems = registry.problems(job["task"], job.get("params", {}), len(job.get("inputs", [])))
            assert list(problems) == []
