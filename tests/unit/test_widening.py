"""Threads and makespan: what the planner makes of a machine on paper, against a bound that no schedule beats."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.model import CostClass, CostModel, class_of, wall_seconds
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, CostFeatures, EstimationSettings, Reading
from pyprocessor.plan.packing import FormedBatch
from pyprocessor.plan.planner import RunningBatch, next_batch, shape
from pyprocessor.plan.queue import ReadyQueue
from pyprocessor.plan.widening import MAX_THREADS, fewest_threads, finish_seconds, scheduled
from tests.unit.simulated_machine import Clip, Simulated, ideal_seconds, simulate

GIB = 1 << 30
KIND = CostClass("transcode", "libx264", "medium", "720p", "yuv420p", 1)
MODEL = CostModel()
SEEDS = (1, 2, 3)


def clip(width: int, height: int, seconds: float, factor: float = 1.0) -> Clip:
    """A clip for x264 medium, that really takes `factor` times its prediction."""
    features = CostFeatures(
        "transcode", "libx264", "medium", width * height, width * height, "yuv420p", seconds * 25, seconds, 10**6
    )
    cost = MODEL.predict(features, 1)
    return Clip(cost.cpu_seconds, cost.memory_bytes, class_of(features, 1), factor)


def mixed(seed: int, error: float = 1.0) -> list[Clip]:
    """Forty clips of 2 to 60 seconds, 360p to 1080p and one 4K; predictions are off by up to `error` either way."""
    rng = random.Random(seed)
    sizes = [(640, 360)] * 13 + [(1280, 720)] * 14 + [(1920, 1080)] * 12 + [(3840, 2160)]
    return [clip(*size, rng.uniform(2, 60), error ** rng.uniform(-1, 1)) for size in sizes]


def ratio(clips: list[Clip], cores: int) -> float:
    """Simulated time over the bound; no core is ever given twice."""
    done: Simulated = simulate(clips, cores)
    assert done.most_cores <= cores
    return done.seconds / ideal_seconds(clips, cores)


@pytest.mark.parametrize(("cores", "most"), [(2, 1.01), (8, 1.05), (32, 1.17)])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_mixed_set_keeps_all_cores_busy(cores: int, most: float, seed: int) -> None:
    """Where there are as many cores as files the bound itself cannot be reached: threads come whole."""
    assert ratio(mixed(seed), cores) <= most


@pytest.mark.parametrize(("cores", "mean", "most"), [(2, 1.01, 1.02), (8, 1.03, 1.15)])
def test_wrong_predictions_cost_little(cores: int, mean: float, most: float) -> None:
    """Predictions that are off by up to twice either way, in twelve mixed sets."""
    ratios = [ratio(mixed(seed, error=2.0), cores) for seed in range(12)]
    assert statistics.mean(ratios) <= mean
    assert max(ratios) <= most


def dominated(seed: int, cores: int) -> list[Clip]:
    """One clip of one to two and a half times the fair share of a core beside few small ones, predicted wrongly: half
    of all predictions are off by more than a third."""
    rng = random.Random(seed)
    small = [rng.uniform(1, 10) for _ in range(rng.randint(6, 16))]
    true = [sum(small) / cores * rng.uniform(1, 2.5), *small]
    factors = [math.exp(rng.gauss(0, 0.5)) for _ in true]
    return [Clip(cpu / factor, GIB // 8, KIND, factor) for cpu, factor in zip(true, factors, strict=True)]


@pytest.mark.parametrize(("cores", "most"), [(2, 1.03), (8, 1.12), (32, 1.30)])
def test_few_files_of_which_one_dominates_use_the_cores_that_fall_idle(cores: int, most: float) -> None:
    """What runs longer than predicted takes over what the others leave."""
    assert statistics.mean(ratio(dominated(seed, cores), cores) for seed in range(10)) <= most


def test_a_job_that_others_outlast_gets_no_more_threads_than_cores() -> None:
    """Threads are for cores that are likely to be idle: of a long and a short file only the long one has more."""
    drawn = scheduled([(100.0, "long", 1.2), (10.0, "short", 1.2), (10.0, "other", 1.2)], [0.0, 0.0], 110.0, 1)
    assert drawn.stretched == {"long": 2}
    assert not scheduled([(100.0, "long", 1.2), (10.0, "short", 1.2)], [0.0, 0.0], 110.0, 1, stretch=False).stretched
    even = scheduled([(100.0, "a", 1.0), (100.0, "b", 1.0)], [0.0, 0.0], 100.0, 1)
    assert not even.stretched


def test_a_limit_on_the_cpu_is_kept_by_jobs_that_may_run_long() -> None:
    """With one, no file has threads beyond its cores."""
    ready = ReadyQueue()
    ready.add(QueuedJob("long", 500.0, GIB, KIND))
    ready.add(QueuedJob("short", 5.0, GIB, KIND))
    reading = Reading(0.0, 4, 64 * GIB, GIB, GIB, 0.0, 1 << 40)
    for limit in (None, 50.0):
        how = shape(
            reading,
            BatchSettings(),
            jobs_known=2,
            typical=ready.typical(),
            more_to_come=False,
            cpu_limit_percent=limit,
        )
        assert how.stretch is (limit is None)
    formed = next_batch(ready, how, BatchSettings(), EstimationSettings(), batch_id=1)
    assert isinstance(formed, FormedBatch)
    assert formed.batch.threads == formed.batch.cores


@pytest.mark.parametrize("cores", [2, 8, 32])
def test_one_file_of_half_the_work_is_widened(cores: int) -> None:
    """It gets the threads with which it ends with the others, and they share what is left."""
    small = [clip(640, 360, 10) for _ in range(200)]
    large = Clip(sum(c.cpu_seconds for c in small), GIB, KIND)
    assert ratio([large, *small], cores) <= 1.05


@pytest.mark.parametrize(("files", "cores"), [(12, 8), (5, 8), (3, 8), (3, 2), (5, 4), (40, 32), (7, 4)])
def test_equal_files_that_do_not_divide_by_the_cores(files: int, cores: int) -> None:
    """The last round does not leave cores idle for as long as a file takes."""
    assert ratio([clip(1280, 720, 20)] * files, cores) <= 1.10


def test_the_last_file_alone_gets_all_cores() -> None:
    """Nothing waits and nothing runs beside it: every core's threads."""
    ready = ReadyQueue()
    ready.add(QueuedJob("last", 500.0, GIB, KIND))
    reading = Reading(0.0, 8, 64 * GIB, GIB, GIB, 0.0, 1 << 40)
    how = shape(reading, BatchSettings(), jobs_known=1, typical=ready.typical(), more_to_come=False)
    formed = next_batch(ready, how, BatchSettings(), EstimationSettings(), batch_id=1)
    assert isinstance(formed, FormedBatch)
    assert formed.batch.threads == 8


def test_the_last_file_beside_others_gets_the_cores_they_leave() -> None:
    """Three files run with one thread each on eight cores: the last gets the other five, and threads for all eight."""
    ready = ReadyQueue()
    ready.add(QueuedJob("last", 500.0, GIB, KIND))
    reading = Reading(0.0, 8, 64 * GIB, GIB, GIB, 0.0, 1 << 40)
    how = shape(reading, BatchSettings(), jobs_known=4, typical=ready.typical(), more_to_come=False)
    running = [RunningBatch(1, GIB, 1, 100.0)] * 3
    formed = next_batch(ready, how, BatchSettings(), EstimationSettings(), batch_id=4, running=running)
    assert isinstance(formed, FormedBatch)
    assert (formed.batch.cores, formed.batch.threads) == (5, 8)


def test_threads_are_not_widened_beyond_memory() -> None:
    """A file that fits with one thread runs with as many as fit, and is not told to exceed the budget."""
    ready = ReadyQueue()
    ready.add(QueuedJob("large", 500.0, GIB, KIND))
    reading = Reading(0.0, 16, 64 * GIB, GIB, GIB, 0.0, 1 << 40)
    settings = BatchSettings(memory_limit_bytes=GIB + GIB // 4)
    how = shape(reading, settings, jobs_known=1, typical=ready.typical(), more_to_come=False)
    formed = next_batch(ready, how, settings, EstimationSettings(), batch_id=1)
    assert isinstance(formed, FormedBatch)
    assert formed.over_budget is None
    assert formed.batch.memory_budget_bytes <= how.memory_budget_bytes


def test_a_waiting_job_of_higher_priority_goes_first() -> None:
    """A schedule does not put a long ordinary file before a short urgent one."""
    ready = ReadyQueue()
    ready.add(QueuedJob("long", 500.0, GIB, KIND))
    ready.add(QueuedJob("urgent", 1.0, GIB, KIND, priority=-1))
    reading = Reading(0.0, 2, 64 * GIB, GIB, GIB, 0.0, 1 << 40)
    how = shape(reading, BatchSettings(), jobs_known=2, typical=ready.typical(), more_to_come=False)
    formed = next_batch(ready, how, BatchSettings(), EstimationSettings(), batch_id=1)
    assert isinstance(formed, FormedBatch)
    assert formed.batch.job_ids[0] == "urgent"


@given(st.floats(0.01, 5000), st.floats(0.01, 500), st.integers(1, MAX_THREADS))
def test_fewest_threads_are_enough_and_no_fewer(cpu: float, within: float, most: int) -> None:
    """With them the job ends in time, with one fewer it does not."""
    threads = fewest_threads(cpu, within, most)
    if threads is None:
        assert wall_seconds(cpu, most) > within * (1 - 1e-9)
        return
    assert 1 <= threads <= most
    assert wall_seconds(cpu, threads) <= within * (1 + 1e-9)
    assert threads == 1 or wall_seconds(cpu, threads - 1) > within * (1 - 1e-9)


WORKS = st.lists(st.floats(0.1, 1000), min_size=1, max_size=30)


@given(WORKS, st.integers(1, 32))
def test_the_bound_is_between_the_fair_share_and_everything_in_turn(works: list[float], cores: int) -> None:
    """No less than all work over all cores, and no more than every file in turn with one thread."""
    total = sum(wall_seconds(cpu, 1) for cpu in works)
    bound = finish_seconds(total, works, cores, 1)
    assert total / cores * (1 - 1e-9) <= bound <= total * (1 + 1e-9)


@given(WORKS, st.lists(st.one_of(st.just(0.0), st.floats(0.1, 100), st.just(math.inf)), min_size=1, max_size=16))
def test_a_schedule_has_every_job_and_starts_one_where_a_core_is_idle(works: list[float], idle: list[float]) -> None:
    """All jobs get threads within the cores; with all cores idle something starts now; equal input, equal schedule."""
    named = [(cpu, f"{number:02}", 2.0) for number, cpu in enumerate(works)]
    total = sum(works)
    drawn = scheduled(named, idle, total / len(idle), 1)
    assert set(drawn.scheduled) == {name for _, name, _ in named}
    assert all(1 <= threads <= len(idle) for threads in drawn.scheduled.values())
    assert drawn.later <= set(drawn.scheduled)
    if not any(idle):
        assert len(drawn.later) < len(named)
    assert scheduled(named, idle, total / len(idle), 1) == drawn


def test_short_files_that_can_start_now_are_not_queued_behind_each_other() -> None:
    """Two cores, three short files: two start, and the third goes behind one of them."""
    done = simulate([clip(640, 360, seconds) for seconds in (3, 2, 1)], 2)
    assert [len(formed.jobs) for formed in done.batches] in ([1, 2], [2, 1])
    assert done.most_cores == 2
