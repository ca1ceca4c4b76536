"""From a source to a verified output and back: what succeeds is whole, what fails says why."""

from __future__ import annotations

import os
import re
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pyprocessor.errors import FailureKind, JobError, VerifyError
from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.inspect.contract import Contract, contract
from pyprocessor.inspect.probe import probe, survey_source
from pyprocessor.inspect.timeline import Timeline
from pyprocessor.inspect.verify import verify
from pyprocessor.models import (
    AudioSettings,
    HdrKind,
    HdrPolicy,
    InputLimits,
    MediaInfo,
    OutputFacts,
    Profile,
    Source,
    StreamKind,
    VideoInfo,
    VideoSettings,
)
from pyprocessor.recipes.transcode import recipe
from pyprocessor.tasks.base import Work
from pyprocessor.tasks.side_files import side_files
from tests.integration.encoder_profiles import COARSE as MP4
from tests.waiting import DEADLINE_SECONDS

MKV = Profile(
    "mkv",
    "f",
    container="mkv",
    extension="mkv",
    video=VideoSettings("libsvtav1", preset="12", crf=50, pixel_format="yuv420p10le", hdr=HdrPolicy.KEEP),
    audio=AudioSettings("libopus", bitrate=64_000),
)
HEVC = replace(
    MP4,
    video=VideoSettings("libx265", preset="ultrafast", crf=35, hdr=HdrPolicy.KEEP, pixel_format="yuv420p10le"),
)
SOUND = Profile("audio", "f", container="m4a", extension="m4a", video=None, audio=AudioSettings(bitrate=96_000))


@dataclass(frozen=True)
class Made:
    """What a source became."""

    path: Path
    source: Path
    media: MediaInfo
    agreed: Contract
    times: Timeline
    frames: int | None
    notes: tuple[str, ...]

    def verified(self, path: Path | None = None) -> OutputFacts:
        """The facts of the output, or of another file in its place, with the texts of what is worth telling."""
        facts, notes = verify(
            os.fsencode(path or self.path),
            self.agreed,
            encoded_frames=self.frames,
            damaged=False,
            source=os.fsencode(self.source),
            media=self.media,
            times=self.times,
        )
        return replace(facts, notes=tuple(note.text for note in notes))

    def picture(self) -> VideoInfo:
        """The output's picture."""
        media = probe(os.fsencode(self.path), size_bytes=self.path.stat().st_size)
        assert media.video is not None
        assert media.video.video is not None
        return media.video.video


Transcode = Callable[[Path, Profile], Made]


@pytest.fixture
def transcode(ffmpeg_path, tmp_path) -> Transcode:
    """Probe, agree, encode: all but the verification."""

    def run(path: Path, profile: Profile = MP4) -> Made:
        media = probe(os.fsencode(path), size_bytes=path.stat().st_size)
        media, times = survey_source(
            os.fsencode(path), media, [plan.index for plan in contract(profile, media).kept], InputLimits()
        )
        agreed = contract(profile, media)
        source = Source(os.fsencode(path), os.fsencode(path.name), path.stat().st_size, 0)
        name = f"output.{profile.extension}"
        work = Work("j", profile, (source,), media, 1, os.fsencode(tmp_path), "output")
        with side_files(work, media, agreed) as files:
            made = recipe(profile, media, agreed, source, threads=1, output_name=name, covers=files.covers)
            done = subprocess.run(
                argv(made.invocation, ffmpeg_path),
                cwd=tmp_path,
                env=environment(os.environ),
                capture_output=True,
                timeout=DEADLINE_SECONDS,
                check=False,
            )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        counts = re.findall(rb"^frame=(\d+)$", done.stdout, re.MULTILINE)
        return Made(
            tmp_path / name,
            path,
            media,
            agreed,
            times,
            int(counts[-1]) if counts else None,
            tuple(note.text for note in made.notes),
        )

    return run


def pattern(size: str = "160x90", rate: str = "25", seconds: str = "1") -> Sequence[str]:
    """ffmpeg's moving test picture as an input."""
    return ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}")


def tone(seconds: str = "1", layout: str | None = None) -> Sequence[str]:
    """A tone as an input."""
    text = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    return ("-f", "lavfi", "-i", text if layout is None else f"{text},aformat=channel_layouts={layout}")


@pytest.mark.parametrize("profile", [MP4, MKV, HEVC], ids=lambda p: p.name)
def test_a_plain_clip(make_clip, transcode, tmp_path, profile: Profile) -> None:
    """Frames, streams and duration are found, and the file's own size and time."""
    made = transcode(make_clip(tmp_path / "a.mp4"), profile)
    facts = made.verified()
    assert (facts.video_streams, facts.audio_streams, facts.frames) == (1, 1, 25)
    assert facts.duration_seconds == pytest.approx(1.0, abs=0.1)
    assert (facts.size_bytes, facts.mtime_ns) == (made.path.stat().st_size, made.path.stat().st_mtime_ns)
    assert facts.notes == ()


AWKWARD = {
    "one picture": (*pattern(seconds="0.04"), "-c:v", "libx264"),
    "one a second": (*pattern(rate="1", seconds="6"), "-c:v", "libx264"),
    "variable rate": (
        *(*pattern(rate="30", seconds="3"), "-vf", "select='not(between(mod(n,15),4,9))'"),
        *("-fps_mode", "vfr", "-c:v", "libx264"),
    ),
    "odd size": (*pattern(size="161x121"), "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"),
    "one pixel": (*pattern(), "-vf", "scale=1:1", "-c:v", "libx264", "-pix_fmt", "yuv444p"),
    "palette": (*pattern(), "-pix_fmt", "pal8", "-c:v", "rawvideo"),
    "full range": (*pattern(), "-pix_fmt", "yuvj422p", "-c:v", "mjpeg"),
    "audio longer": (*pattern(), *tone("3"), "-c:v", "libx264", "-c:a", "aac"),
    "video longer": (*pattern(seconds="3"), *tone("1"), "-c:v", "libx264", "-c:a", "aac"),
    "late video": (*("-itsoffset", "1.5"), *pattern(), *tone("3"), "-c:v", "libx264", "-c:a", "aac"),
    "late start": (*pattern(), *tone(), "-c:v", "libx264", "-c:a", "aac", "-output_ts_offset", "40"),
    "5.1 with side speakers": (*pattern(), *tone(layout="5.1(side)"), "-c:v", "libx264", "-c:a", "ac3"),
    "seven channels": (*pattern(), *tone(layout="6.1"), "-c:v", "libx264", "-c:a", "pcm_s16le"),
    "odd sample rate": (*pattern(), *tone(), "-c:v", "libx264", "-ar", "11025", "-c:a", "pcm_s16le"),
    "interlaced": (*pattern(rate="50"), "-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ildct+ilme"),
}


IN_OTHER_CONTAINERS = [
    ("variable rate", "mp4"),
    ("late video", "mp4"),
    ("one a second", "mp4"),
    ("audio longer", "ts"),
    ("late start", "ts"),
    ("interlaced", "mpg"),
    ("palette", "avi"),
    ("full range", "avi"),
    ("one picture", "flv"),
]


@pytest.mark.parametrize(
    ("case", "suffix"), [(case, "mkv") for case in AWKWARD if case != "palette"] + IN_OTHER_CONTAINERS
)
@pytest.mark.parametrize("profile", [MP4, MKV], ids=lambda p: p.name)
def test_awkward_but_whole(ffmpeg, transcode, tmp_path, case: str, suffix: str, profile: Profile) -> None:
    """Sources that are odd and not broken all succeed, in both containers."""
    ffmpeg(*AWKWARD[case], f"a.{suffix}")
    facts = transcode(tmp_path / f"a.{suffix}", profile).verified()
    assert facts.video_streams == 1


def stamps(path: Path) -> list[float]:
    """The presentation times of a file's pictures, in order."""
    with av.open(str(path)) as container:
        film = container.streams.video[0]
        return sorted(float(p.pts * p.time_base) for p in container.demux(film) if p.pts is not None and p.size)


def test_a_varying_rate_keeps_every_time_stamp(ffmpeg, transcode, tmp_path) -> None:
    """Not one picture is moved to a clock of ffmpeg's guess."""
    ffmpeg(*AWKWARD["variable rate"], "a.mp4")
    made = transcode(tmp_path / "a.mp4", MP4)
    assert stamps(made.path) == pytest.approx(stamps(tmp_path / "a.mp4"), abs=1e-4)


def test_a_clock_too_fast_for_av1_is_slowed(ffmpeg, transcode, tmp_path) -> None:
    """600 pictures a second become 240, with the duration unchanged."""
    ffmpeg(*pattern(rate="600", seconds="0.5"), "-c:v", "libx264", "-preset", "ultrafast", "a.mp4")
    made = transcode(tmp_path / "a.mp4", MKV)
    assert made.verified().frames == 120
    assert made.notes == ("Its 600 pictures a second became 240: AV1 takes no more here.",)


@pytest.fixture
def long_last_picture(ffmpeg, tmp_path) -> Path:
    """A clip whose last picture is shown for two seconds, as its index says."""
    ffmpeg(
        *(*pattern(rate="10", seconds="2"), "-vf", "setpts='if(gt(N,16),PTS+(N-16)*2/TB,PTS)'"),
        *("-fps_mode", "vfr", "-enc_time_base", "1/1000", "-c:v", "libx264", "-preset", "ultrafast", "a.mp4"),
    )
    ffmpeg("-i", "a.mp4", "-c", "copy", "-bsf:v", "setts=pts=PTS:dts=DTS:duration='max(DURATION,2/TB)'", "b.mp4")
    return tmp_path / "b.mp4"


@pytest.mark.parametrize("profile", [MKV, replace(MKV, container="mp4", extension="mp4"), MP4])
def test_a_last_picture_is_shown_as_long_as_in_the_source(long_last_picture, transcode, profile: Profile) -> None:
    """SVT-AV1 does not say how long a picture lasts: its last one is made to last."""
    made = transcode(long_last_picture, profile)
    facts = made.verified()
    assert (facts.frames, facts.notes) == (20, ())
    assert facts.duration_seconds == pytest.approx(made.media.duration_seconds, abs=0.05)


def test_a_last_picture_that_ends_early_is_told_of(long_last_picture, transcode) -> None:
    """A transport stream does not say how long a picture lasts."""
    facts = transcode(long_last_picture, replace(MP4, container="mpegts", extension="ts")).verified()
    assert facts.frames == 20
    assert facts.notes == ("Its last picture is shown for a shorter time than in the source; all pictures are there.",)


def test_a_changed_rate_is_held_to_the_duration(make_clip, transcode, tmp_path) -> None:
    """Fewer pictures, the same length."""
    slower = replace(MP4, video=replace(MP4.video, fps=Fraction(10)))
    facts = transcode(make_clip(tmp_path / "a.mp4", seconds=2), slower).verified()
    assert facts.frames == 20


def test_rotation_is_baked_in(ffmpeg, make_clip, transcode, tmp_path) -> None:
    """The output is upright by itself, with its size within the turned limits."""
    make_clip(tmp_path / "flat.mp4", audio=None)
    ffmpeg("-display_rotation", "270", "-i", "flat.mp4", "-c", "copy", "turned.mp4")
    small = replace(MP4, video=replace(MP4.video, max_width=80, max_height=45))
    made = transcode(tmp_path / "turned.mp4", small)
    made.verified()
    picture = made.picture()
    assert (picture.width, picture.height, picture.rotation) == (44, 80, 0)


_X265 = "pools=1:frame-threads=1:log-level=error:colorprim=bt2020:colormatrix=bt2020nc"
_LIGHT = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
HDR = (
    *(*pattern(), "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params"),
    f"{_X265}:transfer=smpte2084:{_LIGHT}",
)
HLG = (
    *(*pattern(), "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", "-x265-params"),
    f"{_X265}:transfer=arib-std-b67",
)


@pytest.mark.parametrize("source", [HDR, HLG], ids=["hdr10", "hlg"])
def test_hdr_becomes_sdr_without_stale_metadata(ffmpeg, transcode, tmp_path, source: Sequence[str]) -> None:
    """8-bit BT.709, and no mastering data that would make a television dim it."""
    ffmpeg(*source, "-tag:v", "hvc1", "hdr.mp4")
    made = transcode(tmp_path / "hdr.mp4", MP4)
    made.verified()
    picture = made.picture()
    assert (picture.hdr, picture.pixel_format) == (HdrKind.SDR, "yuv420p")
    assert (picture.colour.primaries, picture.colour.transfer, picture.colour.matrix) == ("bt709", "bt709", "bt709")
    assert (picture.mastering_display, picture.content_light) == (None, None)


@pytest.mark.parametrize("profile", [MKV, HEVC], ids=lambda p: p.video.encoder)
def test_hdr_is_kept_with_its_metadata(ffmpeg, transcode, tmp_path, profile: Profile) -> None:
    """10 bits, PQ, and the same mastering display and light levels."""
    ffmpeg(*HDR, "-tag:v", "hvc1", "hdr.mp4")
    made = transcode(tmp_path / "hdr.mp4", profile)
    made.verified()
    picture = made.picture()
    assert (picture.hdr, picture.bit_depth) == (HdrKind.HDR10, 10)
    assert picture.content_light == (1000, 400)
    assert picture.mastering_display is not None


def test_subtitles_attachments_covers_and_chapters(ffmpeg, make_clip, transcode, tmp_path) -> None:
    """Each goes where its container takes it, and the counts are held to."""
    make_clip(tmp_path / "a.mp4")
    (tmp_path / "s.srt").write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n")
    (tmp_path / "font.ttf").write_bytes(b"\0\1\0\0font")
    ffmpeg("-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1", "cover.png")
    (tmp_path / "c.txt").write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n")
    ffmpeg(
        *("-i", "a.mp4", "-i", "s.srt", "-i", "c.txt", "-map", "0", "-map", "1", "-map", "0:a", "-c", "copy"),
        *("-map_chapters", "2"),
        *("-attach", "font.ttf", "-metadata:s:t:0", "mimetype=font/ttf"),
        *("-attach", "cover.png", "-metadata:s:t:1", "mimetype=image/png", "all.mkv"),
    )
    mp4 = transcode(tmp_path / "all.mkv", MP4)
    facts = mp4.verified()
    assert (facts.video_streams, facts.audio_streams, facts.subtitle_streams) == (1, 2, 1)
    assert sum(plan.cover for plan in mp4.agreed.kept) == 1
    assert probe(os.fsencode(mp4.path), size_bytes=mp4.path.stat().st_size).chapters == 1
    assert any("attachment" in note for note in mp4.notes)
    mkv = transcode(tmp_path / "all.mkv", MKV)
    assert (
        mkv.verified().subtitle_streams,
        mkv.agreed.count(StreamKind.ATTACHMENT),
        sum(plan.cover for plan in mkv.agreed.kept),
    ) == (1, 1, 1)
    with av.open(str(mkv.path)) as container:
        (kept,) = (s for s in container.streams.video if s.disposition & type(s.disposition).attached_pic)
        assert kept.metadata["filename"] == "cover.png"
        (content,) = (bytes(packet) for packet in container.demux(kept) if packet.size)
    assert content == (tmp_path / "cover.png").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("output*")) == ["output.mkv", "output.mp4"]


def test_every_film_is_kept_where_the_profile_says_so(ffmpeg, transcode, tmp_path) -> None:
    """A second angle, turned and of another size, comes out upright beside the first; each is held to its length."""
    ffmpeg(*pattern("64x48"), "-c:v", "libx264", "plain.mp4")
    ffmpeg("-display_rotation", "90", "-i", "plain.mp4", "-c", "copy", "turned.mp4")
    ffmpeg(*pattern(), *tone(), "-i", "turned.mp4", "-map", "0", "-map", "1", "-map", "2", "-c:v:0", "libx264",
           "-c:v:1", "copy", "-c:a", "aac", "two.mp4")  # fmt: skip
    every = replace(MKV, video=replace(MKV.video, all_tracks=True))
    made = transcode(tmp_path / "two.mp4", every)
    facts = made.verified()
    assert (facts.video_streams, facts.audio_streams, facts.frames) == (2, 1, 25)
    media = probe(os.fsencode(made.path), size_bytes=made.path.stat().st_size)
    sizes = [(s.video.width, s.video.height, s.video.rotation) for s in media.streams if s.video is not None]
    assert sizes == [(160, 90, 0), (48, 64, 0)]
    ffmpeg("-i", "output.mkv", "-t", "0.4", "-i", "output.mkv", "-map", "0:0", "-map", "1:1", "-map", "0:a",
           "-c", "copy", "short.mkv")  # fmt: skip
    with pytest.raises(VerifyError, match="video"):
        made.verified(tmp_path / "short.mkv")


def test_subtitles_longer_than_the_film(ffmpeg, make_clip, transcode, tmp_path) -> None:
    """A container that lasts as long as its last subtitle is whole, although its film is short."""
    make_clip(tmp_path / "a.mp4", seconds=2)
    (tmp_path / "s.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,900\nHello\n\n2\n00:30:00,000 --> 00:30:01,000\nBye\n"
    )
    ffmpeg("-i", "a.mp4", "-i", "s.srt", "-map", "0", "-map", "1", "-c", "copy", "-c:s", "srt", "a.mkv")
    made = transcode(tmp_path / "a.mkv", MP4)
    assert made.verified().subtitle_streams == 1
    with av.open(str(made.path)) as container:
        (words,) = container.streams.subtitles
        ends = [
            float((p.pts + p.duration) * p.time_base) for p in container.demux(words) if p.size and p.pts is not None
        ]
    assert max(ends) < 4


def test_a_gap_in_the_sound_becomes_silence(ffmpeg, transcode, tmp_path) -> None:
    """Players that count samples stay in step: there are as many as the track is long."""
    ffmpeg(
        *(*pattern(seconds="3"), *tone("3"), "-af", "aselect='lt(t,1)+gt(t,1.7)'"),
        *("-c:v", "libx264", "-c:a", "pcm_s16le", "a.mkv"),
    )
    made = transcode(tmp_path / "a.mkv", MP4)
    made.verified()
    with av.open(str(made.path)) as container:
        sound = container.streams.audio[0]
        lengths = [float(packet.duration * packet.time_base) for packet in container.demux(sound) if packet.size]
    assert max(lengths) < 0.05
    assert sum(lengths) == pytest.approx(3.0, abs=0.1)


def test_a_varying_rate_keeps_its_length_in_mp4(ffmpeg, transcode, tmp_path) -> None:
    """The last pictures last longest, and what is coded out of order must not cost them their time."""
    ffmpeg(
        *(*pattern(rate="10", seconds="2"), "-vf", "setpts='if(gt(N,16),PTS+(N-16)*0.8/TB,PTS)'"),
        *("-fps_mode", "vfr", "-enc_time_base", "1/1000", "-c:v", "libx264", "-preset", "ultrafast", "a.mp4"),
    )
    reordering = replace(MP4, video=replace(MP4.video, preset="medium"))
    source = probe(os.fsencode(tmp_path / "a.mp4"), size_bytes=(tmp_path / "a.mp4").stat().st_size)
    assert source.video is not None
    assert source.video.video is not None
    assert source.video.video.variable_frame_rate
    facts = transcode(tmp_path / "a.mp4", reordering).verified()
    assert facts.duration_seconds == pytest.approx(source.video.duration_seconds, abs=0.01)
    assert facts.notes == ()


def test_a_slow_rate_leaves_a_short_film_its_picture(make_clip, transcode, tmp_path) -> None:
    """One picture in ten seconds of a film of one second is one picture, and not none."""
    slow = replace(MP4, video=replace(MP4.video, fps=Fraction(1, 10)))
    assert transcode(make_clip(tmp_path / "a.mp4"), slow).verified().frames == 1


def test_pictures_that_do_not_come_out_are_told_of(ffmpeg, transcode, tmp_path) -> None:
    """A recording that begins between two keyframes loses its start: that is no damage, but there is a note."""
    ffmpeg(*pattern(size="320x180", seconds="2.4"), *tone("2.4"), "-c:v", "libx264", "-x264-params",
           "keyint=20:min-keyint=20:scenecut=0:bframes=0", "-c:a", "aac", "-muxdelay", "0", "whole.ts")  # fmt: skip
    assert transcode(tmp_path / "whole.ts", MP4).verified().notes == ()
    ffmpeg("-i", "whole.ts", "-map", "0", "-c", "copy", "-bsf:v", "noise=drop='lt(n,12)'", "-muxdelay", "0", "cut.ts")
    facts = transcode(tmp_path / "cut.ts", MP4).verified()
    assert facts.frames == 40
    assert facts.notes == ("Its first 8 pictures depend on some before the start of the file and were left out.",)


def test_sound_alone(make_clip, transcode, tmp_path) -> None:
    """The audio profile takes the sound of a film; length and track are checked."""
    facts = transcode(make_clip(tmp_path / "a.mp4"), SOUND).verified()
    assert (facts.video_streams, facts.audio_streams, facts.frames) == (0, 1, None)


def test_a_picture_size_that_changes_midway(ffmpeg, transcode, tmp_path) -> None:
    """A raw stream of two sizes comes out in one, with every picture."""
    ffmpeg(*pattern(size="160x90"), "-c:v", "libx264", "a.h264")
    ffmpeg(*pattern(size="320x180"), "-c:v", "libx264", "b.h264")
    joined = (tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes()
    (tmp_path / "ab.h264").write_bytes(joined)
    made = transcode(tmp_path / "ab.h264", MP4)
    assert made.verified().frames == 50
    assert made.picture().width == 160


# ---------------------------------------------------------------- what must not pass


def fails(made: Made, path: Path | None = None) -> VerifyError:
    """The failure of an output."""
    with pytest.raises(VerifyError) as caught:
        made.verified(path)
    return caught.value


@pytest.mark.parametrize("profile", [MP4, MKV], ids=lambda p: p.name)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_an_output_cut_off_is_never_taken(make_clip, transcode, tmp_path, profile: Profile, share: float) -> None:
    """Whatever is cut off the end, and whatever ffmpeg's exit code was."""
    made = transcode(make_clip(tmp_path / "a.mp4", seconds=4, size="320x180"), profile)
    data = made.path.read_bytes()
    made.path.write_bytes(data[: int(len(data) * share)])
    assert fails(made).kind in (FailureKind.INFRASTRUCTURE, FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED)


@pytest.mark.parametrize("profile", [MP4, MKV], ids=lambda p: p.name)
def test_a_short_but_playable_output_is_never_taken(ffmpeg, make_clip, transcode, tmp_path, profile: Profile) -> None:
    """What an interrupted ffmpeg leaves plays, and is not the film."""
    made = transcode(make_clip(tmp_path / "a.mp4", seconds=4), profile)
    ffmpeg("-i", made.path.name, "-map", "0", "-c", "copy", "-t", "2", f"short.{profile.extension}")
    error = fails(made, tmp_path / f"short.{profile.extension}")
    assert error.kind is FailureKind.INFRASTRUCTURE


def test_sound_that_breaks_off_is_never_taken(ffmpeg, make_clip, transcode, tmp_path) -> None:
    """The film is whole, so only the audio track shows it."""
    made = transcode(make_clip(tmp_path / "a.mp4", seconds=6), MP4)
    ffmpeg(
        *("-i", "output.mp4", "-t", "2", "-i", "output.mp4", "-map", "0:v", "-map", "1:a", "-c", "copy", "quiet.mp4"),
    )
    assert "sound" in str(fails(made, tmp_path / "quiet.mp4"))


def test_a_missing_track_is_never_taken(ffmpeg, make_clip, transcode, tmp_path) -> None:
    """Every kind is counted."""
    made = transcode(make_clip(tmp_path / "a.mp4"), MP4)
    ffmpeg("-i", "output.mp4", "-map", "0:v", "-c", "copy", "mute.mp4")
    assert "audio tracks" in str(fails(made, tmp_path / "mute.mp4"))


def test_no_output_at_all(make_clip, transcode, tmp_path) -> None:
    """Neither a missing file nor an empty one passes."""
    made = transcode(make_clip(tmp_path / "a.mp4"), MP4)
    (tmp_path / "none.mp4").touch()
    assert fails(made, tmp_path / "none.mp4").kind is FailureKind.INFRASTRUCTURE
    assert fails(made, tmp_path / "gone.mp4").kind is FailureKind.INFRASTRUCTURE


def outcome(transcode: Transcode, path: Path) -> tuple[str, ...]:
    """Why the source failed, or the notes it succeeded with."""
    try:
        return transcode(path, MP4).verified().notes
    except JobError as error:
        return (str(error),)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "flv", "wmv", "mxf", "ts", "ogv"])
@pytest.mark.parametrize("share", [0.5, 0.93])
def test_a_source_cut_off_never_succeeds_silently(make_clip, transcode, tmp_path, suffix: str, share: float) -> None:
    """It fails, or where nothing proves the loss, succeeds with a note."""
    codecs = {
        "webm": ("libvpx-vp9", "libopus"), "avi": ("mpeg4", "libmp3lame"), "wmv": ("mpeg4", "wmav2"),
        "mxf": ("mpeg2video", None), "ogv": ("libtheora", "libvorbis"),
    }  # fmt: skip
    video, audio = codecs.get(suffix, ("libx264", "aac"))
    path = make_clip(tmp_path / f"a.{suffix}", seconds=4, video=video, audio=audio, size="320x180")
    assert outcome(transcode, path) == ()
    data = path.read_bytes()
    length = int(len(data) * share)
    path.write_bytes(data[: length + (1 if length % 188 == 0 else 0)])
    assert outcome(transcode, path)


def test_a_header_that_promises_too_much(ffmpeg, make_clip, transcode, tmp_path) -> None:
    """A whole file whose duration was written too long is told as what it is."""
    make_clip(tmp_path / "a.mp4", seconds=2)
    ffmpeg("-i", "a.mp4", "-map", "0", "-c", "copy", "-f", "flv", "a.flv")
    path = tmp_path / "a.flv"
    data = bytearray(path.read_bytes())
    place = data.index(b"duration\x00") + 9
    struct.pack_into(">d", data, place, 500.0)
    path.write_bytes(data)
    (note,) = transcode(path, MP4).verified().notes
    assert "declares 500.0 s and holds 2" in note
