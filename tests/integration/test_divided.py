"""Films that are encoded in parts have the pictures, times and tracks that they have when they are encoded whole."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest

from pyprocessor.inspect.cuts import read_film
from pyprocessor.inspect.probe import WHOLE_BYTES
from pyprocessor.models import AudioSettings, HdrPolicy, InputLimits, Profile, VideoSettings
from tests.integration.divided import Divided, encoded_in_parts, packets_of, seeks_clean, why_not_in_parts
from tests.integration.transcoding import Made, beeps, flashes, output_of, run_ffmpeg, work_on

X264 = VideoSettings("libx264", "ultrafast", crf=28)
PROFILE = Profile("p", "f", video=X264)
PYRAMID = (
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-bf",
    "5",
    "-g",
    "40",
    "-x264-params",
    "b-pyramid=normal:scenecut=0",
)


def film(ffmpeg_path: str, path: Path, *options: str, seconds: int = 8, pictures: str = "") -> Path:
    """A film with sound, with a keyframe each 40 pictures unless the options say otherwise."""
    size = "testsrc2=size=160x96:rate=25"
    shown = ("-f", "lavfi", "-i", f"{size}:duration={seconds}{pictures}")
    sound = ("-f", "lavfi", "-i", f"sine=frequency=500:duration={seconds}")
    run_ffmpeg(ffmpeg_path, *shown, *sound, *(options or PYRAMID), "-c:a", "aac", path)
    return path


def both_ways(source: Path, profile: Profile, ffmpeg_path: str, folder: Path) -> tuple[Divided, Made]:
    """In parts of a second or more, and whole: tracks, times and notes have to be the same."""
    parts = encoded_in_parts(source, profile, ffmpeg_path, folder / "parts", least_seconds=1.0)
    whole = output_of(source, profile, ffmpeg_path, folder / "whole")
    assert len(parts.films) >= 2
    assert packets_of(parts.path) == packets_of(whole.path)
    assert parts.facts.notes == whole.facts.notes
    assert (parts.facts.frames, parts.facts.duration_seconds) == (whole.facts.frames, whole.facts.duration_seconds)
    assert seeks_clean(parts.path)
    return parts, whole


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts", "flv"])
def test_a_film_with_a_pyramid_of_pictures_is_exact(ffmpeg_path: str, tmp_path: Path, extension: str) -> None:
    """From each kind of container, with B-frames that refer to B-frames."""
    source = film(ffmpeg_path, tmp_path / f"a.{extension}")
    parts, _ = both_ways(source, PROFILE, ffmpeg_path, tmp_path)
    assert [child.role for child in parts.children] == ["film-part"] * 4 + ["sound-part"]
    assert sum(part["pictures"] for part in parts.films) == 200


@pytest.mark.parametrize(("extension", "rate"), [("mkv", "24000/1001"), ("mp4", "30000/1001")])
def test_a_part_of_a_large_file_knows_what_only_all_of_its_packets_tell(
    ffmpeg_path: str, tmp_path: Path, extension: str, rate: str
) -> None:
    """As a file that is not read whole when it is inspected: the true clock of pictures whose times are rounded."""
    source = tmp_path / f"a.{extension}"
    pictures = ("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate={rate}:duration=5,noise=alls=80:allf=t")
    sound = ("-f", "lavfi", "-i", "sine=duration=5")
    dense = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-g", "30", "-c:a", "flac")
    run_ffmpeg(ffmpeg_path, *pictures, *sound, *dense, source)
    assert source.stat().st_size > WHOLE_BYTES
    parts, _ = both_ways(source, PROFILE, ffmpeg_path, tmp_path)
    with av.open(str(parts.path)) as container:
        assert str(container.streams.video[0].average_rate) == rate


@pytest.mark.parametrize(
    ("container", "encoder", "audio"),
    [
        ("mkv", "libx264", "aac"),
        ("mov", "libx265", "aac"),
        ("mp4", "libsvtav1", "libopus"),
        ("webm", "libsvtav1", "libopus"),
        ("mkv", "libsvtav1", "flac"),
        ("webm", "libvpx-vp9", "libopus"),
    ],
)
def test_every_encoder_is_exact_in_every_container(
    ffmpeg_path: str, tmp_path: Path, container: str, encoder: str, audio: str
) -> None:
    """Whose parts can be joined."""
    presets = {"libsvtav1": "12", "libvpx-vp9": "8"}
    settings = VideoSettings(encoder, presets.get(encoder, "ultrafast"), crf=35)
    profile = Profile("p", "f", container, container, video=settings, audio=AudioSettings(audio))
    both_ways(film(ffmpeg_path, tmp_path / "a.mkv"), profile, ffmpeg_path, tmp_path)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("encoder", ["libx264", "libsvtav1"])
def test_unequal_pictures_keep_their_times(ffmpeg_path: str, tmp_path: Path, container: str, encoder: str) -> None:
    """Also the last one, which lasts longest."""
    dropped = ",select='not(between(mod(n\\,40)\\,3\\,20))+eq(n\\,0)'"
    source = film(ffmpeg_path, tmp_path / "a.mp4", *PYRAMID, "-fps_mode", "vfr", pictures=dropped)
    settings = replace(X264, encoder=encoder, preset="12" if encoder == "libsvtav1" else "ultrafast")
    both_ways(source, Profile("p", "f", container, container, video=settings), ffmpeg_path, tmp_path)


def test_open_groups_of_pictures_are_not_cut(ffmpeg_path: str, tmp_path: Path) -> None:
    """A picture that is shown before its keyframe needs what came before the keyframe."""
    options = (*PYRAMID[:-1], "b-pyramid=normal:scenecut=0:open-gop=1")
    for name in ("a.mp4", "a.ts"):
        source = film(ffmpeg_path, tmp_path / name, *options)
        assert "too few keyframes" in why_not_in_parts(source, PROFILE, tmp_path)


def test_pictures_refreshed_bit_by_bit_are_not_cut(ffmpeg_path: str, tmp_path: Path) -> None:
    """Though demuxers mark some of them as keyframes."""
    source = film(
        ffmpeg_path, tmp_path / "a.ts", "-c:v", "libx264", "-g", "40", "-x264-params", "intra-refresh=1:bframes=0"
    )
    assert "too few keyframes" in why_not_in_parts(source, PROFILE, tmp_path)


def test_one_keyframe_or_an_edit_list_means_whole(ffmpeg_path: str, tmp_path: Path) -> None:
    """There is nothing to cut at, or pictures are there that are not shown."""
    one = film(ffmpeg_path, tmp_path / "one.mp4", "-c:v", "libx264", "-g", "1000", "-x264-params", "scenecut=0")
    assert "too few keyframes" in why_not_in_parts(one, PROFILE, tmp_path)
    cut = tmp_path / "cut.mp4"
    run_ffmpeg(ffmpeg_path, "-ss", "1", "-i", film(ffmpeg_path, tmp_path / "a.mp4"), "-c", "copy", cut)
    assert "edit list" in why_not_in_parts(cut, PROFILE, tmp_path)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("late", ["picture", "sound"])
def test_sound_stays_in_step_where_it_begins_later_or_earlier(
    ffmpeg_path: str, tmp_path: Path, container: str, late: str
) -> None:
    """The white picture and the beep of each second come at the times of a whole-file encode."""
    delay = ("-itsoffset", "0.48")
    shown = ("-f", "lavfi", "-i", "color=black:size=160x96:rate=25:duration=8")
    heard = ("-f", "lavfi", "-i", "sine=frequency=800:duration=8")
    white = "drawbox=t=fill:color=white:enable='lt(mod(t+0.5,1),0.1)'"
    loud = "volume='if(lt(mod(t+0.5,1),0.1),1,0)':eval=frame"
    clip, source = tmp_path / "clip.mkv", tmp_path / "late.mkv"
    run_ffmpeg(ffmpeg_path, *shown, *heard, "-vf", white, "-af", loud, *PYRAMID, "-c:a", "flac", clip)
    first, second = ((*delay, "-i", clip), ("-i", clip)) if late == "picture" else (("-i", clip), (*delay, "-i", clip))
    run_ffmpeg(ffmpeg_path, *first, *second, "-map", "0:v", "-map", "1:a", "-c", "copy", source)
    parts, whole = both_ways(source, Profile("p", "f", container, container, video=X264), ffmpeg_path, tmp_path)
    assert flashes(parts.path) == flashes(whole.path)
    assert beeps(parts.path) == beeps(whole.path)
    assert len(beeps(parts.path)) == 8


def test_times_that_begin_before_zero_stay(ffmpeg_path: str, tmp_path: Path) -> None:
    """As where sound begins with samples that are not to be played."""
    source, clip = tmp_path / "early.mkv", film(ffmpeg_path, tmp_path / "a.mp4")
    earlier = ("-i", clip, "-itsoffset", "-0.4", "-i", clip, "-map", "0:v", "-map", "1:a")
    run_ffmpeg(ffmpeg_path, *earlier, "-c", "copy", "-avoid_negative_ts", "disabled", source)
    with av.open(str(source)) as container:
        assert container.start_time < -300_000
    both_ways(source, PROFILE, ffmpeg_path, tmp_path)


def test_high_dynamic_range_stays_in_every_part(ffmpeg_path: str, tmp_path: Path) -> None:
    """With the metadata of its mastering display, which stands in the headers of the first part alone."""
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    colours = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    hdr = f"hdr10=1:open-gop=0:scenecut=0:{colours}:master-display={display}"
    options = ("-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", "-g", "40", "-x265-params", hdr)
    source = film(ffmpeg_path, tmp_path / "a.mp4", *options, "-tag:v", "hvc1")
    settings = VideoSettings("libx265", "ultrafast", crf=30, pixel_format=None, hdr=HdrPolicy.KEEP)
    parts, whole = both_ways(source, replace(PROFILE, video=settings), ffmpeg_path, tmp_path)
    for made in (parts.path, whole.path):
        with av.open(str(made)) as container:
            context = container.streams.video[0].codec_context
            assert (context.pix_fmt, context.color_trc, context.codec_tag) == ("yuv420p10le", 16, "hvc1")
            container.seek(6_000_000)
            frame = next(container.decode(video=0))
            assert frame.side_data.get(av.sidedata.sidedata.Type.MASTERING_DISPLAY_METADATA) is not None


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_what_is_beside_the_pictures_is_that_of_the_source(ffmpeg_path: str, tmp_path: Path, container: str) -> None:
    """Titles, languages, subtitles and chapters."""
    lines = tmp_path / "lines.srt"
    lines.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:05,000 --> 00:00:06,000\nAgain\n")
    marks = tmp_path / "marks.txt"
    chapter = "[CHAPTER]\nTIMEBASE=1/1000\nSTART={}\nEND={}\ntitle={}\n"
    marks.write_text(
        ";FFMETADATA1\ntitle=A film\n" + chapter.format(0, 3000, "One") + chapter.format(3000, 8000, "Two")
    )
    clip, source = film(ffmpeg_path, tmp_path / "a.mkv"), tmp_path / "source.mkv"
    tracks = (
        "-map",
        "0",
        "-map",
        "1",
        "-map_metadata",
        "2",
        "-metadata:s:v",
        "title=Pictures",
        "-c",
        "copy",
        "-c:s",
        "srt",
    )
    named = ("-metadata:s:a", "language=fra", "-metadata:s:s", "language=deu")
    run_ffmpeg(ffmpeg_path, "-i", clip, "-i", lines, "-i", marks, *tracks, *named, source)
    parts, whole = both_ways(source, Profile("p", "f", container, container, video=X264), ffmpeg_path, tmp_path)
    told = [_beside(made.path) for made in (parts, whole)]
    assert told[0] == told[1]
    assert ("audio", "fra") in [(kind, tags.get("language")) for kind, tags in told[0][0]]
    assert [chapter["start"] for chapter in told[0][2]] == [0, 3000]


def _beside(path: Path) -> tuple[list[tuple[str, dict[str, str]]], dict[str, str], list[dict[str, object]]]:
    own = ("ENCODER", "encoder", "DURATION", "vendor_id")
    with av.open(str(path)) as container:
        streams = [(s.type, {k: v for k, v in s.metadata.items() if k not in own}) for s in container.streams]
        chapters = [
            {"start": round(Fraction(c["start"]) * c["time_base"] * 1000), "tags": dict(c["metadata"])}
            for c in container.chapters()
        ]
        return streams, dict(container.metadata), chapters


def test_damage_is_counted_as_in_a_whole_film(ffmpeg_path: str, tmp_path: Path) -> None:
    """Pictures that do not decode are missing in the output, and said to be, wherever they lie."""
    source = film(
        ffmpeg_path,
        tmp_path / "a.ts",
        "-c:v",
        "mpeg2video",
        "-g",
        "40",
        "-bf",
        "2",
        "-flags",
        "+cgop",
        "-sc_threshold",
        "1000000000",
        "-b:v",
        "2M",
    )
    data = bytearray(source.read_bytes())
    for at in (3, 6):
        begin = len(data) * at // 8 // 188 * 188
        data[begin + 40 : begin + 150] = bytes(110)
    source.write_bytes(data)
    parts = encoded_in_parts(source, PROFILE, ffmpeg_path, tmp_path / "parts", least_seconds=1.0)
    whole = output_of(source, PROFILE, ffmpeg_path, tmp_path / "whole")
    assert parts.facts.losses == whole.facts.losses != ()
    assert parts.facts.frames == whole.facts.frames


def test_a_part_that_failed_makes_the_film_whole(ffmpeg_path: str, tmp_path: Path) -> None:
    """In the same run, with a note; nothing of the attempt to join is left."""
    source = film(ffmpeg_path, tmp_path / "a.mp4")
    made = encoded_in_parts(source, PROFILE, ffmpeg_path, tmp_path / "parts", least_seconds=1.0, failing=[1])
    whole = output_of(source, PROFILE, ffmpeg_path, tmp_path / "whole")
    assert packets_of(made.path) == packets_of(whole.path)
    assert "encoded whole" in made.facts.notes[0]
    assert not list((tmp_path / "parts").glob("*.parts"))


def test_parts_have_near_equal_predicted_cost(ffmpeg_path: str, tmp_path: Path) -> None:
    """A film that becomes detailed has its second half begin late, and all of it is in its stretches."""
    noisy = ",noise=alls=60:allf=t:enable='gt(t,6)'"
    source = film(ffmpeg_path, tmp_path / "a.mp4", *PYRAMID, seconds=12, pictures=noisy)
    work = work_on(source, PROFILE, tmp_path)
    found = read_film(work.inputs[0].path, work.found, 0, [0, 1], InputLimits())
    assert sum(stretch.pictures for stretch in found.stretches) == 300
    parts = encoded_in_parts(source, PROFILE, ffmpeg_path, tmp_path / "parts", parts=2, least_seconds=1.0)
    begin = parts.films[1]["at"]
    assert begin > 6.0
