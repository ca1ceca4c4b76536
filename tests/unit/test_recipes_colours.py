"""Which colours are taken for a film's, and how a matrix that few filters read becomes a usual one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyprocessor.models import Colour, HdrKind, StreamInfo, StreamKind, VideoInfo, VideoSettings
from pyprocessor.recipes.colours import Colours, colours, without_reserved_matrix
from pyprocessor.recipes.picture import picture

SDR = VideoInfo(1920, 1080, "yuv420p")


def found(*colour: str | None, pixel_format: str = "yuv420p", reserved: tuple[str, ...] = ()) -> Colours:
    """What is made of a film with these primaries, transfer and matrix."""
    return colours(replace(SDR, pixel_format=pixel_format, colour=Colour(*colour, "tv", reserved)))


def names(made: Colours) -> list[str]:
    """The filters' names, in order."""
    return [step.name for step in made.filters]


@pytest.mark.parametrize(
    "colour",
    [
        (None, None, None),
        ("bt709", "bt709", "bt709"),
        ("bt2020", "bt2020-10", "bt2020nc"),
        ("bt470m", "gamma22", "fcc"),
        ("bt2020", "smpte2084", "bt2020nc"),
        ("smpte432", "arib-std-b67", "bt709"),
    ],
)
def test_usual_colours_stay_as_they_are(colour: tuple[str | None, ...]) -> None:
    """No filter, no note."""
    assert found(*colour) == Colours(Colour(*colour, "tv"))


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
@pytest.mark.parametrize(
    ("primaries", "matrix", "missing"),
    [
        (None, "bt2020nc", "primaries"),
        ("bt2020", None, "matrix"),
        (None, None, "primaries and matrix"),
    ],
)
def test_what_hdr_leaves_out_is_bt2020(transfer: str, primaries: str | None, matrix: str | None, missing: str) -> None:
    """It is stated on the pictures before anything converts them, and told."""
    made = found(primaries, transfer, matrix)
    assert made.colour == Colour("bt2020", transfer, "bt2020nc", "tv")
    assert names(made) == ["setparams"]
    assert [f"without colour {missing}:" in note.text for note in made.notes] == [True]


@pytest.mark.parametrize(
    ("primaries", "transfer", "matrix", "expected"),
    [
        ("bt709", "bt709", "ycgco", "bt709"),
        ("bt2020", "bt2020-10", "bt2020c", "bt2020nc"),
        (None, None, "bt2020c", "bt2020nc"),
        ("smpte432", "iec61966-2-1", "chroma-derived-nc", "bt709"),
        ("bt2020", "smpte2084", "ictcp", "bt2020nc"),
    ],
)
def test_a_matrix_that_resizing_refuses_is_converted(
    primaries: str | None, transfer: str | None, matrix: str, expected: str
) -> None:
    """By zscale; then the pictures bear their own primaries and transfer again, and nothing is lost."""
    made = found(primaries, transfer, matrix)
    assert made.colour.matrix == expected
    assert names(made)[0] == "zscale"
    assert dict(made.filters[-1].options)["colorspace"] == expected
    assert dict(made.filters[-1].options)["color_trc"] == (transfer or "unknown")
    assert made.notes == ()


@pytest.mark.parametrize(
    ("primaries", "transfer", "matrix"),
    [
        ("bt709", "bt709", "gbr"),
        ("bt709", "bt709", "smpte2085"),
        ("ebu3213", "smpte428", "ictcp"),
        ("smpte428", "bt709", "chroma-derived-c"),
        ("bt2020", "smpte2084", "bt2020c"),
        ("bt2020", "smpte2084", "ipt-c2"),
    ],
)
def test_a_matrix_that_cannot_be_is_taken_as_unknown(primaries: str, transfer: str, matrix: str) -> None:
    """For HDR that is BT.2020; the user is told that the colours may be wrong."""
    made = found(primaries, transfer, matrix)
    assert made.colour.matrix == ("bt2020nc" if transfer == "smpte2084" else None)
    assert [note.loss for note in made.notes] == [f"colours uncertain (no conversion from the matrix {matrix})"]


def test_red_green_blue_is_known_by_its_format() -> None:
    """A matrix `gbr` fits those pictures."""
    assert found("bt709", None, "gbr", pixel_format="gbrp").notes == ()


def test_a_transfer_that_ends_swscale_is_hidden_from_it() -> None:
    """And stands there again behind it."""
    made = found("bt709", "log100", "bt709")
    assert dict(made.filters[-1].options)["color_trc"] == "unknown"
    assert dict(made.restored[0].options)["color_trc"] == "log100"


def test_values_without_a_meaning_are_made_unknown() -> None:
    """On the pictures; a matrix even before decoding, since no filter takes pictures with one."""
    assert (
        dict(found(None, "bt709", "bt709", reserved=("primaries",)).filters[0].options)["color_primaries"] == "unknown"
    )
    video = replace(SDR, colour=Colour(reserved=("matrix",)))
    stream = StreamInfo(0, StreamKind.VIDEO, "mpeg2video", video=video)
    assert without_reserved_matrix(stream) == "mpeg2_metadata=matrix_coefficients=2"
    assert without_reserved_matrix(replace(stream, codec="h264")) is None
    assert without_reserved_matrix(replace(stream, video=SDR)) is None


def test_tone_mapping_starts_from_the_colours_that_were_taken() -> None:
    """ICtCp reaches it as BT.2020."""
    hdr = replace(SDR, colour=Colour(None, "smpte2084", "ictcp"), bit_depth=10, hdr=HdrKind.HDR10)
    made = picture(VideoSettings(), hdr, keeps_rate=True)
    mapping = next(step for step in made.filters if ("transfer", "linear") in step.options)
    assert dict(mapping.options)["matrixin"] == "bt2020nc"
    assert dict(mapping.options)["primariesin"] == "bt2020"
    assert any(("transfer", "bt709") in step.options for step in made.filters)
