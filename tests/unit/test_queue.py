"""The order of work: priority, tenant, longest first; nothing lost, nothing given twice."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.model import CostClass, CostModel
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import Cost, CostFeatures, EstimationSettings
from pyprocessor.plan.queue import JobQueue, ReadyQueue

SMALL = CostClass("transcode", "libx264", "medium", "360p", "yuv420p", 1)
LARGE = CostClass("transcode", "libx264", "medium", "2160p", "yuv420p", 1)


def job(
    job_id: str, cpu: float = 1.0, memory: int = 100, *, priority: int = 0, tenant: str = "", kind: CostClass = SMALL
) -> QueuedJob:
    """An entry with what matters to the test."""
    return QueuedJob(job_id, cpu, memory, kind, priority=priority, tenant=tenant)


def drain(ready: ReadyQueue) -> list[str]:
    """Ids in the order they are given."""
    order = []
    while (entry := ready.take()) is not None:
        order.append(entry.job_id)
    return order


def filled(*entries: QueuedJob) -> ReadyQueue:
    """A queue of these."""
    ready = ReadyQueue()
    for entry in entries:
        ready.add(entry)
    return ready


def test_longest_first_then_id() -> None:
    """Without priorities and tenants the longest goes first; equals go by id."""
    assert drain(filled(job("b", 1), job("a", 1), job("c", 9), job("d", 5, kind=LARGE))) == ["c", "d", "a", "b"]


def test_priority_comes_before_length() -> None:
    """A short urgent job goes before a long ordinary one."""
    assert drain(filled(job("long", 100), job("urgent", 1, priority=-5), job("idle", 500, priority=1))) == [
        "urgent",
        "long",
        "idle",
    ]


def test_tenants_share_by_work_done() -> None:
    """The tenant that was given least is next, whatever the number of its jobs."""
    ready = filled(*(job(f"a{i}", 10, tenant="a") for i in range(3)), *(job(f"b{i}", 5, tenant="b") for i in range(4)))
    assert drain(ready) == ["a0", "b0", "b1", "a1", "b2", "b3", "a2"]


def test_an_idle_tenant_is_not_owed_its_absence() -> None:
    """A tenant that comes late starts level and does not shut the others out."""
    ready = filled(*(job(f"a{i}", 10, tenant="a") for i in range(6)))
    for _ in range(4):
        ready.take()
    for i in range(3):
        ready.add(job(f"b{i}", 10, tenant="b"))
    assert drain(ready) == ["a4", "b0", "a5", "b1", "b2"]


def test_a_job_that_does_not_fit_is_passed() -> None:
    """The first that fits is taken, the one that did not stays first in order."""
    ready = filled(job("huge", 100, 5000, kind=LARGE), job("mid", 50, 900), job("small", 10, 100))
    taken = ready.take(lambda e: e.memory_bytes <= 1000)
    assert taken is not None
    assert taken.job_id == "mid"
    head = ready.first()
    assert head is not None
    assert head.job_id == "huge"
    assert ready.take(lambda e: e.memory_bytes <= 50) is None


def test_put_back() -> None:
    """A job that is put back is given again, and its tenant is not charged for it."""
    ready = filled(job("a", 3, tenant="t"), job("c", 1, tenant="u"))
    taken = ready.take()
    assert taken is not None
    assert taken.job_id == "a"
    ready.put_back(taken)
    assert drain(ready) == ["a", "c"]
    assert not ready


def test_adding_again_replaces() -> None:
    """A job whose prediction was raised takes its new place, once."""
    ready = filled(job("a", 1), job("b", 2))
    ready.add(job("a", 5, 700))
    assert len(ready) == 2
    assert ready.cpu_seconds == 7
    assert drain(ready) == ["a", "b"]


def test_typical_is_the_mean() -> None:
    """The planner's view of the jobs that wait."""
    ready = filled(job("a", 1, 100), job("b", 3, 300))
    assert (ready.typical().cpu_seconds, ready.typical().memory_bytes) == (2.0, 200)
    assert ReadyQueue().typical().memory_bytes == 0


def test_entries_are_light() -> None:
    """A waiting job costs a few hundred bytes, so that 100,000 of them are no burden."""
    entry = job("0" * 32, 1.5, 1 << 28)
    assert sys.getsizeof(entry) + sys.getsizeof(entry.job_id) + sys.getsizeof(entry.cpu_seconds) < 400


FEATURES = CostFeatures("transcode", "libx264", "medium", 640 * 360, 640 * 360, "yuv420p", 250, 10, 10**6)
ESTIMATION = EstimationSettings()


def learned(factor: float, times: int = 30) -> CostModel:
    """A model that saw jobs of the small class take this many times their prior."""
    model = CostModel()
    prior = model.predict(FEATURES, 1)
    measured = Cost(prior.cpu_seconds * factor, round(prior.memory_bytes * factor), prior.disk_bytes)
    for _ in range(times):
        model = model.observe(FEATURES, 1, measured)
    return model


def test_what_is_learned_reprices_what_waits() -> None:
    """CPU and memory of a waiting class follow the model, and with them its place among other classes."""
    other = CostClass("transcode", "libx265", "medium", "360p", "yuv420p", 1)
    ready = filled(job("a", 10, 100 << 20), job("b", 12, 100 << 20), job("c", 12.2, kind=other))
    before, head = ready.cpu_seconds, ready.first()
    assert head is not None
    assert head.job_id == "c"
    assert ready.reprice(learned(3.0), ESTIMATION)
    first = ready.take()
    assert first is not None
    assert first.job_id == "b"
    assert 30 < first.cpu_seconds < 36
    assert 280 << 20 < first.memory_bytes < 345 << 20
    assert ready.cpu_seconds > before
    assert not ready.reprice(learned(3.0), ESTIMATION)


def test_an_entry_given_back_takes_on_todays_factors() -> None:
    """A job that was taken with old factors and not run waits with the new ones; its tenant's account is even."""
    ready = filled(job("a", 10, tenant="t"), job("b", 1, tenant="u"))
    taken = ready.take()
    assert taken is not None
    ready.reprice(learned(4.0), ESTIMATION)
    ready.put_back(taken)
    again = ready.take()
    assert again is not None
    assert again.job_id == taken.job_id
    assert again.cpu_seconds > 3 * taken.cpu_seconds


def test_take_gives_the_first_named_that_is_here_and_fits() -> None:
    """In the order of the names, whatever stands before them in the queue; tenants are charged as by `take`."""
    ready = filled(job("a", 9, 500), job("b", 8, 100), job("c", 7, 100))
    got = ready.take(lambda e: e.memory_bytes <= 200, ["gone", "a", "c", "b"])
    assert got is not None
    assert got.job_id == "c"
    assert ready.take(among=["c"]) is None
    assert drain(ready) == ["a", "b"]


def test_what_an_attempt_took_stays_whatever_is_learned() -> None:
    """A raised need is a floor: it is not multiplied by what is learned later, and not undercut either."""
    raised = job("a", 10, 100 << 20).after_memory_ran_out(250 << 20)
    for factor in (0.3, 2.0):
        ready = filled(raised)
        ready.reprice(learned(factor), ESTIMATION)
        found = ready.first()
        assert found is not None
        assert found.memory_bytes == 250 << 20


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.integers(1, 4000)), max_size=30), st.floats(0.2, 5.0), st.floats(0, 90)
)
def test_repriced_or_priced_anew_is_the_same(jobs: list[tuple[float, int]], factor: float, than: float) -> None:
    """Repricing what waits gives what adding it with the new factors would: order, sums, and which are longer."""
    model = learned(factor)
    factors = model.factors(SMALL, ESTIMATION.memory_safety_factor)
    old, new = ReadyQueue(), ReadyQueue()
    for number, (cpu, mib) in enumerate(jobs):
        entry = job(f"{number:03}", cpu, mib << 20)
        old.add(entry)
        new.add(replace(entry, factors=factors))
    old.reprice(model, ESTIMATION)
    longer = sorted(e.job_id for e in old.longer_than(than))
    if factors.cpu > 1.02 or factors.cpu < 0.98:
        assert abs(old.cpu_seconds - new.cpu_seconds) < 1e-6
        assert longer == sorted(e.job_id for e in new.longer_than(than))
        assert longer == sorted(f"{n:03}" for n, (cpu, _) in enumerate(jobs) if cpu * factors.cpu > than)
        assert drain(old) == drain(new)


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.integers(0, 12),
            st.integers(1, 5),
            st.integers(1, 4000),
            st.integers(0, 1),
            st.sampled_from("xy"),
        ),
        st.tuples(st.just("take"), st.integers(1, 4000)),
        st.tuples(st.just("back")),
    ),
    max_size=60,
)


@given(STEPS)
def test_nothing_is_lost_or_given_twice(steps: list[tuple[object, ...]]) -> None:
    """Against a plain dictionary: the same jobs are there, sums agree, and what is taken is the first that fits."""
    ready, model, taken = ReadyQueue(), dict[str, QueuedJob](), list[QueuedJob]()
    for step in steps:
        match step:
            case ("add", int(number), int(cpu), int(memory), int(priority), str(tenant)):
                entry = job(str(number), cpu, memory, priority=priority, tenant=tenant)
                ready.add(entry)
                model[entry.job_id] = entry
            case ("take", int(limit)):
                got = ready.take(lambda e, limit=limit: e.memory_bytes <= limit)
                if got is not None:
                    assert got.memory_bytes <= limit
                    assert model.pop(got.job_id) == got
                    peers = [e for e in model.values() if (e.priority, e.tenant) == (got.priority, got.tenant)]
                    better = [e for e in peers if (-e.cpu_seconds, e.job_id) < (-got.cpu_seconds, got.job_id)]
                    # Within a quarter of an octave of memory one that fits may stand behind one that does not.
                    assert all(e.memory_bytes > limit * 0.79 for e in better)
                    taken.append(got)
            case _:
                if taken and taken[-1].job_id not in model:
                    entry = taken.pop()
                    ready.put_back(entry)
                    model[entry.job_id] = entry
        assert len(ready) == len(model)
        assert abs(ready.cpu_seconds - sum(e.cpu_seconds for e in model.values())) < 1e-6
    assert sorted(drain(ready)) == sorted(model)


def test_what_was_tried_stands_behind_what_was_not() -> None:
    """However long it takes; but a higher priority comes first all the same."""
    ready = ReadyQueue()
    ready.add(replace(job("tried twice", 1000.0), tries=2))
    ready.add(replace(job("tried once", 100.0), tries=1))
    ready.add(job("fresh", 1.0))
    ready.add(replace(job("urgent", 1.0, priority=-1), tries=3))
    taken = [entry.job_id for _ in range(4) if (entry := ready.take()) is not None]
    assert taken == ["urgent", "fresh", "tried once", "tried twice"]
    assert len(ready) == 0


def test_all_that_waits_has_one_head() -> None:
    """Ready jobs first, then those to run alone, then retries by when they are due, then what is left."""
    jobs = JobQueue()
    assert jobs.head() is None
    jobs.leave(job("late"))
    jobs.put_back(job("retry"), due=100.0)
    jobs.put_back(job("sooner"), due=50.0)
    jobs.add(replace(job("alone"), alone=True))
    jobs.add(job("ready"))
    assert len(jobs) == 5
    heads = []
    for take in (jobs.ready.take, jobs.take_alone, lambda: jobs.go_on(50.0), jobs.ready.take):
        head = jobs.head()
        assert head is not None
        heads.append((head[0].job_id, head[1]))
        take()
    assert heads == [("ready", -math.inf), ("alone", -math.inf), ("sooner", 50.0), ("sooner", -math.inf)]
    assert jobs.next_due == 100.0
    jobs.reconsider()
    assert jobs.late == 0
    assert drain(jobs.ready) == ["late"]


def test_a_job_can_be_dropped_wherever_it_waits() -> None:
    """Also one that mostly waits, which stands in a queue of its own."""
    jobs = JobQueue()
    jobs.add(job("ready"))
    jobs.add(replace(job("download", 0.1), wait_seconds=5.0))
    jobs.add(replace(job("alone"), alone=True))
    jobs.put_back(job("retry"), due=50.0)
    assert (len(jobs.ready), len(jobs.waiting), len(jobs)) == (1, 1, 4)
    for name in ("download", "retry", "alone", "ready"):
        dropped = jobs.drop(name)
        assert dropped is not None
        assert dropped.job_id == name
        assert jobs.drop(name) is None
    assert len(jobs) == 0
