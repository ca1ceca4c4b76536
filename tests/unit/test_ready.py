"""The order of work: priority, tenant, longest first; nothing lost, nothing given twice."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs import CostClass
from pyprocessor.plan.ready import Entry, Ready

SMALL = CostClass("transcode", "libx264", "medium", "360p", "yuv420p", 1)
LARGE = CostClass("transcode", "libx264", "medium", "2160p", "yuv420p", 1)


def job(
    job_id: str, cpu: float = 1.0, memory: int = 100, *, priority: int = 0, tenant: str = "", kind: CostClass = SMALL
) -> Entry:
    """An entry with what matters to the test."""
    return Entry(job_id, cpu, memory, kind, priority=priority, tenant=tenant)


def drain(ready: Ready) -> list[str]:
    """Ids in the order they are given."""
    order = []
    while (entry := ready.take()) is not None:
        order.append(entry.job_id)
    return order


def filled(*entries: Entry) -> Ready:
    """A queue of these."""
    ready = Ready()
    for entry in entries:
        ready.add(entry)
    return ready


def test_longest_first_then_id() -> None:
    """Without priorities and tenants the longest goes first; equals go by id."""
    assert drain(filled(job("b", 1), job("a", 1), job("c", 9), job("d", 5, kind=LARGE))) == ["c", "d", "a", "b"]


def test_priority_comes_before_length() -> None:
    """A short urgent job goes before a long ordinary one."""
    assert drain(filled(job("long", 100), job("urgent", 1, priority=5), job("idle", 500, priority=-1))) == [
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


def test_dependencies_hold_a_job_back() -> None:
    """A job is given only after all it waits for are done."""
    ready = filled(job("a"))
    ready.add(job("join", 100), waits_for=["x", "y"])
    assert len(ready) == 1
    assert ready.waiting == 1
    assert "join" in ready
    ready.satisfied("x")
    assert drain(ready) == ["a"]
    ready.satisfied("y")
    assert drain(ready) == ["join"]
    ready.satisfied("y")
    assert ready.waiting == 0


def test_discard_and_put_back() -> None:
    """A dropped job is not given; one put back is given again, and its tenant is not charged for it."""
    ready = filled(job("a", 3, tenant="t"), job("b", 2, tenant="t"), job("c", 1, tenant="u"))
    dropped = ready.discard("b")
    assert dropped is not None
    assert ready.discard("b") is None
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
    """What the planner is told of the jobs that wait."""
    ready = filled(job("a", 1, 100), job("b", 3, 300))
    assert (ready.typical().cpu_seconds, ready.typical().memory_bytes) == (2.0, 200)
    assert Ready().typical().memory_bytes == 0


def test_entries_are_light() -> None:
    """A waiting job costs a few hundred bytes, so that 100,000 of them are no burden."""
    entry = job("0" * 32, 1.5, 1 << 28)
    assert sys.getsizeof(entry) + sys.getsizeof(entry.job_id) + sys.getsizeof(entry.cpu_seconds) < 400


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
        st.tuples(st.just("discard"), st.integers(0, 12)),
        st.tuples(st.just("back")),
    ),
    max_size=60,
)


@given(STEPS)
def test_nothing_is_lost_or_given_twice(steps: list[tuple[object, ...]]) -> None:
    """Against a plain dictionary: the same jobs are there, sums agree, and what is taken is the first that fits."""
    ready, model, taken = Ready(), dict[str, Entry](), list[Entry]()
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
            case ("discard", int(number)):
                assert ready.discard(str(number)) == model.pop(str(number), None)
            case _:
                if taken and taken[-1].job_id not in model:
                    entry = taken.pop()
                    ready.put_back(entry)
                    model[entry.job_id] = entry
        assert len(ready) == len(model)
        assert abs(ready.cpu_seconds - sum(e.cpu_seconds for e in model.values())) < 1e-6
    assert sorted(drain(ready)) == sorted(model)
