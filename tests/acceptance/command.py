"""Calling the installed command as a user types it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pyprocessor.cli.main import main
from tests.waiting import DEADLINE_SECONDS

COMMAND = (sys.executable, "-m", "pyprocessor")


def call(
    *arguments: str | bytes | Path, cwd: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, without a terminal; undecodable output comes as surrogates."""
    return subprocess.run(
        [*COMMAND, *(os.fsdecode(a) for a in arguments)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def call_here(*arguments: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in this process: half a second less each, for commands that start no batch process."""
    given = [os.fsdecode(a) for a in arguments]
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        code = main(given)
    said = [_held(stream) for stream in streams]
    return subprocess.CompletedProcess(given, code, *said)


def _held(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def begin(*arguments: str | Path, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command in a session of its own and go on; stdout and stderr are one pipe."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def assert_plain(result: subprocess.CompletedProcess[str], exit_code: int, *words: Sequence[str] | str) -> None:
    """The exit code is this one, no traceback is shown, and each of these words stands in what was printed."""
    said = result.stdout + result.stderr
    assert result.returncode == exit_code, said
    assert "Traceback" not in said, said
    for word in words:
        assert str(word) in said, f"{word!r} is missing in:\n{said}"
