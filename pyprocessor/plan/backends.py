"""Which back end is a job's next attempt to use, and from when on? Rate limits, circuit breaker, failover. Pure.

A back end takes so many requests a minute (a token bucket): an attempt begins where one token is there, and takes one
for each of its requests, which it makes one after the other; what it takes beyond those that are there is debt, paid
before the next one begins. After some failures in a row nothing is asked of it for a while, then by one attempt alone,
and again after twice the time where that fails (a circuit breaker). All times are seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from pyprocessor.errors import FailureKind
from pyprocessor.jobs.queued_job import Asking
from pyprocessor.jobs.retry import LONGEST_ASKED_SECONDS
from pyprocessor.models import Backend, BackendState
from pyprocessor.models.wording import duration

FAILURES_UNTIL_OPEN = 3
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 300.0
LONGEST_DOWN_SECONDS = 3600.0
"""What needs a back end that has not answered for so long fails, for a later run to try; else a run might never end."""
UNANSWERED = frozenset({FailureKind.UNAVAILABLE, FailureKind.STALL})
"""Failures that tell of the back end rather than of the job."""
NEW = BackendState()
_TOLERANCE = 1e-6
"""Of a token; sums of floats may miss the last bits of it."""

States = Mapping[str, BackendState]


def choose(asking: Asking, states: States, now: float) -> tuple[Backend | None, float]:
    """Return the back end for the next attempt at a job, else None, and when one may be asked.

    Among those that may be asked now one comes first that did not fail the job before, then the preferred one.
    """
    times = {backend: may_be_asked(backend, states.get(backend.name, NEW), now) for backend in asking.backends}
    free = [backend for backend in asking.backends if times[backend] <= now]
    chosen = min(free, key=lambda backend: backend.name in asking.tried, default=None)
    return chosen, min(times.values())


def may_be_asked(backend: Backend, state: BackendState, now: float) -> float:
    """Return from when on an attempt may use the back end; infinite while one tries whether it answers again."""
    if state.probing:
        return math.inf
    if backend.per_minute is None:
        return state.blocked_until
    lacking = _spent(backend, state, now) - (backend.burst - 1)
    free_at = now + lacking * 60 / backend.per_minute if lacking > _TOLERANCE else now
    return max(state.blocked_until, free_at)


def after_start(backend: Backend, state: BackendState, requests: int, now: float) -> BackendState:
    """Return its state once an attempt of so many requests was given to it."""
    return replace(_charged(backend, state, requests, now), probing=state.failures >= FAILURES_UNTIL_OPEN)


def after_nothing(backend: Backend, state: BackendState, requests: int, now: float) -> BackendState:
    """Return its state once an attempt that was given to it did not begin."""
    return replace(_charged(backend, state, -requests, now), probing=False)


def after_success(state: BackendState) -> BackendState:
    """Return its state once an attempt succeeded by it."""
    return replace(state, failures=0, probing=False)  # another attempt may have been asked for a pause


def after_failure(state: BackendState, since: float, now: float, retry_after: float | None = None) -> BackendState:
    """Return its state once it did not answer an attempt that was given to it at `since`.

    One that said when to ask again is well. Attempts that were under way when it was found to be down tell nothing new.
    """
    if retry_after is not None:
        until = now + min(retry_after, LONGEST_ASKED_SECONDS)
        return replace(after_end(state, since), blocked_until=max(state.blocked_until, until))
    if state.failures >= FAILURES_UNTIL_OPEN and since <= state.failed_at:
        return state
    failures = state.failures + 1
    until = state.blocked_until
    if failures >= FAILURES_UNTIL_OPEN:
        until = max(until, now + pause_seconds(failures))
    return replace(state, failures=failures, failed_at=now, blocked_until=until, probing=False)


def after_end(state: BackendState, since: float) -> BackendState:
    """Return its state once an attempt that was given to it at `since` ended in a way that tells nothing of it."""
    return replace(state, probing=state.probing and since <= state.failed_at)


def pause_seconds(failures: int) -> float:
    """How long nothing is asked of a back end after so many failures in a row."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - FAILURES_UNTIL_OPEN, 32), LONGEST_PAUSE_SECONDS)


def as_kept(state: BackendState, now: float) -> BackendState:
    """Return a state that was kept, in bounds also where the clock was set back since."""
    until = min(state.blocked_until, now + LONGEST_ASKED_SECONDS)
    return replace(state, spent_at=min(state.spent_at, now), failed_at=min(state.failed_at, now), blocked_until=until)


def shortage(asking: Asking, states: States, now: float) -> str:
    """Why no back end may be asked for a job now, as the end of a sentence; empty where one may."""
    times = [(may_be_asked(backend, states.get(backend.name, NEW), now), backend) for backend in asking.backends]
    at, first = min(times, key=lambda known: known[0], default=(now, None))
    if first is None or at <= now:
        return ""
    state, seconds = states.get(first.name, NEW), duration(max(1.0, math.ceil(at - now))) if at < math.inf else ""
    if state.probing:
        why = f"{first.name} did not answer, and one job tries whether it does again"
    elif state.blocked_until < at:
        why = f"{first.name} takes {first.per_minute:g} requests a minute, and the next one in {seconds}"
    elif state.failures >= FAILURES_UNTIL_OPEN:
        why = f"{first.name} did not answer {state.failures} times in a row, and is asked again in {seconds}"
    else:
        why = f"{first.name} asked for a pause, and is asked again in {seconds}"
    return why if len(times) == 1 else f"none of its {len(times)} back ends may be asked: {why}"


def _charged(backend: Backend, state: BackendState, requests: int, now: float) -> BackendState:
    if backend.per_minute is None:
        return state
    return replace(state, spent=max(0.0, _spent(backend, state, now) + requests), spent_at=now)


def _spent(backend: Backend, state: BackendState, now: float) -> float:
    """Return the requests that its burst lacks now."""
    return max(0.0, state.spent - max(0.0, now - state.spent_at) * (backend.per_minute or 0.0) / 60)
