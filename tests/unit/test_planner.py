"""The planner: shapes for a machine, batches within memory, every job in exactly one of them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.model import CostClass, CostModel
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, Cost, EstimationSettings, Job, Reading, ScheduleSettings, Source
from pyprocessor.plan.admission import Conditions, Wait, may_begin, memory_budget
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.packing import FormedBatch
from pyprocessor.plan.planner import RunningBatch, Shape, next_batch, shape
from pyprocessor.plan.queue import ReadyQueue

MIB = 1 << 20
GIB = 1 << 30
SMALL = CostClass("transcode", "libx264", "medium", "360p", "yuv420p", 1)
AUTO, ESTIMATION = BatchSettings(), EstimationSettings()


def reading(cores: float = 4, total: int = 64 * GIB, used: int = GIB, ours: int = GIB) -> Reading:
    """A machine."""
    return Reading(0.0, cores, total, used, ours, 0.0, 1 << 40)


def shaped(cores: float, jobs: int = 1000, memory: int = 100 * MIB, settings: BatchSettings = AUTO) -> Shape:
    """The shape for a machine with plenty of memory."""
    return shape(reading(cores), settings, jobs_known=jobs, typical=Cost(10.0, memory, 0), more_to_come=False)


def queue(*costs: tuple[float, int], rng: random.Random | None = None) -> ReadyQueue:
    """Jobs of (CPU-seconds, MiB), added in order or as `rng` shuffles them."""
    ready = ReadyQueue()
    entries = [QueuedJob(f"{number:04}", cpu, mib * MIB, SMALL) for number, (cpu, mib) in enumerate(costs)]
    if rng is not None:
        rng.shuffle(entries)
    for made in entries:
        ready.add(made)
    return ready


def form(concurrency: int, processes: int, budget_mib: int, threads: int = 1) -> Shape:
    """A shape made by hand."""
    return Shape(
        processes,
        concurrency,
        min(concurrency, 2 * processes),
        threads,
        budget_mib * MIB,
        budget_mib * MIB,
        concurrency * threads,
    )


def batches(
    ready: ReadyQueue, how: Shape, settings: BatchSettings = AUTO, estimation: EstimationSettings = ESTIMATION
) -> list[FormedBatch]:
    """All batches, each run alone."""
    formed: list[FormedBatch] = []
    while isinstance(batch := next_batch(ready, how, settings, estimation, batch_id=len(formed) + 1), FormedBatch):
        formed.append(batch)
    return formed


# ---------------------------------------------------------------- shape


@pytest.mark.parametrize(
    ("cores", "processes", "slots"), [(1, 1, 1), (2, 2, 1), (4, 2, 2), (8, 2, 4), (16, 4, 4), (64, 16, 4)]
)
def test_processes_and_slots_for_many_files(cores: int, processes: int, slots: int) -> None:
    """Every core is used, by a few processes of up to four slots, one thread each."""
    how = shaped(cores)
    assert (how.processes, how.concurrency, how.threads) == (processes, cores, 1)
    assert -(-how.concurrency // how.processes) == slots


@pytest.mark.parametrize(("cpu_seconds", "concurrency"), [(10.0, 8), (0.2, 9), (0.05, 11), (0.0, 16)])
def test_very_short_files_keep_cores_busy_between_them(cpu_seconds: float, concurrency: int) -> None:
    """More run at once than there are cores, where a core would often wait for the next one."""
    typical = Cost(cpu_seconds, 50 * MIB, 0)
    how = shape(reading(8), AUTO, jobs_known=1000, typical=typical, more_to_come=False)
    assert (how.concurrency, how.threads) == (concurrency, 1)
    how = shape(reading(8), AUTO, jobs_known=1000, typical=typical, more_to_come=False, cpu_limit_percent=100.0)
    assert how.concurrency == 8


@pytest.mark.parametrize(("cpu_seconds", "slots"), [(10.0, 4), (0.4, 4), (0.2, 2), (0.05, 1)])
def test_a_process_of_very_short_files_has_fewer_slots(cpu_seconds: float, slots: int) -> None:
    """It verifies one output at a time, which takes it a good part of such a file; calls are not verified so."""
    typical = Cost(cpu_seconds, 50 * MIB, 0)
    for calls in (False, True):
        how = shape(reading(32), AUTO, jobs_known=1000, typical=typical, more_to_come=False, calls=calls)
        assert how.processes == -(-how.concurrency // (4 if calls else slots))


def test_fewer_files_than_cores_share_the_threads() -> None:
    """Three files on eight cores get two threads each, one file gets all."""
    assert (shaped(8, jobs=3).concurrency, shaped(8, jobs=3).threads) == (3, 2)
    assert (shaped(8, jobs=1).concurrency, shaped(8, jobs=1).threads) == (1, 8)


def test_while_the_listing_goes_on_few_files_do_not_narrow_the_shape() -> None:
    """The first file found does not get all cores while a thousand others may follow."""
    how = shape(reading(8), AUTO, jobs_known=1, typical=Cost(1.0, MIB, 0), more_to_come=True)
    assert (how.concurrency, how.threads) == (8, 1)


def test_memory_bounds_what_runs_at_once() -> None:
    """Jobs of 1 GiB in a budget of about 3 GiB: three at once, and no threads that would not fit."""
    how = shape(
        reading(16, total=5 * GIB, used=GIB, ours=GIB // 2),
        BatchSettings(max_memory_percent=80),
        jobs_known=100,
        typical=Cost(10.0, GIB, 0),
        more_to_come=False,
    )
    assert how.concurrency == 3
    assert how.concurrency * GIB <= how.memory_budget_bytes


@pytest.mark.parametrize("more_to_come", [False, True])
def test_what_was_never_measured_is_not_widened_for_want_of_memory(more_to_come: bool) -> None:
    """Memory holds one at a time as far as is known; it may prove to hold two, which use two cores better."""
    for measured, threads in ((True, 2), (False, 1)):
        how = shape(
            reading(2, total=2 * GIB),
            AUTO,
            jobs_known=50,
            typical=Cost(1.0, GIB, 0),
            more_to_come=more_to_come,
            measured=measured,
        )
        assert (how.concurrency, how.threads) == (1, threads)
    alone = shape(reading(2), AUTO, jobs_known=1, typical=Cost(1.0, MIB, 0), more_to_come=False, measured=False)
    assert alone.threads == 2


def test_jobs_is_the_number_of_batches_at_once() -> None:
    """`--jobs` is obeyed, also beyond the cores, but not beyond files or memory."""
    assert (
        shaped(8, settings=BatchSettings(jobs=3)).processes,
        shaped(8, settings=BatchSettings(jobs=3)).concurrency,
    ) == (3, 8)
    assert shaped(8, settings=BatchSettings(jobs=1)).concurrency == 8
    assert (
        shaped(2, settings=BatchSettings(jobs=6)).processes,
        shaped(2, settings=BatchSettings(jobs=6)).concurrency,
    ) == (6, 6)
    assert shaped(2, jobs=4, settings=BatchSettings(jobs=6)).processes == 4
    tight = shape(
        reading(2, total=2 * GIB), BatchSettings(jobs=6), jobs_known=50, typical=Cost(1.0, GIB, 0), more_to_come=True
    )
    assert tight.processes == 1


def test_batch_mode_disabled_is_one_file_after_another() -> None:
    """One process, one slot, all threads for the file that runs."""
    how = shaped(8, settings=BatchSettings(enabled=False))
    assert (how.processes, how.concurrency, how.max_processes, how.threads) == (1, 1, 1, 8)


def test_a_limit_on_the_cpu_lowers_what_runs_at_once() -> None:
    """Half of eight cores are four; a little of one core is still one job."""
    for percent, concurrency in ((50.0, 4), (1.0, 1), (100.0, 8), (None, 8)):
        how = shape(
            reading(8),
            AUTO,
            jobs_known=100,
            typical=Cost(10.0, MIB, 0),
            more_to_come=False,
            cpu_limit_percent=percent,
        )
        assert (how.concurrency, how.threads, how.cores) == (concurrency, 1, concurrency)
    one = shape(reading(8), AUTO, jobs_known=1, typical=Cost(10.0, MIB, 0), more_to_come=False, cpu_limit_percent=50.0)
    assert one.threads == 4


@given(st.integers(1, 64), st.one_of(st.none(), st.integers(1, 64)), st.integers(1, 300), st.floats(0.0, 1.0))
def test_a_share_shrinks_and_never_widens(cores: int, jobs: int | None, known: int, share: float) -> None:
    """What the governor takes away is not given back as threads, and one job may always run."""
    settings = BatchSettings(jobs=jobs)
    shapes = [
        shape(reading(cores), settings, jobs_known=known, typical=Cost(9.0, MIB, 0), more_to_come=False, share=part)
        for part in (1.0, share)
    ]
    whole, less = shapes
    assert less.concurrency == max(1, int(whole.concurrency * share))
    assert less.threads <= whole.threads
    assert 1 <= less.processes <= less.max_processes <= less.concurrency
    assert less.processes <= whole.processes


def test_half_the_share_is_half_the_batch() -> None:
    """The next batch has half the size and half the slots."""
    sizes: list[tuple[int, int]] = []
    for share in (1.0, 0.5):
        ready = queue(*((1.0, 50) for _ in range(4000)))
        how = shape(reading(8), AUTO, jobs_known=4000, typical=Cost(1.0, MIB, 0), more_to_come=False, share=share)
        formed = next_batch(ready, how, AUTO, ESTIMATION, batch_id=1)
        assert isinstance(formed, FormedBatch)
        sizes.append((formed.batch.slots, len(formed.jobs)))
    (slots, files), (fewer_slots, fewer_files) = sizes
    assert fewer_slots * 2 == slots
    assert files / 4.4 <= fewer_files <= files / 2


def test_budget_leaves_what_others_use() -> None:
    """The share of the machine that is allowed is for everybody on it, and a limit in bytes is for us."""
    machine = reading(total=10 * GIB, used=4 * GIB, ours=GIB)
    assert memory_budget(machine, BatchSettings(max_memory_percent=80)) == pytest.approx(5 * GIB, abs=150 * MIB)
    assert memory_budget(machine, BatchSettings(memory_limit_bytes=GIB)) <= GIB
    assert memory_budget(reading(total=GIB, used=GIB, ours=0), AUTO) == 0


@given(
    st.floats(0.1, 300),
    st.integers(0, 1 << 40),
    st.integers(0, 1 << 40),
    st.integers(0, 100_000),
    st.integers(0, 1 << 36),
    st.one_of(st.none(), st.integers(1, 64)),
    st.booleans(),
)
def test_a_shape_always_lets_something_run(
    cores: float, total: int, used: int, known: int, memory: int, jobs: int | None, more: bool
) -> None:
    """Whatever the machine: at least one job, slots that add up, and no more than memory holds."""
    how = shape(
        reading(cores, total, used, 0),
        BatchSettings(jobs=jobs),
        jobs_known=known,
        typical=Cost(1.0, memory, 0),
        more_to_come=more,
    )
    assert 1 <= how.processes <= how.max_processes <= how.concurrency
    assert how.threads >= 1
    assert how.concurrency == 1 or how.concurrency * memory <= how.memory_budget_bytes
    if jobs is not None:
        assert how.max_processes <= jobs


# ---------------------------------------------------------------- the first start


@pytest.mark.parametrize(
    ("works", "cores", "pending", "known_seconds", "begins"),
    [
        (
            [30.0, 10.0],
            2,
            0,
            0.4,
            False,
        ),  # half a second, which is little beside 20 s: the listing may go on for as long
        ([30.0, 10.0], 2, 0, 0.6, True),
        ([2.0, 1.0], 2, 5, 0.03, False),  # what is pending is likely to be as long, and to be inspected as soon
        ([2.0, 1.0], 2, 5, 0.05, True),
        ([0.04] * 2, 2, 198, 0.003, True),  # very short files are not worth waiting for each other
        ([3600.0] * 4, 2, 2, 2.0, False),  # films: for longer than half a second, but for no longer than a user waits
        ([3600.0] * 4, 2, 2, 5.1, True),
        ([3600.0] * 4, 2, 9000, 0.1, True),  # a listing that takes long anyway
        ([60.0] * 40, 32, 0, 1.4, False),
        ([60.0] * 40, 32, 0, 1.6, True),  # many cores that are idle meanwhile: a share of the time, not of the work
        ([60.0] * 20, 32, 0, 9.0, True),
        ([60.0], 2, 1, 0.1, False),
        ([], 2, 1, 0.6, True),
    ],
)
def test_a_short_listing_is_inspected_before_the_first_file_starts(
    works: list[float], cores: int, pending: int, known_seconds: float, begins: bool
) -> None:
    """The first start waits where all is known within a small share of the work, and within a few seconds at most."""
    ready = queue(*((work, 50) for work in works))
    clock = datetime(2026, 1, 1)  # noqa: DTZ001 - local time
    for more in (True, False):
        on = Conditions(
            reading(cores),
            Schedule.begin(ScheduleSettings(), clock),
            clock,
            more_to_come=more,
            pending=pending,
            pending_ratio=pending / max(1, len(works)),
            run_seconds=known_seconds + 0.1,
        )
        found = may_begin(ready, on, known_seconds)
        assert found is (begins or not more)


def test_large_files_that_are_pending_are_waited_for() -> None:
    """Where the names begin with tiny files, bytes tell that most of the work is still to be inspected."""
    clock = datetime(2026, 1, 1)  # noqa: DTZ001 - local time
    on = Conditions(
        reading(2), Schedule.begin(ScheduleSettings(), clock), clock, more_to_come=True, pending=50, run_seconds=0.2
    )
    ready = queue((0.3, 50), (0.2, 50))
    assert may_begin(ready, on, 0.02)
    assert not may_begin(ready, replace(on, pending_ratio=400.0), 0.02)


# ---------------------------------------------------------------- batches


def test_a_batch_is_about_the_target_of_work() -> None:
    """Ninety seconds a slot where there is plenty; the longest jobs come first."""
    ready = queue(*((10.0, 50) for _ in range(1000)))
    formed = next_batch(ready, form(4, 2, 4000), AUTO, ESTIMATION, batch_id=7)
    assert isinstance(formed, FormedBatch)
    assert formed.batch.id == 7
    assert formed.batch.slots == 2
    assert len(formed.jobs) == 18
    assert 90 <= formed.slot_seconds[-1] <= 101


def test_batches_shrink_towards_the_end() -> None:
    """Guided self-scheduling: each batch takes a part of what is left, down to about a second."""
    sizes = [len(f.jobs) for f in batches(queue(*((0.2, 50) for _ in range(200))), form(2, 2, 4000))]
    assert sum(sizes) == 200
    assert sizes[0] >= 40
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)
    # The last two start at once on the two cores that are idle here.
    assert min(sizes[:-2]) >= 4


def test_slots_beside_a_long_job_are_filled() -> None:
    """A job of an hour does not leave the other slots of its batch idle, nor takes all work from other processes."""
    ready = queue((3600.0, 50), *((10.0, 50) for _ in range(400)))
    formed = next_batch(ready, form(8, 2, 9000), AUTO, ESTIMATION, batch_id=1)
    assert isinstance(formed, FormedBatch)
    assert formed.slot_seconds[0] > 300
    assert len(ready) > 200


def test_mixed_sizes_are_packed_together() -> None:
    """One large job beside several small ones, within the budget."""
    ready = queue((30.0, 1400), (30.0, 1400), *((20.0, 200) for _ in range(20)))
    how = form(4, 1, 2100)
    formed = next_batch(ready, how, AUTO, ESTIMATION, batch_id=1)
    assert isinstance(formed, FormedBatch)
    assert sum(e.memory_bytes == 1400 * MIB for e in formed.jobs) == 1
    assert formed.batch.slots == 4
    assert formed.batch.memory_budget_bytes == 2000 * MIB


def test_small_jobs_leave_room_for_the_large_one_they_pass() -> None:
    """What is next does not fit: others may run only as far as it will fit when the largest running batch ends."""
    ready = queue((100.0, 1500), *((1.0, 100) for _ in range(50)))
    how = form(4, 4, 2000)
    running = [RunningBatch(1, 400), RunningBatch(1, 800 * MIB)]
    assert isinstance(next_batch(ready, how, AUTO, ESTIMATION, batch_id=2, running=running), FormedBatch)
    blocked = [RunningBatch(1, 450 * MIB), RunningBatch(1, 450 * MIB)]
    assert next_batch(ready, how, AUTO, ESTIMATION, batch_id=3, running=blocked) == Wait(
        "running files leave too little memory for it"
    )
    formed = next_batch(ready, how, AUTO, ESTIMATION, batch_id=4, running=blocked[:1])
    assert isinstance(formed, FormedBatch)
    assert formed.jobs[0].job_id == "0000"


def test_a_job_over_the_budget_runs_alone_and_last() -> None:
    """It waits until nothing runs, has one slot, and the user is told."""
    ready = queue((100.0, 5000), (1.0, 100))
    how = form(4, 2, 1000)
    first = next_batch(ready, how, AUTO, ESTIMATION, batch_id=1)
    assert isinstance(first, FormedBatch)
    assert [e.job_id for e in first.jobs] == ["0001"]
    assert first.over_budget is None
    waits = next_batch(ready, how, AUTO, ESTIMATION, batch_id=2, running=[RunningBatch(1, 100 * MIB)])
    assert isinstance(waits, Wait)
    assert "nothing is to run beside it" in waits.reason
    alone = next_batch(ready, how, AUTO, ESTIMATION, batch_id=2)
    assert isinstance(alone, FormedBatch)
    assert alone.batch.slots == 1
    assert alone.over_budget is not None
    assert alone.over_budget.job_id == "0000"
    for sentence, name in ((alone.over_budget.note("a b.mov"), "a b.mov"), (alone.over_budget.refusal(), "It")):
        assert sentence.startswith(f"{name} is predicted to take 5,000 MiB of memory, more than the 1,000 MiB")


def test_only_what_would_never_fit_is_hopeless() -> None:
    """A job that others' memory keeps out may run alone under `--strict-memory`; one beyond the limit may not."""
    machine = reading(total=10 * GIB, used=7 * GIB, ours=0)
    for mib, hopeless in ((3000, False), (9000, True)):
        how = shape(machine, AUTO, jobs_known=1, typical=Cost(1.0, mib * MIB, 0), more_to_come=False)
        formed = next_batch(queue((1.0, mib)), how, AUTO, ESTIMATION, batch_id=1)
        assert isinstance(formed, FormedBatch)
        assert formed.over_budget is not None
        assert formed.over_budget.hopeless is hopeless


def test_each_job_over_the_budget_is_told_of() -> None:
    """Several of them are as many batches, however short they are."""
    formed = batches(queue((0.1, 5000), (0.1, 6000), (0.1, 100)), form(4, 2, 1000))
    assert [f.over_budget.job_id for f in formed if f.over_budget is not None] == ["0000", "0001"]


def test_no_slot_or_process_free_means_no_batch() -> None:
    """Nothing is started where nothing is free, or there is nothing to start."""
    ready = queue((1.0, 10))
    how = form(4, 2, 1000)
    busy = [RunningBatch(2, 0), RunningBatch(2, 0)]
    assert next_batch(ready, how, AUTO, ESTIMATION, batch_id=1, running=busy) == Wait(
        "as many files run as may at once (4)"
    )
    assert next_batch(ReadyQueue(), how, AUTO, ESTIMATION, batch_id=1) == Wait("no file is ready")
    fixed = BatchSettings(jobs=1)
    one = shape(reading(4), fixed, jobs_known=9, typical=Cost(1.0, MIB, 0), more_to_come=False)
    assert next_batch(ready, one, fixed, ESTIMATION, batch_id=1, running=[RunningBatch(1, 0)]) == Wait(
        "as many batches run as may at once (1)"
    )


def test_uneven_slots_are_spread() -> None:
    """Three jobs at once over two processes: two slots and one."""
    ready = queue(*((10.0, 10) for _ in range(40)))
    how = form(3, 2, 1000)
    first = next_batch(ready, how, AUTO, ESTIMATION, batch_id=1)
    assert isinstance(first, FormedBatch)
    second = next_batch(ready, how, AUTO, ESTIMATION, batch_id=2, running=[RunningBatch(first.batch.slots, 0)])
    assert isinstance(second, FormedBatch)
    assert (first.batch.slots, second.batch.slots) == (2, 1)


def test_fixed_batch_size_waits_for_the_listing() -> None:
    """While files are still being found an incomplete batch is not begun."""
    ready = queue((1.0, 10), (1.0, 10))
    settings = BatchSettings(batch_size=3)
    how = form(2, 2, 1000)
    assert next_batch(ready, how, settings, ESTIMATION, batch_id=1, more_to_come=True) == Wait(
        "a batch has 3 files, and more are being looked for"
    )
    last = next_batch(ready, how, settings, ESTIMATION, batch_id=1)
    assert isinstance(last, FormedBatch)
    assert len(last.jobs) == 2


@pytest.mark.parametrize(("share", "size"), [(1.0, 8), (0.5, 4), (0.3, 2), (0.05, 1)])
def test_a_fixed_batch_size_shrinks_with_the_share(share: float, size: int) -> None:
    """Under memory pressure a batch of fixed size becomes smaller as one of automatic size does."""
    settings = BatchSettings(batch_size=8)
    how = shape(reading(8), settings, jobs_known=40, typical=Cost(9.0, MIB, 0), more_to_come=False, share=share)
    made = next_batch(queue(*[(9.0, 1)] * 40), how, settings, ESTIMATION, batch_id=1)
    assert isinstance(made, FormedBatch)
    assert len(made.jobs) == size


@pytest.mark.parametrize("batch_size", [4, 100])
def test_a_fixed_batch_that_holds_all_files_gets_all_slots(batch_size: int) -> None:
    """There will be no other process to share the cores with."""
    settings = BatchSettings(batch_size=batch_size)
    ready = queue(*[(10.0, 100)] * 4)
    made = next_batch(ready, shaped(2, jobs=4, settings=settings), settings, ESTIMATION, batch_id=1)
    assert isinstance(made, FormedBatch)
    assert (len(made.jobs), made.batch.slots) == (4, 2)


def test_fixed_batch_that_must_wait_for_memory_gives_everything_back() -> None:
    """Jobs that do not fit beside what runs stay in the queue, none lost."""
    ready = queue((5.0, 300), (4.0, 900), (3.0, 900))
    settings = BatchSettings(batch_size=2)
    running = [RunningBatch(1, 400 * MIB)]
    assert next_batch(ready, form(2, 2, 1000), settings, ESTIMATION, batch_id=1, running=running) == Wait(
        "running files leave too little memory for a batch of 2 files"
    )
    assert len(ready) == 3


def test_batch_mode_disabled_takes_everything_in_order() -> None:
    """One batch of all files, one slot."""
    settings = BatchSettings(enabled=False, batch_size=2)
    ready = queue(*((float(n), 10) for n in range(500)))
    formed = next_batch(ready, shaped(8, settings=settings), settings, ESTIMATION, batch_id=1)
    assert isinstance(formed, FormedBatch)
    assert (len(formed.jobs), formed.batch.slots) == (500, 1)
    assert not ready


def test_entry_carries_the_margin() -> None:
    """What planning reckons with is the prediction and its margin of safety."""
    job = Job("id", "transcode", Source(b"/a", b"a", 1, 1), b"a.mp4", "", Cost(2.0, 1000, 5), priority=3, tenant="t")
    made = QueuedJob.of(job, SMALL, CostModel(), ESTIMATION)
    assert (made.memory_bytes, made.cpu_seconds, made.disk_bytes) == (1150, 2.0, 5)
    assert (made.priority, made.tenant) == (3, "t")


COSTS = st.lists(st.tuples(st.floats(0.01, 5000), st.integers(20, 3000)), min_size=1, max_size=60)
SHAPES = st.builds(form, st.integers(1, 16), st.just(1), st.integers(0, 6000), st.integers(1, 3)) | st.builds(
    lambda c, b: form(c, max(1, c // 3), b), st.integers(1, 16), st.integers(0, 6000)
)
SETTINGS = st.sampled_from(
    [AUTO, BatchSettings(batch_size=1), BatchSettings(batch_size=7), BatchSettings(enabled=False)]
)


def run_through(
    costs: list[tuple[float, int]], how: Shape, settings: BatchSettings, rng: random.Random | None = None
) -> list[FormedBatch]:
    """Form batches as long as any can be formed; then the oldest ends. Holds the budget at every moment."""
    ready = queue(*costs, rng=rng)
    formed: list[FormedBatch] = []
    running: list[FormedBatch] = []
    while ready:
        busy = [
            RunningBatch(f.batch.slots, f.batch.memory_budget_bytes, f.batch.cores, f.slot_seconds[-1]) for f in running
        ]
        batch = next_batch(ready, how, settings, ESTIMATION, batch_id=len(formed) + 1, running=busy)
        if isinstance(batch, Wait):
            assert running, "nothing runs, and yet nothing was started"
            running.pop(0)
            continue
        formed.append(batch)
        running.append(batch)
        together = sum(f.batch.memory_budget_bytes for f in running)
        assert together <= how.memory_budget_bytes or (len(running) == 1 and batch.batch.slots == 1)
        assert sum(f.batch.slots for f in running) <= how.concurrency
        assert sum(f.batch.slots * f.batch.cores for f in running) <= max(how.cores, how.concurrency)
    return formed


@given(COSTS, SHAPES, SETTINGS)
def test_every_job_is_in_exactly_one_batch_and_memory_holds(
    costs: list[tuple[float, int]], how: Shape, settings: BatchSettings
) -> None:
    """All jobs, once each; what the slots of a batch can hold at once is what it was given; sizes are obeyed."""
    formed = run_through(costs, how, settings)
    ids = [job_id for f in formed for job_id in f.batch.job_ids]
    assert sorted(ids) == [f"{n:04}" for n in range(len(costs))]
    for batch in formed:
        largest = sorted((e.memory_bytes for e in batch.jobs), reverse=True)[: batch.batch.slots]
        assert batch.batch.memory_budget_bytes >= sum(largest)
        assert 1 <= batch.batch.slots <= len(batch.jobs)
        assert len(batch.slot_seconds) == batch.batch.slots
        if settings.batch_size is None and settings.enabled:
            assert len(batch.jobs) <= ESTIMATION.max_batch_size
    if settings.batch_size is not None and settings.enabled:
        sizes = [len(f.jobs) for f in formed]
        assert all(size == settings.batch_size for size in sizes[:-1])


@given(COSTS, SHAPES, SETTINGS, st.randoms(use_true_random=False))
def test_the_same_jobs_make_the_same_batches(
    costs: list[tuple[float, int]], how: Shape, settings: BatchSettings, rng: random.Random
) -> None:
    """Planned twice, the jobs found in another order: the same batches, job for job."""
    assert run_through(costs, how, settings) == run_through(costs, how, settings, rng)
