"""Closed captions inside the pictures: kept by encoders that can, told where not."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pyprocessor.inspect.film import has_captions
from pyprocessor.inspect.probe import probe
from pyprocessor.models import Profile, VideoSettings
from tests.integration.encoder_profiles import MP4, WEBM
from tests.integration.transcoding import output_of, run_ffmpeg

HEVC = replace(MP4, video=VideoSettings("libx265", preset="ultrafast", pixel_format="yuv420p"))
AV1 = replace(MP4, container="mkv", extension="mkv", video=VideoSettings("libsvtav1", preset="12", crf=50))
_PICTURE_EXTENSION = re.compile(rb"\0\0\x01\xb5[\x80-\x8f].*?(?=\0\0\x01)", re.DOTALL)


def captioned(ffmpeg_path: str, folder: Path, *, first: int) -> Path:
    """Television with captions in each picture from the one numbered `first` on, and pauses in those before."""
    plain = folder / "plain.m2v"
    run_ffmpeg(
        ffmpeg_path,
        *(
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=176x144:r=30000/1001:d=2",
            "-c:v",
            "mpeg2video",
            "-bf",
            "0",
            "-g",
            "15",
            plain,
        ),
    )
    seen = -1

    def with_triplet(found: re.Match[bytes]) -> bytes:
        nonlocal seen
        seen += 1
        triplet = b"\xfc\xc8\xe5" if seen >= first else b"\xfc\x80\x80"
        return found[0] + b"\0\0\1\xb2GA94\x03\x41\xff" + triplet + b"\xff"

    (folder / "captioned.m2v").write_bytes(_PICTURE_EXTENSION.sub(with_triplet, plain.read_bytes()))
    assert seen > 50
    path = folder / "a.ts"
    clock = "setts=pts=N*40040:dts=N*40040"  # in the 1,200,000ths of a second that ffmpeg counts raw MPEG-2 in
    run_ffmpeg(ffmpeg_path, "-f", "mpegvideo", "-i", folder / "captioned.m2v", "-c", "copy", "-bsf:v", clock, path)
    return path


def captioned_pictures(path: Path) -> int:
    """How many pictures of a film carry captions."""
    with av.open(str(path)) as container:
        return sum(has_captions(frame) for frame in container.decode(video=0))


@pytest.mark.parametrize("profile", [MP4, HEVC], ids=["x264", "x265"])
@pytest.mark.parametrize("first", [0, 30])
def test_captions_stay_in_the_pictures(ffmpeg_path, tmp_path, profile: Profile, first: int) -> None:
    """Also where they begin later, and where pictures are scaled."""
    source = captioned(ffmpeg_path, tmp_path, first=first)
    made = output_of(
        source, replace(profile, video=replace(profile.video, max_height=96)), ffmpeg_path, tmp_path / "out"
    )  # type: ignore[type-var]
    assert captioned_pictures(made.path) == captioned_pictures(source)
    assert made.facts.losses == ()


@pytest.mark.parametrize(("profile", "codec"), [(AV1, "AV1"), (WEBM, "VP9")])
def test_captions_that_an_encoder_drops_are_told(ffmpeg_path, tmp_path, profile: Profile, codec: str) -> None:
    """By container and codec, so that files can be counted by it."""
    made = output_of(captioned(ffmpeg_path, tmp_path, first=30), profile, ffmpeg_path, tmp_path / "out")
    assert made.facts.losses == (f"captions dropped ({profile.container} with {codec} holds none)",)
    assert captioned_pictures(made.path) == 0


def test_captions_follow_a_new_rate(ffmpeg_path, tmp_path) -> None:
    """Of 60 pairs in 60 pictures, all are in the 48 that are left."""
    at_24 = replace(MP4, video=replace(MP4.video, fps=Fraction(24)))  # type: ignore[type-var]
    made = output_of(captioned(ffmpeg_path, tmp_path, first=0), at_24, ffmpeg_path, tmp_path / "out")
    assert made.facts.losses == ()
    assert captioned_pictures(made.path) >= 45


def test_empty_captions_are_none(ffmpeg_path, tmp_path) -> None:
    """A station sends them all the time."""
    source = captioned(ffmpeg_path, tmp_path, first=10_000)
    found = probe(str(source).encode(), size_bytes=source.stat().st_size).video
    assert found is not None
    assert found.video is not None
    assert not found.video.captions
    assert output_of(source, AV1, ffmpeg_path, tmp_path / "out").facts.losses == ()


def test_a_track_of_captions_becomes_subtitles(ffmpeg_path, tmp_path) -> None:
    """Those that MOV and MP4 hold beside the pictures (`c608`)."""
    subtitles = tmp_path / "a.scc"
    subtitles.write_text(
        "Scenarist_SCC V1.0\n\n00:00:00:10\t9420 9420 94ae 94ae 9470 9470 c8e5 ecec ef80 942f 942f\n\n"
        "00:00:01:20\t942c 942c\n\n"
    )
    source = tmp_path / "a.mov"
    run_ffmpeg(
        ffmpeg_path,
        *("-f", "lavfi", "-i", "testsrc2=s=176x144:r=30000/1001:d=2", "-f", "scc", "-i", subtitles),
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:s", "copy", source),
    )
    for profile in (MP4, AV1):
        made = output_of(source, profile, ffmpeg_path, tmp_path / "out")
        assert made.facts.subtitle_streams == 1
        with av.open(str(made.path)) as container:
            text = b"".join(bytes(p) for p in container.demux(container.streams.subtitles[0]))
        assert b"Hello" in text
