"""The log of one failed job: what was asked of ffmpeg and what it answered, to read after the run."""

from __future__ import annotations

import os
from collections.abc import Sequence

LOG_NAME_DIGITS = 16


def job_log_name(job_id: str) -> str:
    """Name of a job's log below the logs folder."""
    return f"job-{job_id[:LOG_NAME_DIGITS]}.log"


def write_job_log(logs: bytes, job_id: str, message: str, transcript: Sequence[str]) -> None:
    """Append to the job's log; control characters come out escaped. A log that cannot be written fails no job."""
    lines = [message, *(line for part in transcript for line in part.splitlines()), ""]
    text = "\n".join(_printable(line) for line in lines) + "\n"
    try:
        with open(os.path.join(logs, job_log_name(job_id).encode("ascii")), "a", encoding="utf-8") as log:
            log.write(text)
    except OSError:
        # The output's disk may be full, which is told as the failure itself.
        return


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in line)
