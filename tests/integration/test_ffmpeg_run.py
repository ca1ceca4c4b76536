"""One ffmpeg process, from spawn to reaping: real ones, and stand-ins that misbehave in every known way."""

from __future__ import annotations

import os
import selectors
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.invocation import Input, Invocation, MappedStream, Output, argv, environment
from pyprocessor.ffmpeg.reports import HEAD_BYTES, LINE_BYTES, TAIL_BYTES, Progress, ReportReader, StderrLog
from pyprocessor.ffmpeg.run import FfmpegRun, Finished
from pyprocessor.system.child_process import EndedBy
from tests.clocks import Clock
from tests.waiting import DEADLINE_SECONDS, until


class Loop:
    """Drives runs in one selector, and ends what a failed test leaves."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.runs: list[FfmpegRun] = []

    def start(self, command: list[bytes | str], **limits: object) -> FfmpegRun:
        run = FfmpegRun(command, **limits)  # type: ignore[arg-type]
        run.register(self.selector)
        self.runs.append(run)
        return run

    def turn(self) -> None:
        for key, _ in self.selector.select(0.05):
            key.data.on_readable(key.fd)

    def until(self, reached: Callable[[], object]) -> None:
        until(lambda: reached() or self.turn(), "the state")

    def finish(self, run: FfmpegRun, now: Callable[[], float] = time.monotonic) -> Finished:
        self.until(lambda: run.poll(now()) is not None)
        finished = run.poll(now())
        assert finished is not None
        return finished

    def close(self) -> None:
        for run in self.runs:
            run.kill()
            self.finish(run)
        assert not self.selector.get_map(), "descriptors were left registered"
        self.selector.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


def encode(
    ffmpeg: str, clip: Path, preset: str = "ultrafast", name: str = "o.mp4", loops: int = 0
) -> list[bytes | str]:
    stream = MappedStream((0, 0), "v", "libx264", preset=preset)
    source = Input(os.fsencode(clip), options=(("stream_loop", str(loops)),) if loops else ())
    return argv(Invocation((source,), Output(name, "mp4", (stream,))), ffmpeg)


@pytest.fixture
def standin(standin_ffmpeg: str, make_clip: Callable[..., Path], tmp_path: Path) -> Callable[[str], list[bytes | str]]:
    """Command lines of the stand-in that make it behave as the word says."""

    def command(word: str) -> list[bytes | str]:
        return encode(standin_ffmpeg, make_clip(tmp_path / f"standin-{word}.mp4"))

    return command


def state_of(run: FfmpegRun) -> str:
    return str(psutil.Process(run.identity.pid).status())


# ---------------------------------------------------------------- a real ffmpeg


def test_an_encode_reports_its_progress_and_cost(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """A run that goes well ends with exit code 0, all frames counted, and plausible memory and CPU."""
    clip = make_clip(tmp_path / "a.mp4", seconds=2.0)
    finished = FfmpegRun(encode(ffmpeg_path, clip), cwd=tmp_path.__fspath__(), env=environment(os.environ)).wait()
    assert (finished.returncode, finished.ended_by) == (0, None)
    assert finished.stderr_text == ""
    assert finished.progress is not None
    assert finished.progress.done
    assert finished.progress.frame == 50
    assert finished.progress.total_size_bytes > 0
    assert 1.5 < finished.progress.out_time_seconds <= 2.1
    assert finished.cpu_seconds > 0
    assert 10 << 20 < finished.peak_memory_bytes < 2 << 30
    assert (tmp_path / "o.mp4").stat().st_size == finished.progress.total_size_bytes


def test_several_run_at_once_in_one_selector(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, loop: Loop
) -> None:
    """Each run keeps its own progress and its own end."""
    clips = [make_clip(tmp_path / f"{seconds}.mp4", seconds=seconds) for seconds in (0.4, 1.0, 2.0)]
    runs = [
        loop.start(encode(ffmpeg_path, clip, name=f"o{number}.mp4"), cwd=str(tmp_path))
        for number, clip in enumerate(clips)
    ]
    frames = [finished.progress.frame for run in runs if (finished := loop.finish(run)).progress is not None]
    assert frames == [10, 25, 50]


def test_the_end_is_told_again_and_again(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, loop: Loop
) -> None:
    """After the end `poll` keeps its answer, and every control is without effect."""
    run = loop.start(encode(ffmpeg_path, make_clip(tmp_path / "a.mp4")), cwd=str(tmp_path))
    finished = loop.finish(run)
    run.stop()
    run.kill()
    run.suspend()
    run.resume()
    assert run.poll(time.monotonic()) is finished


def test_a_start_time_is_the_one_psutil_tells(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """pid and start time name a process the same way for whoever sweeps it later."""
    run = loop.start(standin("hang"))
    assert abs(run.identity.start_time - psutil.Process(run.identity.pid).create_time()) < 0.011


def test_the_kernel_would_rather_kill_the_ffmpeg(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """An ffmpeg's oom_score_adj lies above that of the process that started it."""
    own = Path("/proc/self/oom_score_adj")
    if not own.exists():
        pytest.skip("this system has no oom_score_adj")
    run = loop.start(standin("hang"))
    theirs = int(Path(f"/proc/{run.identity.pid}/oom_score_adj").read_text())
    assert theirs > int(own.read_text()) or theirs == 1000


def test_the_process_stays_in_the_group_of_its_parent(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """One signal to the group of a batch process reaches all its ffmpegs."""
    assert os.getpgid(loop.start(standin("hang")).identity.pid) == os.getpgid(0)


def test_a_program_that_cannot_start_is_an_error_with_its_path(tmp_path: Path) -> None:
    """Neither a missing program nor a missing folder is a traceback."""
    with pytest.raises(JobError, match="nowhere/ffmpeg") as caught:
        FfmpegRun(["/nowhere/ffmpeg"])
    assert caught.value.kind is FailureKind.INFRASTRUCTURE
    with pytest.raises(JobError, match="gone"):
        FfmpegRun(["/bin/sh"], cwd=str(tmp_path / "gone"))


# ---------------------------------------------------------------- limits


def test_a_stalled_ffmpeg_is_ended(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """Without progress for the limit, counted from the last report that got further."""
    clock = Clock(1000.0)
    run = loop.start(standin("stall"), clock=clock, stall_seconds=30.0)
    loop.until(lambda: run.progress is not None and run.progress.frame == 20)
    clock.now += 29.0
    assert run.poll(clock.now) is None
    clock.now += 2.0
    finished = loop.finish(run, clock)
    assert finished.ended_by is EndedBy.STALL
    assert finished.returncode == -signal.SIGTERM
    assert finished.progress is not None
    assert finished.progress.out_time_seconds == pytest.approx(0.8)


def test_a_silent_ffmpeg_is_ended_too(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """One that never reports stalls from its start on."""
    clock = Clock(1000.0)
    run = loop.start(standin("hang"), clock=clock, stall_seconds=30.0)
    clock.now += 31.0
    finished = loop.finish(run, clock)
    assert (finished.ended_by, finished.progress) == (EndedBy.STALL, None)


def test_writing_counts_as_a_sign_of_life(
    standin: Callable[[str], list[bytes | str]], tmp_path: Path, loop: Loop
) -> None:
    """Moving an index to the front of a large file reports nothing, but is no stall."""
    if not Path("/proc/self/io").exists():
        pytest.skip("this system does not tell how much a process wrote")
    clock = Clock(1000.0)
    run = loop.start(standin("busy"), cwd=str(tmp_path), clock=clock, stall_seconds=30.0)
    io = Path(f"/proc/{run.identity.pid}/io")
    for _ in range(3):
        before = int(io.read_text().split()[3])
        loop.until(lambda before=before: int(io.read_text().split()[3]) > before + (4 << 20))  # type: ignore[misc]
        clock.now += 31.0
        assert run.poll(clock.now) is None
        assert run.poll(clock.now) is None


def test_a_run_over_its_time_is_ended(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """The wall limit holds even while there is progress."""
    clock = Clock(1000.0)
    run = loop.start(standin("grow"), clock=clock, stall_seconds=30.0, wall_limit_seconds=100.0)
    loop.until(lambda: run.progress is not None)
    clock.now += 101.0
    assert loop.finish(run, clock).ended_by is EndedBy.WALL


def test_an_output_over_its_size_is_ended(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """The reported size is compared with the limit."""
    run = loop.start(standin("grow"), output_limit_bytes=10_000_000)
    finished = loop.finish(run)
    assert finished.ended_by is EndedBy.SIZE
    assert finished.progress is not None
    assert finished.progress.total_size_bytes > 10_000_000


def test_one_that_ignores_the_request_is_killed(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """SIGTERM first, SIGKILL on a later poll, and never a wait in between."""
    clock = Clock(1000.0)
    run = loop.start(standin("deaf"), clock=clock)
    loop.until(lambda: run.progress is not None)
    run.stop(5.0)
    clock.now += 4.0
    assert run.poll(clock.now) is None
    assert state_of(run) != psutil.STATUS_ZOMBIE
    clock.now += 2.0
    finished = loop.finish(run, clock)
    assert (finished.ended_by, finished.returncode) == (EndedBy.STOP, -signal.SIGKILL)


def test_a_stopped_encode_ends_by_itself(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, loop: Loop
) -> None:
    """A real ffmpeg ends on SIGTERM; `ended_by` marks its short but playable file."""
    command = encode(ffmpeg_path, make_clip(tmp_path / "a.mp4"), "veryslow", loops=100_000)
    run = loop.start(command, cwd=str(tmp_path))
    loop.until(lambda: run.progress is not None)
    run.stop(DEADLINE_SECONDS)
    finished = loop.finish(run)
    assert (finished.ended_by, finished.returncode) == (EndedBy.STOP, 255)


# ---------------------------------------------------------------- suspending


def test_suspended_time_counts_for_no_limit(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """Neither the stall timer nor the wall timer nor the wall time runs while a process is suspended."""
    clock = Clock(1000.0)
    run = loop.start(standin("stall"), clock=clock, stall_seconds=30.0, wall_limit_seconds=50.0)
    loop.until(lambda: run.progress is not None and run.progress.frame == 20)
    run.suspend()
    loop.until(lambda: state_of(run) == psutil.STATUS_STOPPED)
    clock.now += 1000.0
    assert run.poll(clock.now) is None
    run.resume()
    loop.until(lambda: state_of(run) == psutil.STATUS_SLEEPING)
    clock.now += 29.0
    assert run.poll(clock.now) is None
    clock.now += 2.0
    finished = loop.finish(run, clock)
    assert finished.ended_by is EndedBy.STALL
    assert finished.wall_seconds == pytest.approx(31.0)


def test_a_suspended_process_can_be_stopped(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """It is woken to act on the request; suspending it again is without effect."""
    run = loop.start(standin("stall"))
    run.suspend()
    run.stop(DEADLINE_SECONDS)
    run.suspend()
    assert loop.finish(run).returncode == -signal.SIGTERM


def test_a_suspended_process_can_be_killed(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """SIGKILL needs no waking."""
    run = loop.start(standin("deaf"))
    run.suspend()
    run.kill()
    assert loop.finish(run).returncode == -signal.SIGKILL


# ---------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize(("word", "number"), [("segv", signal.SIGSEGV), ("killed", signal.SIGKILL)])
def test_a_death_by_signal_is_told(
    standin: Callable[[str], list[bytes | str]], loop: Loop, word: str, number: signal.Signals
) -> None:
    """A crash has a signal, a negative return code, and nobody who ended it."""
    finished = loop.finish(loop.start(standin(word)))
    assert (finished.returncode, finished.ended_by) == (-number, None)


def test_a_flood_of_messages_is_kept_within_bounds(standin: Callable[[str], list[bytes | str]], loop: Loop) -> None:
    """The pipe is drained, the beginning and the end are kept."""
    finished = loop.finish(loop.start(standin("chatter")))
    assert finished.returncode == 1, finished.stderr_text
    assert len(finished.stderr_text) < HEAD_BYTES + TAIL_BYTES + 1000
    assert "message 0 of" in finished.stderr_text
    assert "bytes left out" in finished.stderr_text
    assert finished.stderr_text.endswith("the last word")


def test_one_that_babbles_does_not_hold_up_the_others(
    standin: Callable[[str], list[bytes | str]],
    ffmpeg_path: str,
    make_clip: Callable[..., Path],
    tmp_path: Path,
    loop: Loop,
) -> None:
    """A single turn of the loop reads a bounded amount from each."""
    loop.start(standin("babble"))
    other = loop.start(encode(ffmpeg_path, make_clip(tmp_path / "a.mp4")), cwd=str(tmp_path))
    finished = loop.finish(other)
    assert finished.returncode == 0, finished.stderr_text


@pytest.mark.parametrize(("word", "size"), [("nothing", None), ("empty", 0)])
def test_exit_code_0_proves_nothing(
    standin: Callable[[str], list[bytes | str]], tmp_path: Path, loop: Loop, word: str, size: int | None
) -> None:
    """A run may end with 0 and have made nothing; that is for verification to find."""
    finished = loop.finish(loop.start(standin(word), cwd=str(tmp_path)))
    assert (finished.returncode, finished.progress) == (0, None)
    output = tmp_path / "o.mp4"
    assert (output.stat().st_size if output.exists() else None) == size


def test_the_stand_in_truncates(standin: Callable[[str], list[bytes | str]], tmp_path: Path, loop: Loop) -> None:
    """It ran the real ffmpeg and left half a file with exit code 0."""
    finished = loop.finish(loop.start(standin("truncate"), cwd=str(tmp_path)))
    assert finished.returncode == 0, finished.stderr_text
    assert finished.progress is not None
    assert (tmp_path / "o.mp4").stat().st_size == finished.progress.total_size_bytes // 2


def test_the_stand_in_can_fail_once(standin: Callable[[str], list[bytes | str]], tmp_path: Path, loop: Loop) -> None:
    """The second time it is the real ffmpeg, which retries are tested with."""
    command = standin("first-segv")
    assert loop.finish(loop.start(command, cwd=str(tmp_path))).returncode == -signal.SIGSEGV
    finished = loop.finish(loop.start(command, cwd=str(tmp_path)))
    assert finished.returncode == 0, finished.stderr_text


def test_no_descriptor_is_left_open(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """Pipes and pidfd are closed at the end of each run."""
    command = encode(ffmpeg_path, make_clip(tmp_path / "a.mp4", seconds=0.2))
    FfmpegRun(command, cwd=str(tmp_path)).wait()
    before = psutil.Process().num_fds()
    for _ in range(3):
        FfmpegRun(command, cwd=str(tmp_path)).wait()
    assert psutil.Process().num_fds() == before


def test_waiting_can_be_interrupted(
    standin: Callable[[str], list[bytes | str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception while waiting leaves no process behind."""
    runs: list[FfmpegRun] = []

    poll = FfmpegRun.poll

    def interrupted(run: FfmpegRun, now: float) -> Finished | None:
        if not runs:
            runs.append(run)
            raise KeyboardInterrupt
        return poll(run, now)

    monkeypatch.setattr(FfmpegRun, "poll", interrupted)
    with pytest.raises(KeyboardInterrupt):
        FfmpegRun(standin("deaf")).wait()
    assert not psutil.pid_exists(runs[0].identity.pid)


def test_waiting_ends_a_stalled_one_by_itself(standin: Callable[[str], list[bytes | str]]) -> None:
    """The blocking form wakes up for its own timers."""
    assert FfmpegRun(standin("hang"), stall_seconds=0.2).wait().ended_by is EndedBy.STALL


def test_without_pidfd_the_end_is_still_noticed(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older kernels and other systems have none; then the loop looks now and then."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    command = encode(ffmpeg_path, make_clip(tmp_path / "a.mp4", seconds=0.2))
    finished = FfmpegRun(command, cwd=str(tmp_path)).wait()
    assert finished.returncode == 0, finished.stderr_text


# ---------------------------------------------------------------- reading what it says


def test_reports_are_read_however_they_are_cut() -> None:
    """A report may come in any pieces; N/A keeps what was known."""
    text = (
        b"frame=10\nfps=5.00\nstream_0_0_q=28.0\nbitrate=N/A\ntotal_size=48\nout_time_us=400000\ndup_frames=1\n"
        b"drop_frames=2\nspeed= 126x\nprogress=continue\n"
        b"frame=12\nfps=5.00\ntotal_size=N/A\nout_time_us=N/A\nspeed=N/A\nprogress=end\n"
    )
    for size in (1, 7, len(text)):
        reader = ReportReader()
        seen = []
        for start in range(0, len(text), size):
            reader.feed(text[start : start + size])
            if reader.latest is not None and reader.latest not in seen:
                seen.append(reader.latest)
        assert seen[-1] == Progress(12, 0.4, None, 48, 0, done=True)
        if size < len(text):
            assert seen[0] == Progress(10, 0.4, 126.0, 48, 2, done=False)


def test_a_report_without_news_is_no_progress() -> None:
    """Only what moved on resets a stall timer."""
    reader = ReportReader()
    assert reader.feed(b"frame=1\nprogress=continue\n")
    assert not reader.feed(b"frame=1\nprogress=continue\n")
    assert reader.feed(b"frame=2\nprogress=continue\n")
    assert not reader.feed(b"no report at all\n" * 10)


def test_messages_are_folded_and_made_text() -> None:
    """Repeated lines are counted, bytes that are no text are escaped, carriage returns end lines."""
    log = StderrLog()
    for piece in (b"one\nsa", b"me\nsame\nsame\n", b"\xff\xfe\rlast"):
        log.feed(piece)
    assert log.text().split("\n") == ["one", "same", "(the line above came 2 more times)", "\\xff\\xfe", "last"]


def test_messages_without_line_ends_do_not_grow() -> None:
    """An endless line is cut into pieces and falls out in the middle like any other."""
    log = StderrLog()
    for number in range(200):
        log.feed(bytes([65 + number % 26]) * LINE_BYTES)
    assert len(log.text()) < HEAD_BYTES + TAIL_BYTES + 1000
    assert log.dropped_bytes > 100 * LINE_BYTES
    assert log.text().startswith("AAAA")


def test_the_stand_in_is_executable(standin_ffmpeg: str) -> None:
    """It is started as a program, by its own first line."""
    assert Path(standin_ffmpeg).stat().st_mode & stat.S_IXUSR


# ---------------------------------------------------------------- scripts in ffmpeg's place


@pytest.fixture
def wrapped(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> list[bytes | str]:
    """The command line of an endless encode through a script that stays in front of the real ffmpeg."""
    script = tmp_path / "wrapper"
    script.write_text(f'#!/bin/sh\n"{ffmpeg_path}" "$@"\necho done >&2\n')
    script.chmod(0o755)
    return encode(str(script), make_clip(tmp_path / "a.mp4"), loops=-1)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_a_script_started_is_ended_with_it(
    how: str, wrapped: list[bytes | str], loop: Loop, tmp_path: Path
) -> None:
    """A shell ends on a signal without passing it on: the ffmpeg below it is signalled too."""
    run = loop.start(wrapped, cwd=str(tmp_path))
    script = psutil.Process(run.identity.pid)
    loop.until(lambda: run.progress is not None and script.children(recursive=True))
    (below,) = script.children(recursive=True)
    run.stop(30.0) if how == "stop" else run.kill()
    loop.finish(run)
    loop.until(lambda: not psutil.pid_exists(below.pid) or psutil.Process(below.pid).status() == "zombie")


def test_what_a_script_started_is_suspended_with_it(wrapped: list[bytes | str], loop: Loop, tmp_path: Path) -> None:
    """To stop the shell alone would free no core."""
    run = loop.start(wrapped, cwd=str(tmp_path))
    script = psutil.Process(run.identity.pid)
    loop.until(lambda: run.progress is not None and script.children(recursive=True))
    (below,) = script.children(recursive=True)
    run.suspend()
    loop.until(lambda: psutil.Process(below.pid).status() == psutil.STATUS_STOPPED)
    run.resume()
    loop.until(lambda: psutil.Process(below.pid).status() != psutil.STATUS_STOPPED)
