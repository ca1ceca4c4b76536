"""The chance that work is done in time: what it follows from, and how often it is right."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

from pyprocessor.costs.model import CostClass, CostModel, class_of
from pyprocessor.models import WHOLE, Cost, CostFeatures, Job, Origin, Profile, Source
from pyprocessor.plan.chances import PlannedRun, forecast
from pyprocessor.plan.preview import simulated
from tests.unit.simulated_machine import Clip, simulate
from tests.unit.test_planner_preview import machine

KIND = CostClass("transcode", "libx264", "medium", "360p", "yuv420p", 1)
MIB = 1 << 20


def planned(*seconds: float, spread: float = 1.2, measured: int = 50) -> list[PlannedRun]:
    """Jobs that run one after another on one core."""
    starts = [sum(seconds[:place]) for place in range(len(seconds))]
    return [
        PlannedRun(str(place), KIND, start, each, spread, measured)
        for place, (start, each) in enumerate(zip(starts, seconds, strict=True))
    ]


def test_the_chance_grows_with_the_time_there_is() -> None:
    """From none to certain, one half at the median; the same plan gives the same."""
    runs = planned(10.0, 20.0, 30.0)
    known = forecast(runs, {})
    assert known.chance == 1.0
    assert known.seconds == pytest.approx(60.0, rel=0.1)
    assert known.seconds_low < known.seconds < known.seconds_high
    at = [known.seconds_in(share) for share in (0.1, 0.5, 0.9)]
    chances = [forecast(runs, {"2": seconds}).chance for seconds in at]
    assert chances == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
    assert forecast(runs, {"2": at[1]}) == forecast(runs, {"2": at[1]})


def test_every_job_has_its_own_time() -> None:
    """All of them count, and one that is late is enough."""
    runs = planned(10.0, 10.0)
    assert forecast(runs, {"0": 15.0, "1": 1e9}).chance > 0.9
    assert forecast(runs, {"0": 1.0, "1": 1e9}).chance == 0.0


def test_errors_in_common_do_not_even_out() -> None:
    """Many jobs of a kind that was never measured may be late all together; those of a known kind hardly."""
    unknown = forecast(planned(*[1.0] * 100, spread=1.5, measured=0), {})
    known = forecast(planned(*[1.0] * 100, spread=1.5, measured=64), {})
    assert unknown.seconds_high / unknown.seconds > 1.5
    assert known.seconds_high / known.seconds < 1.2


def test_jobs_that_follow_others_begin_after_them() -> None:
    """Also where cores are free, and where what they follow takes none."""
    first = PlannedRun("a", KIND, 0.0, 10.0, 1.0, 1, cores=0)
    runs = [first, PlannedRun("b", KIND, 10.0, 5.0, 1.0, 1, needs=("a",)), PlannedRun("c", KIND, 0.0, 4.0, 1.0, 1)]
    assert forecast(runs, {"b": 14.9}).chance == 0.0
    assert forecast(runs, {"b": 15.1}).chance == 1.0


def test_a_plan_of_a_pipeline_keeps_its_order() -> None:
    """What waits begins when that has ended which it waits for, in the plan and in all that follows from it."""
    jobs = [
        (job(str(place), after=(str(place - 1),) if place else ()), class_of(features(5.0), 1), WHOLE)
        for place in range(3)
    ]
    _, runs = simulated(jobs, machine(4), Profile("p", "f"), CostModel())
    assert [run.job_id for run in runs] == ["0", "1", "2"]
    assert all(later.start_seconds >= run.start_seconds + run.seconds for run, later in itertools.pairwise(runs))
    assert [run.needs for run in runs] == [(), ("0",), ("1",)]


def test_a_job_whose_chance_is_said_to_be_four_in_five_is_in_time_in_four_of_five_runs() -> None:
    """Of simulated runs by true costs that the model knows from few or many attempts, or not at all.

    Each world has a kind of job that takes longer or shorter than the model's tables have it, each job of it besides
    by its own factor. The plan and the runs are the planner's; the machine is one on paper.
    """
    rng = random.Random(11)
    in_time: dict[int, list[bool]] = {}
    for _ in range(20):
        for seen in (0, 5, 40):
            bias = rng.gauss(0.0, 0.6)
            own = rng.uniform(0.1, 0.35) if seen else 0.1
            model = CostModel()
            kind = features(30.0)
            for _ in range(seen):
                taken = model_prior(kind).cpu_seconds * math.exp(bias + rng.gauss(0.0, own))
                model = model.observe(kind, 1, Cost(taken, MIB, 0))
            number, cores = rng.randint(4, 12), rng.choice((1, 2, 4))
            shapes = [features(rng.uniform(5.0, 120.0)) for _ in range(number)]
            todo = [
                (replace(job(f"{place:06}"), cost=model.predict(each, 1)), class_of(each, 1), WHOLE)
                for place, each in enumerate(shapes)
            ]
            _, runs = simulated(todo, machine(cores), Profile("p", "f"), model)
            due = forecast(runs, {}).seconds_in(0.8)
            clips = [
                Clip(
                    model.predict(each, 1).cpu_seconds,
                    MIB * 100,
                    class_of(each, 1),
                    model_prior(each).cpu_seconds
                    * math.exp(bias + rng.gauss(0.0, own))
                    / model.predict(each, 1).cpu_seconds,
                )
                for each in shapes
            ]
            in_time.setdefault(seen, []).append(simulate(clips, cores).seconds <= due)
    everything = [each for found in in_time.values() for each in found]
    assert 0.7 <= sum(everything) / len(everything) <= 0.9, {seen: sum(found) for seen, found in in_time.items()}


def model_prior(each: CostFeatures) -> Cost:
    """What is predicted where nothing was ever measured."""
    return CostModel().predict(each, 1)


def features(seconds: float) -> CostFeatures:
    """A clip of 360 lines."""
    pixels = 640 * 360
    return CostFeatures("transcode", "libx264", "medium", pixels, pixels, "yuv420p", seconds * 25, seconds, 10**6)


def job(job_id: str, after: tuple[str, ...] = ()) -> Job:
    """A job that waits for others."""
    source = Source(b"/in/a", job_id.encode(), 1, 1)
    return Job(job_id, "transcode", source, b"", "", Cost(5.0, MIB, 0), origin=Origin.SUBMITTED, after=after)
