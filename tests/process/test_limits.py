"""Whole runs under limits: memory that a file alone exceeds, a full disk, a share of the CPU, and what was learned."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pyprocessor.costs import calibration
from pyprocessor.costs.job_prior import prior_cost
from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.dry_run import plan
from pyprocessor.engine.monitor import Monitor
from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.inspect.probe import probe
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.models import BatchSettings, JobState, OutcomeKind, Profile, ThrottlingSettings
from pyprocessor.plan.admission import Allowance
from pyprocessor.profiles import load
from pyprocessor.recipes.features import features
from tests.process.runs import Recorder, published, request, rows, run, states

MIB = 1 << 20


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Three small clips."""
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        make_clip(tmp_path / "in" / name)
    return tmp_path / "in"


def limited(batch: BatchSettings | None = None, **throttling: object) -> Profile:
    """The profile `fast` under these limits."""
    profile = load("fast", environment={}).profile
    return replace(profile, batch=batch or BatchSettings(), throttling=replace(ThrottlingSettings(), **throttling))  # type: ignore[arg-type]


def attempts(output: Path) -> list[AttemptRow]:
    """All attempts in the order in which they began."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return list(journal.attempts())


def kinds(output: Path) -> list[str]:
    """Kinds of all events, oldest first."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return [event.kind for event in journal.events()]


def test_a_limit_below_one_files_need_runs_files_alone(inputs: Path, tmp_path: Path) -> None:
    """Each is named with its need, and none runs beside another."""
    at_once: list[int] = []

    def count(_: str) -> None:
        at_once.append(sum(_is_encoding(child) for child in psutil.Process().children(recursive=True)))

    recorder = Recorder(on_started=count)
    profile = limited(BatchSettings(memory_limit_bytes=130 * MIB))
    assert run(request(inputs, tmp_path / "out", profile=profile), recorder).exit_code == ExitCode.OK
    assert len(published(tmp_path / "out")) == 3
    told = [text for level, text in recorder.notices if level == "warning"]
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        assert any(text.startswith(f"{name} is predicted to take") and "MiB" in text for text in told)
    assert max(at_once) <= 1


def _is_encoding(process: psutil.Process) -> bool:
    try:
        return "-progress" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def test_strict_memory_refuses_what_does_not_fit(inputs: Path, tmp_path: Path) -> None:
    """It ends failed without an attempt, with the sentence that says what to do; a higher limit does it."""
    profile = limited(BatchSettings(memory_limit_bytes=130 * MIB), strict_memory=True)
    assert run(request(inputs, tmp_path / "out", profile=profile)).exit_code == ExitCode.SOME_FAILED
    assert attempts(tmp_path / "out") == []
    for row in rows(tmp_path / "out").values():
        assert row.failure is FailureKind.RESOURCE
        assert "--strict-memory" in row.reason
    assert run(request(inputs, tmp_path / "out", profile=limited(strict_memory=True))).exit_code == ExitCode.OK
    assert len(published(tmp_path / "out")) == 3


@pytest.mark.parametrize("strict", [True, False])
def test_strict_memory_refuses_what_is_to_run_alone_too(strict: bool, inputs: Path, tmp_path: Path) -> None:
    """Memory ran out under them before, so they are done one by one: but not with more memory than is allowed."""
    assert run(request(inputs, tmp_path / "out", profile=limited())).exit_code == ExitCode.OK
    state = tmp_path / "out" / ".pyprocessor"
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite3")) as journal:
        sheds = ThrottlingSettings().max_sheds
        assert (
            journal.execute("UPDATE jobs SET state = 'pending', output_size = NULL, sheds = ?", (sheds,)).rowcount == 3
        )
        journal.execute("DELETE FROM outputs")
        journal.commit()
    for made in published(tmp_path / "out"):
        (tmp_path / "out" / made).unlink()
    begun = len(attempts(tmp_path / "out"))
    profile = limited(BatchSettings(memory_limit_bytes=130 * MIB), strict_memory=strict)
    recorder = Recorder()
    result = run(request(inputs, tmp_path / "out", profile=profile), recorder)
    if not strict:
        assert result.exit_code == ExitCode.OK
        told = [text for level, text in recorder.notices if level == "warning"]
        for name in ("a.mp4", "b.mp4", "c.mp4"):
            assert any(text.startswith(f"{name} is predicted to take") for text in told)
        return
    assert result.exit_code == ExitCode.SOME_FAILED
    assert len(attempts(tmp_path / "out")) == begun
    for row in rows(tmp_path / "out").values():
        assert row.failure is FailureKind.RESOURCE
        assert "--strict-memory" in row.reason


def test_a_file_waits_while_others_leave_no_room_for_it(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started into a wall; the user is told once, and the files are done when there is room."""
    recorder = Recorder()
    real = Monitor.allowance.fget  # type: ignore[attr-defined]

    def crowded(watch: Monitor) -> Allowance:
        waits = sum("waits: it is predicted" in text for _, text in recorder.notices)
        room = 1.0 * MIB if waits == 0 or len(recorder.snapshots) < 3 else float("inf")
        return replace(real(watch), wall_room_bytes=room)  # type: ignore[no-any-return]

    monkeypatch.setattr(Monitor, "allowance", property(crowded))
    assert run(request(inputs, tmp_path / "out", profile=limited()), recorder).exit_code == ExitCode.OK
    waited = [text for _, text in recorder.notices if "waits: it is predicted" in text]
    assert len(waited) == 1
    assert "other programs leave 1 MiB of memory" in waited[0]
    assert len(published(tmp_path / "out")) == 3


def test_a_disk_below_its_reserve_starts_nothing(inputs: Path, tmp_path: Path) -> None:
    """The run ends 74 with the files waiting, and goes on when there is room."""
    recorder = Recorder()
    profile = limited(disk_reserve_bytes=1 << 60)
    result = run(request(inputs, tmp_path / "out", profile=profile), recorder)
    assert result.exit_code == ExitCode.OUTPUT_UNWRITABLE
    assert recorder.starts == []
    assert any(level == "error" and "nearly full" in text for level, text in recorder.notices)
    assert set(states(tmp_path / "out").values()) <= {JobState.PENDING}
    assert run(request(inputs, tmp_path / "out", profile=limited())).exit_code == ExitCode.OK


@pytest.mark.skipif(not hasattr(os, "nice"), reason="this system has no niceness")
def test_batch_processes_are_as_nice_as_asked(inputs: Path, tmp_path: Path) -> None:
    """Everything that encodes inherits it."""
    seen: set[int] = set()
    own = os.nice(0)

    def look(_: str) -> None:
        for child in psutil.Process().children(recursive=True):
            try:
                seen.add(child.nice())
            except psutil.Error:
                continue

    recorder = Recorder(on_started=look)
    run(request(inputs, tmp_path / "out", profile=limited(nice=7, io_idle=True)), recorder)
    assert min(19, own + 7) in seen


@pytest.mark.long
def test_a_share_of_the_cpu_is_kept_to(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """A limit below one encode's use, on a busy machine too, suspends it now and then; it is finished all the same."""
    make_clip(tmp_path / "in" / "long.mp4", seconds=24.0, size="640x360", audio=None)
    profile = limited(cpu_limit_percent=5.0)
    assert profile.video is not None
    profile = replace(profile, video=replace(profile.video, preset="medium"))
    assert run(request(tmp_path / "in", tmp_path / "out", profile=profile)).exit_code == ExitCode.OK
    assert "throttle" in kinds(tmp_path / "out")


@pytest.mark.long
def test_what_a_run_learned_serves_the_next(inputs: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """The model is kept, and a later run over other files predicts with it: no more by the table alone, but towards
    what files of the kind took."""
    profile = limited()
    run(request(inputs, tmp_path / "out", profile=profile))
    kept = calibration.load(calibration.default_path()).model
    assert sum(history.count for history in kept.classes.values()) == 3
    clip = make_clip(inputs / "d.mp4")
    run(request(inputs, tmp_path / "out", profile=profile))
    *before, last = attempts(tmp_path / "out")
    assert len(before) == 3
    assert last.predicted is not None
    asked = features(profile, probe(os.fsencode(clip), size_bytes=clip.stat().st_size))  # equal for all four
    expected = kept.predict(asked, last.threads)
    assert (last.predicted.cpu_seconds, last.predicted.memory_bytes) == (expected.cpu_seconds, expected.memory_bytes)
    correction = last.predicted.cpu_seconds / prior_cost(asked, last.threads).cpu_seconds
    taken = [a.usage.cpu_seconds / prior_cost(asked, a.threads).cpu_seconds for a in before if a.usage is not None]
    assert correction != 1.0
    assert min(1.0, *taken) <= correction <= max(1.0, *taken)


def test_a_file_that_was_done_before_is_known(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """The same files into another folder: each is predicted to take what it took, the plan says so as well."""
    inputs = tmp_path / "in"
    for number, seconds in enumerate((1.0, 2.0, 3.0)):
        make_clip(inputs / f"{number}.mp4", seconds=seconds)
    profile = limited(BatchSettings(jobs=1))
    run(request(inputs, tmp_path / "first", profile=profile))
    took = {a.job_id: a.usage.cpu_seconds for a in attempts(tmp_path / "first") if a.usage is not None}
    planned = plan(request(inputs, tmp_path / "second", profile=profile), Recorder())
    run(request(inputs, tmp_path / "second", profile=profile))
    foretold = {a.job_id: a.predicted.cpu_seconds for a in attempts(tmp_path / "second") if a.predicted is not None}
    assert foretold == {job_id: pytest.approx(seconds, rel=0.05) for job_id, seconds in took.items()}
    reckoned = sum(file.cost.cpu_seconds for batch in planned.batches for file in batch.files)
    assert reckoned == pytest.approx(sum(took.values()), rel=0.05)


@pytest.mark.parametrize(("evidence", "charged"), [(True, 0), (False, 1)])
def test_a_kill_is_memorys_doing_only_with_evidence(
    evidence: bool,
    charged: int,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    standin_ffmpeg: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the system has killed for want of memory, nothing is charged; else a kill is a crash like any other."""
    make_clip(tmp_path / "in" / "standin-first-killed.mp4")
    make_clip(tmp_path / "in" / "other.mp4", seconds=3.0, size="640x360")
    monkeypatch.setattr(Monitor, "take_oom_kill", lambda _: evidence)
    monkeypatch.setattr(Dispatch, "runs_alone", lambda *_: False)
    profile = limited(BatchSettings(jobs=2))
    asked = request(tmp_path / "in", tmp_path / "out", profile=profile, tool_path=standin_ffmpeg)
    # Spawned processes see the variables that the stand-in reads; a forkserver may be older than they are.
    assert run(asked, start_method="spawn").exit_code == ExitCode.OK
    row = rows(tmp_path / "out")[b"standin-first-killed.mp4"]
    assert (row.state, row.retries_charged, row.sheds) == (JobState.SUCCEEDED, charged, 1 - charged)
    outcomes = [a.outcome for a in attempts(tmp_path / "out") if a.job_id == row.id]
    assert outcomes == [OutcomeKind.SHED if evidence else OutcomeKind.FAILED, OutcomeKind.SUCCEEDED]
