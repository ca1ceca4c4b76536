"""Place, camera, date and marks of tracks in outputs, and place left out where that is asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import av
import pytest

from pyprocessor.inspect.probe import probe
from pyprocessor.models import AudioSettings, Profile
from tests.integration.encoder_profiles import MKV, MOV, MP4, TS, WEBM
from tests.integration.transcoding import Made, output_of, run_ffmpeg

M4A = Profile("m4a", "f", container="m4a", extension="m4a", video=None)
PLACE = "+52.5200+013.4050+034.000/"
IPHONE = {
    "com.apple.quicktime.location.ISO6709": PLACE,
    "com.apple.quicktime.location.accuracy.horizontal": "52.520004",
    "com.apple.quicktime.creationdate": "2024-07-01T12:20:30+0200",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15 Pro",
}
ANDROID = {"location": PLACE, "location-eng": PLACE, "com.android.version": "14", "com.android.model": "Pixel 8"}
DATE = "2024-07-01T10:20:30.000000Z"


def tagged(ffmpeg_path: str, make_clip, path: Path, tags: dict[str, str], *options: str) -> Path:
    """A short clip with these tags, written as keys where its container has such."""
    clip = make_clip(path.with_name("plain.mp4"))
    words = [word for key, value in tags.items() for word in ("-metadata", f"{key}={value}")]
    keys = ("-movflags", "+use_metadata_tags") if path.suffix in (".mp4", ".mov") else ()
    run_ffmpeg(ffmpeg_path, "-i", clip, "-map", "0", "-c", "copy", *words, *options, *keys, path)
    return path


def tags_of(path: Path) -> dict[str, str]:
    """The tags of a file as a whole."""
    with av.open(str(path)) as container:
        return dict(container.metadata)


def notes(made: Made) -> str:
    """All that was said of an output."""
    return " ".join(made.facts.notes)


@pytest.mark.parametrize("profile", [MP4, MOV, M4A], ids=lambda p: p.name)
@pytest.mark.parametrize("tags", [IPHONE, ANDROID], ids=["iphone", "android"])
def test_phone_tags_are_kept(ffmpeg_path, make_clip, tmp_path, profile: Profile, tags) -> None:
    """Under the names that phones use, and the ordinary ones beside them; nothing stands there twice."""
    wanted = {**tags, "title": "Film", "artist": "Ich", "comment": "Nur so"}
    source = tagged(ffmpeg_path, make_clip, tmp_path / "a.mov", {**wanted, "creation_time": DATE})
    made = output_of(source, profile, ffmpeg_path, tmp_path / "out")
    found = tags_of(made.path)
    assert {key: found.get(key) for key in wanted if "location-" not in key and key != "location"} == {
        key: value for key, value in wanted.items() if "location-" not in key and key != "location"
    }
    assert found.get("location", PLACE).startswith("+52.52")
    assert found["creation_time"] == DATE
    assert ";" not in "".join(found.values())
    with av.open(str(made.path)) as container:
        assert {stream.metadata.get("creation_time") for stream in container.streams} == {DATE}
    assert notes(made) == ""


def test_ordinary_tags_stay_where_players_look(ffmpeg_path, make_clip, tmp_path) -> None:
    """Without a phone's tags, an MP4 has them as iTunes writes them."""
    source = tagged(ffmpeg_path, make_clip, tmp_path / "a.mkv", {"title": "Film", "artist": "Ich"})
    data = output_of(source, MP4, ffmpeg_path, tmp_path / "out").path.read_bytes()
    assert b"\xa9nam" in data
    assert b"\xa9ART" in data


def test_tags_come_back_from_matroska_as_phones_write_them(ffmpeg_path, make_clip, tmp_path) -> None:
    """Matroska holds them in capitals, which no player of MP4 looks for."""
    source = tagged(ffmpeg_path, make_clip, tmp_path / "a.mov", IPHONE)
    archived = output_of(source, MKV, ffmpeg_path, tmp_path / "archive").path
    assert tags_of(archived)["COM.APPLE.QUICKTIME.LOCATION.ISO6709"] == PLACE
    found = tags_of(output_of(archived, MP4, ffmpeg_path, tmp_path / "out").path)
    assert {key: found.get(key) for key in IPHONE} == IPHONE


@pytest.mark.parametrize("profile", [MP4, MOV], ids=lambda p: p.name)
@pytest.mark.parametrize("key", ["make", "RECORDING_LOCATION"])
def test_plain_tags_are_kept(ffmpeg_path, make_clip, tmp_path, key: str, profile: Profile) -> None:
    """Of cameras that write them without a prefix, and of Matroska."""
    source = tagged(ffmpeg_path, make_clip, tmp_path / "a.mkv", {key: "Canon"})
    found = tags_of(output_of(source, profile, ffmpeg_path, tmp_path / "out").path)
    assert {name.lower(): value for name, value in found.items()}[key.lower()] == "Canon"


def test_what_a_container_cannot_hold_is_said(ffmpeg_path, make_clip, tmp_path) -> None:
    """Place and camera; nothing is said where there is none, or none is wanted."""
    source = tagged(ffmpeg_path, make_clip, tmp_path / "a.mov", IPHONE)
    made = output_of(source, TS, ffmpeg_path, tmp_path / "out")
    assert made.facts.losses == ("the place and the camera of the recording left out (mpegts holds none)",)
    for profile in (replace(TS, keep_metadata=False), replace(MP4, keep_metadata=False)):
        assert "recording" not in notes(output_of(source, profile, ffmpeg_path, tmp_path / "out"))
    stripped = output_of(source, replace(TS, strip_location=True), ffmpeg_path, tmp_path / "out")
    assert stripped.facts.losses == ("the camera of the recording left out (mpegts holds none)",)


@pytest.mark.parametrize("profile", [MP4, MOV, MKV, WEBM, TS, M4A], ids=lambda p: p.name)
@pytest.mark.parametrize("name", ["a.mov", "a.mkv"])
def test_no_place_is_left_where_it_is_to_be_stripped(ffmpeg_path, make_clip, tmp_path, profile, name: str) -> None:
    """Neither of the file nor of a stream or a chapter, under whatever name; other tags stay."""
    chapters = tmp_path / "chapters.txt"
    chapters.write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=Eins\nLOCATION=+52.5200+013.4050/\n"
    )
    tags = {**IPHONE, **ANDROID, "whereabouts": PLACE, "GPSLatitude": "52.5200", "title": "Film"}
    options = ("-i", str(chapters), "-map_chapters", "1", "-metadata:s:0", f"LOCATION={PLACE}")
    words = [word for key, value in tags.items() for word in ("-metadata", f"{key}={value}")]
    source = tmp_path / name
    keys = ("-movflags", "+use_metadata_tags") if name == "a.mov" else ()
    clip = make_clip(tmp_path / "plain.mp4")
    run_ffmpeg(ffmpeg_path, "-i", clip, *options, "-map", "0", "-c", "copy", *words, *keys, source)
    assert b"52.52" in source.read_bytes()
    for strip in (False, True):
        made = output_of(source, replace(profile, strip_location=strip), ffmpeg_path, tmp_path / "out")
        data = made.path.read_bytes()
        assert (b"52.52" in data) is (not strip and profile is not TS)
        if strip:
            assert b"loci" not in data
            assert b"\xa9xyz" not in data
            assert b"location" not in data.lower()
    assert profile is TS or tags_of(made.path)["title"] == "Film"


def test_place_tags_that_cannot_be_named_take_all_others_along(ffmpeg_path, make_clip, tmp_path) -> None:
    """So that a file with hundreds of them keeps none."""
    many = {f"location{number}": PLACE for number in range(300)}
    source = tagged(ffmpeg_path, make_clip, tmp_path / "a.mkv", many)
    made = output_of(source, replace(MKV, strip_location=True), ffmpeg_path, tmp_path / "out")
    assert b"52.52" not in made.path.read_bytes()


@pytest.mark.parametrize("order", ["big", "little"])
def test_a_cover_that_says_where_it_was_taken_goes_with_the_place(ffmpeg_path, make_clip, tmp_path, order) -> None:
    """Its EXIF data stay in it where it is copied."""
    clip, cover = make_clip(tmp_path / "a.mp4"), tmp_path / "cover.jpg"
    run_ffmpeg(ffmpeg_path, "-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1", cover)
    words = [
        (b"MM" if order == "big" else b"II", 2),
        (42, 2),
        (8, 4),
        (1, 2),
        (0x8825, 2),
        (4, 2),
        (1, 4),
        (26, 4),
        (0, 4),
    ]
    exif = b"Exif\0\0" + b"".join(w if isinstance(w, bytes) else w.to_bytes(n, order) for w, n in words)
    jpeg = cover.read_bytes()
    cover.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    source = tmp_path / "covered.mp4"
    pictures = ("-map", "0", "-map", "1", "-c", "copy", "-disposition:v:1", "attached_pic")
    run_ffmpeg(ffmpeg_path, "-i", clip, "-i", cover, *pictures, source)
    for profile in (MP4, MKV):
        assert b"Exif" in output_of(source, profile, ffmpeg_path, tmp_path / "out").path.read_bytes()
        made = output_of(source, replace(profile, strip_location=True), ffmpeg_path, tmp_path / "out")
        assert b"Exif" not in made.path.read_bytes()
        assert made.facts.losses == ()


def test_a_place_in_the_head_of_copied_sound_is_stripped(ffmpeg_path, make_clip, tmp_path) -> None:
    """Vorbis holds tags in a header of its own, which is copied with it."""
    source = tmp_path / "a.ogg"
    sound = ("-map", "0:a", "-c:a", "libvorbis", "-metadata", f"LOCATION={PLACE}")
    run_ffmpeg(ffmpeg_path, "-i", make_clip(tmp_path / "a.mp4"), *sound, source)
    settings = AudioSettings("libvorbis", copy_if_compatible=True)
    profile = Profile("mka", "f", container="mka", extension="mka", video=None, audio=settings)
    assert b"52.52" in output_of(source, profile, ffmpeg_path, tmp_path / "out").path.read_bytes()
    made = output_of(source, replace(profile, strip_location=True), ffmpeg_path, tmp_path / "out")
    assert b"52.52" not in made.path.read_bytes()


# ---------------------------------------------------------------- marks of tracks


def film_with_tracks(ffmpeg_path: str, folder: Path, *dispositions: str) -> Path:
    """A film with two audio and two subtitle tracks that have these dispositions, in MKV."""
    (folder / "a.srt").write_text("1\n00:00:00,200 --> 00:00:00,800\nHallo\n")
    path = folder / "tracks.mkv"
    marks = [word for n, mark in enumerate(dispositions, start=1) for word in (f"-disposition:{n}", mark)]
    run_ffmpeg(
        ffmpeg_path,
        *("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1"),
        *("-i", folder / "a.srt", "-map", "0", "-map", "1", "-map", "1", "-map", "2", "-map", "2"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-c:s", "srt", "-disposition:0", "0", *marks, path),
    )
    return path


def marks_of(path: Path) -> list[set[str]]:
    """The dispositions of each audio and subtitle track."""
    with av.open(str(path)) as container:
        tracks = (*container.streams.audio, *container.streams.subtitles)
        return [{flag.name for flag in type(t.disposition) if flag in t.disposition and flag.name} for t in tracks]


@pytest.mark.parametrize("profile", [MP4, MOV, MKV], ids=lambda p: p.name)
def test_no_subtitles_are_shown_that_were_not(ffmpeg_path, tmp_path, profile: Profile) -> None:
    """Where no track is default, none becomes it; MP4 needs an audio track that is."""
    source = film_with_tracks(ffmpeg_path, tmp_path, "0", "0", "0", "0")
    found = marks_of(output_of(source, profile, ffmpeg_path, tmp_path / "out").path)
    assert found == [set() if profile is MKV else {"default"}, set(), set(), set()]


@pytest.mark.parametrize("profile", [MP4, MKV], ids=lambda p: p.name)
def test_marks_of_tracks_are_the_sources(ffmpeg_path, tmp_path, profile: Profile) -> None:
    """Default, dubbed, commentary, forced, for the hearing impaired."""
    source = film_with_tracks(ffmpeg_path, tmp_path, "comment", "default+dub", "hearing_impaired", "default+forced")
    made = output_of(source, profile, ffmpeg_path, tmp_path / "out")
    found = [
        marks - {"captions"} for marks in marks_of(made.path)
    ]  # what MP4 says of subtitles for the hearing impaired
    assert found == [{"comment"}, {"default", "dub"}, {"hearing_impaired"}, {"default", "forced"}]
    assert made.facts.losses == ()


@pytest.mark.parametrize("profile", [MP4, MOV, MKV], ids=lambda p: p.name)
def test_titles_of_tracks_stay(ffmpeg_path, tmp_path, profile: Profile) -> None:
    """From Matroska to MP4, and from there on."""
    source = film_with_tracks(ffmpeg_path, tmp_path, "default", "0", "0", "0")
    titled = tmp_path / "titled.mkv"
    names = ("-metadata:s:1", "title=Original", "-metadata:s:3", "title=Voll")
    run_ffmpeg(ffmpeg_path, "-i", source, "-map", "0", "-c", "copy", *names, titled)
    first = output_of(titled, profile, ffmpeg_path, tmp_path / "first").path
    for path in (first, output_of(first, profile, ffmpeg_path, tmp_path / "out").path):
        found = probe(os.fsencode(path), size_bytes=path.stat().st_size).streams
        assert [stream.title for stream in found][:5] == [None, "Original", None, "Voll", None]


def test_forced_subtitles_are_said_to_be_so_no_longer(ffmpeg_path, tmp_path) -> None:
    """MOV has no place for it."""
    source = film_with_tracks(ffmpeg_path, tmp_path, "default", "0", "forced", "0")
    made = output_of(source, MOV, ffmpeg_path, tmp_path / "out")
    assert made.facts.losses == ("subtitles no longer marked as forced (mov does not say so)",)
