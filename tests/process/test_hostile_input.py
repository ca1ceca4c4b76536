"""Files made to reach elsewhere: refused in a true sentence or taken for what they are, and nothing is ever reached."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.models import JobState
from tests.process.runs import Recorder, request, rows, run
from tests.stress.traps import Canary, LoopbackListener
from tests.waiting import DEADLINE_SECONDS, until

CANARY_TEXT = "CANARY-a91c-CANARY"


@pytest.fixture
def listener() -> Iterator[LoopbackListener]:
    """A port of this machine that counts who connects."""
    with LoopbackListener() as listening:
        yield listening


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    """A file beside the input that nobody may open."""
    made = Canary(tmp_path / "CANARY.txt", CANARY_TEXT)
    yield made
    made.close()


def playlists(port: int, canary: Path) -> dict[str, tuple[bytes, str]]:
    """Content by what it is, with words of the sentence that refuses it."""
    web = f"http://127.0.0.1:{port}/x.ts"
    hls = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10.0,\n{web}\n#EXT-X-ENDLIST\n".encode()
    dash = (
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10S">'
        f"<Period><AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'><BaseURL>{web}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>"
    ).encode()
    imf = f"<CompositionPlaylist xmlns='http://www.smpte-ra.org/schemas/2067-3/2016'><Id>{web}</Id>".encode()
    declared = b'<?xml version="1.0" encoding="UTF-8"?>\n'
    sdp = f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=video {port} TCP 33\r\n".encode()
    concat = f"file '{canary}'\nfile '{web}'\n".encode()
    nested = f"#EXTM3U\n#EXTINF:1,\nconcat:{web}|subfile,,start,0,end,0,,:{canary}\n".encode()
    return {
        "hls": (hls, "an HLS or M3U playlist"),
        "hls local": (f"#EXTM3U\n#EXTINF:1,\n{canary}\n".encode(), "an HLS or M3U playlist"),
        "hls nested": (nested, "an HLS or M3U playlist"),
        "hls after a mark": (b"\xef\xbb\xbf\r\n" + hls, "an HLS or M3U playlist"),
        "hls in utf-16": (hls.decode().encode("utf-16"), "is text"),
        "hls and noise": (hls + bytes(range(256)) * 20, "an HLS or M3U playlist"),
        "concat": (b"ffconcat version 1.0\n" + concat, "a concat script"),
        "concat without a head": (concat, "is text"),
        "dash": (dash, "a DASH manifest"),
        "dash declared": (declared + dash, "an XML document"),
        "imf": (declared + imf, "an XML document"),
        "sdp": (sdp, "is text"),
        "smil": (f"<smil><body><video src='{web}'/></body></smil>".encode(), "a playlist"),
        "asx": (f"<asx version='3.0'><entry><ref href='{web}'/></entry></asx>".encode(), "a playlist"),
        "pls": (f"[playlist]\nFile1={web}\n".encode(), "a playlist"),
        "avisynth": (f"DirectShowSource('{canary}')\n".encode(), "is text"),
        "after zeros": (bytes(512) + hls, "not a video or audio file"),
    }


def assert_nothing_was_reached(listener: LoopbackListener, canary: Canary, output: Path) -> None:
    """No connection, no look at the canary, and its text is nowhere in what the run left."""
    assert listener.connections == 0
    assert canary.opened() == 0
    assert canary.found_below(output) == []


def test_the_traps_work(listener: LoopbackListener, canary: Canary, tmp_path: Path) -> None:
    """A connection is counted, an opening is, and a text is found; else the other tests could not fail."""
    assert canary.opened() == 0
    copied = canary.path.read_text()
    assert canary.opened() == 1
    (tmp_path / "copy").write_text(copied)
    assert canary.found_below(tmp_path) == [tmp_path / "copy"]
    socket.create_connection(("127.0.0.1", listener.port), timeout=DEADLINE_SECONDS).close()
    until(lambda: listener.connections == 1, "the connection to be counted")


def test_playlists_are_refused_under_any_name(
    listener: LoopbackListener,
    canary: Canary,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """Each is named as what it is, and the film beside them is done."""
    folder = tmp_path / "in"
    make_clip(folder / "film.mp4", audio=None)
    expected = {}
    for number, (what, (content, words)) in enumerate(playlists(listener.port, canary.path).items()):
        extension = ("mp4", "mkv", "ts", "avi", "mov", "webm", "flv")[number % 7]
        (folder / f"{what}.{extension}").write_bytes(content)
        expected[f"{what}.{extension}".encode()] = words
    canary.opened()
    recorder = Recorder()
    assert run(request(folder, tmp_path / "out"), recorder).exit_code == ExitCode.SOME_FAILED
    found = rows(tmp_path / "out")
    assert found.pop(b"film.mp4").state is JobState.SUCCEEDED
    assert {name: row.state for name, row in found.items()} == dict.fromkeys(expected, JobState.FAILED)
    assert {name: row.reason for name, row in found.items() if expected[name] not in row.reason} == {}
    assert_nothing_was_reached(listener, canary, tmp_path / "out")


def test_names_are_names(
    listener: LoopbackListener,
    canary: Canary,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A film whose name looks like a protocol, a pattern, an option or a list is that film, whatever lies beside it."""
    monkeypatch.chdir(tmp_path)
    names = [
        "img%03d.mp4",
        "img001.mp4",
        "img*.mp4",
        "concat:CANARY.txt|CANARY.txt.mp4",
        f"http:127.0.0.1:{listener.port}.mp4",
        "subfile,,start,0,end,0,,:CANARY.txt.mp4",
        "file:CANARY.txt.mp4",
        "pipe:0.mp4",
        "data:text,x.mp4",
        "-i CANARY.txt.mp4",
        "@CANARY.txt.mp4",
        "$(cat CANARY.txt).mp4",
        "ev;il`cat CANARY.txt`&.mp4",
    ]
    for name in names:
        make_clip(tmp_path / "in" / name, audio=None)
    canary.opened()
    recorder = Recorder()
    result = run(request(tmp_path / "in", tmp_path / "out"), recorder)
    assert result.exit_code == ExitCode.OK, recorder.outcomes
    assert {row.state for row in rows(tmp_path / "out").values()} == {JobState.SUCCEEDED}
    assert len(rows(tmp_path / "out")) == len(names)
    assert_nothing_was_reached(listener, canary, tmp_path / "out")


def test_pictures_are_no_sequences(tmp_path: Path, ffmpeg_path: str) -> None:
    """A still that is named is refused as a picture, and not read as a pattern of the others."""
    folder = tmp_path / "in"
    folder.mkdir()
    command = [ffmpeg_path, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5"]
    subprocess.run([*command, "-frames:v", "5", "img%03d.png"], cwd=folder, check=True)
    (folder / "img%03d.png").write_bytes((folder / "img001.png").read_bytes())
    for name in ("img%03d.png", "img001.png"):
        run(request(folder / name, tmp_path / "out"))
        assert "a picture (PNG)" in rows(tmp_path / "out")[name.encode()].reason


def test_a_reference_movie_is_refused(
    listener: LoopbackListener,
    canary: Canary,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    ffmpeg_path: str,
) -> None:
    """A QuickTime file whose data lies elsewhere, by alias and by URL, opens neither; ffmpeg would if it were let."""
    whole = make_clip(tmp_path / "whole.mov", audio=None).read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    beside = Canary(folder / "CANARY.txt", CANARY_TEXT)
    (folder / "alias.mov").write_bytes(referring(whole, b"alis", alias(os.fsencode(beside.path))))
    url = f"http://127.0.0.1:{listener.port}/x.mov\0".encode()
    (folder / "url.mov").write_bytes(referring(whole, b"url ", url))
    (folder / "control.mov").write_bytes(whole)
    run(request(folder, tmp_path / "out"))
    found = rows(tmp_path / "out")
    assert found[b"control.mov"].state is JobState.SUCCEEDED
    for name in (b"alias.mov", b"url.mov"):
        assert found[name].state is JobState.FAILED
        assert "refers to other files, which are not opened" in found[name].reason
    assert_nothing_was_reached(listener, canary, tmp_path / "out")
    assert beside.opened() == 0
    lenient = [ffmpeg_path, "-nostdin", "-loglevel", "quiet", "-enable_drefs", "1", "-i", str(folder / "alias.mov")]
    subprocess.run([*lenient, "-f", "null", "-"], check=False)
    assert beside.opened() > 0
    beside.close()


def alias(path: bytes) -> bytes:
    """A Macintosh alias record, as far as ffmpeg reads one: volume, file name, and the absolute path."""
    name = os.path.basename(path)
    head = bytes(10) + b"\x02" + b"HD".ljust(27, b"\0") + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0")
    told = b"HD:" + path.lstrip(b"/").replace(b"/", b":")
    told += b"\0" * (len(told) % 2)
    levels = struct.pack(">HH", 1, 1)  # from the folder of the movie to the file: beside it
    return head + bytes(16) + levels + bytes(16) + struct.pack(">HH", 2, len(told)) + told + b"\xff\xff\0\0"


def referring(movie: bytes, kind: bytes, location: bytes) -> bytes:
    """The movie, whose index comes last, with the reference of its first track leading elsewhere."""
    at = movie.index(b"dref") - 4
    old = struct.unpack_from(">I", movie, at)[0]
    entry = struct.pack(">I", 12 + len(location)) + kind + bytes(4) + location
    reference = struct.pack(">I", 16 + len(entry)) + b"dref" + bytes(4) + struct.pack(">I", 1) + entry
    grown = bytearray(movie[:at] + reference + movie[at + old :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
        start = movie.rindex(box, 0, at) - 4
        struct.pack_into(">I", grown, start, struct.unpack_from(">I", movie, start)[0] + len(reference) - old)
    return bytes(grown)


def test_attachments_and_subtitles_lead_nowhere(
    listener: LoopbackListener,
    canary: Canary,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
    ffmpeg_path: str,
) -> None:
    """An attachment under a name that climbs out of the folder is written nowhere; subtitles that name files stay
    text; a playlist as an attachment or in a title stays data."""
    clip = make_clip(tmp_path / "clip.mkv", audio=None)
    (tmp_path / "a.ttf").write_bytes(b"#EXTM3U\n#EXTINF:1,\n" + os.fsencode(canary.path) + b"\n")
    subtitles = "[Script Info]\nScriptType: v4.00+\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
    subtitles += f"Dialogue: 0,0:00:00.00,0:00:01.00,x,{{\\fn{canary.path}}}{{\\img({canary.path})}}words\n"
    (tmp_path / "a.ass").write_text(subtitles)
    (tmp_path / "in").mkdir()
    web = f"http://127.0.0.1:{listener.port}/"
    subprocess.run(
        [
            *(ffmpeg_path, "-nostdin", "-loglevel", "error", "-i", str(clip), "-i", str(tmp_path / "a.ass")),
            *("-map", "0", "-map", "1", "-c", "copy", "-attach", str(tmp_path / "a.ttf")),
            *("-metadata:s:t", "mimetype=application/x-truetype-font"),
            *("-metadata:s:t", f"filename=../../../../..{tmp_path}/owned.ttf"),
            *("-metadata", f"title={web}", "-metadata:s:v", f"title=$(touch {tmp_path}/owned)"),
            str(tmp_path / "in" / "film.mkv"),
        ],
        check=True,
    )
    canary.opened()
    from pyprocessor.profiles import load

    for name in ("fast", "archive"):
        output = tmp_path / f"out {name}"
        recorder = Recorder()
        asked = request(tmp_path / "in", output, profile=load(name, environment={}).profile)
        assert run(asked, recorder).exit_code == ExitCode.OK, recorder.outcomes
        assert listener.connections == 0
        assert canary.opened() == 0
    assert list(tmp_path.rglob("owned*")) == []


def test_a_linked_segment_is_not_followed(
    listener: LoopbackListener,
    canary: Canary,
    tmp_path: Path,
    make_clip,  # type: ignore[no-untyped-def]
) -> None:
    """Matroska may name the file before and after it; only what is in the file itself is used."""
    clip = make_clip(tmp_path / "clip.mkv", audio=None).read_bytes()
    # The writing application's name makes room for the name of the next file, which is an element one byte longer.
    at = clip.index(b"\x57\x41")
    length = clip[at + 2] & 0x7F
    assert length - 1 >= len("CANARY.txt")
    following = b"\x3e\x83\xbb" + bytes([0x80 | (length - 1)]) + b"CANARY.txt".ljust(length - 1, b"\0")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "film.mkv").write_bytes(clip[:at] + following + clip[at + 3 + length :])
    beside = Canary(tmp_path / "in" / "CANARY.txt", CANARY_TEXT)
    run(request(tmp_path / "in", tmp_path / "out"))
    (row,) = rows(tmp_path / "out").values()
    assert row.state is JobState.SUCCEEDED, row.reason
    assert beside.opened() == 0
    beside.close()
    assert_nothing_was_reached(listener, canary, tmp_path / "out")
