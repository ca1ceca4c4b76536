"""pyprocessor with nobody looking: from cron's bare environment, beside another run, with nothing to write to."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command import COMMAND, assert_plain, begin, call
from tests.process.steered import ask, encoding
from tests.waiting import DEADLINE_SECONDS

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "pyprocessor.crontab"
SILENT = (0, "", "")
CRON = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh", "LOGNAME": "nobody"}


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Two clips that were not written a moment ago."""
    for name in ("a.mp4", "b.mkv"):
        make_clip(tmp_path / "in" / name)
    return tmp_path / "in"


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


def shell(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a line by /bin/sh as cron does, with nothing in the environment but this."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def crontab_line(inputs: Path, output: Path) -> str:
    """The documented line, with this installation, these folders, and files taken whatever their age."""
    line = next(line for line in EXAMPLE.read_text().splitlines() if line.startswith("*"))
    command = line.split(maxsplit=5)[5]
    for documented, real in (
        ("/opt/pyprocessor/bin/pyprocessor", shlex.join(COMMAND)),
        ("/srv/inbox", shlex.quote(str(inputs))),
        ("/srv/videos", shlex.quote(str(output))),
        ("--min-age 2m", "--min-age 0s"),
    ):
        assert documented in command
        command = command.replace(documented, real)
    return command


@pytest.mark.parametrize("environment", [{}, CRON], ids=["empty", "cron"])
def test_the_crontab_line_works_from_a_bare_environment(
    environment: dict[str, str], inputs: Path, tmp_path: Path
) -> None:
    """No PATH, HOME or LANG; silent when it did something, and when there is nothing left to do."""
    # The one thing that is set keeps what is learned out of the real user's folders.
    environment = {**environment, "XDG_STATE_HOME": str(tmp_path / "state")}
    line = crontab_line(inputs, tmp_path / "out")
    for _ in range(2):
        assert outcome(shell(line, environment)) == SILENT
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {"a.mp4", "b.mp4"}


def test_closed_standard_streams_are_no_trouble(inputs: Path, tmp_path: Path) -> None:
    """Nothing to read from and nothing to write to: the work is done, and no file is harmed."""
    line = f"{crontab_line(inputs, tmp_path / 'out')} <&- >&- 2>&-"
    assert outcome(shell(line, dict(os.environ))) == SILENT
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_file()} == {"a.mp4", "b.mp4"}


def test_a_failure_is_told_once_and_later_runs_exit_1_without_a_word(inputs: Path, tmp_path: Path) -> None:
    """One mail for what somebody has to look at, not one every quarter of an hour."""
    (inputs / "bad.mp4").write_text("this is no video\n" * 50)
    line = crontab_line(inputs, tmp_path / "out")
    first = shell(line, dict(os.environ))
    assert first.returncode == 1, first.stderr
    assert first.stdout == ""
    assert [("bad.mp4" in told) for told in first.stderr.splitlines()] == [True]
    assert outcome(shell(line, dict(os.environ))) == (1, "", "")


def test_an_overlapping_run_ends_at_once_and_quietly(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Exit code 75 either way; with `--quiet` not a word, without it one line that names the folder."""
    make_clip(tmp_path / "in" / "long.mp4", seconds=20.0, size="640x360")
    job = ["--input", tmp_path / "in", "--output", tmp_path / "out"]
    first = begin(*job, "--grace", "0")
    try:
        encoding(first, tmp_path / "out")
        assert ask(tmp_path / "out", "pause", now=True) is not None  # it holds the output for as long as this takes
        assert outcome(call(*job, "--quiet")) == (75, "", "")
        loud = call(*job)
        assert_plain(loud, 75, "Another run", str(tmp_path / "out"))
        assert len(loud.stderr.splitlines()) == 1
    finally:
        first.send_signal(signal.SIGTERM)
        said, _ = first.communicate(timeout=DEADLINE_SECONDS)
    assert first.returncode == 143, said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--plan"], "--plan shows what would be done now"),
        ([], "--watch watches a folder"),
    ],
    ids=["plan", "file"],
)
def test_what_contradicts_watching_is_refused_in_a_sentence(
    more: list[str], words: str, inputs: Path, tmp_path: Path
) -> None:
    """A plan, or a single file as the input."""
    source = inputs if more else inputs / "a.mp4"
    assert_plain(call("--input", source, "--output", tmp_path / "out", "--watch", *more), 2, words)
    assert not (tmp_path / "out").exists()


def test_a_watching_run_gives_its_document_at_the_end(inputs: Path, tmp_path: Path) -> None:
    """`--watch --limit 2 --json`: one document on standard output once both are done."""
    job = ["--input", inputs, "--output", tmp_path / "out", "--profile", "fast", "--watch", "--min-age", "0s"]
    done = call(*job, "--limit", "2", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    assert {entry["state"] for entry in json.loads(done.stdout)["files"]} == {"succeeded"}
