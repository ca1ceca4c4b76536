"""Frames as arrays, analyses of a film whose content is known, contact sheets, near-duplicates of what ffmpeg makes."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from pyprocessor.errors import InspectError, UsageError
from pyprocessor.frames import (
    AnalysisSettings,
    Frame,
    analyse,
    contact_sheet,
    map_frames,
    near_duplicates,
    read_frames,
)
from tests.waiting import DEADLINE_SECONDS, until

Make = Callable[..., Path]
SIZE = "size=160x90:rate=25"
LOSSLESS = ("-c:v", "ffv1", "-c:a", "pcm_s16le")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "frames_model.py"


@pytest.fixture(scope="module")
def make(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a file of ffmpeg's sources: `make("a.mkv", "testsrc2=...", options=[...], before=[...])`."""
    folder = tmp_path_factory.mktemp("frames")

    def made(name: str, *sources: str, options: Sequence[str] = LOSSLESS, before: Sequence[str] = ()) -> Path:
        inputs = [each for source in sources for each in ("-f", "lavfi", "-i", source)]
        argv = [ffmpeg_path, "-nostdin", "-v", "error", "-y", *before, *inputs, *options, str(folder / name)]
        subprocess.run(argv, check=True, timeout=DEADLINE_SECONDS)
        return folder / name

    return made


def joined(*parts: str) -> str:
    """A source that shows one source after the other."""
    chains = [f"{part}[v{number}]" for number, part in enumerate(parts)]
    return ";".join(chains) + ";" + "".join(f"[v{number}]" for number in range(len(parts))) + f"concat={len(parts)}"


@pytest.fixture(scope="module")
def known(make: Make) -> Path:
    """Movement, black from 2 s, a standing picture from 5 s, movement from 8 s to 10 s; silent from 4 s to 7 s."""
    film = joined(
        f"testsrc2={SIZE}:duration=2",
        f"color=black:{SIZE}:duration=3,format=yuv420p",
        f"smptebars={SIZE}:duration=3,format=yuv420p",
        f"testsrc2={SIZE}:duration=2,negate",
    )
    sound = "sine=frequency=440:sample_rate=48000:duration=10,volume=0:enable='between(t,4,7)'"
    return make("known.mkv", film, sound)


def readers() -> list[threading.Thread]:
    """The threads that decode for a reader."""
    return [thread for thread in threading.enumerate() if thread.name == "read_frames"]


def test_what_is_in_a_film_is_found_at_its_times(known: Path) -> None:
    """Spans and cuts are exact to the picture, silence to the sample that is not quite loud."""
    told: list[float] = []
    found = analyse(known, pictures=4, picture_width=64, progress=told.append)
    assert (found.pictures, found.samples, found.failures) == (250, 20, 0)
    assert (found.duration, found.width, found.height) == (pytest.approx(10.0, abs=0.03), 160, 90)
    assert found.black == ((2.0, 5.0),)
    assert found.freeze == ((2.0, 5.0), (5.0, 8.0))
    assert found.cuts == (2.0, 5.0, 8.0)
    assert found.silence is not None
    assert [tuple(span) for span in found.silence] == [pytest.approx((4.0, 7.0), abs=0.03)]
    assert found.brightness is not None
    assert found.brightness[1] == pytest.approx(0.0, abs=0.01)
    assert found.sharpness is not None
    assert found.sharpness[1:] == (0.0, 2.0)
    assert [frame.index for frame in found.shown] == [0, 1, 2, 3]
    assert {frame.array.shape for frame in found.shown} == {(36, 64, 3)}
    assert told == sorted(told)
    assert [int(time) for time in told] == list(range(1, 10))
    document = found.document()
    assert document["version"] == 1
    assert document["black"] == [{"start": 2.0, "end": 5.0}]
    assert all(len(each) == 16 for each in document["hashes"])


def test_thresholds_decide(known: Path) -> None:
    """Nothing is black, frozen or silent for so long."""
    none = analyse(known, settings=AnalysisSettings(black_seconds=4, freeze_seconds=4, silence_seconds=4, cut_score=1))
    assert (none.black, none.freeze, none.silence, none.cuts) == ((), (), (), ())


def test_a_flash_is_no_cut(make: Make) -> None:
    """Two white pictures within a shot are no shot of their own."""
    flash = "drawbox=color=white:thickness=fill:enable='between(n,30,31)'"
    assert analyse(make("flash.mkv", f"smptebars={SIZE}:duration=2,{flash}")).cuts == ()


def test_the_more_blurred_film_has_less_sharpness(make: Make) -> None:
    """In the order of the radius, and the brightness stays."""
    sizes = [analyse(make(f"{s}.mkv", f"testsrc2={SIZE}:duration=1,gblur=sigma={s}")) for s in (0.1, 1, 4)]
    medians = [each.sharpness[0] for each in sizes if each.sharpness]
    assert medians == sorted(medians, reverse=True)
    assert medians[0] > 2 * medians[2]
    assert len({round(each.brightness[0], 1) for each in sizes if each.brightness}) == 1


def test_sound_alone_is_analysed(make: Make) -> None:
    """Such a file has no pictures to read, though."""
    path = make("sound.wav", "anullsrc=duration=3:sample_rate=8000", options=())
    found = analyse(path)
    assert (found.pictures, found.silence, found.brightness) == (0, ((0.0, 3.0),), None)
    with pytest.raises(InspectError, match="no pictures"), read_frames(path) as frames:
        next(frames)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "flac"])
def test_silence_is_found_in_any_format_of_samples(make: Make, codec: str) -> None:
    """Silent from 1 s to 2 s in both channels; from 3 s on in one, which is no silence."""
    left, right = "(lt(t,1)+gt(t,2))*sin(3000*t)", "(lt(t,1)+between(t,2,3))*sin(3000*t)"
    source = f"aevalsrc='{left}|{right}':duration=4:sample_rate=8000"
    path = make(f"{codec}.mkv", source, options=("-c:a", codec))
    found = analyse(path, settings=AnalysisSettings(silence_seconds=0.5, silence_db=-30)).silence
    assert found is not None
    assert [tuple(span) for span in found] == [pytest.approx((1.0, 2.0), abs=0.002)]


def test_frames_are_chosen_by_time_where_the_rate_varies(make: Make) -> None:
    """Of each half second the first picture; a pause of the film gives none."""
    some = "select='lt(t,1)+between(t,2.1,2.3)+gt(t,3.3)*not(mod(n,5))'"
    path = make("vfr.mkv", f"testsrc2={SIZE}:duration=4,{some}", options=("-fps_mode", "vfr", "-c:v", "ffv1"))
    with read_frames(path, rate=2, pixel_format="gray") as frames:
        taken = list(frames)
    assert [round(frame.time, 2) for frame in taken] == [0.0, 0.52, 2.12, 3.4, 3.6]
    assert [frame.index for frame in taken] == list(range(5))
    assert {frame.array.shape for frame in taken} == {(90, 160)}


def test_a_count_is_spread_over_the_film_also_by_seeking(make: Make) -> None:
    """At the middle of each part, to the picture."""
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "125", "-pix_fmt", "yuv420p")
    path = make("long.mp4", "testsrc2=size=64x36:rate=25:duration=48", options=options)
    for count, first in ((3, 8.0), (6, 4.0)):  # the former are sought
        with read_frames(path, count=count) as frames:
            times = [frame.time for frame in frames]
        assert times == pytest.approx([first * (2 * number + 1) for number in range(count)], abs=0.001)
    with read_frames(path, keyframes=True) as frames:
        assert [frame.time for frame in frames] == pytest.approx([5.0 * number for number in range(10)])


def test_rotated_pictures_are_upright(make: Make, ffmpeg_path: str) -> None:
    """As ffmpeg turns them; a width is that of the upright picture."""
    plain = make("plain.mp4", f"testsrc2={SIZE}:duration=0.2", options=("-c:v", "libx264", "-pix_fmt", "yuv420p"))
    path = plain.with_name("turned.mp4")
    turn = [ffmpeg_path, "-v", "error", "-display_rotation", "90", "-i", str(plain), "-c", "copy", str(path)]
    subprocess.run(turn, check=True, timeout=DEADLINE_SECONDS)
    raw = [ffmpeg_path, "-v", "error", "-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    pixels = subprocess.run(raw, check=True, capture_output=True, timeout=DEADLINE_SECONDS).stdout
    with read_frames(path, pixel_format="gray") as frames:
        array = next(frames).array
    expected = np.frombuffer(pixels, np.uint8).reshape(160, 90)
    assert np.abs(array.astype(int) - expected).mean() < 2
    with read_frames(path, width=46) as frames:
        assert next(frames).array.shape == (82, 46, 3)


@pytest.mark.parametrize(
    ("size", "pixel_format"),
    [("1x1", "gray"), ("29x31", "yuv444p10le"), ("31x2", "rgb24"), ("34x34", "yuva420p"), ("33x33", "gray16le")],
)
def test_any_picture_is_converted(make: Make, size: str, pixel_format: str) -> None:
    """Odd sizes, more than 8 bits, transparency, no luma plane: read and analysed."""
    options = ("-c:v", "ffv1", "-pix_fmt", pixel_format)
    path = make(f"{size}-{pixel_format}.mkv", f"testsrc2=size=64x64:duration=0.4:rate=5,scale={size}", options=options)
    width, height = (int(side) for side in size.split("x"))
    with read_frames(path) as frames:
        assert [frame.array.shape for frame in frames] == [(height, width, 3)] * 2
    assert analyse(path).pictures == 2


def test_frames_keep_their_size_where_the_film_changes_its_own(make: Make) -> None:
    """All have the shape of the first, and the change is a cut."""
    options = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-f", "h264")
    parts = [make(f"{s}.h264", f"testsrc2=size={s}:duration=0.4", options=options) for s in ("160x90", "64x64")]
    path = parts[0].with_name("both.h264")
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with read_frames(path) as frames:
        assert [frame.array.shape for frame in frames] == [(90, 160, 3)] * 20
    assert len(analyse(path).cuts) == 1


def test_no_more_is_read_ahead_than_asked_and_closing_ends_it(known: Path) -> None:
    """The thread waits for room, and is gone after `close`, or when the reader is dropped."""
    frames = read_frames(known, read_ahead=3)
    until(lambda: frames.ready == 3, "three frames")
    for index, frame in zip(range(20), frames, strict=False):
        assert frame.index == index
        assert frames.ready <= 3
    assert readers()
    frames.close()
    assert not readers()
    assert next(frames, None) is None
    dropped = read_frames(known, read_ahead=1)
    next(dropped)
    del dropped
    gc.collect()
    until(lambda: not readers(), "the thread of a dropped reader to end")


def test_what_is_wrong_is_said(tmp_path: Path, known: Path) -> None:
    """A file that is not there or no film when the first frame is asked for; arguments at once."""
    (tmp_path / "text.mp4").write_text("no film")
    for path, text in ((tmp_path / "none.mp4", "not there"), (tmp_path / "text.mp4", "The file is")):
        with pytest.raises(InspectError, match=text), read_frames(path) as frames:
            next(frames)
        with pytest.raises(InspectError, match=text):
            analyse(path)
    with pytest.raises(UsageError, match="by one of"):
        read_frames(known, rate=1, keyframes=True)
    with pytest.raises(UsageError, match="above 0"):
        read_frames(known, rate=0)


def test_damage_is_counted_and_the_rest_is_given(make: Make) -> None:
    """A damaged film gives what decodes of it."""
    path = make("damaged.mkv", f"testsrc2={SIZE}:duration=4", options=("-c:v", "mpeg4", "-g", "10", "-b:v", "300k"))
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, 2 * len(content) // 3, 997):
        content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    found = analyse(path)
    assert found.failures > 0
    assert 50 < found.pictures <= 100
    with read_frames(path) as frames:
        assert sum(1 for _ in frames) == found.pictures
        assert frames.failures > 0


def test_a_function_gets_batches_and_its_results_come_in_order(known: Path) -> None:
    """One result for each frame; what it raises comes out."""

    def means(batch: np.ndarray) -> list[float]:
        assert batch.shape[1:] == (90, 160, 3)
        return [float(each.mean()) for each in batch]

    with read_frames(known) as frames:
        expected = [(frame.time, float(frame.array.mean())) for frame in frames]
    with read_frames(known) as frames:
        assert list(map_frames(frames, means)) == expected
    with read_frames(known) as frames, pytest.raises(ValueError, match="none"):
        next(map_frames(frames, lambda batch: [int("none") for _ in batch]))


def test_a_contact_sheet_shows_the_frames_in_rows(tmp_path: Path) -> None:
    """Three colours in two columns."""
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    frames = [Frame(0.0, index, np.full((20, 30, 3), colour, np.uint8)) for index, colour in enumerate(colours)]
    contact_sheet(tmp_path / "sheet.jpg", frames, columns=2, gap=4)
    with av.open(str(tmp_path / "sheet.jpg")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert picture.shape == (52, 72, 3)
    for (y, x), colour in zip(((14, 19), (14, 53), (38, 19)), colours, strict=True):
        assert np.abs(picture[y, x].astype(int) - colour).max() < 12
    assert picture[38, 53].max() < 12
    with pytest.raises(UsageError, match="one size"):
        contact_sheet(tmp_path / "x.jpg", [frames[0], Frame(0.0, 1, np.zeros((5, 5, 3), np.uint8))])


def test_copies_of_a_film_are_found_and_others_are_not(make: Make, ffmpeg_path: str) -> None:
    """Encoded again, smaller, and without its first 0.7 s and last second."""
    film = joined(
        f"mandelbrot={SIZE}:end_pts=9000,trim=duration=3,format=yuv420p",
        f"gradients={SIZE}:seed=1:speed=0.001:duration=3,format=yuv420p",
        f"testsrc={SIZE}:duration=3,format=yuv420p",
        f"mandelbrot={SIZE}:start_x=-0.2:start_y=-0.8:start_scale=0.2:end_pts=9000,trim=duration=3,format=yuv420p",
    )
    original = make("original.mkv", film)
    copy = original.with_name("copy.mp4")
    argv = [ffmpeg_path, "-v", "error", "-ss", "0.7", "-i", str(original), "-t", "10.3", "-vf", "scale=106:60"]
    subprocess.run([*argv, "-c:v", "libx264", "-crf", "34", str(copy)], check=True, timeout=DEADLINE_SECONDS)
    others = [
        make("other-1.mkv", f"mandelbrot={SIZE}:start_x=0.3:start_y=-0.5:start_scale=0.1:end_pts=9000,trim=duration=3"),
        make("other-2.mkv", joined(f"smptebars={SIZE}:duration=2", f"testsrc2={SIZE}:duration=2")),
    ]
    hashes = {path.name: analyse(path).hashes for path in (original, *others, copy)}
    assert near_duplicates(hashes) == [("original.mkv", "copy.mp4")]


def test_the_example_runs(known: Path) -> None:
    """A line for each second; the colours win over the grey."""
    command = [sys.executable, str(EXAMPLE), str(known)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) == 11
    assert ended.stdout.splitlines()[2].endswith(" 0.0")
