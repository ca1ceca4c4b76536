"""Bands of priorities: what comes first, what rises while it waits, what a retry costs, when idle jobs start."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.model import CostClass, CostModel
from pyprocessor.jobs.priorities import HIGH, IDLE, RISE_SECONDS, band_of, standing
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, EstimationSettings, Profile, Reading, ScheduleSettings
from pyprocessor.plan.admission import Conditions, Surroundings, Wait, decide
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.planner import RunningBatch, next_batch, shape
from pyprocessor.plan.queue import JobQueue, ReadyQueue

CALL = CostClass("call", "call", "", "given", "", 1)
CLOCK = datetime(2026, 1, 1)  # noqa: DTZ001 - local time
PRIORITIES = st.integers(-3, 30)
PERIODS = st.integers(0, 50)


def job(name: str, priority: int = 0, *, cpu: float = 1.0, tries: int = 0, memory: int = 100) -> QueuedJob:
    """A call that waits."""
    return QueuedJob(name, cpu, memory, CALL, priority=priority, tries=tries)


def order(queue: JobQueue) -> list[str]:
    """The names in the order in which they are given."""
    names = []
    while (taken := queue.ready.take()) is not None:
        names.append(taken.job_id)
    return names


@given(PRIORITIES, PERIODS, PERIODS)
def test_waiting_never_puts_a_job_further_behind(priority: int, waited: int, more: int) -> None:
    """Nor does it bring one before a zero, or move what is zero or less."""
    before, after = (standing(band_of(priority, 0, 0), period) for period in (waited, waited + more))
    assert after <= before
    assert (after[0] >= HIGH) is (priority >= HIGH)
    assert priority >= HIGH or after == before == (priority, 0)


@given(st.integers(HIGH, 1000), st.integers(0, 5))
def test_nothing_starves(priority: int, tries: int) -> None:
    """Whatever its priority and tries, a job comes to be before all that comes later, except zeros."""
    old = standing(band_of(priority, tries, 0), 4)
    assert old < standing(band_of(HIGH, 0, 4), 4)
    assert standing(band_of(0, 3, 4), 4) < old


@given(st.integers(HIGH, 30), st.integers(0, 5), PERIODS)
def test_it_rises_one_band_at_a_time(priority: int, tries: int, period: int) -> None:
    """From one period to the next it comes to the end of the band before its own, or to the front of the first."""
    first, second = (standing(band_of(priority, tries, 0), at)[0] for at in (period, period + 1))
    bands = [sum(number >= least for least in (HIGH, 6, IDLE)) for number in (first, second)]
    assert bands[0] - bands[1] in (0, 1)
    assert bands[0] == 1 or bands[0] - bands[1] == 1


@given(st.integers(HIGH, 30), st.integers(0, 5))
def test_a_retry_counts_as_one_more(priority: int, tries: int) -> None:
    """And stands behind what has that priority and was not tried."""
    retried = standing(band_of(priority, tries + 1, 0), 0)
    assert standing(band_of(priority, tries, 0), 0) < retried
    assert standing(band_of(priority + tries + 1, 0, 0), 0) < retried < standing(band_of(priority + tries + 2, 0, 0), 0)


def test_the_order_of_a_queue_follows_the_bands() -> None:
    """Numbers within a band, then what has waited; those of zero keep the order that files have."""
    queue = JobQueue()
    queue.go_on(0.0)
    for name, priority in (("idle", 11), ("normal", 8), ("high", 3), ("zero", 0), ("first", -1)):
        queue.add(job(name, priority))
    queue.go_on(RISE_SECONDS)
    queue.add(job("fresh normal", 6))
    queue.add(job("fresh high", 4))
    queue.add(job("retried zero", 0, tries=1))
    assert len(queue.ready) == 8
    assert order(queue) == [
        *("first", "zero", "retried zero", "high", "fresh high", "normal", "fresh normal", "idle"),
    ]


def test_a_retry_begins_to_wait_anew() -> None:
    """What it waited before its first try gives it no place before others; one that is only taken back keeps it."""
    queue = JobQueue()
    queue.go_on(0.0)
    queue.add(job("tried", 8))
    queue.add(job("taken back", 8))
    taken = {name: queue.drop(name) for name in ("tried", "taken back")}
    assert taken["tried"] is not None
    assert taken["taken back"] is not None
    queue.put_back(replace(taken["tried"], tries=1), due=2 * RISE_SECONDS)
    queue.put_back(taken["taken back"])
    queue.go_on(3 * RISE_SECONDS)
    queue.add(job("fresh", 8))
    assert order(queue) == ["taken back", "fresh", "tried"]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4), st.sampled_from("xy")), max_size=40))
def test_a_queue_gives_what_stands_first(added: list[tuple[int, int, str]]) -> None:
    """Whatever came when: each job that is given stands no further behind than those that stay."""
    queue, period = JobQueue(), 0
    waiting: dict[str, QueuedJob] = {}
    for number, (priority, later, tenant) in enumerate(added):
        period += later
        queue.go_on(period * RISE_SECONDS)
        made = replace(job(f"{number}", priority), tenant=tenant)
        queue.add(made)
        waiting[made.job_id] = replace(made, queued_in=period if priority >= HIGH else 0)
    while (taken := queue.ready.take()) is not None:
        assert waiting.pop(taken.job_id) == taken
        others = [standing(other.band, period) for other in waiting.values()]
        assert standing(taken.band, period) <= min(others, default=(99, 0))
    assert not waiting


READING = Reading(0.0, 4, 8 << 30, 0, 0, 0.0, 1 << 40)


def conditions(**changes: float) -> Conditions:
    """Those of a turn at which the machine is used so."""
    reading = replace(READING, **changes)  # type: ignore[arg-type]
    return Conditions(reading, Schedule.begin(ScheduleSettings(), CLOCK), CLOCK, run_seconds=60.0)


@pytest.mark.parametrize(
    ("priority", "ours", "all_of_it", "starts"),
    [
        (11, 0.0, 40.0, True),
        (11, 0.0, 70.0, False),
        (11, 60.0, 100.0, True),
        (10, 0.0, 70.0, True),
        (0, 0.0, 99.0, True),
    ],
)
def test_idle_jobs_wait_while_others_use_the_machine(
    priority: int, ours: float, all_of_it: float, starts: bool
) -> None:
    """What our own processes take does not count, and jobs of other bands do not wait for that."""
    ready = ReadyQueue()
    on = conditions(cpu_percent=all_of_it, our_cpu_percent=ours)
    beside = Surroundings([], ready, free_slots=4, concurrency=4)
    wait = decide(job("a", priority), 1, on, beside, Profile("p", "f"), CostModel())
    assert (wait is None) is starts
    assert wait is None or "when that is free" in wait.reason


def test_idle_jobs_take_no_place_beside_what_waits() -> None:
    """Though they would fit where the next job does not: memory stays for that one."""
    ready, settings = ReadyQueue(), BatchSettings(memory_limit_bytes=1 << 30)
    ready.add(job("large", 10, memory=600 << 20))
    ready.add(job("idle", 11, memory=1 << 20))
    form = shape(READING, settings, jobs_known=3, typical=ready.typical(), more_to_come=False)
    running = next_batch(ready, form, settings, EstimationSettings(), batch_id=1)
    assert not isinstance(running, Wait)
    assert [taken.job_id for taken in running.jobs] == ["large"]
    ready.add(job("second large", 10, memory=600 << 20))
    beside = [RunningBatch(1, 600 << 20)]
    assert isinstance(next_batch(ready, form, settings, EstimationSettings(), batch_id=2, running=beside), Wait)
    ready.take(among=["second large"])
    alone = next_batch(ready, form, settings, EstimationSettings(), batch_id=2, running=beside)
    assert not isinstance(alone, Wait)
    assert [taken.job_id for taken in alone.jobs] == ["idle"]


def test_a_ceiling_lowers_how_many_run_and_raises_nothing() -> None:
    """Unlike a number of batches that is asked for by name."""
    ready = ReadyQueue()
    for number in range(20):
        ready.add(job(f"{number}", cpu=10.0))

    def concurrency(most: int) -> int:
        settings = BatchSettings(most_jobs=most)
        return shape(READING, settings, jobs_known=20, typical=ready.typical(), more_to_come=False).concurrency

    assert [concurrency(most) for most in (1, 3, 8)] == [1, 3, 4]
