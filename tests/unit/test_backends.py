"""Which back end an attempt uses: rate limits, pauses after failures, one attempt that tries, the next of the list."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.jobs.queued_job import Asking
from pyprocessor.jobs.retry import LONGEST_ASKED_SECONDS
from pyprocessor.models import Backend, BackendState
from pyprocessor.plan import backends
from pyprocessor.plan.backends import FAILURES_UNTIL_OPEN, FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, NEW

BEGAN = 1_800_000_000.0
PLAIN = Backend("plain")


def failed(times: int, now: float = BEGAN) -> BackendState:
    """A back end that has just failed so often in a row, each attempt begun after the one before."""
    state = NEW
    for number in range(times):
        began = now - times + number
        state = backends.after_failure(backends.after_start(PLAIN, state, 1, began), began, began + 0.5)
    return state


@given(
    st.floats(0.1, 600.0),
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 8)), min_size=1, max_size=60),
)
def test_no_more_is_asked_than_the_limit(per_minute: float, burst: int, tries: list[tuple[float, int]]) -> None:
    """In every stretch of time up to the beginning of an attempt: what the rate gives, and less than the burst."""
    backend, state, now = Backend("api", per_minute, burst), NEW, BEGAN
    taken: list[tuple[float, int]] = []
    for pause, requests in tries:
        now += pause
        at = backends.may_be_asked(backend, state, now)
        if at <= now:
            state = backends.after_start(backend, state, requests, now)
            taken.append((now, requests))
        else:
            assert backends.may_be_asked(backend, state, at) <= at + 1e-3, "it is ready when it was said to be"
    for first, last in combinations(range(len(taken)), 2):
        asked = sum(requests for _, requests in taken[first:last])
        assert asked <= burst - 1 + (taken[last][0] - taken[first][0]) * per_minute / 60 + 1e-3


def test_single_requests_keep_to_the_bucket() -> None:
    """As many at once as the burst, then one whenever a token is there."""
    backend, state, now = Backend("api", 60.0, 3), NEW, BEGAN
    began = []
    while len(began) < 6:
        if backends.may_be_asked(backend, state, now) <= now:
            state = backends.after_start(backend, state, 1, now)
            began.append(now - BEGAN)
        else:
            now = backends.may_be_asked(backend, state, now)
    assert began == pytest.approx([0, 0, 0, 1, 2, 3], abs=1e-3)


def test_an_attempt_of_many_requests_is_paid_before_the_next_begins() -> None:
    """It may begin, so that it does not wait for ever, and leaves a debt; what did not begin is given back."""
    backend = Backend("api", 60.0, 2)
    state = backends.after_start(backend, NEW, 10, BEGAN)
    assert backends.may_be_asked(backend, state, BEGAN) == pytest.approx(BEGAN + 9)
    assert backends.may_be_asked(backend, backends.after_nothing(backend, state, 10, BEGAN), BEGAN) == BEGAN


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "succeed", "fail", "asked", "end", "nothing"]),
        st.floats(0.0, 20.0),
        st.integers(0, 9),
    ),
    max_size=80,
)


@given(EVENTS)
def test_a_back_end_that_is_down_is_left_alone_and_then_tried_by_one_attempt(
    events: list[tuple[str, float, int]],
) -> None:
    """Whatever attempts are under way and however they end, in any order."""
    state, now = NEW, BEGAN
    under_way: list[float] = []
    asked_until = 0.0
    for event, pause, which in events:
        now += pause
        if event == "begin":
            chosen, when = backends.choose(Asking((PLAIN,)), {"plain": state}, now)
            assert (chosen is None) == (when > now)
            if chosen is not None:
                down = state.failures >= FAILURES_UNTIL_OPEN
                assert not state.probing
                assert now >= asked_until
                assert not down or now >= state.failed_at + backends.pause_seconds(state.failures)
                state = backends.after_start(PLAIN, state, 1, now)
                assert state.probing == down
                under_way.append(now)
            continue
        if not under_way:
            continue
        since = under_way.pop(which % len(under_way))
        before = state
        match event:
            case "succeed":
                state = backends.after_success(state)
                assert state.failures == 0
            case "fail":
                state = backends.after_failure(state, since, now)
                assert state.failures in (before.failures, before.failures + 1)
            case "asked":
                state = backends.after_failure(state, since, now, pause)
                assert state.failures == before.failures
                asked_until = max(asked_until, now + pause)
            case "end":
                state = backends.after_end(state, since)
            case "nothing":
                state = backends.after_nothing(PLAIN, state, 1, now)
        if not under_way:
            assert not state.probing, "else nobody would ask it again"


def test_pauses_double_up_to_the_longest() -> None:
    """From the third failure in a row on; before, it is asked at once."""
    assert backends.may_be_asked(PLAIN, failed(FAILURES_UNTIL_OPEN - 1), BEGAN) <= BEGAN
    pauses = [backends.pause_seconds(FAILURES_UNTIL_OPEN + number) for number in range(12)]
    assert pauses[0] == FIRST_PAUSE_SECONDS
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    assert all(after == min(2 * before, LONGEST_PAUSE_SECONDS) for before, after in pairwise(pauses))
    assert backends.pause_seconds(10_000) == LONGEST_PAUSE_SECONDS


def test_attempts_that_were_under_way_do_not_lengthen_the_pause() -> None:
    """Sixty that fail together, as one server goes down, are one finding."""
    state = NEW
    for number in range(60):
        state = backends.after_failure(state, BEGAN, BEGAN + 1 + number / 100)
    assert state.failures == FAILURES_UNTIL_OPEN
    trying = backends.after_start(PLAIN, state, 1, BEGAN + 60)
    assert backends.after_failure(trying, BEGAN, BEGAN + 61).probing
    assert backends.after_end(trying, BEGAN).probing
    assert backends.after_failure(trying, BEGAN + 60, BEGAN + 61).failures == FAILURES_UNTIL_OPEN + 1


def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    """For an hour at most, and another attempt that succeeds meanwhile does not end it."""
    state = backends.after_failure(NEW, BEGAN, BEGAN, 90.0)
    assert backends.may_be_asked(PLAIN, backends.after_success(state), BEGAN) == BEGAN + 90
    state = backends.after_failure(NEW, BEGAN, BEGAN, 1e9)
    assert backends.may_be_asked(PLAIN, state, BEGAN) == BEGAN + LONGEST_ASKED_SECONDS


A, B, C = Backend("a"), Backend("b"), Backend("c")
DOWN = replace(NEW, failures=5, failed_at=BEGAN, blocked_until=BEGAN + 40)


@pytest.mark.parametrize(
    ("tried", "states", "chosen"),
    [
        ((), {}, "a"),
        (("a",), {}, "b"),
        (("a", "b"), {}, "c"),
        (("a", "b", "c"), {}, "a"),
        ((), {"a": DOWN}, "b"),
        (("b",), {"a": DOWN}, "c"),
        (("b", "c"), {"a": DOWN}, "b"),
        ((), {"a": DOWN, "b": DOWN, "c": DOWN}, None),
    ],
)
def test_the_next_of_the_list_is_used(
    tried: tuple[str, ...], states: dict[str, BackendState], chosen: str | None
) -> None:
    """The first that may be asked and did not fail this job, else the first that may be asked."""
    found, when = backends.choose(Asking((A, B, C), tried=frozenset(tried)), states, BEGAN)
    assert (found.name if found else None) == chosen
    assert when == (BEGAN + 40 if chosen is None else when)


@pytest.mark.parametrize(
    ("state", "backend", "why"),
    [
        (NEW, PLAIN, ""),
        (replace(DOWN), PLAIN, "plain did not answer 5 times in a row, and is asked again in 40 s"),
        (replace(DOWN, probing=True), PLAIN, "plain did not answer, and one job tries whether it does again"),
        (replace(NEW, blocked_until=BEGAN + 90), PLAIN, "plain asked for a pause, and is asked again in 1 min 30 s"),
        (
            BackendState(1.0, BEGAN),
            Backend("plain", 5.0),
            "plain takes 5 requests a minute, and the next one in 12 s",
        ),
    ],
)
def test_why_a_job_waits(state: BackendState, backend: Backend, why: str) -> None:
    """A sentence's end that names the back end and says when; of several, that none may be asked."""
    assert backends.shortage(Asking((backend,)), {"plain": state}, BEGAN) == why
    both = Asking((backend, Backend("other")))
    other = replace(NEW, blocked_until=BEGAN + 900)
    expected = f"none of its 2 back ends may be asked: {why}" if why and not state.probing else ""
    if not state.probing:
        assert backends.shortage(both, {"plain": state, "other": other}, BEGAN) == expected


def test_a_state_that_was_kept_is_in_bounds() -> None:
    """Also where the clock was set back by years meanwhile."""
    late = BackendState(3.0, BEGAN + 1e8, 4, BEGAN + 1e8, BEGAN + 1e8)
    kept = backends.as_kept(late, BEGAN)
    assert backends.may_be_asked(Backend("a", 60.0), kept, BEGAN) <= BEGAN + LONGEST_ASKED_SECONDS
    assert (kept.failures, kept.failed_at) == (4, BEGAN)


@pytest.mark.parametrize(
    "wrong", [("text",), (Backend(""),), (A, Backend("a")), (Backend("a", 0.0),), (Backend("a", 1.0, 0),)]
)
def test_back_ends_that_make_no_sense_are_refused(wrong: tuple[object, ...]) -> None:
    """A task of others may name anything."""
    with pytest.raises((TypeError, ValueError)):
        Asking(wrong)  # type: ignore[arg-type]
