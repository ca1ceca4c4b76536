"""The command itself: help, exit codes, what goes to which stream, and what errors look like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pyprocessor import __version__
from pyprocessor.cli.main import LazyGroup, main, pyprocessor
from pyprocessor.errors import ExitCode, FfmpegUnusable, OutputBusy, OutputUnwritable

Captured = pytest.CaptureFixture[str]


def called(*arguments: str | bytes, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pyprocessor", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )


def raising(error: BaseException) -> Callable[..., int]:
    """A stand-in for the main job that raises this."""

    def run(*_: object) -> int:
        raise error

    return run


def test_help_lists_options_and_commands(capsys: Captured) -> None:
    """Help shows the documented options and every command with a line of its own."""
    assert main(["--help"]) == 0
    said = capsys.readouterr()
    for word in ("--input", "--output", "--batch-mode", "--plan", "--json", "doctor", "probe", "profiles", "report"):
        assert word in said.out
    assert said.err == ""


def test_without_arguments_it_prints_help(capsys: Captured) -> None:
    """A bare call explains itself."""
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: pyprocessor")


def test_version(capsys: Captured) -> None:
    """The version is that of the package."""
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    """An answer to --help loads click and none of what the job needs."""
    program = (
        "import sys\n"
        "from pyprocessor.cli import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'av', 'pydantic', 'tqdm', 'psutil', 'yaml', 'ffmpeg', 'sqlite3', 'multiprocessing', 'numpy'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_every_listed_command_exists() -> None:
    """The table of lazily imported commands names what is there, under the same name."""
    context = click.Context(pyprocessor)
    assert isinstance(pyprocessor, LazyGroup)
    for name in pyprocessor.list_commands(context):
        command = pyprocessor.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert main([name, "--help"]) == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--bogus"], "--bogus"),
        (["nonsense"], "nonsense"),
        (["--crf", "abc"], "--crf"),
        (["--jobs", "1.5"], "--jobs"),
        (["--batch-mode", "sometimes"], "--batch-mode"),
        (["--log-format", "xml"], "--log-format"),
        (["--input"], "--input"),
        (["--quiet", "report", "--output", "x"], "--quiet"),
        (["report"], "--output"),
        (["report", "--output", "x", "--format", "pdf"], "--format"),
        (["probe"], "FILE"),
        (["--input", "a", "--output", "b", "stray"], "stray"),
    ],
)
def test_misuse_is_one_sentence_and_exit_2(arguments: list[str], named: str, capsys: Captured) -> None:
    """What click refuses comes out in our own form, naming the option, on standard error only."""
    assert main(arguments) == ExitCode.USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("pyprocessor: error: ")
    assert named in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FfmpegUnusable("It does not start."), 69),
        (OutputUnwritable("The disk is full."), 74),
        (OutputBusy("Another run holds it."), 75),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("division by zero"), 70),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each exception has its exit code and is told without a traceback."""
    monkeypatch.setattr("pyprocessor.cli.run.run", raising(error))
    assert main(["--input", "a", "--output", "b"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("pyprocessor: error: ")
    assert "Traceback" not in said.err
    if str(error):
        assert str(error) in said.err


def test_a_defect_leaves_its_traceback_in_the_logs(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the run has a logs folder, the traceback is kept there and the sentence says where."""

    def run(_: object, session: object) -> int:
        session.logs = bytes(tmp_path)  # type: ignore[attr-defined]
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("pyprocessor.cli.run.run", run)
    assert main(["--input", "a", "--output", "b"]) == ExitCode.INTERNAL
    (log,) = tmp_path.iterdir()
    assert "ZeroDivisionError: division by zero" in log.read_text()
    said = capsys.readouterr().err
    assert str(log) in said
    assert len(said.splitlines()) == 1


def test_a_defect_with_verbose_shows_its_traceback(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a logs folder, --verbose shows where it happened."""
    monkeypatch.setattr("pyprocessor.cli.run.run", raising(ZeroDivisionError("division by zero")))
    assert main(["--input", "a", "--output", "b", "--verbose"]) == ExitCode.INTERNAL
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--log-format", "json", "--bogus"], ["--log-format=json", "--crf", "x"]])
def test_errors_are_json_lines_where_asked(arguments: list[str], capsys: Captured) -> None:
    """Even an error in reading the arguments is a JSON object with --log-format json."""
    assert main(arguments) == ExitCode.USAGE
    entry = json.loads(capsys.readouterr().err)
    assert (entry["level"], entry["event"]) == ("error", "error")


def test_a_reader_that_went_away_is_no_error() -> None:
    """`pyprocessor ... | head` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = called("profiles", "schema", stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_result_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A full disk behind standard output is an error with its own exit code."""
    with open("/dev/full", "wb") as full:
        done = called("doctor", "--json", stdout=full.fileno())
    assert done.returncode == ExitCode.OUTPUT_UNWRITABLE
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr


def test_bytes_that_are_not_utf8_in_arguments(tmp_path: Path) -> None:
    """A path with odd bytes is told escaped, never with a traceback."""
    missing = os.path.join(bytes(tmp_path), b"caf\xe9.mp4")
    done = called("--input", missing, "--output", os.path.join(bytes(tmp_path), b"out"))
    assert done.returncode == ExitCode.USAGE
    assert b"caf\\xe9.mp4 does not exist" in done.stderr
