"""What is said of a failed ffmpeg: real failures of the real one, and each rule by the words it goes by."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.diagnosis import diagnose
from pyprocessor.ffmpeg.invocation import Filter, Input, Invocation, MappedStream, Options, Output, argv, environment
from pyprocessor.ffmpeg.reports import Progress
from pyprocessor.ffmpeg.run import FfmpegRun, Finished
from pyprocessor.system.child_process import EndedBy
from tests.process.skips import disk_or_skip

NOBODY = 65534


def failed(text: str, returncode: int = 234, ended_by: EndedBy | None = None) -> Finished:
    return Finished(returncode, 12.0, 1.0, 1 << 20, ended_by, text, Progress(10, 0.4))


def diagnosed(
    ffmpeg: str,
    folder: Path,
    source: Path,
    *,
    encoder: str = "libx264",
    muxer: str = "mp4",
    index: int = 0,
    pixels: Filter | None = None,
    options: Options = (),
    prefix: tuple[str, ...] = (),
) -> JobError:
    stream = MappedStream((0, index), "v", encoder, filters=() if pixels is None else (pixels,), options=options)
    invocation = Invocation((Input(os.fsencode(source)),), Output("t7f3.part", muxer, (stream,)))
    finished = FfmpegRun(
        [*prefix, *argv(invocation, ffmpeg)], cwd=str(folder), env=environment(os.environ), wall_limit_seconds=60
    ).wait()
    found = diagnose(finished, os.fsencode(source))
    assert found is not None, finished
    assert str(source) not in str(found)
    assert "t7f3" not in str(found)
    assert " @ 0x" not in str(found)
    assert str(found).endswith(".")
    assert "\n" not in str(found)
    return found


# ---------------------------------------------------------------- real failures


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.mp4", b"", "no media at all"),
        ("a.mp4", b"just words\n" * 200, "no media at all"),
        ("a.mkv", b"just words\n" * 200, "damaged or not media"),
        ("a.avi", b"\0" * 5000, "damaged or not media"),
        ("a.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n", "playlist"),
    ],
)
def test_files_that_are_no_media(ffmpeg_path: str, tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """The source is at fault, and trying again will not help."""
    source = tmp_path / name
    source.write_bytes(content)
    found = diagnosed(ffmpeg_path, tmp_path, source)
    assert found.kind is FailureKind.BAD_INPUT
    assert words in str(found)


def test_a_file_cut_off_before_its_index(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """The commonest damage of all has a sentence of its own."""
    clip = make_clip(tmp_path / "cut.mp4")
    os.truncate(clip, clip.stat().st_size // 2)
    found = diagnosed(ffmpeg_path, tmp_path, clip)
    assert found.kind is FailureKind.BAD_INPUT
    assert "has no index" in str(found)


def test_an_ffmpeg_that_another_program_ends(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """A service that is stopped sends SIGTERM to all its processes: nothing is wrong with the file."""
    clip = make_clip(tmp_path / "long.mp4", seconds=30.0)
    run = FfmpegRun(
        [
            *(ffmpeg_path, "-nostdin", "-loglevel", "level+warning", "-progress", "pipe:1", "-stats_period", "0.1"),
            *("-re", "-i", str(clip), "-f", "null", "-"),
        ]
    )
    with selectors.DefaultSelector() as selector:
        run.register(selector)
        told = False
        while (finished := run.poll(time.monotonic())) is None:
            for key, _ in selector.select(0.5):
                run.on_readable(key.fd)
            if run.progress is not None and not told:
                told = True  # more often than thrice would be another matter: it ends hard
                os.kill(run.identity.pid, signal.SIGTERM)
    found = diagnose(finished, bytes(clip))
    assert found is not None
    assert (found.kind, finished.ended_by) == (FailureKind.INFRASTRUCTURE, None)
    assert "ffmpeg was ended" in str(found)


def test_what_an_ended_ffmpeg_complained_of_is_not_blamed() -> None:
    """Only the error that has the same exit code is told from a signal by its words."""
    text = "[h264 @ 0x55] [error] Invalid data found when processing input\n"
    found = diagnose(failed(text, 255), b"/in/a.mp4")
    assert found is not None
    assert found.kind is FailureKind.INFRASTRUCTURE
    refused = diagnose(failed("[out#0/mp4 @ 0x55] [error] Error opening output: Operation not permitted\n", 255), b"a")
    assert refused is not None
    assert refused.kind is FailureKind.PERMISSION


def test_a_file_of_damaged_packets(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """Where nearly nothing can be decoded, the first complaint is quoted and not the last."""
    clip = make_clip(tmp_path / "noise.mkv", audio=None)
    data = bytearray(clip.read_bytes())
    start = data.index(b"\x1f\x43\xb6\x75") + 30  # the first cluster: what follows is packets
    data[start:-200:2] = b"\xff" * len(data[start:-200:2])
    clip.write_bytes(data)
    assert diagnosed(ffmpeg_path, tmp_path, clip).kind is FailureKind.BAD_INPUT


def test_a_missing_file_and_a_folder(ffmpeg_path: str, tmp_path: Path) -> None:
    """A source may vanish between scan and start."""
    missing = diagnosed(ffmpeg_path, tmp_path, tmp_path / "gone.mp4")
    assert (missing.kind, "no longer there" in str(missing)) == (FailureKind.UNAVAILABLE, True)
    folder = diagnosed(ffmpeg_path, tmp_path, tmp_path)
    assert (folder.kind, "folder" in str(folder)) == (FailureKind.BAD_INPUT, True)


@pytest.mark.parametrize(
    "name",
    [
        "No space left on device 3.mov",
        "a: No space left on device",
        "moov atom not found.mp4",
        "[out#0 File too large",
    ],
)
def test_a_file_is_not_judged_by_its_name(ffmpeg_path: str, tmp_path: Path, name: str) -> None:
    """ffmpeg repeats the path of what it cannot open, and that may say anything."""
    assert diagnosed(ffmpeg_path, tmp_path, tmp_path / name).kind is FailureKind.UNAVAILABLE


def test_a_name_of_two_lines_is_not_read_as_two_messages() -> None:
    """Each of its lines is known for a part of the path."""
    text = (
        "[in#0 @ 0x5] [error] Error opening input: No such file or directory\n"
        "[error] Error opening input file file:/in/x\n"
        "malloc of size 1 failed: Disk quota exceeded\n"
    )
    found = diagnose(failed(text), b"/in/x\nmalloc of size 1 failed: Disk quota exceeded")
    assert found is not None
    assert found.kind is FailureKind.UNAVAILABLE


def test_a_stream_that_is_not_there(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """The file changed since it was inspected."""
    found = diagnosed(ffmpeg_path, tmp_path, make_clip(tmp_path / "a.mp4"), index=7)
    assert (found.kind, "does not hold the streams" in str(found)) == (FailureKind.BAD_INPUT, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "libx999"}, "encoder that the profile asks for"),
        ({"muxer": "nosuch"}, "does not know an option"),
        ({"options": (("nosuch", "1"),)}, "does not know an option"),
        ({"pixels": Filter("nosuch")}, "a filter that is needed"),
        ({"pixels": Filter("scale", (("nosuch", "1"),))}, "does not know an option"),
        ({"pixels": Filter("scale", (("w", "31"), ("h", "29")))}, "width not divisible by 2 (31x29)"),
        ({"options": (("preset", "quick"),)}, "invalid preset 'quick'"),
        ({"encoder": "prores_ks", "muxer": "webm"}, "cannot hold one of its streams"),
    ],
)
def test_what_this_ffmpeg_or_profile_cannot_do(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    """The source is whole; the sentence says what does not fit."""
    found = diagnosed(ffmpeg_path, tmp_path, make_clip(tmp_path / "a.mp4"), **changes)  # type: ignore[arg-type]
    assert found.kind is FailureKind.UNSUPPORTED
    assert words in str(found)


@pytest.fixture
def as_nobody(ffmpeg_path: str) -> tuple[str, ...]:
    """What to put before a command so that permissions hold for it."""
    if os.geteuid() != 0:
        return ()
    prefix = ("setpriv", "--reuid", str(NOBODY), "--clear-groups")
    if shutil.which(prefix[0]) is None:
        pytest.skip("root may read and write anything, and there is no setpriv to become somebody else")
    if subprocess.run([*prefix, ffmpeg_path, "-version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("nobody but root may run this ffmpeg")
    return prefix


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that others may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_source_that_may_not_be_read(
    ffmpeg_path: str, make_clip: Callable[..., Path], reachable: Path, as_nobody: tuple[str, ...]
) -> None:
    """Permission is not damage: it can be given."""
    clip = make_clip(reachable / "secret.mp4")
    clip.chmod(0)
    found = diagnosed(ffmpeg_path, reachable, clip, prefix=as_nobody)
    assert (found.kind, "may not be read" in str(found)) == (FailureKind.PERMISSION, True)


def test_an_output_that_may_not_be_written(
    ffmpeg_path: str, make_clip: Callable[..., Path], reachable: Path, as_nobody: tuple[str, ...]
) -> None:
    """The folder of the output is named as the cause."""
    clip = make_clip(reachable / "a.mp4")
    clip.chmod(0o644)
    closed = reachable / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    found = diagnosed(ffmpeg_path, closed, clip, prefix=as_nobody)
    assert (found.kind, "may not be written" in str(found)) == (FailureKind.PERMISSION, True)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 kB, where one may be mounted."""
    with disk_or_skip(tmp_path / "disk", 40_000) as disk:
        yield disk


@pytest.mark.parametrize("muxer", ["mp4", "matroska", "mpegts"])
def test_a_full_disk(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, tiny_disk: Path, muxer: str
) -> None:
    """A full disk is nobody's damage, and stops the run rather than the file."""
    clip = make_clip(tmp_path / "a.mp4", size="320x180")
    found = diagnosed(ffmpeg_path, tiny_disk, clip, muxer=muxer, options=(("crf", "1"), ("preset", "ultrafast")))
    assert (found.kind, "disk of the output is full" in str(found)) == (FailureKind.DISK, True)


def test_an_encoder_short_of_memory(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """Memory that is truly short can be had later, with fewer jobs at once."""
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        pytest.skip("there is no prlimit to limit the memory with")
    clip = make_clip(tmp_path / "a.mp4")
    large = Filter("scale", (("w", "3840"), ("h", "2160")))
    found = diagnosed(ffmpeg_path, tmp_path, clip, pixels=large, prefix=(prlimit, "--as=600000000"))
    assert (found.kind, "memory" in str(found)) == (FailureKind.RESOURCE, True)


def test_nothing_to_say_of_success(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """Warnings alone are no failure."""
    assert diagnose(failed("[h264 @ 0x5] [warning] deprecated", returncode=0), b"/a") is None


# ---------------------------------------------------------------- by their words


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("[out#0/mp4 @ 0x5] [error] Error writing trailer: Disk quota exceeded", FailureKind.DISK, "quota"),
        ("[out#0/mp4 @ 0x5] [error] Error writing trailer: File too large", FailureKind.DISK, "larger"),
        ("[out#0/mp4 @ 0x5] [error] Error writing trailer: Input/output error", FailureKind.DISK, "does not take"),
        ("[in#0 @ 0x5] [error] Error during demuxing: Input/output error", FailureKind.UNAVAILABLE, "cannot be read"),
        ("[in#0 @ 0x5] [error] Error opening input: Stale file handle", FailureKind.UNAVAILABLE, "cannot be read"),
        (
            "[in#0 @ 0x5] [error] Error during demuxing: Transport endpoint is not connected",
            FailureKind.UNAVAILABLE,
            "cannot be read",
        ),
        ("[out#0/mp4 @ 0x5] [fatal] Error opening output x.mp4: Stale file handle", FailureKind.DISK, "does not take"),
        (
            "[out#0/mp4 @ 0x5] [fatal] Error opening output x.mp4: Operation not permitted",
            FailureKind.PERMISSION,
            "may not be written",
        ),
        (
            "[mp4 @ 0x5] [error] Unable to re-open x.mp4 output file for shifting data",
            FailureKind.INFRASTRUCTURE,
            "was removed",
        ),
        (
            "[out#0/mp4 @ 0x5] [fatal] Error opening output x.mp4: No such file or directory",
            FailureKind.INFRASTRUCTURE,
            "was removed",
        ),
        (
            "[out#0/mp4 @ 0x5] [fatal] Error opening output x.mp4: Too many open files",
            FailureKind.INFRASTRUCTURE,
            "could not be opened",
        ),
        ("[in#0 @ 0x5] [error] Error opening input: Cannot allocate memory", FailureKind.BAD_INPUT, "header asks"),
        ("x264 [error]: malloc of size 26999616 failed", FailureKind.RESOURCE, "x264 [error]: malloc of size"),
        ("[error] Error initializing: Resource temporarily unavailable", FailureKind.RESOURCE, "allows in processes"),
        ("[vist#0:0/none @ 0x5] [error] Decoding requested, but no decoder found for: none", "unsupported", "decoder"),
        (
            "[in#0 @ 0x5] [error] Error opening input: Not yet implemented in FFmpeg, patches welcome",
            "unsupported",
            "su",
        ),
        ("[h264_nvenc @ 0x5] [error] Cannot load libcuda.so.1", FailureKind.UNSUPPORTED, "hardware encoder"),
        (
            "[h264 @ 0x5] [error] something never seen before",
            FailureKind.BAD_INPUT,
            "(exit code 234) (ffmpeg says: some",
        ),
        ("", FailureKind.BAD_INPUT, "(exit code 234)."),
    ],
)
def test_words_that_cannot_be_had_on_request(text: str, kind: str, words: str) -> None:
    """Failures that tests cannot bring about are told by the words ffmpeg has for them."""
    found = diagnose(failed(text), b"/in/a.mp4")
    assert found is not None
    assert (found.kind, words in str(found)) == (FailureKind(kind), True), found


def test_a_full_disk_is_told_even_after_exit_code_0() -> None:
    """Some muxers lose what they cannot write and still end with 0."""
    found = diagnose(failed("[hls @ 0x5] [error] seg1.ts: No space left on device", returncode=0), b"/a")
    assert found is not None
    assert found.kind is FailureKind.DISK


@pytest.mark.parametrize(
    ("finished", "kind", "words"),
    [
        (failed("", 255, EndedBy.STALL), FailureKind.STALL, "no progress for too long at 0.4 s"),
        (failed("", -9, EndedBy.STALL), FailureKind.STALL, "no progress"),
        (failed("", 255, EndedBy.WALL), FailureKind.STALL, "longer than it may (12 s)"),
        (failed("", 255, EndedBy.SIZE), FailureKind.BAD_INPUT, "grew far larger"),
        (failed("", 255, EndedBy.STOP), FailureKind.INFRASTRUCTURE, "was stopped"),
        (failed("[h264 @ 0x5] [error] odd", -11), FailureKind.CRASH, "crashed (SIGSEGV) (ffmpeg says: odd)"),
        (failed("", -9), FailureKind.CRASH, "SIGKILL"),
        (failed("", -25), FailureKind.DISK, "limit on file sizes"),
        (failed("", -63), FailureKind.CRASH, "crashed"),
        (failed("", -4), FailureKind.CRASH, "crashed (SIGILL)"),
        (failed("terminate called after std::bad_alloc", -6), FailureKind.RESOURCE, "ran out of memory"),
        (failed("[libx265 @ 0x5] [error] malloc of size 9 failed", -11), FailureKind.RESOURCE, "ran out of memory"),
        (failed("", -24), FailureKind.RESOURCE, "CPU time"),
        (failed("[h264 @ 0x5] [warning] odd", 255), FailureKind.INFRASTRUCTURE, "ended by another program"),
        (failed("[h264 @ 0x5] [error] odd", 255), FailureKind.INFRASTRUCTURE, "ended by another program"),
        (failed("", 139), FailureKind.CRASH, "crashed (SIGSEGV)"),
        (failed("", 137), FailureKind.CRASH, "was killed by another program or by the system (SIGKILL)"),
        (failed("[h264 @ 0x5] [error] odd", 139), FailureKind.BAD_INPUT, "exit code 139"),
    ],
)
def test_ends_that_are_not_exits(finished: Finished, kind: FailureKind, words: str) -> None:
    """Who ended it comes first, then the signal, and only then what it said."""
    found = diagnose(finished, b"/in/a.mp4")
    assert found is not None
    assert (found.kind, words in str(found)) == (kind, True), found


def test_one_that_never_started_reporting() -> None:
    """Without any progress the sentence does not name a place."""
    finished = Finished(-15, 1.0, 0.0, 0, EndedBy.STALL)
    found = diagnose(finished, b"/a")
    assert found is not None
    assert "before its start" in str(found)


def test_quotes_are_clean_and_bounded() -> None:
    """Control characters are escaped, addresses dropped, endless lines cut, names that are no text printable."""
    text = "[mov @ 0x55d0c0ffee00] [error] tag \x1b[31m\x07 at 0x7f0011223344 " + "x" * 1000
    found = diagnose(failed(text), b"/in/\xff\n.mp4")
    assert found is not None
    assert str(found).isprintable()
    assert "\\x1b[31m\\x07" in str(found)
    assert "0x7f00" not in str(found)
    assert len(str(found)) < 350


def test_the_first_cause_is_quoted_not_its_consequences() -> None:
    """ffmpeg follows one error with several that say less."""
    text = (
        "[in#0/matroska @ 0x5] [warning] something\n"
        "[vost#0:0/libx264 @ 0x5] [enc:libx264 @ 0x6] [error] Error while opening encoder - maybe wrong.\n"
        "[libx264 @ 0x5] [error] the true cause\n"
        "[vf#0:0 @ 0x5] [error] Task finished with error code: -22 (Invalid argument)\n"
    )
    found = diagnose(failed(text), b"/a")
    assert found is not None
    assert str(found).endswith("(ffmpeg says: the true cause).")


@pytest.mark.media
def test_damaged_files_in_the_wild(ffmpeg_path: str, media_folder: Path, tmp_path: Path) -> None:
    """Each of them ends, and each failure is the file's fault, a lack of support or a stall: never ours."""
    kinds: dict[str, FailureKind] = {}
    files = sorted(p for p in (media_folder / "broken").rglob("*") if p.is_file())
    assert files
    for source in files:
        stream = MappedStream((0, 0), "v", "libx264", preset="ultrafast")
        invocation = Invocation((Input(os.fsencode(source)),), Output("o", "matroska", (stream,)))
        finished = FfmpegRun(
            argv(invocation, ffmpeg_path), cwd=str(tmp_path), env=environment(os.environ), stall_seconds=5
        ).wait()
        found = diagnose(finished, os.fsencode(source))
        if found is not None:
            assert str(found).isprintable()
            kinds[source.name] = found.kind
    ours = {
        n: k for n, k in kinds.items() if k not in (FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED, FailureKind.STALL)
    }
    assert not ours
