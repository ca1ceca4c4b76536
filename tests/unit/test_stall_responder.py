"""The stall responder's checks one by one, with a loop played by the test: what it says, and when it ends a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyprocessor.control import stall_responder as room
from pyprocessor.control.client import Answer, Request, Verb, ask
from pyprocessor.control.run_mode import Order, RunMode, StopLevel
from pyprocessor.control.server import ControlServer
from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import (
    INFORM_SECONDS,
    POLL_SECONDS,
    SETTLE_SECONDS,
    SILENT_SECONDS,
    StallResponder,
)
from pyprocessor.errors import ExitCode
from pyprocessor.models import RunSnapshot, RunStatus

STANDING = RunStatus(1, 1.0, RunSnapshot(0, 1, True, 0, 0, 0, 1, 0, 0.0, 0.0, None, False))
DEADLINE_SECONDS = 60.0


@dataclass
class Played:
    """A responder whose clock and loop are the test's: `works` is what part of a core the loop takes."""

    server: ControlServer
    signals: SignalQueue
    monkeypatch: pytest.MonkeyPatch
    emergency: Any = None
    works: float = 0.0
    disk: bool = False
    mode: RunMode = field(default_factory=RunMode)
    now: float = 0.0
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.monkeypatch.setattr(room, "thread_seconds", lambda _: self.works * self.now)
        self.monkeypatch.setattr(room, "waits_for_disk", lambda _: self.disk)
        self.responder = StallResponder(
            self.server, self.signals, "/out", 60.0, self.emergency, lambda: self.mode, lambda: STANDING, list
        )

    def hang(self, seconds: float) -> None:
        """Have the loop be in one and the same turn for so much longer."""
        for _ in range(round(seconds / POLL_SECONDS)):
            self.now += POLL_SECONDS
            sentence = self.responder.check(self.now)
            self.said += [sentence] if sentence is not None else []

    def ask(self, folder: Path, verb: Verb) -> Answer:
        """Ask over the socket, with one check after the other until the answer is there."""
        answers: list[Answer] = []
        caller = threading.Thread(target=lambda: answers.append(ask(bytes(folder), Request(verb))))
        caller.start()
        while caller.is_alive():
            self.responder.check(self.now)
            caller.join(0.01)
        (answer,) = answers
        return answer


@pytest.fixture
def interrupts() -> Iterator[SignalQueue]:
    """Signals are not listened to, as in a thread that is not the main one: the test puts them."""
    made = SignalQueue()
    yield made
    made.__exit__(None, None, None)


@pytest.fixture
def played(tmp_path: Path, interrupts: SignalQueue, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Played]]:
    """Make a responder."""
    server = ControlServer(bytes(tmp_path))
    yield lambda **settings: Played(server, interrupts, monkeypatch, **settings)
    server.close()


def test_a_disk_that_hangs_is_named(played: Callable[..., Played]) -> None:
    """Answers say for how long; a run that was asked to end is ended."""
    run = played(disk=True)
    run.hang(INFORM_SECONDS)
    (told,) = run.said
    assert "waited for the disk of /out" in told
    run.signals.put(Order.END)
    run.hang(SETTLE_SECONDS + POLL_SECONDS)
    assert "If that does not answer within" in run.said[1]
    assert run.responder.must_end
    run.responder.set_waiting(True)
    assert "The disk of /out answers again" in (run.responder.recovered() or "")
    assert run.responder.recovered() is None


def test_no_disk_is_blamed_for_what_else_holds_the_loop_up(played: Callable[..., Played], tmp_path: Path) -> None:
    """Somebody who does not read what is printed, say. The run is ended all the same when it was told to end."""
    run = played()
    run.hang(INFORM_SECONDS)
    run.signals.put(Order.INTERRUPT)
    run.hang(POLL_SECONDS)
    run.signals.put(Order.INTERRUPT)
    run.hang(SETTLE_SECONDS + POLL_SECONDS)
    assert len(run.said) == 3
    assert not [text for text in run.said if "disk" in text or "answers" in text]
    assert run.ask(tmp_path, Verb.STATUS).standing == STANDING
    assert run.responder.must_end
    run.responder.set_waiting(True)
    assert "disk" not in (run.responder.recovered() or "disk")


def test_a_loop_that_is_at_work_is_left_to_it(played: Callable[..., Played]) -> None:
    """A turn over very many files: it ends by itself, and what it was told is done then."""
    run = played(works=0.5)
    run.mode = RunMode(stop=StopLevel.END)
    run.hang(10 * (SILENT_SECONDS + SETTLE_SECONDS))
    assert not run.responder.must_end
    run.works = 0.0
    run.hang(SETTLE_SECONDS + 2 * run.now)
    assert run.responder.must_end


def test_a_signal_that_the_loop_has_noted_and_not_taken(played: Callable[..., Played], interrupts: SignalQueue) -> None:
    """It came just before the loop hung: the next one is the second, and the loop takes each once."""
    run = played(disk=True)
    interrupts.put(Order.INTERRUPT)
    run.hang(SILENT_SECONDS + POLL_SECONDS)
    assert ["asked once more" in text for text in run.said] == [True]
    interrupts.put(Order.INTERRUPT)
    run.hang(SETTLE_SECONDS + POLL_SECONDS)
    assert run.responder.must_end
    assert interrupts.take() == [Order.INTERRUPT, Order.INTERRUPT]
    assert interrupts.peek() == []


def test_an_order_in_whose_turn_the_loop_hangs(played: Callable[..., Played]) -> None:
    """The request was received and the loop hangs before it answers: the responder answers, once."""
    run = played(disk=True)
    run.responder.set_waiting(False)
    run.mode = RunMode(stop=StopLevel.DRAIN)
    run.hang(SILENT_SECONDS + POLL_SECONDS)
    assert ["asked once more" in text for text in run.said] == [True]
    run.hang(INFORM_SECONDS)
    assert len(run.said) == 1


def test_an_order_is_answered_and_put_once(
    played: Callable[..., Played], interrupts: SignalQueue, tmp_path: Path
) -> None:
    """Whatever the number of looks after it."""
    run = played(disk=True)
    run.hang(SILENT_SECONDS)
    assert run.ask(tmp_path, Verb.PAUSE).ok
    run.hang(INFORM_SECONDS)
    assert interrupts.take() == [Order.PAUSE]


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.RETRY, Verb.SUBMIT])
def test_single_jobs_are_not_changed_meanwhile(
    verb: Verb, played: Callable[..., Played], interrupts: SignalQueue, tmp_path: Path
) -> None:
    """The journal is on the disk that hangs: whoever asks is told to ask again."""
    one = played()
    one.hang(30.0)
    answer = one.ask(tmp_path, verb)
    assert not answer.ok
    assert "Nothing was changed; ask again when" in answer.text
    assert list(interrupts.peek()) == []


def test_the_loop_stands_still_while_the_program_is_ended(played: Callable[..., Played]) -> None:
    """Back in time or not, it begins no turn in which it would find its processes dead."""
    left = threading.Event()
    goes_on = threading.Event()

    class Resort:
        def notify(self, level: str, text: str) -> None:
            del level, text

        def leave(self, exit_code: ExitCode, text: str, kill: Callable[[], None]) -> None:
            del text
            assert exit_code is ExitCode.INTERRUPTED
            loop.start()
            loop.join(0.5)
            assert not goes_on.is_set()
            kill()
            left.set()

    run = played(emergency=Resort(), disk=True)
    run.mode = RunMode(stop=StopLevel.END)
    run.hang(SILENT_SECONDS + SETTLE_SECONDS + POLL_SECONDS)

    def come_back() -> None:
        run.responder.set_waiting(True)
        goes_on.set()

    loop = threading.Thread(target=come_back, daemon=True)
    with run.responder:
        assert left.wait(DEADLINE_SECONDS)
        assert goes_on.wait(DEADLINE_SECONDS)
