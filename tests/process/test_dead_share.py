"""An input whose file server dies: what waits for it cannot be ended, and the engine goes on all the same."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pyprocessor.cli.control import Contact
from pyprocessor.errors import ExitCode, InputSilent, OutputUnwritable
from pyprocessor.intake import paths
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.models import JobState
from pyprocessor.profiles import load
from pyprocessor.system.filesystems import free_disk_bytes
from tests.acceptance.command import assert_plain, begin, call
from tests.long import long_after
from tests.process.dead_share import NoShare, Share, share
from tests.process.runs import Recorder, has_begun, published, request, rows, run, run_in_thread, states
from tests.process.steered import slow_ffmpeg
from tests.waiting import DEADLINE_SECONDS, until


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Share]:
    """The folder `in` as a share shows it."""
    (tmp_path / "in").mkdir()
    try:
        with share(tmp_path / "in", tmp_path / "share") as point:
            yield point
    except NoShare as why:
        pytest.skip(str(why))


@pytest.fixture
def inputs(mounted: Share, tmp_path: Path, make_clip) -> Share:  # type: ignore[no-untyped-def]
    """Two clips of some megabytes, so that they are not read ahead as a whole, on a share."""
    for name in ("a.mp4", "b.mp4"):
        make_clip(tmp_path / "in" / name, seconds=6.0, size="1280x720", audio=None)
    assert sorted(path.name for path in mounted.point.iterdir()) == ["a.mp4", "b.mp4"]
    return mounted


def test_a_share_that_dies_in_the_midst_of_a_run(inputs: Share, tmp_path: Path, ffmpeg_path: str) -> None:
    """The engine tells where it stands, obeys, and ends though its ffmpegs do not; the next run does all."""
    output = tmp_path / "out"
    job = ["--input", inputs.point, "--output", output, "--profile", "fast", "--preset", "ultrafast"]
    slow = {"PYPROCESSOR_FFMPEG": slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.3)}
    running = begin(*job, "--progress-interval", "0.5", "--verbose", environment=slow)
    assert running.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(running.stdout or ()), daemon=True)
    reader.start()
    try:
        partials = output / ".pyprocessor" / "partial"
        until(lambda: has_begun(partials), "an ffmpeg writes")
        inputs.die()
        told = len(lines)
        until(lambda: sum("Progress:" in line for line in lines[told:]) >= 5, "the engine tells where it stands")
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=DEADLINE_SECONDS) == ExitCode.TERMINATED, "".join(lines)
    finally:
        if running.poll() is None:
            running.kill()
        inputs.return_to_life()
        reader.join(DEADLINE_SECONDS)
        running.stdout.close()
        running.wait()
    assert "Traceback" not in "".join(lines)
    assert JobState.FAILED not in states(output).values()
    assert_plain(call(*job), 0)
    assert published(output) == {"a.mp4", "b.mp4"}


@long_after(1, ("unmount", "told"), [(False, "cannot be read any more"), (True, "has become empty")])
def test_a_share_that_is_lost_fails_no_file(  # type: ignore[no-untyped-def]
    mounted: Share, tmp_path: Path, make_clip, unmount: bool, told: str
) -> None:
    """The run stops with a sentence and 75; nothing is charged, and once the share is back the next one does all."""
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"):
        make_clip(tmp_path / "in" / name, seconds=4.0, size="320x180", audio=None)
    output = tmp_path / "out"
    lost: list[str] = []

    def lose(name: str) -> None:
        if not lost:
            lost.append(name)
            mounted.lose(unmount=unmount)

    recorder = Recorder(on_started=lose)
    result = run(replace(request(mounted.point, output), inputs=inputs_of([bytes(mounted.point)])), recorder)
    assert result.exit_code == ExitCode.TRY_AGAIN, recorder.notices
    assert any(level == "error" and told in text and "same command again" in text for level, text in recorder.notices)
    assert not [outcome for _, outcome, _ in recorder.outcomes if outcome.failure is not None]
    assert {row.failed_runs for row in rows(output).values()} == {0}
    mounted.lose(unmount=not unmount)
    with share(tmp_path / "in", mounted.point) as again:
        assert_plain(call("--input", again.point, "--output", output, "--profile", "fast"), 0)
    assert published(output) == {"a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.mp4"}
    assert {row.retries_charged for row in rows(output).values()} == {0}


@pytest.mark.long
def test_a_share_that_dies_while_it_is_listed(inputs: Share, tmp_path: Path) -> None:
    """The inspector waits for ever; the engine takes its readings meanwhile, gives up on it and says so."""
    inputs.die()
    profile = load("fast", environment={}).profile
    profile = replace(profile, errors=replace(profile.errors, inspect_timeout_seconds=16.0))
    ticks: list[float] = []

    class WatchClient(Recorder):
        def tick(self, snapshot) -> None:  # type: ignore[no-untyped-def]
            ticks.append(time.monotonic())

    recorder = WatchClient()
    try:
        thread, results = run_in_thread(request(inputs.point, tmp_path / "out", profile=profile), recorder)
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
    finally:
        inputs.return_to_life()
    assert results[0].exit_code == ExitCode.SOME_FAILED
    assert any("without an answer" in text for _, text in recorder.notices)
    assert len(ticks) >= 3
    assert max(later - earlier for earlier, later in pairwise(ticks)) < 12.0, "it does not wait for the inspector"


def test_a_share_that_is_dead_at_the_start(inputs: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question is left to a process of its own, which is left behind."""
    assert paths.gather([str(inputs.point)], b"/out", "mp4") == ([bytes(inputs.point)], [])
    inputs.die()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(paths, "ANSWER_SECONDS", 0.5)
            with pytest.raises(InputSilent, match="has not answered") as caught:
                paths.gather([str(inputs.point)], b"/out", "mp4")
        assert caught.value.exit_code is ExitCode.TRY_AGAIN
    finally:
        inputs.return_to_life()
    assert paths.all_exist([str(inputs.point)])
    assert not paths.all_exist([str(inputs.point / "none")])


def test_an_output_that_falls_silent_is_told(mounted: Share, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folders are known, its journal cannot be opened: who asks after the run gets a sentence, and no silence."""
    monkeypatch.setattr(paths, "ANSWER_SECONDS", 0.5)
    (tmp_path / "in" / ".pyprocessor").mkdir()
    (tmp_path / "in" / ".pyprocessor" / "journal.sqlite3").touch()
    assert Contact(str(mounted.point)).output == bytes(mounted.point)
    mounted.fall_silent()
    try:
        with pytest.raises(OutputUnwritable, match="has not answered"):
            Contact(str(mounted.point))
    finally:
        mounted.return_to_life()
    assert Contact(str(mounted.point)).output == bytes(mounted.point)


def test_an_output_that_is_lost_is_no_defect(mounted: Share) -> None:
    """Whoever looks for free space on it gets a sentence."""
    assert free_disk_bytes(bytes(mounted.point)) >= 0
    mounted.lose(unmount=False)
    with pytest.raises(OutputUnwritable, match="cannot be reached; see that it is mounted"):
        free_disk_bytes(bytes(mounted.point))
