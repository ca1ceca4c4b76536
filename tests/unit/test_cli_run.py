"""The main job's options: what is refused before anything is begun, and what is handed on."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyprocessor.cli import run as run_module
from pyprocessor.cli.main import main
from pyprocessor.errors import ExitCode, UsageError
from pyprocessor.intake.paths import keep_apart
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Damaged, Overrun, PlanReport, ProcessIdentity, ScheduleSettings
from pyprocessor.models.run import RunRequest
from pyprocessor.state.state_folder import prepare_state_folder

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An input folder with one file."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"not looked at")
    return folder


@dataclass(frozen=True)
class Result:
    """What the engine says of a run."""

    exit_code: ExitCode
    run_id: int


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """Replace the engine: requests are kept, a journal with an empty run is made, and a notice is told."""
    kept: list[RunRequest] = []

    def execute(request: RunRequest, screen: run_module.Lines, session: object) -> Result:
        kept.append(request)
        screen.notice("info", "Working.")
        with Journal.open(prepare_state_folder(request.output).path, wal=False) as journal:
            run_id = journal.begin_run(request.arguments, ProcessIdentity(os.getpid(), time.time()))
            journal.end_run(0, done_before=2000, failed_before=0)
        return Result(ExitCode.OK, run_id)

    def plan(request: RunRequest, screen: object) -> PlanReport:
        kept.append(request)
        return PlanReport((), (), 0, 1, 0, 0.0, 0.0, 0)

    monkeypatch.setattr(run_module, "carry_out", execute)
    monkeypatch.setattr(run_module, "_plan", plan)
    return kept


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--max-memory 0", "--max-memory is 0, but must be from 1 to 100"),
        ("--max-memory 101", "--max-memory"),
        ("--max-memory nan", "--max-memory"),
        ("--max-memory inf", "--max-memory"),
        ("--batch-size -1", "--batch-size"),
        ("--batch-size 0", "--batch-size"),
        ("--batch-size many", "--batch-size"),
        ("--jobs 0", "--jobs"),
        ("--limit 0", "--limit"),
        ("--limit -5", "--limit"),
        ("--progress-interval -3", "--progress-interval"),
        ("--progress-interval 0", "--progress-interval"),
        ("--progress-interval nan", "--progress-interval"),
        ("--memory-limit huge", "--memory-limit"),
        ("--memory-limit 0", "--memory-limit"),
        ("--min-size -1", "--min-size"),
        ("--max-size x", "--max-size"),
        ("--min-size 5M --max-size 1M", "--max-size"),
        ("--min-age soon", "--min-age"),
        ("--crf 99", "--crf"),
        ("--crf -1", "--crf"),
        ("--fps 0", "--fps"),
        ("--fps nan", "--fps"),
        ("--preset warp", "--preset"),
        ("--encoder libx999", "libx999"),
        ("--profile nosuch", "nosuch"),
        ("--profile=", "--profile is empty"),
        ("--config=", "--config is empty"),
        ("--encoder gif", "does not hold what that makes"),
        ("--profile nosuch.yaml", "nosuch.yaml"),
        ("--config nosuch.json", "nosuch.json"),
        ("--quiet --verbose", "--quiet"),
        ("--plan --quiet", "--plan"),
        ("--batch-mode disabled --jobs 2", "--jobs"),
        ("--batch-mode disabled --batch-size 2", "--batch-size"),
        ("--cpu-limit 0", "--cpu-limit is 0, but must be from 1 to 100 percent"),
        ("--cpu-limit 101", "--cpu-limit"),
        ("--disk-reserve full", "--disk-reserve"),
        ("--nice 20", "--nice is 20, but must be from 0 to 19"),
        ("--nice -1", "--nice"),
        ("--window 22:00", "--window"),
        ("--window 22:00-22:00", "start and end must differ"),
        ("--until 7", "--until"),
        ("--window 22:00-06:00 --until 07:00", "--until"),
        ("--overrun requeue", "--overrun has no effect"),
    ],
)
def test_impossible_values_are_told(arguments: str, named: str, source: Path, tmp_path: Path, capsys: Captured) -> None:
    """Each is one sentence that names the option, exit code 2, and nothing is made."""
    output = tmp_path / "out"
    assert main(["--input", str(source), "--output", str(output), *arguments.split()]) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert named in said.err
    assert len(said.err.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize("text", ["{ nonsense", '{"batch_processing": {"batch_sise": 3}}', "- a\n- b", "a: [1"])
def test_a_malformed_configuration_names_its_file(text: str, source: Path, tmp_path: Path, capsys: Captured) -> None:
    """Broken YAML or JSON and unknown keys are told with the file's name."""
    config = tmp_path / "settings.yaml"
    config.write_text(text)
    arguments = ["--input", str(source), "--output", str(tmp_path / "out"), "--config", str(config)]
    assert main(arguments) == ExitCode.USAGE
    assert "settings.yaml" in capsys.readouterr().err


def test_paths_that_cannot_be(source: Path, tmp_path: Path, capsys: Captured) -> None:
    """Missing input, equal folders, an input inside the output: exit 2. An output that is a file: exit 74."""
    file = tmp_path / "file"
    file.touch()
    os.symlink(source, tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    inside = source / "deeper"
    inside.mkdir()
    for given, output, said, code in (
        (tmp_path / "none", tmp_path / "out", "does not exist", ExitCode.USAGE),
        (tmp_path / "pipe", tmp_path / "out", "neither a file nor a folder", ExitCode.USAGE),
        (source, file, "is not a folder", ExitCode.OUTPUT_UNWRITABLE),
        (source, file / "below", "below a file", ExitCode.OUTPUT_UNWRITABLE),
        (source, source, "same folder", ExitCode.USAGE),
        (source, tmp_path / "link", "same folder", ExitCode.USAGE),
        (inside, source, "inside the output", ExitCode.USAGE),
        (source / "a.mp4", source, "take its place", ExitCode.USAGE),
        (source / "a.mp4", source / "a.mp4", "is not a folder", ExitCode.OUTPUT_UNWRITABLE),
    ):
        assert main(["--input", str(given), "--output", str(output)]) == code, given
        error = capsys.readouterr().err
        assert said in error
        assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "x"], "does not exist"),
        (["--output", "x"], "No input"),
        (["--input", "", "--output", "x"], "No input"),
        (["--quiet"], "No input"),
    ],
)
def test_paths_that_are_missing(
    arguments: list[str], said: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both paths are needed; which one is missing is said."""
    monkeypatch.chdir(tmp_path)
    if arguments == ["--input", "x"]:
        said = "No output"
    assert main(arguments) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_paths_apart(tmp_path: Path) -> None:
    """An output inside the input is fine, and so is a single file beside its output under another extension."""
    (tmp_path / "a.mov").touch()
    (tmp_path / "B.MP4").touch()
    keep_apart(bytes(tmp_path), bytes(tmp_path / "out"), "mp4")
    keep_apart(bytes(tmp_path / "a.mov"), bytes(tmp_path), "mp4")
    with pytest.raises(UsageError, match="take its place"):
        keep_apart(bytes(tmp_path / "B.MP4"), bytes(tmp_path), "mp4")


def test_an_unusable_ffmpeg_is_69(
    source: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an ffmpeg nothing is begun."""
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", str(tmp_path / "none"))
    assert main(["--input", str(source), "--output", str(tmp_path / "out")]) == ExitCode.FFMPEG_UNUSABLE
    assert "PYPROCESSOR_FFMPEG" in capsys.readouterr().err


def test_options_reach_the_request(source: Path, tmp_path: Path, requests: list[RunRequest]) -> None:
    """Every option ends where the engine looks for it."""
    arguments = (
        "--batch-mode enabled --batch-size 7 --max-memory 55 --memory-limit 2G --jobs 3 --encoder libx265 "
        "--preset slow --fps 30000/1001 --crf 30 --no-audio --limit 9 --include *.mp4 --include *.mov --exclude x* "
        "--min-size 1K --max-size 1G --min-age 2m --progress-interval 3 --retry-failed --overwrite --quiet "
        "--strict-memory --cpu-limit 60 --nice 4 --io-idle --pressure-polite --disk-reserve 3G --window 21:00-06:00 "
        "--until 05:00 --overrun requeue --grace 2m --damaged refuse"
    )
    output = tmp_path / "out"
    assert main(["--input", str(source), "--output", str(output), *arguments.split()]) == 0
    (request,) = requests
    profile = request.profile
    assert (request.inputs[0].path, request.output) == (bytes(source), bytes(output))
    assert (request.limit, request.retry_failed, request.overwrite) == (9, True, True)
    assert (profile.batch.batch_size, profile.batch.jobs, profile.batch.max_memory_percent) == (7, 3, 55)
    assert profile.batch.memory_limit_bytes == 2 * 1024**3
    assert profile.video is not None
    assert (profile.video.encoder, profile.video.preset, profile.video.crf) == ("libx265", "slow", 30)
    assert str(profile.video.fps) == "30000/1001"
    assert profile.audio is None
    assert profile.damaged is Damaged.REFUSE
    assert (profile.scan.include, profile.scan.exclude) == (("*.mp4", "*.mov"), ("x*",))
    assert (profile.scan.min_size_bytes, profile.scan.max_size_bytes) == (1024, 1024**3)
    assert profile.scan.min_age_seconds == 120
    assert profile.monitoring.progress_interval_seconds == 3
    throttling = profile.throttling
    assert (throttling.strict_memory, throttling.cpu_limit_percent, throttling.nice) == (True, 60, 4)
    assert (throttling.io_idle, throttling.pressure_polite, throttling.disk_reserve_bytes) == (True, True, 3 << 30)
    assert profile.schedule == ScheduleSettings((dt.time(21), dt.time(6)), dt.time(5), Overrun.REQUEUE, 120)


def test_paths_are_made_absolute(
    source: Path, requests: list[RunRequest], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Relative paths, and ones that begin with a dash, are taken from the current folder."""
    monkeypatch.chdir(source.parent)
    (source.parent / "-dash").mkdir()
    assert main(["--input=-dash", "--output=out"]) == 0
    assert requests[0].inputs[0].path == bytes(source.parent / "-dash")
    assert requests[0].output == bytes(source.parent / "out")


def test_batch_mode_disabled(source: Path, tmp_path: Path, requests: list[RunRequest], capsys: Captured) -> None:
    """The switch reaches the profile."""
    assert main(["--input", str(source), "--output", str(tmp_path / "out"), "--batch-mode", "disabled"]) == 0
    assert requests[0].profile.batch.enabled is False


def test_the_closing_text_goes_to_standard_output(
    source: Path, tmp_path: Path, requests: list[RunRequest], capsys: Captured
) -> None:
    """Results on standard output, notices on standard error."""
    assert main(["--input", str(source), "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert said.out == "Nothing to do: all 2,000 files are already done.\n"
    assert said.err == "Working.\n"


def test_quiet_is_silent_when_all_is_well(
    source: Path, tmp_path: Path, requests: list[RunRequest], capsys: Captured
) -> None:
    """No line on either stream."""
    assert main(["--input", str(source), "--output", str(tmp_path / "out"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("more", [[], ["--quiet"], ["--log-format", "json"]])
def test_json_is_one_document_on_standard_output(
    more: list[str], source: Path, tmp_path: Path, requests: list[RunRequest], capsys: Captured
) -> None:
    """Standard output holds the summary alone; standard error the rest."""
    assert main(["--input", str(source), "--output", str(tmp_path / "out"), "--json", *more]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["counts"]["done_before"] == 2000
    if "json" in more:
        assert json.loads(said.err)["message"] == "Working."


def test_plan_prints_and_begins_nothing(
    source: Path, tmp_path: Path, requests: list[RunRequest], capsys: Captured
) -> None:
    """A plan is a result; no folder is made for it."""
    output = tmp_path / "out"
    assert main(["--input", str(source), "--output", str(output), "--plan"]) == 0
    assert capsys.readouterr().out == "Nothing to do.\n"
    assert main(["--input", str(source), "--output", str(output), "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["batches"] == []
    assert not output.exists()


def test_the_command_line_is_kept_for_the_journal(
    source: Path, tmp_path: Path, requests: list[RunRequest], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odd bytes in it come out escaped, because the journal holds text."""
    odd = os.fsdecode(b"caf\xe9")
    arguments = ["--input", str(source), "--output", str(tmp_path / odd)]
    monkeypatch.setattr(sys, "argv", ["pyprocessor", *arguments])
    assert main(arguments) == 0
    requests[0].arguments.encode("utf-8")
    assert "caf\\udce9" in requests[0].arguments or "caf\\xe9" in requests[0].arguments


def test_paths_from_a_configuration(source: Path, tmp_path: Path, requests: list[RunRequest], capsys: Captured) -> None:
    """A configuration may name input and output; the command line goes above it."""
    config = tmp_path / "settings.yaml"
    config.write_text(f"input: {source}\noutput: {tmp_path / 'from-file'}\n")
    assert main(["--config", str(config)]) == 0
    assert main(["--config", str(config), "--output", str(tmp_path / "given")]) == 0
    assert [request.output for request in requests] == [bytes(tmp_path / "from-file"), bytes(tmp_path / "given")]


def test_settings_have_an_option_each() -> None:
    """What click reads and what profiles take do not drift apart."""
    import click

    from pyprocessor.cli.main import pyprocessor
    from pyprocessor.profiles import Overrides

    read = {p.name for p in pyprocessor.params if isinstance(p, click.Option)} - {"version"}
    assert {field.name for field in dataclasses.fields(Overrides)} - {"batch_enabled"} <= read
    assert "batch_mode" in read
