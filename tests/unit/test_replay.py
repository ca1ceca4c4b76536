"""Recommendations follow from the replay of a run, with numbers; none where nothing would be saved."""

from __future__ import annotations

from dataclasses import replace
from datetime import time

import pytest

from pyprocessor.costs.model import CostModel, class_of
from pyprocessor.models import (
    WHOLE,
    BatchSettings,
    Chunking,
    Cost,
    CostFeatures,
    Division,
    Job,
    Mode,
    Profile,
    Reading,
    Recommendation,
    ScheduleSettings,
    Source,
    ThrottlingSettings,
)
from pyprocessor.plan.preview import preview
from pyprocessor.plan.replay import MOST_REPLAYED, Ran, RunToReplay, idle_seconds, not_replayed, recommendations

MIB, GIB = 1 << 20, 1 << 30
FEATURES = CostFeatures("transcode", "libx264", "medium", 1280 * 720, 1280 * 720, "yuv420p", 500.0, 20.0, 10**6)
PARTS = Division(20, part_seconds=0.2, join=Cost(0.2, 42 * MIB, MIB))


def known() -> CostModel:
    """A model that has measured such jobs often, so that margins are narrow."""
    model = CostModel()
    for _ in range(20):
        model = model.observe(FEATURES, 1, Cost(30.0, 200 * MIB, 0))
    return model


MODEL = known()


def ran(*cpu_seconds: float, memory: int = 200 * MIB, division: Division = WHOLE) -> tuple[Ran, ...]:
    """Jobs that took so many CPU-seconds each."""
    made = []
    for number, cpu in enumerate(cpu_seconds):
        name = f"film {number}.mov".encode()
        job = Job(
            f"{number:032}", "transcode", Source(b"/in/" + name, name, 10**6, 1), name, "", Cost(cpu, memory, MIB)
        )
        made.append(Ran(job, class_of(FEATURES, 1), division, cpu))
    return tuple(made)


def run(
    jobs: tuple[Ran, ...], profile: Profile, *, cores: int = 2, scale: float = 1.0, total: int = 8 * GIB
) -> RunToReplay:
    """A run that took `scale` times what its replay takes, with nothing else on the machine."""
    reading = Reading(0.0, cores, total, GIB // 4, GIB // 4, 0.0, 1 << 40)
    divided = [(r.job, r.cost_class, WHOLE if profile.chunking is Chunking.OFF else r.division) for r in jobs]
    plan = preview(divided, reading, profile, MODEL)
    seconds = scale * max(batch.end_seconds for batch in plan.batches)
    return RunToReplay(jobs, reading, profile, MODEL, seconds, seconds)


def profile(*, chunking: Chunking = Chunking.AUTO, **batch: object) -> Profile:
    settings = BatchSettings(**batch)  # type: ignore[arg-type]
    return Profile("p", "f", batch=settings, chunking=chunking)


def only(found: tuple[Recommendation, ...]) -> Recommendation:
    assert len(found) == 1, found
    return found[0]


def test_nothing_is_said_of_a_run_that_could_not_be_faster() -> None:
    """Files of one size that fill all cores."""
    assert recommendations(run(ran(*[30.0] * 8), profile())) == ()


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_memory_for_one_file_at_a_time(scale: float) -> None:
    """The smallest limit that lets two files run at once, and for how long the second core had nothing to do."""
    limit = OVERHEAD_AND_ONE
    found = recommendations(run(ran(*[30.0] * 8), profile(memory_limit_bytes=limit), scale=scale))
    one = only(found)
    assert one.option == "--memory-limit 680M"
    assert one.saved_seconds == pytest.approx(scale * 120, rel=0.02)
    assert one.run_seconds == pytest.approx(scale * 120, rel=0.02)
    assert one.idle_percent == pytest.approx(100 * 7 / 8, abs=1)  # while the last one runs, none waits
    saved = {1.0: "2 min 00 s", 1.5: "3 min 00 s"}[scale]
    held = f"{one.idle_percent:.0f}%"
    assert one.text == f"Memory held the run back for {held} of the time; --memory-limit 680M would have saved {saved}."


OVERHEAD_AND_ONE = 340 * MIB
"""What the programs take themselves, and one file at one thread."""


def test_the_share_of_memory_that_is_enough() -> None:
    """Of the percentages that save nearly all, the lowest."""
    tight = replace(run(ran(*[30.0] * 8), profile(max_memory_percent=50.0), total=750 * MIB), reading=READING_750)
    assert only(recommendations(tight)).option == "--max-memory 80"


READING_750 = Reading(0.0, 2.0, 750 * MIB, 16 * MIB, 16 * MIB, 0.0, 1 << 40)


def test_one_long_file() -> None:
    """It is named with its share of the time, and in parts all cores end together."""
    jobs = ran(1200.0, *[20.0] * 60, division=PARTS)
    one = only(recommendations(run(jobs, profile(chunking=Chunking.OFF), cores=8)))
    assert one.option == "--chunking auto"
    assert one.text.startswith(
        "film 0.mov alone took 100% of the time; in parts (--chunking auto) it would have saved "
    )
    assert one.run_seconds == pytest.approx(302, rel=0.02)


def test_one_long_file_among_more_than_there_are_cores() -> None:
    """Three at once on two cores do no more work a second than two."""
    jobs = ran(200.0, 20.0, 20.0, division=PARTS)
    one = only(recommendations(run(jobs, profile(chunking=Chunking.OFF, jobs=3))))
    assert one.option == "--chunking auto"
    assert one.run_seconds == pytest.approx(122, rel=0.02)


def test_a_long_file_that_cannot_be_divided() -> None:
    """Its contents forbid parts, so nothing is said of them."""
    assert recommendations(run(ran(200.0, 20.0, 20.0), profile(chunking=Chunking.OFF))) == ()


def test_a_cpu_limit() -> None:
    """To leave it out is a sentence of its own."""
    limited = replace(profile(), throttling=ThrottlingSettings(cpu_limit_percent=50.0))
    one = only(recommendations(run(ran(*[30.0] * 8), limited)))
    assert one.option == "no --cpu-limit"
    assert (
        one.text
        == "--cpu-limit 50 held the run back for 88% of the time; leaving out --cpu-limit would have saved 2 min 00 s."
    )


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_can_be_replayed(mode: Mode) -> None:
    """The usual one is recommended where a mode left cores idle, and not where the order was asked for."""
    settings = profile(mode=mode, enabled=mode is not Mode.SEQUENTIAL)
    found = recommendations(run(ran(*[60.0] * 40), settings, cores=4))
    assert [one.option for one in found] == (["--mode auto"] if mode in (Mode.SEQUENTIAL, Mode.CHUNKED) else [])


def test_one_process_for_all() -> None:
    """One after another in one process."""
    assert (
        only(recommendations(run(ran(*[60.0] * 8), profile(mode=Mode.SEQUENTIAL, enabled=False), cores=4))).option
        == "--mode auto"
    )


def test_batches_that_are_too_large() -> None:
    """The last batch of a fixed size leaves cores idle."""
    found = recommendations(run(ran(*[30.0] * 9), profile(batch_size=9), cores=4))
    assert [one.option for one in found] in ([], ["--batch-size auto"])


def test_the_hours() -> None:
    """What a run waited for its window is told, and is not taken for work."""
    night = replace(profile(), schedule=ScheduleSettings(window=(time(22), time(6))))
    begun = run(ran(*[30.0] * 8), night)
    waited = replace(begun, seconds=begun.seconds + 3600, closed_seconds=3600.0)
    one = only(recommendations(waited))
    assert (one.option, one.saved_seconds) == ("no --window", 3600.0)
    assert (
        one.text
        == "The run waited 1 h 00 min for its window 22:00-06:00 to open; without --window it would have saved that."
    )


def test_what_saves_little_is_not_worth_a_word() -> None:
    """Less than ten seconds, however large a share; and less than a twentieth of a long run."""
    limited = profile(memory_limit_bytes=OVERHEAD_AND_ONE)
    assert recommendations(run(ran(4.0, 4.0), limited)) == ()
    half_day = replace(run(ran(*[30.0] * 8), limited), seconds=12_000.0, worked_seconds=240.0)
    assert recommendations(half_day) == ()


def test_runs_that_are_not_replayed() -> None:
    """Without jobs, with very many, and where something unknown was waited for most of the time."""
    limited = profile(memory_limit_bytes=OVERHEAD_AND_ONE)
    usual = run(ran(*[30.0] * 8), limited)
    assert recommendations(replace(usual, jobs=())) == ()
    assert not_replayed(usual) == ""
    for changed, why in (
        (replace(usual, jobs=usual.jobs * MOST_REPLAYED), "The run had 40,000 jobs, and 5,000 are replayed at most."),
        (replace(usual, worked_seconds=usual.seconds / 3), "the run waited for what no setting changes."),
        (replace(usual, worked_seconds=9.0), "Work was on for less than 10 s, so that little can be saved."),
        (replace(usual, seconds=-5.0), "The clock was set back while the run was on."),
        (replace(usual, seconds=0.0), "The clock was set back while the run was on."),
    ):
        assert not_replayed(changed).endswith(why), not_replayed(changed)
        assert recommendations(changed) == ()


def test_idle_seconds() -> None:
    """A core counts as idle only as long as some file has yet to start."""
    begun = run(ran(30.0, 30.0, 30.0), profile(memory_limit_bytes=OVERHEAD_AND_ONE))
    jobs = [(r.job, r.cost_class, WHOLE) for r in begun.jobs]
    plan = preview(jobs, begun.reading, begun.profile, MODEL)
    assert idle_seconds(plan, 2.0) == pytest.approx(60, rel=0.01)
    assert idle_seconds(plan, 1.0) == 0.0


def test_cores_that_other_programs_used_are_not_counted_on() -> None:
    """On a machine that is full nothing is saved by more files at once, on one that is half full less."""
    usual = run(ran(*[30.0] * 8), profile(memory_limit_bytes=OVERHEAD_AND_ONE))
    assert recommendations(replace(usual, reading=replace(usual.reading, cpu_percent=50.0))) == ()
    busy = replace(usual, reading=replace(usual.reading, cpu_percent=25.0))
    assert only(recommendations(busy)).run_seconds == pytest.approx(160, rel=0.01)
