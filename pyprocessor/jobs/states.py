"""The life of a job, as a pure function: a state and an event give the next state, or the event is refused.

    pending -> assigned -> running -> publishing -> succeeded
       ^          |           |            |
       +----------+-----------+------------+   taken back, interrupted, shed, to be tried again

`models.TRANSITIONS` is the table of allowed moves, which the journal enforces in SQL; this module says which event
makes which move.
"""

from __future__ import annotations

from enum import StrEnum

from pyprocessor.models import TRANSITIONS, JobState, Outcome, OutcomeKind


class Event(StrEnum):
    ASSIGN = "assign"
    HAND_BACK = "hand_back"
    START = "start"
    GRANT = "grant"
    PUBLISH = "publish"
    RETURN = "return"
    """Goes back to the queue: interrupted, shed, or to be tried again."""
    SKIP = "skip"
    KEEP_SOURCE = "keep_source"
    FAIL = "fail"
    QUARANTINE = "quarantine"
    CANCEL = "cancel"


_TARGET = {
    Event.ASSIGN: JobState.ASSIGNED,
    Event.HAND_BACK: JobState.PENDING,
    Event.START: JobState.RUNNING,
    Event.GRANT: JobState.PUBLISHING,
    Event.PUBLISH: JobState.SUCCEEDED,
    Event.RETURN: JobState.PENDING,
    Event.SKIP: JobState.SKIPPED,
    Event.KEEP_SOURCE: JobState.KEPT_SOURCE,
    Event.FAIL: JobState.FAILED,
    Event.QUARANTINE: JobState.QUARANTINED,
    Event.CANCEL: JobState.CANCELLED,
}

_FINAL_EVENT = {
    OutcomeKind.SUCCEEDED: Event.PUBLISH,
    OutcomeKind.SKIPPED: Event.SKIP,
    OutcomeKind.KEPT_SOURCE: Event.KEEP_SOURCE,
    OutcomeKind.FAILED: Event.FAIL,
    OutcomeKind.QUARANTINED: Event.QUARANTINE,
    OutcomeKind.CANCELLED: Event.CANCEL,
    OutcomeKind.INTERRUPTED: Event.RETURN,
    OutcomeKind.SHED: Event.RETURN,
}


class IllegalEvent(Exception):
    """An event that a job in this state cannot take: a mistake of ours, never of the user's."""


def step(state: JobState, event: Event) -> JobState:
    """The state after the event; raises `IllegalEvent` where the move is not in `models.TRANSITIONS`."""
    target = _TARGET[event]
    if (state, target) not in TRANSITIONS:
        raise IllegalEvent(f"A job that is {state.value} cannot take the event {event.value}.")
    return target


def event_of(outcome: Outcome, *, will_retry: bool) -> Event:
    """The event that an attempt's outcome means for its job."""
    return Event.RETURN if will_retry else _FINAL_EVENT[outcome.kind]
