"""`tasks list` and `tasks show`: ours and those of packages, as text and as JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.cli.main import main
from pyprocessor.errors import ExitCode
from pyprocessor.models.extras import LIBRARIES
from pyprocessor.tasks.registry import extras, names
from tests.installed import install_package

Captured = pytest.CaptureFixture[str]
OWN_TASK = Path(__file__).parents[2] / "docs" / "examples" / "own_task"
BROKEN = (
    '[project]\nname = "broken"\nversion = "1"\n[project.entry-points."pyprocessor.tasks"]\nbroken = "broken:Task"\n'
)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages with tasks: the example of the documentation, and one that cannot be imported."""
    install_package(OWN_TASK, tmp_path / "site", monkeypatch)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "pyproject.toml").write_text(BROKEN)
    (tmp_path / "broken" / "broken.py").write_text("raise RuntimeError('it was never finished')\n")
    install_package(tmp_path / "broken", tmp_path / "site", monkeypatch)


def document(capsys: Captured, *arguments: str) -> Any:
    """What the command prints as JSON."""
    assert main(["tasks", *arguments, "--json"]) == ExitCode.OK
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("packages")
def test_all_tasks_are_listed(capsys: Captured) -> None:
    """Each by its name; one that cannot be loaded says why and hides no other, those of commands are not there."""
    assert main(["tasks", "list"]) == ExitCode.OK
    said = capsys.readouterr().out
    listed = document(capsys, "list")
    assert listed["version"] == 1
    entries = {entry["name"]: entry for entry in listed["tasks"]}
    assert list(entries) == names()
    assert {"broken", "reading-speed", "transcode"} <= set(entries)
    assert "process-chunk" not in entries
    assert entries["reading-speed"]["summary"] == "Finds subtitles that are too fast to be read"
    assert (entries["reading-speed"]["from"], entries["transcode"]["from"]) == ("reading-speed", "pyprocessor")
    assert "it was never finished" in entries["broken"]["trouble"]
    assert all(f"\n{name}" in f"\n{said}" for name in entries)


@pytest.mark.usefixtures("packages")
def test_a_task_is_shown_with_its_params(capsys: Captured) -> None:
    """Type and default of each."""
    assert main(["tasks", "show", "reading-speed"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "most   number  17.0" in said
    shown = document(capsys, "show", "reading-speed")
    assert shown["params"] == [{"name": "most", "type": "number", "required": False, "default": 17.0}]
    assert shown["inputs"] == "1"


@pytest.mark.usefixtures("packages")
def test_a_task_that_does_not_say_what_it_takes(capsys: Captured) -> None:
    """Or that cannot be loaded."""
    assert main(["tasks", "show", "broken"]) == ExitCode.OK
    said = " ".join(capsys.readouterr().out.split())
    assert "it was never finished" in said
    assert "does not say which params" in said


@pytest.mark.parametrize(
    ("name", "said"), [("nothing", "no task named 'nothing'"), ("process-chunk", "is made by other jobs only")]
)
def test_what_is_no_task(name: str, said: str, capsys: Captured) -> None:
    """One sentence."""
    assert main(["tasks", "show", name]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_missing_extra_says_how_it_is_installed(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """And one that is there, that it is."""
    monkeypatch.setattr("pyprocessor.tasks.registry._EXTRAS", {"transcode": ("lost", "json")})
    libraries = {"no-such-module": (("lost",), ""), "json": (("json",), "")}
    monkeypatch.setattr("pyprocessor.models.extras.LIBRARIES", libraries)
    assert extras("transcode") == {"lost": False, "json": True}
    assert main(["tasks", "show", "transcode"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "lost: not installed; pip install 'pyprocessor[lost]'" in said
    assert "json: installed" in said
    assert main(["tasks", "list"]) == ExitCode.OK
    assert "not installed: lost" in " ".join(capsys.readouterr().out.split())


def test_the_table_of_extras_is_that_of_the_package() -> None:
    """Each extra that tasks need, with the libraries that it brings."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    brought = defaultdict(set)
    for library, (extras_of_it, _) in LIBRARIES.items():
        for extra in extras_of_it:
            brought[extra].add(library)
    declared = project["optional-dependencies"]
    named = {extra: {re.split("[><=]", needed)[0] for needed in declared[extra]} for extra in declared}
    assert brought == {extra: named[extra] for extra in named.keys() - {"watch", "dev"}}


def test_listing_is_cheap() -> None:
    """No library that a task works with is imported."""
    heavy = ("av", "httpx", "yt_dlp", "faster_whisper", "ctranslate2", "pocketsphinx", "jiwer", "numpy")
    code = (
        "import sys; from pyprocessor.cli.main import main; main(['tasks', 'list'])\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
