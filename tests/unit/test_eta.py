"""When a run will be done: over simulated runs, and for any numbers at all."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.plan.eta import Eta, Pace, Work, estimate
from tests.unit.running_jobs import running_job


def part_done(
    cpu_seconds: float, spread: float, threads: int, share: float | None, active_seconds: float
) -> RunningJob:
    """A file that has run for so long at the time 0, of which this share is done; None where that is not known."""
    return running_job(
        cpu_seconds=cpu_seconds,
        spread=spread,
        cores=threads,
        media_seconds=0.0 if share is None else 1.0,
        progress_seconds=share or 0.0,
        started_seconds=-active_seconds,
    )


costs = st.floats(0, 1e7)
spreads = st.floats(1, 4)
waiting_parts = st.lists(st.tuples(costs, spreads), max_size=5)
running_parts = st.lists(
    st.builds(
        part_done,
        cpu_seconds=costs,
        spread=spreads,
        threads=st.integers(0, 64),
        share=st.none() | st.floats(-0.5, 1.5),
        active_seconds=st.floats(-10, 1e6),
    ),
    max_size=5,
)
looks = st.lists(st.tuples(st.floats(-100, 1e5), st.floats(0, 1e7), st.floats(-1, 128)), max_size=20)


def pace_of(steps: Sequence[tuple[float, float, float]]) -> Pace:
    """The pace after looks that are so many seconds apart; the clock may go backwards."""
    pace, now = Pace(), 0.0
    for passed, retired, concurrency in steps:
        now += passed
        pace = pace.after(now, retired, concurrency)
    return pace


def steady(rate: float, concurrency: float, seconds: float) -> Pace:
    """The pace of a run that has gone at this rate per unit for so long."""
    pace = Pace()
    for step in range(int(seconds * 2) + 1):
        pace = pace.after(step / 2, step / 2 * rate * concurrency, concurrency)
    return pace


def known(eta: Eta) -> tuple[float, float, float]:
    """Low, middle and high, which must all be there."""
    assert eta.low is not None
    assert eta.seconds is not None
    assert eta.high is not None
    return eta.low, eta.seconds, eta.high


def test_before_anything_was_measured_predictions_count_as_they_are() -> None:
    """A predicted CPU-second is taken to need a second of one thread, in a wide band."""
    low, middle, high = known(estimate(Pace(), 4, [(400.0, 2.0)], (), 0.0))
    assert middle == pytest.approx(100.0)
    assert low < 60
    assert high > 200


@pytest.mark.parametrize("rate", [0.2, 0.9, 3.0])
def test_predictions_that_are_wrong_by_one_factor_are_made_up_for(rate: float) -> None:
    """The measured pace carries the error of the predictions, so the time comes out right."""
    _, middle, _ = known(estimate(steady(rate, 4, 300), 4, [(4000.0, 1.2)], (), 0.0))
    assert middle == pytest.approx(1000.0 / rate, rel=0.05)


def test_fewer_at_once_take_longer_at_once() -> None:
    """When the governor halves how many run, the time doubles without a new measurement."""
    pace, left = steady(0.9, 8, 120), [(4000.0, 1.2)]
    whole, half = known(estimate(pace, 8, left, (), 0.0)), known(estimate(pace, 4, left, (), 0.0))
    assert half == pytest.approx([2 * part for part in whole])


def test_the_band_narrows_with_what_is_known() -> None:
    """A better known class, and a longer measurement, each make it narrower."""

    def width(pace: Pace, spread: float) -> float:
        low, _, high = known(estimate(pace, 2, [(1000.0, spread)], (), 0.0))
        return high / low

    assert width(Pace(), 2.0) > width(steady(1, 2, 10), 2.0) > width(steady(1, 2, 100), 2.0)
    assert width(steady(1, 2, 100), 2.0) > width(steady(1, 2, 100), 1.1)
    several = known(estimate(Pace(), 2, [(250.0, 2.0)] * 4, (), 0.0))
    assert several[2] / several[0] < width(Pace(), 2.0), "classes do not all err to the same side"


def test_one_long_file_at_the_end_sets_the_time() -> None:
    """With cores to spare the run still takes as long as its last file, by that file's own speed."""
    last = part_done(cpu_seconds=1000.0, spread=1.2, threads=1, share=0.5, active_seconds=800.0)
    low, middle, high = known(estimate(steady(1, 8, 300), 8, (), [last], 0.0))
    assert middle == pytest.approx(0.5 * (800 + 100) / 0.6, rel=0.02)
    assert low > 0.8 * middle
    assert high < 1.2 * middle


def test_a_file_of_unknown_duration_counts_by_its_prediction() -> None:
    """Without a share done, time passed is what there is; it never counts as all but done."""
    young, old = (part_done(100.0, 2.0, 1, None, seconds) for seconds in (20.0, 5000.0))
    assert known(estimate(Pace(), 1, (), [young], 0.0))[1] == pytest.approx(80.0)
    assert known(estimate(Pace(), 1, (), [old], 0.0))[1] == pytest.approx(10.0)


def test_nothing_left_is_done_now() -> None:
    """At the end the time is 0, not unknown; nothing may run either then."""
    assert estimate(Pace(), 0, (), (), 0.0) == Eta(0.0, 0.0, 0.0)


def test_while_nothing_may_run_nothing_is_said() -> None:
    """A run that is held altogether has no end in sight, and says so rather than infinity."""
    assert estimate(Pace(), 0, [(10.0, 1.0)], (), 0.0) == Eta()


def test_while_files_are_still_found_only_the_least_is_known() -> None:
    """What is known of so far is a lower bound."""
    eta = estimate(Pace(), 2, [(100.0, 1.0)], (), 0.0, listing_done=False)
    assert (eta.seconds, eta.high) == (None, None)
    assert eta.low == known(estimate(Pace(), 2, [(100.0, 1.0)], (), 0.0))[0]
    assert estimate(Pace(), 2, (), (), 0.0, listing_done=False) == Eta()


def test_hours_of_pause_leave_the_pace_as_it_was() -> None:
    """While nothing runs nothing is measured and nothing fades."""
    before = steady(0.7, 4, 200)
    pace, now = before, 200.0
    pace = pace.after(now + 0.5, before.done, 0)
    for hour in range(1, 10):
        pace = pace.after(now + hour * 3600, before.done, 0)
    assert pace.rate == pytest.approx(before.rate, rel=0.01)
    assert pace.spread == pytest.approx(before.spread, rel=0.01)


def test_what_nobody_watched_is_not_measured() -> None:
    """A program that was stopped for an hour, ffmpegs and all, neither counts the hour nor loses its pace."""
    before = steady(0.7, 4, 200)
    after = before.after(3800.0, before.done + 1.0, 4).after(3800.5, before.done + 1.0 + 0.7 * 4 * 0.5, 4)
    assert after.rate == pytest.approx(before.rate, rel=0.01)


def test_a_clock_that_does_not_go_on_changes_nothing() -> None:
    """Two looks at one moment, or one before the other, are one."""
    pace = steady(1, 2, 10)
    assert pace.after(10.0, 1e6, 2) is pace
    assert pace.after(3.0, 1e6, 2) is pace
    assert pace.after(math.nan, 1e6, 2) is pace


def test_work_that_is_to_be_done_again_does_not_slow_the_pace() -> None:
    """A file that was ended takes its share back; the machine was as fast as it was."""
    before = steady(1, 2, 60)
    after = before.after(60.5, before.done - 50, 2)
    assert after.rate == pytest.approx(before.rate, rel=0.02)


def test_a_machine_that_slows_down_is_followed() -> None:
    """After some minutes at half the pace, the estimate is of that pace."""
    pace = steady(1, 2, 600)
    for step in range(1, 1200):
        pace = pace.after(600 + step / 2, pace.done + 0.5 * 0.5 * 2, 2)
    assert pace.rate == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_over_a_simulated_run(seed: int) -> None:
    """Files off by up to 1.5 either way, on four cores, held for an hour midway: the truth stays in the band."""
    chance = random.Random(seed)
    files = [(cost, cost * chance.uniform(1 / 1.5, 1.5)) for cost in (chance.uniform(5, 60) for _ in range(200))]
    files.sort(reverse=True)
    waiting, running = files, list[list[float]]()  # of each running file: predicted, true, seconds it has run
    pace, now, retired, told = Pace(), 0.0, 0.0, list[tuple[float, Eta]]()
    paused = 0.0
    while waiting or running:
        while waiting and len(running) < 4:
            predicted, true = waiting.pop(0)
            running.append([predicted, true, 0.0])
        if now == 300.0 and not paused:
            paused = 3600.0
            pace = pace.after(now + 0.5, retired + sum(p * s / t for p, t, s in running), 0)
            now += paused
        now += 0.5
        for file in running:
            file[2] += 0.5
        retired += sum(file[0] for file in running if file[2] >= file[1])
        running = [file for file in running if file[2] < file[1]]
        pace = pace.after(now, retired + sum(p * s / t for p, t, s in running), len(running))
        left = [(sum(predicted for predicted, _ in waiting), 1.5)]
        progress = [part_done(p, 1.5, 1, s / t, s) for p, t, s in running]
        told.append((now, estimate(pace, 4, left, progress, 0.0)))
    end = now
    held = [known(eta)[0] <= end - at + 1 and end - at <= known(eta)[2] + 1 for at, eta in told if at > 3900]
    assert sum(held) >= 0.95 * len(held)
    middle = [(known(eta)[1], end - at) for at, eta in told if at > 3900 and end - at > 60]
    assert all(0.75 * truth <= eta <= 1.33 * truth for eta, truth in middle)


@given(looks, st.floats(0, 256), waiting_parts, running_parts, st.booleans())
def test_the_band_holds_the_middle_and_all_is_finite(
    steps: list[tuple[float, float, float]],
    concurrency: float,
    waiting: list[Work],
    running: list[RunningJob],
    listing_done: bool,
) -> None:
    """Whatever was measured: low <= middle <= high, not negative, none of them infinite or no number."""
    pace = pace_of(steps)
    assert pace.rate > 0
    assert pace.spread >= 1
    eta = estimate(
        pace,
        max(concurrency, 1e-3) if concurrency else 0.0,
        waiting,
        running,
        0.0,
        listing_done=listing_done,
    )
    told = [part for part in (eta.low, eta.seconds, eta.high) if part is not None]
    assert told == sorted(told)
    assert all(math.isfinite(part) and part >= 0 for part in told)


@given(looks, st.floats(0.5, 256), waiting_parts, running_parts, st.floats(1, 1e6), spreads)
def test_more_left_never_ends_earlier(
    steps: list[tuple[float, float, float]],
    concurrency: float,
    waiting: list[Work],
    running: list[RunningJob],
    more: float,
    spread: float,
) -> None:
    """Another waiting file, or one that runs and is less far, puts the end and the far edge of the band no earlier."""
    pace = pace_of(steps)
    before = estimate(pace, concurrency, waiting, running, 0.0)
    after = estimate(pace, concurrency, [*waiting, (more, spread)], running, 0.0)
    assert known(before)[1] <= known(after)[1] * (1 + 1e-9)
    assert known(before)[2] <= known(after)[2] * (1 + 1e-9)
    known_shares = [part for part in running if part.media_seconds]
    back = [replace(part, progress_seconds=part.progress_seconds - 0.3) for part in known_shares]
    nearer = known(estimate(pace, concurrency, waiting, known_shares, 0.0))
    assert nearer[1] <= known(estimate(pace, concurrency, waiting, back, 0.0))[1] * (1 + 1e-9)


@given(looks, st.floats(0.5, 100), waiting_parts, running_parts)
def test_more_at_once_never_ends_later(
    steps: list[tuple[float, float, float]], concurrency: float, waiting: list[Work], running: list[RunningJob]
) -> None:
    """When more may run, the end comes no later."""
    pace = pace_of(steps)
    fewer = known(estimate(pace, concurrency, waiting, running, 0.0))[1]
    assert known(estimate(pace, concurrency + 1, waiting, running, 0.0))[1] <= fewer


def test_jobs_that_mostly_wait_take_as_long_as_they_wait() -> None:
    """However little there is to compute, and beside whatever is computed meanwhile."""
    assert known(estimate(Pace(), 1, [(1.0, 2.0)], (), 0.0, beside_seconds=300.0)) == (300.0, 300.0, 300.0)
    assert estimate(Pace(), 1, [(4000.0, 2.0)], (), 0.0, beside_seconds=3.0) == estimate(
        Pace(), 1, [(4000.0, 2.0)], (), 0.0
    )
