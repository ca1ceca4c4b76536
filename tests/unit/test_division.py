"""Whole or in parts: what the planner chooses on paper, and that the choice is never the worse one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.model import CostClass
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, Chunking, Cost, Division, Reading
from pyprocessor.plan.division import MOST_EXTRA, WORTH, Choice, choose
from pyprocessor.plan.planner import RunningBatch, Shape, shape
from pyprocessor.plan.queue import ReadyQueue
from tests.unit.simulated_machine import Clip, simulate

MIB = 1 << 20
KIND = CostClass("transcode", "libx264", "medium", "1080p", "yuv420p", 1)
AUTO = BatchSettings()
PARTS = Division(most_parts=100, part_seconds=0.1, join=Cost(0.3, 64 * MIB, 10 * MIB))


def job(name: str, cpu_seconds: float, division: Division = PARTS, memory: int = 400 * MIB) -> QueuedJob:
    """A job that may be divided, unless another division is given."""
    return QueuedJob(name, cpu_seconds, memory, KIND, disk_bytes=10 * MIB, name=name, division=division)


def queue(*jobs: QueuedJob) -> ReadyQueue:
    """A queue of these."""
    ready = ReadyQueue()
    for each in jobs:
        ready.add(each)
    return ready


def machine(cores: int, ready: ReadyQueue, memory: int = 64 << 30, settings: BatchSettings = AUTO) -> Shape:
    """What runs at once on a machine with so many cores."""
    reading = Reading(0.0, cores, memory, 0, 0, 0.0, 1 << 40)
    return shape(reading, settings, jobs_known=len(ready), typical=ready.typical(), more_to_come=False)


def chosen(
    *jobs: QueuedJob,
    cores: int = 2,
    memory: int = 64 << 30,
    running: tuple[RunningBatch, ...] = (),
    settings: BatchSettings = AUTO,
    chunking: Chunking = Chunking.AUTO,
    free_disk_bytes: float = math.inf,
) -> dict[str, Choice]:
    """The choices by the ids of their jobs."""
    ready = queue(*jobs)
    form = machine(cores, ready, memory, settings)
    return {c.job.job_id: c for c in choose(ready, running, form, settings, chunking, free_disk_bytes)}


def shorts(number: int, cpu_seconds: float) -> list[QueuedJob]:
    """Jobs that nobody would divide."""
    return [job(f"short {place:03}", cpu_seconds, Division()) for place in range(number)]


def test_one_film_among_short_ones_is_divided() -> None:
    """It takes more than half of all work, which two cores share."""
    ((name, choice),) = chosen(job("film", 60.0), *shorts(10, 1.5)).items()
    assert name == "film"
    assert 2 <= choice.parts <= 8
    assert choice.note.startswith("film: in 4 parts, because all is predicted to take ")
    assert choice.note.endswith(" with it whole at 2 threads.")


def test_a_film_within_its_fair_share_is_left_whole_without_a_word() -> None:
    """Enough other files keep all cores busy to the end."""
    assert chosen(job("film", 60.0), *shorts(100, 1.5)) == {}


def test_a_film_that_may_outlast_its_fair_share_is_divided() -> None:
    """It would have several threads otherwise, which take more CPU time than parts do."""
    film = job("film", 60.0)
    unsure = chosen(film, *shorts(42, 1.5))["film"]
    sure = replace(film, factors=replace(film.factors, spread=1.0))
    assert unsure.parts > 1
    assert chosen(sure, *shorts(42, 1.5)) == {}


def test_the_more_cores_the_more_parts() -> None:
    """Two hours of film: with 16 threads at most it would keep the machine for long."""
    parts = [chosen(job("film", 6000.0), *shorts(10, 2.0), cores=cores)["film"].parts for cores in (2, 8, 32, 100)]
    assert parts == sorted(parts)
    assert parts[0] >= 2
    assert parts[-1] == 100


def test_films_that_run_count() -> None:
    """The second core is busy with another for as long as this one takes."""
    busy = RunningBatch(1, 400 * MIB, 1, 61.0)
    assert chosen(job("film", 60.0), running=(busy,))["film"].parts == 1
    nearly_done = replace(busy, seconds_left=1.0)
    assert chosen(job("film", 60.0), *shorts(4, 2.0), running=(nearly_done,))["film"].parts > 1


def test_what_is_still_to_be_inspected_counts() -> None:
    """By how much there is, other files will keep all cores busy."""
    ready = queue(job("film", 60.0), *shorts(10, 1.5))
    form = machine(2, ready)
    assert choose(ready, (), form, AUTO, Chunking.AUTO, to_come_seconds=1.0)[0].parts > 1
    assert choose(ready, (), form, AUTO, Chunking.AUTO, to_come_seconds=60.0)[0].parts == 1
    assert choose(ready, (), form, AUTO, Chunking.AUTO, to_come_seconds=120.0) == []
    alone = queue(job("film", 20.0))
    assert choose(alone, (), form, AUTO, Chunking.AUTO)[0].parts == 1
    assert choose(alone, (), form, AUTO, Chunking.AUTO, to_come_seconds=0.0)[0].parts > 1  # else it has one thread


def test_two_long_films_are_both_divided() -> None:
    """With one of them whole nothing would be gained."""
    made = chosen(job("a", 600.0), job("b", 590.0), cores=8)
    assert [choice.parts > 1 for choice in made.values()] == [True, True]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"memory": 600 * MIB}, "memory holds only one part at a time, which takes 400 MiB"),
        ({"free_disk_bytes": 15e6}, "its parts and what is joined of them take 21.0 MB of the disk, and 15.0 MB are"),
        ({"settings": BatchSettings(enabled=False)}, "only one file runs at a time"),
        ({"settings": BatchSettings(jobs=1)}, "only one file runs at a time"),
    ],
)
def test_why_a_film_is_whole(changed: dict[str, object], told: str) -> None:
    """Whoever asks for the plan is told."""
    choice = chosen(job("film", 60.0), *shorts(10, 1.5), **changed)["film"]  # type: ignore[arg-type]
    assert choice.parts == 1
    assert choice.why.startswith(told)


def test_what_the_task_says_is_told() -> None:
    """As the end of a sentence."""
    capped = job("film", 60.0, Division(why_whole="The profile caps the bit rate."))
    assert chosen(capped)["film"] == Choice(capped, 1, "the profile caps the bit rate")
    assert chosen(job("short", 60.0, Division(most_parts=1))) == {}


def test_parts_that_cost_too_much_are_none() -> None:
    """Each takes as long as a tenth of the film."""
    dear = job("film", 60.0, replace(PARTS, part_seconds=6.0))
    assert chosen(dear, *shorts(10, 1.5))["film"].why == "parts would take over 3% more CPU time"


def test_a_film_that_failed_is_not_divided() -> None:
    """It is tried again as it was."""
    tried = replace(job("film", 60.0), tries=1)
    assert chosen(tried)["film"].parts == 1


def test_always_divides_every_film_that_may_be() -> None:
    """Also where nothing is gained, and on one core."""
    for cores in (1, 2):
        made = chosen(
            *(job(f"film {n}", 60.0) for n in range(9)), *shorts(2, 1.0), cores=cores, chunking=Chunking.ALWAYS
        )
        assert {name: choice.parts > 1 for name, choice in made.items()} == {f"film {n}": True for n in range(9)}
        assert made["film 8"].why == "the profile asks for it"


def test_two_hours_of_film_take_little_longer_than_their_work_shared_by_all_cores() -> None:
    """Whole it has 16 threads at most; on a machine on paper with parts that take a fifth longer or shorter."""
    division = Division(most_parts=720, part_seconds=0.15, join=Cost(2.0, 64 * MIB, 1 << 30))
    film = Clip(9000.0, 400 * MIB, KIND, 1.0, division)
    others = [Clip(seconds, 150 * MIB, KIND) for seconds in (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5)]
    ideal = sum(clip.cpu_seconds for clip in (film, *others)) / 32
    whole = simulate([replace(film, division=Division()), *others], 32)
    parts = simulate([film, *others], 32, uneven=1.2)
    assert parts.seconds <= 1.06 * ideal
    assert parts.seconds < whole.seconds / 2
    assert parts.parts * division.part_seconds <= MOST_EXTRA * film.cpu_seconds


def test_a_minute_of_film_among_short_ones_on_two_cores() -> None:
    """Whole, its second thread would gain less than parts do."""
    film = Clip(60.0, 400 * MIB, KIND, 1.0, replace(PARTS, most_parts=6))
    others = [Clip(seconds / 2, 150 * MIB, KIND) for seconds in range(1, 11)]
    ideal = sum(clip.cpu_seconds for clip in (film, *others)) / 2
    assert simulate([film, *others], 2, uneven=1.2).seconds <= 1.06 * ideal
    assert simulate([replace(film, division=Division()), *others], 2).seconds > 1.06 * ideal


LENGTHS = st.floats(0.1, 5000.0)


@given(
    films=st.lists(LENGTHS, min_size=1, max_size=6),
    others=st.lists(LENGTHS, max_size=30),
    left=st.lists(LENGTHS, max_size=4),
    cores=st.integers(1, 130),
    memory=st.integers(256 * MIB, 64 << 30),
    part_seconds=st.floats(0.0, 2.0),
    most_parts=st.integers(2, 700),
)
def test_what_is_divided_is_worth_it(
    films: list[float],
    others: list[float],
    left: list[float],
    cores: int,
    memory: int,
    part_seconds: float,
    most_parts: int,
) -> None:
    """Whatever waits and runs: parts within their bounds, only of what may outlast its share, the same each time."""
    division = Division(most_parts, "", part_seconds, Cost(0.2, MIB, MIB))
    jobs = [job(f"film {n}", seconds, division) for n, seconds in enumerate(films)]
    jobs += [job(f"other {n}", seconds, Division()) for n, seconds in enumerate(others)]
    running = tuple(RunningBatch(1, 400 * MIB, 1, seconds) for seconds in left[:cores])
    made = chosen(*jobs, cores=cores, memory=memory, running=running)
    assert made == chosen(*reversed(jobs), cores=cores, memory=memory, running=running)
    fair = (sum(each.wall_seconds(1) for each in jobs) + sum(left[:cores])) / cores
    for choice in made.values():
        extra = choice.parts * part_seconds + division.join.cpu_seconds
        assert choice.job.wall_seconds(1, choice.job.doubtful_cpu_seconds) > fair * (1 - 1e-9)
        assert 1 <= choice.parts <= most_parts
        if choice.parts > 1:
            assert extra <= MOST_EXTRA * choice.job.cpu_seconds
            assert choice.job.cpu_seconds / cores <= WORTH * choice.job.cpu_seconds
        else:
            assert choice.why
