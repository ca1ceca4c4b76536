"""Calls beside encodes: jobs that wait take no core, short jobs share a process, resources are never oversubscribed."""

from __future__ import annotations

import heapq
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocessor.engine.batch_process import BatchProcess
from pyprocessor.jobs.queued_job import Asking
from pyprocessor.models import Backend, Cost, Mode
from pyprocessor.plan.ahead import MOST_AHEAD, MOST_WAITING
from tests.integration.simulated_calls import MIB, Simulation

Begin = Callable[..., Simulation]
ENCODE = Cost(10.0, 100 * MIB, 0)
DOWNLOAD = Cost(0.01, 10 * MIB, 0, wait_seconds=5.0)
SHORT = Cost(0.05, 10 * MIB, 0)
NOOP = Cost(0.0005, 10 * MIB, 0)


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Begins simulated runs."""
    begun: list[Simulation] = []

    def make(**machine: Any) -> Simulation:
        folder = tmp_path / str(len(begun))
        begun.append(Simulation(folder, monkeypatch, **machine))
        return begun[-1]

    yield make
    for simulation in begun:
        simulation.close()


def fill_with(simulation: Simulation, encodes: int = 0, downloads: int = 0) -> Simulation:
    for number in range(encodes):
        simulation.add(f"encode {number}", ENCODE, encode=True)
    for number in range(downloads):
        simulation.add(f"download {number}", DOWNLOAD, kind="http")
    return simulation


def test_downloads_run_beside_encodes_and_neither_delays_the_other(begin: Begin) -> None:
    """64 at once beside two encodes on two cores; each kind begins and ends as it does by itself."""
    both = fill_with(begin(), encodes=7, downloads=150)
    both.fill()
    assert sum(name.startswith("download") for name in both.running) == MOST_WAITING
    assert sum(name.startswith("encode") for name in both.running) == 2
    both.run()
    for alone in (fill_with(begin(), encodes=7), fill_with(begin(), downloads=150)):
        alone.run()
        assert {name: (both.began[name], both.ended[name]) for name in alone.began} == {
            name: (alone.began[name], alone.ended[name]) for name in alone.began
        }


def test_a_process_of_downloads_goes_on_with_further_ones(begin: Begin) -> None:
    """One process for all of a kind, however many there are; another kind has its own, and both share the lane."""
    run = fill_with(begin(), downloads=200)
    run.run()
    assert run.processes == 1
    run = fill_with(begin(), downloads=100)
    for number in range(100):
        run.add(f"question {number}", DOWNLOAD, kind="api")
    run.fill()
    assert len(run.running) == MOST_WAITING
    run.run()
    assert run.processes == 2


def test_waiting_jobs_together_compute_on_one_core_at_most(begin: Begin) -> None:
    """Of those that compute a tenth of their time eleven run at once."""
    run = begin()
    for number in range(30):
        run.add(f"{number}", Cost(1.0, MIB, 0, wait_seconds=10.0))
    run.fill()
    assert len(run.running) == 11
    run.run()


def test_short_jobs_are_sent_far_ahead_to_processes_that_stay(begin: Begin) -> None:
    """Three thousand calls of half a millisecond: as many sent as half a second needs, and no process ends between."""
    run = begin()
    for number in range(3000):
        run.add(f"{number:04}", NOOP)
    run.fill()
    slots = sum(process.batch.slots for process in run.dispatch.processes)
    assert all(128 <= len(each.sent) <= MOST_AHEAD * each.batch.slots for each in run.dispatch.processes)
    run.run()
    assert run.processes <= slots


@pytest.mark.parametrize(
    ("said", "each", "unread"),
    [(NOOP, 20_000, 3), (DOWNLOAD, 20_000, 3), (NOOP, 1 << 20, 1), (DOWNLOAD, 1 << 20, 1), (ENCODE, 1 << 20, 1)],
)
def test_what_a_process_is_sent_fits_its_pipe(begin: Begin, said: Cost, each: int, unread: int) -> None:
    """However many jobs it could be sent: else the engine could wait for a process that waits for the engine."""
    run = begin(message_bytes=each)
    for number in range(100):
        run.add(f"{number}", said, encode=said is ENCODE)
    run.run()
    assert run.unread == unread


@pytest.mark.parametrize("call_seconds", [0.01, 5.0])
def test_as_many_jobs_run_at_once_as_are_asked_for(begin: Begin, call_seconds: float) -> None:
    """Also more than there are cores: none of them waits to take over those of another."""
    run = begin(jobs=3)
    for name in ("one", "other"):
        run.add(name, ENCODE, encode=True)
    run.add("call", Cost(call_seconds, 16 * MIB, 0))
    run.fill()
    assert set(run.running) == {"one", "other", "call"}
    run.run()


def test_in_the_mode_sequential_nothing_runs_beside_another(begin: Begin) -> None:
    """Neither a second encode nor what only waits."""
    run = fill_with(begin(mode=Mode.SEQUENTIAL, cores=4), encodes=3, downloads=3)
    run.run()
    spans = sorted((run.began[name], run.ended[name]) for name in run.began)
    assert len(spans) == 6
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_an_adaptive_run_decides_anew_when_it_knows_of_more(begin: Begin) -> None:
    """Nine short calls are done one after another; with 200 more all cores are used, and the log tells why."""
    run = begin(mode=Mode.ADAPTIVE, cores=4)
    for number in range(9):
        run.add(f"few {number}", SHORT)
    run.fill()
    assert (len(run.running), run.dispatch.mode.text) == (1, "adaptive: sequential")
    for number in range(200):
        run.add(f"many {number}", SHORT, kind="other")
    run.run()
    assert run.dispatch.mode.text == "adaptive: chunked, 32 a batch"
    notes = [text for _, text in run.listener.notices if text.startswith("Mode")]
    assert notes == [
        "Mode adaptive: sequential, by the number of jobs (9).",
        "Mode adaptive: chunked, by the number of jobs (209).",
    ]


def test_an_adaptive_run_decides_once_a_short_listing_is_whole(begin: Begin) -> None:
    """What it says of the number of jobs is that of all."""
    run = begin(mode=Mode.ADAPTIVE, cores=1, more_to_come=True)
    for number in range(5):
        run.add(f"few {number}", SHORT)
        run.fill()
        assert (run.running, run.dispatch.mode.text) == ([], "adaptive")
    run.more_to_come = False
    run.run()
    notes = [text for _, text in run.listener.notices if text.startswith("Mode")]
    assert notes == ["Mode adaptive: sequential, by the number of jobs (5)."]


def test_an_adaptive_run_counts_what_is_listed(begin: Begin) -> None:
    """Where work begins before all is inspected."""
    run = begin(mode=Mode.ADAPTIVE, cores=1, more_to_come=True, pending=120)
    run.add("first", SHORT)
    run.fill()
    run.now += 10.0
    run.fill()
    assert run.dispatch.mode.text == "adaptive: chunked, 32 a batch"


def test_longer_calls_are_sent_one_ahead(begin: Begin) -> None:
    """As files are."""
    run = begin()
    for number in range(100):
        run.add(f"{number}", Cost(1.0, MIB, 0))
    run.fill()
    assert all(len(process.sent) == 2 * process.batch.slots for process in run.dispatch.processes)
    run.run()


def test_short_files_are_given_to_processes_that_stay(begin: Begin) -> None:
    """Two hundred of a twentieth of a second: a process a slot, none of which has more than one left at the end."""
    run = begin()
    for number in range(200):
        run.add(f"{number:03}", SHORT, encode=True)
    run.run()
    assert run.processes == 3
    last = max(run.ended.values())
    assert all(last - run.ended[f"{number:03}"] < 0.11 for number in range(198, 200))
    assert last == pytest.approx(200 * 0.05 / 3, abs=0.1)


def test_short_files_end_a_process_that_has_as_many_as_a_batch_may(begin: Begin) -> None:
    """The profile's bound, or its fixed size, holds for all that one process does; it ends before others begin."""
    for bound, most in (("max_batch_size", 20), ("batch_size", 25)):
        run = begin(**{bound: most})
        for number in range(100):
            run.add(f"{number:03}", SHORT, encode=True)
        while len(run.ended) < 100:
            run.fill()
            assert len(run.dispatch.processes) <= 3
            assert all(process.given <= most for process in run.dispatch.processes)
            run.go_on()
        run.run()


def test_short_files_do_not_keep_a_longer_one_waiting(begin: Begin) -> None:
    """One that comes to be known later, and is next, starts when a slot is free, in a process of its own."""
    run = begin()
    for number in range(200):
        run.add(f"{number:03}", SHORT, encode=True)
    run.fill()
    run.add("long", ENCODE, encode=True)
    run.run()
    assert run.began["long"] < 2.0
    assert run.processes == 4


def test_short_files_are_given_within_the_memory(begin: Begin) -> None:
    """A process whose next file takes more than before has it where there is room, and one file a slot at once."""
    run = begin(memory=250)
    for number in range(40):
        run.add(f"{number:02}", Cost(0.05 + number / 1000, (150 if number % 2 else 60) * MIB, 0), encode=True)
    while len(run.ended) < 40:
        run.fill()
        assert sum(job.queued.memory_bytes for each in run.dispatch.processes for job in each.at_once) <= 250 * MIB
        assert sum(each.planned(run.now).memory_bytes for each in run.dispatch.processes) <= 250 * MIB
        run.go_on()
    run.run()
    assert run.processes <= 4


def test_an_urgent_encode_does_not_wait_for_all_short_jobs(begin: Begin) -> None:
    """It begins when a process has done what it was sent, however many calls of lower priority still wait."""
    run = begin()
    for number in range(3000):
        run.add(f"{number:04}", NOOP, priority=5)
    run.fill()
    run.add("urgent", ENCODE, encode=True)
    run.run()
    assert run.began["urgent"] < 0.5
    assert sum(at < run.began["urgent"] for at in run.began.values()) <= 2 * MOST_AHEAD * 4


def test_an_urgent_job_comes_first_in_the_lane(begin: Begin) -> None:
    """Jobs that wait are taken one by one, so the next that begins is the most urgent one."""
    run = fill_with(begin(), downloads=100)
    run.fill()
    run.add("urgent", DOWNLOAD, kind="other", priority=-1)
    run.go_on()
    run.fill()
    assert "urgent" in run.running
    run.run()


def test_downloads_leave_memory_to_the_encode_that_comes_first(begin: Begin) -> None:
    """While an encode waits for memory no further download takes what the others leave."""
    run = begin(memory=320)
    for number in range(40):
        run.add(f"download {number:02}", Cost(0.01, 20 * MIB, 0, wait_seconds=5.0 + number))
    run.fill()
    assert len(run.running) >= 10
    run.add("encode", Cost(10.0, 200 * MIB, 0), encode=True)
    run.run()
    before = [name for name, at in run.began.items() if at < run.began["encode"]]
    assert len(before) < 20


def test_an_urgent_download_gets_memory_before_the_next_encodes(begin: Begin) -> None:
    """Encodes of lower priority leave it what it needs."""
    run = begin(memory=450, cores=4)
    for number in range(12):
        run.add(f"encode {number:02}", Cost(10.0 + number, 100 * MIB, 0), encode=True, priority=1)
    run.fill()
    run.add("download", Cost(0.01, 250 * MIB, 0, wait_seconds=5.0))
    run.run()
    before = [name for name, at in run.began.items() if at < run.began["download"]]
    assert len(before) <= 4


@pytest.mark.parametrize(("there", "at_once"), [((), 1), ((("gpu", 2),), 2)])
def test_as_many_hold_a_resource_as_there_are(begin: Begin, there: tuple[tuple[str, int], ...], at_once: int) -> None:
    """Encodes without it run beside them meanwhile, on the other cores; its reason says what one waits for."""
    run = begin(cores=4, resources=there)
    for number in range(6):
        run.add(f"gpu {number}", Cost(11.0, MIB, 0, resources=(("gpu", 1),)), kind="gpu")
    fill_with(run, encodes=24)
    run.fill()
    kinds = [name.split()[0] for name in run.running]
    assert (kinds.count("gpu"), kinds.count("encode")) == (at_once, 4 - at_once)
    assert run.why()
    run.run()


def test_the_next_of_those_that_wait_has_its_reason(begin: Begin) -> None:
    """A resource that others hold, or a lane that is full."""
    run = begin()
    for number in range(2):
        run.add(f"{number}", Cost(0.0, MIB, 0, wait_seconds=5.0, resources=(("licence", 1),)), kind="licensed")
    run.fill()
    assert run.why() == "every licence (1) is in use"
    run.run()
    run = fill_with(begin(), downloads=MOST_WAITING + 1)
    run.fill()
    assert run.why() == "as many files run as may at once (64)"
    run.run()


def test_what_needs_more_than_there_is_has_it_alone(begin: Begin) -> None:
    """Rather than to wait for ever."""
    run = begin(resources=(("gpu", 2),))
    run.add("large", Cost(3.0, MIB, 0, resources=(("gpu", 3),)), kind="large")
    run.add("small", Cost(1.0, MIB, 0, resources=(("gpu", 1),)), kind="small")
    run.run()
    assert run.began["small"] >= run.ended["large"]


LIMITED = Asking((Backend("limited", 60.0, 2),))


@pytest.mark.parametrize("said", [DOWNLOAD, Cost(1.0, MIB, 0), NOOP])
def test_jobs_wait_for_their_back_end_and_others_go_on(begin: Begin, said: Cost) -> None:
    """Whether they mostly wait or compute: two at once, then one a second, and what comes after them is not held up."""
    run = begin(cores=8)
    for number in range(6):
        run.add(f"asks {number}", said, kind="api", asking=LIMITED, priority=-1)
    for number in range(4):
        run.add(f"plain {number}", said, kind="plain")
        run.add(f"same kind {number}", said, kind="api")
    run.fill()
    assert sorted(name for name in run.running if name.startswith("asks")) == ["asks 0", "asks 1"]
    given = [job.name for process in run.dispatch.processes for job in process.jobs.values()]
    assert sum(not name.startswith("asks") for name in given) >= 4
    assert "limited takes 60 requests a minute, and the next one in " in run.why()
    run.run()
    began = sorted(run.began[f"asks {number}"] for number in range(6))
    assert began == pytest.approx([0, 0, 1, 2, 3, 4], abs=0.01)
    assert all(at < 2.0 for name, at in run.began.items() if name.startswith("plain"))


def test_a_job_that_runs_alone_waits_for_its_back_end_too(begin: Begin) -> None:
    """As one does that may have killed its process."""
    run = begin()
    run.add("before", SHORT, kind="api", asking=Asking((Backend("slow", 6.0),)))
    run.run()
    run.add("alone", SHORT, kind="api", asking=Asking((Backend("slow", 6.0),)))
    queued = run.transitions.queue.drop("alone")
    assert queued is not None
    run.now = 5.0
    run.transitions.queue.add(replace(queued, alone=True))
    run.fill()
    assert not run.running
    run.run()
    assert run.began["alone"] == pytest.approx(10.0, abs=0.01)


COSTS = st.builds(
    Cost,
    st.sampled_from([0.0, 0.0005, 0.3, 4.0]),
    st.sampled_from([1 * MIB, 60 * MIB, 300 * MIB, 900 * MIB]),
    st.just(0),
    wait_seconds=st.sampled_from([0.0, 0.0, 3.0, 50.0]),
    resources=st.sampled_from([(), (), (("gpu", 1),), (("api", 2),), (("gpu", 1), ("api", 1))]),
)
JOBS = st.lists(
    st.tuples(COSTS, st.sampled_from("ab"), st.integers(0, 1), st.sampled_from("xy"), st.booleans()), max_size=25
)


READINGS = 4
"""Of the machine, until one of the jobs that wait has to run."""


def _memory_of(process: BatchProcess) -> list[int]:
    """Of the jobs that it was sent, as many of which run at once as it has slots."""
    return [job.queued.memory_bytes for job in process.sent]


@settings(max_examples=40, deadline=None)
@given(JOBS, st.integers(1, 4))
def test_every_job_is_done_and_nothing_is_oversubscribed(jobs: list[Any], cores: int) -> None:
    """Whatever is mixed: slots, the lane, memory and resources hold at every moment, and all ends."""
    there = {"gpu": 1, "api": 3}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        run = Simulation(Path(folder), monkeypatch, cores=cores, memory=600, resources=tuple(there.items()))
        for number, (cost, kind, priority, tenant, encode) in enumerate(jobs):
            encode &= not cost.wait_seconds and not cost.resources
            run.add(f"{number}", cost, kind=kind, priority=priority, tenant=tenant, encode=encode)
        while len(run.ended) < len(jobs):
            run.fill()
            for _ in range(READINGS):
                if not run.running:  # what was never measured begins one by one, and may give way to what is next
                    run.now += 0.5
                    run.fill()
            assert run.running, "nothing runs, and yet nothing was started"
            assert run.why() or not run.transitions.queue
            assert all(many <= there[name] for name, many in run.held().items())
            lane = [name for process in run.dispatch.processes if process.waits for name in process.jobs]
            assert len(lane) <= MOST_WAITING
            busy = [process for process in run.dispatch.processes if not process.waits]
            assert sum(process.occupied_slots for process in busy) <= 2 * cores
            taken = [heapq.nlargest(p.batch.slots, _memory_of(p)) for p in run.dispatch.processes]
            assert len(run.running) == 1 or sum(map(sum, taken)) <= 600 * MIB
            run.go_on()
        run.run()
        run.close()
