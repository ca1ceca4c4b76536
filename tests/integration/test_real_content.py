"""What people really have: clocks that jump, rates that vary, streams that change midway; all comes out in step."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pyprocessor.errors import JobError
from pyprocessor.models import OutputFacts, VideoSettings
from tests.integration.encoder_profiles import COARSE as MP4
from tests.integration.transcoding import beeps, flashes, shown, transcode

Ffmpeg = Callable[..., None]
Transcode = Callable[[str], OutputFacts]


@pytest.fixture
def make(ffmpeg_path, tmp_path) -> Transcode:
    """Transcode a file of the test's folder to `output.mp4` beside it."""
    return lambda name: transcode(tmp_path / name, MP4, tmp_path, ffmpeg_path)


def signals(seconds: float, every: int = 4) -> tuple[str, ...]:
    """A black picture and silence, as inputs, with a white flash and a beep a second into every `every` seconds."""
    now = f"between(mod(t,{every}),1,1.159)"
    return (
        *("-f", "lavfi", "-i", f"color=black:s=160x90:r=25:d={seconds},drawbox=color=white:t=fill:enable='{now}'"),
        *(
            "-f",
            "lavfi",
            "-i",
            f"aevalsrc='if({now.replace(',', chr(92) + ',')},0.8*sin(6283*t),0)':s=48000:d={seconds}",
        ),
    )


H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-f", "mpegts")
MPEG2 = ("-c:v", "mpeg2video", "-b:v", "1M", "-c:a", "mp2", "-f", "mpegts")


def join(folder: Path, target: str, *parts: str) -> None:
    """Put files one behind the other, as `cat` does."""
    (folder / target).write_bytes(b"".join((folder / part).read_bytes() for part in parts))


def in_step(path: Path, *times: float) -> None:
    """The flashes are at these times, and each with its beep."""
    assert flashes(path) == pytest.approx(list(times), abs=0.05)
    assert beeps(path) == pytest.approx(flashes(path), abs=0.1)


@pytest.mark.parametrize("offset", [0, -2, 3600, 95_440], ids=["again", "overlap", "an hour on", "about to wrap"])
@pytest.mark.parametrize("swapped", [False, True], ids=["then", "before"])
def test_joined_recordings_follow_each_other(ffmpeg, make, tmp_path, offset: int, swapped: bool) -> None:
    """Whatever the clock of the second part says: every picture is there, and the sound beside it."""
    ffmpeg(*signals(6), *H264, "a.ts")
    ffmpeg(*signals(5), *H264, "-output_ts_offset", str(max(0, offset if offset >= 0 else 6 + offset)), "b.ts")
    parts, second = (("b.ts", "a.ts"), 5) if swapped else (("a.ts", "b.ts"), 6)
    join(tmp_path, "ab.ts", *parts)
    facts = make("ab.ts")
    assert facts.frames == 275
    assert facts.losses == ()
    ends = [1, 5] if not swapped else [1]
    in_step(tmp_path / "output.mp4", *(t + 0.02 for t in (*ends, second + 1, *(() if not swapped else (second + 5,)))))


@pytest.mark.parametrize("seconds", [4, 6])
def test_joined_program_streams_leave_no_hole(ffmpeg, make, tmp_path, seconds: int) -> None:
    """The sound of the first part ends behind the first pictures of the second."""
    film = ("-vf", "noise=alls=30:allf=t", "-c:v", "mpeg2video", "-b:v", "1M", "-c:a", "ac3")
    ffmpeg(*signals(seconds), *film, "-f", "vob", "a.vob")
    join(tmp_path, "ab.vob", "a.vob", "a.vob")
    assert make("ab.vob").frames == 50 * seconds
    output = tmp_path / "output.mp4"
    assert max(b - a for a, b in itertools.pairwise(shown(output))) < 0.1
    assert len(flashes(output)) == (2 if seconds == 4 else 4)
    assert beeps(output) == pytest.approx(flashes(output), abs=0.05)


def test_pictures_far_apart_stay_beside_the_sound(ffmpeg, make, tmp_path) -> None:
    """Slides of a lecture in a transport stream: ffmpeg by itself takes each pause for a jump of the clock."""
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=160x90:r=1/15:d=45", "-f", "lavfi", "-i", "sine=d=45", "-c:v", "libx264"),
        *("-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0", "-c:a", "aac", "-f", "mpegts", "slides.ts"),
    )
    assert make("slides.ts").losses == ()
    assert shown(tmp_path / "output.mp4") == pytest.approx([0.02, 15.02, 30.02], abs=0.05)


@pytest.mark.parametrize(("stream", "kept"), [("v", "a"), ("a", "v")])
def test_one_stream_may_pause(ffmpeg, make, tmp_path, stream: str, kept: str) -> None:
    """While the other goes on, for longer than ffmpeg believes."""
    ffmpeg(*signals(32), *H264, "whole.ts")
    ffmpeg(
        "-i", "whole.ts", "-c", "copy", f"-bsf:{stream}", "noise=drop='between(pts*tb,12,27)'", "-f", "mpegts", "p.ts"
    )
    assert make("p.ts").losses == ()
    found = {"v": flashes, "a": beeps}
    assert found[kept](tmp_path / "output.mp4") == pytest.approx([1.02 + 4 * n for n in range(8)], abs=0.03)
    assert found[stream](tmp_path / "output.mp4") == pytest.approx([1.02, 5.02, 9.02, 29.02], abs=0.03)


@pytest.mark.parametrize("suffix", ["mkv", "webm", "flv", "ts", "mov"])
def test_a_varying_rate_keeps_every_picture(ffmpeg, make, tmp_path, suffix: str) -> None:
    """A phone's pictures, put into a container that states an average as if it were the rate."""
    apart = "isnan(prev_selected_t)+gte(t-prev_selected_t,0.0165*(1+lt(mod(t,2),0.8)))"
    varying = f"testsrc2=s=160x90:r=1000:d=4,select='{apart}'"
    encoder = (
        ("libvpx", "-deadline", "realtime", "-b:v", "1M") if suffix == "webm" else ("libx264", "-preset", "medium")
    )
    ffmpeg("-f", "lavfi", "-i", varying, "-fps_mode", "vfr", "-enc_time_base", "1/90000", "-c:v", "libx264", "-pix_fmt",
           "yuv420p", "-video_track_timescale", "90000", "phone.mp4")  # fmt: skip
    if suffix == "webm":
        ffmpeg("-i", "phone.mp4", "-fps_mode", "passthrough", "-enc_time_base", "demux", "-c:v", *encoder, "a.webm")
    else:
        ffmpeg("-i", "phone.mp4", "-c", "copy", f"a.{suffix}")
    facts = make(f"a.{suffix}")
    source, output = shown(tmp_path / f"a.{suffix}"), shown(tmp_path / "output.mp4")
    assert facts.losses == ()
    assert [t - output[0] for t in output] == pytest.approx([t - source[0] for t in source], abs=0.0011)


def test_sound_that_goes_on_under_another_number_goes_on(ffmpeg, make, tmp_path) -> None:
    """A new PID in the midst of a transport stream is the same track."""
    for name, pid, offset in (("a.ts", 257, 0), ("b.ts", 300, 4.04)):
        ffmpeg(
            *signals(4), *MPEG2, "-streamid", "0:256", "-streamid", f"1:{pid}", "-output_ts_offset", str(offset), name
        )
    join(tmp_path, "ab.ts", "a.ts", "b.ts")
    assert make("ab.ts").audio_streams == 1
    in_step(tmp_path / "output.mp4", 1.01, 5.03)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_fields_are_mended_wherever_they_begin(ffmpeg, ffmpeg_path, make, tmp_path, codec: str) -> None:
    """A recording that begins with whole pictures and goes on interlaced."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x288:r=25:d=1", "-c:v", codec, "-b:v", "3M", "-g", "12", "a.ts")
    fields = ("-flags", "+ildct+ilme", *(("-x264-params", "tff=1") if codec == "libx264" else ("-field_order", "tt")))
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=320x288:r=50:d=3,interlace=scan=tff", "-c:v", codec, "-b:v", "3M", "-g",
           "12", *fields, "-output_ts_offset", "1.04", "b.ts")  # fmt: skip
    join(tmp_path, "ab.ts", "a.ts", "b.ts")
    assert make("ab.ts").frames == 100
    looked = subprocess.run(
        [ffmpeg_path, "-nostdin", "-i", "output.mp4", "-vf", "select='gte(t,1.2)',idet", "-f", "null", "-"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    found = looked.rpartition("Multi frame detection: TFF:")[2].split()
    assert int(found[0]) == 0
    assert int(found[found.index("Progressive:") + 1]) > 40


@pytest.mark.parametrize("later", ["160x120", "240x134"], ids=["shape", "size"])
def test_pictures_of_several_shapes_come_out_in_one(ffmpeg, make, tmp_path, later: str) -> None:
    """The shape that lasts longest is the output's; the others keep their own within it, in black."""
    for name, size, aspect, seconds, offset in (("a.ts", "160x120", "4/3", 1, 0), ("b.ts", later, "16/9", 3, 1.04)):
        ffmpeg("-f", "lavfi", "-i", f"color=white:s={size}:r=25:d={seconds}", "-c:v", "mpeg2video", "-b:v", "1M", "-g",
               "12", "-aspect", aspect, "-output_ts_offset", str(offset), "-f", "mpegts", name)  # fmt: skip
    join(tmp_path, "ab.ts", "a.ts", "b.ts")
    assert make("ab.ts").frames in (99, 100)  # a decoder may lose one where the size changes
    with av.open(str(tmp_path / "output.mp4")) as container:
        film = container.streams.video[0]
        assert f"{film.width}x{film.height}" == later
        assert float(film.display_aspect_ratio or film.width / film.height) == pytest.approx(16 / 9, rel=0.02)
        corners = [(frame.time, bytes(frame.reformat(format="gray").planes[0])[1]) for frame in container.decode(film)]
    assert all((value < 60) == (at < 1) for at, value in corners if abs(at - 1) > 0.1)


@pytest.mark.parametrize("codec", ["ac3", "aac", "mp2"])
def test_the_widest_sound_is_kept(ffmpeg, make, tmp_path, codec: str) -> None:
    """Narrow in the advertisement, wide in the film."""
    wide = 2 if codec == "mp2" else 6
    for name, channels, offset in (("a.ts", 1 if codec == "mp2" else 2, 0), ("b.ts", wide, 2.04)):
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=2", "-f", "lavfi", "-i", "sine=r=48000:d=2", "-ac",
               str(channels), "-c:v", "mpeg2video", "-c:a", codec, "-output_ts_offset", str(offset), name)  # fmt: skip
    join(tmp_path, "ab.ts", "a.ts", "b.ts")
    assert make("ab.ts").losses == ()
    with av.open(str(tmp_path / "output.mp4")) as container:
        assert container.streams.audio[0].codec_context.channels == wide


def test_a_clip_that_begins_between_keyframes_is_whole(ffmpeg, make, tmp_path) -> None:
    """Pictures that nobody can decode are no damage, and the sound that came before them stays in step."""
    ffmpeg(*signals(8), *H264, "-bf", "0", "whole.ts")
    ffmpeg("-i", "whole.ts", "-c", "copy", "-bsf:v", "noise=drop='lt(n,12)'", "-f", "mpegts", "cut.ts")
    facts = make("cut.ts")
    assert facts.losses == ()
    assert facts.frames == 175
    in_step(tmp_path / "output.mp4", 1.02, 5.02)


def test_packets_are_believed_and_tags_are_not(ffmpeg, make, tmp_path) -> None:
    """Tags of an earlier version of the file say that its tracks end after a second."""
    ffmpeg(*signals(30), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "a.mkv")
    data = (tmp_path / "a.mkv").read_bytes()
    assert b"00:00:30.0" in data
    (tmp_path / "a.mkv").write_bytes(data.replace(b"00:00:30.0", b"00:00:01.0"))
    facts = make("a.mkv")
    assert (facts.frames, facts.losses) == (750, ())


@pytest.mark.parametrize(("stream", "suffix"), [("v", "ts"), ("a", "ts"), ("v", "mkv"), ("a", "mp4")])
def test_a_stream_that_begins_late_begins_late(ffmpeg, make, tmp_path, stream: str, suffix: str) -> None:
    """By more than ffmpeg takes for a jump."""
    ffmpeg(*signals(24), *H264, "whole.ts")
    ffmpeg("-i", "whole.ts", "-c", "copy", f"-bsf:{stream}", "noise=drop='lt(pts*tb,16)'", f"late.{suffix}")
    assert make(f"late.{suffix}").losses == ()
    found = {"v": flashes, "a": beeps}[stream](tmp_path / "output.mp4")
    assert found == pytest.approx([17.02, 21.02], abs=0.03)


def test_telecined_film_gets_its_own_rate_again(ffmpeg, ffmpeg_path, tmp_path) -> None:
    """Film shown 2:3 at 29.97 comes out at 23.976, each picture once, where the profile says so."""
    times = "(floor(N/2)*5+mod(N,2)*2)*1001/60000/TB"
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=160x90:r=24000/1001:d=3,settb=1/90000,setpts='{times}'", "-fps_mode",
           "vfr", "-enc_time_base", "1/90000", "-c:v", "libx264", "film.mp4")  # fmt: skip
    film = replace(MP4, video=VideoSettings(preset="ultrafast", crf=30, fps=Fraction(24000, 1001)))
    facts = transcode(tmp_path / "film.mp4", film, tmp_path, ffmpeg_path)
    steps = [b - a for a, b in itertools.pairwise(shown(tmp_path / "output.mp4"))]
    assert facts.frames == 72
    assert steps == pytest.approx([1001 / 24000] * 71, abs=0.001)


def test_a_recording_that_changes_its_programme_is_refused(ffmpeg, make, tmp_path) -> None:
    """Half a film is no film: what goes on in other streams is named, and what to do about it."""
    ffmpeg(*signals(4), *MPEG2, "a.ts")
    other = ("-mpegts_service_id", "2", "-mpegts_pmt_start_pid", "4352", "-streamid", "0:300", "-streamid", "1:301")
    ffmpeg(*signals(4), *MPEG2, *other, "-output_ts_offset", "4.04", "b.ts")
    join(tmp_path, "ab.ts", "a.ts", "b.ts")
    with pytest.raises(JobError, match="changes to another programme"):
        make("ab.ts")


def test_sound_stays_in_step_behind_a_long_first_packet(ffmpeg, make, tmp_path) -> None:
    """Fragmented MP4 without edit lists: its first packet of sound lasts until the picture's delay is over."""
    ffmpeg(*signals(6), "-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-c:a", "aac", "-movflags",
           "frag_keyframe+empty_moov", "a.mp4")  # fmt: skip
    assert make("a.mp4").losses == ()
    seen = flashes(tmp_path / "output.mp4")
    assert len(seen) == 2
    assert beeps(tmp_path / "output.mp4") == pytest.approx(seen, abs=0.03)


def test_time_stamps_that_jitter_make_no_silences(ffmpeg, ffmpeg_path, make, tmp_path) -> None:
    """Sound that is all there stays as it is, though a few of its packets now and then say that they are late."""
    ffmpeg(*("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=4", "-f", "lavfi", "-i", "sine=r=48000:d=4"),
           *("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "a.mkv"))  # fmt: skip
    ffmpeg("-i", "a.mkv", "-c", "copy", "-bsf:a", "setts=ts=TS+80*gt(mod(N\\,20)\\,16)", "late.mkv")
    make("late.mkv")
    command = [ffmpeg_path, "-nostdin", "-i", str(tmp_path / "output.mp4"), "-af", "silencedetect=n=0.01:d=0.01"]
    done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, check=True, timeout=60)
    assert b"silence_start" not in done.stderr


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "libx264"), ("a.avi", "mpeg4"), ("a.mxf", "libx264")], ids=["H.264", "MPEG-4", "MXF"]
)
def test_pictures_in_decoding_order_are_not_late(ffmpeg, make, tmp_path, name: str, codec: str) -> None:
    """A container that says only when pictures are decoded: all of them come, and none later beside the sound."""
    ffmpeg(*signals(5), "-c:v", codec, "-bf", "2", "-g", "50", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", name)
    facts = make(name)
    assert facts.losses == ()
    assert len(shown(tmp_path / "output.mp4")) == 125
    assert flashes(tmp_path / "output.mp4") == pytest.approx([1.0], abs=0.01)
    assert beeps(tmp_path / "output.mp4") == pytest.approx([1.0], abs=0.02)


def test_a_picture_before_the_film_is_its_cover(ffmpeg, make, tmp_path) -> None:
    """A thumbnail as the first track, in a container that does not count its pictures: the film is the other one."""
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:d=0.04", *signals(4), "-map", "0", "-map", "1", "-map", "2",
           "-c:v:0", "mjpeg", "-c:v:1", "libx264", "-preset", "ultrafast", "-c:a", "aac", "a.mkv")  # fmt: skip
    facts = make("a.mkv")
    assert (facts.frames, facts.losses) == (100, ())


def test_chapters_of_mp4_are_no_lost_track(ffmpeg, make, tmp_path) -> None:
    """They lie in a track of text of their own, and are written anew."""
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle=Part\n"
    (tmp_path / "c.txt").write_text(";FFMETADATA1\n" + chapter.format(0, 1500) + chapter.format(1500, 4000))
    ffmpeg(*signals(4), "-i", "c.txt", "-map_chapters", "2", *H264[:-2], "a.mp4")
    facts = make("a.mp4")
    with av.open(str(tmp_path / "output.mp4")) as container:
        assert len(container.chapters()) == 2
    assert (facts.notes, facts.losses) == ((), ())


def test_pictures_left_out_of_an_avi_are_no_moved_ones(ffmpeg, make, tmp_path) -> None:
    """AVI says when pictures are decoded, and those left out show there some places from where they would be shown."""
    ffmpeg(*signals(6), "-vf", "select='not(between(n,50,60)+eq(mod(n,7),3))'", "-fps_mode", "passthrough", "-c:v",
           "mpeg4", "-q:v", "3", "-bf", "2", "-c:a", "mp3", "a.avi")  # fmt: skip
    facts = make("a.avi")
    assert (facts.losses, facts.notes) == ((), ())
    in_step(tmp_path / "output.mp4", 1.0, 5.0)
