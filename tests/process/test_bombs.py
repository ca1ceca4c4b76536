"""Bombs: small files that claim, or unfold to, more than a machine has. Each ends in a sentence, soon and in bounds."""

from __future__ import annotations

import os
import struct
import subprocess
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pyprocessor.models import InputLimits, JobState
from pyprocessor.profiles import load
from pyprocessor.system.processes import bounded_memory
from tests.process.runs import request, rows, run

DEADLINE_SECONDS = 120.0
MOST_MEMORY = 1_500_000_000
"""Of all our processes together, this one left out: a picture of 60000 x 60000 alone is 5.4 GB."""
SIDE = 60_000


class Watcher:
    """The highest sum of the resident sizes of this process's descendants, as context."""

    def __init__(self) -> None:
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            total = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)


# ---------------------------------------------------------------- Matroska by hand


def element(identity: str, content: bytes) -> bytes:
    """An EBML element."""
    for width in range(1, 9):
        if len(content) < (1 << 7 * width) - 1:
            return bytes.fromhex(identity) + ((1 << 7 * width) | len(content)).to_bytes(width, "big") + content
    raise AssertionError("too large")


def number(value: int) -> bytes:
    """An unsigned integer as EBML has it."""
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")


def matroska(tracks: list[bytes], block: bytes, seconds: float | None = None) -> bytes:
    """A file of these track entries and one block of the first track."""
    head = element("4286", b"\1") + element("42F7", b"\1") + element("42F2", b"\4") + element("42F3", b"\x08")
    head += element("4282", b"matroska") + element("4287", b"\4") + element("4285", b"\2")
    information = element("2AD7B1", number(1_000_000))
    if seconds is not None:
        information += element("4489", struct.pack(">d", seconds * 1000))
    entries = b"".join(element("AE", track) for track in tracks)
    cluster = element("E7", b"\0") + element("A3", b"\x81\0\0\x80" + block)
    segment = element("1549A966", information) + element("1654AE6B", entries) + element("1F43B675", cluster)
    return element("1A45DFA3", head) + element("18538067", segment)


def sound_track(index: int) -> bytes:
    """The entry of a track of plain sound."""
    sound = element("B5", struct.pack(">d", 8000.0)) + element("9F", b"\1") + element("6264", b"\x10")
    head = element("D7", number(index)) + element("73C5", number(index)) + element("83", b"\2")
    return head + element("86", b"A_PCM/INT/LIT") + element("E1", sound)


def film_track(codec: bytes, width: int, height: int) -> bytes:
    """The entry of a film track."""
    picture = element("B0", number(width)) + element("BA", number(height))
    head = element("D7", b"\1") + element("73C5", b"\1") + element("83", b"\1")
    return head + element("86", codec) + element("E0", picture)


# ---------------------------------------------------------------- bombs


def png(width: int, height: int) -> bytes:
    """A PNG of one colour; a gigabyte packs into a megabyte."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width: int, height: int) -> bytes:
    """The headers of a JPEG and nothing to fill it."""
    tables = b"\xff\xdb\0\x43\0" + b"\1" * 64
    frame = b"\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\3\1\x22\0\2\x11\0\3\x11\0"
    scan = b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0"
    return b"\xff\xd8" + tables + frame + scan + bytes(1000) + b"\xff\xd9"


def gif(width: int, height: int, frames: int) -> bytes:
    """A GIF whose pictures are one pixel each on a huge screen."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    picture = b"\x21\xf9\4\0\1\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0"
    return head + picture * frames + b";"


def ivf(fourcc: bytes, width: int, height: int) -> bytes:
    """An IVF whose VP8 keyframe says the same size as its header."""
    dimensions = struct.pack("<HH", min(width, 0x3FFF), min(height, 0x3FFF))
    frame = b"\x10\x02\0" + b"\x9d\1\x2a" + dimensions + bytes(64)
    head = b"DKIF" + struct.pack("<HH4sHHIIII", 0, 32, fourcc, width, height, 25, 1, 1, 0)
    return head + struct.pack("<IQ", len(frame), 0) + frame


def h264(width: int, height: int) -> bytes:
    """A raw H.264 stream whose parameters say this size: a bit string of our own, and noise for a picture."""

    def golomb(value: int) -> str:
        bits = f"{value + 1:b}"
        return "0" * (len(bits) - 1) + bits

    size = golomb(width // 16 - 1) + golomb(height // 16 - 1)
    bits = golomb(0) + golomb(0) + golomb(2) + golomb(0) + "0" + size + "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    body = bytes([66, 0, 51]) + int(bits, 2).to_bytes(len(bits) // 8, "big")
    escaped = bytearray()
    for byte in body:
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    start = b"\0\0\0\1"
    return start + b"\x67" + bytes(escaped) + start + b"\x68\xce\x38\x80" + start + b"\x65\x88" + bytes(2000)


def y4m(width: int, height: int) -> bytes:
    """The header of uncompressed film and little more."""
    return f"YUV4MPEG2 W{width} H{height} F25:1 C420jpeg\nFRAME\n".encode() + bytes(5000)


def test_claims_are_refused(tmp_path: Path, make_clip, ffmpeg_path: str) -> None:  # type: ignore[no-untyped-def]
    """Huge pictures in seven formats, thousands of tracks, endless durations: none is begun, each is told."""
    folder = tmp_path / "in"
    folder.mkdir()
    words: dict[bytes, str] = {}

    def bomb(name: str, content: bytes, word: str = "") -> None:
        (folder / name).write_bytes(content)
        words[name.encode()] = word

    bomb("tracks.mkv", matroska([sound_track(n) for n in range(1, 3001)], bytes(64)), "more than 1,000 streams")
    bomb("more tracks.mkv", matroska([sound_track(n) for n in range(1, 30001)], bytes(64)), "more than 1,000 streams")
    bomb("endless.mkv", matroska([sound_track(1)], bytes(64), seconds=1e9), "claims to last 11,574 days")
    bomb("longer.mkv", matroska([sound_track(1)], bytes(64), seconds=float(1 << 62)))
    film = bytearray(make_clip(tmp_path / "film.mp4", audio=None).read_bytes())
    struct.pack_into(">I", film, film.index(b"stts") + 16, 0x7FFFFFFF)
    for box in (b"mvhd", b"mdhd"):  # units in a second, and how many of them it lasts
        struct.pack_into(">II", film, film.index(box) + 16, 1, 0xFFFFFFF0)
    film = bytearray(bytes(film).replace(b"edts", b"free"))  # the edit list says how long it really is
    bomb("endless.mp4", bytes(film), "days")
    # What ffmpeg itself takes for a picture ends at about 16384 x 16384; our limit lies below that.
    for side, (width, height) in {"beyond": (SIDE, SIDE), "within": (16000, 9008)}.items():
        word = "claims pictures of 16000x9008, 144,128,000 pixels" if side == "within" else ""
        bomb(f"{side} vp8.mkv", matroska([film_track(b"V_VP8", width, height)], bytes(64)), word)
        bomb(f"{side} mjpeg.mkv", matroska([film_track(b"V_MJPEG", width, height)], jpeg(width, height)), word)
        bomb(f"{side} small header.mkv", matroska([film_track(b"V_MJPEG", 64, 64)], jpeg(width, height)))
        bomb(f"{side} screen.gif", gif(width, height, 1000), word)
        bomb(f"{side} vp8.ivf", ivf(b"VP80", width, height), "" if side == "beyond" else word)
        bomb(f"{side} raw.y4m", y4m(width, height), word)
        bomb(f"{side} sps.h264", h264(width, height))
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(16384, 16000))
    copy = [ffmpeg_path, "-nostdin", "-loglevel", "error", "-i", str(picture), "-c", "copy"]
    subprocess.run([*copy, str(folder / "picture.mov")], check=True)
    words[b"picture.mov"] = "claims pictures of 16384x16000"
    bomb("apng.mp4", png(SIDE, 20_000), "a picture (PNG)")
    make_clip(folder / "whole.mp4")
    fast = load("fast", environment={}).profile
    scan = replace(fast.scan, extensions=("mkv", "gif", "ivf", "y4m", "mp4", "mov", "h264"))
    began = time.monotonic()
    with Watcher() as watcher:
        run(request(folder, tmp_path / "out", profile=replace(fast, scan=scan)))
    seconds = time.monotonic() - began
    found = rows(tmp_path / "out")
    assert found.pop(b"whole.mp4").state is JobState.SUCCEEDED
    told = {name: (row.state.value, row.reason) for name, row in found.items()}
    assert told.keys() == words.keys()
    wrong = {name: said for name, said in told.items() if words[name] not in said[1]}
    assert wrong == {}
    # One that is a second long whatever its header says is done.
    assert {name for name, said in told.items() if said[0] != "failed"} <= {b"longer.mkv"}
    assert all(reason.strip() for state, reason in told.values() if state == "failed")
    assert watcher.peak < MOST_MEMORY
    assert seconds < DEADLINE_SECONDS


@pytest.mark.long
def test_a_tiny_film_of_hours_stays_tiny(tmp_path: Path, ffmpeg_path: str) -> None:
    """Five hours of black in a few hundred kB are made in little time, memory and room."""
    folder = tmp_path / "in"
    folder.mkdir()
    source = folder / "black.mkv"
    black = ("-f", "lavfi", "-i", "color=black:size=32x32:rate=1/2:duration=18000")
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "18000")
    subprocess.run([ffmpeg_path, "-nostdin", "-loglevel", "error", *black, *encoder, str(source)], check=True)
    with Watcher() as watcher:
        run(request(folder, tmp_path / "out"))
    (row,) = rows(tmp_path / "out").values()
    assert row.state is JobState.SUCCEEDED, row.reason
    assert row.produced is not None
    assert row.produced.size_bytes < 10 * source.stat().st_size
    assert watcher.peak < MOST_MEMORY


def test_an_output_that_grows_without_measure_is_ended(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """The limit follows the source; the file fails with what to do, and is no reason to stop the run."""
    folder = tmp_path / "in"
    noise = ("-vf", "noise=alls=90:allf=t", "-crf", "51")
    source = make_clip(folder / "unfolds.mp4", seconds=20, size="640x360", audio=None, extra=noise)
    make_clip(folder / "whole.mp4")
    profile = load("fast", environment={}).profile
    assert profile.video is not None
    limits = InputLimits(max_output_growth=1.5, always_allowed_output_bytes=200_000)
    profile = replace(profile, video=replace(profile.video, crf=1), input_limits=limits)
    run(request(folder, tmp_path / "out", profile=profile))
    found = rows(tmp_path / "out")
    assert found[b"whole.mp4"].state is JobState.SUCCEEDED, found[b"whole.mp4"].reason
    assert found[b"unfolds.mp4"].state is JobState.FAILED
    assert "grew far larger" in found[b"unfolds.mp4"].reason
    assert "input_limits.max_output_growth" in found[b"unfolds.mp4"].reason
    assert os.listdir(tmp_path / "out" / ".pyprocessor" / "partial") == []
    assert source.stat().st_size > 100_000


def test_a_file_that_wants_too_much_memory_to_be_inspected_is_refused(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """The inspector reports it for this file and goes on with the next."""
    if os.uname().sysname != "Linux":
        pytest.skip("elsewhere the limit does not count what large allocations are made of")
    make_clip(tmp_path / "in" / "a large.avi", seconds=0.2, size="8000x8000", rate=5, video="mjpeg", audio=None)
    make_clip(tmp_path / "in" / "whole.mp4")
    limits = InputLimits(inspect_memory_bytes=48 << 20)
    run(request(tmp_path / "in", tmp_path / "out", profile=replace(load("fast").profile, input_limits=limits)))
    found = rows(tmp_path / "out")
    assert found[b"whole.mp4"].state is JobState.SUCCEEDED, found[b"whole.mp4"].reason
    assert found[b"a large.avi"].state is JobState.FAILED
    assert "takes more memory than the 48 MiB allowed" in found[b"a large.avi"].reason


def test_what_was_inspected_before_is_held_against_new_limits(tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """A file remembered from an earlier run is refused where the limits have become narrower."""
    make_clip(tmp_path / "in" / "a.mp4", audio=None)
    run(request(tmp_path / "in", tmp_path / "out"))
    narrow = replace(load("fast", environment={}).profile, input_limits=InputLimits(max_pixels=1000))
    assert narrow.video is not None
    narrow = replace(narrow, fingerprint="another", video=replace(narrow.video, crf=40))
    run(request(tmp_path / "in", tmp_path / "out", profile=narrow))
    (row,) = rows(tmp_path / "out").values()
    assert row.state is JobState.FAILED
    assert row.reason.startswith("The file claims pictures of 160x90")


def test_memory_is_bounded_for_inspecting() -> None:
    """A process that has bounded its memory is told there is none, instead of taking the machine's; afterwards it may
    again."""
    if os.uname().sysname != "Linux":
        pytest.skip("elsewhere the limit does not count what large allocations are made of")
    with bounded_memory(100 << 20):
        assert len(bytearray(50 << 20)) == 50 << 20
        with pytest.raises(MemoryError):
            bytearray(200 << 20)
    assert len(bytearray(200 << 20)) == 200 << 20
