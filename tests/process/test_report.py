"""`pyprocessor report` of real runs: the sections, the JSON document by its schema, and runs side by side."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pyprocessor.cli.main import main
from pyprocessor.cli.report import run_to_replay
from pyprocessor.errors import ExitCode
from pyprocessor.journal.reader import JournalReader
from pyprocessor.plan.replay import LEAST_SECONDS, RunToReplay, recommendations
from pyprocessor.profiles import Overrides, load
from tests.process.runs import Recorder, request, run

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "report.schema.json").read_text())
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def output(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    """The output of a run over two clips, of which memory holds one at a time, and a file that is none."""
    for name in ("a.mp4", "b.mp4"):
        make_clip(tmp_path / "in" / name, seconds=2.0, size="320x240", audio=None)
    (tmp_path / "in" / "c.mp4").write_bytes(b"This is no film." * 100)
    profile = load("fast", overrides=Overrides(memory_limit_bytes=190 << 20)).profile
    profile = replace(profile, monitoring=replace(profile.monitoring, sample_interval_seconds=0.05))
    recorder = Recorder()
    assert run(request(tmp_path / "in", tmp_path / "out", profile=profile), recorder).exit_code is ExitCode.SOME_FAILED
    told = [text for level, text in recorder.notices if level == "debug" and text.startswith("Batch ")]
    assert any(", 1 at once with 1 thread each, " in text and ", because " in text for text in told), told
    assert sum(" begins: " in text for text in told) == sum(" ends: " in text for text in told) > 0, told
    return tmp_path / "out"


def document(output: Path, capsys: Captured, *more: str) -> Any:
    """What the command prints as JSON, checked against its schema."""
    capsys.readouterr()
    assert main(["report", "--output", str(output), "--format", "json", *more]) == 0
    parsed = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(parsed)
    return parsed


def test_what_is_told_of_a_run(output: Path, capsys: Captured) -> None:
    """Text and JSON say the same; so short a run is told nothing to change."""
    told = document(output, capsys)
    assert told["analysis"]["files"] == 3
    assert told["analysis"]["errors"] == {"validation": 1}
    assert told["analysis"]["durations_seconds"]["files"] == 2
    assert told["analysis"]["used"]["memory_allowed_bytes"] == 62 << 20
    assert told["recommendations"] == [] or told["run"]["seconds"] > LEAST_SECONDS
    assert told["not_replayed"] is None or told["not_replayed"].startswith("Work was on for ")
    assert main(["report", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "  Success     66.7% of 3 files\n" in said
    assert "  Errors      1 x validation\n" in said
    assert ("Recommendations:\n" in said) == bool(told["recommendations"])
    (one,) = document(output, capsys, "--last", "2")["runs"]
    assert one["analysis"] == {**told["analysis"], "used": one["analysis"]["used"]}
    assert main(["report", "--output", str(output), "--last", "2"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["Run", "1"]


def test_the_replay_of_a_run(output: Path) -> None:
    """It knows jobs and settings by the journal alone; had all taken a hundred times as long, memory would be named."""
    with JournalReader.read_only(bytes(output / ".pyprocessor")) as journal:
        last = journal.last_run()
        assert last is not None
        found = run_to_replay(journal, last, bytes(output), goes_on=False)
        unknown = run_to_replay(journal, replace(last, id=99), bytes(output), goes_on=False)
        open_end = [run_to_replay(journal, replace(last, ended_at=None), b"", goes_on=on) for on in (True, False)]
    assert unknown == "Nothing was worked on."
    assert open_end == ["The run goes on.", "The run did not end by itself."]
    assert isinstance(found, RunToReplay)
    assert sorted(ran.job.source.relative for ran in found.jobs) == [b"a.mp4", b"b.mp4"]
    assert all(ran.job.cost.cpu_seconds > 0 and ran.job.cost.memory_bytes > 0 for ran in found.jobs)
    assert 0 < found.worked_seconds <= found.seconds
    longer = [replace(ran, job=replace(ran.job, cost=replace(ran.job.cost, cpu_seconds=60.0))) for ran in found.jobs]
    two_cores = replace(found.reading, cores=2.0, cpu_percent=0.0)  # as if nothing else had run
    slow = replace(found, jobs=longer, reading=two_cores, seconds=120.0, worked_seconds=120.0)
    assert [one.option.split()[0] for one in recommendations(slow)] == ["--memory-limit"]
