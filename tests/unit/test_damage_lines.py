"""Lines of ffmpeg that tell of damage are counted, and those that tell of none are not."""

from __future__ import annotations

import pytest

from pyprocessor.ffmpeg.damage import NO_DAMAGE, Damage, DamageCounter, StreamDamage
from pyprocessor.ffmpeg.reports import StderrLog

FILM = "[vist#0:0/h264 @ 0x55b7b4] [dec:h264 @ 0x55b7b5]"
SOUND = "[aist#0:1/aac @ 0x55b7b6] [dec:aac @ 0x55b7b7]"


def counted(*lines: str) -> Damage:
    """What is counted of these lines."""
    counter = DamageCounter()
    for line in lines:
        counter.add(line)
    return counter.total()


def test_pictures_and_sound_are_counted_by_stream() -> None:
    """One line for each piece that came out broken, or not at all, and for each packet that arrived damaged."""
    found = counted(
        f"{FILM} [warning] corrupt decoded frame",
        f"{FILM} [warning] corrupt decoded frame",
        f"{FILM} [error] Error submitting packet to decoder: Invalid data found when processing input",
        f"{SOUND} [error] Decoding error: Invalid data found when processing input",
        "[in#0/mpegts @ 0x55b7b8] [warning] corrupt input packet in stream 0",
        "[in#0/mpegts @ 0x55b7b8] [warning] corrupt input packet in stream 2",
    )
    assert found.streams == (StreamDamage(0, 2, 1, 1), StreamDamage(1, 0, 1), StreamDamage(2, packets=1))


def test_older_ffmpegs_say_it_in_other_words() -> None:
    """FFmpeg 5.1 names neither the decoder nor, in one of its lines, the kind of stream."""
    found = counted(
        "[error] Error while decoding stream #0:0: Invalid data found when processing input",
        "[warning] file:/a/b: c.ts: corrupt decoded frame in stream 1",
        "[vist#0:0/h264 @ 0x55b7b4] [warning] corrupt decoded frame",
    )
    assert found.streams == (StreamDamage(0, 1, 1), StreamDamage(1, 1))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[hevc @ 0x5] [error] CABAC_MAX_BIN : 7", Damage(concealed=1)),
        ("[ffv1 @ 0x5] [error] slice CRC mismatch 62BD9F8D!at 5.360000 seconds", Damage(concealed=1)),
        (
            "[in#0/matroska,webm @ 0x5] [error] 0x00 at pos 95 (0x5f) invalid as first byte of an EBML number",
            Damage(gaps=1),
        ),
        ("[in#0/flv @ 0x5] [error] Packet mismatch -16 11 9120", Damage(gaps=1)),
        ("[in#0/mpegts @ 0x5] [error] max resync size reached, could not find sync byte", Damage(gaps=1)),
        (
            "[in#0/ogg @ 0x5] [error] Error during demuxing: Invalid data found when processing input",
            Damage(ended_early=True),
        ),
    ],
)
def test_other_signs(line: str, expected: Damage) -> None:
    """Decoders that mark no picture, and containers that are broken."""
    assert counted(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "[h264 @ 0x5] [error] non-existing PPS 0 referenced",
        "[h264 @ 0x5] [error] no frame!",
        "[h264 @ 0x5] [error] mmco: unref short failure",
        "[hevc @ 0x5] [error] Could not find ref with POC 12",
        "[in#0/mpegts @ 0x5] [warning] Packet corrupt (stream = 0, dts = 126000).",
        "[in#0/matroska,webm @ 0x5] [error] File ended prematurely",
        "[in#0/flv @ 0x5] [error] Packet mismatch 0 11 315254",
        "[in#0 @ 0x5] [warning] UDTA parsing failed retrying raw",
        "[vost#0:0/libx264 @ 0x5] [error] Error submitting a packet to the muxer: Broken pipe",
        "[aist#0:1/wmav2 @ 0x5] [warning] Guessed Channel Layout: mono",
        "[vist#1:0/h264 @ 0x5] [dec:h264 @ 0x6] [warning] corrupt decoded frame",
    ],
)
def test_what_harmless_files_make_ffmpeg_say(line: str) -> None:
    """Pictures before the first keyframe, joins, and what is not about the source."""
    assert counted(line) == NO_DAMAGE


def test_lines_are_counted_that_are_not_kept() -> None:
    """Repeated ones, which are folded, and those that fall out between the first and the last."""
    counter = DamageCounter()
    log = StderrLog(counter.add)
    line = f"{FILM} [warning] corrupt decoded frame\n".encode()
    for number in range(5000):
        log.feed(line + f"[h264 @ 0x5] [error] error while decoding MB {number} 3\n".encode() + line * 2)
    assert counter.total().streams == (StreamDamage(0, 15_000),)
    assert log.dropped_bytes
