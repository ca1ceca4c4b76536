"""Which GIF, PNG and WebP files move, by their own structure; the files here hold no pictures that decode."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.errors import InspectError
from pyprocessor.inspect import animation
from pyprocessor.inspect.animation import animated_webp, still_picture, webp_info
from pyprocessor.inspect.probe import probe, survey_source
from pyprocessor.models import InputLimits

GIF_HEAD = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + bytes(6)
GIF_CONTROL = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
GIF_COMMENT = b"\x21\xfe\x03,,,\x02!!\x00"
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
FLAGS = {"moves": 0x02, "alpha": 0x10}


def gif_picture(colours: int = 0) -> bytes:
    """One picture of a GIF; with `colours` it has a table of its own."""
    flags = 0x80 | (colours.bit_length() - 2) if colours else 0
    table = b"\x2c" * 3 * colours  # each byte looks like the start of a picture
    return b"\x2c" + struct.pack("<HHHHB", 0, 0, 8, 8, flags) + table + b"\x02\x05\x2c\x2c\x3b\x2c\x00\x01\x2c\x00"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    """A PNG with these chunks before its picture."""
    return PNG_HEAD + png_chunk(b"IHDR", bytes(13)) + b"".join(chunks) + png_chunk(b"IDAT", b"acTL") + b"acTL"


def webp_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a WebP, padded to an even length."""
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def webp_picture(
    ms: int, *, flags: int = 0, at: int = 0, size: tuple[int, int] = (161, 121), codec: bytes = b"VP8 "
) -> bytes:
    """A picture of an animated WebP; the content of a lossless one says that it is transparent."""
    place = b"".join(number.to_bytes(3, "little") for number in (at, at, size[0] - 1, size[1] - 1, ms))
    content = {b"VP8 ": b"ANMF,", b"VP8L": b"\x2f\0\0\0\x10", b"ALPH": b"x"}[codec]
    return webp_chunk(b"ANMF", place + bytes((flags,)) + webp_chunk(codec, content))


def webp_file(
    *lengths_ms: int, flags: int = FLAGS["moves"], size: tuple[int, int] = (161, 121), pictures: tuple[bytes, ...] = ()
) -> bytes:
    """A WebP whose pictures last so long, or of these pictures."""
    canvas = bytes((flags, 0, 0, 0)) + b"".join((side - 1).to_bytes(3, "little") for side in size)
    pictures = pictures or tuple(webp_picture(ms, size=size) for ms in lengths_ms)
    body = b"WEBP" + webp_chunk(b"VP8X", canvas) + webp_chunk(b"ANIM", bytes(6)) + b"".join(pictures)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (GIF_HEAD + GIF_CONTROL + gif_picture() + b"\x3b", "a picture (GIF)"),
        (GIF_HEAD + GIF_COMMENT + gif_picture(4) + GIF_COMMENT + b"\x3b" + gif_picture(), "a picture (GIF)"),
        (GIF_HEAD + gif_picture()[:-3], "a picture (GIF)"),
        (GIF_HEAD, "a picture (GIF)"),
        (GIF_HEAD[:8], "a picture (GIF)"),
        (GIF_HEAD + gif_picture(8) + GIF_CONTROL + gif_picture() + b"\x3b", None),
        (GIF_HEAD + GIF_COMMENT + gif_picture() + bytes(5) + gif_picture()[:3], None),
        (GIF_HEAD + gif_picture() + b"\xff", None),
        (png(), "a picture (PNG)"),
        (png(png_chunk(b"acTL", struct.pack(">II", 1, 0))), "a picture (PNG)"),
        (png(png_chunk(b"iTXt", b"acTL" * 5000)), "a picture (PNG)"),
        (PNG_HEAD, "a picture (PNG)"),
        (png(png_chunk(b"iCCP", bytes(100_000)), png_chunk(b"acTL", struct.pack(">II", 2, 0))), None),
        (webp_file(40), "a picture (WebP)"),
        (webp_file(40, 40, flags=0), "a picture (WebP)"),
        (webp_file(40, 40)[:-8], "a picture (WebP)"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "a picture (WebP)"),
        (webp_file(40, 40), None),
        (b"RIFF\x24\0\0\0AVI LIST", None),
        (b"", None),
    ],
)
def test_what_holds_one_picture_is_told_from_what_moves(data: bytes, what: str | None) -> None:
    """By the parts of the file, wherever bytes within them look like the start of another."""
    assert still_picture(io.BytesIO(data)) == what


@given(st.sampled_from([GIF_HEAD, GIF_HEAD + gif_picture(), PNG_HEAD, webp_file(40, 40)]), st.binary(max_size=300))
def test_no_bytes_make_it_fail(start: bytes, rest: bytes) -> None:
    """Nor do they make it read without end."""
    for data in (start + rest, start[: len(start) // 2] + rest):
        assert still_picture(io.BytesIO(data)) in (None, *(f"a picture ({kind})" for kind in ("GIF", "PNG", "WebP")))


def test_the_search_for_a_second_picture_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not found out is left to the demuxers; a PNG's pictures are announced before its first."""
    monkeypatch.setattr(animation, "MOST_GIF_BYTES", 2000)
    monkeypatch.setattr(animation, "MOST_CHUNKS", 10)
    assert still_picture(io.BytesIO(GIF_HEAD + GIF_COMMENT * 1000 + gif_picture() + b"\x3b")) is None
    assert still_picture(io.BytesIO(GIF_HEAD + bytes(5000) + b"\x3b")) is None
    late = png(*([png_chunk(b"tEXt", b"x")] * 20), png_chunk(b"acTL", struct.pack(">II", 2, 0)))
    assert still_picture(io.BytesIO(late)) == "a picture (PNG)"


def test_an_animated_webp_is_described_as_any_video() -> None:
    """Size, pictures, how long they last, and whether they are transparent; what lasts no time lasts a tenth."""
    data = webp_file(40, 0, 10, 1500, 11)
    read = animated_webp(io.BytesIO(data))
    assert read is not None
    assert read.lengths_ms == (40, 100, 100, 1500, 11)
    media = webp_info(read, len(data), InputLimits())
    assert (media.duration_seconds, media.missing_bytes) == (1.751, 0)
    film = media.video
    assert film is not None
    assert film.video is not None
    assert (film.frames, film.duration_seconds) == (5, 1.751)
    assert (film.video.width, film.video.height) == (161, 121)
    assert not film.video.alpha
    assert film.video.frame_rate == pytest.approx(5 / 1.751, abs=0.01)
    (track,) = read.timeline.tracks.values()
    assert (*track.starts, track.end) == (0.0, 0.04, 0.14, 0.24, 1.74, 1.751)
    assert animated_webp(io.BytesIO(webp_file(40, 40, flags=FLAGS["alpha"]))) is None


@pytest.mark.parametrize(
    ("pictures", "alpha"),
    [
        ((webp_picture(40), webp_picture(40)), False),
        ((webp_picture(40), webp_picture(40, codec=b"ALPH")), False),  # what is transparent shows the picture before it
        ((webp_picture(40), webp_picture(40, at=20, size=(20, 20), flags=2)), False),
        ((webp_picture(40), webp_picture(40, codec=b"VP8L", flags=2)), True),
        ((webp_picture(40, codec=b"ALPH"), webp_picture(40)), True),
        ((webp_picture(40, codec=b"VP8L"), webp_picture(40)), True),
        ((webp_picture(40, size=(160, 121)), webp_picture(40)), True),
        ((webp_picture(40, flags=1), webp_picture(40)), True),
    ],
)
def test_a_webp_is_transparent_where_its_canvas_is(pictures: tuple[bytes, ...], alpha: bool) -> None:
    """Encoders make patches of what changes, transparent elsewhere; and a file without the flag has no transparency."""
    marked = animated_webp(io.BytesIO(webp_file(flags=FLAGS["moves"] | FLAGS["alpha"], pictures=pictures)))
    assert marked is not None
    assert marked.alpha is alpha
    plain = animated_webp(io.BytesIO(webp_file(pictures=pictures)))
    assert plain is not None
    assert not plain.alpha


def test_a_webp_is_read_again_where_its_times_are_too_many_to_be_kept(tmp_path) -> None:
    """And they are the same then; a file that is another by now says so."""
    rates = random.Random(1)
    path = tmp_path / "a.webp"
    path.write_bytes(webp_file(*(rates.randint(11, 3000) for _ in range(3000))))
    media = probe(bytes(path), size_bytes=path.stat().st_size)
    assert media.timeline is None
    assert media.video is not None
    same, times = survey_source(bytes(path), media, (0,), InputLimits())
    assert same == media
    assert len(times.tracks[0].starts) == media.video.frames == 3000
    assert times.tracks[0].end == media.duration_seconds
    path.write_bytes(webp_file(40, 40, flags=0))
    with pytest.raises(InspectError, match=r"The file can no longer be read: it is no longer the file"):
        survey_source(bytes(path), media, (0,), InputLimits())


def test_a_webp_that_is_cut_off_says_how_much_is_missing() -> None:
    """Its pictures are those that are whole."""
    data = webp_file(40, 40, 40)
    read = animated_webp(io.BytesIO(data[:-7]))
    assert read is not None
    assert len(read.lengths_ms) == 2
    cut = webp_info(read, len(data) - 7, InputLimits())
    assert cut.missing_bytes == 7
    assert [note.text for note in cut.notes if note.damage] == [
        "It is cut off: at least 7 bytes are missing at its end."
    ]


def test_a_webp_may_not_claim_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels, duration and the number of pictures are bounded."""
    monkeypatch.setattr(animation, "MOST_PICTURES", 4)
    for data, why in (
        (webp_file(40, 40, size=(16_000_000, 16_000_000)), "16000000x16000000"),
        (webp_file(*([0xFFFFFF] * 3)), "claims to last"),
        (webp_file(*([40] * 9)), "4 pictures or more"),
    ):
        read = animated_webp(io.BytesIO(data), most_pictures=4)
        assert read is not None
        with pytest.raises(InspectError, match=why):
            webp_info(read, len(data), InputLimits(max_duration_seconds=3600.0))
