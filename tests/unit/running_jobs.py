"""Running jobs for tests, with what matters to each."""

from __future__ import annotations

from typing import Any

from pyprocessor.costs.model import CostClass, CostFactors
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.jobs.running_job import RunningJob

KIND = CostClass("transcode", "libx264", "medium", "1080p", "yuv420p", 1)


def running_job(
    job_id: str = "a",
    *,
    cpu_seconds: float = 1.0,
    memory_bytes: int = 0,
    spread: float = 1.0,
    kind: CostClass = KIND,
    **more: Any,
) -> RunningJob:
    """A job that runs; `memory_bytes` is what its ffmpeg takes, `more` any other fields of the record."""
    queued = QueuedJob(
        job_id, cpu_seconds, 1.0, kind, factors=CostFactors(spread=spread), name=more.pop("name", f"{job_id}.mp4")
    )
    return RunningJob(queued, memory_bytes=memory_bytes, **more)
