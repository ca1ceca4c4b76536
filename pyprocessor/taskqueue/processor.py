"""How does a program have a queue of tasks done? Added before and while it works, journaled, and followed.

    add_task -> journal -> the engine's queue -> batch processes -> results

All is the engine's: what is added while it works goes to its loop as what comes over its socket does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from pyprocessor.control.client import Answer, Request, Verb
from pyprocessor.control.own_requests import OwnRequests
from pyprocessor.engine.dry_run import Outlook
from pyprocessor.engine.engine import execute
from pyprocessor.engine.stopping import RunResult
from pyprocessor.errors import ExitCode, OutputUnwritable, UsageError
from pyprocessor.ffmpeg import tool
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import IN_HAND, Origin, Profile
from pyprocessor.models.run import RunRequest
from pyprocessor.plan import tenants
from pyprocessor.state.journal_opening import change_without_run
from pyprocessor.state.state_folder import state_folder
from pyprocessor.taskqueue.adding import Names, begins_anew, names_files, submission_of
from pyprocessor.taskqueue.bell import Bell
from pyprocessor.taskqueue.following import Follower
from pyprocessor.taskqueue.outcomes import deadline_of, outcome_of, outlook_of
from pyprocessor.taskqueue.records import SUCCEEDED, BatchProgress, BatchResult, TaskOutcome
from pyprocessor.taskqueue.telling import ProgressCallback, Telling

_log = logging.getLogger("pyprocessor")
YIELD_SECONDS = 0.005
"""How long tasks may be written to the journal one after another before other coroutines have their turn."""
_STOP = Request(Verb.STOP, now=True)
_OVER = Answer(False, "The run is over.")
_ADDS = frozenset({Verb.SUBMIT, Verb.RETRY})


class BatchProcessor:
    """One queue. Coroutines and `close` are called in one thread, all else may be called from any."""

    def __init__(self, profile: Profile, queue_size: int, *, name: str, output: bytes) -> None:
        self._profile = profile
        self._queue_size = queue_size
        self._name = name
        self._output = output
        self._folder = state_folder(output).path
        self._bell = Bell()
        self._ended: list[str] = []
        self._follower = Follower(self._bell, self._ended)
        self._own: OwnRequests | None = None
        """Open while a run is on."""
        self._opened = contextlib.ExitStack()
        self._journal: Journal | None = None
        """Open, and locked, while tasks are added and no run is on."""
        self._names: Names | None = None
        self._yielded = 0.0
        self._gate: asyncio.Lock | None = None
        self._asking = 0
        self._added = 0
        self._done_before = 0
        self._over = False
        """The last `start` has returned, and nothing was added since."""
        self._undecided: list[str] = []
        """Tasks that were added again while the journal had them in the hands of a run that was killed."""
        self._paused = False
        self._called = False
        """`start` was called and has not had its first turn."""
        self._stop_first = False
        """`stop` was called since then."""
        self._first: deque[Request] = deque()
        """What is asked of the next run before it begins."""

    # ------------------------------------------------------------ adding

    async def add_task(
        self,
        task_type: str,
        data: Mapping[str, Any],
        priority: int = 0,
        *,
        max_retries: int = 3,
        tenant: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        after: Iterable[str] = (),
        timeout: float | None = None,
        deadline: float | str | None = None,
        key: str | None = None,
    ) -> str:
        """Add a task and return its id, once the journal has it: from then on it outlives this process.

        The same `key` is the same task: one that is done stays so, one that failed begins anew. `after` has ids of
        tasks that have to succeed before; without a `file_path` of its own a task that needs one reads what these
        made. While the queue works and is full, this waits. Raises UsageError for a task that makes no sense.
        """
        if time.monotonic() - self._yielded >= YIELD_SECONDS:  # others have their turn, `start` among them
            await asyncio.sleep(0)
            self._yielded = time.monotonic()
        keyed, key = key is not None, key if key is not None else uuid.uuid4().hex
        others = {"key": key, "priority": priority, "max_retries": max_retries}
        others |= {"tenant": tenant, "metadata": metadata, "timeout": timeout, "deadline": deadline}
        needs = (after,) if isinstance(after, str) else tuple(after)
        make = partial(submission_of, task_type, data, self._name, needs, **others)
        jobs = await asyncio.to_thread(make) if isinstance(data, Mapping) and names_files(data) else make()
        while not (
            self._take_in(*jobs, keyed=keyed)
            if (own := self._own) is None
            else await self._hand_over(own, *jobs, keyed=keyed)
        ):
            await asyncio.sleep(0)
        self._added += 1
        return jobs[-1].job.id

    def _take_in(self, *jobs: Submission, keyed: bool) -> bool:
        """Write a task, behind the jobs that fetch its inputs, to the journal while no run is on."""
        self._begin_anew()
        if self._journal is None:
            self._journal = self._opened.enter_context(change_without_run(self._output, _log.warning))
        journal = self._journal
        *fetched, given = self._named(jobs, journal)
        if not keyed or journal.job(given.job.id) is None:
            tenants.refuse([given.job.tenant], self._profile.batch, journal.waiting_of)
        if not keyed and not given.job.after:
            journal.submit([*fetched, given])
            return True
        with journal.transaction():
            before = journal.job(given.job.id)
            journal.submit([*fetched, given])
            if before is not None and begins_anew(before):
                journal.retry(given.job.id)
            self._settled(before, journal.job(given.job.id) if before is not None or given.job.after else None)
        return True

    async def _hand_over(self, own: OwnRequests, *jobs: Submission, keyed: bool) -> bool:
        """Hand a task to the run that is on; False where that has just ended."""
        assert self._gate is not None
        async with self._gate:
            await self._bell.until(
                lambda: self._own is None or self._follower.has_room(self._queue_size - self._asking)
            )
            self._asking += 1
        self._follower.feed.keep_open()
        before, given = None, jobs[-1]
        try:
            if keyed or given.job.all_inputs:
                with JournalReader.read_only(self._folder) as journal:
                    jobs = self._named(jobs, journal)
                    before, given = journal.job(given.job.id), jobs[-1]
            requests = [Request(Verb.SUBMIT, submissions=jobs)]
            if before is not None and begins_anew(before):
                requests.append(Request(Verb.RETRY, jobs=(given.job.id,)))
            for request in requests:
                future = own.ask(request)
                answer = await asyncio.wrap_future(future) if future is not None else _OVER
                if answer.mistaken:
                    raise UsageError(answer.text)
                if not answer.ok:
                    return False
            if before.run_id != self._follower.run_id if before is not None else given.job.after:
                with JournalReader.read_only(self._folder) as journal:
                    self._settled(before, journal.job(given.job.id))
        finally:
            self._asking -= 1
            self._follower.feed.keep_open()
        return True

    def _named(self, jobs: tuple[Submission, ...], known: JournalReader) -> tuple[Submission, ...]:
        *fetched, given = jobs
        if not given.job.all_inputs:
            return jobs  # it is called by its key
        if self._names is None:
            self._names = Names(known.names())
        return (*fetched, self._names.named(given, known.job, fetched))

    def _settled(self, before: JobRow | None, row: JobRow | None) -> None:
        """Count a task that had ended before it was added, or can never begin."""
        if row is None:
            return
        if row.state in IN_HAND and self._own is None:
            self._undecided.append(row.id)
        elif row.final:
            if before is not None and row.state in SUCCEEDED:
                self._done_before += 1
                self._follower.says(row.task, row.result)
            self._ended.append(row.id)

    def _begin_anew(self) -> None:
        """Count anew what is added and done from here on, where the last `start` has returned."""
        if self._over:
            self._over, self._added, self._done_before, self._ended = False, 0, 0, []
            self._follower = Follower(self._bell, self._ended)

    async def outlook(self, deadline: float | str) -> Outlook:
        """Predict whether all tasks that wait are done by a time, if the queue starts now.

        `deadline`, an ISO time or seconds since 1970, is for tasks that have none of their own. Raises UsageError.
        """
        due = deadline_of(deadline)
        request = RunRequest((), self._output, self._profile, tool_path="")
        return await asyncio.to_thread(outlook_of, request, due)

    def close(self) -> None:
        """Let go of the queue's folder, which adding holds until `start`. Nothing is lost."""
        self._journal = None
        self._opened.close()

    # ------------------------------------------------------------ working

    def start(self, progress_callback: ProgressCallback | None = None) -> Coroutine[Any, Any, BatchResult]:
        """Do all that the queue has and what is added meanwhile; return when nothing is left, or it was stopped.

        `progress_callback`, a function or a coroutine, is called every `progress_interval` seconds and at the end,
        once at a time. A coroutine that has not returned as long after the end is cancelled.
        Cancelling this stops the queue. Raises OutputBusy where another process works on the queue, OutputUnwritable,
        or JournalError.
        """
        self._called = self._own is None  # `stop` is meant for this run from here on, though it begins later
        self._stop_first = False  # was meant for a call that was given up before its turn
        return self._start(progress_callback)

    async def _start(self, progress_callback: ProgressCallback | None) -> BatchResult:
        if self._own is not None:
            raise UsageError("This queue is being worked on already.")
        request = RunRequest(
            (), self._output, self._profile, tool.find(os.environ).path, arguments=f"taskqueue {self._name!a}"
        )
        self.close()
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._gate = asyncio.Lock()
        self._begin_anew()
        self._own = own = OwnRequests(self._follower.committed)
        self._called = False
        ran: Future[RunResult] = Future()
        ran.set_running_or_notify_cancel()  # it cannot be cancelled from here on
        running = asyncio.wrap_future(ran)
        threading.Thread(target=self._work, args=(request, own, ran), name="task queue", daemon=True).start()
        interval = self._profile.monitoring.progress_interval_seconds
        with contextlib.closing(Telling(progress_callback, interval)) as telling:
            try:
                while not running.done():
                    await asyncio.wait([running], timeout=interval)
                    if not running.done():
                        telling.begin(self.get_progress())
                ended = await running
            except asyncio.CancelledError:
                self.stop()
                await asyncio.wait([running])
                raise
            finally:
                self._end()
            # Before others have their turn, who may add tasks of the next run.
            last, follower, took = self.get_progress(), self._follower, loop.time() - began
            await telling.finish(last)
        if ended.exit_code is ExitCode.OUTPUT_UNWRITABLE:
            raise OutputUnwritable(follower.error)
        return BatchResult(
            success_count=last.completed_tasks,
            failure_count=last.failed_tasks,
            total_count=last.total_tasks,
            processing_time=took,
            memory_peak_mb=last.memory_peak_mb,
            cpu_peak_percent=last.cpu_peak_percent,
            quality_metrics=last.quality_metrics,
            warnings=follower.warnings,
            failures=follower.failures,
        )

    def _work(self, request: RunRequest, own: OwnRequests, ran: Future[RunResult]) -> None:
        """Run the engine, in a thread of its own, until nothing is left to do."""
        give: Callable[[], None]
        try:
            while True:
                if self._paused:
                    own.ask(Request(Verb.PAUSE))
                while self._first:
                    own.ask(self._first.popleft())
                if self._stop_first:
                    self._stop_first = False
                    own.ask(_STOP)
                ended = execute(request, self._follower, source=self._follower.follow, own=own)
                goes_on = ended.told_to_stop is None and ended.exit_code <= ExitCode.SOME_FAILED
                if own.close(_OVER, unless=_ADDS if goes_on else frozenset()):
                    break
                self._follower.next_run()
            give = partial(ran.set_result, ended)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised by `start`
            own.close(_OVER)
            give = partial(ran.set_exception, error)
        self._own = None
        self._bell.ring()
        give()

    def _end(self) -> None:
        """No run is on; count what an earlier one had in hand, and had done but for the journal's last word."""
        if self._undecided:
            ended = set(self._ended)
            with JournalReader.read_only(self._folder) as journal:
                for row in filter(None, map(journal.job, self._undecided)):
                    if row.final and row.id not in ended:
                        self._settled(row, row)
            self._undecided.clear()
        self._over = True
        self._bell.ring()

    # ------------------------------------------------------------ steering, from any thread

    def pause(self) -> None:
        """Start nothing more until `resume`; running tasks complete."""
        self._paused = True
        self._order(Request(Verb.PAUSE))

    def resume(self) -> None:
        """Go on after a pause."""
        self._paused = False
        self._order(Request(Verb.RESUME))

    def stop(self) -> None:
        """End at once: what is running is interrupted, and done by the next `start` with what is left."""
        self._paused = False
        if not self._order(_STOP):
            self._stop_first = self._called

    def cancel(self, task_id: str, *, tenant: str | None = None) -> None:
        """Cancel a task (only one of this `tenant`), and what waits for it; before `start`, as that begins."""
        if tenant is not None:
            with JournalReader.read_only(self._folder) as journal:
                row = journal.job(task_id)
            if row is None or row.tenant != tenant:
                return
        request = Request(Verb.CANCEL, jobs=(task_id,))
        if not self._order(request):
            self._first.append(request)

    def _order(self, request: Request) -> bool:
        own = self._own
        return own is not None and own.ask(request) is not None

    def get_progress(self) -> BatchProgress:
        """How far the queue is now, as of the last look at it, twice a second."""
        return self._follower.progress(self._added, self._done_before)

    # ------------------------------------------------------------ results

    async def results(self, *, tenant: str | None = None) -> AsyncIterator[TaskOutcome]:
        """Yield each task, of one tenant or of all, as it ends for good, as long as the queue works.

        Begun before `start` it waits for that, begun later it yields first what has ended. Tasks that were done before
        they were added again are among them.
        """
        ended, place = self._ended, 0
        while True:
            await self._bell.until(partial(self._has_news, ended, place))
            if len(ended) == place:
                return
            with JournalReader.read_only(self._folder) as journal:
                while place < len(ended):
                    row = journal.job(ended[place])
                    place += 1
                    if row is None or not row.final or row.origin is Origin.CHILD:
                        continue
                    if tenant is None or row.tenant == tenant:
                        yield outcome_of(row, journal, self._output, self._profile.errors.max_retries)

    def _has_news(self, ended: list[str], place: int) -> bool:
        return len(ended) > place or self._over
