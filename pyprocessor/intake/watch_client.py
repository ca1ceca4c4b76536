"""What came into the folder that is watched? A discovery whose listing is done by the watcher, over and over.

    watcher (looks at the folder) -> discovery (journal, output folder, inspector) -> what is news -> loop

It is not finished before it is stopped. What the watcher reports again, because it was replaced or the folder was away,
is left out where the journal has it already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from multiprocessing.context import BaseContext

from pyprocessor.intake.classify import Costs, Finding, Settled, SettledBefore, Untouched
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.messages import Found, Looked, Remark, Vanished
from pyprocessor.intake.watcher import watcher_main
from pyprocessor.jobs.retry import STATE_AFTER
from pyprocessor.journal.journal import Journal
from pyprocessor.models.run import RunRequest
from pyprocessor.tasks.base import Task
from pyprocessor.workers.messages import InputAway, Report
from pyprocessor.workers.process import Child

SILENCE_SECONDS = 60.0
"""A watcher reports every few seconds; one that does not for so long waits for a file system."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Before a watcher that died is replaced; doubled each time, until one has completed a look."""


class WatchClient(Discovery):
    """Findings about files that come into the input folder; `notify` gets a level and a sentence about the folder."""

    def __init__(
        self,
        request: RunRequest,
        task: Task,
        costs: Costs,
        journal: Journal,
        context: BaseContext,
        *,
        in_hand: Collection[str],
        notify: Callable[[str, str], None],
    ) -> None:
        super().__init__(request, task, costs, journal, context, lists=False, in_hand=in_hand)
        self._journal = journal
        self._notify = notify
        self._looked = False
        self._stopped = False
        self._vanished = False
        self._doubted = False
        self._silent = False
        self._death_announced = False
        self._remarks: set[Remark] = set()
        self._pause = FIRST_PAUSE_SECONDS
        self._begin_at = 0.0
        self._watcher: Child | None = None
        self._expected_by = 0.0

    def begin(self, now: float) -> None:
        self._watcher = Child(self._context, watcher_main, self._inspector.plan, "pyprocessor-watcher")
        self._expected_by = now + SILENCE_SECONDS

    @property
    def listed(self) -> bool:
        """Whether the whole folder was looked at once."""
        return self._looked

    @property
    def finished(self) -> bool:
        return self._stopped

    @property
    def complete(self) -> bool:
        return (self._looked or self._vanished) and super().finished

    @property
    def waits(self) -> bool:
        return True

    @property
    def away(self) -> bool:
        return self._vanished or self._doubted

    def doubt(self) -> bool:
        self._doubted = True
        return True

    @property
    def children(self) -> tuple[Child, ...]:
        own = (self._watcher,) if self._watcher is not None else ()
        return (*own, *super().children)

    def findings(self, now: float) -> Iterator[Finding]:
        if self._watcher is not None and self._watcher.connection.poll(0):
            yield from self._receive(self._watcher, now)
        if self._watcher is None:
            if now >= self._begin_at and not self._stopped:
                self.begin(now)
        elif now > self._expected_by and not self._silent:
            self._silent = True
            text = "takes long; is it on a network that is down? Files known up to now are done."
            self._notify("warning", f"Looking at {self._run.input_named} {text}")
        yield from self._news(super().findings(now))
        yield from self._news(self.take_up_held(now))

    def stop(self) -> None:
        self._stopped = True
        super().stop()
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.remove_dead(5.0)  # one that waits for a dead file system is never gone
            self._watcher = None

    def _receive(self, watcher: Child, now: float) -> Iterator[Finding]:
        name = self._run.input_named
        try:
            for message in watcher.receive():
                self._expected_by = now + SILENCE_SECONDS
                match message:
                    case Found(entries):
                        files = [entry for entry in entries if not isinstance(entry, Remark)]
                        yield from self._news(self.arrived(files, now))
                        remarks = dict.fromkeys(entry for entry in entries if isinstance(entry, Remark))
                        yield from (remark for remark in remarks if remark not in self._remarks)
                        self._remarks |= remarks.keys()
                    case Looked(next_seconds):
                        self._expected_by += next_seconds
                        self._look_over()
                    case Vanished(reason):
                        self._vanished = True
                        self._notify("warning", f"{name} {reason}; it is watched again as soon as it is there.")
                    case Report.REAPPEARED:
                        self._vanished = False
                        self._notify("info", f"{name} is there again.")
        except EOFError:
            watcher.kill()
            watcher.join(5.0)
            self._watcher = None
            self._begin_at = now + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            if not self._death_announced:
                self._death_announced = True
                self._notify("info", f"The process that watches {name} died and is replaced.")

    def _look_over(self) -> None:
        self._pause = FIRST_PAUSE_SECONDS
        self._doubted = False
        if self._silent:
            self._silent = False
            self._notify("info", f"{self._run.input_named} answers again.")
        if not self._looked and not self._vanished:
            self._looked = True
            self._classifier.retry_no_more()

    def _news(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Leave out what the run, or an earlier one, has already reported and counted."""
        for finding in findings:
            match finding:
                case SettledBefore() | Untouched() if self._looked:
                    continue
                case InputAway():
                    continue  # the watcher will say so, and report all files again once the folder is back
                case Settled() if self._looked and self._is_journaled(finding):
                    continue
            yield finding

    def _is_journaled(self, settled: Settled) -> bool:
        """Return whether the journal says the same of the file as it is now."""
        row, job, outcome = self._journal.job(settled.job.id), settled.job, settled.outcome
        if row is None or row.change(job.source, row.params_fingerprint) is not None:
            return False
        return (row.state, row.reason) == (STATE_AFTER[outcome.kind], outcome.reason)
