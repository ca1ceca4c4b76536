"""Findings about a folder that is watched: the engine's end of the lookout, with a discovery behind it.

    lookout (looks at the folder) -> Watching -> discovery (journal, output folder, scout) -> what is news -> loop

It is used as a `Discovery` is, but never finished before it is stopped. What the lookout tells again (because it was
replaced, or the folder was away) is no news where the journal has it already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from pyprocessor.intake.classify import Costs
from pyprocessor.intake.discovery import Discovery
from pyprocessor.intake.findings import AlreadyDone, Away, Finding, Settled, Trouble, Untouched
from pyprocessor.intake.watcher import watcher_main
from pyprocessor.journal.journal import Journal
from pyprocessor.models import JobState, OutcomeKind
from pyprocessor.models.listener import RunRequest
from pyprocessor.tasks.base import Task
from pyprocessor.workers.messages import Found, Looked, Reappeared, Remark, Vanished, WatcherSetup
from pyprocessor.workers.process import Child

SILENCE_SECONDS = 60.0
"""A lookout says every few seconds that it goes on; one that does not for so long waits for a file system."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Before a lookout that died is replaced; doubled each time, until one has completed a look."""
_STATES = {OutcomeKind.FAILED: JobState.FAILED, OutcomeKind.SKIPPED: JobState.SKIPPED}


class WatchClient:
    """What comes into the input folder, for as long as the run goes on.

    `in_hand` are the ids of jobs that were queued and are not final, and `tell` hears of the folder: level, sentence.
    """

    finished = False
    """Set by `stop`."""

    def __init__(
        self,
        request: RunRequest,
        task: Task,
        costs: Costs,
        journal: Journal,
        context: BaseContext,
        now: float,
        *,
        in_hand: Collection[str],
        tell: Callable[[str, str], None],
    ) -> None:
        self._journal = journal
        self._context = context
        self._tell = tell
        self._name = request.input_named
        self._discovery = Discovery(request, task, costs, journal, context, now, lists=False, in_hand=in_hand)
        self._setup = WatcherSetup(
            input=request.inputs[0],
            output_root=request.output,
            profile=request.profile,
            min_age_seconds=request.profile.scan.min_age_seconds,
        )
        self.listed = False
        self._vanished = False
        self._doubted = False
        self._silent = False
        self._told_death = False
        self._remarked: set[str] = set()
        self._pause = FIRST_PAUSE_SECONDS
        self._begin_at = now
        self._lookout: Child | None = None
        self._expected_by = now

    def begin(self, now: float) -> None:
        """Start looking."""
        self._lookout = Child(self._context, watcher_main, self._setup, "pyprocessor-lookout")
        self._expected_by = now + SILENCE_SECONDS

    # ------------------------------------------------------------ as a Discovery

    @property
    def files(self) -> int:
        return self._discovery.files

    @property
    def pending(self) -> int:
        return self._discovery.pending

    @property
    def complete(self) -> bool:
        """Whether all that is known to be there was listed and inspected."""
        return (self.listed or self._vanished) and self._discovery.finished

    @property
    def away(self) -> bool:
        """Whether the folder is known not to be there for now."""
        return self._vanished or self._doubted

    def doubt(self) -> None:
        """Take the folder for gone until the next look at it is over."""
        self._doubted = True

    @property
    def connections(self) -> tuple[Connection, ...]:
        """What to wait on."""
        own = (self._lookout.connection,) if self._lookout is not None else ()
        return (*own, *self._discovery.connections)

    @property
    def pids(self) -> tuple[int, ...]:
        own = (self._lookout.pid,) if self._lookout is not None else ()
        return (*own, *self._discovery.pids)

    def handle(self, now: float) -> Iterator[Finding]:
        """Take in what was said. To be called when one of `connections` has something to say."""
        if self._lookout is not None and self._lookout.connection.poll(0):
            yield from self._listen(self._lookout, now)
        if any(connection.poll(0) for connection in self._discovery.connections):
            yield from self._news(self._discovery.handle(now))

    def check(self, now: float) -> Iterator[Finding]:
        """See whether those who are asked still answer, and look again at what was held."""
        if self._lookout is None:
            if now >= self._begin_at and not self.finished:
                self.begin(now)
        elif now > self._expected_by and not self._silent:
            self._silent = True
            self._tell(
                "warning",
                f"Looking at {self._name} takes long; is it on a network that is down? Files known up to now are done.",
            )
        yield from self._news(self._discovery.check(now))
        yield from self._news(self._discovery.take_up_held(now))

    def stop(self) -> None:
        """End the watching: nothing more is to be found."""
        self.finished = True
        self._discovery.stop()
        if self._lookout is not None:
            self._lookout.kill()
            self._lookout.remove_dead(5.0)  # one that waits for a dead file system is never gone
            self._lookout = None

    # ------------------------------------------------------------ the lookout

    def _listen(self, lookout: Child, now: float) -> Iterator[Finding]:
        try:
            for message in lookout.receive():
                self._expected_by = now + SILENCE_SECONDS
                match message:
                    case Found(candidates, passed_over, remarks):
                        yield from self._news(self._discovery.arrived((*candidates, *passed_over), now))
                        yield from (self._remark(remark) for remark in remarks if remark.text not in self._remarked)
                    case Looked(next_seconds):
                        self._expected_by += next_seconds
                        self._looked()
                    case Vanished(reason):
                        self._vanished = True
                        self._tell("warning", f"{self._name} {reason}; it is watched again as soon as it is there.")
                    case Reappeared():
                        self._vanished = False
                        self._tell("info", f"{self._name} is there again.")
        except EOFError:
            self._died(lookout, now)

    def _remark(self, remark: Remark) -> Trouble:
        self._remarked.add(remark.text)
        return Trouble(remark.text, serious=False, closing=remark.closing)

    def _looked(self) -> None:
        self._pause = FIRST_PAUSE_SECONDS
        self._doubted = False
        if self._silent:
            self._silent = False
            self._tell("info", f"{self._name} answers again.")
        if not self.listed and not self._vanished:
            self.listed = True
            self._discovery.retry_no_more()

    def _died(self, lookout: Child, now: float) -> None:
        lookout.kill()
        lookout.join(5.0)
        self._lookout = None
        self._begin_at = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        if not self._told_death:
            self._told_death = True
            self._tell("info", f"The process that watches {self._name} died and is replaced.")

    # ------------------------------------------------------------ what is news

    def _news(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """Leave out what the run, or an earlier one, has already told and counted."""
        for finding in findings:
            match finding:
                case AlreadyDone() | Untouched() if self.listed:
                    continue
                case Away():
                    continue  # the lookout will say so, and tell of all files anew once it is back
                case Settled() if self.listed and self._stands(finding):
                    continue
            yield finding

    def _stands(self, settled: Settled) -> bool:
        """Whether the journal says the same of the file as it is now."""
        row = self._journal.job(settled.job.id)
        source = settled.job.source
        return (
            row is not None
            and (row.source.size_bytes, row.source.mtime_ns) == (source.size_bytes, source.mtime_ns)
            and (row.state, row.reason) == (_STATES.get(settled.outcome.kind), settled.outcome.reason)
        )
