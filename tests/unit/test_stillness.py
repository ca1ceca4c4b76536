"""A running job: stopped by the governor, by the user, or by both, and its own speed counts more the further it is."""

from __future__ import annotations

import pytest

from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import ProcessIdentity
from tests.unit.running_jobs import running_job


@pytest.fixture
def job() -> RunningJob:
    """A job whose ffmpeg was spawned at the time 100."""
    return running_job(media_seconds=10.0, started_seconds=100.0)


def test_one_reason_after_another(job: RunningJob) -> None:
    """With one reason at a time, each change is told to the ffmpeg, once."""
    assert job.set_stopped(110.0, suspended=True)
    assert not job.set_stopped(111.0, suspended=True)
    assert job.set_stopped(112.0, suspended=False)
    assert not job.set_stopped(113.0, suspended=False)
    assert job.set_stopped(120.0, frozen=True)
    assert job.set_stopped(125.0, frozen=False)
    assert not job.is_stopped
    assert job.active_seconds(130.0) == 30.0 - 2.0 - 5.0


def test_the_governor_does_not_wake_what_the_user_stopped(job: RunningJob) -> None:
    """Suspended, frozen, resumed: it stands still until the user lets it go."""
    assert job.set_stopped(110.0, suspended=True)
    assert not job.set_stopped(111.0, frozen=True)
    assert not job.set_stopped(112.0, suspended=False)
    assert job.is_stopped
    assert job.active_seconds(500.0) == 10.0
    assert job.set_stopped(600.0, frozen=False)
    assert job.active_seconds(601.0) == 11.0


def test_the_user_does_not_wake_what_the_governor_stopped(job: RunningJob) -> None:
    """Frozen, suspended, thawed: memory is as short as it was."""
    assert job.set_stopped(110.0, frozen=True)
    assert not job.set_stopped(111.0, suspended=True)
    assert not job.set_stopped(112.0, frozen=False)
    assert job.is_stopped
    assert job.set_stopped(113.0, suspended=False)
    assert job.active_seconds(114.0) == 11.0


@pytest.mark.parametrize(("warm", "sharing", "used"), [(False, 1, 3.5), (True, 1, 1.5), (True, 3, 0.5)])
def test_what_a_process_took_with_calls_before_is_not_this_calls(warm: bool, sharing: int, used: float) -> None:
    """It counts from its first reading on where the process had made others, and in equal parts where several share."""
    job = running_job()
    job.spawned(ProcessIdentity(1, 0.0), 100.0, call=True, warm=warm)
    job.measured(1, 2.0, 101.0, sharing=sharing)
    job.measured(1, 3.5, 102.0, sharing=sharing)
    assert job.used_cpu_seconds == used


@pytest.mark.parametrize(
    ("done", "used", "least", "most"), [(0.0, 3.0, 1.0, 1.0), (1.0, 0.4, 2.0, 3.0), (9.0, 3.6, 3.6, 4.0)]
)
def test_its_own_speed_is_believed_the_further_it_is(
    job: RunningJob, done: float, used: float, least: float, most: float
) -> None:
    """Predicted at 1 CPU-second for 10 seconds of film, it takes 4: half believed after a tenth, nearly at the end."""
    job.progress_seconds = done
    job.measured(1, used, 101.0)
    assert least <= job.cpu_seconds <= most
