"""Where a run keeps the logs of failed files."""

from __future__ import annotations

import os
from collections.abc import Callable

from pyprocessor.state.job_logs import job_log_name
from pyprocessor.state.state_folder import state_folder


def job_logs(output: bytes) -> Callable[[str], bytes | None]:
    """A function from a job's id to the path of its log, or None where it has none."""
    logs = state_folder(output).logs

    def log_of(job_id: str) -> bytes | None:
        path = os.path.join(logs, job_log_name(job_id).encode("ascii"))
        return path if os.path.exists(path) else None

    return log_of
