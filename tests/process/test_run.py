"""Whole runs with real processes and a real ffmpeg: what is made, what is remembered, what is done again."""

from __future__ import annotations

import gc
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode, FailureKind, OutputBusy
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState
from pyprocessor.plan import admission
from pyprocessor.profiles import load
from tests.long import long_after
from tests.process.runs import Recorder, partials, published, request, rows, run, states


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """A small tree with a folder below and two names that are odd."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    make_clip(folder / "a.mp4")
    make_clip(folder / "-dash %03d.mkv")
    make_clip(folder / "sub" / "new\nline.mp4", audio=None)
    make_clip(Path(os.fsdecode(os.fsencode(folder) + b"/sub/latin-\xe9.mp4")))
    return folder


def test_every_file_of_a_tree_gets_its_output(inputs: Path, tmp_path: Path) -> None:
    """Outputs mirror the tree, the journal says succeeded, nothing half-made is left."""
    output = tmp_path / "out"
    recorder = Recorder()
    result = run(request(inputs, output), recorder)
    assert result.exit_code == ExitCode.OK, recorder.notices
    assert published(output) == {"a.mp4", "-dash %03d.mp4", "sub/new\nline.mp4", "sub/latin-\udce9.mp4"}
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert partials(output) == []
    assert len(recorder.outcomes) == 4
    assert recorder.snapshots[-1].succeeded == 4
    for row in rows(output).values():
        status = os.stat(os.path.join(os.fsencode(output), row.output))
        assert row.produced is not None
        assert (row.produced.size_bytes, row.produced.mtime_ns) == (status.st_size, status.st_mtime_ns)


@long_after(1, "start_method", ["spawn", "fork", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_every_start_method_works(start_method: str, inputs: Path, tmp_path: Path) -> None:
    """What platforms offer differs; the run does not."""
    assert run(request(inputs, tmp_path / "out"), start_method=start_method).exit_code == ExitCode.OK
    assert len(published(tmp_path / "out")) == 4


def test_the_longest_file_of_a_short_listing_starts_first(
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is listed last, and the first start waits for it to be inspected."""
    monkeypatch.setattr(admission, "INSPECTING_SHARE", 1e6)  # a busy machine inspects slowly
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        make_clip(folder / f"{number}.mp4", seconds=0.2)
    make_clip(folder / "long.mp4", seconds=3.0)
    assert run(request(folder, tmp_path / "out")).exit_code == ExitCode.OK
    with JournalReader.read_only(os.fsencode(tmp_path / "out" / ".pyprocessor")) as journal:
        names = {job.id: job.source.relative for job in journal.jobs()}
        assert next(names[attempt.job_id] for attempt in journal.attempts() if attempt.batch_id == 1) == b"long.mp4"


def test_a_run_looks_for_garbage_though_its_caller_did_not(inputs: Path, tmp_path: Path) -> None:
    """The command leaves that off while it imports."""
    enabled: list[bool] = []
    gc.disable()
    try:
        run(request(inputs, tmp_path / "out"), Recorder(on_started=lambda _: enabled.append(gc.isenabled())))
    finally:
        gc.enable()
    assert all(enabled)
    assert enabled


def test_a_second_run_does_nothing(inputs: Path, tmp_path: Path) -> None:
    """Finished work is recognised without starting a single attempt."""
    asked = request(inputs, tmp_path / "out")
    run(asked)
    before = {row.id: row.updated_at for row in rows(tmp_path / "out").values()}
    recorder = Recorder()
    result = run(asked, recorder)
    assert (result.exit_code, result.done_before) == (ExitCode.OK, 4)
    assert recorder.starts == []
    assert {row.id: row.updated_at for row in rows(tmp_path / "out").values()} == before


def test_a_changed_source_and_a_lost_output_are_done_again(inputs: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Only what no longer holds is redone."""
    output = tmp_path / "out"
    run(request(inputs, output))
    make_clip(inputs / "a.mp4", seconds=2.0)
    (output / "-dash %03d.mp4").unlink()
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK
    assert sorted(recorder.starts) == ["-dash %03d.mkv", "a.mp4"]
    assert len(published(output)) == 4


def test_a_changed_profile_does_everything_again_and_a_changed_limit_nothing(inputs: Path, tmp_path: Path) -> None:
    """What decides the content of outputs counts; what bounds the run does not."""
    output = tmp_path / "out"
    profile = load("fast", environment={}).profile
    run(request(inputs, output, profile=profile))
    recorder = Recorder()
    run(request(inputs, output, profile=replace(profile, batch=replace(profile.batch, batch_size=1))), recorder)
    assert recorder.starts == []
    assert run(request(inputs, output, profile=load("proxy", environment={}).profile), recorder).exit_code == 0
    assert len(recorder.starts) == 4


def test_an_output_keeps_its_name_when_a_sibling_comes(inputs: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """a.mkv joins a.mp4: the finished one stays, the new one is told apart."""
    output = tmp_path / "out"
    run(request(inputs, output))
    make_clip(inputs / "a.mkv")
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK
    assert recorder.starts == ["a.mkv"]
    assert {"a.mp4", "a.mkv.mp4"} <= published(output)


def test_a_file_nobody_made_is_not_replaced(inputs: Path, tmp_path: Path) -> None:
    """What lay in the output folder before stays, until it is asked for by name."""
    output = tmp_path / "out"
    output.mkdir()
    (output / "a.mp4").write_bytes(b"mine")
    recorder = Recorder()
    run(request(inputs, output), recorder)
    assert (output / "a.mp4").read_bytes() == b"mine"
    assert states(output)[b"a.mp4"] is JobState.SKIPPED
    assert any("already exists" in outcome.reason for _, outcome, _ in recorder.outcomes)
    assert run(request(inputs, output, overwrite=True)).exit_code == ExitCode.OK
    assert (output / "a.mp4").stat().st_size > 100


def test_bad_files_fail_with_a_reason_and_the_rest_is_done(inputs: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Empty, cut off, text, audio only: each named with what is wrong; the second run does not try them again."""
    (inputs / "empty.mp4").touch()
    (inputs / "text.mp4").write_text("this is no video\n" * 50)
    whole = make_clip(inputs / "cut.mp4", seconds=2.0).read_bytes()
    (inputs / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    make_clip(inputs / "audio.mp4", video=None)
    output = tmp_path / "out"
    recorder = Recorder()
    result = run(request(inputs, output), recorder)
    assert result.exit_code == ExitCode.SOME_FAILED
    failed = {relative for relative, state in states(output).items() if state is JobState.FAILED}
    assert failed == {b"empty.mp4", b"text.mp4", b"cut.mp4", b"audio.mp4"}
    assert len(published(output)) == 4
    for relative in failed:
        row = rows(output)[relative]
        assert row.failure in (FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED)
        assert row.reason
    recorder = Recorder()
    result = run(request(inputs, output), recorder)
    assert (result.exit_code, result.failed_before, recorder.starts) == (ExitCode.SOME_FAILED, 4, [])
    (inputs / "empty.mp4").unlink()
    make_clip(inputs / "cut.mp4", seconds=2.0)
    run(request(inputs, output), recorder)
    assert recorder.starts == ["cut.mp4"]


def test_a_limit_bounds_what_is_taken_up(inputs: Path, tmp_path: Path) -> None:
    """Two of four now, the other two by the next run."""
    output = tmp_path / "out"
    recorder = Recorder()
    run(request(inputs, output, limit=2), recorder)
    assert len(recorder.starts) == 2
    run(request(inputs, output), recorder)
    assert len(set(recorder.starts)) == 4
    assert len(published(output)) == 4


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_fixed_batch_size_is_obeyed(batch_size: int, inputs: Path, tmp_path: Path) -> None:
    """No batch holds more files than asked for, and the batches hold all files."""
    from pyprocessor.journal.reader import JournalReader

    profile = load("fast", environment={}).profile
    profile = replace(profile, batch=replace(profile.batch, batch_size=batch_size))
    result = run(request(inputs, tmp_path / "out", profile=profile))
    with JournalReader.read_only(os.fsencode(tmp_path / "out" / ".pyprocessor")) as journal:
        sizes = Counter(attempt.batch_id for attempt in journal.attempts(run_id=result.run_id)).values()
    assert max(sizes) <= batch_size
    assert sum(sizes) == 4


def test_without_batch_mode_one_process_does_one_file_after_another(inputs: Path, tmp_path: Path) -> None:
    """`--batch-mode disabled` never has two files in hand."""
    profile = load("fast", environment={}).profile
    profile = replace(profile, batch=replace(profile.batch, enabled=False))
    recorder = Recorder()
    running = 0

    def count(name: str) -> None:
        nonlocal running
        assert len(recorder.starts) - len(recorder.outcomes) <= 2, "a file may start while the one before is published"

    recorder.on_started = count
    assert run(request(inputs, tmp_path / "out", profile=profile), recorder).exit_code == ExitCode.OK
    assert running == 0


def test_a_second_run_on_the_same_output_is_refused(inputs: Path, tmp_path: Path) -> None:
    """While a run holds the output, another one says so and changes nothing."""
    output = tmp_path / "out"
    refusals: list[str] = []

    def intrude(name: str) -> None:
        if not refusals:
            with pytest.raises(OutputBusy) as caught:
                run(request(inputs, output))
            refusals.append(str(caught.value))

    assert run(request(inputs, output), Recorder(on_started=intrude)).exit_code == ExitCode.OK
    assert len(refusals) == 1
    assert "Another run" in refusals[0]
