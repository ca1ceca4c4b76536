"""The output picture: its size, pixel format, colours and the filters that lead there."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.models import Colour, Deinterlace, HdrKind, HdrPolicy, MediaNote, VideoInfo, VideoSettings
from pyprocessor.recipes.picture import Picture, picture, size

SDR = VideoInfo(1920, 1080, "yuv420p", frame_rate=Fraction(25))
PQ = replace(
    SDR, pixel_format="yuv420p10le", bit_depth=10, colour=Colour("bt2020", "smpte2084", "bt2020nc", "tv"),
    hdr=HdrKind.HDR10,
)  # fmt: skip
HLG = replace(PQ, colour=Colour("bt2020", "arib-std-b67", "bt2020nc", "tv"), hdr=HdrKind.HLG)
X264 = VideoSettings()
AV1 = VideoSettings(encoder="libsvtav1", pixel_format="yuv420p10le", hdr=HdrPolicy.KEEP)


def names(made: Picture) -> list[str]:
    """The filters' names, in order."""
    return [step.name for step in made.filters]


def options(made: Picture, name: str) -> dict[str, str]:
    """The options of the first filter of that name."""
    return dict(next(step.options for step in made.filters if step.name == name))


@pytest.mark.parametrize(
    ("settings", "video", "expected"),
    [
        (X264, SDR, (1920, 1080)),
        (X264, replace(SDR, width=161, height=121), (160, 120)),
        (X264, replace(SDR, width=29, height=29), (28, 28)),
        (X264, replace(SDR, width=1, height=1), (2, 2)),
        (VideoSettings(encoder="libx265"), replace(SDR, width=4, height=8), (16, 32)),
        (VideoSettings(max_height=540), SDR, (960, 540)),
        (VideoSettings(max_width=1280, max_height=720), SDR, (1280, 720)),
        (VideoSettings(max_height=540), replace(SDR, rotation=90), (540, 960)),
        (VideoSettings(max_width=1280, max_height=720), replace(SDR, rotation=270), (720, 1280)),
        (VideoSettings(max_height=2160), SDR, (1920, 1080)),
        (VideoSettings(max_height=540), replace(SDR, width=640, height=360), (640, 360)),
        (X264, replace(SDR, width=1440, sample_aspect_ratio=Fraction(4, 3)), (1440, 1080)),
    ],
)
def test_size(settings: VideoSettings, video: VideoInfo, expected: tuple[int, int]) -> None:
    """Even, within limits that turn with the picture, never enlarged but for what an encoder needs."""
    assert size(settings, video) == expected


@given(
    st.integers(1, 16384),
    st.integers(1, 16384),
    st.sampled_from((0, 90, 180, 270)),
    st.none() | st.integers(2, 5000),
    st.none() | st.integers(2, 5000),
    st.sampled_from(("libx264", "libx265", "libsvtav1")),
)
def test_size_is_always_usable(
    width: int, height: int, rotation: int, most_wide: int | None, most_high: int | None, encoder: str
) -> None:
    """Whatever goes in, both sides are even and positive, and nothing is enlarged by more than rounding."""
    settings = VideoSettings(encoder=encoder, max_width=most_wide, max_height=most_high)
    found = size(settings, replace(SDR, width=width, height=height, rotation=rotation))
    assert all(side >= 2 and side % 2 == 0 for side in found)
    if min(width, height) >= 16 and (most_wide is None or most_wide >= 16384) and most_high is None:
        assert max(found) <= max(width, height) + 1


def test_scale_is_always_there() -> None:
    """A stream that changes its picture size midway must come out in one size."""
    made = picture(X264, SDR, keeps_rate=True)
    assert options(made, "scale")["w"] == "1920"
    assert names(made)[-1] == "setsar"


def test_pixels_that_are_not_square_stay_so() -> None:
    """The aspect is stated, and turned with the picture."""
    wide = replace(SDR, sample_aspect_ratio=Fraction(4, 3))
    assert options(picture(X264, wide, keeps_rate=True), "setsar")["sar"] == "4/3"
    turned = replace(wide, rotation=90)
    assert options(picture(X264, turned, keeps_rate=True), "setsar")["sar"] == "3/4"


def test_transparency_that_is_lost_is_told_of() -> None:
    """H.264 has none; where the output's pictures have it too, there is nothing to tell."""
    clear = replace(SDR, alpha=True)
    assert picture(X264, clear, keeps_rate=True).notes == (
        MediaNote("Its transparency was left out.", "transparency dropped"),
    )
    assert picture(X264, SDR, keeps_rate=True).notes == ()
    prores = VideoSettings("prores_ks", pixel_format="yuva444p10le")
    assert picture(prores, clear, keeps_rate=True).notes == ()


@pytest.mark.parametrize("video", [PQ, HLG], ids=["pq", "hlg"])
def test_hdr_is_tone_mapped_and_its_metadata_removed(video: VideoInfo) -> None:
    """SDR output carries no stale mastering data and is told how its source was coded."""
    made = picture(X264, video, keeps_rate=True)
    assert "tonemap" in names(made)
    assert options(made, "zscale")["transferin"] == video.colour.transfer
    removed = {dict(step.options)["type"] for step in made.filters if step.name == "sidedata"}
    ambient_viewing_environment = "26"
    assert {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", ambient_viewing_environment} <= removed
    assert made.pixel_format == "yuv420p"


def test_tone_mapped_pictures_get_the_format_of_the_source_back() -> None:
    """An encoder that chooses for itself would be offered floating point."""
    made = picture(VideoSettings("ffv1", pixel_format=None), PQ, keeps_rate=True)
    assert [dict(step.options)["pix_fmts"] for step in made.filters if step.name == "format"][-1] == "yuv420p10le"
    assert "format" not in names(picture(VideoSettings("ffv1", pixel_format=None), SDR, keeps_rate=True))


def test_hdr_is_kept_in_ten_bits_where_the_encoder_can() -> None:
    """SVT-AV1 and x265 keep it, also for a profile that names an 8-bit format; x264 maps it and says so."""
    assert "tonemap" not in names(picture(AV1, HLG, keeps_rate=True))
    eight = VideoSettings(encoder="libx265", hdr=HdrPolicy.KEEP)
    assert picture(eight, PQ, keeps_rate=True).pixel_format == "yuv420p10le"
    mapped = picture(VideoSettings(hdr=HdrPolicy.KEEP), PQ, keeps_rate=True)
    assert "tonemap" in names(mapped)
    assert mapped.notes


def test_dolby_vision_goes_by_its_base_layer() -> None:
    """On HDR10 it is tone-mapped as such, on SDR left alone; either way the user is told."""
    on_pq = picture(X264, replace(PQ, hdr=HdrKind.DOLBY_VISION), keeps_rate=True)
    on_sdr = picture(X264, replace(SDR, hdr=HdrKind.DOLBY_VISION, colour=Colour(transfer="bt709")), keeps_rate=True)
    assert "tonemap" in names(on_pq)
    assert "tonemap" not in names(on_sdr)
    assert any("Dolby Vision" in note.text for note in on_pq.notes)


@pytest.mark.parametrize(
    ("encoder", "source", "depth", "expected"),
    [
        ("libx264", "yuv444p", 8, "yuv444p"),
        ("libx264", "yuvj422p", 8, "yuv422p"),
        ("libx264", "yuva420p", 8, "yuv420p"),
        ("libx264", "pal8", 8, "yuv444p"),
        ("libsvtav1", "yuv422p10le", 10, "yuv420p10le"),
        ("libsvtav1", "yuv444p", 8, "yuv420p"),
        ("libx264", "yuv420p12le", 12, "yuv420p10le"),
        ("libx265", "yuv420p12le", 12, "yuv420p12le"),
        ("prores_ks", "yuv422p10le", 10, None),
        ("libx264", None, 8, "yuv420p"),
    ],
)
def test_keeping_the_source_pixel_format(encoder: str, source: str | None, depth: int, expected: str | None) -> None:
    """Kept where the encoder takes it, else the nearest it takes; unknown encoders choose for themselves."""
    video = replace(SDR, pixel_format=source, bit_depth=depth)
    assert picture(VideoSettings(encoder=encoder, pixel_format=None), video, keeps_rate=True).pixel_format == expected


def test_full_range_and_rgb_become_limited_range() -> None:
    """Players expect limited range; RGB is given a matrix, and the matrix is stated."""
    camera = replace(SDR, pixel_format="yuvj420p", colour=Colour(range="pc"))
    assert options(picture(X264, camera, keeps_rate=True), "scale")["out_range"] == "tv"
    palette = picture(X264, replace(SDR, pixel_format="pal8"), keeps_rate=True)
    assert options(palette, "scale")["out_color_matrix"] == "bt709"
    assert options(palette, "setparams")["colorspace"] == "bt709"


def test_shrinking_below_high_definition_states_the_colours() -> None:
    """Players guess by size; the guess for the source must not change with the size."""
    small = VideoSettings(max_height=360)
    assert "setparams" in names(picture(small, SDR, keeps_rate=True))
    assert "setparams" not in names(picture(X264, SDR, keeps_rate=True))


def test_deinterlacing_keeps_the_rate() -> None:
    """AUTO touches what is marked, ALWAYS everything, NEVER nothing; one picture stays one picture."""
    fields = replace(SDR, interlaced=True)
    assert options(picture(X264, fields, keeps_rate=True), "bwdif") == {"mode": "send_frame", "deint": "interlaced"}
    assert "bwdif" not in names(picture(X264, SDR, keeps_rate=True))
    always = VideoSettings(deinterlace=Deinterlace.ALWAYS)
    assert options(picture(always, SDR, keeps_rate=True), "bwdif")["deint"] == "all"
    never = VideoSettings(deinterlace=Deinterlace.NEVER)
    assert "bwdif" not in names(picture(never, fields, keeps_rate=True))


def test_frame_rates_that_change() -> None:
    """The profile's rate is obeyed; SVT-AV1 never gets more than it takes."""
    wanted = VideoSettings(fps=Fraction(30000, 1001))
    assert options(picture(wanted, SDR, keeps_rate=False), "fps")["fps"] == "30000/1001"
    fast = replace(SDR, frame_rate=Fraction(600))
    assert options(picture(AV1, fast, keeps_rate=False), "fps")["fps"] == "240/1"
