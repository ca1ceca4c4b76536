"""The life of a job as a pure function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.jobs.states import Event, IllegalEvent, event_of, step
from pyprocessor.models import FINAL_STATES, TRANSITIONS, JobState, Outcome, OutcomeKind


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_no_sequence_of_events_leaves_the_table(events: list[Event]) -> None:
    """Whatever events come, a job only ever makes moves that the table allows."""
    state = JobState.PENDING
    for event in events:
        try:
            following = step(state, event)
        except IllegalEvent:
            continue
        assert (state, following) in TRANSITIONS
        state = following


def test_the_straight_way_leads_to_success() -> None:
    """Assigned, started, granted, published."""
    state = JobState.PENDING
    for event in (Event.ASSIGN, Event.START, Event.GRANT, Event.PUBLISH):
        state = step(state, event)
    assert state is JobState.SUCCEEDED


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_a_final_state_is_left_only_towards_pending(state: JobState) -> None:
    """A finished job is never moved elsewhere than back to the queue."""
    assert {new for old, new in TRANSITIONS if old is state} == {JobState.PENDING}


def test_a_job_cannot_be_published_without_a_grant() -> None:
    """Running goes to publishing first: the intent is journaled before the rename."""
    with pytest.raises(IllegalEvent, match="running"):
        step(JobState.RUNNING, Event.PUBLISH)


@pytest.mark.parametrize("kind", OutcomeKind)
def test_every_outcome_means_an_event(kind: OutcomeKind) -> None:
    """No way for an attempt to end is without a move, and a retry always means the queue."""
    assert event_of(Outcome(kind), will_retry=True) is Event.RETURN
    assert isinstance(event_of(Outcome(kind), will_retry=False), Event)
