"""`pyprocessor profiles list|show|validate|schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from pyprocessor.cli.profiles import profiles
from pyprocessor.errors import ExitCode, PyprocessorError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(profiles, list(arguments), catch_exceptions=False)


def test_alone_it_explains_itself() -> None:
    """The help, whole sentences and all, as `pyprocessor` alone does; it is no mistake."""
    result = run()
    assert result.exit_code == 0
    assert result.output.startswith("Usage: ")
    assert "Check a profile file and list every error in it." in result.output


def test_list_names_and_describes() -> None:
    """One line for each built-in profile."""
    lines = run("list").output.splitlines()
    assert [line.split()[0] for line in lines] == ["default", "archive", "audio", "fast", "high_quality", "proxy"]
    assert "H.264 and AAC in MP4 that plays everywhere" in lines[0]


def test_list_as_json() -> None:
    """The same for programs."""
    listed = json.loads(run("list", "--json").output)
    assert listed[0]["name"] == "default"
    assert all(entry["description"] for entry in listed)


def test_show_prints_yaml() -> None:
    """Every default is filled in."""
    shown = yaml.safe_load(run("show", "archive").output)
    assert shown["video"]["encoder"] == "libsvtav1"
    assert shown["batch_processing"]["max_memory_percent"] == 80


def test_show_of_an_unknown_profile() -> None:
    """The error goes on to whoever turns it into an exit code."""
    with pytest.raises(PyprocessorError, match="Did you mean archive"):
        run("show", "archiv")


def test_validate(tmp_path: Path) -> None:
    """A good file is said to be good, with notices on what has no effect."""
    good = tmp_path / "good.json"
    good.write_text('{"max_parallel_jobs": 2, "last_used_profile": "x"}')
    result = run("validate", str(good))
    assert result.exit_code == 0
    notice, verdict = result.output.splitlines()
    assert notice.startswith("Notice: ")
    assert "`last_used_profile` has no effect" in notice
    assert verdict == f"{good} is valid."


def test_validate_lists_every_error(tmp_path: Path) -> None:
    """All that is wrong comes in one go, with exit code 2."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("video: {crf: x, presett: a}")
    with pytest.raises(PyprocessorError, match="2 errors") as caught:
        run("validate", str(bad))
    assert caught.value.exit_code == ExitCode.USAGE


def test_schema_is_json() -> None:
    """The JSON Schema of both forms."""
    schema = json.loads(run("schema").output)
    assert [branch["$ref"] for branch in schema["anyOf"]] == ["#/$defs/ProfileFile", "#/$defs/FlatProfile"]
