"""How does a worker run the jobs of one batch and drive their steps?

It leads its own process group and alone starts processes in it. One selector waits on the engine and on all ffmpegs.
"""

from __future__ import annotations

import gc
import os
import pickle
import selectors
import signal
import sys
import time
import traceback
from collections import deque
from multiprocessing.connection import Connection

from pyprocessor.jobs.timeouts import beat_seconds
from pyprocessor.state.job_logs import write_crash_log
from pyprocessor.system.awake_clock import AwakeClock
from pyprocessor.system.left_behind import kill_all_below, mark
from pyprocessor.system.own_process import adopt_orphans
from pyprocessor.system.processes import be_polite
from pyprocessor.workers import messages
from pyprocessor.workers.attempts import Attempts
from pyprocessor.workers.lease import Lease
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

POLL_SECONDS = 0.5
TURN_COUNTS_SECONDS = 5.0
"""The most that one turn of the loop counts against a step: a longer one was spent verifying, or stopped."""


def worker_main(connection: Connection, setup: WorkerSetup) -> None:
    """Entry point of a batch process; returns when the batch is done or the engine is gone."""
    os.setpgid(0, 0)
    gc.freeze()  # so that memory shared with the forkserver is not written to
    gc.enable()
    _ignore_engine_signals()
    throttling = setup.request.profile.throttling
    be_polite(throttling.nice, io_idle=throttling.io_idle)
    adopt_orphans()
    worker = Worker(connection, setup, reaps=True)
    signal.signal(signal.SIGTERM, lambda *_: worker.ask_to_end())
    try:
        worker.loop()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        worker.abandon()
    except Exception:  # noqa: BLE001 - a defect: the engine charges this death, and nothing is left behind
        write_crash_log(setup.folder.logs, os.getpid(), traceback.format_exc())
        worker.abandon()
        sys.exit(1)
    finally:
        if worker.has_called:
            kill_all_below(mark(setup.folder.path, setup.run_id, os.getpid()))


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
    """The loop of one worker, over one connection to the engine.

    `reaps` says that this process has no other children, so that those are its own that steps have left behind.
    """

    def __init__(self, connection: Connection, setup: WorkerSetup, *, reaps: bool = False) -> None:
        self._connection = connection
        self._setup = setup
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._outbox: list[FromWorker] = []
        self._waiting: deque[WorkItem] = deque()
        self._accepting = True
        self._asked_to_end = False
        self._ending = False
        self._held = False
        self._clock = AwakeClock(TURN_COUNTS_SECONDS)
        self._lease = Lease(setup.lease_seconds)
        send = self._outbox.append
        self._attempts = Attempts(setup, self._selector, self._clock, self._lease, send, reaps=reaps)
        self._beat_seconds = beat_seconds(setup.request.profile.errors)
        self._beat_at = -self._beat_seconds

    @property
    def has_called(self) -> bool:
        """Whether it has had functions called, which may leave processes behind."""
        return self._attempts.runners.used

    @property
    def _has_work(self) -> bool:
        return bool(self._accepting or self._waiting or self._attempts)

    def loop(self) -> None:
        """Work until the batch is done."""
        attempts = self._attempts
        while self._has_work or attempts.runners:
            if time.monotonic() - self._beat_at >= self._beat_seconds:
                # Not from another thread, which would go on while this one is stuck.
                self._beat_at = time.monotonic()
                self._outbox.append(Report.ALIVE)
            if not self._held:
                self._fill_slots()
            attempts.advance()
            self._flush()
            self._lease.look()
            # What has ended as soon as it was begun, such as a copy, left its slot to the next one.
            begins = bool(self._waiting) and not self._held and attempts.free_slots > 0
            ready = self._selector.select(POLL_SECONDS if attempts.wait and not begins else 0.0)
            received = False
            for key, _ in ready:
                if key.fileobj is self._connection:
                    received = True
                else:
                    key.data.on_readable(key.fd)
            if received:
                self._receive()
            else:
                self._lease.empty()
            if self._asked_to_end:
                self.end()
            attempts.watch()
            if self._held or not self._has_work:
                attempts.runners.free()
            self._clock.turn()
        attempts.close()
        self._outbox.append(Report.CLOSED)
        self._flush()

    def ask_to_end(self) -> None:
        """Note a signal; the loop acts on it, since a handler may interrupt the sending of a message."""
        self._asked_to_end = True

    def end(self) -> None:
        """Stop every step and report the jobs as interrupted."""
        if not self._ending:
            self._ending = True
            self._accepting = False
            self._hand_back()
            self._attempts.end()

    def abandon(self) -> None:
        """The engine is gone: end all steps and remove unfinished output."""
        self._attempts.abandon()

    def _flush(self) -> None:
        if self._outbox:
            data = pickle.dumps(tuple(self._outbox), pickle.HIGHEST_PROTOCOL)
            self._outbox.clear()
            self._connection.send_bytes(data)  # `send` would do the same, with a pickler made anew each time

    def _fill_slots(self) -> None:
        self._attempts.call_alone()
        for _ in range(min(self._attempts.free_slots, len(self._waiting))):
            # One at a time: where beginning one ends this process, the next was not started, and is not charged.
            item = self._waiting.popleft()
            self._outbox.append(messages.Started(item.job_id, item.token))
            self._flush()
            self._attempts.begin(item)

    def _receive(self) -> None:
        received: tuple[ToWorker, ...] = self._connection.recv()
        self._lease.renew()
        if self._lease.ends:
            self._lease.look()
            if not self._connection.poll(0):
                self._lease.empty()
        for message in received:
            self._act_on(message)

    def _act_on(self, message: ToWorker) -> None:
        match message:
            case WorkItem():
                self._waiting.append(message)
                if not self._accepting:
                    self._hand_back()
            case Grant():
                self._attempts.granted(message)
            case Discard():
                self._attempts.discard_displaced(message)
            case StepOrder():
                self._attempts.order(message)
            case Command.DRAIN:
                self._accepting = False
                self._hand_back()
            case Command.TAKE_BACK:
                self._hand_back()
            case Command.HOLD:
                self._held = True
            case Command.RELEASE:
                self._held = False
            case Command.END:
                self.end()
            case Command.CLOSE:
                self._accepting = False
            case Command.FREE:
                self._attempts.runners.free()
            case Command.RENEW:
                pass

    def _hand_back(self) -> None:
        self._outbox.append(messages.HandedBack(tuple(OfAttempt(item.job_id, item.token) for item in self._waiting)))
        self._waiting.clear()
