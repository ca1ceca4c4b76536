"""Modes: which settings and which order each means for the planner, and what profiles and files say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor import profiles
from pyprocessor.costs.model import CostClass
from pyprocessor.engine.request import check_list
from pyprocessor.errors import ProfileError, UsageError
from pyprocessor.intake.file_names import FilePriorities
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, Cost, EstimationSettings, Job, Mode, Origin, PlanReport, Profile, Source
from pyprocessor.plan.modes import CHUNK, adapted, chosen, rank
from pyprocessor.plan.packing import FormedBatch
from pyprocessor.plan.planner import next_batch, shape
from pyprocessor.plan.preview import preview
from pyprocessor.plan.queue import ReadyQueue
from pyprocessor.profiles import Overrides
from pyprocessor.profiles.loading import render
from tests.unit.test_planner import GIB, MIB, SMALL, reading
from tests.unit.test_planner_preview import MODEL, jobs, machine

MIXED = [(640, 360, 20.0), (640, 360, 5.0), (640, 360, 60.0), (640, 360, 1.0), (640, 360, 30.0), (640, 360, 8.0)]


def planned(settings: BatchSettings, *clips: tuple[int, int, float], cores: int = 4) -> PlanReport:
    """What a run over these clips would do."""
    return preview(jobs(*clips), machine(cores), Profile("p", "f", batch=settings), MODEL)


def starts(plan: PlanReport) -> list[str]:
    """The names of the files by when they start, those that start together by the order of their batches."""
    files = [(file.start_seconds, number, file.name) for number, b in enumerate(plan.batches) for file in b.files]
    return [name.decode() for *_, name in sorted(files)]


def loaded(**given: object) -> BatchSettings:
    """The settings that these overrides make."""
    return profiles.load(None, overrides=Overrides(**given), environment={}).profile.batch  # type: ignore[arg-type]


def test_sequential_is_one_after_another_as_listed() -> None:
    """One batch with one slot, in the order of the paths, a folder's own files before those of its folders."""
    plan = planned(loaded(mode="sequential"), *MIXED)
    assert [(batch.slots, len(batch.files)) for batch in plan.batches] == [(1, 6)]
    assert starts(plan) == [f"{number}.avi" for number in range(6)]
    assert plan.mode == "sequential"
    names = [b"b/x", b"a/y", b"z", b"a"]
    placed = {name: rank(BatchSettings(mode=Mode.SEQUENTIAL), job(name), 1) for name in names}
    assert sorted(names, key=placed.__getitem__) == [b"a", b"z", b"a/y", b"b/x"]


def test_sequential_keeps_the_order_of_jobs_of_several_kinds() -> None:
    """A batch ends where a job of another kind is next, instead of passing it."""
    settings, ready = loaded(mode="sequential"), ReadyQueue()
    call = CostClass("call", "f", "", "given", "", 1)
    for place, kind in enumerate((SMALL, call, SMALL, SMALL)):
        made = job(b"x", job_id=str(place), origin=Origin.SUBMITTED)
        ready.add(QueuedJob(made.id, 5.0 + place, MIB, kind, rank=rank(settings, made, place)))
    assert batches(ready, settings) == [["0"], ["1"], ["2", "3"]]


def test_parallel_is_a_batch_for_each_on_all_cores() -> None:
    """As many processes as cores, each with one file."""
    plan = planned(loaded(mode="parallel"), *MIXED)
    assert [len(batch.files) for batch in plan.batches] == [1] * 6
    assert sum(batch.start_seconds == 0 for batch in plan.batches) == 4
    assert plan.processes == 4


def test_chunked_is_batches_of_a_size() -> None:
    """As many as are asked for, else the usual number; the last has the rest."""
    clips = [(320, 180, 1.0)] * 70
    sizes = [len(batch.files) for batch in planned(loaded(mode="chunked"), *clips).batches]
    assert sizes == [CHUNK, CHUNK, 70 - 2 * CHUNK]
    assert [len(b.files) for b in planned(loaded(mode="chunked", batch_size=50), *clips).batches] == [50, 20]


def test_adaptive_goes_by_the_number_of_jobs() -> None:
    """Below 10 one after another, below 100 each by itself, else in chunks; costs that make no difference change
    nothing."""
    small = Cost(0.1, MIB, 0)
    assert [adapted(known, small, 2, CHUNK)[0] for known in (1, 9, 10, 99, 100)] == [
        *(Mode.SEQUENTIAL, Mode.SEQUENTIAL, Mode.PARALLEL, Mode.PARALLEL, Mode.CHUNKED),
    ]
    assert adapted(9, small, 2, CHUNK)[1] == "Mode adaptive: sequential, by the number of jobs (9)."


def test_adaptive_follows_the_costs_where_these_say_otherwise() -> None:
    """Eight long jobs on eight cores are not done in turn, nor are a few of 100 long ones bound to one process."""
    way, note = adapted(8, Cost(600.0, MIB, 0), 8, CHUNK)
    assert way is Mode.PARALLEL
    assert note == (
        "Mode adaptive: parallel, although 8 jobs would be done sequential by their number: that is predicted to take "
        "11 min 31 s, and parallel 10 min 00 s."
    )
    assert adapted(100, Cost(600.0, MIB, 0), 4, CHUNK)[0] is Mode.PARALLEL
    plan = planned(loaded(mode="adaptive"), *[(1280, 720, 600.0)] * 8, cores=8)
    assert plan.mode == "adaptive: parallel"
    assert plan.notes[0].startswith("Mode adaptive: parallel, although 8 jobs")


def test_adaptive_makes_the_settings_of_the_way_it_takes() -> None:
    """With what the planner knows of a way asked for by name."""
    few = chosen(BatchSettings(mode=Mode.ADAPTIVE), 3, Cost(0.01, MIB, 0), 4)
    many = chosen(BatchSettings(mode=Mode.ADAPTIVE, batch_size=7), 5000, Cost(0.01, MIB, 0), 4)
    assert (few.way, few.settings.enabled) == (Mode.SEQUENTIAL, False)
    assert (many.way, many.settings.batch_size, many.text) == (Mode.CHUNKED, 7, "adaptive: chunked, 7 a batch")


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("largest", "3 2 1 0"),
        ("smallest", "0 1 2 3"),
        ("newest", "0 1 2 3"),
        ("oldest", "3 2 1 0"),
        ("metadata:rank", "1 3 0 2"),
    ],
)
def test_priority_goes_by_a_rule(rule: str, first: str) -> None:
    """Jobs without the key, or without a number there, come last; the highest number first."""
    settings, ready = loaded(mode="priority", priority_by=rule), ReadyQueue()
    ranks = {"0": "no number", "1": "30", "3": "2.5"}
    for place in range(4):
        name = str(place)
        made = job(b"x", job_id=name, size=place + 1, mtime=10 - place)
        made = replace(made, metadata=(("rank", ranks[name]),) if name in ranks else ())
        ready.add(QueuedJob(name, 5.0, MIB, SMALL, rank=rank(settings, made, place)))
    taken = []
    while (following := ready.take()) is not None:
        taken.append(following.job_id)
    assert " ".join(taken) == first


def test_priority_and_streaming_start_jobs_in_their_order() -> None:
    """Batches are small, so that none holds back a file that comes before those of the next."""
    clips = [(1280, 720, 10.0 * seconds) for seconds in (3, 50, 4, 40, 30, 6, 20, 9, 7, 35, 8, 5)]
    names = [f"{number}.avi" for number in range(len(clips))]
    assert starts(planned(loaded(mode="streaming"), *clips)) == names
    assert starts(planned(BatchSettings(), *clips))[0] == "1.avi", "the longest"


def test_a_priority_goes_before_the_order_of_a_mode() -> None:
    """Numbers of priority keep their meaning."""
    settings, ready = loaded(mode="streaming"), ReadyQueue()
    for place, priority in enumerate((0, 0, -1)):
        made = job(b"x", job_id=str(place))
        ready.add(QueuedJob(made.id, 5.0, MIB, SMALL, priority=priority, rank=rank(settings, made, place)))
    assert [each for batch in batches(ready, settings, cores=1) for each in batch] == ["2", "0", "1"]


def test_long_jobs_are_found_wherever_they_stand_in_an_order() -> None:
    """What gets more threads does not depend on the ranks."""
    ready = ReadyQueue()
    for place in range(50):
        ready.add(QueuedJob(str(place), 100.0 if place % 7 == 0 else 1.0, MIB, SMALL, rank=(float(place), ())))
    assert {found.job_id for found in ready.longer_than(50.0)} == {str(place) for place in range(0, 50, 7)}


def test_parts_of_a_job_go_before_other_jobs() -> None:
    """What has begun is brought to its end."""
    settings = BatchSettings(mode=Mode.STREAMING)
    assert rank(settings, replace(job(b"x", origin=Origin.CHILD), parent="film"), 9) < rank(settings, job(b"x"), 1)


def test_enabled_and_the_mode_sequential_are_one_setting() -> None:
    """Either says it for both, and of two layers the upper one."""
    assert (loaded(batch_enabled=False).mode, loaded(mode="sequential").enabled) == (Mode.SEQUENTIAL, False)
    assert (loaded(batch_enabled=True).mode, loaded(batch_enabled=True, mode="chunked").mode) == (
        Mode.AUTO,
        Mode.CHUNKED,
    )
    for given in ({"batch_enabled": False, "mode": "chunked"}, {"batch_enabled": True, "mode": "sequential"}):
        with pytest.raises(ProfileError, match=r"--mode is .* but must (not )?be sequential where --batch-mode is"):
            loaded(**given)


def test_a_layer_above_settles_the_mode(tmp_path: Path) -> None:
    """A profile that says one of the two is overruled by an option that says the other."""
    one_by_one, chunks = tmp_path / "one.yaml", tmp_path / "chunks.yaml"
    one_by_one.write_text("batch_processing: {enabled: false}\n")
    chunks.write_text("batch_processing: {mode: chunked}\n")

    def mode(file: Path, **given: object) -> Mode:
        overrides = Overrides(**given)  # type: ignore[arg-type]
        return profiles.load(str(file), overrides=overrides, environment={}).profile.batch.mode

    assert (mode(one_by_one), mode(one_by_one, mode="parallel")) == (Mode.SEQUENTIAL, Mode.PARALLEL)
    assert mode(one_by_one, batch_enabled=True) is Mode.AUTO
    assert (mode(chunks, batch_enabled=False), mode(chunks, batch_enabled=True)) == (Mode.SEQUENTIAL, Mode.CHUNKED)
    shown = tmp_path / "shown.yaml"
    shown.write_text(render(profiles.load(str(one_by_one), environment={}).profile, ""))
    assert (mode(shown), mode(shown, mode="auto")) == (Mode.SEQUENTIAL, Mode.AUTO)


@pytest.mark.parametrize("rule", ["big", "metadata", "list:", "largest:x", "metadata:"])
def test_a_rule_that_there_is_not_is_refused(rule: str) -> None:
    """With all that there are."""
    with pytest.raises(ProfileError, match=r"must be `sidecar`, .*`metadata:KEY` or `list:FILE`"):
        loaded(mode="priority", priority_by=rule)


def test_a_rule_without_its_mode_is_refused() -> None:
    """It would change nothing."""
    with pytest.raises(ProfileError, match="--priority-by has no effect, because the mode is auto"):
        loaded(priority_by="largest")


def test_sidecars_give_files_their_priority(tmp_path: Path) -> None:
    """A whole number as of a job's priority; what is none is named, and counts as 0."""
    numbers = {"a": b" -5\n", "b": b"urgent", "d": b"7"}
    for name, text in numbers.items():
        (tmp_path / f"{name}.mov.priority").write_bytes(text)
    files = FilePriorities(loaded(mode="priority"))
    found = [files.of(bytes(tmp_path / f"{name}.mov"), f"{name}.mov".encode()) for name in "abcd"]
    assert found == [-5, 0, 0, 7]
    assert list(files.sentences()) == ["b.mov.priority cannot be read, or holds no whole number; its file counts as 0."]
    without = FilePriorities(BatchSettings())
    assert without.of(bytes(tmp_path / "a.mov"), b"a.mov") == 0


def test_a_list_gives_files_their_order(tmp_path: Path) -> None:
    """What it does not name comes after all that it names; lines that name nothing are told."""
    names = tmp_path / "order.txt"
    names.write_bytes(b"# the order\nz.mov\r\nin/b.mov\n\ngone.mov\n")
    files = FilePriorities(loaded(mode="priority", priority_by=f"list:{names}"))
    assert [files.of(b"", name) for name in (b"z.mov", b"in/b.mov", b"other.mov")] == [-3, -2, 0]
    assert list(files.sentences()) == [
        "The list of priorities has 1 line that names no file of the input: gone.mov; a line is a path below it."
    ]


def test_a_list_that_cannot_be_read_twice_is_refused() -> None:
    """Such as a pipe of the shell: of it nothing is left for the process that orders the files."""
    with pytest.raises(UsageError, match="The list of priorities /dev/null is no regular file"):
        check_list(Profile("p", "f", batch=loaded(mode="priority", priority_by="list:/dev/null")))


def job(name: bytes, *, job_id: str = "1", size: int = 1, mtime: int = 1, origin: Origin = Origin.FOLDER) -> Job:
    """A job of a file of this name."""
    return Job(
        job_id, "transcode", Source(b"/in/" + name, name, size, mtime), b"", "", Cost(1.0, MIB, 0), origin=origin
    )


def batches(ready: ReadyQueue, settings: BatchSettings, cores: int = 4) -> list[list[str]]:
    """The ids of the jobs of all batches, formed one after another on a machine with nothing else on it."""
    formed: list[list[str]] = []
    while ready:
        how = shape(
            reading(cores, total=8 * GIB), settings, jobs_known=len(ready), typical=ready.typical(), more_to_come=False
        )
        batch = next_batch(ready, how, settings, EstimationSettings(), batch_id=1)
        assert isinstance(batch, FormedBatch)
        formed.append([taken.job_id for taken in batch.jobs])
    return formed
