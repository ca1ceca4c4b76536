"""Finding an ffmpeg, learning what it can do, and saying what is wrong with the one that was named."""

from __future__ import annotations

import dataclasses
import os
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pyprocessor.errors import ExitCode, FfmpegUnusable, ProfileError
from pyprocessor.ffmpeg import tool
from pyprocessor.models import Profile
from tests.integration.encoder_profiles import profile
from tests.waiting import DEADLINE_SECONDS, until


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def found(ffmpeg_path: str) -> tool.Tool:
    return tool.find({"PYPROCESSOR_FFMPEG": ffmpeg_path})


def script(path: Path, text: str) -> Path:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return path


# ---------------------------------------------------------------- finding


def test_the_default_is_found_without_a_path(cache: Path) -> None:
    """The ffmpeg inside the wheel needs neither PATH nor any setting."""
    made = tool.find({})
    assert os.access(made.path, os.X_OK)
    assert "imageio_ffmpeg" in made.path
    assert {"libx264", "libx265", "libsvtav1"} <= made.video_encoders
    assert {"aac", "libopus"} <= made.audio_encoders
    assert "mov_text" in made.subtitle_encoders
    assert {"mp4", "matroska", "hls"} <= made.muxers
    assert made.encoders >= made.video_encoders
    assert not {"=", "------", "VIDEO"} & (made.encoders | made.muxers)


def test_the_variable_of_another_program_is_not_followed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IMAGEIO_FFMPEG_EXE is set for other programs."""
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script(tmp_path / "other", "exit 1")))
    assert tool.find({}).path != str(tmp_path / "other")


def test_it_is_found_in_a_fresh_interpreter_without_importing_the_wheel(cache: Path) -> None:
    """Asking where the files are is enough, and keeps the start short."""
    code = (
        "import sys; from pyprocessor.ffmpeg import tool; tool.find({});"
        "print(sorted({'imageio_ffmpeg', 'av', 'ffmpeg', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=DEADLINE_SECONDS, check=True
    )
    assert done.stdout.strip() == "[]"


def test_system_means_the_first_on_path(cache: Path, tmp_path: Path, ffmpeg_path: str) -> None:
    """PYPROCESSOR_FFMPEG=system looks at PATH alone."""
    (tmp_path / "ffmpeg").symlink_to(ffmpeg_path)
    made = tool.find({"PYPROCESSOR_FFMPEG": "system", "PATH": str(tmp_path)})
    assert made.path == str(tmp_path / "ffmpeg")
    with pytest.raises(FfmpegUnusable, match="no folder on PATH holds an ffmpeg"):
        tool.find({"PYPROCESSOR_FFMPEG": "system", "PATH": str(tmp_path / "elsewhere")})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exit 0", "is not an ffmpeg"),
        ("echo ffprobe version 9.0", "is not an ffmpeg"),
        ("exit 3", "exit code 3"),
        ("kill -SEGV $$", "signal 11"),
        (
            "echo ffmpeg version 4.4.2 Copyright; echo 'libavcodec     58.134.100 / 58.134.100'",
            "4.4.2, but 5.1 or newer",
        ),
        ("echo ffmpeg version N-1-gabc; echo 'libavcodec     59. 36.100 / 59. 36.100'", "N-1-gabc, but 5.1 or newer"),
    ],
)
def test_programs_that_will_not_do_are_refused(cache: Path, tmp_path: Path, text: str, message: str) -> None:
    """What answers wrongly, too old or not at all is named with its path and what to do."""
    named = script(tmp_path / "ff", text)
    with pytest.raises(FfmpegUnusable, match=message) as caught:
        tool.find({"PYPROCESSOR_FFMPEG": str(named)})
    assert str(named) in str(caught.value)
    assert "PYPROCESSOR_FFMPEG" in str(caught.value)
    assert caught.value.exit_code == ExitCode.FFMPEG_UNUSABLE == 69


def test_files_that_do_not_start_are_refused(cache: Path, tmp_path: Path) -> None:
    """Missing, a folder, not executable, of another machine, without its loader: each says so."""
    foreign = tmp_path / "foreign"
    foreign.write_bytes(b"\x7fELF" + bytes(60))
    foreign.chmod(0o755)
    orphan = tmp_path / "orphan"
    orphan.write_text("#!/nowhere/loader\n")
    orphan.chmod(0o755)
    plain = script(tmp_path / "plain", "exit 0")
    plain.chmod(0o644)
    for path, message in (
        (tmp_path / "missing", "No such file"),
        (tmp_path, "is a folder"),
        (plain, "not executable"),
        (foreign, "architecture"),
        (orphan, "loader or interpreter"),
    ):
        with pytest.raises(FfmpegUnusable, match=message) as caught:
            tool.find({"PYPROCESSOR_FFMPEG": str(path)})
        assert str(path) in str(caught.value)


def test_one_that_never_answers_is_given_up(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that hangs costs a bounded time and is ended."""
    monkeypatch.setattr(tool, "_ANSWER_SECONDS", 0.3)
    with pytest.raises(FfmpegUnusable, match="did not answer"):
        tool.find({"PYPROCESSOR_FFMPEG": str(script(tmp_path / "ff", "exec sleep 1000"))})


def test_what_a_hanging_wrapper_started_is_ended_too(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script's own child holds the pipe open; it is not waited for, and does not stay behind."""
    monkeypatch.setattr(tool, "_ANSWER_SECONDS", 5.0)
    wrapper = script(tmp_path / "ff", f"sleep 1000 & echo $! > {tmp_path}/pid\nwait\n")
    with pytest.raises(FfmpegUnusable, match="did not answer"):
        tool.find({"PYPROCESSOR_FFMPEG": str(wrapper)})
    sleeper = int((tmp_path / "pid").read_text())
    until(lambda: not _starts_left(sleeper), "the end of the wrapper's child")


def _starts_left(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ---------------------------------------------------------------- remembering


def test_what_was_learned_is_remembered(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time no process is started."""
    first = tool.find({})

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    assert tool.find({}) == first


def test_a_named_ffmpeg_is_asked_its_version_each_time(cache: Path, tmp_path: Path, ffmpeg_path: str) -> None:
    """Its libraries may have been replaced while its own file stayed as it was."""
    version = tmp_path / "version"
    version.write_text("1.0")
    wrapper = script(
        tmp_path / "ff",
        f'if [ "$2" = -version ]; then "{ffmpeg_path}" -version | sed "1s/version [^ ]*/version $(cat {version})/"; '
        f'else exec "{ffmpeg_path}" "$@"; fi',
    )
    variables = {"PYPROCESSOR_FFMPEG": str(wrapper)}
    assert tool.find(variables).version == "1.0"
    version.write_text("2.0")
    assert tool.find(variables).version == "2.0"
    assert tool.find(variables).version == "2.0"


def test_a_replaced_ffmpeg_is_asked_anew(cache: Path, tmp_path: Path, ffmpeg_path: str) -> None:
    """Another size or time of change means another program."""
    wrapper = script(tmp_path / "ff", f'exec "{ffmpeg_path}" "$@"')
    variables = {"PYPROCESSOR_FFMPEG": str(wrapper)}
    tool.find(variables)
    script(wrapper, f'[ "$2" = -encoders ] && exit 9; exec "{ffmpeg_path}" "$@"')
    with pytest.raises(FfmpegUnusable, match="exit code 9"):
        tool.find(variables)


@pytest.mark.parametrize("damage", [b"", b"{}", None])
def test_a_damaged_memory_counts_as_none(cache: Path, damage: bytes | None) -> None:
    """A file cut short or altered is never believed, and is made anew."""
    first = tool.find({})
    (file,) = cache.rglob("ffmpeg-*.json")
    whole = file.read_bytes()
    file.write_bytes(whole[:-100] if damage is None else damage)
    assert tool.find({}) == first
    assert file.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only home costs time and nothing else."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert tool.find({}).encoders


# ---------------------------------------------------------------- profiles


def test_a_profile_this_ffmpeg_can_do_is_accepted(found: tool.Tool) -> None:
    """Known encoders, a known container, copying, and no video or audio at all."""
    tool.require(found, profile())
    tool.require(found, profile("libsvtav1", "libopus", "mkv"))
    tool.require(found, profile(None, "copy", "m4a"))
    tool.require(found, profile("libx264", None, "mov"))


@pytest.mark.parametrize(
    ("wanted", "messages"),
    [
        (profile("libx246"), ["video encoder 'libx246'", "Nearest: libx26", "libx264"]),
        (profile("aac"), ["video encoder 'aac'", "another kind of stream"]),
        (profile("h264"), ["video encoder 'h264'", "Did you mean libx264?"]),
        (profile("H.265"), ["Did you mean libx265?"]),
        (profile("hevc"), ["Did you mean libx265?"]),
        (profile("av1"), ["Did you mean libsvtav1?"]),
        (profile("x264"), ["Did you mean libx264?"]),
        (profile("VP9"), ["Did you mean libvpx-vp9?"]),
        (profile("LIBX264"), ["Did you mean libx264?"]),
        (profile("mp3"), ["libmp3lame, which may be meant, is an encoder of another kind"]),
        (profile(audio="mp3"), ["audio encoder 'mp3'", "Did you mean libmp3lame?"]),
        (profile(audio="opus"), ["will not use, since it is experimental", "Did you mean libopus?"]),
        (profile(audio="fdk-aac"), ["Did you mean aac?"]),
        (profile(audio="libfaac"), ["audio encoder 'libfaac'", "aac, libopus"]),
        (profile(container="mp5"), ["container 'mp5'", "mp4"]),
        (profile(video="zzzzzzzzzzzzzzzzzzz"), ["video encoder", "has are libx264"]),
    ],
)
def test_what_this_ffmpeg_lacks_is_a_mistake_in_the_profile(
    found: tool.Tool, wanted: Profile, messages: list[str]
) -> None:
    """The error says what is missing and what there is, and is a usage error."""
    with pytest.raises(ProfileError) as caught:
        tool.require(found, wanted)
    assert all(message in str(caught.value) for message in messages), str(caught.value)
    assert "mine" in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE == 2


def test_nothing_is_suggested_where_nothing_is_near(found: tool.Tool) -> None:
    """An ffmpeg without any usual encoder gets no empty list."""
    bare = dataclasses.replace(found, video_encoders=frozenset({"rawvideo"}))
    with pytest.raises(ProfileError) as caught:
        tool.require(bare, profile())
    assert "Nearest" not in str(caught.value)
    assert "Among" not in str(caught.value)


def test_the_tool_in_use_is_a_plain_file(ffmpeg_path: str) -> None:
    """What the other tests run is the product's own choice."""
    assert stat.S_ISREG(os.stat(ffmpeg_path).st_mode)
