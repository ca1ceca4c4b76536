"""The command itself: help, exit codes, what goes to which stream, and what errors look like."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import click
import pytest

from pyprocessor import __version__
from pyprocessor.cli.main import LazyGroup, main, pyprocessor
from pyprocessor.cli.session import Session
from pyprocessor.errors import ChildUnstartable, ExitCode, FfmpegUnusable, OutputBusy, OutputUnwritable
from pyprocessor.workers.process import context
from tests.long import long_after
from tests.waiting import DEADLINE_SECONDS

Captured = pytest.CaptureFixture[str]


def called(
    *arguments: str | bytes, stdout: int = subprocess.PIPE, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The command as a process of its own, with these variables beside what is there."""
    return subprocess.run(
        [sys.executable, "-m", "pyprocessor", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        timeout=DEADLINE_SECONDS,
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


def test_help_is_read_from_the_top_in_80_columns(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The five options that matter most come first, each option has one place and one line, then the commands."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Usage: pyprocessor [OPTIONS] INPUT... OUTPUT"
    assert all(len(line) < 80 for line in lines)
    rows = [line for line in lines[lines.index("Options used most:") :] if line.startswith("  ")]
    assert all(line[2:3].strip() and line[28:29].strip() for line in rows)
    terms = [line.split()[0] for line in rows]
    assert terms[:5] == ["--input", "--output", "--profile", "--plan", "--jobs"]
    assert sorted(terms[-16:]) == terms[-16:] == pyprocessor.list_commands(click.Context(pyprocessor))
    assert len(set(terms)) == len(terms) == len(pyprocessor.params) + 1 + 16  # --help and the commands


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
        "from pyprocessor.cli.main import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'av', 'tqdm', 'psutil', 'yaml', 'ffmpeg', 'sqlite3', 'multiprocessing', 'numpy'}\n"
        "loaded = heavy & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE_SECONDS, stdout=subprocess.DEVNULL)


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
        (["--outptu", "b"], "Did you mean '--output'? See `pyprocessor --help`."),
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
        (["statsu"], "Did you mean 'status'?"),
        (["statsu", "--output", "x"], "Did you mean 'status'?"),
        (["Videos"], "Only one path is named, Videos, but it takes two"),
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


def test_a_limit_on_open_files_is_no_defect(capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sentence says what to raise; other errors of the system that nobody foresaw stay defects."""
    words = ["--input", str(tmp_path / "none"), "--output", str(tmp_path / "out")]
    monkeypatch.setattr("pyprocessor.cli.run.run", raising(OSError(errno.EMFILE, "Too many open files")))
    assert main(words) == ExitCode.TRY_AGAIN
    assert "ulimit -n" in capsys.readouterr().err
    monkeypatch.setattr("pyprocessor.cli.run.run", raising(OSError(errno.EXDEV, "Cross-device link")))
    assert main(words) == ExitCode.INTERNAL


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "--bogus"],
        ["--input", "/nowhere", "--output", "x", "--json", "--plan"],
        ["--json", "--profile", "nosuch", "--input", "/", "--output", "x"],
        ["report", "--output", "/nowhere", "--format", "json"],
        ["report", "--output", "/nowhere", "--format=json"],
        ["probe", "/nowhere", "--json"],
    ],
)
def test_who_waits_for_a_document_gets_one(arguments: list[str], capsys: Captured) -> None:
    """Where no result can be given, the document says why and with which exit code."""
    code = main(arguments)
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["version"] == 1
    assert document["exit_code"] == code == ExitCode.USAGE
    assert document["error"] in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [(OutputBusy("Another run holds it."), 75), (KeyboardInterrupt(), 130), (ZeroDivisionError(), 70)],
)
def test_the_document_tells_any_early_end(
    error: BaseException, code: int, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Busy outputs, interrupts and defects are told in it as well, and only where it was asked for."""
    monkeypatch.setattr("pyprocessor.cli.run.run", raising(error))
    assert main(["--input", "a", "--output", "b", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["exit_code"] == code
    assert main(["--input", "--", "--output", "b"]) == code
    assert capsys.readouterr().out == ""


def test_no_second_document_after_one_has_begun(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document that was torn by a defect is not followed by another."""

    def run(_: object, session: Session) -> int:
        session.answered = True
        raise ZeroDivisionError

    monkeypatch.setattr("pyprocessor.cli.run.run", run)
    assert main(["--input", "a", "--output", "b", "--json"]) == ExitCode.INTERNAL
    assert capsys.readouterr().out == ""


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
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""


@long_after(2, "arguments", ["profiles list", "--bogus", "doctor --json", "probe nowhere --json", "--help"])
@long_after(1, "closed", ["<&- >&- 2>&-", ">&-", "2>&-"])
def test_closed_standard_streams_are_as_good_as_nowhere(arguments: str, closed: str, tmp_path: Path) -> None:
    """Nothing that is printed can reach anyone, and the exit code is what it would have been."""
    command = f"{shlex.quote(sys.executable)} -m pyprocessor {arguments}"
    codes = [
        subprocess.run(
            f"{command} {streams}", shell=True, capture_output=True, timeout=DEADLINE_SECONDS, check=False
        ).returncode
        for streams in (closed, "</dev/null >/dev/null 2>/dev/null")
    ]
    assert codes[0] == codes[1]


def test_files_do_not_take_the_numbers_of_closed_streams(tmp_path: Path) -> None:
    """Else what is printed would end up in the next file that is opened, the journal for instance."""
    program = (
        "import os\n"
        "from pyprocessor.cli.console import have_standard_streams\n"
        "have_standard_streams()\n"
        f"open({str(tmp_path / 'number')!r}, 'w').write(str(os.open(os.devnull, os.O_RDONLY)))\n"
        "print('to nobody')\n"
    )
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} <&- >&- 2>&-"
    subprocess.run(line, shell=True, timeout=DEADLINE_SECONDS, check=True)
    assert int((tmp_path / "number").read_text()) > 2


@pytest.mark.parametrize(
    "place",
    [
        "{0}",
        "import pyprocessor.report.narration\nexec('{0}')",
        "class Attribute:\n  def __set_name__(self, *names):\n    {0}\nclass Made:\n  attribute = Attribute()",
    ],
    ids=["plain", "in exec", "in __set_name__"],
)
@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_during_the_imports_ends_it_in_a_sentence(number: str, code: int, place: str, tmp_path: Path) -> None:
    """Also where Python wraps the signal's exception in another, or remembers it although it was caught."""
    interrupt = f"os.kill(os.getpid(), signal.{number}); time.sleep(60)"
    (tmp_path / "click.py").write_text(f"import os, signal, time\n{place.format(interrupt)}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pyprocessor", "--json", "--input", "a", "--output", "b"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stderr == "pyprocessor: error: Interrupted; the same command goes on from here.\n"
    assert json.loads(done.stdout)["exit_code"] == code


@pytest.mark.parametrize(
    "dropping",
    [
        "class Dropping:\n    def __del__(self):\n        interrupt()\nDropping()\n",
        "import weakref\nclass Plain: pass\none = Plain()\nto = weakref.ref(one, lambda _: interrupt())\ndel one\n",
    ],
)
def test_a_signal_within_what_drops_exceptions_ends_it_too(dropping: str, tmp_path: Path) -> None:
    """Python drops what is raised in finalisers and callbacks, such as those of its import locks."""
    (tmp_path / "click.py").write_text(
        "import os, signal, time\n"
        "def interrupt():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0)\n"
        f"{dropping}"
        "time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pyprocessor", "--input", "a", "--output", "b"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "pyprocessor: error: Interrupted; the same command goes on from here.\n"


def test_a_signal_after_the_answer_changes_nothing(tmp_path: Path) -> None:
    """While Python puts itself away no sentence is possible any more, and the exit code is told already."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os, signal\natexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pyprocessor", "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_warnings_of_python_stay_out_of_the_lines(tmp_path: Path) -> None:
    """They are for developers, and no JSON."""
    (tmp_path / "click.py").write_text("import warnings\nwarnings.warn('of no concern')\nraise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-m", "pyprocessor", "--log-format", "json"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert [json.loads(line)["level"] for line in done.stderr.splitlines()] == ["error"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_result_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A full disk behind standard output is an error with its own exit code."""
    with open("/dev/full", "wb") as full:
        done = called("doctor", "--json", stdout=full.fileno())
    assert done.returncode == ExitCode.OUTPUT_UNWRITABLE, done.stderr
    assert b"standard output" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_folder_for_temporary_files_that_is_too_deep_is_one_sentence(tmp_path: Path) -> None:
    """A socket has to lie in it, whose path has 107 bytes at most."""
    if sys.platform != "linux":
        pytest.skip("only Linux has a process that starts the others and listens on a socket")
    deep = tmp_path / ("d" * 80)
    deep.mkdir()
    (tmp_path / "a.mp4").write_bytes(b"")
    words = ["--input", str(tmp_path / "a.mp4"), "--output", str(tmp_path / "out")]
    ended = called(*words, environment={"TMPDIR": str(deep)})
    assert ended.returncode == ExitCode.TRY_AGAIN, ended.stderr
    assert ended.stderr.decode().count("\n") == 1
    assert "Set TMPDIR to one of 75 bytes at most" in ended.stderr.decode()


def test_no_folder_for_temporary_files_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started for want of it, it says so instead of telling of a defect."""

    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", None)  # type: ignore[attr-defined]
    with pytest.raises(ChildUnstartable, match="Set TMPDIR to one that can"):
        context("spawn")


def test_bytes_that_are_not_utf8_in_arguments(tmp_path: Path) -> None:
    """A path with odd bytes is told escaped, never with a traceback."""
    missing = os.path.join(bytes(tmp_path), b"caf\xe9.mp4")
    done = called("--input", missing, "--output", os.path.join(bytes(tmp_path), b"out"))
    assert done.returncode == ExitCode.USAGE, done.stderr
    assert b"caf\\xe9.mp4 does not exist" in done.stderr
