"""What becomes of the jobs of a batch process that is gone, or that was given up on.

A process that ends while it has jobs has died, with whatever exit code. What it was working on is charged with that,
unless the system killed it for want of memory, and what it had not begun is not. One that was given up on is killed
first, with all in its group, and its pipe is closed: it is never granted a publish, and nothing it says counts. What it
was granted before is decided by the disk, once the process is known to be gone.
"""

from __future__ import annotations

import signal

from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.monitor import Monitor
from pyprocessor.engine.pool import Active, BatchProcess
from pyprocessor.engine.recovery import drop_partial, was_published
from pyprocessor.engine.transitions import Transitions
from pyprocessor.engine.waiting import Again
from pyprocessor.errors import ChildUnstartable, FailureKind
from pyprocessor.journal.journal import Journal
from pyprocessor.models import JobState, Outcome, OutcomeKind
from pyprocessor.models.listener import RunRequest
from pyprocessor.publish.partials import Anchor
from pyprocessor.system import wait_gone
from pyprocessor.workers.process import FAREWELL_SECONDS, NOBODY_KNOWS

STILLBORN_AT_MOST = 10
"""Batch processes in a row that end before they begin a file: more will not help."""


class WorkerCrashes:
    """The ends of batch processes of one run."""

    def __init__(
        self,
        request: RunRequest,
        partials: Anchor,
        journal: Journal,
        transitions: Transitions,
        dispatch: Dispatch,
        watch: Monitor,
    ) -> None:
        self._request = request
        self._partials = partials
        self._journal = journal
        self._transitions = transitions
        self._dispatch = dispatch
        self._monitor = watch
        self._stillborn = 0
        self.left_undecided = False
        """Whether a job is left for the next run to decide about, since a process that hangs may yet publish it."""

    def began(self, process: BatchProcess) -> None:
        """Take note that a process has begun a file."""
        self._stillborn, process.began = 0, True

    def remove_dead(self, process: BatchProcess, now: float, *, silent: bool) -> None:
        """End what is left of the process and decide about its jobs. `silent` says that it did not answer any more.

        Raises `ChildUnstartable` where processes end again and again before they begin anything.
        """
        running = [job for job in process.running if not process.ending]
        alone = {job.job_id: self._dispatch.runs_alone(job) for job in running}
        process.child.kill()
        self._dispatch.processes.remove(process)
        gone = True
        if process.jobs:
            gone = wait_gone(process.identity, FAREWELL_SECONDS)
            process.child.remove_dead(FAREWELL_SECONDS if gone else 0.0)  # for its exit code, too
        self._count_stillborn(process)
        exit_code = process.child.exit_code
        if gone:  # one that hangs stays known as open, so that the next run looks for it
            self._journal.end_batch(process.batch.id, exit_code)
        memory = bool(running) and not silent and may_be_memory(exit_code) and self._monitor.killed_for_memory()
        waiting = self._dispatch.waiting
        for active in tuple(process.jobs.values()):
            process.let_go(active.job_id)
            if active.prepared is not None:
                drop_partial(self._partials, active.prepared.item.partial)
            if active in running and silent:
                reason = "The process working on it did not answer any more and was ended."
                again = self._transitions.ended(active, Outcome(OutcomeKind.FAILED, reason, FailureKind.STALL), None)
            elif active in running and memory:
                outcome = self.of_memory(active, "the process working on it", alone=alone[active.job_id])
                again = self._transitions.ended(active, outcome, None, alone=alone[active.job_id])
            elif active in running:
                again = self._transitions.crashed(active, f"The process working on it died{how(exit_code)}.")
            elif active.state is JobState.PUBLISHING:
                again = self._granted(active, gone=gone)
            else:
                again = self._transitions.returned(active)
            waiting.put_back(again, now)

    def of_memory(self, active: Active, what: str, *, alone: bool) -> Outcome:
        """The system killed `what` for want of memory: that is nobody's failure, unless nothing ran beside it."""
        if alone:
            reason = f"Memory ran out and the system killed {what}, though nothing ran beside it."
            return Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE)
        reason = f"Memory ran out and the system killed {what}; it is done later."
        self._transitions.notice("warning", f"{active.name}: {reason}", job_id=active.job_id)
        return Outcome(OutcomeKind.SHED, reason)

    def _granted(self, active: Active, *, gone: bool) -> Again | None:
        row = self._journal.job(active.job_id)
        assert row is not None
        if row.granted is not None and was_published(self._request.output, row):
            self._transitions.published(active, row.granted, None)
            return None
        if gone:
            return self._transitions.returned(active)
        # It stays as it is in the journal, and the next run looks again, with its process gone or the disk back.
        self.left_undecided = True
        self._transitions.notice(
            "error",
            f"{active.name} was verified, and the process that gives it its name hangs in a call to the disk. Run the "
            "same command again when the disk answers.",
            job_id=active.job_id,
        )
        return None

    def _count_stillborn(self, process: BatchProcess) -> None:
        if not process.jobs or process.began or process.draining:
            return
        self._stillborn += 1
        if self._stillborn >= STILLBORN_AT_MOST:
            raise ChildUnstartable(
                f"{self._stillborn} batch processes in a row ended before they began a file; see whether something "
                "on this system kills them (memory limits, security software), and run the same command again."
            )


def may_be_memory(exit_code: int | None) -> bool:
    """Whether the system may have killed the process for want of memory; that it did takes evidence."""
    return exit_code in (None, NOBODY_KNOWS, -signal.SIGKILL)


def how(exit_code: int | None) -> str:
    """How a process ended, as an addition to a sentence; empty where nobody knows."""
    if exit_code is None or exit_code == NOBODY_KNOWS:
        return ""
    if exit_code >= 0:
        return f" (exit code {exit_code})"
    try:
        return f" ({signal.Signals(-exit_code).name})"
    except ValueError:
        return f" (signal {-exit_code})"
