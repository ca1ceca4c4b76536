"""Films that are encoded in parts: divided and joined, through kills, failures, changes and cancellations."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.errors import ExitCode, FailureKind, JobError, NoJournal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import CANCELLED, NEEDED_NO_MORE
from pyprocessor.models import Chunking, JobState, Origin, Profile
from pyprocessor.profiles import load
from pyprocessor.report.accuracy import prediction
from pyprocessor.tasks.parts import FilmPart
from pyprocessor.tasks.transcode import Transcode
from tests.acceptance.command import begin, call
from tests.process.runs import Recorder, published, request, rows, run
from tests.process.steered import slow_ffmpeg
from tests.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs are ended by signals")
patched = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""For tests that fork, so that batch processes have what was replaced in this one."""

SECONDS = 44.0


@pytest.fixture
def film(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    """One film that may be cut each second, beside a short one."""
    make_clip(tmp_path / "in" / "short.mp4")
    return make_clip(tmp_path / "in" / "film.mp4", seconds=SECONDS, size="320x180", extra=["-g", "25"])


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def profile(chunking: Chunking = Chunking.ALWAYS, **changes: Any) -> Profile:
    """The profile `fast` with its films in parts."""
    return replace(load("fast", environment={}).profile, chunking=chunking, **changes)


def parts(output: Path) -> list[JobRow]:
    """What the film is made of, as the journal has it, if it is there yet."""
    try:
        with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
            return [row for row in journal.jobs() if row.origin is Origin.CHILD]
    except NoJournal:
        return []


def intermediate(output: Path) -> list[str]:
    """What parts have left."""
    folder = output / ".pyprocessor" / "intermediate"
    return sorted(os.listdir(folder)) if folder.exists() else []


def attempts(output: Path) -> Counter[str]:
    """How many times each job was begun, by its name."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        names = {row.id: row.name for row in journal.jobs()}
        return Counter(names[attempt.job_id] for attempt in journal.attempts())


def is_whole(output: Path) -> bool:
    """Whether the film is there, as long as its source, and nothing of its parts."""
    facts = rows(output)[b"film.mp4"].produced
    assert facts is not None
    assert facts.duration_seconds == pytest.approx(SECONDS, abs=0.1)
    return published(output) == {"film.mp4", "short.mp4"} and intermediate(output) == []


@pytest.fixture
def half_done(film: Path, output: Path, tmp_path: Path, ffmpeg_path: str) -> set[str]:
    """A run that was killed, with all its processes, when some parts were done and others not; the names of those."""
    slow = slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 5.0)
    process = begin(*command(film.parent, output), environment={"PYPROCESSOR_FFMPEG": slow})

    def some_done() -> set[str]:
        assert process.poll() is None, process.communicate()
        known = parts(output)
        done = {part.name for part in known if part.state is JobState.SUCCEEDED}
        return done if any(part.state is JobState.RUNNING for part in known) else set()

    until(some_done, "a part that is done and another that runs")
    children = psutil.Process(process.pid).children(recursive=True)
    for each in (process, *children):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.communicate(timeout=DEADLINE_SECONDS)
    psutil.wait_procs(children, timeout=DEADLINE_SECONDS)
    done = {part.name for part in parts(output) if part.state in (JobState.SUCCEEDED, JobState.PUBLISHING)}
    assert 0 < len(done) < len(parts(output))
    return done


def command(inputs: Path, output: Path, *more: str) -> tuple[str | Path, ...]:
    """The command of the runs that are killed."""
    return ("--input", inputs, "--output", output, "--profile", "fast", "--chunking", "always", "--quiet", *more)


# ---------------------------------------------------------------- to a good end


def test_a_film_is_divided_encoded_and_joined(film: Path, output: Path) -> None:
    """It counts as one file, with what all its parts took, and nothing of these is left."""
    recorder = Recorder()
    assert run(request(film.parent, output, profile=profile()), recorder).exit_code == ExitCode.OK
    assert is_whole(output)
    assert {part.state for part in parts(output)} == {JobState.SUCCEEDED}
    assert Counter(part.task for part in parts(output)) == {"film-part": len(parts(output)) - 1, "sound-part": 1}
    assert len(parts(output)) >= 3
    last = recorder.snapshots[-1]
    assert (last.total, last.done, last.succeeded, last.failed) == (2, 2, 2, 0)
    assert any(text.startswith("film.mp4: in ") for level, text in recorder.notices if level == "info")
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        ended = journal.last_run()
        assert ended is not None
        measured = prediction(journal, ended.id)
        whole = sum(a.usage.cpu_seconds for a in journal.attempts() if a.usage is not None)
        assert journal.counts().succeeded == 2
    assert measured is not None
    assert measured.cpu is not None
    assert measured.cpu.files == 2
    assert measured.cpu.measured == pytest.approx(whole)
    assert run(request(film.parent, output, profile=profile())).exit_code == ExitCode.OK
    assert max(attempts(output).values()) == 1


def test_a_film_that_gains_nothing_is_left_whole(film: Path, output: Path) -> None:
    """A second of encoding is not worth the parts, and a profile may forbid them."""
    for name, chunking in (("auto", Chunking.AUTO), ("off", Chunking.OFF)):
        assert run(request(film.parent, output / name, profile=profile(chunking))).exit_code == ExitCode.OK
        assert parts(output / name) == []


def test_with_a_limit_a_film_is_done_all_the_same(film: Path, output: Path) -> None:
    """Its parts are no further files."""
    assert run(request(film, output, profile=profile(), limit=1)).exit_code == ExitCode.OK
    assert len(parts(output)) >= 3
    assert published(output) == {"film.mp4"}


@patched
def test_a_film_that_is_long_beside_others_is_divided_by_itself(
    film: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner's choice, without being asked for: here of work that was predicted to take a hundred times longer."""
    choose = sys.modules[Dispatch.__module__].choose  # type: ignore[attr-defined]

    def of_longer_films(ready: Any, *rest: Any) -> Any:
        for job in ready.longer_than(-1.0):
            ready.add(replace(job, prior_cpu_seconds=100 * job.prior_cpu_seconds))
        return choose(ready, *rest)

    monkeypatch.setattr(f"{Dispatch.__module__}.choose", of_longer_films)
    batch = replace(profile().batch, jobs=2)
    recorder = Recorder()
    run(request(film.parent, output, profile=profile(Chunking.AUTO, batch=batch)), recorder)
    assert is_whole(output)
    assert len(parts(output)) >= 3


# ---------------------------------------------------------------- failures


@patched
def test_a_film_of_which_a_part_fails_is_encoded_whole(
    film: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is done, and a note says how; the part is no failed file."""
    made = FilmPart.run

    def fail(self: FilmPart, work: Any) -> Any:
        if work.params["begin"] > 0:
            raise JobError(FailureKind.UNSUPPORTED, "This part cannot be made.")
        return (yield from made(self, work))

    monkeypatch.setattr(FilmPart, "run", fail)
    assert run(request(film.parent, output, profile=profile()), start_method="fork").exit_code == ExitCode.OK
    assert is_whole(output)
    assert JobState.FAILED in {part.state for part in parts(output)}
    facts = rows(output)[b"film.mp4"].produced
    assert facts is not None
    assert any("encoded whole" in note for note in facts.notes)


@patched
def test_a_film_that_is_refused_parts_is_encoded_whole(
    film: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its task says about it is shown."""

    def refuse(*_: object) -> None:
        raise JobError(FailureKind.UNSUPPORTED, "Its pictures cannot be cut.")

    monkeypatch.setattr(Transcode, "divide", refuse)
    recorder = Recorder()
    asked = request(film.parent, output, profile=profile())
    assert run(asked, recorder, start_method="fork").exit_code == ExitCode.OK
    assert ("info", "film.mp4 is done whole: Its pictures cannot be cut.") in recorder.notices
    assert is_whole(output)
    assert parts(output) == []


@patched
def test_a_film_that_cannot_be_joined_is_done_again_when_asked(
    film: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed, so its parts are gone; with `--retry-failed` it is divided anew."""
    made = Transcode.run

    def fail(self: Transcode, work: Any) -> Any:
        if work.children:
            raise JobError(FailureKind.BAD_INPUT, "It cannot be joined.")
        return (yield from made(self, work))

    with monkeypatch.context() as patch:
        patch.setattr(Transcode, "run", fail)
        asked = request(film.parent, output, profile=profile())
        assert run(asked, start_method="fork").exit_code == ExitCode.SOME_FAILED
    assert rows(output)[b"film.mp4"].state is JobState.FAILED
    assert intermediate(output) == []
    before = attempts(output)
    assert run(request(film.parent, output, profile=profile())).exit_code == ExitCode.SOME_FAILED
    assert attempts(output) == before
    assert run(request(film.parent, output, profile=profile(), retry_failed=True)).exit_code == ExitCode.OK
    assert is_whole(output)


# ---------------------------------------------------------------- killed midway


def test_parts_that_are_done_survive_a_kill(film: Path, output: Path, half_done: set[str]) -> None:
    """The same command makes only what is missing, and the join."""
    before = attempts(output)
    assert intermediate(output)
    assert call(*command(film.parent, output)).returncode == ExitCode.OK
    assert is_whole(output)
    again = attempts(output) - before
    assert not half_done & set(again)
    assert again["film.mp4"] == 1
    assert set(again) - {"film.mp4", "short.mp4"} == {part.name for part in parts(output)} - half_done


def test_another_film_of_the_same_content_waits_for_the_parts(film: Path, output: Path, half_done: set[str]) -> None:
    """Of one that was begun before a kill, although it is found first: it gets a copy."""
    assert half_done
    shutil.copyfile(film, film.with_name("a film.mp4"))
    assert run(request(film.parent, output, profile=profile())).exit_code == ExitCode.OK
    assert (output / "a film.mp4").read_bytes() == (output / "film.mp4").read_bytes()
    assert {part.name.partition(" (")[0] for part in parts(output)} == {"film.mp4"}
    assert intermediate(output) == []


def test_parts_of_another_profile_are_thrown_away(film: Path, output: Path, half_done: set[str]) -> None:
    """The film is divided anew, and of the old parts nothing is left and none is run."""
    old = {part.id for part in parts(output)}
    assert call(*command(film.parent, output, "--crf", "40")).returncode == ExitCode.OK
    assert is_whole(output)
    by_id = {part.id: part for part in parts(output)}
    assert all(by_id[job_id].final for job_id in old)
    assert JobState.CANCELLED in {by_id[job_id].state for job_id in old}
    assert {part.state for part in by_id.values() if part.id not in old} == {JobState.SUCCEEDED}


@pytest.mark.parametrize("change", ["gone", "changed", "off", "lost"])
def test_parts_that_serve_no_more_are_thrown_away(
    film: Path, output: Path, half_done: set[str], change: str, make_clip: Callable[..., Path]
) -> None:
    """The source is gone or another; films are to be whole now; somebody deleted what parts had left."""
    done_before = attempts(output)
    more: tuple[str, ...] = ()
    match change:
        case "gone":
            film.unlink()
        case "changed":
            make_clip(film, seconds=SECONDS, size="256x144", extra=["-g", "25"])
        case "off":
            more = ("--chunking", "off")
        case "lost":
            (output / ".pyprocessor" / "intermediate" / intermediate(output)[0]).unlink()
    assert call(*command(film.parent, output, *more)).returncode == ExitCode.OK
    assert intermediate(output) == []
    assert all(part.final for part in parts(output))
    assert {part.reason for part in parts(output) if part.state is JobState.CANCELLED} <= {NEEDED_NO_MORE}
    if change == "gone":
        assert published(output) == {"short.mp4"}
        return
    assert is_whole(output)
    if change == "off":
        assert set(attempts(output) - done_before) <= {"film.mp4", "short.mp4"}


def test_a_film_that_is_cancelled_takes_its_parts_along(film: Path, output: Path, half_done: set[str]) -> None:
    """Cancelled between two runs: the next one cleans up, and does it only when it is asked to."""
    assert call("jobs", "cancel", "film.mp4", "--output", output).returncode == ExitCode.OK
    assert call(*command(film.parent, output)).returncode == ExitCode.OK
    assert published(output) == {"short.mp4"}
    assert intermediate(output) == []
    assert all(part.final for part in parts(output))
    assert call(*command(film.parent, output, "--retry-failed")).returncode == ExitCode.OK
    assert is_whole(output)


def test_a_film_that_is_cancelled_while_its_parts_run(
    film: Path, output: Path, tmp_path: Path, ffmpeg_path: str
) -> None:
    """They are ended, and nothing of them is left."""
    slow = slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 5.0)
    process = begin(*command(film.parent, output), environment={"PYPROCESSOR_FFMPEG": slow})

    def running() -> bool:
        return any(part.state is JobState.RUNNING for part in parts(output))

    try:
        until(running, "a part that runs")
        assert call("jobs", "cancel", "film.mp4", "--output", output).returncode == ExitCode.OK
        said, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == ExitCode.OK, said
    film_row = rows(output)[b"film.mp4"]
    assert (film_row.state, film_row.reason) == (JobState.CANCELLED, CANCELLED)
    assert {part.reason for part in parts(output) if part.state is JobState.CANCELLED} <= {NEEDED_NO_MORE}
    assert all(part.final for part in parts(output))
    assert intermediate(output) == []
    assert published(output) == {"short.mp4"}
