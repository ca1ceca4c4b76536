"""How many jobs is a batch process sent or given for each of its slots, and how many that wait has it at once? Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyprocessor.costs.model import FILE_SECONDS, CostClass
from pyprocessor.jobs.priorities import UNRANKED
from pyprocessor.jobs.queued_job import Kind, QueuedJob
from pyprocessor.models import BatchSettings
from pyprocessor.models.wording import memory_size
from pyprocessor.plan import resources
from pyprocessor.plan.packing import MIN_BATCH_SECONDS
from pyprocessor.plan.queue import ReadyQueue

MOST_WAITING = 64
"""Jobs that mostly wait, at once in a run: each may be a connection or a process of its own."""
AHEAD_SECONDS = 0.5
"""Work that a slot has for a turn of the engine's loop that takes long."""
MOST_FETCHED = MOST_WAITING
"""Inputs that are being fetched or lie there unread, at most."""
MOST_AHEAD = 256
LEAST_AHEAD = 2
"""One that runs and the next."""
PASSED_SHARE = 2
"""Others may pass a job while what waits is so many times the work that other slots could do while it runs."""


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


def goes_on_with(
    ready: ReadyQueue, kind: Kind, head: QueuedJob, all_slots: int, available: Callable[[QueuedJob], bool]
) -> QueuedJob | None:
    """Return the job with which a process that does calls of one kind goes on, so that what it loaded stays of use.

    It is the `head` if that is of the kind, else one that only costs put behind the head. None where there is no such
    one, or the head might then end after all others.
    """
    if head.kind == kind:
        return head
    late = ready.wall_seconds(1) < PASSED_SHARE * (all_slots - 1) * head.wall_seconds(1)
    if kind[0] is None or head.rank != UNRANKED or late:
        return None
    return ready.first(lambda job: job.kind == kind and _alike(job, head) and available(job))


def _alike(job: QueuedJob, other: QueuedJob) -> bool:
    """Whether only costs decide which of them comes first."""
    return job.band == other.band and job.tenant == other.tenant


def more_of_its_kind(
    ready: ReadyQueue,
    first: QueuedJob,
    count: int,
    most_bytes: float,
    available: Callable[[QueuedJob], bool],
) -> list[QueuedJob]:
    """Take up to so many jobs of the `first` one's kind and priority, for the process that goes on with it.

    They take `most_bytes` each at most, and their back end is `available`. Where it is not their turn they are all of
    the first one's tenant.
    """
    head, kind = ready.first(available), first.kind
    in_turn = head is not None and head.kind == kind

    def fits(job: QueuedJob) -> bool:
        alike = job.kind == kind and (job.band == first.band if in_turn else _alike(job, first))
        return alike and job.memory_bytes <= most_bytes and available(job)

    taken: list[QueuedJob] = []
    while len(taken) < count and fits(first):
        job = ready.first(fits)
        if job is None or (kind[0] is None and not is_short_file(job)):
            break
        ready.take(among=[job.job_id])
        taken.append(job)
    return taken


def fetched_enough(files: int, total_bytes: int, left_bytes: int) -> str:
    """Return why no input may be fetched now, as the end of a sentence; empty where one may.

    So many `files` are being fetched or lie there unread, of so many bytes in all, and the disk has so many left.
    """
    if files >= MOST_FETCHED:
        return f"{files} other inputs are being fetched or wait to be read, as many as may"
    if total_bytes > left_bytes:
        return f"inputs that wait to be read take {memory_size(total_bytes)}, more than the disk has left"
    return ""


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
