"""Films of 360 degrees and in stereo: their outputs say so, or a note does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.inspect.probe import probe
from pyprocessor.models import Profile, VideoInfo, VideoSettings
from tests.integration.boxes import EQUIRECTANGULAR, SIDE_BY_SIDE, TOP_AND_BOTTOM, add_to_video
from tests.integration.encoder_profiles import MKV, MOV, MP4, TS
from tests.integration.transcoding import output_of, run_ffmpeg

AV1 = replace(MKV, video=VideoSettings("libsvtav1", preset="12", crf=50))
SMALL = replace(MP4, video=replace(MP4.video, max_height=90))  # type: ignore[type-var]


def film(path: Path) -> VideoInfo:
    """What inspecting says of the film in a file."""
    found = probe(str(path).encode(), size_bytes=path.stat().st_size).video
    assert found is not None
    assert found.video is not None
    return found.video


@pytest.fixture
def sphere(make_clip, tmp_path) -> Path:
    """A 360 degree film in stereo, as cameras write it."""
    path = make_clip(tmp_path / "sphere.mp4", size="320x160")
    add_to_video(path, TOP_AND_BOTTOM + EQUIRECTANGULAR)
    return path


@pytest.mark.parametrize(
    "profile",
    [MP4, MOV, MKV, AV1, SMALL, replace(SMALL, container="mov", extension="mov"), replace(AV1, video=SMALL.video)],
    ids=["mp4", "mov", "mkv", "av1", "small", "small-mov", "small-mkv"],
)
def test_a_sphere_stays_one(ffmpeg_path, sphere, tmp_path, profile: Profile) -> None:
    """Also where it is scaled, which would take the mark away."""
    made = output_of(sphere, profile, ffmpeg_path, tmp_path / "out")
    found = film(made.path)
    assert (found.spherical, found.stereo) == ("equirectangular", "top and bottom")
    assert found.height == min(160, (profile.video or VideoSettings()).max_height or 160)
    assert made.facts.notes == ()


@pytest.mark.parametrize("profile", [MP4, MOV, MKV], ids=lambda p: p.container)
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_stereo_stays_stereo(ffmpeg_path, make_clip, tmp_path, profile: Profile, name: str) -> None:
    """Its layout is named from one container to the other."""
    source = make_clip(tmp_path / "a.mp4")
    if name == "a.mkv":
        run_ffmpeg(ffmpeg_path, "-i", source, "-c", "copy", "-metadata:s:v", "stereo_mode=left_right", tmp_path / name)
    else:
        add_to_video(source, SIDE_BY_SIDE)
    made = output_of(tmp_path / name, profile, ffmpeg_path, tmp_path / "out")
    assert film(made.path).stereo == "side by side"
    assert made.facts.notes == ()


def test_what_a_container_does_not_say_is_told(ffmpeg_path, sphere, make_clip, tmp_path) -> None:
    """Not that it is a sphere, nor which eye comes first."""
    made = output_of(sphere, TS, ffmpeg_path, tmp_path / "out")
    assert made.facts.losses == ("no longer marked as 360 degree pictures (equirectangular) (mpegts)",)
    swapped = tmp_path / "swapped.mkv"
    plain = make_clip(tmp_path / "plain.mp4")
    run_ffmpeg(ffmpeg_path, "-i", plain, "-c", "copy", "-metadata:s:v", "stereo_mode=right_left", swapped)
    made = output_of(swapped, MP4, ffmpeg_path, tmp_path / "out")
    assert made.facts.losses == ("no longer marked as stereo pictures (side by side, right eye first) (mp4)",)


def test_flat_films_are_flat(make_clip, ffmpeg_path, tmp_path) -> None:
    """Nothing is written or said of them."""
    made = output_of(make_clip(tmp_path / "a.mp4"), MP4, ffmpeg_path, tmp_path / "out")
    assert (film(made.path).spherical, film(made.path).stereo) == (None, None)
    assert made.facts.notes == ()
    assert b"vexu" not in made.path.read_bytes()
