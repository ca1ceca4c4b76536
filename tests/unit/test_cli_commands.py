"""`probe`, `doctor` and `report`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.cli.main import main
from pyprocessor.errors import ExitCode
from pyprocessor.journal.journal import Journal
from pyprocessor.models import ProcessIdentity
from pyprocessor.state.state_folder import prepare_state_folder
from tests.waiting import DEADLINE_SECONDS

Captured = pytest.CaptureFixture[str]
REPOSITORY = Path(__file__).resolve().parents[2]


def test_probe_tells_streams(tmp_path: Path, make_clip: Any, capsys: Captured) -> None:
    """Text for people: container, duration, and each stream with what matters of it."""
    clip = make_clip(tmp_path / "a b.mp4", seconds=1.0)
    assert main(["probe", str(clip)]) == 0
    said = capsys.readouterr().out
    assert "a b.mp4" in said
    assert "video h264, 160x90, 25 fps, yuv420p" in said
    assert "audio aac" in said
    assert "0:00:01" in said


def test_probe_json(tmp_path: Path, make_clip: Any, capsys: Captured) -> None:
    """One document; ratios are exact, names with odd bytes come with their bytes."""
    odd = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.mp4")
    os.rename(make_clip(tmp_path / "x.mp4"), odd)
    assert main(["probe", odd, "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert got["version"] == 1
    assert got["streams"][0]["video"]["frame_rate"] == "25/1"
    assert got["path"].endswith("caf\\xe9.mp4")
    assert "path_bytes_base64" in got


def test_probe_of_what_is_no_media(tmp_path: Path, capsys: Captured) -> None:
    """Text under a film's name, a folder, and nothing at all: one sentence each."""
    text = tmp_path / "a.mp4"
    text.write_text("hello " * 100)
    for given, code in ((text, ExitCode.SOME_FAILED), (tmp_path, ExitCode.USAGE), (tmp_path / "none", ExitCode.USAGE)):
        assert main(["probe", str(given)]) == code
        said = capsys.readouterr()
        assert said.out == ""
        assert given.name in said.err
        assert len(said.err.splitlines()) == 1


def test_doctor_finds_this_machine_fit(capsys: Captured) -> None:
    """With the bundled ffmpeg everything needed is there."""
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for name in ("ffmpeg", "PyAV", "memory", "cores"):
        assert name in said
    assert main(["doctor", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert {check["state"] for check in checks} <= {"ok", "warning"}


def test_doctor_without_ffmpeg(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ffmpeg that is not there is a problem with its own exit code, and the other checks are still made."""
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", "/nonexistent/ffmpeg")
    assert main(["doctor", "--json"]) == ExitCode.FFMPEG_UNUSABLE
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["ffmpeg"]["state"] == "problem"
    assert checks["PyAV"]["state"] == "ok"


def test_report_of_the_last_run(tmp_path: Path, capsys: Captured) -> None:
    """Text or JSON from the journal alone."""
    with Journal.open(prepare_state_folder(bytes(tmp_path)).path, wal=True) as journal:
        journal.begin_run("--input in", ProcessIdentity(1, 1.0))
        journal.end_run(0)
    assert main(["report", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "Nothing to do: no video files were found.\n"
    assert main(["report", "--output", str(tmp_path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"]["exit_code"] == 0


def test_report_where_no_run_was(tmp_path: Path, capsys: Captured) -> None:
    """A folder without a journal is a mistake in the command line, and stays as it was."""
    for given in (tmp_path, tmp_path / "none"):
        assert main(["report", "--output", str(given)]) == ExitCode.USAGE
        assert "holds no journal" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_example_makes_its_clips_once(tmp_path: Path) -> None:
    """The clips of `make run` are made, and a second call leaves them alone."""
    script = REPOSITORY / "docs" / "examples" / "make_clips.py"
    spec = importlib.util.spec_from_file_location("make_clips", script)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    folder = tmp_path / "clips"
    subprocess.run([sys.executable, script, folder], check=True, timeout=DEADLINE_SECONDS)
    made = {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }
    assert made.keys() == example.CLIPS.keys()
    example.main(folder)
    assert all((folder / name).stat().st_mtime_ns == mtime for name, mtime in made.items())
