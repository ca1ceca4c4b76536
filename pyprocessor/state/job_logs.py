"""Which logs does a run keep, and where? Of failed jobs, of hooks and of crashes of its processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from pyprocessor.state.state_folder import opened_privately, state_folder

LOG_NAME_DIGITS = 16
HOOKS_LOG_NAME = b"hooks.log"


def job_log(logs: bytes, job_id: str) -> bytes:
    """Return the path of a job's log in the logs folder."""
    return os.path.join(logs, f"job-{job_id[:LOG_NAME_DIGITS]}.log".encode("ascii"))


def find_job_log(output: bytes, job_id: str) -> bytes | None:
    """Return the path of a job's log, if it has one; `output` is the output folder."""
    path = job_log(state_folder(output).logs, job_id)
    return path if os.path.exists(path) else None


def write_job_log(logs: bytes, job_id: str, message: str, transcript: Sequence[str]) -> None:
    """Append a message, and what was asked of ffmpeg and what it answered, to the job's log."""
    _append(job_log(logs, job_id), [message, *(line for part in transcript for line in part.splitlines()), ""])


def write_hooks_log(logs: bytes, title: str, output: str) -> None:
    """Append what a hook printed, below a line that says which call it was and how it ended."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    _append(os.path.join(logs, HOOKS_LOG_NAME), [f"{at} {title}", *(f"    {line}" for line in output.splitlines())])


def write_crash_log(logs: bytes, pid: int, trace: str) -> None:
    """Write the traceback of a defect that ended the process `pid`."""
    _append(os.path.join(logs, f"crash-{pid}.log".encode("ascii")), trace.splitlines())


def _append(path: bytes, lines: Sequence[str]) -> None:
    """Append lines, control characters escaped; a log that cannot be written fails no job."""
    text = "\n".join(_printable(line) for line in lines) + "\n"
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace", opener=opened_privately) as log:
            log.write(text)
    except OSError:
        return


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in line)
