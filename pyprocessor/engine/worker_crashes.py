"""What becomes of the jobs of a batch process that died or was given up on?

A process that ends while it has jobs has died, whatever its exit code; what it was working on is charged, unless the
system killed it for want of memory. For what it was granted the disk decides, once the process is gone.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.monitor import Monitor
from pyprocessor.engine.recovery import drop_partial, settle_grant, was_published
from pyprocessor.engine.transitions import Transitions
from pyprocessor.errors import ChildUnstartable, FailureKind, PublishError
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.jobs.timeouts import heartbeat_timeout_seconds
from pyprocessor.journal.journal import Journal
from pyprocessor.models import JobState, Outcome, OutcomeKind
from pyprocessor.models.products import Intent
from pyprocessor.models.run import RunRequest
from pyprocessor.publish.grants import discard_displaced
from pyprocessor.publish.partials import Anchor
from pyprocessor.system.awake_clock import AwakeClock
from pyprocessor.system.processes import wait_gone
from pyprocessor.workers.messages import Command
from pyprocessor.workers.process import EXIT_SECONDS, UNKNOWN_EXIT_CODE

MOST_WITHOUT_A_FILE = 10
"""Batch processes in a row that end before they begin a file: more will not help."""
REMOVING_SECONDS = 1.0
"""How much of a turn it may take to remove dead processes; one that hangs takes about as long."""
TURN_COUNTS_SECONDS = 2.0
"""The most that one turn of the loop counts towards silence: in a longer one the engine itself was stopped."""


@dataclass(eq=False)
class WorkerCrashes:
    """The ends of batch processes of one run."""

    request: RunRequest
    partials: Anchor
    journal: Journal
    transitions: Transitions
    dispatch: Dispatch
    monitor: Monitor
    left_undecided: bool = False
    """Whether the next run has to decide about a job, since a process that hangs may yet publish it."""
    _settled: list[tuple[Intent, ...]] = field(default_factory=list)
    """Grants that were finished or taken back in this turn."""
    _without_a_file: int = 0
    _clock: AwakeClock = field(default_factory=lambda: AwakeClock(TURN_COUNTS_SECONDS))

    def received(self, process: BatchProcess, *, began: bool = False) -> None:
        """A message came from a process, perhaps that it has begun a file."""
        process.last_message = self._clock()
        if began:
            self._without_a_file, process.began = 0, True

    def silent(self) -> list[BatchProcess]:
        """Processes that sent nothing for too long: stopped, or stuck in a call. To be called once a turn."""
        self._clock.turn()
        now, found = self._clock(), []
        for process in self.dispatch.processes:
            if process.last_message is None:
                process.last_message = now
            limit = heartbeat_timeout_seconds(self.request.profile.errors, process.bytes_to_settle)
            if now - process.last_message > limit:
                found.append(process)
        return found

    def give_up(self, processes: Sequence[BatchProcess], now: float, *, silent: bool) -> None:
        """Remove processes that may hang, as many as one turn has time for: users are answered between turns."""
        for process in processes:
            self.remove(process, now, silent=silent)
            if time.monotonic() - now > REMOVING_SECONDS:
                break

    def remove(self, process: BatchProcess, now: float, *, silent: bool = False) -> None:
        """End what is left of a process and decide about its jobs; `silent` if it sent nothing any more.

        Raises `ChildUnstartable` where processes end again and again before they begin anything.
        """
        running = [job for job in process.running if Command.END not in process.ordered]
        alone = {job.job_id: self.dispatch.runs_alone(job) for job in running}
        process.child.kill()
        self.dispatch.processes.remove(process)
        gone = True
        if process.jobs:
            gone = wait_gone(process.child.identity, EXIT_SECONDS)
            process.child.remove_dead(EXIT_SECONDS if gone else 0.0)  # for its exit code, too
        self._count_without_a_file(process)
        exit_code = process.child.exit_code
        self.transitions.notice("debug", process.ending(exit_code), kind="batch")
        if gone:  # one that hangs stays known as open, so that the next run looks for it
            self.journal.end_batch(process.batch.id, exit_code)
        memory = bool(running) and not silent and may_be_memory(exit_code) and self.monitor.take_oom_kill()
        for job in tuple(process.jobs.values()):
            process.remove(job.job_id)
            if job.state is JobState.PUBLISHING:
                self._granted(job, gone=gone)
                continue
            if job.partial:
                drop_partial(self.partials, job.partial)
            if job in running and silent:
                reason = "The process working on it did not answer any more and was ended."
                outcome = Outcome(OutcomeKind.FAILED, reason, FailureKind.STALL)
                self.transitions.ended(job, outcome, None, now)
            elif job in running and memory:
                outcome = self.of_memory(job, "the process working on it", alone=alone[job.job_id])
                self.transitions.ended(job, outcome, None, now, alone=alone[job.job_id])
            elif job in running:
                self.transitions.crashed(job, f"The process working on it died{how(exit_code)}.", now)
            else:
                self.transitions.returned(job)

    def of_memory(self, job: RunningJob, what: str, *, alone: bool) -> Outcome:
        """The system killed `what` for want of memory: no failure of the job, unless nothing ran beside it."""
        if alone:
            reason = f"Memory ran out and the system killed {what}, though nothing ran beside it."
            return Outcome(OutcomeKind.FAILED, reason, FailureKind.RESOURCE)
        reason = f"Memory ran out and the system killed {what}; it is done later."
        self.transitions.notice("warning", f"{job.name}: {reason}", job_id=job.job_id)
        return Outcome(OutcomeKind.SHED, reason)

    def _granted(self, job: RunningJob, *, gone: bool) -> None:
        """Decide about a job whose publish was granted, by what lies on the disk."""
        row = self.transitions.row(job.job_id)
        facts = None
        if gone:
            try:
                facts = settle_grant(self.journal, self.dispatch.folder, self.request, row)
                self._settled.append(row.intents or ())
            except PublishError as error:
                gone = error.kind is not FailureKind.DISK  # else it may lie half-way, for the next run to settle
        elif was_published(self.request.output, row):
            facts = row.granted
        if facts is not None:
            self.transitions.succeeded(job, facts, None)
        elif gone:
            self.transitions.returned(job)
        else:
            # It stays as it is in the journal, and the next run looks again, with its process gone or the disk back.
            self.left_undecided = True
            self.transitions.notice(
                "error",
                f"{job.name} was verified, and the process that gives it its name hangs in a call to the disk. Run the "
                "same command again when the disk answers.",
                job_id=job.job_id,
            )

    def tidy(self) -> None:
        """Remove what the grants of dead processes left, once the journal has how these came out."""
        for intents in self._settled:
            with contextlib.suppress(PublishError):  # the next run does it
                self.partials.check()
                discard_displaced(intents, partials=self.partials.path, output_root=self.request.output)
        self._settled.clear()

    def _count_without_a_file(self, process: BatchProcess) -> None:
        if not process.jobs or process.began or process.draining:
            return
        self._without_a_file += 1
        if self._without_a_file >= MOST_WITHOUT_A_FILE:
            raise ChildUnstartable(
                f"{self._without_a_file} batch processes in a row ended before they began a file; see whether "
                "something on this system kills them (memory limits, security software), and run the same command "
                "again."
            )


def may_be_memory(exit_code: int | None) -> bool:
    """Whether the system may have killed the process for want of memory; that it did takes evidence."""
    return exit_code in (None, UNKNOWN_EXIT_CODE, -signal.SIGKILL)


def how(exit_code: int | None) -> str:
    """How a process ended, as an addition to a sentence; empty where that is not known."""
    if exit_code is None or exit_code == UNKNOWN_EXIT_CODE:
        return ""
    if exit_code >= 0:
        return f" (exit code {exit_code})"
    known = -exit_code in set(signal.Signals)
    return f" ({signal.Signals(-exit_code).name})" if known else f" (signal {-exit_code})"
