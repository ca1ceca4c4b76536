"""The text of subtitles in outputs: every line is there, in UTF-8."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.models import Profile
from tests.integration.encoder_profiles import MKV, MOV, MP4, WEBM
from tests.integration.transcoding import output_of, run_ffmpeg
from tests.waiting import DEADLINE_SECONDS

TEXTS = {
    "ger": ("cp1252", "Grüße, schön ist es hier"),
    "rus": ("cp1251", "Я не знаю, куда он ушёл"),
    "jpn": ("cp932", "彼がどこへ行ったのか知りません"),
    "chi": ("gb18030", "我不知道他去了哪里"),
}


def with_subtitles(ffmpeg_path: str, folder: Path, name: str, lines: dict[bytes, bytes], *languages: str) -> Path:
    """A film with a subtitle track for each language; in the file, each text is then replaced by one as long."""
    script = "".join(
        f"{n}\n00:00:0{n},100 --> 00:00:0{n},900\n{text.decode()}\n\n" for n, text in enumerate(lines, start=1)
    )
    (folder / "a.srt").write_text(script)
    path = folder / name
    codec = {".mkv": "srt", ".mp4": "mov_text", ".ass.mkv": "ass"}["".join(path.suffixes)]
    tracks = [
        w for n, language in enumerate(languages) for w in ("-map", "1", f"-metadata:s:s:{n}", f"language={language}")
    ]
    run_ffmpeg(
        ffmpeg_path,
        *("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=5", "-i", folder / "a.srt", "-map", "0", *tracks),
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:s", codec, path),
    )
    data = path.read_bytes()
    for placeholder, text in lines.items():
        assert len(placeholder) == len(text)
        assert data.count(placeholder) == len(languages)
        data = data.replace(placeholder, text)
    path.write_bytes(data)
    return path


def lines_of(ffmpeg_path: str, path: Path) -> list[str]:
    """The lines of the first subtitle track, as they lie in the file."""
    command = [ffmpeg_path, "-v", "error", "-i", str(path), "-map", "0:s:0", "-f", "srt", "-"]
    said = subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=True).stdout.decode("utf-8")
    return [line for line in said.splitlines() if line and not line.isdecimal() and "-->" not in line]


@pytest.mark.parametrize("profile", [MP4, MOV, MKV, WEBM], ids=lambda p: p.name + p.container)
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ass.mkv"])
@pytest.mark.parametrize("language", ["ger", "rus", "jpn", "chi"])
def test_no_line_vanishes(ffmpeg_path, tmp_path, profile: Profile, name: str, language: str) -> None:
    """Whatever charset it is in, whether it is copied or converted, in SubRip, ASS and MP4's text."""
    if profile is WEBM and language != "rus":
        pytest.skip("slow, and no other way than the others")
    charset, text = TEXTS[language]
    encoded = text.encode(charset)
    placeholder = b"x" * len(encoded)
    lines = {b"plain one": b"plain one", placeholder: encoded, b"the end": b"the end"}
    source = with_subtitles(ffmpeg_path, tmp_path, name, lines, language)
    made = output_of(source, profile, ffmpeg_path, tmp_path / "out")
    assert [line.split(">")[-1] for line in lines_of(ffmpeg_path, made.path)] == ["plain one", text, "the end"]
    styles = [note for note in made.facts.notes if "styles of subtitles" in note]
    assert len(styles) == len(made.facts.losses) == (name == "a.ass.mkv" and profile is not MKV)
    assert ["converted to UTF-8" in note for note in made.facts.notes if note not in styles] == [True]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [made.path.name]


@pytest.mark.parametrize("profile", [MP4, MKV], ids=lambda p: p.container)
def test_utf_16_of_mp4_is_read(ffmpeg_path, tmp_path, profile: Profile) -> None:
    """It may stand there with its byte order mark, beside lines in UTF-8."""
    text = "Grüße 你好"
    encoded = ("\ufeff" + text).encode("utf-16-be")
    lines = {b"plain": b"plain", b"x" * len(encoded): encoded, b"gr\xc3\xbcn": b"gr\xc3\xbcn"}
    source = with_subtitles(ffmpeg_path, tmp_path, "a.mp4", lines, "ger")
    made = output_of(source, profile, ffmpeg_path, tmp_path / "out")
    assert lines_of(ffmpeg_path, made.path) == ["plain", text, "grün"]


def test_times_languages_and_marks_stay(ffmpeg_path, tmp_path) -> None:
    """Also of text that had to be taken out of its file."""
    import av

    lines = {b"schoene": b"sch\xf6ne ", b"das Ende": b"das Ende"}
    source = with_subtitles(ffmpeg_path, tmp_path, "a.mp4", lines, "ger", "fre")
    made = output_of(source, MKV, ffmpeg_path, tmp_path / "out")
    with av.open(str(made.path)) as container:
        tracks = container.streams.subtitles
        assert [track.language for track in tracks] == ["ger", "fre"]
        times = [(p.stream_index, p.pts, p.duration) for p in container.demux(*tracks) if p.size]
    assert sorted(times) == [(1, 1100, 800), (1, 2100, 800), (2, 1100, 800), (2, 2100, 800)]


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize("profile", [MP4, MKV], ids=lambda p: p.container)
def test_utf_8_is_left_alone(ffmpeg_path, tmp_path, profile: Profile, name: str) -> None:
    """Nothing is said of it, nor of the empty packets that MP4 has between subtitles."""
    source = with_subtitles(ffmpeg_path, tmp_path, name, {b"sch\xc3\xb6n": b"sch\xc3\xb6n"}, "ger")
    made = output_of(source, profile, ffmpeg_path, tmp_path / "out")
    assert lines_of(ffmpeg_path, made.path) == ["schön"]
    assert made.facts.notes == ()


def test_single_lines_in_another_charset_are_told(ffmpeg_path, tmp_path) -> None:
    """Where most are UTF-8: converting would spoil those."""
    lines = {b"gr\xc3\xbcn": b"gr\xc3\xbcn", b"bl\xc3\xa4u": b"bl\xc3\xa4u", b"schoen": b"sch\xf6n "}
    source = with_subtitles(ffmpeg_path, tmp_path, "a.mkv", lines, "ger")
    made = output_of(source, MP4, ffmpeg_path, tmp_path / "out")
    assert "lines of subtitles lost (not in the others' charset)" in made.facts.losses
    assert lines_of(ffmpeg_path, made.path) == ["grün", "bläu"]


def test_bytes_of_no_charset_lose_no_line(ffmpeg_path, tmp_path) -> None:
    """They come out wrong, and that is said."""
    noise = bytes(range(0x80, 0xA0)) * 3
    source = with_subtitles(ffmpeg_path, tmp_path, "a.mkv", {b"y" * len(noise): noise, b"the end": b"the end"}, "und")
    made = output_of(source, MP4, ffmpeg_path, tmp_path / "out")
    assert made.facts.losses == ("letters of subtitles wrong (unknown charset)",)
    assert len(lines_of(ffmpeg_path, made.path)) >= 2


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_drones_log_is_left_out_with_the_place(ffmpeg_path, tmp_path, name: str) -> None:
    """It is a subtitle track that says where it flew; it stays where the place may be known."""
    log = b"GPS(13.4050,52.5200,18), D 12m"
    source = with_subtitles(ffmpeg_path, tmp_path, name, {log: log}, "eng")
    for profile in (MP4, MKV):
        kept = output_of(source, profile, ffmpeg_path, tmp_path / "out")
        assert kept.facts.subtitle_streams == 1
        stripped = output_of(source, replace(profile, strip_location=True), ffmpeg_path, tmp_path / "out")
        assert b"52.52" not in stripped.path.read_bytes()
        assert stripped.facts.subtitle_streams == 0
