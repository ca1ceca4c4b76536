"""What is said over the control socket: one line of JSON each way, then the connection is closed. Pure.

{"do": "status"}                      {"do": "pause", "now": true}
{"ok": true, "standing": {...}}       {"ok": true, "text": "The run (process 4711) is paused: ..."}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.control.run_mode import Order
from pyprocessor.journal.records import decode, encode
from pyprocessor.models import RunStatus

REQUEST_BYTES = 4096
"""Of a request with its end of line; no sensible one comes near."""
ANSWER_BYTES = 4 << 20
"""Of an answer: a status names every running file."""


class Verb(StrEnum):
    STATUS = "status"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Request:
    """`now` makes a pause freeze what runs and a stop end it."""

    verb: Verb
    now: bool = False

    @property
    def order(self) -> Order | None:
        """What is asked of the run; None where it is only to tell."""
        match self.verb:
            case Verb.STATUS:
                return None
            case Verb.PAUSE:
                return Order.FREEZE if self.now else Order.PAUSE
            case Verb.RESUME:
                return Order.RESUME
            case Verb.STOP:
                return Order.END if self.now else Order.STOP


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` is a sentence; a status has `standing` instead."""

    ok: bool
    text: str = ""
    standing: RunStatus | None = None


def request_line(request: Request) -> bytes:
    said: dict[str, object] = {"do": request.verb.value}
    if request.now:
        said["now"] = True
    return json.dumps(said).encode("ascii") + b"\n"


def parse_request(line: bytes) -> Request:
    """What a line asks for; raises ValueError with a sentence for whoever sent it."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("The request is no line of JSON.") from None
    if not isinstance(said, dict):
        raise ValueError('The request is no JSON object such as {"do": "status"}.')
    verb, now = said.get("do"), said.get("now", False)
    unknown = said.keys() - {"do", "now"}
    if unknown or not isinstance(verb, str) or verb not in set(Verb) or not isinstance(now, bool):
        names = ", ".join(Verb)
        raise ValueError(f'The request is not understood: "do" is one of {names}, and "now" is true or false.')
    if now and verb in (Verb.STATUS, Verb.RESUME):
        raise ValueError(f'"now" has no meaning for {verb}.')
    return Request(Verb(verb), now)


def answer_line(answer: Answer) -> bytes:
    return encode(answer).encode("ascii") + b"\n"


def parse_answer(line: bytes) -> Answer:
    """What a run answered; raises ValueError where it is no answer."""
    try:
        return decode(Answer, line.decode("ascii"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("The run answered something that is not understood; is it of another version?") from error
