"""How many jobs is a batch process sent or given for each of its slots, and how many that wait has it at once? Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyprocessor.costs.model import FILE_SECONDS, CostClass
from pyprocessor.jobs.queued_job import Kind, QueuedJob
from pyprocessor.models import BatchSettings
from pyprocessor.plan import resources
from pyprocessor.plan.packing import MIN_BATCH_SECONDS
from pyprocessor.plan.queue import ReadyQueue

MOST_WAITING = 64
"""Jobs that mostly wait, at once in a run: each may be a connection or a process of its own."""
AHEAD_SECONDS = 0.5
"""Work that a slot has for a turn of the engine's loop that takes long."""
MOST_AHEAD = 256
LEAST_AHEAD = 2
"""One that runs and the next."""


def jobs_ahead(job: QueuedJob) -> int:
    """How many such jobs a slot is sent: one that takes longer than an ffmpeg takes to start, and its next."""
    seconds = job.wall_seconds(1)
    if seconds >= FILE_SECONDS:
        return LEAST_AHEAD
    return MOST_AHEAD if seconds * MOST_AHEAD <= AHEAD_SECONDS else int(AHEAD_SECONDS / seconds)


def slots_for_waiting(job: QueuedJob) -> int:
    """How many such jobs wait at once in one process: as many as compute on one core together at most."""
    return MOST_WAITING if job.cpu_seconds <= 0 else min(MOST_WAITING, 1 + int(job.wait_seconds / job.cpu_seconds))


def is_short_file(job: QueuedJob) -> bool:
    """Whether it is a file that takes less time than a batch of its own is worth."""
    return job.affinity is None and job.wall_seconds(1) < MIN_BATCH_SECONDS


def files_to_give(job: QueuedJob, left: int, all_slots: int) -> int:
    """How many such short files a slot is given at once, of so many that are left for all slots."""
    return max(1, min(int(MIN_BATCH_SECONDS / job.wall_seconds(1)), left // (2 * all_slots)))


def more_of_its_kind(
    ready: ReadyQueue,
    kind: Kind,
    count: int,
    most_bytes: float,
    available: Callable[[QueuedJob], bool],
) -> list[QueuedJob]:
    """Take up to so many further jobs for a process that does calls of one kind, or short files.

    None where the next job whose back end is `available` is no such one. They are of one priority, and take
    `most_bytes` each at most.
    """
    head = ready.first(available)

    def fits(job: QueuedJob) -> bool:
        return job.kind == kind and job.memory_bytes <= most_bytes and available(job)

    if head is None or not fits(head):
        return []
    taken: list[QueuedJob] = []
    while len(taken) < count:
        job = ready.first(lambda job: fits(job) and job.band == head.band)
        if job is None or (kind[0] is None and not is_short_file(job)):
            break
        ready.take(among=[job.job_id])
        taken.append(job)
    return taken


def next_of_those_that_wait(
    waiting: ReadyQueue,
    free: Mapping[CostClass | None, int],
    in_use: Mapping[str, int],
    settings: BatchSettings,
    available: Callable[[QueuedJob], bool],
) -> QueuedJob | None:
    """The next whose resources are free and whose back end is `available`, and for which its process has a slot.

    `free` has the slots of those that have begun.
    """
    return waiting.first(
        lambda job: (
            free.get(job.affinity, 1) > 0 and resources.how_many_fit(job, in_use, settings) >= 1 and available(job)
        )
    )
