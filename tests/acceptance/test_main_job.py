"""`pyprocessor --input IN --output OUT --batch-mode enabled`, typed by a person or by cron."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState
from tests.acceptance.command import assert_plain, begin, call
from tests.long import long_after
from tests.process.steered import encoding, state
from tests.waiting import DEADLINE_SECONDS, until


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Three small clips, one in a folder below."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.mp4", "b.mkv", "sub/c.mp4"):
        make_clip(folder / name)
    return folder


@pytest.fixture
def long_inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Clips that take a few seconds each to encode with a slow preset."""
    folder = tmp_path / "long"
    folder.mkdir()
    for number in range(4):
        make_clip(folder / f"{number}.mp4", seconds=8.0, size="640x360", audio=None)
    return folder


def main_job(inputs: Path, output: Path, *more: str) -> list[str | Path]:
    return ["--input", inputs, "--output", output, "--batch-mode", "enabled", "--profile", "fast", *more]


def test_real_outputs_come_out_and_again_does_nothing(inputs: Path, tmp_path: Path) -> None:
    """The one command, twice: first it makes three files, then it says that there is nothing to do."""
    output = tmp_path / "out"
    assert_plain(call(*main_job(inputs, output)), 0)
    made = {path: path.stat().st_mtime_ns for path in output.rglob("*.mp4")}
    assert {str(path.relative_to(output)) for path in made} == {"a.mp4", "b.mp4", "sub/c.mp4"}
    assert_plain(call(*main_job(inputs, output)), 0, "Nothing to do")
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.mp4")} == made


def test_json_is_one_document_on_stdout(inputs: Path, tmp_path: Path) -> None:
    """All else goes to stderr, so a script may parse what it gets."""
    result = call(*main_job(inputs, tmp_path / "out", "--json"))
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert {entry["state"] for entry in document["files"]} == {"succeeded"}
    assert len(document["files"]) == 3


def test_progress_lines_have_the_documented_form(inputs: Path, tmp_path: Path) -> None:
    """Without a terminal there are no bars, only lines that scripts know."""
    result = call(*main_job(inputs, tmp_path / "out", "--progress-interval", "0.2"))
    lines = [line for line in result.stderr.splitlines() if line.startswith("Progress: ")]
    form = (
        r"Progress: \d+/\d+ \(\d+\.\d% success\) \| Active: \d+ \| Failed: \d+ "
        r"\| Memory: [\d.]+[KMG]?B \| CPU: [\d.]+% \| ETA: \S+"
    )
    assert lines
    assert all(re.fullmatch(form, line) for line in lines), lines
    assert "\r" not in result.stderr
    assert "\x1b" not in result.stderr


def test_quiet_says_nothing_when_all_is_well(inputs: Path, tmp_path: Path) -> None:
    """What cron mails is only what somebody must read."""
    result = call(*main_job(inputs, tmp_path / "out", "--quiet"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_plan_shows_everything_and_touches_nothing(inputs: Path, tmp_path: Path) -> None:
    """Files, why one is skipped, batches, memory and time; and no output folder afterwards."""
    (inputs / "text.mp4").write_text("no video here\n" * 100)
    result = call(*main_job(inputs, tmp_path / "out", "--plan"))
    assert_plain(result, 0, "a.mp4", "b.mkv", "c.mp4", "text.mp4")
    assert re.search(r"[Bb]atch", result.stdout)
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_plan_knows_what_is_done(inputs: Path, tmp_path: Path) -> None:
    """After a run the plan has no file left to do."""
    call(*main_job(inputs, tmp_path / "out"))
    result = call(*main_job(inputs, tmp_path / "out", "--plan", "--json"))
    assert_plain(result, 0)
    assert json.loads(result.stdout)["batches"] == []


def states(output: Path) -> list[JobState]:
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return sorted(row.state for row in journal.jobs())


SLOW = ("--preset", "slower", "--jobs", "2")


def test_one_interrupt_finishes_what_runs(long_inputs: Path, tmp_path: Path) -> None:
    """After one Ctrl-C running files get their outputs, nothing new starts, and the same command goes on."""
    output = tmp_path / "out"
    process = begin(*main_job(long_inputs, output, *SLOW))
    encoding(process, output)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    done = states(output).count(JobState.SUCCEEDED)
    assert 1 <= done < 4
    assert len(list(output.glob("*.mp4"))) == done
    assert os.listdir(output / ".pyprocessor" / "partial") == []
    assert_plain(call(*main_job(long_inputs, output, *SLOW)), 0)
    assert len(list(output.glob("*.mp4"))) == 4


@long_after(
    1, ("signals", "code"), [([signal.SIGINT, signal.SIGINT], 130), ([signal.SIGTERM], 143), ([signal.SIGHUP], 129)]
)
def test_two_interrupts_or_a_termination_or_a_closed_terminal_end_it_now(
    signals: list[signal.Signals], code: int, long_inputs: Path, tmp_path: Path
) -> None:
    """ffmpegs are ended, partials removed, nothing is left running, and the same command goes on."""
    output = tmp_path / "out"
    process = begin(*main_job(long_inputs, output, *SLOW, "--grace", "0"))
    ffmpegs = encoding(process, output)
    first, *more = signals
    process.send_signal(first)
    for number in more:
        until(lambda: state(output) == "draining", "the first signal to be handled")
        process.send_signal(number)
    said, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert psutil.wait_procs(ffmpegs, timeout=DEADLINE_SECONDS)[1] == []
    assert os.listdir(output / ".pyprocessor" / "partial") == []
    assert JobState.RUNNING not in states(output)
    assert_plain(call(*main_job(long_inputs, output)), 0)
    assert len(list(output.glob("*.mp4"))) == 4


def test_a_killed_engine_leaves_nothing_running_and_is_continued(long_inputs: Path, tmp_path: Path) -> None:
    """SIGKILL of the engine: its ffmpegs end with it, and the same command finishes the work."""
    output = tmp_path / "out"
    process = begin(*main_job(long_inputs, output, *SLOW))
    ffmpegs = encoding(process, output)
    process.kill()
    process.communicate(timeout=DEADLINE_SECONDS)
    assert psutil.wait_procs(ffmpegs, timeout=DEADLINE_SECONDS)[1] == []
    assert_plain(call(*main_job(long_inputs, output)), 0)
    assert len(list(output.glob("*.mp4"))) == 4
    assert os.listdir(output / ".pyprocessor" / "partial") == []
