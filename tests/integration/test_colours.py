"""Films in unusual colours come out, in the same colours and with tags that say which."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import av
import pytest

from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.probe import probe
from pyprocessor.models import Colour, HdrPolicy, MediaNote, Profile, Source, VideoSettings
from pyprocessor.recipes.transcode import recipe

PLAIN = Profile("plain", "f", video=VideoSettings(preset="ultrafast", crf=1, pixel_format="yuv420p"), audio=None)
KEEPING = replace(
    PLAIN, video=VideoSettings("libx265", "ultrafast", crf=1, pixel_format="yuv420p10le", hdr=HdrPolicy.KEEP)
)

Triple = tuple[float, float, float]
PATCHES: tuple[Triple, ...] = (
    (0.75, 0.75, 0.75),
    (0.75, 0.1, 0.1),
    (0.1, 0.75, 0.1),
    (0.1, 0.1, 0.75),
    (0.5, 0.5, 0.5),
)
SIDE = 32


def bt709_code(light: float) -> float:
    """The signal of linear light, ITU-R BT.709 and BT.2020."""
    return 4.5 * light if light < 0.018054 else 1.099297 * light**0.45 - 0.099297


def bt709_light(code: float) -> float:
    """The linear light of a signal."""
    return code / 4.5 if code < 0.081243 else ((code + 0.099297) / 1.099297) ** (1 / 0.45)


def pq_code(light: float) -> float:
    """The signal of light in parts of 10,000 cd/m2, SMPTE ST 2084."""
    power = light**0.1593017578125
    return float(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def pq_light(code: float) -> float:
    """The light of a signal."""
    root = code ** (1 / 78.84375)
    return float((max(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125))


def ycgco(red: float, green: float, blue: float) -> Triple:
    return red / 4 + green / 2 + blue / 4, -red / 4 + green / 2 - blue / 4, red / 2 - blue / 2


def constant_luminance(red: float, green: float, blue: float) -> Triple:
    """ITU-R BT.2020, table 4."""
    luma = bt709_code(0.2627 * bt709_light(red) + 0.678 * bt709_light(green) + 0.0593 * bt709_light(blue))
    b, r = blue - luma, red - luma
    return luma, b / (1.9404 if b <= 0 else 1.582), r / (1.7182 if r <= 0 else 0.9938)


def ictcp(red: float, green: float, blue: float) -> Triple:
    """ITU-R BT.2100, for PQ."""
    r, g, b = (pq_light(code) for code in (red, green, blue))
    rows = ((1688, 2146, 262), (683, 2951, 462), (99, 309, 3688))
    one, two, three = (pq_code((x * r + y * g + z * b) / 4096) for x, y, z in rows)
    return (
        (one + two) / 2,
        (6610 * one - 13613 * two + 7003 * three) / 4096,
        (17933 * one - 17390 * two - 543 * three) / 4096,
    )


def rgb(luma: float, blue: float, red: float, matrix: str | None) -> Triple:
    """Red, green and blue of a colour in one of the usual matrices."""
    kr, kb = {"bt2020nc": (0.2627, 0.0593), "bt709": (0.2126, 0.0722)}[matrix or "bt709"]
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    return r, (luma - kr * r - kb * b) / (1 - kr - kb), b


def film(path: Path, colours: list[Triple], pixel_format: str, numbers: tuple[int, int, int], ffmpeg_path: str) -> Path:
    """H.264 of patches beside each other, in limited range, tagged with primaries, transfer and matrix."""
    deep = 4 if "10" in pixel_format else 1
    planes = []
    for place, (scale, zero) in enumerate(((219, 16), (224, 128), (224, 128))):
        wide = SIDE if place == 0 or "444" in pixel_format else SIDE // 2
        row = b"".join(
            round((zero + scale * colour[place]) * deep).to_bytes(2 if deep > 1 else 1, "little") * wide
            for colour in colours
        )
        planes.append(row * wide)
    tags = "h264_metadata=colour_primaries={}:transfer_characteristics={}:matrix_coefficients={}".format(*numbers)
    subprocess.run(
        [
            *(ffmpeg_path, "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", pixel_format),
            *("-s", f"{SIDE * len(colours)}x{SIDE}", "-r", "25", "-i", "pipe:0"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-qp", "1", "-bsf:v", tags, str(path)),
        ],
        input=b"".join(planes) * 2,
        check=True,
    )
    return path


def converted(path: Path, profile: Profile, ffmpeg_path: str) -> tuple[Path, Colour, list[MediaNote]]:
    """The output of that profile, its colours as it states them, and the notes."""
    media = probe(os.fsencode(path), size_bytes=path.stat().st_size)
    source = Source(os.fsencode(path), os.fsencode(path.name), path.stat().st_size, 0)
    made = recipe(profile, media, contract(profile, media), source, threads=1, output_name="out.mp4")
    command = argv(made.invocation, ffmpeg_path)
    done = subprocess.run(command, cwd=path.parent, env=environment(os.environ), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    output = path.with_name("out.mp4")
    found = probe(os.fsencode(output), size_bytes=output.stat().st_size).video
    assert found is not None
    assert found.video is not None
    return output, found.video.colour, list(made.notes)


def shown(path: Path, count: int, colour: Colour) -> list[Triple]:
    """Red, green and blue in the middle of each patch."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    wide = 2 if "10" in picture.format.name else 1
    found = []
    for number in range(count):
        values = []
        for plane, (scale, zero) in zip(picture.planes, ((219, 16), (224, 128), (224, 128)), strict=True):
            across = plane.width * (2 * number + 1) // (2 * count)
            at = plane.height // 2 * plane.line_size + across * wide
            value = int.from_bytes(bytes(plane)[at : at + wide], "little") / (4 if wide == 2 else 1)
            values.append((value - zero) / scale)
        found.append(rgb(values[0], values[1], values[2], colour.matrix))
    return found


@pytest.mark.parametrize(
    ("matrix", "pixel_format", "numbers", "profile", "tags"),
    [
        (ycgco, "yuv444p", (1, 1, 8), PLAIN, ("bt709", "bt709", "bt709")),
        (ycgco, "yuv420p10le", (9, 14, 8), KEEPING, ("bt2020", "bt2020-10", "bt2020nc")),
        (constant_luminance, "yuv420p", (9, 14, 10), PLAIN, ("bt2020", "bt2020-10", "bt2020nc")),
        (constant_luminance, "yuv444p", (2, 2, 10), PLAIN, ("bt2020", None, "bt2020nc")),
        (ictcp, "yuv420p10le", (9, 16, 14), KEEPING, ("bt2020", "smpte2084", "bt2020nc")),
    ],
    ids=["ycgco", "ycgco-2020", "bt2020c", "bt2020c-unstated", "ictcp"],
)
def test_unusual_matrices_keep_their_colours(
    ffmpeg_path, tmp_path, matrix, pixel_format: str, numbers: tuple[int, int, int], profile: Profile, tags
) -> None:
    """Against the definitions of those matrices, computed here; the tags say what came out."""
    # Signals of PQ below a third are darker than a screen shows, and ten bits of chroma do not hold them.
    patches = [tuple(0.4 + 0.3 * code for code in patch) if matrix is ictcp else patch for patch in PATCHES]
    source = film(tmp_path / "in.mp4", [matrix(*patch) for patch in patches], pixel_format, numbers, ffmpeg_path)
    output, colour, notes = converted(source, profile, ffmpeg_path)
    assert (colour.primaries, colour.transfer, colour.matrix) == tags
    assert notes == []
    for found, expected in zip(shown(output, len(patches), colour), patches, strict=True):
        assert found == pytest.approx(expected, abs=0.025)


@pytest.mark.parametrize("profile", [PLAIN, KEEPING], ids=["plain", "keeping"])
@pytest.mark.parametrize(
    "numbers",
    [
        (22, 17, 14),
        (1, 9, 1),
        (2, 10, 2),
        (10, 1, 12),
        (9, 16, 10),
        (2, 16, 2),
        (9, 18, 14),
        (3, 3, 3),
        (1, 1, 0),
        (1, 1, 15),
    ],
)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
def test_no_combination_of_tags_fails(
    ffmpeg_path, tmp_path, numbers: tuple[int, int, int], pixel_format: str, profile: Profile
) -> None:
    """Values that contradict each other, mean nothing or that no filter accepts: the film comes out."""
    source = film(tmp_path / "in.mp4", [(0.5, 0.1, -0.1), (0.3, 0.0, 0.0)], pixel_format, numbers, ffmpeg_path)
    converted(source, profile, ffmpeg_path)


@pytest.mark.parametrize("profile", [PLAIN, KEEPING], ids=["libx264", "libx265"])
def test_primaries_that_the_encoder_does_not_know_are_stated(ffmpeg_path, tmp_path, profile: Profile) -> None:
    """They are written into its stream afterwards."""
    source = film(tmp_path / "in.mp4", [(0.5, 0.0, 0.0)], "yuv420p", (22, 1, 1), ffmpeg_path)
    assert converted(source, profile, ffmpeg_path)[1].primaries == "ebu3213"


@pytest.mark.parametrize("profile", [PLAIN, KEEPING], ids=["plain", "keeping"])
def test_reserved_values_of_mpeg2_become_unknown(make_clip, ffmpeg_path, tmp_path, profile: Profile) -> None:
    """Its decoder hands them on, and no filter accepts a picture with them."""
    tags = "mpeg2_metadata=colour_primaries=3:transfer_characteristics=3:matrix_coefficients=3"
    extra = ["-bsf:v", tags, "-f", "mpegts"]
    source = make_clip(tmp_path / "in.ts", seconds=0.2, video="mpeg2video", audio=None, extra=extra)
    colour = converted(source, profile, ffmpeg_path)[1]
    assert (colour.primaries, colour.transfer, colour.matrix) == (None, None, None)
