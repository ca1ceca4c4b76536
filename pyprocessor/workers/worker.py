"""How does a worker run the jobs of one batch and drive their steps?

It leads its own process group and alone starts processes in it. One selector waits on the engine and on all ffmpegs.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

from pyprocessor.errors import FailureKind, JobError, PublishError
from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.ffmpeg.run import FfmpegRun, Finished
from pyprocessor.jobs.timeouts import beat_seconds
from pyprocessor.models import Outcome, OutcomeKind
from pyprocessor.models.os_errors import classify_os_error
from pyprocessor.publish.partials import Anchor
from pyprocessor.publish.receipts import ReceiptWriter
from pyprocessor.state.job_logs import write_crash_log, write_job_log
from pyprocessor.state.state_folder import write_refused
from pyprocessor.system.absent_input import absent
from pyprocessor.system.awake_clock import AwakeClock
from pyprocessor.system.processes import be_polite
from pyprocessor.tasks.base import Ffmpeg
from pyprocessor.workers import messages
from pyprocessor.workers.attempt import Attempt
from pyprocessor.workers.lease import Lease, LeaseOver
from pyprocessor.workers.messages import (
    Command,
    Discard,
    FromWorker,
    Grant,
    OfAttempt,
    Report,
    StepOrder,
    ToWorker,
    WorkerSetup,
    WorkItem,
)

PROGRESS_INTERVAL_SECONDS = 0.5
POLL_SECONDS = 0.5
TURN_COUNTS_SECONDS = 5.0
"""The most that one turn of the loop counts against an ffmpeg: a longer one was spent verifying, or stopped."""
STOP_GRACE_SECONDS = 3.0
STOPPED = Outcome(OutcomeKind.INTERRUPTED, "The run was stopped.")
SOURCE_CHANGED = Outcome(
    OutcomeKind.SKIPPED, "The source changed while it was being processed; the next run takes it up."
)
SOURCE_GONE = Outcome(
    OutcomeKind.SKIPPED, "The source was removed while it was being processed; what was made of it is not kept."
)
SHED = Outcome(OutcomeKind.SHED, "It was ended because memory ran short; it is done later.")
LEASE_OVER = Outcome(
    OutcomeKind.INTERRUPTED, "The engine was not heard of for so long that it may have given the job to another worker."
)
UNOPENED = "Error opening input file"
"""What ffmpeg prints of a source that it cannot open."""
_OF_THE_SOURCE = (FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED, FailureKind.STALL, FailureKind.CRASH)
"""Failures that a source may cause while it is being replaced."""


def worker_main(connection: Connection, setup: WorkerSetup) -> None:
    """Entry point of a batch process; returns when the batch is done or the engine is gone."""
    os.setpgid(0, 0)
    gc.freeze()  # so that memory shared with the forkserver is not written to
    gc.enable()
    _ignore_engine_signals()
    throttling = setup.request.profile.throttling
    be_polite(throttling.nice, io_idle=throttling.io_idle)
    worker = Worker(connection, setup)
    signal.signal(signal.SIGTERM, lambda *_: worker.ask_to_end())
    try:
        worker.loop()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        worker.abandon()
    except Exception:  # noqa: BLE001 - a defect: the engine charges this death, and nothing is left behind
        write_crash_log(setup.folder.logs, os.getpid(), traceback.format_exc())
        worker.abandon()
        sys.exit(1)


def _ignore_engine_signals() -> None:
    """Ignore signals that only the engine handles; by handlers, which ffmpegs do not inherit, but for SIGHUP."""
    # The kernel sends it to a group with a stopped member whose last parent outside dies: ffmpegs ignore it, too.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, lambda *_: None)
    pausing = (signal.SIGUSR1, signal.SIGUSR2)
    for number in pausing:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, pausing)


class Worker:
    """The loop of one worker, over one connection to the engine."""

    def __init__(self, connection: Connection, setup: WorkerSetup) -> None:
        self._connection = connection
        self._setup = setup
        self._anchor = Anchor.of(setup.folder.partials)
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._outbox: list[FromWorker] = []
        self._waiting: deque[WorkItem] = deque()
        self._running: list[Attempt] = []
        self._to_verify: deque[tuple[Attempt, Finished]] = deque()
        self._to_publish: dict[str, Attempt] = {}
        self._to_discard: dict[str, Attempt] = {}
        self._receipts = ReceiptWriter(setup.folder.receipts, setup.run_id)
        self._environment = environment(os.environ)
        self._accepting = True
        self._asked_to_end = False
        self._ending = False
        self._held = False
        self._clock = AwakeClock(TURN_COUNTS_SECONDS)
        self._lease = Lease(setup.lease_seconds)
        self._beat_seconds = beat_seconds(setup.request.profile.errors)
        self._beat_at = -self._beat_seconds

    def loop(self) -> None:
        while self._accepting or self._has_work:
            if time.monotonic() - self._beat_at >= self._beat_seconds:
                # Not from another thread, which would go on while this one is stuck.
                self._beat_at = time.monotonic()
                self._say(Report.ALIVE)
            self._fill_slots()
            if self._to_verify:
                self._resume(*self._to_verify.popleft())
            self._flush()
            ready = self._selector.select(0.0 if self._to_verify else POLL_SECONDS)
            for key, _ in ready:
                if key.fileobj is not self._connection:
                    key.data.on_readable(key.fd)
            if any(key.fileobj is self._connection for key, _ in ready):
                self._receive()
            self._lease.drained()
            if self._asked_to_end:
                self.end()
            self._watch()
            self._clock.turn()
        self._say(Report.CLOSED)
        self._flush()
        self._receipts.close()

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting or self._running or self._to_verify or self._to_publish or self._to_discard)

    def _say(self, message: FromWorker) -> None:
        """Have a message sent at the end of this turn, or at the next `_flush`."""
        self._outbox.append(message)

    def _flush(self) -> None:
        if self._outbox:
            self._connection.send(tuple(self._outbox))
            self._outbox.clear()

    def _receive(self) -> None:
        while self._connection.poll(0):
            told: tuple[ToWorker, ...] = self._connection.recv()
            self._lease.renew()
            for message in told:
                self._obey(message)

    def _obey(self, message: ToWorker) -> None:
        match message:
            case WorkItem():
                self._waiting.append(message)
                if not self._accepting:
                    self._hand_back()
            case Grant(_, token, allowed):
                attempt = self._to_publish.pop(token, None)
                if attempt is not None:
                    self._guarded(attempt, partial(self._publish, attempt, allowed))
            case Discard(_, token):
                self._to_discard.pop(token).discard_displaced(self._setup.request.output)
            case StepOrder(_, token, act):
                self._order(token, act)
            case Command.DRAIN:
                self._accepting = False
                self._hand_back()
            case Command.TAKE_BACK:
                self._hand_back()
            case Command.HOLD | Command.RELEASE:
                self._held = message is Command.HOLD
            case Command.END:
                self.end()
            case Command.CLOSE:
                self._accepting = False
            case Command.FREE | Command.RENEW:
                pass

    def _order(self, token: str, act: str) -> None:
        """Stop, continue or kill the process of an attempt's step; one that ended meanwhile was shed all the same."""
        for attempt in (*self._running, *(ended for ended, _ in self._to_verify)):
            if attempt.item.token == token:
                attempt.shed |= act == "kill"
                if attempt in self._running and attempt.run is not None:
                    getattr(attempt.run, act)()

    def _hand_back(self) -> None:
        self._say(messages.HandedBack(tuple(OfAttempt(item.job_id, item.token) for item in self._waiting)))
        self._waiting.clear()

    def ask_to_end(self) -> None:
        """Note a signal; the loop acts on it, since a handler may interrupt the sending of a message."""
        self._asked_to_end = True

    def end(self) -> None:
        """Stop every step and report the jobs as interrupted."""
        if not self._ending:
            self._ending = True
            self._accepting = False
            self._hand_back()
            for run in self._runs():
                run.stop(STOP_GRACE_SECONDS)

    def abandon(self) -> None:
        """The engine is gone: end all steps and remove unfinished output."""
        for run in self._runs():
            run.kill()
        while any(run.poll(self._clock()) is None for run in self._runs()):
            self._selector.select(0.01)
            self._clock.turn()
        for attempt in (*self._running, *(a for a, _ in self._to_verify), *self._to_publish.values()):
            attempt.discard()

    def _runs(self) -> list[FfmpegRun]:
        return [attempt.run for attempt in self._running if attempt.run is not None]

    def _fill_slots(self) -> None:
        while self._waiting and not self._held and len(self._running) < self._setup.slots:
            item = self._waiting.popleft()
            self._say(messages.Started(item.job_id, item.token))
            self._flush()
            attempt = Attempt.begin(item, self._anchor)
            self._guarded(attempt, partial(self._advance, attempt, None))

    def _resume(self, attempt: Attempt, finished: Finished) -> None:
        attempt.killed = finished.killed
        if self._ending:
            self._end(attempt, STOPPED)
        elif attempt.shed and finished.returncode != 0:
            self._end(attempt, SHED)
        else:
            attempt.shed = False
            self._guarded(attempt, partial(self._advance, attempt, finished))

    def _advance(self, attempt: Attempt, finished: Finished | None) -> None:
        """Run the task up to its next step or its end."""
        if finished is not None:
            attempt.anchor.check()
        try:
            attempt.step = next(attempt.steps) if finished is None else attempt.steps.send(finished)
        except StopIteration as stop:
            self._verified(attempt, stop.value)
        else:
            assert isinstance(attempt.step, Ffmpeg)
            self._spawn(attempt, attempt.step)

    def _guarded(self, attempt: Attempt, act: Callable[[], None]) -> None:
        """Act for one attempt; an error ends this attempt alone."""
        try:
            act()
        except (BrokenPipeError, ConnectionResetError):
            raise  # the engine is gone, which is no failure of the job
        except JobError as error:
            self._failed(attempt, error.kind, str(error))
        except MemoryError:
            self._failed(attempt, FailureKind.RESOURCE, "The process working on it ran out of memory.")
        except OSError as error:
            self._failed(attempt, *classify_os_error(error, attempt.source.path))
        except Exception as error:  # noqa: BLE001 - the worker boundary: one job fails, the batch goes on
            attempt.transcript.append(traceback.format_exc())
            self._failed(attempt, FailureKind.INFRASTRUCTURE, f"An internal error: {error!r}.")

    def _spawn(self, attempt: Attempt, step: Ffmpeg) -> None:
        command = argv(step.invocation, self._setup.request.tool_path)
        attempt.transcript.append(" ".join(ascii(part) for part in command))
        run = FfmpegRun(
            command,
            cwd=self._setup.folder.partials,
            env=self._environment,
            clock=self._clock,
            stall_seconds=attempt.item.limits.stall_seconds,
            wall_limit_seconds=attempt.item.limits.wall_limit_seconds,
            output_limit_bytes=step.output_limit_bytes,
        )
        attempt.run = run
        run.register(self._selector)
        self._running.append(attempt)
        self._say(messages.Spawned(attempt.item.job_id, attempt.item.token, run.identity))

    def _watch(self) -> None:
        """Report progress of the running steps, and go on with those that have ended."""
        now = time.monotonic()
        for attempt in tuple(self._running):
            run, item = attempt.run, attempt.item
            if run is None:
                continue
            finished = run.poll(self._clock())
            if finished is not None:
                self._running.remove(attempt)
                attempt.step_ended(finished.cpu_seconds, finished.peak_memory_bytes, finished.stderr_text)
                if attempt.step is not None and attempt.step.last:
                    self._to_verify.append((attempt, finished))
                    self._say(messages.Encoded(item.job_id, item.token))
                else:
                    self._resume(attempt, finished)
            elif now - attempt.reported >= PROGRESS_INTERVAL_SECONDS and run.progress is not None:
                attempt.reported = now
                progress = run.progress
                self._say(messages.Progressed(item.job_id, item.token, progress.out_time_seconds, progress.speed))

    def _verified(self, attempt: Attempt, done: object) -> None:
        item = attempt.item
        if not attempt.inputs_unchanged(where_gone=False):
            if not self._input_is_away(attempt):
                there = all(os.path.lexists(source.path) for source in item.inputs)
                self._end(attempt, SOURCE_CHANGED if there else SOURCE_GONE)
            return
        attempt.finish(done, self._setup.request.output)
        if attempt.facts is None:
            attempt.discard()
            self._say(messages.Answered(item.job_id, item.token, attempt.result, attempt.usage()))
            return
        self._to_publish[item.token] = attempt
        self._say(messages.Verified(item.job_id, item.token, attempt.facts, attempt.intents, attempt.result))

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
        self._say(messages.Published(item.job_id, item.token, facts, attempt.usage(), displaced))

    def _failed(self, attempt: Attempt, kind: FailureKind, message: str) -> None:
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
        self._end(attempt, Outcome(OutcomeKind.FAILED, message, kind))

    def _input_is_away(self, attempt: Attempt) -> bool:
        """Return whether the input as a whole is gone; the attempt has then ended as interrupted."""
        folders = self._setup.request.folders
        why = next((why for source in attempt.item.inputs if (why := absent(source.path, folders)) is not None), None)
        if why is None:
            return False
        self._say(messages.InputAway(why))
        self._end(attempt, STOPPED)
        return True

    def _widened(self, kind: FailureKind, message: str) -> tuple[FailureKind, str]:
        """Return the failure, as DISK where permission is missing because nothing can be written here at all."""
        if kind is FailureKind.PERMISSION:
            for folder in (self._setup.folder.partials, self._setup.request.output):
                refused = write_refused(folder)
                if refused is not None:
                    return FailureKind.DISK, refused
        return kind, message

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        attempt.steps.close()
        if not attempt.kept:
            attempt.discard()
        item = attempt.item
        unopened = any(UNOPENED in part for part in attempt.transcript)
        self._say(messages.Ended(item.job_id, item.token, outcome, attempt.usage(), attempt.killed, unopened))
