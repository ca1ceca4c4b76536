"""Shares of tenants by weight, and their limits."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocessor.costs.model import CostClass
from pyprocessor.errors import UsageError
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import WHOLE, BatchSettings, Division, TenantSettings, UnknownTenants
from pyprocessor.plan.queue import JobQueue
from pyprocessor.plan.tenants import refuse

KIND = CostClass("transcode", "libx264", "medium", "360p", "yuv420p", 1)


def job(job_id: str, tenant: str, cpu: float = 10.0) -> QueuedJob:
    """A job predicted to take so many CPU-seconds."""
    return QueuedJob(job_id, cpu, 100, KIND, tenant=tenant)


def queue_of(**tenants: TenantSettings) -> JobQueue:
    """A queue of a run with these tenants."""
    return JobQueue(BatchSettings(tenants=tuple(tenants.items())))


def taken(queue: JobQueue) -> str | None:
    """The tenant of the job that is taken next."""
    found = queue.ready.take()
    return found.job_id if found is not None else None


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.floats(0.1, 3)), min_size=20, max_size=60),
    st.floats(1, 5),
    st.integers(1, 4),
    st.integers(0, 15),
)
def test_measured_shares_follow_the_weights(
    jobs: list[tuple[float, float]], weight: float, slots: int, later: int
) -> None:
    """While all have work, none is behind by more than what one job in each slot takes; nor is one that comes later."""
    queue = queue_of(a=TenantSettings(weight=weight))
    weights = {"a": weight, "b": 1.0, "c": 1.0}
    measured = {}
    for tenant in "ab":
        for number, (predicted, factor) in enumerate(jobs):
            queue.add(job(f"{tenant}{number}", tenant, predicted))
            measured[f"{tenant}{number}"] = measured[f"c{number}"] = predicted * factor
    used: defaultdict[str, float] = defaultdict(float)
    since: dict[str, float] = {}
    running: dict[str, float] = {}
    clock, longest = 0.0, max(measured.values())
    while queue.ready and len({waiting.tenant for waiting in queue.ready}) == 2 + bool(since):
        if len(used) == 2 and later == 0 and not since:
            for number, (predicted, _) in enumerate(jobs):
                queue.add(job(f"c{number}", "c", predicted))
            since = dict(used)
        while len(running) < slots and (next_one := taken(queue)) is not None:
            running[next_one] = clock + measured[next_one]
        clock = min(running.values())
        for done in [done for done, end in running.items() if end <= clock]:
            del running[done]
            used[done[0]] += measured[done]
            queue.settle(done, measured[done])
            later -= later > 0
        shares = [(used[tenant] - since.get(tenant, 0.0)) / weights[tenant] for tenant in ("abc" if since else "ab")]
        assert max(shares) - min(shares) <= 2 * (slots + 1) * longest


def test_three_to_one() -> None:
    """Of equal jobs the tenant of weight 3 is given three for each of the other's."""
    queue = queue_of(studio=TenantSettings(weight=3))
    for number in range(12):
        queue.add(job(f"studio {number:02}", "studio"))
        queue.add(job(f"other {number:02}", "other"))
    order = [(taken(queue) or "").split()[0] for _ in range(16)]
    assert order.count("studio") == 12


def test_what_was_measured_corrects_what_was_predicted() -> None:
    """A tenant whose jobs take four times as long as predicted gets a quarter of the turns."""
    queue = queue_of()
    for number in range(40):
        queue.add(job(f"slow {number:02}", "slow"))
        queue.add(job(f"right {number:02}", "right"))
    order = []
    for _ in range(20):
        name = taken(queue) or ""
        order.append(name.split()[0])
        queue.settle(name, 40.0 if name.startswith("slow") else 10.0)
    assert order.count("right") == 16


def test_a_divided_film_is_charged_once() -> None:
    """Its parts are; the film itself is only what joining them takes."""
    queue = queue_of()
    queue.add(replace(job("film", "a", 100.0), division=Division(4)))
    queue.add(job("other", "b", 50.0))
    film = queue.drop("film")
    assert film is not None
    for number in range(4):
        queue.add(replace(job(f"part {number}", "a", 25.0), division=WHOLE))
    assert [taken(queue) for _ in range(5)] == ["part 0", "other", "part 1", "part 2", "part 3"]


def test_an_attempt_that_failed_is_paid_for() -> None:
    """It waits again, and what it took stays on its tenant's account; one that was not begun is refunded."""
    for took, first in ((10.0, "b"), (0.0, "a")):
        queue = queue_of()
        queue.add(job("a", "a", 10.0))
        queue.add(job("b", "b", 9.0))
        again = queue.ready.take()
        assert again is not None
        assert again.job_id == "a"
        if took:
            queue.settle("a", took)
        queue.put_back(again)
        assert taken(queue) == first


def test_a_tenant_has_at_most_so_many_jobs_in_hand() -> None:
    """Those of others go on; `status` says why the next one waits."""
    queue = queue_of(few=TenantSettings(max_jobs=2, weight=100))
    for number in range(3):
        queue.add(job(f"few {number}", "few"))
    queue.add(job("other", "other"))
    assert [taken(queue) for _ in range(4)] == ["few 0", "other", "few 1", None]
    head = queue.head()
    assert head is not None
    assert head[0].job_id == "few 2"
    assert queue.shortage(head[0]) == "the tenant few may have 2 in hand at once, and 2 are"
    queue.settle("few 0", 1.0)
    assert queue.shortage(head[0]) == ""
    assert taken(queue) == "few 2"


def test_what_a_tenant_may_not_use_in_this_run_is_left_for_another() -> None:
    """Nothing starts that would pass its CPU-seconds as predicted; what is left once they are used is late."""
    queue = queue_of(small=TenantSettings(max_cpu_seconds=25.0))
    for number in range(5):
        queue.add(job(f"small {number}", "small"))
    assert [taken(queue) for _ in range(4)] == ["small 0", "small 1", "small 2", None]
    assert "may use 25 CPU-seconds in a run, and has used 0, and 30 more for what is in hand" in queue.shortage(
        job("", "small")
    )
    queue.settle("small 0", 4.0)
    assert taken(queue) == "small 3"
    assert queue.late == 0
    for number in range(1, 4):
        queue.settle(f"small {number}", 10.0)
    assert len(queue) == queue.late == 1
    queue.add(job("small 5", "small"))
    queue.reconsider()
    assert len(queue) == queue.late == 2


def test_a_job_that_runs_alone_is_charged_too() -> None:
    """It stands in a list of its own, and its tenant pays for it."""
    queue = queue_of(small=TenantSettings(max_cpu_seconds=5.0))
    queue.add(replace(job("alone", "small"), alone=True))
    assert queue.take_alone() is not None
    queue.add(job("next", "small"))
    queue.settle("alone", 6.0)
    assert len(queue) == queue.late == 1


def test_a_newcomer_is_noticed_once() -> None:
    """So that what other tenants' processes were given ahead can be taken back."""
    queue = queue_of()
    order = queue.ready.order
    queue.add(job("a", "a"))
    queue.add(job("a2", "a"))
    assert not order.newcomers
    back = queue.ready.take()
    assert back is not None
    queue.add(job("b", "b"))
    assert order.newcomers
    queue.put_back(back)
    order.admit()
    queue.add(job("b2", "b"))
    assert not order.newcomers
    assert [taken(queue) for _ in range(4)] == ["a", "b", "a2", "b2"]


def test_one_that_comes_while_all_is_in_hand_starts_level() -> None:
    """It is given no more than the others from then on, whatever these were given before."""
    queue = queue_of()
    for number in range(9):
        queue.add(job(f"a{number}", "a"))
    for number in range(9):
        taken(queue)
        queue.settle(f"a{number}", 10.0)
    queue.add(job("a9", "a"))
    assert taken(queue) == "a9"
    for number in range(4):
        queue.add(job(f"b{number}", "b"))
        queue.add(job(f"a1{number}", "a"))
    order = [(taken(queue) or "")[0] for _ in range(6)]
    assert order.count("a") >= 2


def test_what_runs_longer_than_predicted_is_charged_before_it_ends() -> None:
    """Its tenant is not next meanwhile; what it took in the end is charged once."""
    queue = queue_of(slow=TenantSettings(max_cpu_seconds=100.0))
    for number in range(4):
        queue.add(job(f"slow {number}", "slow", 1.0))
        queue.add(job(f"other {number}", "other", 10.0))
    assert [taken(queue) for _ in range(3)] == ["other 0", "slow 0", "slow 1"]
    queue.charge("slow 0", 30.0)
    assert [taken(queue) for _ in range(3)] == ["other 1", "other 2", "other 3"]
    queue.settle("slow 0", 40.0)
    queue.charge("slow 1", 60.0)
    assert "has used 40, and 60 more" in queue.shortage(job("", "slow"))
    queue.settle("slow 1", 0.0)
    assert taken(queue) == "slow 2"
    queue.charge("gone", 1e9)


def test_by_how_much_more_a_tenants_jobs_took_since_one_was_taken() -> None:
    """As they run and end; what was refunded, or was not begun, took nothing. What it was before does not count."""
    queue = queue_of()
    order = queue.ready.order
    for number in range(5):
        queue.add(job(f"a {number}", "a", 1.0))
    jobs = [queue.ready.take() for _ in range(3)]
    queue.charge("a 0", 3.0)
    queue.settle("a 0", 4.0)
    queue.charge("a 1", 2.0)
    assert order.excess_since("a 2") == 4.0
    order.refund("a 2")
    assert jobs[2] is not None
    queue.put_back(jobs[2])
    assert (order.excess_since("a 2"), order.excess_since("a 1")) == (0.0, 4.0)
    assert taken(queue) == "a 2"
    assert order.excess_since("a 2") == 0.0
    queue.settle("a 1", 2.5)
    assert order.excess_since("a 2") == 0.5


@pytest.mark.parametrize("first", ["limited", "later"])
def test_one_that_comes_is_level_with_those_it_runs_beside(first: str) -> None:
    """Not with one that was served little because of its limit, or because jobs of a better priority came first."""
    queue = queue_of(limited=TenantSettings(max_jobs=1))
    for number in range(30):
        queue.add(replace(job(f"{first} {number:02}", first), priority=0 if first == "limited" else 20))
        queue.add(job(f"a {number:02}", "a"))
    if first == "limited":
        assert taken(queue) == "a 00"
        assert taken(queue) == "limited 00"
    for _ in range(20):
        assert (taken(queue) or "").startswith("a ")
    for number in range(4):
        queue.add(job(f"b {number:02}", "b"))
    order = [(taken(queue) or "").split()[0] for _ in range(6)]
    assert order.count("b") == order.count("a") == 3


def test_one_that_comes_is_level_with_what_others_were_refunded() -> None:
    """What others were given ahead is taken back, or asked back, when it comes."""
    queue = queue_of()
    for number in range(20):
        queue.add(job(f"a {number:02}", "a"))
    ahead = [queue.ready.take() for _ in range(6)]
    queue.add(job("b 00", "b"))
    queue.add(job("b 01", "b"))
    for one in ahead[1:4]:
        assert one is not None
        queue.put_back(one)
    for one in ahead[4:]:
        assert one is not None
        queue.ready.order.refund(one.job_id)
    queue.ready.order.admit()
    order = [(taken(queue) or "").split()[0] for _ in range(4)]
    assert order[0] == "b"
    assert order.count("b") == 2


BOTH = BatchSettings(
    tenants=(("press", TenantSettings(max_waiting=10)), ("studio", TenantSettings())),
    unknown_tenants=UnknownTenants.REFUSE,
)


@pytest.mark.parametrize(
    ("tenants", "words"),
    [
        (["studio"] * 99, ""),
        (["press"] * 3, ""),
        (["press"] * 4, "4 more are refused: of the tenant press 10 may wait at most (`max_waiting`), and 7 do"),
        (["studio", "prees"], "its tenant prees is not listed in `batch_processing.tenants`, and others are refused"),
        ([""], "it names no tenant in `batch_processing.tenants`"),
    ],
)
def test_who_is_refused(tenants: list[str], words: str) -> None:
    """A sentence has the names and the numbers."""
    if not words:
        refuse(tenants, BOTH, lambda _: 7)
        return
    with pytest.raises(UsageError) as refused:
        refuse(tenants, BOTH, lambda _: 7)
    assert words in str(refused.value)
    refuse(tenants, replace(BOTH, tenants=()), lambda _: 7)
    assert math.isinf(queue_of().next_due)
