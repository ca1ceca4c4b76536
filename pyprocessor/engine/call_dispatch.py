"""Which calls are started now, besides files? Processes that are given more of their kind, jobs that take no core.

A process that does calls of one kind (an affinity), or short files, goes on with further ones while these are next,
instead of ending after its batch. Jobs that mostly wait run beside those for cores, up to `MOST_WAITING`, in a process
for each kind.
"""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import dataclass, field, replace

from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.errors import FailureKind
from pyprocessor.jobs.priorities import Rank
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import Batch, JobState
from pyprocessor.plan import admission, modes, resources
from pyprocessor.plan.admission import Conditions, Surroundings, Wait
from pyprocessor.plan.ahead import (
    LEAST_AHEAD,
    MOST_WAITING,
    fetched_enough,
    files_to_give,
    goes_on_with,
    jobs_ahead,
    more_of_its_kind,
    next_of_those_that_wait,
    slots_for_waiting,
)
from pyprocessor.plan.modes import Chosen
from pyprocessor.plan.planner import slots_beside, usable_cores

HELD_UP_SECONDS = 1.0
HELD_UP_FACTOR = 4.0
"""A call that has run longer than this, and so many times longer than predicted, may take any time."""


def is_held_up(process: BatchProcess, now: float, *, waiting: int = 1) -> bool:
    """Whether all slots of a process have jobs that take far longer than predicted, and so many wait behind them."""
    oldest = next(iter(process.jobs.values()), None)
    if oldest is None or not _takes_long(oldest, now) or len(process.jobs) < process.batch.slots + waiting:
        return False
    return sum(_takes_long(job, now) for job in process.running) >= process.batch.slots


def _is_far_ahead(process: BatchProcess) -> bool:
    """Whether it has work for long beyond what it has begun."""
    left = (job.queued.wall_seconds(1) for job in process.jobs.values() if job.state is JobState.ASSIGNED)
    return sum(left) > HELD_UP_SECONDS * process.batch.slots


def _takes_long(job: RunningJob, now: float) -> bool:
    return job.active_seconds(now) > max(HELD_UP_SECONDS, HELD_UP_FACTOR * job.queued.wall_seconds(1))


def _turn(job: QueuedJob) -> tuple[int, Rank]:
    return job.priority, job.rank


@dataclass(eq=False)
class CallDispatch(Dispatch):
    """The batch processes of one run, with those that do calls."""

    mode: Chosen = field(init=False)
    _most_known: int = 0
    """Jobs for cores that were known or listed at once, at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mode = Chosen(self.settings, self.settings.mode)

    def fill(self, on: Conditions) -> None:
        """As `Dispatch.fill`; before it, inputs that were read are removed."""
        self.transitions.fetched.remove()
        super().fill(on)

    def _start(self, on: Conditions) -> None:
        """Start jobs for cores, then those that mostly wait; these before, where they come first by priority."""
        if self._backends.any_lost:
            self._refuse_lost()
        cores, waiting = self.queue.ready.first(), self.queue.waiting.first()
        waiting_first = waiting is not None and cores is not None and _turn(waiting) < _turn(cores)
        if waiting_first:
            self._start_waiting(on)
        self._choose_mode(on)
        self._make_way()
        self._free_held_up(on)
        if (most := self.profile.batch.most_jobs) is not None:
            beside = sum(process.occupied_slots for process in self.processes if process.waits)
            self.settings = replace(self.mode.settings, most_jobs=max(1, most - beside))
        self._top_up(on)
        super()._start(on)
        for process in self.processes:
            if not process.waits:
                self._send_ahead(process)
        if not waiting_first:
            self._start_waiting(on)

    def _choose_mode(self, on: Conditions) -> None:
        """Have the planner's settings follow from the mode, anew where an adaptive run knows of more jobs.

        A short listing is whole by then; see `admission.may_begin`. In a long one what is listed counts.
        """
        if not self._begun and not admission.may_begin(self.queue.ready, on, self._beside(on).known_seconds):
            return
        known = len(self.queue) - len(self.queue.waiting) + on.pending
        known += sum(len(process.jobs) for process in self.processes if not process.waits)
        if known <= self._most_known or not self.queue.ready:
            return
        self._most_known, before = known, self.mode
        cores = usable_cores(on.reading, self.profile.throttling.cpu_limit_percent)
        self.mode = modes.chosen(self.profile.batch, known, self.queue.ready.typical(), cores)
        self.settings = self.mode.settings
        if self.mode.note and self.mode.way is not before.way:
            self.transitions.notice("info", self.mode.note)

    def _refuse_lost(self) -> None:
        """Fail the jobs whose back ends have not answered for too long."""
        with self.journal.transaction():
            while (job := self.queue.take_lost(self._backends.lost)) is not None:
                names = ", ".join(backend.name for backend in job.asking.backends) if job.asking is not None else ""
                reason = f"Nothing was answered for too long by what can do it ({names}); a later run tries again."
                self.transitions.refused(job.job_id, job.name, reason, FailureKind.UNAVAILABLE, job.cpu_seconds)

    def _why(self, job: QueuedJob, on: Conditions, *, due: float) -> Wait | None:
        if not on.closed and (limited := self.queue.shortage(job) or self._fetched_enough(job, on)):
            return Wait(limited)
        if job.waits and not job.alone:
            return self._decide(job, 1, on, self._beside_waiting(on), due=due)
        return super()._why(job, on, due=due)

    # ------------------------------------------------------------ priorities, and the user's ceiling

    @property
    def _free_slots(self) -> int:
        return min(super()._free_slots, self._left_of_ceiling)

    @property
    def _ceiling(self) -> int | None:
        return self.profile.batch.most_jobs if self.profile.batch.enabled else 1

    @property
    def _left_of_ceiling(self) -> int:
        """How many more jobs of any kind the user lets run at once."""
        most = self._ceiling
        return sys.maxsize if most is None else most - sum(process.occupied_slots for process in self.processes)

    def _make_way(self) -> None:
        """Take back what was not begun of a lower priority than the job that is next, so that it is next.

        Where another tenant is next, also all from processes whose tenant's jobs have since taken far more than was
        charged; where a tenant comes that had nothing, also all that would not begin for long.
        """
        head, order = self.queue.ready.first(), self.queue.ready.order
        if head is None:
            return
        came = order.newcomers
        with self.journal.transaction():
            for process in [process for process in self.processes if not process.waits]:
                shared = (came and _is_far_ahead(process)) or self._took_too_much(process, head.tenant)
                if not shared and process.last_priority <= head.priority:
                    continue
                process.last_priority = min(process.last_priority, head.priority)
                self.transitions.take_back(process, above=-math.inf if shared else head.priority)
                process.ask_back()
                for job in process.sent:
                    if job.state is JobState.ASSIGNED:
                        order.refund(job.job_id)
        if came:
            order.admit()

    def _took_too_much(self, process: BatchProcess, tenant: str) -> bool:
        """Whether its next job is of another tenant, whose jobs have since taken far more than was charged."""
        job = next((job for job in process.jobs.values() if job.state is JobState.ASSIGNED), None)
        if job is None or job.queued.tenant == tenant:
            return False
        return self.queue.ready.order.excess_since(job.job_id) > HELD_UP_SECONDS * process.batch.slots

    def _free_held_up(self, on: Conditions) -> None:
        """Take back what waits behind calls that take far longer than predicted, where slots are free elsewhere."""
        late = [p for p in self.processes if p.affinity is not None and not p.waits and is_held_up(p, on.now)]
        if not late or self._free_slots < 1 or self._shape is None:
            return
        if isinstance(slots_beside(self._shape, self.settings, self._planned(on)), Wait):
            return
        with self.journal.transaction():
            for process in late:
                self.transitions.take_back(process)
                process.ask_back()

    # ------------------------------------------------------------ short jobs, and processes that are given more

    def _send_ahead(self, process: BatchProcess) -> None:
        """Send short jobs far ahead, without deciding on each: no more of them run at once than before."""
        job = process.next_unsent()
        if job is None or job.queued.resources:
            return
        slots, most = process.batch.slots, process.batch.slots * jobs_ahead(job.queued)
        sent = process.sent
        if not slots * LEAST_AHEAD <= len(sent) <= most / 2:
            return
        largest = max(other.expected_bytes for other in sent)
        jobs = itertools.islice(process.unsent, most - len(sent))
        for job in itertools.takewhile(lambda job: job.queued.memory_with(job.threads) <= largest, jobs):
            if not self._send(process, job):
                break

    def _top_up(self, on: Conditions) -> None:
        """Give processes that do calls of one kind, or short files, more of them, where these are next."""
        form = self._shape
        if form is None or self._runs_alone:
            return
        for process in self.processes:
            slots = process.batch.slots
            if process.waits or not self._takes_more(process) or slots * 2 < -(-form.concurrency // form.processes):
                continue
            if process.has_next if process.affinity is None else is_held_up(process, on.now, waiting=0):
                continue
            if process.occupied_slots >= slots and self._free_slots > 0 and not self._is_short(process):
                continue  # it would wait there, beside a slot that is free
            head = self.queue.ready.first(self._backends.available)
            if head is None or admission.not_free(head, on, self.queue.ready) is not None:
                break
            job = goes_on_with(self.queue.ready, process.kind, head, form.concurrency, self._backends.available)
            passes = job is not None and job is not head
            if job is None or (passes and process.may_pass < 1):
                continue
            free = form.concurrency - sum(
                other.occupied_slots for other in self.processes if other is not process and not other.waits
            )
            if slots <= free and (count := self._wanted(process, job, form.share)) > 0:
                others = (other.planned_bytes for other in self.processes if other is not process)
                each = (form.memory_budget_bytes - sum(others)) / slots
                count = min(count, process.may_pass) if passes else count
                taken = more_of_its_kind(self.queue.ready, job, count, each, self._backends.available)
                process.may_pass -= len(taken) if passes else 0
                taken = [job for job in taken if not self._leave_if_late(job, process.batch.threads, on)]
                self._give(process, self._backends.given(taken))

    @staticmethod
    def _is_short(process: BatchProcess) -> bool:
        return any(jobs_ahead(job.queued) > LEAST_AHEAD for job in itertools.islice(process.jobs.values(), 1))

    def _wanted(self, process: BatchProcess, job: QueuedJob, share: float) -> int:
        """Return how many more jobs such as this one a process is given now."""
        slots = process.batch.slots
        if process.affinity is None:
            most = int(self.profile.estimation.max_batch_size * share) - process.given
            return min(slots * files_to_give(job, len(self.queue.ready), self._concurrency), most)
        most, has = slots * jobs_ahead(job), len(process.jobs)
        if job.asking is not None:
            return slots - has  # see `plan/planner`
        return most - has if has <= most / 2 else 0

    def _begin(self, batch: Batch, jobs: list[QueuedJob], why: str) -> None:
        super()._begin(batch, jobs, why)
        # As many as wait already: of what is added later none keeps another kind waiting.
        self.processes[-1].may_pass = self.queue.ready.count_of(jobs[0].affinity)

    def _give(self, process: BatchProcess, jobs: list[QueuedJob]) -> None:
        """Enter further jobs of a process in the journal and among its own."""
        if jobs:
            with self.journal.transaction():
                process.give([RunningJob.of(job, process.batch) for job in jobs])
                self.journal.assign([job.job_id for job in jobs], process.batch.id)

    # ------------------------------------------------------------ jobs that mostly wait

    def _start_waiting(self, on: Conditions) -> None:
        """Start jobs that mostly wait, each as soon as it may run, in the process of its kind."""
        self._first_for_memory = None
        with self.journal.transaction():
            while self.queue.waiting and not self._runs_alone and self._start_first_waiting(on):
                pass
            for process in self.processes:
                while process.waits and (ready := process.next_unsent()) is not None and self._send(process, ready):
                    pass

    def _start_first_waiting(self, on: Conditions) -> bool:
        """Give the next job that mostly waits to the process of its kind; False where none may start."""
        beside, settings = self._beside_waiting(on), self.profile.batch
        by_kind = {process.affinity: process for process in self.processes if process.waits and process.takes_more}
        free = {kind: process.batch.slots - process.occupied_slots for kind, process in by_kind.items()}
        in_use = resources.held(other.queued for other in beside.running)
        job = next_of_those_that_wait(
            self.queue.waiting,
            free,
            in_use,
            settings,
            lambda job: self._backends.available(job) and not self._fetched_enough(job, on),
        )
        if job is None or beside.free_slots < 1:
            return False
        self.queue.waiting.take(among=[job.job_id])
        if self._leave_if_late(job, 1, on):
            return True
        wait = self._decide(job, 1, on, beside)
        if wait is not None:
            self.queue.waiting.put_back(job)
            self._first_for_memory = job if wait.for_memory else None
            return False
        if self._refuse_if_too_large(job, 1, self._over_budget(job, on)):
            return True
        (job,) = self._backends.given([job])
        self._claim(job, 1)
        process = by_kind.get(job.affinity)
        if process is not None:
            self._give(process, [job])
        else:
            slots = slots_for_waiting(job)
            batch = Batch(self._batches + 1, (job.job_id,), slots, 1, job.memory_bytes * slots, 0)
            self._begin(batch, [job], "jobs that mostly wait are begun one by one")
        return True

    def _fetched_enough(self, job: QueuedJob, on: Conditions) -> str:
        """Return why a job may not fetch now, as the end of a sentence; empty where it may, or fetches nothing.

        What is more urgent than the next job for cores is fetched at once; where nothing else is left to do, one input
        at a time is.
        """
        if not job.is_fetch:
            return ""
        first, in_hand = self.queue.ready.first(), [one for process in self.processes for one in process.jobs.values()]
        if job.priority < first.priority if first is not None else not in_hand:
            return ""
        unread, fetching = self.transitions.fetched.unread, sum(one.queued.is_fetch for one in in_hand)
        left = on.reading.free_disk_bytes - self.profile.throttling.disk_reserve_bytes
        return fetched_enough(len(unread) + fetching, sum(unread.values()), left)

    def _beside_waiting(self, on: Conditions) -> Surroundings:
        """What the next job that mostly waits would start beside; memory is kept for one for cores that comes first."""
        most = max(1, int(min(MOST_WAITING, self._ceiling or MOST_WAITING) * on.allowance.share))
        head, first = self.queue.waiting.first(), self._next_for_cores()
        keep = head is not None and first is not None and first.priority <= head.priority
        return replace(
            self._beside(on),
            free_slots=min(
                most - sum(process.occupied_slots for process in self.processes if process.waits), self._left_of_ceiling
            ),
            concurrency=most,
            begun=True,
            kept_bytes=first.memory_bytes if first is not None and keep else 0,
        )

    def _next_for_cores(self) -> QueuedJob | None:
        """The job that is to start next on a core that is idle."""
        for process in self.processes:
            job = process.next_unsent()
            if job is not None and not process.waits and len(process.sent) < process.batch.slots:
                return job.queued
        return self.queue.ready.first(self._backends.available) if self._free_slots > 0 else None
