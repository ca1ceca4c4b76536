"""Logs to read after the run: of a failed job, what was asked of ffmpeg and what it answered; of a defect, where."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from pyprocessor.state.state_folder import opened_privately

LOG_NAME_DIGITS = 16
HOOKS_LOG_NAME = b"hooks.log"


def job_log_name(job_id: str) -> str:
    """Name of a job's log below the logs folder."""
    return f"job-{job_id[:LOG_NAME_DIGITS]}.log"


def write_job_log(logs: bytes, job_id: str, message: str, transcript: Sequence[str]) -> None:
    """Append to the job's log; control characters come out escaped. A log that cannot be written fails no job."""
    lines = [message, *(line for part in transcript for line in part.splitlines()), ""]
    _append(os.path.join(logs, job_log_name(job_id).encode("ascii")), lines)


def write_hooks_log(logs: bytes, what: str, said: str) -> None:
    """Append what a hook printed, below a line that says which call it was and how it ended."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    _append(os.path.join(logs, HOOKS_LOG_NAME), [f"{at} {what}", *(f"    {line}" for line in said.splitlines())])


def write_crash_log(logs: bytes, pid: int, trace: str) -> None:
    """Keep the traceback of a defect that ended the process `pid`."""
    _append(os.path.join(logs, f"crash-{pid}.log".encode("ascii")), trace.splitlines())


def _append(path: bytes, lines: Sequence[str]) -> None:
    text = "\n".join(_printable(line) for line in lines) + "\n"
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace", opener=opened_privately) as log:
            log.write(text)
    except OSError:
        # The output's disk may be full, which is told as the failure itself.
        return


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in line)
