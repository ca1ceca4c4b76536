"""Admission: a job starts where it fits what the running ones really take; each reason to wait has its sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.model import CostClass, CostModel, class_of
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import (
    BatchSettings,
    Cost,
    CostFeatures,
    Profile,
    Reading,
    RunState,
    ScheduleSettings,
    ThrottlingSettings,
)
from pyprocessor.plan.admission import OVERHEAD_BYTES, Allowance, Conditions, Surroundings, Wait, decide
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.queue import ReadyQueue
from pyprocessor.profiles import load
from tests.unit.running_jobs import running_job

MIB = 1 << 20
FEATURES = CostFeatures("transcode", "libx264", "medium", 1920 * 1080, 1920 * 1080, "yuv420p", 250, 10, 10**6)
LARGE = class_of(FEATURES, 1)
OTHER = CostClass("transcode", "libx265", "medium", "1080p", "yuv420p", 1)
UNMEASURED = CostModel()
MEASURED = UNMEASURED.observe(FEATURES, 1, Cost(10.0, 400 * MIB, 10**6))
NOW = 100.0
Needs = tuple[tuple[str, int], ...]
CLOCK = datetime(2026, 1, 1, 23, 0)  # noqa: DTZ001 - local time
DEFAULT = load("default", environment={}).profile


def job(mib: int, kind: CostClass = LARGE, **more: Any) -> QueuedJob:
    """A job that is predicted to take this much."""
    return QueuedJob("id", 10.0, mib * MIB, kind, **more)


def running(predicted: int, resident: int, age: float = 5.0, kind: CostClass = LARGE) -> RunningJob:
    """A job that runs, in MiB and seconds."""
    return running_job(
        kind=kind, predicted_bytes=predicted * MIB, memory_bytes=resident * MIB, started_seconds=NOW - age
    )


def profile(budget: int, **throttling: Any) -> Profile:
    """A profile whose limit leaves this many MiB for jobs."""
    batch = BatchSettings(max_memory_percent=100.0, memory_limit_bytes=budget * MIB + OVERHEAD_BYTES)
    return replace(DEFAULT, batch=batch, throttling=ThrottlingSettings(**throttling))


def conditions(**more: Any) -> Conditions:
    """An idle machine with much memory and disk, within a run that may work."""
    reading = Reading(NOW, 4, 1 << 40, 0, 0, 0.0, 1 << 40)
    schedule = Schedule.begin(more.pop("hours", ScheduleSettings()), CLOCK)
    return Conditions(more.pop("reading", reading), schedule, CLOCK, now=NOW, run_seconds=60.0, **more)


def beside(*jobs: RunningJob, ready: tuple[QueuedJob, ...] = (), **more: Any) -> Surroundings:
    """What a job that a batch process has would start beside, unless told otherwise."""
    queue = ReadyQueue()
    for waiting in ready:
        queue.add(waiting)
    given = {"free_slots": 1, "concurrency": 8, "assigned": True, **more}
    return Surroundings(jobs, queue, **given)


def asked(
    queued: QueuedJob,
    *jobs: RunningJob,
    budget: int = 1000,
    model: CostModel = MEASURED,
    concurrency: int = 8,
    started: int = 0,
) -> Wait | None:
    """The decision, with the budget in MiB."""
    around = beside(*jobs, concurrency=concurrency, started=started)
    return decide(queued, 1, conditions(), around, profile(budget), model)


REASONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "the window in which the run may work is not open": ({}, {"state": RunState.WAITING}, {}),
    "the run is paused": ({}, {"state": RunState.PAUSED}, {}),
    "the run is stopping": ({}, {"state": RunState.DRAINING}, {}),
    "the input cannot be reached": ({}, {"input_away": True}, {}),
    "memory in use is 9 of 8": ({}, {"allowance": Allowance(hold="memory in use is 9 of 8")}, {}),
    "a file is running that is to have nothing beside it": ({}, {}, {"assigned": False, "runs_alone": True}),
    "it is to run with nothing beside it, after the other files": (
        {"alone": True},
        {},
        {"assigned": False, "ready": (job(1),)},
    ),
    "other files are still being inspected, and the longest is to start first": (
        {},
        {"more_to_come": True, "pending": 1},
        {"assigned": False, "begun": False, "ready": (job(1),)},
    ),
    "it is not predicted to be done before the run's time is up": (
        {"prior_cpu_seconds": 1e6},
        {"hours": ScheduleSettings(until=time(23, 30))},
        {"assigned": False},
    ),
    "as many files run as may at once (8)": ({}, {}, {"free_slots": 0}),
    "it is predicted to take 100 MiB, and other programs leave 50 MiB of memory": (
        {},
        {"allowance": Allowance(wall_room_bytes=50.0 * MIB)},
        {"running": ()},
    ),
    "memory was over its limit, and for now a file is started only where none runs": (
        {},
        {"allowance": Allowance(one_only=True)},
        {},
    ),
    "it is predicted to take 100 MiB, and running files leave 60 MiB of memory": (
        {},
        {"allowance": Allowance(room_bytes=100.0 * MIB)},
        {"claimed_bytes": 40 * MIB},
    ),
    "its output and those of running files would leave less than 1,000 MiB of the disk": (
        {"disk_bytes": 1 << 40},
        {},
        {},
    ),
}


GPU, THREE = (("gpu", 1),), (("api", 3),)


@pytest.mark.parametrize(
    ("needs", "in_use", "reason"),
    [
        (GPU, (GPU,), "every gpu (1) is in use"),
        (THREE, (THREE, (("api", 2),)), "every api (5) is in use"),
        (THREE, ((("api", 3),),), "it needs 3 of 5 api, and 3 of them are in use"),
        ((*GPU, ("api", 2)), (THREE,), None),
        (GPU, (THREE,), None),
        ((("gpu", 2),), (), None),  # more than there are: it waits for nobody's end
        ((("gpu", 2),), (GPU,), "every gpu (1) is in use"),
        ((), (GPU, THREE), None),
    ],
)
def test_a_job_waits_for_resources_that_running_ones_hold(needs: Needs, in_use: tuple[Needs, ...], reason: str) -> None:
    """Of one that no profile counts there is one."""
    limits = replace(DEFAULT, batch=replace(DEFAULT.batch, resources=(("api", 5),)))
    others = [running(1, 1) for _ in in_use]
    for other, holds in zip(others, in_use, strict=True):
        other.queued = replace(other.queued, resources=holds)
    wait = decide(job(1, resources=needs), 1, conditions(), beside(*others), limits, MEASURED)
    assert (wait.reason if wait is not None else None) == reason


def test_memory_is_kept_for_a_job_that_comes_first() -> None:
    """What one in the other queue needs counts as taken, unless nothing runs at all."""
    for others, kept, starts in (
        ((running(400, 400),), 300, True),
        ((running(400, 400),), 301, False),
        ((), 900, True),
    ):
        around = beside(*others, kept_bytes=kept * MIB)
        wait = decide(job(300), 1, conditions(), around, profile(1000), MEASURED)
        assert (wait is None) is starts
        assert wait is None or wait == Wait("the memory that is left is kept for a job that comes first")


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_to_wait(reason: str) -> None:
    """One thing stands in the way, and its sentence says which; without that the job starts."""
    of_job, of_run, around = REASONS[reason]
    limits = profile(1000, disk_reserve_bytes=1000 * MIB)
    others = around.get("running", (running(100, 100),))
    around = {key: value for key, value in around.items() if key != "running"}
    wait = decide(replace(job(100), **of_job), 1, conditions(**of_run), beside(*others, **around), limits, MEASURED)
    assert wait is not None
    assert wait.reason == reason
    assert wait.warn is ("other programs" in reason)
    assert decide(job(100), 1, conditions(), beside(running(100, 100)), limits, MEASURED) is None


def test_room_on_the_disk_is_kept_for_parts_that_are_to_be_joined() -> None:
    """Other files do not take what a divided one is going to need."""
    limits, room = profile(1000, disk_reserve_bytes=1000 * MIB), Reading(NOW, 4, 1 << 40, 0, 0, 0.0, 1600 * MIB)
    asked_for = job(100, disk_bytes=400 * MIB), 1, conditions(reading=room)
    assert decide(*asked_for, beside(running(100, 100)), limits, MEASURED) is None
    kept = beside(running(100, 100), kept_disk_bytes=300 * MIB)
    assert decide(*asked_for, kept, limits, MEASURED) is not None


def test_a_retry_waits_until_it_is_due() -> None:
    """Its reason says how long that is."""
    around = beside()
    assert decide(job(1), 1, conditions(), around, DEFAULT, MEASURED, due=NOW) is None
    wait = decide(job(1), 1, conditions(), around, DEFAULT, MEASURED, due=NOW + 12)
    assert wait == Wait("it failed, and is tried again in 12 s")


def test_a_measured_class_starts_where_predictions_fit() -> None:
    """Up to the budget and not beyond, whatever was started since the last reading."""
    assert asked(job(400), running(400, 0), started=5) is None
    assert asked(job(400), running(400, 0), running(400, 0)) == Wait(
        "it is assumed to take 400 MiB, and of 1,000 MiB the files that run take 800 MiB"
    )


def test_what_is_resident_counts_where_it_is_more() -> None:
    """A running file that outgrew its prediction leaves less room for another class."""
    assert asked(job(100, OTHER), running(100, 800), concurrency=1) is None
    assert asked(job(300, OTHER), running(100, 800), concurrency=1) is not None


def test_one_that_outgrew_warns_of_all_its_class() -> None:
    """Four times the prediction in one running file is expected of the next and of those still growing."""
    assert asked(job(100), running(100, 100)) is None
    assert asked(job(100), running(100, 400)) is None
    assert asked(job(100), running(100, 400), running(100, 10, 0.1)) is not None


@pytest.mark.parametrize(
    ("ages", "started", "reason"),
    [
        ([], 0, None),
        ([0.2], 0, "yet to show their size"),
        ([2.0], 0, None),
        ([2.0], 1, "one after each reading"),
        ([2.0, 0.2], 0, "yet to show their size"),
        ([2.0, 2.0, 0.2], 0, None),
        ([2.0, 2.0, 0.2, 0.2], 0, "yet to show their size"),
    ],
)
def test_a_class_never_measured_starts_one_by_one(ages: list[float], started: int, reason: str | None) -> None:
    """One after each reading, and the next only when those that run have shown their size; then twice as many."""
    wait = asked(job(100), *(running(100, 50, age) for age in ages), budget=3000, model=UNMEASURED, started=started)
    assert (wait is None) if reason is None else (wait is not None and reason in wait.reason)


def test_a_class_never_measured_starts_at_once_where_four_times_as_much_fits() -> None:
    """Small files on a large machine are not held up."""
    young = (running(100, 20, 0.2),) * 3
    assert asked(job(100), *young, budget=3200, model=UNMEASURED, started=3) is None
    assert asked(job(100), *young, budget=3100, model=UNMEASURED, started=3) is not None


def test_more_threads_need_more_memory_unless_the_job_is_narrow() -> None:
    """A narrow job gets one thread, however many its batch has."""
    assert job(400).memory_with(1) == 400 * MIB
    assert job(400).memory_with(4) > 450 * MIB
    assert job(400, narrow=True).memory_with(8) == 400 * MIB


@given(
    st.integers(1, 10_000),
    st.lists(st.builds(running, st.integers(1, 3000), st.integers(0, 5000), st.floats(0, 100)), max_size=12),
    st.integers(0, 20_000),
    st.sampled_from([MEASURED, UNMEASURED]),
    st.integers(0, 5),
)
def test_never_beyond_the_budget_and_never_stuck(
    mib: int, jobs: list[RunningJob], budget: int, model: CostModel, started: int
) -> None:
    """With nothing running any job starts; beside others only within the budget; every wait has its reason."""
    wait = asked(job(mib), *jobs, budget=budget, model=model, started=started)
    if not jobs:
        assert wait is None
    elif wait is None:
        taken = sum(max(one.memory_bytes, one.predicted_bytes) for one in jobs)
        assert taken + mib * MIB <= budget * MIB
    assert wait is None or wait.reason
