"""Admission: a job starts where it fits what the running ones really take, and slowly where nothing was measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs import CostClass, CostModel, class_of
from pyprocessor.models import Cost, CostFeatures
from pyprocessor.plan.admission import RunningJob, Verdict, may_start, memory_need
from pyprocessor.plan.ready import Entry

MIB = 1 << 20
FEATURES = CostFeatures("transcode", "libx264", "medium", 1920 * 1080, 1920 * 1080, "yuv420p", 250, 10, 10**6)
LARGE = class_of(FEATURES, 1)
OTHER = CostClass("transcode", "libx265", "medium", "1080p", "yuv420p", 1)
UNMEASURED = CostModel()
MEASURED = UNMEASURED.observe(FEATURES, 1, Cost(10.0, 400 * MIB, 10**6))


def job(mib: int, kind: CostClass = LARGE) -> Entry:
    """A job that is predicted to take this much."""
    return Entry("id", 10.0, mib * MIB, kind)


def running(predicted: int, resident: int, age: float = 5.0, kind: CostClass = LARGE) -> RunningJob:
    """A job that runs, in MiB and seconds."""
    return RunningJob(kind, 1, predicted * MIB, resident * MIB, age)


def asked(
    entry: Entry,
    *beside: RunningJob,
    budget: int = 1000,
    model: CostModel = MEASURED,
    concurrency: int = 8,
    admitted: int = 0,
) -> Verdict:
    """The verdict, with the budget in MiB."""
    return may_start(entry, 1, beside, budget * MIB, model, concurrency=concurrency, admitted_this_reading=admitted)


def test_a_measured_class_starts_where_predictions_fit() -> None:
    """Up to the budget and not beyond, whatever was started since the last reading."""
    assert asked(job(400), running(400, 0), admitted=5).start
    refused = asked(job(400), running(400, 0), running(400, 0))
    assert not refused.start
    assert "400 MiB" in refused.reason


def test_what_is_resident_counts_where_it_is_more() -> None:
    """A running file that outgrew its prediction leaves less room for another class."""
    fits = may_start(
        job(100, OTHER), 1, [running(100, 800)], 1000 * MIB, MEASURED, concurrency=1, admitted_this_reading=0
    )
    assert fits.start
    assert not may_start(
        job(300, OTHER), 1, [running(100, 800)], 1000 * MIB, MEASURED, concurrency=1, admitted_this_reading=0
    ).start


def test_one_that_outgrew_warns_of_all_its_class() -> None:
    """Four times the prediction in one running file is expected of the next and of those still growing."""
    assert asked(job(100), running(100, 100)).start
    assert asked(job(100), running(100, 400)).start
    assert not asked(job(100), running(100, 400), running(100, 10, 0.1)).start


def test_a_class_never_measured_starts_one_by_one() -> None:
    """One after each reading, and the next only when those that run have shown their size; then twice as many."""
    assert may_start(job(100), 1, [], 3000 * MIB, UNMEASURED, concurrency=8, admitted_this_reading=0).start
    shown, young = running(100, 90, 2.0), running(100, 20, 0.2)
    for beside, admitted, start in (
        ((young,), 0, False),
        ((shown,), 0, True),
        ((shown,), 1, False),
        ((shown, young), 0, False),
        ((shown, shown, young), 0, True),
        ((shown, shown, young, young), 0, False),
    ):
        verdict = may_start(job(100), 1, beside, 3000 * MIB, UNMEASURED, concurrency=8, admitted_this_reading=admitted)
        assert verdict.start is start, (beside, admitted)


def test_a_class_never_measured_starts_at_once_where_four_times_as_much_fits() -> None:
    """Small files on a large machine are not held up."""
    young = (running(100, 20, 0.2),) * 3
    assert asked(job(100), *young, budget=3200, model=UNMEASURED, admitted=3).start
    assert not asked(job(100), *young, budget=3100, model=UNMEASURED, admitted=3).start


def test_more_threads_need_more() -> None:
    """What is asked is the need at the threads the job will have."""
    assert memory_need(job(400), 1) == 400 * MIB
    assert memory_need(job(400), 4) > 450 * MIB


@given(
    st.integers(1, 10_000),
    st.lists(st.builds(running, st.integers(1, 3000), st.integers(0, 5000), st.floats(0, 100)), max_size=12),
    st.integers(0, 20_000),
    st.sampled_from([MEASURED, UNMEASURED]),
    st.integers(0, 5),
)
def test_never_beyond_the_budget_and_never_stuck(
    mib: int, beside: list[RunningJob], budget: int, model: CostModel, admitted: int
) -> None:
    """With nothing running any job starts; beside others only within the budget; a refusal has its reason."""
    verdict = asked(job(mib), *beside, budget=budget, model=model, admitted=admitted)
    if not beside:
        assert verdict.start
    elif verdict.start:
        taken = sum(max(one.memory_bytes, one.predicted_bytes) for one in beside)
        assert taken + mib * MIB <= budget * MIB
    assert bool(verdict.reason) is not verdict.start


def test_what_gets_one_thread_needs_the_memory_of_one() -> None:
    """However many threads its batch has."""
    wide = Entry("id", 10.0, 400 * MIB, LARGE)
    narrow = Entry("id", 10.0, 400 * MIB, LARGE, narrow=True)
    assert memory_need(wide, 8) > memory_need(wide, 1)
    assert memory_need(narrow, 8) == memory_need(wide, 1)
