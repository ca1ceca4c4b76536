"""What becomes of the attempts of one worker? Their steps, what they end with, verification, publishing, failure.

begin -> step -> its end -> next step ... -> what the task answers -> sealed -> grant -> published
"""

from __future__ import annotations

import contextlib
import os
import selectors
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial

from pyprocessor.errors import FailureKind, JobError, PublishError
from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.ffmpeg.run import FfmpegRun, Finished
from pyprocessor.jobs.timeouts import check_deadline
from pyprocessor.models import Outcome, OutcomeKind
from pyprocessor.publish.partials import Anchor, discard_attempts
from pyprocessor.publish.receipts import ReceiptWriter
from pyprocessor.state.job_logs import write_job_log
from pyprocessor.state.state_folder import write_refused
from pyprocessor.system.absent_input import absent
from pyprocessor.system.left_behind import MARK, mark, reap_others
from pyprocessor.tasks.base import Call, Ffmpeg, Returned
from pyprocessor.workers import messages
from pyprocessor.workers.attempt import Attempt, wrong
from pyprocessor.workers.call_runner import Answer, CallRunner
from pyprocessor.workers.call_runners import CallRunners
from pyprocessor.workers.lease import Lease, LeaseOver
from pyprocessor.workers.messages import Discard, FromWorker, Grant, StepOrder, WorkerSetup, WorkItem

PROGRESS_INTERVAL_SECONDS = 0.5
RESUMING_SECONDS = 0.05
"""For how long tasks whose steps have ended are gone on with before other work has its turn."""
STOP_GRACE_SECONDS = 3.0
STOPPED = Outcome(OutcomeKind.INTERRUPTED, "The run was stopped.")
SOURCE_CHANGED = Outcome(OutcomeKind.SKIPPED, "The source changed while it was being processed; the next run does it.")
SOURCE_GONE = Outcome(
    OutcomeKind.SKIPPED, "The source was removed while it was being processed; what was made of it is not kept."
)
SHED = Outcome(OutcomeKind.SHED, "It was ended because memory ran short; it is done later.")
LEASE_OVER = Outcome(
    OutcomeKind.INTERRUPTED, "The engine was not heard of for so long that it may have given the job to another worker."
)
UNOPENED = "Error opening input file"
"""What ffmpeg prints of a source that it cannot open."""
_OF_THE_SOURCE = (
    *(FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED, FailureKind.STALL, FailureKind.CRASH),
    FailureKind.INFRASTRUCTURE,  # the output is not of the source that was inspected
)
"""Failures that a source may cause while it is being replaced."""


Ending = Finished | Returned | Exception
"""How a step ended, as its task gets it."""


class Attempts:
    """The attempts that a worker has in hand, by their tokens; `send` takes a message for the engine."""

    def __init__(
        self,
        setup: WorkerSetup,
        selector: selectors.BaseSelector,
        clock: Callable[[], float],
        lease: Lease,
        send: Callable[[FromWorker], None],
        *,
        reaps: bool,
    ) -> None:
        self._setup = setup
        self._selector = selector
        self._clock = clock
        self._lease = lease
        self._send = send
        self._reaps = reaps
        self._anchor = Anchor.of(setup.folder.partials)
        self._running: dict[str, Attempt] = {}
        self._to_call_alone: deque[Attempt] = deque()
        self._to_verify: deque[tuple[Attempt, Ending]] = deque()
        self._to_publish: dict[str, Attempt] = {}
        self._to_discard: dict[str, Attempt] = {}
        self._receipts = ReceiptWriter(setup.folder.receipts, setup.run_id)
        marked = {MARK: mark(setup.folder.path, setup.run_id, os.getpid())}
        self._environment = environment(os.environ) | marked
        make = partial(CallRunner, env={**os.environ, **marked}, clock=clock)
        self.runners = CallRunners(setup.slots, make, clock, selector)
        self._to_tidy: set[str] = set()
        """Names of attempts that made no product, but may have left files: one listing of the folder serves many."""
        self._ending = False
        self._sampled_at = 0.0

    def __bool__(self) -> bool:
        return bool(self._running or self._to_verify or self._to_publish or self._to_discard or self._to_call_alone)

    @property
    def free_slots(self) -> int:
        return self._setup.slots - len(self._running)

    @property
    def wait(self) -> bool:
        """Whether nothing can be done before a step has ended."""
        return not self._to_verify

    def begin(self, item: WorkItem) -> None:
        """Begin an attempt, after `Started` was sent."""
        attempt = Attempt.begin(item, self._setup.request, self._anchor)
        self._guarded(attempt, partial(self._advance, attempt, None))

    def advance(self) -> None:
        """Go on with some of those whose last step has ended, and send what calls they ask for."""
        until = time.monotonic() + RESUMING_SECONDS
        while self._to_verify:
            self._resume(*self._to_verify.popleft())
            if time.monotonic() > until:
                break
        for runner in self.runners:
            runner.flush()

    def call_alone(self) -> None:
        """Repeat the next call whose shared process has died, if none of them runs now."""
        if self._to_call_alone and not any(attempt.alone for attempt in self._running.values()):
            attempt = self._to_call_alone.popleft()
            self._guarded(attempt, partial(self._start, attempt))

    def granted(self, grant: Grant) -> None:
        """Publish; a grant for an attempt that is not in hand is ignored."""
        attempt = self._to_publish.pop(grant.token, None)
        if attempt is not None:
            self._guarded(attempt, partial(self._publish, attempt, grant.replace))

    def discard_displaced(self, discard: Discard) -> None:
        """Remove what the products of a published attempt replaced."""
        attempt = self._to_discard.pop(discard.token, None)
        if attempt is not None:
            attempt.discard_displaced(self._setup.request.output)

    def order(self, order: StepOrder) -> None:
        """Stop, continue or kill the process of an attempt's step; one that has just ended was shed all the same."""
        for attempt in (*self._running.values(), *(ended for ended, _ in self._to_verify)):
            if attempt.item.token == order.token:
                attempt.shed |= order.act == "kill"
                if attempt.run is not None:
                    getattr(attempt.run, order.act)()

    def end(self) -> None:
        """Stop every step; the jobs are reported as interrupted."""
        self._ending = True
        for run in (*self._ffmpegs(), *self.runners):
            run.stop(STOP_GRACE_SECONDS)
        while self._to_call_alone:
            self._end(self._to_call_alone.popleft(), STOPPED)

    def abandon(self) -> None:
        """The engine is gone: end all steps and remove what is unfinished.

        What is verified stays, since it may be granted in the journal: the next run publishes it, or removes it.
        """
        for run in (*self._ffmpegs(), *self.runners):
            run.kill()
        while any(run.poll(self._clock()) is None for run in (*self._ffmpegs(), *self.runners)):
            self._selector.select(0.01)
        verifying = (attempt for attempt, _ in self._to_verify)
        for attempt in (*self._running.values(), *verifying, *self._to_call_alone):
            attempt.discard()
        self._tidy()

    def close(self) -> None:
        """Close what outlasts single attempts, once all are over."""
        self._tidy()
        self._receipts.close()

    def _ffmpegs(self) -> list[FfmpegRun]:
        return [attempt.run for attempt in self._running.values() if isinstance(attempt.run, FfmpegRun)]

    def _resume(self, attempt: Attempt, ending: Ending) -> None:
        failed = isinstance(ending, Exception) or (isinstance(ending, Finished) and ending.returncode != 0)
        if self._ending:
            self._end(attempt, STOPPED)
        elif attempt.shed and failed:
            self._end(attempt, SHED)
        else:
            attempt.shed = False
            self._guarded(attempt, partial(self._advance, attempt, ending))

    def _advance(self, attempt: Attempt, ending: Ending | None) -> None:
        """Run the task up to its next step or its end."""
        if ending is None:
            check_deadline(attempt.item.deadline, time.time())  # it may have been sent long before
        else:
            attempt.anchor.check()
        try:
            if isinstance(ending, Exception):
                attempt.thrown = ending
                attempt.step = attempt.steps.throw(ending)
            else:
                attempt.step = next(attempt.steps) if ending is None else attempt.steps.send(ending)
        except StopIteration as stop:
            self._verified(attempt, stop.value)
        else:
            self._start(attempt)

    def _guarded(self, attempt: Attempt, act: Callable[[], None]) -> None:
        """Act for one attempt; an error ends this attempt alone."""
        try:
            act()
        except JobError as error:
            self._failed(attempt, error.kind, str(error), error.retry_after_seconds)
        except MemoryError:
            self._failed(attempt, FailureKind.RESOURCE, "The process working on it ran out of memory.")
        except OSError as error:
            self._failed(attempt, *attempt.failure_of(error, self._setup))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the worker boundary: one job fails, the batch goes on
            attempt.transcript.append(traceback.format_exc())
            self._failed(attempt, FailureKind.INFRASTRUCTURE, f"An internal error: {error!r}.")

    def _start(self, attempt: Attempt) -> None:
        """Start the step that the task has yielded."""
        step, item, warm = attempt.step, attempt.item, False
        match step:
            case Ffmpeg():
                attempt.run = self._spawn(attempt, step)
            case Call():
                attempt.transcript.append(f"call of {step.function}")
                limit = min(step.timeout_seconds, attempt.seconds_left)
                attempt.run, warm = self.runners.start(item.token, step, limit, alone=attempt.alone)
            case _:
                raise wrong(item.task, f"yields {type(step).__name__} where a step was expected")
        self._running[item.token] = attempt
        called = isinstance(step, Call)
        self._send(messages.Spawned(item.job_id, item.token, attempt.run.identity, call=called, warm=warm))

    def _spawn(self, attempt: Attempt, step: Ffmpeg) -> FfmpegRun:
        command = argv(step.invocation, self._setup.request.tool_path)
        attempt.transcript.append(" ".join(ascii(part) for part in command))
        run = FfmpegRun(
            command,
            cwd=self._setup.folder.partials,
            env=self._environment,
            clock=self._clock,
            stall_seconds=attempt.item.limits.stall_seconds,
            wall_limit_seconds=attempt.seconds_left,
            output_limit_bytes=step.output_limit_bytes,
        )
        run.register(self._selector)
        return run

    def watch(self) -> None:
        """Report progress of the running steps, and go on with those that have ended."""
        now = time.monotonic()
        for attempt in [one for one in self._running.values() if isinstance(one.run, FfmpegRun)]:
            assert isinstance(attempt.run, FfmpegRun)
            finished = attempt.run.poll(self._clock())
            if finished is not None:
                attempt.killed = finished.killed
                attempt.step_ended(finished.cpu_seconds, finished.peak_memory_bytes, finished.stderr_text)
                self._step_ended(attempt, finished)
            elif (progress := attempt.run.progress) is not None:
                self._report(attempt, now, progress.out_time_seconds, progress.speed)
        for runner, answers, end in self.runners.poll():
            for answer in answers:
                self._answered(answer)
            for answer, blameless in runner.left(end) if end is not None else ():
                attempt = self._running[answer.token]
                attempt.killed = end is not None and end.killed
                if blameless and not attempt.shed and not self._ending:
                    del self._running[answer.token]
                    attempt.alone = True
                    self._to_call_alone.append(attempt)
                else:
                    self._answered(answer)
            if runner.calls and now - self._sampled_at >= PROGRESS_INTERVAL_SECONDS:
                runner.sample_memory()
            for call in runner.calls.values():
                if call.progress is not None:
                    self._report(self._running[call.token], now, call.progress[0], None, call.progress[1])
        if now - self._sampled_at >= PROGRESS_INTERVAL_SECONDS:
            self._sampled_at = now
            self._tidy()
            if self._reaps:
                reap_others(self.runners.pids | {run.identity.pid for run in self._ffmpegs()})

    def _tidy(self) -> None:
        if self._to_tidy:
            with contextlib.suppress(PublishError):  # the next run tries again
                self._anchor.check()
                discard_attempts(self._anchor.path, self._to_tidy)
            self._to_tidy.clear()

    def _report(
        self, attempt: Attempt, now: float, done: float, speed: float | None, total: float | None = None
    ) -> None:
        """Report progress, unless it was reported a moment ago."""
        if now - attempt.reported >= PROGRESS_INTERVAL_SECONDS:
            attempt.reported = now
            self._send(messages.Progressed(attempt.item.job_id, attempt.item.token, done, speed, total))

    def _answered(self, answer: Answer) -> None:
        attempt = self._running[answer.token]
        attempt.step_ended(answer.cpu_seconds, answer.peak_memory_bytes, answer.printed)
        self._step_ended(attempt, answer.ending)

    def _step_ended(self, attempt: Attempt, ending: Ending) -> None:
        """Go on with an attempt, later if it has to be verified only."""
        item = attempt.item
        del self._running[item.token]
        if isinstance(attempt.step, (Ffmpeg, Call)) and attempt.step.last:
            self._to_verify.append((attempt, ending))
            self._send(messages.Encoded(item.job_id, item.token))
        else:
            self._resume(attempt, ending)

    def _verified(self, attempt: Attempt, done: object) -> None:
        item = attempt.item
        if not attempt.inputs_unchanged(where_gone=False):
            if not self._input_is_away(attempt):
                there = all(os.path.lexists(source.path) for source in item.inputs)
                self._end(attempt, SOURCE_CHANGED if there else SOURCE_GONE)
            return
        attempt.finish(done, self._setup.request.output)
        if attempt.facts is None:
            self._to_tidy.add(item.partial)
            self._send(messages.Answered(item.job_id, item.token, attempt.result, attempt.usage()))
            return
        self._to_publish[item.token] = attempt
        self._send(messages.Verified(item.job_id, item.token, attempt.facts, attempt.intents, attempt.result))

    def _publish(self, attempt: Attempt, allowed: frozenset[bytes]) -> None:
        """Give the products their names; where the disk refuses, keep them for the next run to publish."""
        try:
            facts, displaced = attempt.publish(self._setup, self._receipts, self._lease, allowed)
        except LeaseOver:
            self._end(attempt, LEASE_OVER)
            return
        except PublishError as error:
            kind, message = self._widened(error.kind, str(error))
            attempt.kept = kind is FailureKind.DISK
            raise PublishError(kind, message) from error
        item = attempt.item
        if displaced:
            self._to_discard[item.token] = attempt
        self._send(messages.Published(item.job_id, item.token, facts, attempt.usage(), displaced))

    def _failed(
        self, attempt: Attempt, kind: FailureKind, message: str, retry_after_seconds: float | None = None
    ) -> None:
        if self._ending:
            self._end(attempt, STOPPED)
            return
        if kind is not FailureKind.DISK and attempt.facts is None and self._input_is_away(attempt):
            return
        if kind in _OF_THE_SOURCE and not attempt.inputs_unchanged(where_gone=True):
            self._end(attempt, SOURCE_CHANGED)
            return
        kind, message = self._widened(kind, message)
        logs = self._setup.folder.logs
        write_job_log(logs, attempt.item.job_id, f"{attempt.name}: {message}", attempt.transcript)
        self._end(attempt, Outcome(OutcomeKind.FAILED, message, kind, retry_after_seconds=retry_after_seconds))

    def _input_is_away(self, attempt: Attempt) -> bool:
        """Return whether the input as a whole is gone; the attempt has then ended as interrupted."""
        folders = self._setup.request.folders
        why = next((why for source in attempt.item.inputs if (why := absent(source.path, folders)) is not None), None)
        if why is None:
            return False
        self._send(messages.InputAway(why))
        self._end(attempt, STOPPED)
        return True

    def _widened(self, kind: FailureKind, message: str) -> tuple[FailureKind, str]:
        """Return the failure, as DISK where permission is missing because nothing can be written here at all."""
        folders = (self._setup.folder.partials, self._setup.request.output)
        refused = write_refused(*folders) if kind is FailureKind.PERMISSION else None
        return (kind, message) if refused is None else (FailureKind.DISK, refused)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        try:
            attempt.steps.close()
        except (Exception, SystemExit):  # noqa: BLE001 - as in `_guarded`: the attempt is over anyway
            logs, trace = self._setup.folder.logs, traceback.format_exc()
            write_job_log(logs, attempt.item.job_id, f"{attempt.name}: the task did not end as asked.", [trace])
        if not attempt.kept:
            attempt.discard()
        item = attempt.item
        unopened = any(UNOPENED in part for part in attempt.transcript)
        self._send(messages.Ended(item.job_id, item.token, outcome, attempt.usage(), attempt.killed, unopened))
