"""Are outputs of earlier runs recognised: under which names, of which source, with or without a journal?"""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyprocessor.errors import ExitCode, FailureKind, OutputBusy
from pyprocessor.inspect import probe as probe_module
from pyprocessor.inspect.probe import probe
from pyprocessor.journal.journal import Journal
from pyprocessor.models import JobState, OutcomeKind, ProcessIdentity, Profile
from pyprocessor.profiles import load
from tests.process.runs import Recorder, has_begun, partials, published, request, rows, run, states
from tests.process.steered import ffmpegs
from tests.waiting import until


def profile(name: str) -> Profile:
    return load(name, environment={}).profile


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """Two files of one name in two folders."""
    make_clip(tmp_path / "in" / "a.mov")
    make_clip(tmp_path / "in" / "sub" / "a.mov", seconds=2.0)
    return tmp_path / "in"


def test_two_inputs_share_an_output_folder(inputs: Path, tmp_path: Path) -> None:
    """The second input's file gets a name of its own, and both are known again."""
    output = tmp_path / "out"
    run(request(inputs / "sub" / "a.mov", output))
    first = (output / "a.mp4").read_bytes()
    recorder = Recorder()
    assert run(request(inputs / "a.mov", output), recorder).exit_code == ExitCode.OK
    assert recorder.starts == ["a.mov"]
    assert len(published(output)) == 2
    assert (output / "a.mp4").read_bytes() == first
    for source in (inputs / "a.mov", inputs / "sub" / "a.mov"):
        result = run(request(source, output), recorder)
        assert (result.exit_code, result.done_before, len(recorder.starts)) == (ExitCode.OK, 1, 1)


def test_a_file_is_done_in_its_folder_though_it_was_done_alone_before(inputs: Path, tmp_path: Path) -> None:
    """Outputs mirror the tree; what had another file's name before does not keep that file from being done."""
    output = tmp_path / "out"
    run(request(inputs / "sub" / "a.mov", output))
    recorder = Recorder()
    assert run(request(inputs, output), recorder).exit_code == ExitCode.OK
    assert sorted(recorder.starts) == ["a.mov", "sub/a.mov"]
    assert {"a.mp4", "sub/a.mp4"} < published(output)
    assert len(published(output)) == 3
    assert any("stays as it is" in text for _, text in recorder.notices)
    assert run(request(inputs, output), recorder).done_before == 2
    assert len(recorder.starts) == 2


def test_another_format_has_another_name(inputs: Path, tmp_path: Path) -> None:
    """The old output stays; back under the first profile it is known again, and one of that format is replaced."""
    output = tmp_path / "out"
    run(request(inputs, output))
    recorder = Recorder()
    assert run(request(inputs, output, profile=profile("archive")), recorder).exit_code == ExitCode.OK
    assert published(output) == {"a.mp4", "sub/a.mp4", "a.mkv", "sub/a.mkv"}
    assert len([text for _, text in recorder.notices if "stays as it is" in text]) == 1
    result = run(request(inputs, output), recorder)
    assert (result.exit_code, result.done_before, len(recorder.starts)) == (ExitCode.OK, 2, 2)
    before = (output / "a.mp4").stat().st_mtime_ns
    run(request(inputs, output, profile=profile("archive")), recorder)
    assert run(request(inputs, output, profile=profile("default")), recorder).exit_code == ExitCode.OK
    assert len(recorder.starts) == 4
    assert (output / "a.mp4").stat().st_mtime_ns > before
    assert published(output) == {"a.mp4", "sub/a.mp4", "a.mkv", "sub/a.mkv"}


def test_a_filter_undoes_nothing(inputs: Path, tmp_path: Path) -> None:
    """Files that are passed over once are still done afterwards, and still failed."""
    output = tmp_path / "out"
    (inputs / "bad.mov").write_text("no video\n" * 20)
    run(request(inputs, output))
    before = rows(output)
    fast = profile("fast")
    for scan in ({"min_size_bytes": 10**9}, {"max_size_bytes": 1}, {"min_age_seconds": 3600.0}):
        result = run(request(inputs, output, profile=replace(fast, scan=replace(fast.scan, **scan))))
        assert (result.exit_code, result.done_before) == (ExitCode.OK, 2)
        assert rows(output) == before
    recorder = Recorder()
    result = run(request(inputs, output), recorder)
    assert (result.exit_code, result.done_before, result.failed_before) == (ExitCode.SOME_FAILED, 2, 1)
    assert recorder.starts == []


def test_an_output_that_was_changed_is_told_as_such_under_any_profile(inputs: Path, tmp_path: Path) -> None:
    """It is ours, edited: never 'not made from it', and never made anew unasked."""
    output = tmp_path / "out"
    run(request(inputs, output))
    (output / "a.mp4").write_bytes(b"edited")
    for name in ("fast", "default", "fast"):
        recorder = Recorder()
        run(request(inputs, output, profile=profile(name)), recorder)
        assert any("a.mp4 was changed after it was made" in text for _, text in recorder.notices)
        assert (output / "a.mp4").read_bytes() == b"edited"
        assert states(output)[b"a.mov"] is JobState.SUCCEEDED


def test_a_lost_journal_is_made_up_for_by_receipts(inputs: Path, tmp_path: Path) -> None:
    """Nothing is made again but what changed, and the loss is told."""
    output = tmp_path / "out"
    run(request(inputs, output))
    for path in (output / ".pyprocessor").glob("journal*"):
        path.unlink()
    (output / "sub" / "a.mp4").write_bytes(b"edited")
    recorder = Recorder()
    result = run(request(inputs, output), recorder)
    assert (result.exit_code, result.done_before, recorder.starts) == (ExitCode.OK, 1, [])
    assert any("receipts" in text for _, text in recorder.notices)
    assert states(output)[b"a.mov"] is JobState.SUCCEEDED
    assert (output / "sub" / "a.mp4").read_bytes() == b"edited"
    assert run(request(inputs, output, profile=profile("default")), recorder).exit_code == ExitCode.OK
    assert recorder.starts == ["a.mov"]


def test_an_input_that_was_moved_is_known_again(inputs: Path, tmp_path: Path) -> None:
    """A drive may be mounted elsewhere: nothing is done twice, and what changes is done under the old name."""
    output = tmp_path / "out"
    run(request(inputs, output))
    moved = tmp_path / "elsewhere"
    shutil.move(inputs, moved)
    recorder = Recorder()
    result = run(request(moved, output), recorder)
    assert (result.exit_code, result.done_before, recorder.starts) == (ExitCode.OK, 2, [])
    assert run(request(moved, output, profile=profile("default")), recorder).exit_code == ExitCode.OK
    assert published(output) == {"a.mp4", "sub/a.mp4"}
    assert len(recorder.starts) == 2
    shutil.copytree(moved, inputs)
    run(request(inputs, output, profile=profile("default")), recorder)
    assert len(published(output)) == 4


def test_a_file_that_may_be_read_again_is_done(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lack of permission lies outside the file and is not kept for ever."""
    from pyprocessor.errors import InspectError

    def refused(path: bytes, **rest: Any) -> Any:
        raise InspectError(FailureKind.PERMISSION, f"{os.fsdecode(path)} may not be read.")

    monkeypatch.setattr(probe_module, "probe", refused)
    assert run(request(inputs, tmp_path / "out"), start_method="fork").exit_code == ExitCode.SOME_FAILED
    monkeypatch.setattr(probe_module, "probe", probe)
    assert run(request(inputs, tmp_path / "out"), start_method="fork").exit_code == ExitCode.OK


@pytest.mark.parametrize(("deaths", "expected"), [(1, JobState.SUCCEEDED), (9, JobState.FAILED)])
def test_the_first_death_of_the_inspector_is_not_charged_to_a_file(
    deaths: int, expected: JobState, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One death may be anything's doing; a second over the same file is the file's."""
    marks = tmp_path / "marks"
    marks.mkdir()

    def deadly(path: bytes, **rest: Any) -> Any:
        if path.endswith(b"/in/a.mov") and len(list(marks.iterdir())) < deaths:
            (marks / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return probe(path, **rest)

    monkeypatch.setattr(probe_module, "probe", deadly)
    run(request(inputs, tmp_path / "out"), start_method="fork")
    assert states(tmp_path / "out") == {b"a.mov": expected, b"sub/a.mov": JobState.SUCCEEDED}


def test_a_run_that_lives_is_not_disturbed_without_its_lock(inputs: Path, tmp_path: Path) -> None:
    """The journal tells of it by pid and start time; one that is dead is no hindrance."""

    output = tmp_path / "out"
    run(request(inputs, output))
    folder = os.fsencode(output / ".pyprocessor")
    parent = psutil.Process(os.getppid())
    with Journal.open(folder, wal=True) as journal:
        journal.begin_run("a run that lives", ProcessIdentity(parent.pid, parent.create_time()))
        with pytest.raises(OutputBusy, match=f"process {parent.pid}"):
            run(request(inputs, output))
        assert [left.arguments for left in journal.open_runs()] == ["a run that lives"]
        journal.end_run(ExitCode.OK)
        journal.begin_run("one that is dead", ProcessIdentity(parent.pid, parent.create_time() - 1000.0))
    assert run(request(inputs, output)).exit_code == ExitCode.OK


def test_a_journal_that_is_removed_ends_the_run(inputs: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Nothing would hold another run off any more, and nothing would be remembered."""
    output = tmp_path / "out"
    for name in ("a.mov", "b.mov", "c.mov"):
        make_clip(inputs / name, seconds=20.0, size="640x360", audio=None)

    def remove(_: str) -> None:
        for path in (output / ".pyprocessor").glob("journal*"):
            path.unlink()

    slow = profile("high_quality")
    slow = replace(slow, batch=replace(slow.batch, enabled=False))
    recorder = Recorder(on_started=remove)
    assert run(request(inputs, output, profile=slow), recorder).exit_code == ExitCode.OUTPUT_UNWRITABLE
    assert any("was removed while the run was working" in text for _, text in recorder.notices)
    assert len(recorder.starts) < 4
    assert published(output) == set(), "what is not remembered is not finished first"


def test_a_file_that_a_user_puts_in_an_outputs_place_meanwhile_is_theirs(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """The output that lay there when the run began might be replaced; what lies there at its end may not."""
    source, output = tmp_path / "in" / "a.mov", tmp_path / "out"
    make_clip(source)
    run(request(source.parent, output))
    make_clip(source, seconds=3.0)

    def put(_: str) -> None:
        (output / "a.mp4").unlink()
        (output / "a.mp4").write_text("a user's")

    recorder = Recorder(on_started=put)
    assert run(request(source.parent, output), recorder).exit_code == ExitCode.SOME_FAILED
    assert (output / "a.mp4").read_text() == "a user's"
    ((_, outcome, _),) = recorder.outcomes
    assert outcome.failure is FailureKind.PERMISSION
    assert "is not ours lies there" in outcome.reason
    assert partials(output) == []


def test_what_takes_the_place_of_the_output_is_left_alone(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """Another run may work there by now, with the same names for what is unfinished."""
    make_clip(tmp_path / "in" / "a.mov", seconds=10.0, size="640x360", audio=None)
    output = tmp_path / "out"
    others = output / ".pyprocessor" / "partial"
    names: list[str] = []

    def replace_the_output(_: str) -> None:
        until(lambda: has_begun(others), "the output to be begun")
        names.extend(partials(output))
        output.rename(tmp_path / "moved")
        others.mkdir(parents=True)
        for name in names:
            (others / name).write_text("another run's")

    recorder = Recorder(on_started=replace_the_output)
    assert run(request(tmp_path / "in", output), recorder).exit_code == ExitCode.OUTPUT_UNWRITABLE
    assert len(names) == 1
    assert {path: path.read_text() for path in others.iterdir()} == {others / names[0]: "another run's"}
    assert published(output) == set()
    assert [outcome.kind for _, outcome, _ in recorder.outcomes] == [OutcomeKind.INTERRUPTED]


def test_a_killed_process_leaves_no_partial_behind_in_the_run(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """What it left is gone before its file is tried again, and not only when the next run sweeps."""
    make_clip(tmp_path / "in" / "a.mov", seconds=10.0, size="640x360", audio=None)
    output = tmp_path / "out"
    seen: list[list[str]] = []

    def kill_the_first(_: str) -> None:
        seen.append(partials(output))
        if len(seen) == 1:
            until(lambda: partials(output), "the output to be begun")
            (ffmpeg,) = ffmpegs(os.getpid())
            worker = ffmpeg.parent()
            assert worker is not None
            worker.kill()

    assert run(request(tmp_path / "in", output), Recorder(on_started=kill_the_first)).exit_code == ExitCode.OK
    assert seen == [[], []]
    assert partials(output) == []
