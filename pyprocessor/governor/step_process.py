"""What does the governor choose among? The processes that run steps: an ffmpeg, or one that makes calls. Pure.

Several jobs may share one that makes calls. It can only be suspended or ended as a whole, so it counts once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyprocessor.jobs.running_job import RunningJob


@dataclass(frozen=True, slots=True)
class StepProcess:
    """One process with its jobs, the oldest first; amounts are of all its jobs together."""

    key: str
    """The same at each reading, while its jobs come and go."""
    jobs: tuple[RunningJob, ...]
    started_seconds: float
    memory_bytes: int
    predicted_bytes: int
    remaining_bytes: int
    """How much it is expected to grow yet."""
    suspended: bool
    sheds: int
    """Of the job that was ended most often."""
    is_call: bool
    warm: bool
    """Whether it had made other calls before those of its jobs."""

    @property
    def job_id(self) -> str:
        """The job that stands for it in events."""
        return self.jobs[0].job_id

    @property
    def name(self) -> str:
        more = len(self.jobs) - 1
        return self.jobs[0].name + (f" and {more} more in its process" if more else "")


def step_processes(running: Iterable[RunningJob]) -> list[StepProcess]:
    """Return the processes of these jobs, the oldest first."""
    shared: dict[str, list[RunningJob]] = {}
    for job in sorted(running, key=lambda job: (job.started_seconds, job.job_id)):
        key = job.job_id if job.ffmpeg is None else f"{job.ffmpeg.pid} {job.ffmpeg.start_time}"
        shared.setdefault(key, []).append(job)
    return [
        StepProcess(
            key=key,
            jobs=tuple(jobs),
            started_seconds=jobs[0].started_seconds,
            memory_bytes=sum(job.memory_bytes for job in jobs),
            predicted_bytes=sum(job.predicted_bytes for job in jobs),
            remaining_bytes=max(0, sum(job.expected_bytes - job.memory_bytes for job in jobs)),
            suspended=any(job.suspended for job in jobs),
            sheds=max(job.sheds for job in jobs),
            is_call=jobs[0].is_call,
            warm=any(job.warm for job in jobs),
        )
        for key, jobs in shared.items()
    ]
