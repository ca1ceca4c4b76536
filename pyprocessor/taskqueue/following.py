"""What happens to the tasks of a queue while a run goes on? Followed in the engine's thread, asked from any."""

from __future__ import annotations

import logging
import threading
from typing import Any

from pyprocessor.engine.transitions import Transitions
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.quality import Quality, tells, told, warnings_of
from pyprocessor.models import Origin, Outcome, RunSnapshot
from pyprocessor.models.run import Listener
from pyprocessor.models.wording import one_line
from pyprocessor.taskqueue.bell import Bell
from pyprocessor.taskqueue.feeding import Feed
from pyprocessor.taskqueue.records import BatchProgress, TaskFailure

_log = logging.getLogger("pyprocessor")


class Follower(Listener):
    """The listener of the runs of one `start`, one after another.

    `ended` has the ids of what has ended for good, as soon as that is in the journal; ids of parts are among them.
    """

    def __init__(self, bell: Bell, ended: list[str]) -> None:
        self._bell = bell
        self._ended = ended
        self._just_ended: list[str] = []
        self._moves: Transitions | None = None
        self._begun = False
        self._running: set[str] = set()
        self._retried: set[str] = set()
        self._lock = threading.Lock()
        """Held where what other threads read is changed."""
        self._quality = Quality()
        self._warnings: dict[str, None] = {}
        """Each once."""
        self._failures: list[TaskFailure] = []
        self._recovered = 0
        self._before: tuple[int, int, int] = (0, 0, 0)
        """Completed, failed and cancelled in the runs before this one."""
        self._snapshot: RunSnapshot | None = None
        self._memory_peak = 0
        self._cpu_peak = 0.0
        self.run_id = -1
        self.feed = Feed()
        self.error = ""
        """The last sentence about something that ends a run."""

    # ------------------------------------------------------------ in the engine's thread

    def follow(self, journal: Journal, moves: Transitions) -> Feed:
        """A run begins, whose moves are looked at; it goes on while tasks are added."""
        self.run_id, self._moves, self.feed = journal.run_id, moves, Feed()
        return self.feed

    def next_run(self) -> None:
        """The run is over, and another one follows."""
        last = self._snapshot
        if last is not None:
            completed, failed, cancelled = self._before
            self._before = completed + last.completed, failed + last.failed, cancelled + last.cancelled
        self._moves, self._begun, self._snapshot = None, False, None
        self._running.clear()

    def committed(self) -> None:
        """What a turn did is in the journal."""
        self._begun = True
        if self._just_ended:
            self._ended += self._just_ended
            self._just_ended.clear()
        self._bell.ring()

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        del name, media_seconds
        self._running.add(job_id)

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        del name
        self._running.discard(job_id)
        if will_retry:
            if outcome.failure is not None:
                self._retried.add(job_id)
            return
        self._just_ended.append(job_id)
        if tells(outcome.result) or outcome.kind.is_failure or job_id in self._retried:
            self._note(job_id, outcome)

    def _note(self, job_id: str, outcome: Outcome) -> None:
        """Take in a result that says how good it is, a failure, or a success after retries; not those of parts."""
        assert self._moves is not None
        row = self._moves.row(job_id)
        recovered = job_id in self._retried and not outcome.kind.is_failure
        self._retried.discard(job_id)
        if row.origin is Origin.CHILD:
            return
        with self._lock:
            self._recovered += recovered
            if outcome.kind.is_failure:
                self._failures.append(TaskFailure(job_id, row.task, outcome.failure, outcome.reason, row.tenant))
                _log.warning("%s (%s): %s", row.name, row.task, one_line(outcome.reason))
        self.says(row.task, outcome.result)

    def notice(self, level: str, text: str) -> None:
        super().notice(level, text)
        if level == "error":
            self.error = text

    def tick(self, snapshot: RunSnapshot) -> None:
        self._memory_peak = max(self._memory_peak, snapshot.memory_bytes)
        self._cpu_peak = max(self._cpu_peak, snapshot.cpu_percent)
        self._snapshot = snapshot

    # ------------------------------------------------------------ from any thread

    def says(self, task_type: str, result: str | None) -> None:
        """Take in the result of a task, as JSON."""
        found = told(result)
        with self._lock:
            self._quality.add(task_type, found)
            self._warnings.update(dict.fromkeys(warnings_of(found)))

    def has_room(self, most: int) -> bool:
        """Whether fewer tasks than this wait to be started, those that wait for others among them."""
        moves = self._moves
        if not self._begun or moves is None:
            return False
        tally = moves.tally
        return tally.total + tally.to_come - tally.done - len(self._running) < most

    @property
    def failures(self) -> tuple[TaskFailure, ...]:
        with self._lock:
            return tuple(self._failures)

    @property
    def warnings(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._warnings)

    def progress(self, added: int, done_before: int) -> BatchProgress:
        """How far it is, with what was done before it was added again; `added` is the total where no run knows it."""
        snapshot, (completed, failed, cancelled) = self._snapshot, self._before
        if snapshot is None:
            return BatchProgress(
                max(added, completed + failed + cancelled + done_before), completed + done_before, failed
            )
        total = snapshot.total + completed + failed + cancelled + done_before
        completed, failed = completed + snapshot.completed + done_before, failed + snapshot.failed
        return BatchProgress(
            total_tasks=total,
            completed_tasks=completed,
            failed_tasks=failed,
            active_workers=snapshot.active,
            memory_usage_mb=snapshot.memory_bytes / 1e6,
            cpu_usage_percent=snapshot.cpu_percent,
            memory_peak_mb=self._memory_peak / 1e6,
            cpu_peak_percent=self._cpu_peak,
            quality_metrics=self._metrics(completed, failed),
            eta=snapshot.eta_seconds,
            elapsed=snapshot.elapsed_seconds,
        )

    def _metrics(self, completed: int, failed: int) -> dict[str, Any]:
        with self._lock:
            rate = 100.0 * failed / (completed + failed) if failed else 0.0
            return {**self._quality.metrics(), "error_rate": rate, "recovered": self._recovered}
