"""Command lines as built, given to the real ffmpeg: it takes them, and takes nothing it should not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pyprocessor.ffmpeg.invocation import (
    UNTRUSTED_DEMUXERS,
    Filter,
    Input,
    Invocation,
    MappedStream,
    Output,
    argv,
    environment,
    whitelists,
)
from pyprocessor.ffmpeg.run import FfmpegRun, Finished
from pyprocessor.ffmpeg.tool import find

VIDEO = MappedStream((0, 0), "v", "libx264", preset="ultrafast")
AUDIO = MappedStream((0, 1), "a", "aac")


def run(ffmpeg: str, folder: Path, invocation: Invocation) -> Finished:
    return FfmpegRun(
        argv(invocation, ffmpeg), cwd=str(folder), env=environment(os.environ), stall_seconds=60, wall_limit_seconds=120
    ).wait()


def copy_of(source: bytes | Path) -> Invocation:
    given = Input(os.fsencode(source))
    return Invocation((given,), Output("o.mkv", "matroska", (MappedStream((0, 0), "v", "copy"),)))


@pytest.mark.parametrize(
    ("encoder", "preset", "muxer"),
    [
        ("libx264", "ultrafast", "mp4"),
        ("libx265", "ultrafast", "mp4"),
        ("libsvtav1", "12", "matroska"),
        ("libvpx-vp9", "8", "webm"),
        ("libaom-av1", "8", "matroska"),
        ("librav1e", "10", "matroska"),
        ("mpeg4", None, "mp4"),
        ("prores_ks", None, "mov"),
    ],
)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_encoder_takes_what_it_is_told(
    ffmpeg_path: str,
    make_clip: Callable[..., Path],
    tmp_path: Path,
    encoder: str,
    preset: str | None,
    muxer: str,
    threads: int,
) -> None:
    """No option goes unused or is misread: the encode succeeds without a word about it."""
    clip = make_clip(tmp_path / "a.mp4", seconds=0.2)
    options = (("deadline", "realtime"),) if encoder == "libvpx-vp9" else ()
    stream = MappedStream((0, 0), "v", encoder, preset=preset, options=options)
    finished = run(
        ffmpeg_path,
        tmp_path,
        Invocation((Input(os.fsencode(clip)),), Output("o", muxer, (stream,)), threads=threads),
    )
    assert finished.returncode == 0, finished.stderr_text
    assert "AVOption" not in finished.stderr_text
    assert "Unknown" not in finished.stderr_text
    assert finished.progress is not None
    assert finished.progress.frame == 5


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
def test_one_thread_means_about_one(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, encoder: str
) -> None:
    """An encode told to use one thread uses little more CPU time than wall time, though two cores are there."""
    clip = make_clip(tmp_path / "a.mp4", seconds=2.0, size="640x360", audio=None)
    stream = MappedStream((0, 0), "v", encoder, preset="10" if encoder == "libsvtav1" else "medium")
    finished = run(ffmpeg_path, tmp_path, Invocation((Input(os.fsencode(clip)),), Output("o", "mp4", (stream,))))
    assert finished.returncode == 0, finished.stderr_text
    assert finished.cpu_seconds < 1.5 * finished.wall_seconds + 0.2


def test_filters_streams_and_metadata_reach_the_output(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """Two differently filtered renditions of one stream, and a tag with odd characters, come out as asked."""
    clip = make_clip(tmp_path / "a.mp4")
    small = (Filter("scale", (("w", "min(64,iw)"), ("h", "-2"))), Filter("fps", (("fps", "10"),)))
    title = "a=b: 'c' \\ \"d\" ; [e], %03d é"
    streams = (
        MappedStream((0, 0), "v", "libx264", preset="ultrafast", filters=small, metadata=(("title", title),)),
        MappedStream(
            (0, 0), "v", "libx264", preset="ultrafast", filters=(Filter("scale", (("w", "32"), ("h", "32"))),)
        ),
        AUDIO,
    )
    invocation = Invocation((Input(os.fsencode(clip)),), Output("o.mkv", "matroska", streams))
    finished = run(ffmpeg_path, tmp_path, invocation)
    assert finished.returncode == 0, finished.stderr_text
    with av.open(str(tmp_path / "o.mkv")) as made:
        first, second = made.streams.video
        assert (first.width, first.height) == (64, 36)
        assert first.average_rate == Fraction(10)
        assert first.metadata["title"] == title
        assert (second.width, second.height) == (32, 32)
        assert len(made.streams.audio) == 1


def test_filter_values_arrive_unchanged(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path) -> None:
    """Every character with a meaning to either parser is escaped: the filter sees what was written."""
    value = "a:b'c,[d]\\e=f;g%h"
    stream = MappedStream((0, 0), "v", "libx264", filters=(Filter("scale", (("w", value),)),))
    invocation = Invocation((Input(os.fsencode(make_clip(tmp_path / "a.mp4"))),), Output("o.mp4", "mp4", (stream,)))
    finished = run(ffmpeg_path, tmp_path, invocation)
    assert finished.returncode != 0
    assert value in finished.stderr_text


@pytest.mark.parametrize(
    "name",
    [
        b"-leading-dash.mp4",
        b"a b 'c' \"d\" & ; $(e).mp4",
        b"n%03d%d.mp4",
        b"concat:x|y.mp4",
        b"http:colon.mp4",
        b"new\nline\ttab.mp4",
        "\N{CLAPPER BOARD} clip é.mp4".encode(),
        b"not-utf8-\xff\xfe.mp4",
        b"[a]{b}*?.mp4",
        b"e" * 240 + b".mp4",
    ],
)
def test_any_name_can_be_read(ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, name: bytes) -> None:
    """Names that are options, patterns, protocols or no text at all are just names."""
    source = os.fsencode(tmp_path) + b"/" + name
    os.replace(make_clip(tmp_path / "a.mp4", seconds=0.2), source)
    finished = run(ffmpeg_path, tmp_path, copy_of(source))
    assert finished.returncode == 0, finished.stderr_text
    with av.open(str(tmp_path / "o.mkv")) as made:
        assert sum(1 for _ in made.demux(video=0) if _.size) == 5


def playlists(folder: Path) -> dict[str, str]:
    """Files that would make ffmpeg open others, by name."""
    segment = folder / "clip.ts"
    return {
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{segment}\n#EXT-X-ENDLIST\n",
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{segment}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{segment}'\n",
        "list.mp4": "ffconcat version 1.0\nfile clip.ts\n",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "meta.mp4": ";FFMETADATA1\ntitle=x\n",
        "words.mp4": "these are only words\n" * 100,
        "script.avs": 'Version()\nImport("/etc/passwd")\n',
    }


@pytest.mark.parametrize("name", sorted(playlists(Path())))
def test_untrusted_files_that_reach_for_others_are_refused(
    ffmpeg_path: str, make_clip: Callable[..., Path], tmp_path: Path, name: str
) -> None:
    """Playlists, scripts and text are not media, whatever their names; ffmpeg and PyAV agree."""
    make_clip(tmp_path / "clip.ts", audio=None)
    source = tmp_path / name
    source.write_text(playlists(tmp_path)[name])
    finished = run(ffmpeg_path, tmp_path, copy_of(source))
    assert finished.returncode != 0
    assert finished.progress is None
    with pytest.raises(av.error.FFmpegError):
        av.open(f"file:{source}", options=dict(whitelists()))


def test_number_patterns_are_not_expanded(ffmpeg_path: str, tmp_path: Path) -> None:
    """`img%03d.png` names one file and no sequence, and pictures are not films."""
    for number in range(3):
        (tmp_path / f"img{number:03}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    finished = run(ffmpeg_path, tmp_path, copy_of(tmp_path / "img%03d.png"))
    assert finished.returncode != 0
    assert "not on whitelist" in finished.stderr_text


def test_the_allowed_demuxers_exist() -> None:
    """A misspelt name in the list would shut out a container without a word."""
    found = find()
    if "imageio_ffmpeg" not in found.path:
        pytest.skip("another ffmpeg may have been built with fewer demuxers")
    listed = subprocess.run(
        [found.path, "-hide_banner", "-demuxers"], capture_output=True, text=True, check=True
    ).stdout
    names = {name for line in listed.splitlines() for name in line[5:].partition(" ")[0].split(",")}
    assert set(UNTRUSTED_DEMUXERS.split(",")) <= names


@pytest.mark.media
def test_real_clips_can_be_opened_under_the_whitelists(ffmpeg_path: str, media_folder: Path, tmp_path: Path) -> None:
    """No container in the wild that we know of is shut out."""
    refused = []
    clips = sorted(p for p in (media_folder / "clips").iterdir() if p.is_file())
    assert clips
    for clip in clips:
        finished = run(ffmpeg_path, tmp_path, copy_of(clip))
        if "whitelist" in finished.stderr_text or "Error opening input" in finished.stderr_text:
            refused.append((clip.name, finished.stderr_text))
    assert not refused
