"""Probing real files: clips made here, odd names, and everything that is not a clip."""

from __future__ import annotations

import os
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect import packets
from pyprocessor.inspect import probe as probing
from pyprocessor.inspect.probe import probe
from pyprocessor.models import HdrKind, MediaInfo, StreamKind, VideoInfo
from tests.waiting import DEADLINE_SECONDS


def probed(path: Path | bytes) -> MediaInfo:
    """What the file holds."""
    name = os.fsencode(path)
    return probe(name, size_bytes=os.path.getsize(name))


def film(media: MediaInfo) -> VideoInfo:
    """Its film's picture."""
    assert media.video is not None
    assert media.video.video is not None
    return media.video.video


def refusal(path: Path) -> InspectError:
    """Why a file was refused."""
    with pytest.raises(InspectError) as caught:
        probed(path)
    assert path.name not in str(caught.value)
    return caught.value


TEST_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=1")


def test_an_ordinary_clip(make_clip, tmp_path) -> None:
    """Every field of a plain MP4."""
    media = probed(make_clip(tmp_path / "a.mp4"))
    assert media.container.startswith("mov,")
    assert media.duration_seconds == pytest.approx(1.0, abs=0.1)
    assert not media.duration_estimated
    assert media.video is not None
    assert (media.video.codec, media.video.frames) == ("h264", 25)
    picture = film(media)
    assert (picture.width, picture.height, picture.pixel_format, picture.bit_depth) == (160, 90, "yuv420p", 8)
    assert (picture.frame_rate, picture.rotation, picture.hdr) == (Fraction(25), 0, HdrKind.SDR)
    assert not picture.interlaced
    assert not picture.variable_frame_rate
    assert [(s.codec, s.audio and s.audio.sample_rate) for s in media.audio] == [("aac", 48000)]
    assert media.notes == ()
    assert media.missing_bytes == 0


ENDLESS = {"a.gif": "testsrc2=s=160x90:r=25:d=1", "a.apng": "testsrc2=s=160x90:r=25:d=1"}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_animation_without_its_end_mark_may_be_cut_off(ffmpeg, tmp_path, name: str) -> None:
    """One that is whole says nothing, although no header of it says how long it lasts."""
    ffmpeg("-f", "lavfi", "-i", ENDLESS[name], "-f", name.partition(".")[2], name)
    whole = probed(tmp_path / name)
    assert whole.notes == ()
    assert whole.video is not None
    assert (whole.video.frames, whole.video.duration_seconds) == (25, pytest.approx(1.0))
    data = (tmp_path / name).read_bytes()
    (tmp_path / f"padded-{name}").write_bytes(data + bytes(100))
    assert probed(tmp_path / f"padded-{name}").notes == ()
    (tmp_path / f"cut-{name}").write_bytes(data[:-20])
    (note,) = probed(tmp_path / f"cut-{name}").notes
    assert note.text == "It has no end mark, so it may have been cut off; all that is there was used."


@pytest.mark.parametrize(
    "name",
    [
        b"-dash.mp4",
        b"new\nline.mp4",
        b"quote'\".mp4",
        b"e%03d.mp4",
        b"concat:a|b.mp4",
        b"not utf-8 \xff\xfe.mp4",
        "\U0001f3ac film.mp4".encode(),
        b"[list]?&*.mp4",
    ],
)
def test_any_name_opens(make_clip, tmp_path, name: bytes) -> None:
    """A name is a name: no pattern, no protocol, no option, no encoding."""
    path = os.fsencode(tmp_path) + b"/" + name
    os.rename(make_clip(tmp_path / "plain.mp4"), path)
    assert probed(path).video is not None


@pytest.mark.parametrize(("degrees", "expected"), [("90", 270), ("180", 180), ("270", 90)])
def test_rotation_is_degrees_clockwise(make_clip, ffmpeg, tmp_path, degrees: str, expected: int) -> None:
    """ffmpeg's option turns the display counter-clockwise; a phone held upright reads 90."""
    make_clip(tmp_path / "flat.mp4", audio=None)
    ffmpeg("-display_rotation", degrees, "-i", "flat.mp4", "-c", "copy", "turned.mp4")
    assert film(probed(tmp_path / "turned.mp4")).rotation == expected


def test_hdr10_with_its_metadata(ffmpeg, tmp_path) -> None:
    """Mastering display and light levels come in x265's own notation."""
    mastering = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    ffmpeg(
        *TEST_PICTURE, "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params",
        f"pools=1:frame-threads=1:log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:"
        f"master-display={mastering}:max-cll=1000,400",
        "-tag:v", "hvc1", "hdr.mp4",
    )  # fmt: skip
    picture = film(probed(tmp_path / "hdr.mp4"))
    assert (picture.hdr, picture.bit_depth) == (HdrKind.HDR10, 10)
    assert (picture.colour.primaries, picture.colour.transfer) == ("bt2020", "smpte2084")
    assert picture.mastering_display == mastering
    assert picture.content_light == (1000, 400)


def test_interlaced_and_aspect(ffmpeg, tmp_path) -> None:
    """PAL as a camcorder writes it: fields, and pixels that are not square."""
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=720x576:rate=50:duration=0.4", "-vf",
        "interlace,setsar=16/15", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-f", "mpegts", "pal.ts",
    )  # fmt: skip
    picture = film(probed(tmp_path / "pal.ts"))
    assert picture.interlaced
    assert picture.sample_aspect_ratio == Fraction(16, 15)


def test_variable_frame_rate(ffmpeg, tmp_path) -> None:
    """A screen recording that drops pictures is told from one that does not."""
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=30:duration=3", "-vf", "select='not(between(mod(n,15),4,9))'",
        "-fps_mode", "vfr", "-c:v", "libx264", "vfr.mp4",
    )  # fmt: skip
    assert film(probed(tmp_path / "vfr.mp4")).variable_frame_rate


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "a.webm"), True),
        (("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le", "a.mov"), True),
        (("-c:v", "rawvideo", "-pix_fmt", "pal8", "a.avi"), False),
    ],
    ids=["beside the picture", "in the picture", "none"],
)
def test_transparency(ffmpeg, tmp_path, arguments: tuple[str, ...], expected: bool) -> None:
    """Also of VP9, whose decoder does not give it out."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=0.2,format=yuva420p", *arguments)
    assert film(probed(tmp_path / arguments[-1])).alpha is expected


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mkv", "ts", "flv"])
def test_pictures_are_counted_and_weighed(ffmpeg, tmp_path, suffix: str) -> None:
    """From the index or, where there is none, from all packets of a small file."""
    ffmpeg(*TEST_PICTURE, "-f", "lavfi", "-i", "sine=duration=1", "-c:v", "libx264", "-g", "10", f"a.{suffix}")
    facts = film(probed(tmp_path / f"a.{suffix}")).packets
    assert facts is not None
    assert (facts.pictures, facts.keyframes, facts.share_of_bytes) == (25, 3, None)
    assert facts.rate == pytest.approx(25, rel=0.1)
    assert 0 < facts.keyframe_bytes < facts.bytes < (tmp_path / f"a.{suffix}").stat().st_size


def test_of_a_long_film_a_part_is_looked_at(ffmpeg, tmp_path, monkeypatch) -> None:
    """Reading stops after so many packets; of an index, entries all over it are looked at."""
    monkeypatch.setattr(probing, "WHOLE_BYTES", 0)
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=100:duration=30", "-g", "50", "-c:v", "libx264")
    ffmpeg(*picture, "-preset", "ultrafast", "a.mkv")
    ffmpeg("-i", "a.mkv", "-c", "copy", "a.mp4")
    start = film(probed(tmp_path / "a.mkv")).packets
    assert start is not None
    assert start.pictures == packets.MOST_PACKETS
    assert start.share_of_bytes == 1.0
    assert start.rate == pytest.approx(100, rel=0.01)
    whole = film(probed(tmp_path / "a.mp4")).packets
    assert whole is not None
    assert (whole.pictures, whole.share_of_bytes) == (3000, None)
    assert whole.keyframes == pytest.approx(60, rel=0.25)
    assert whole.bytes == pytest.approx((tmp_path / "a.mp4").stat().st_size, rel=0.25)
    assert whole.seconds == pytest.approx(30, rel=0.01)


def test_a_still_clock_and_damage_do_no_harm(make_clip, tmp_path) -> None:
    """Pictures without times are counted and last no time; a file that is cut off is counted as far as it goes."""
    facts = film(probed(make_clip(tmp_path / "a.h264", audio=None))).packets
    assert facts is not None
    assert facts.pictures == 25
    whole = make_clip(tmp_path / "b.mkv")
    found = film(probed(cut(whole, 0.6))).packets
    assert found is not None
    assert 0 < found.pictures < 25


def test_every_kind_of_stream(ffmpeg, make_clip, tmp_path) -> None:
    """Languages, titles, dispositions, subtitles, attachments, covers and chapters of a Matroska file."""
    make_clip(tmp_path / "a.mp4")
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    (tmp_path / "font.ttf").write_bytes(b"\0\1\0\0font")
    (tmp_path / "chapters.txt").write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n")
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1", "cover.png")
    ffmpeg(
        "-i", "a.mp4", "-i", "s.srt", "-i", "chapters.txt", "-map", "0", "-map", "1", "-map_chapters", "2", "-c",
        "copy", "-metadata:s:a:0", "language=deu", "-metadata:s:a:0", "title=Ton", "-disposition:s:0", "forced",
        "-attach", "font.ttf", "-metadata:s:t:0", "mimetype=font/ttf", "-attach", "cover.png", "-metadata:s:t:1",
        "mimetype=image/png", "all.mkv",
    )  # fmt: skip
    media = probed(tmp_path / "all.mkv")
    kinds = [stream.kind for stream in media.streams]
    assert kinds.count(StreamKind.VIDEO) == 2
    assert kinds.count(StreamKind.ATTACHMENT) == 1
    audio = media.audio[0]
    assert (audio.language, audio.title) == ("ger", "Ton") or (audio.language, audio.title) == ("deu", "Ton")
    subtitle = next(stream for stream in media.streams if stream.kind is StreamKind.SUBTITLE)
    assert (subtitle.codec, subtitle.dispositions) == ("subrip", ("forced",))
    covers = [s for s in media.streams if s.video is not None and s.video.attached_picture]
    assert [cover.codec for cover in covers] == ["png"]
    assert media.video is not None
    assert media.video.codec == "h264"
    assert media.chapters == 1


def test_tags_that_are_not_utf8(ffmpeg, make_clip, tmp_path) -> None:
    """Old cameras write Latin-1; that costs a letter and not the file."""
    make_clip(tmp_path / "a.mp4")
    ffmpeg("-i", "a.mp4", "-c", "copy", "-metadata", "title=ZZZZ", "t.mp4")
    data = (tmp_path / "t.mp4").read_bytes()
    (tmp_path / "t.mp4").write_bytes(data.replace(b"ZZZZ", b"Z\xfc\xffZ"))
    assert probed(tmp_path / "t.mp4").video is not None


def test_sound_alone_is_no_error(make_clip, tmp_path) -> None:
    """What to make of it is for the contract to say."""
    media = probed(make_clip(tmp_path / "a.m4a", video=None))
    assert media.video is None
    assert len(media.audio) == 1


def test_raw_streams_do_not_know_how_long_they_are(make_clip, tmp_path) -> None:
    """The duration is None or a guess, and the user is told what that means."""
    media = probed(make_clip(tmp_path / "raw.h264", audio=None))
    assert media.duration_estimated
    assert any("does not say how long" in note.text for note in media.notes)


def test_not_a_file(tmp_path) -> None:
    """Nothing there, a folder, a pipe that nobody writes to, an empty file."""
    with pytest.raises(InspectError, match="no longer there"):
        probe(os.fsencode(tmp_path / "gone.mp4"), size_bytes=1)
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "empty.mp4").touch()
    assert "not a file" in str(refusal(tmp_path / "pipe.mp4"))
    assert "not a file" in str(refusal(tmp_path / "folder.mp4"))
    assert "empty" in str(refusal(tmp_path / "empty.mp4"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(make_clip, tmp_path) -> None:
    """The failure is of its own kind: retrying as the same user cannot help."""
    path = make_clip(tmp_path / "a.mp4")
    path.chmod(0)
    assert refusal(path).kind is FailureKind.PERMISSION


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"Dear diary,\n", "is text"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "playlist"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "concat"),
        (os.urandom(4000) + b"\x01", "not a video"),
    ],
)
def test_what_only_has_the_name_of_a_film(tmp_path, content: bytes, words: str) -> None:
    """A plain reason, and no demuxer follows what a playlist names."""
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    assert words in str(refusal(path))


def test_a_numbered_name_is_no_pattern(tmp_path, ffmpeg) -> None:
    """A file called `img%03d.png` is one file; its neighbours are not read as a film."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=32x32:duration=0.2", "img%03d.png")
    (tmp_path / "img%03d.png").write_bytes(b"\x01\x02\x03" * 500)
    assert "not a video" in str(refusal(tmp_path / "img%03d.png"))


def cut(path: Path, share: float) -> Path:
    """The file with only that share of its bytes left."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_an_mp4_cut_off_before_its_index_is_refused(make_clip, tmp_path) -> None:
    """Nothing of it can be read."""
    assert "cut off" in str(refusal(cut(make_clip(tmp_path / "a.mp4", seconds=2), 0.5)))


@pytest.mark.parametrize("suffix", ["mkv", "avi", "wmv", "mxf"])
def test_other_containers_say_what_is_missing(make_clip, tmp_path, suffix: str) -> None:
    """Their headers tell how long the whole was; a whole file lacks nothing."""
    video = "libx264" if suffix == "mkv" else "mpeg2video" if suffix == "mxf" else "mpeg4"
    path = make_clip(tmp_path / f"a.{suffix}", seconds=2, video=video, audio=None, size="320x180")
    assert probed(path).missing_bytes == 0
    assert probed(cut(path, 0.5)).missing_bytes > 0


def test_a_live_matroska_is_followed_to_its_last_cluster(ffmpeg_path, tmp_path, make_clip) -> None:
    """Written to a pipe it has no total size, but each cluster has its own."""
    make_clip(tmp_path / "a.mp4", seconds=2)
    with (tmp_path / "live.mkv").open("wb") as sink:
        subprocess.run(
            [ffmpeg_path, "-nostdin", "-loglevel", "error", "-i", str(tmp_path / "a.mp4"), "-c", "copy", "-f",
             "matroska", "pipe:1"],
            stdout=sink, check=True, timeout=DEADLINE_SECONDS,
        )  # fmt: skip
    assert probed(tmp_path / "live.mkv").missing_bytes == 0
    assert probed(cut(tmp_path / "live.mkv", 0.7)).missing_bytes > 0


@pytest.mark.parametrize(
    ("suffix", "words"), [("ts", "transport packet"), ("ogv", "mark an end"), ("flv", "inside a tag")]
)
def test_streams_cut_off_leave_a_note(make_clip, tmp_path, suffix: str, words: str) -> None:
    """Nothing proves what is missing, but the end looks torn."""
    codecs = {"ts": ("libx264", "aac"), "ogv": ("libtheora", "libvorbis"), "flv": ("libx264", "aac")}
    path = make_clip(tmp_path / f"a.{suffix}", seconds=2, video=codecs[suffix][0], audio=codecs[suffix][1])
    assert probed(path).notes == ()
    data = path.read_bytes()
    torn = data[: len(data) // 2 // 188 * 188 - 7]
    for cut_off in (torn, torn + bytes(3)):
        path.write_bytes(cut_off)
        assert any(words in note.text for note in probed(path).notes)
    for padding in (1, 100, 100_000):  # recorders allocate space ahead
        path.write_bytes(data + bytes(padding))
        assert not any(words in note.text for note in probed(path).notes)


def test_a_film_without_pictures(tmp_path, make_clip) -> None:
    """Zero pictures are counted as zero, and said."""
    path = make_clip(tmp_path / "a.avi", video="mpeg4", audio=None)
    data = path.read_bytes()
    start = data.index(b"movi") + 4
    size = struct.unpack("<I", data[start + 4 : start + 8])[0]
    assert size > 0
    path.write_bytes(data[:start] + b"\0" * (len(data) - start))
    media = probed(path)
    assert media.video is not None
    assert media.video.frames == 0
    assert media.notes


def test_pictures_that_do_not_decode(tmp_path, make_clip) -> None:
    """A track of noise under the name of a codec counts no pictures, with the reason first among the notes."""
    path = make_clip(tmp_path / "a.avi", video="ffv1", audio=None)
    data = bytearray(path.read_bytes())
    place = data.index(b"movi") + 4
    while data[place : place + 4] == b"00dc":
        size = struct.unpack_from("<I", data, place + 4)[0]
        data[place + 8 : place + 8 + size] = b"\xff" * size
        place += 8 + size + size % 2
    path.write_bytes(data)
    media = probed(path)
    assert media.video is not None
    assert media.video.frames == 0
    assert "None of the pictures" in media.notes[0].text


def test_absurd_sizes_are_refused(tmp_path) -> None:
    """A header that claims pictures no encoder takes is refused before a decoder allocates them."""
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W17000 H2 F25:1 C420jpeg\n" + (b"FRAME\n" + b"\x10" * 17000 * 3) * 2)
    assert "17000x2" in str(refusal(path))


def test_what_is_wrong_with_an_index(ffmpeg, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Missing, damaged and encrypted are three things, and each is told as what it is."""
    path = tmp_path / "a.mp4"

    def damaged(box: bytes) -> InspectError:
        """The clip refused once the number of entries in this box is far too large."""
        data = path.read_bytes()
        entries = data.index(box) + 8
        path.write_bytes(data[:entries] + b"\x7f\xff\xff\xff" + data[entries + 4 :])
        return refusal(path)

    ffmpeg(*TEST_PICTURE, "-pix_fmt", "yuv420p", str(path))
    error = damaged(b"stsc")
    assert (error.kind, "has an index (moov) that cannot be read: it is damaged" in str(error)) == ("bad_input", True)
    key, key_id = "76a6c65c5ea762046bd749a2e632ccbb", "a7e61c373e219033c21091fa607bf3b8"
    scheme = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key, "-encryption_kid", key_id)
    ffmpeg(*TEST_PICTURE, "-pix_fmt", "yuv420p", "-movflags", "+frag_keyframe+empty_moov", *scheme, str(path))
    error = damaged(b"senc")
    assert (error.kind, "is encrypted" in str(error)) == ("unsupported", True)
    path.write_bytes(b"\0\0\0\x14ftypisom\0\0\0\0isom\0\0\0\x6cmdat" + bytes(100))
    error = refusal(path)
    assert (error.kind, "has no index (moov)" in str(error)) == ("bad_input", True)


def test_a_careless_reference_to_the_file_itself_is_none(make_clip, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """An MP4 that does not mark its data as its own, but names no other file, is read as ever."""
    path = make_clip(tmp_path / "a.mp4")
    data = path.read_bytes()
    assert data.count(b"url \0\0\0\1") == 2
    path.write_bytes(data.replace(b"url \0\0\0\1", b"url \0\0\0\0"))
    assert film(probed(path)).width == 160
