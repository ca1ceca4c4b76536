"""The governor on machines that obey it: nothing is ever lost, nothing stands still, and memory holds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyprocessor.governor.governor import Decision, EventKind, Governed, Level, govern
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import BatchSettings, MonitoringSettings, Reading, ThrottlingSettings
from tests.unit.governed_plant import MIB, Film, Plant, ramp, with_predictions, x264_1080p
from tests.unit.running_jobs import running_job

ENCODE = Film(6.7, x264_1080p, 412)


def kinds(plant: Plant) -> list[str]:
    return [kind for kind, _ in plant.events]


# ---------------------------------------------------------------- the measured case


@pytest.mark.parametrize("margin", [1.0, 1.15])
def test_right_predictions_fill_the_memory_without_an_event(margin: float) -> None:
    """24 encodes of 412 MiB under 1,400: two run all the time, and the governor has nothing to say."""
    plant = Plant(with_predictions([ENCODE] * 24, margin)).run(200)
    assert plant.events == []
    assert plant.at_work / plant.elapsed > 1.95
    assert plant.peak < 0.8 * plant.total


@pytest.mark.parametrize("factor", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("delay_steps", [0, 1, 2])
def test_wrong_predictions_are_caught_in_time(factor: float, delay_steps: int) -> None:
    """Six are admitted at once and grow by 2 GiB a second: memory stays below the total, and all are done."""
    plant = Plant(with_predictions([ENCODE] * 24, factor), delay_steps=delay_steps).run(600)
    assert plant.peak < 0.95 * plant.total
    assert {"shrink", "suspend", "resume", "recover"} <= set(kinds(plant))
    assert plant.at_work / plant.elapsed > 1.2


def test_without_the_governor_they_would_not_be() -> None:
    """The same six, let run: the plant does pass its total, so that the tests above can fail."""
    plant = Plant(with_predictions([ENCODE] * 6, 0.25))
    plant.obey = lambda decision: None  # type: ignore[method-assign]
    for _ in range(60):
        plant.advance()
    assert plant.peak > plant.total


def test_a_hog_comes_and_goes() -> None:
    """Memory that others grab holds, shrinks and stops ours, and nothing is lost when they let go."""
    plant = Plant([ENCODE] * 16, others=lambda second: min(600, 300 * (second - 10)) if 10 < second < 30 else 0)
    plant.run(300)
    assert plant.peak < plant.total
    assert {"shrink", "recover"} <= set(kinds(plant))
    assert (plant.decisions[-1].level, plant.decisions[-1].share) == (Level.NORMAL, 1.0)


def test_a_limit_below_what_one_file_needs() -> None:
    """Each is done alone, as planned; none is stopped or ended."""
    plant = Plant([ENCODE] * 4, total=16_000, limit=300).run(60)
    assert {"suspend", "shed"}.isdisjoint(kinds(plant))
    assert plant.peak_ours < 600


def test_a_large_machine_is_filled() -> None:
    """64 files that start at once as predicted make no event, and all of them run."""
    film = Film(6, x264_1080p, 425)
    plant = Plant([film] * 128, total=36_000, at_once=64, cores=64).run(60)
    assert plant.events == []
    assert plant.at_work / plant.elapsed > 60


# ---------------------------------------------------------------- any films

FILMS = st.lists(
    st.builds(
        lambda seconds, peak, rate, factor: Film(seconds, ramp(peak, rate), peak * factor),
        st.floats(1, 10),
        st.floats(30, 900),
        st.floats(50, 400),
        st.sampled_from([0.1, 0.25, 0.5, 0.8, 1.0, 1.15, 2.0]),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=25)
@given(films=FILMS, at_once=st.integers(1, 8), delay_steps=st.integers(0, 1))
def test_memory_holds_and_every_run_ends(films: list[Film], at_once: int, delay_steps: int) -> None:
    """Whatever files take and whatever was predicted: as long as one fits, the total is never passed."""
    plant = Plant(films, at_once=at_once, delay_steps=delay_steps).run(150 + 40 * len(films))
    assert plant.peak < plant.total
    _events_tell_what_happened(plant.decisions)


@settings(max_examples=25)
@given(
    films=FILMS,
    at_once=st.integers(1, 8),
    limit=st.sampled_from([None, 400.0, 1000.0]),
    begins=st.floats(0, 15),
    lasts=st.floats(1, 60),
    takes=st.floats(100, 1200),
    rate=st.floats(20, 800),
)
def test_no_run_stands_still(
    films: list[Film], at_once: int, limit: float | None, begins: float, lasts: float, takes: float, rate: float
) -> None:
    """Others come and go, with and without a limit of our own: everything is done in the end."""

    def others(second: float) -> float:
        return min(takes, rate * (second - begins)) if begins < second < begins + lasts else 0.0

    plant = Plant(films, at_once=at_once, limit=limit, others=others).run(200 + 60 * len(films))
    assert sorted(plant.done) == sorted(f"f{number:03}" for number in range(len(films)))
    _events_tell_what_happened(plant.decisions)


def _events_tell_what_happened(decisions: Sequence[Decision]) -> None:
    """Each file that is stopped, ended or resumed has its event, and each step up and each return is told."""
    before = Governed()
    for decision in decisions:
        told = {(event.kind.value, event.job_id) for event in decision.events}
        assert {("suspend", job) for job in decision.suspend} <= told
        assert {("resume", job) for job in decision.resume} <= told
        assert {("shed", job) for job in decision.shed} <= told
        assert decision.take_back == (("shrink", None) in told)
        assert (("shrink", None) in told) == (decision.state.share < before.share)
        up = decision.state.level > before.level and decision.state.level >= Level.SHRINK
        assert told or not up
        back = decision.state.level < Level.SHRINK <= before.level
        assert (("recover", None) in told) or not back
        if (decision.state.level, decision.state.share) == (before.level, before.share):
            assert {kind for kind, _ in told} <= {"suspend", "resume", "shed", "hold"}
        before = decision.state


def test_nothing_flaps() -> None:
    """No file is stopped right after it was resumed, and memory does not go over and back within three seconds."""
    plant = Plant(with_predictions([ENCODE] * 24, 0.25)).run(600)
    resumed: dict[str, float] = {}
    for number, decision in enumerate(plant.decisions):
        now = number * plant.step
        assert all(now - resumed.get(job, -9) > 0.5 for job in decision.suspend)
        resumed |= dict.fromkeys(decision.resume, now)
    back = [
        number * plant.step
        for number, (before, after) in enumerate(pairwise(plant.decisions))
        if before.level >= Level.SHRINK > after.level
    ]
    assert back
    assert all(later - earlier >= 3 for earlier, later in pairwise(back))


# ---------------------------------------------------------------- any readings


AMOUNTS = st.integers(0, 1200)
SIGHTS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.05, 0.5, 3.0, 500.0, -7.0]),
        AMOUNTS,
        st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 500), st.integers(0, 500), st.booleans(), st.integers(0, 4)),
            max_size=6,
            unique_by=lambda file: file[0],
        ),
        st.sampled_from([None, 0.0, 10.0, 50.0]),
        st.integers(0, 3),
    ),
    max_size=12,
)


@given(sights=SIGHTS, limit=st.sampled_from([None, 300]))
@example(
    sights=[
        (0.0, 0, [], None, 0),
        (0.0, 476, [(0, 0, 0, False, 0), (1, 0, 0, False, 0)], None, 1),
        (3.0, 0, [(1, 0, 0, False, 0), (2, 0, 0, False, 0)], 50.0, 0),
    ],
    limit=None,
)
@example(
    sights=[
        (0.0, 0, [], None, 0),
        (0.0, 476, [(0, 16, 0, False, 0), (1, 0, 0, True, 0)], None, 1),
        (0.5, 0, [(0, 0, 0, False, 0), (1, 0, 0, False, 0)], None, 0),
        (0.5, 0, [(0, 164, 0, False, 0), (1, 0, 0, False, 0), (2, 4, 0, True, 0)], None, 0),
    ],
    limit=300,
)
def test_what_always_holds(
    sights: list[tuple[float, int, list[tuple[int, int, int, bool, int]], float | None, int]],
    limit: int | None,
) -> None:
    """Any readings in any order: only files that run are told anything, one goes on, and decisions are repeatable."""
    state = Governed()
    now = 1000.0
    batch = BatchSettings(memory_limit_bytes=None if limit is None else limit * MIB)
    throttling, monitoring = ThrottlingSettings(), MonitoringSettings()
    for step, used, seen, pressure, total in sights:
        now += step
        files = [
            running_job(
                f"f{n}",
                started_seconds=900.0 + n,
                memory_bytes=memory * MIB,
                predicted_bytes=predicted * MIB,
                suspended=suspended,
                sheds=sheds,
            )
            for n, memory, predicted, suspended, sheds in seen
        ]
        ours = sum(file.memory_bytes for file in files)
        reading = Reading(now, 4, total * 500 * MIB, used * MIB, ours, 50.0, 1 << 40, pressure)
        decision = govern(state, reading, files, batch, throttling, monitoring)
        assert decision == govern(state, reading, files[::-1], batch, throttling, monitoring)
        _holds(decision, state, reading, files)
        state = decision.state


def _ordered(state: Governed, kind: EventKind) -> set[str]:
    """The jobs that such an order is on its way to."""
    return {job_id for job_id, (order, _) in state.orders.items() if order is kind}


def _holds(decision: Decision, before: Governed, reading: Reading, files: Sequence[RunningJob]) -> None:
    ids = {file.job_id for file in files}
    stopped, ended, resumed = set(decision.suspend), set(decision.shed), set(decision.resume)
    assert stopped | ended | resumed <= ids
    assert len(stopped) + len(ended) + len(resumed) == len(stopped | ended | resumed)
    # An order that nobody carried out for a second is held for lost, and its file for one that goes on.
    ending = _ordered(decision.state, EventKind.SHED) & ids - ended
    told = _ordered(before, EventKind.SUSPEND)
    stopping = _ordered(decision.state, EventKind.SUSPEND) - stopped | told & ended
    assert all(decision.state.orders[job_id] == (EventKind.SHED, 0.0) for job_id in ended)
    budget = reading.total_memory_bytes * 0.8
    others = max(0, reading.used_memory_bytes - reading.our_memory_bytes)
    crowded = 0 < budget < others + decision.state.growth.others_rate * 0.5
    if ids - ending and not crowded:
        assert ids - ending - ended, "all files were ended"
        pausing = {file.job_id for file in files if file.suspended}
        if ids - ending - pausing - stopping:
            going = ids - ending - ended - stopped - (pausing - _ordered(before, EventKind.RESUME))
            assert going - stopping, "nothing goes on"
    if ended and reading.total_memory_bytes:
        over = reading.used_memory_bytes > budget
        assert over or reading.our_memory_bytes > 300 * MIB
    assert decision.hold is not False or decision.level is Level.NORMAL or not ids - ending
    assert 1 / 16 <= decision.share <= 1
    assert decision.room_bytes >= 0
    assert all(event.text.endswith(".") and "\n" not in event.text for event in decision.events)
