"""A package as if it were installed: its modules on the path, also of processes, and its entry points known."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from pyprocessor.tasks.registry import task

if TYPE_CHECKING:
    import pytest


def install_package(package: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the modules of a package, and what its pyproject.toml says of tasks, into this folder, for one test."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    name = project["name"].replace("-", "_")
    info = site / f"{name}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    for module in package.glob("*.py"):
        shutil.copy(module, site)
    lines = [f"{task} = {place}" for task, place in project["entry-points"]["pyprocessor.tasks"].items()]
    (info / "entry_points.txt").write_text("\n".join(("[pyprocessor.tasks]", *lines)) + "\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", "")))))
    task.cache_clear()
