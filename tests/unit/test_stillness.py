"""A file that runs: it stands still for the governor, for the user, or for both, and its own speed is believed."""

from __future__ import annotations

import pytest

from pyprocessor.costs import CostClass
from pyprocessor.engine.pool import Active
from pyprocessor.plan.ready import Entry


@pytest.fixture
def job() -> Active:
    """A job whose ffmpeg was spawned at the time 100."""
    entry = Entry("a", 1.0, 1.0, CostClass("transcode", "libx264", "medium", "hd", "yuv420p", 1))
    made = Active(entry, "a.mp4", threads=1, media_seconds=10.0, crashes=0, retries=0, sheds=0)
    made.started_seconds = 100.0
    return made


def test_one_reason_after_another(job: Active) -> None:
    """With one reason at a time, each change is told to the ffmpeg, once."""
    assert job.suspend(110.0)
    assert not job.suspend(111.0)
    assert job.resume(112.0)
    assert not job.resume(113.0)
    assert job.freeze(120.0)
    assert job.thaw(125.0)
    assert not job.is_still
    assert job.active_seconds(130.0) == 30.0 - 2.0 - 5.0


def test_the_governor_does_not_wake_what_the_user_stopped(job: Active) -> None:
    """Suspended, frozen, resumed: it stands still until the user lets it go."""
    assert job.suspend(110.0)
    assert not job.freeze(111.0)
    assert not job.resume(112.0)
    assert job.is_still
    assert job.active_seconds(500.0) == 10.0
    assert job.thaw(600.0)
    assert job.active_seconds(601.0) == 11.0


def test_the_user_does_not_wake_what_the_governor_stopped(job: Active) -> None:
    """Frozen, suspended, thawed: memory is as short as it was."""
    assert job.freeze(110.0)
    assert not job.suspend(111.0)
    assert not job.thaw(112.0)
    assert job.is_still
    assert job.resume(113.0)
    assert job.active_seconds(114.0) == 11.0


@pytest.mark.parametrize(
    ("done", "used", "least", "most"), [(0.0, 3.0, 1.0, 1.0), (1.0, 0.4, 2.0, 3.0), (9.0, 3.6, 3.6, 4.0)]
)
def test_its_own_speed_is_believed_the_further_it_is(
    job: Active, done: float, used: float, least: float, most: float
) -> None:
    """Predicted at 1 CPU-second for 10 seconds of film, it takes 4: half believed after a tenth, nearly at the end."""
    job.progress_seconds = done
    job.weighed(1, used, 101.0)
    assert least <= job.cpu_seconds <= most
