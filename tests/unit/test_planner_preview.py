"""The preview: a simulated run whose figures follow from its batches."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from pyprocessor.costs.model import CostClass, CostModel, class_of
from pyprocessor.models import (
    WHOLE,
    BatchSettings,
    Cost,
    CostFeatures,
    Division,
    Job,
    Profile,
    Reading,
    SkippedFile,
    Source,
    ThrottlingSettings,
)
from pyprocessor.plan.preview import preview
from pyprocessor.report.plan import plan_text

GIB = 1 << 30
MODEL = CostModel()
PROFILE = Profile("p", "f")


def jobs(*clips: tuple[int, int, float]) -> list[tuple[Job, CostClass, Division]]:
    """Jobs for clips of (width, height, seconds)."""
    made = []
    for number, (width, height, seconds) in enumerate(clips):
        features = CostFeatures(
            "transcode", "libx264", "medium", width * height, width * height, "yuv420p", seconds * 25, seconds, 10**6
        )
        name = f"{number}.avi".encode()
        source = Source(b"/in/" + name, name, 10**6, 1)
        cost = MODEL.predict(features, 1)
        job = Job(f"{number:032}", "transcode", source, f"{number}.mp4".encode(), "", cost)
        made.append((job, class_of(features, 1), WHOLE))
    return made


def machine(cores: int, total: int = 32 * GIB) -> Reading:
    """A machine with nothing else on it."""
    return Reading(0.0, cores, total, GIB // 4, GIB // 4, 0.0, 1 << 40)


def mixed() -> list[tuple[Job, CostClass, Division]]:
    """Forty-one clips of all sizes."""
    rng = random.Random(3)
    sizes = [(640, 360)] * 15 + [(1280, 720)] * 15 + [(1920, 1080)] * 10 + [(3840, 2160)]
    return jobs(*((width, height, rng.uniform(2, 60)) for width, height in sizes))


@pytest.mark.parametrize("cores", [1, 2, 4, 8])
def test_a_mixed_set_is_packed_tightly(cores: int) -> None:
    """The simulated run is within six percent of the best there can be, and names every file once."""
    todo = mixed()
    plan = preview(todo, machine(cores), PROFILE, MODEL)
    assert sorted(f.name for b in plan.batches for f in b.files) == sorted(job.source.relative for job, *_ in todo)
    work = [job.cost.cpu_seconds for job, *_ in todo]
    assert (plan.seconds_low * plan.seconds_high) ** 0.5 <= 1.06 * max(sum(work) / cores, *work)
    assert plan.peak_memory_bytes <= plan.memory_budget_bytes
    assert plan.seconds_low < plan.seconds_high
    assert plan.disk_bytes == sum(job.cost.disk_bytes for job, *_ in todo)
    assert plan.notes == ()


def test_what_exceeds_memory_is_told_once() -> None:
    """A note names the file that runs alone, and its need."""
    plan = preview(mixed(), machine(8, total=2 * GIB), PROFILE, MODEL)
    assert len(plan.notes) == 1
    assert plan.notes[0].startswith("40.avi is predicted to take 1,787 MiB of memory, more than the 1,510 MiB")
    assert [f.name for f in plan.batches[-1].files] == [b"40.avi"]


def test_strict_memory_refuses_in_the_plan_too() -> None:
    """A file that could never fit is left alone with the reason, and all others are planned."""
    strict = ThrottlingSettings(strict_memory=True)
    plan = preview(mixed(), machine(8, total=2 * GIB), Profile("p", "f", throttling=strict), MODEL)
    assert [s.name for s in plan.skipped] == [b"40.avi"]
    assert "--strict-memory" in plan.skipped[0].reason
    assert sum(len(b.files) for b in plan.batches) == 40
    assert plan.peak_memory_bytes <= plan.memory_budget_bytes


@pytest.mark.parametrize("cores", [1, 2, 8, 32])
def test_lanes_hold_one_file_at_a_time(cores: int) -> None:
    """No two files overlap in a lane, lanes times threads are within the cores, and batches span their files."""
    plan = preview(mixed(), machine(cores), PROFILE, MODEL)
    lanes: dict[int, list[tuple[float, float]]] = {}
    for batch in plan.batches:
        assert len({f.lane for f in batch.files}) == batch.slots
        assert batch.start_seconds == min(f.start_seconds for f in batch.files)
        assert batch.end_seconds == max(f.end_seconds for f in batch.files)
        for file in batch.files:
            lanes.setdefault(file.lane, []).append((file.start_seconds, file.end_seconds))
    assert sorted(lanes) == list(range(1, len(lanes) + 1))
    assert len(lanes) <= cores
    for spans in lanes.values():
        spans.sort()
        assert all(end <= start + 1e-9 for (_, end), (start, _) in pairwise(spans))


def test_plans_are_deterministic_and_do_not_depend_on_the_order_of_finding() -> None:
    """The same jobs in another order make the same plan."""
    todo = mixed()
    shuffled = todo[:]
    random.Random(1).shuffle(shuffled)
    assert preview(todo, machine(4), PROFILE, MODEL) == preview(shuffled, machine(4), PROFILE, MODEL)


def test_fixed_size_and_skipped_files() -> None:
    """A fixed batch size shows in the plan, and skipped files are handed through."""
    skipped = (SkippedFile(b"x.txt", "x.txt is not a video."),)
    plan = preview(mixed(), machine(2), Profile("p", "f", batch=BatchSettings(batch_size=5)), MODEL, skipped)
    assert [len(b.files) for b in plan.batches] == [5] * 8 + [1]
    assert plan.skipped == skipped
    assert plan.processes == 2


def test_nothing_to_do() -> None:
    """An empty plan has no batches and takes no time."""
    plan = preview([], machine(2), PROFILE, MODEL)
    assert plan.batches == ()
    assert plan.seconds_high == 0


def test_batches_that_start_later_have_a_reason() -> None:
    """Those that start with the run have none."""
    plan = preview(mixed(), machine(2), PROFILE, MODEL)
    assert all(bool(batch.waits_because) is (batch.start_seconds > 0) for batch in plan.batches)
    assert any(batch.waits_because == "as many files run as may at once (2)" for batch in plan.batches)


def test_a_film_in_parts_is_planned_in_parts_and_joined() -> None:
    """It ends sooner than whole; parts are no files, and are joined after the last; a note tells why."""
    clips = jobs((1920, 1080, 120), *[(640, 360, 5)] * 6)
    (film, kind, _), *others = clips
    division = Division(most_parts=8, part_seconds=0.1, join=Cost(0.2, 64 << 20, 1 << 20))
    whole = preview(clips, machine(4), PROFILE, MODEL)
    plan = preview([(film, kind, division), *others], machine(4), PROFILE, MODEL)
    files = [file for batch in plan.batches for file in batch.files]
    parts = [file for file in files if file.name.startswith(b"0.avi (part ")]
    (joined,) = (file for file in files if file.name == b"0.avi")
    assert len(parts) > 1
    assert (len(files) - len(parts), {file.output for file in parts}) == (7, {b""})
    assert joined.start_seconds >= max(file.end_seconds for file in parts) > 0
    assert sum(file.cost.cpu_seconds for file in parts) == pytest.approx(film.cost.cpu_seconds + len(parts) * 0.1)
    assert max(file.end_seconds for file in files) < 0.95 * max(f.end_seconds for b in whole.batches for f in b.files)
    (note,) = plan.notes
    assert note.startswith(f"0.avi: in {len(parts)} parts, because all is predicted to take ")
    assert "7 files in" in plan_text(plan)


def test_a_film_that_is_done_whole_all_the_same_is_told_of() -> None:
    """The profile asks for parts, and the task says why there can be none."""
    (film, kind, _), other = jobs((1920, 1080, 120), (640, 360, 5))
    capped = Division(why_whole="Its bit rate is capped.")
    plan = preview([(film, kind, capped), other], machine(4), PROFILE, MODEL)
    assert plan.notes == ("0.avi: whole, because its bit rate is capped.",)
