"""The moves that a job may make."""

from __future__ import annotations

import pytest

from pyprocessor.jobs.retry import STATE_AFTER
from pyprocessor.jobs.running_job import IllegalMove
from pyprocessor.models import FINAL_STATES, TRANSITIONS, JobState, OutcomeKind
from tests.unit.running_jobs import running_job


@pytest.mark.parametrize("state", JobState)
def test_only_moves_of_the_table_are_made(state: JobState) -> None:
    """Every other one raises, and names both states."""
    for target in JobState:
        job = running_job(state=state)
        if (state, target) in TRANSITIONS:
            job.move(target)
            assert job.state is target
        else:
            with pytest.raises(IllegalMove, match=f"{state.value} cannot become {target.value}"):
                job.move(target)


@pytest.mark.parametrize("state", sorted(FINAL_STATES))
def test_a_final_state_is_left_only_to_be_done_again(state: JobState) -> None:
    """A finished job is never moved elsewhere than back to the queue, or to those that wait for others."""
    assert {new for old, new in TRANSITIONS if old is state} == {JobState.PENDING, JobState.WAITING}


@pytest.mark.parametrize("kind", OutcomeKind)
def test_every_outcome_leads_to_a_state_that_a_running_job_may_enter(kind: OutcomeKind) -> None:
    """Success leads there by way of publishing."""
    came_from = JobState.PUBLISHING if kind is OutcomeKind.SUCCEEDED else JobState.RUNNING
    assert (came_from, STATE_AFTER[kind]) in TRANSITIONS
