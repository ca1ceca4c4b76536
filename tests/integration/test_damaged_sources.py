"""Of sources that are cut off or damaged what is there is made, and a note says what is not; or they are refused."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import pytest

from pyprocessor.errors import FailureKind, InspectError, JobError
from pyprocessor.inspect.probe import probe
from pyprocessor.models import END_MISSING, Damaged, MediaInfo, OutputFacts, Profile
from tests.integration.encoder_profiles import COARSE as KEEPING
from tests.integration.transcoding import shown, transcode
from tests.waiting import DEADLINE_SECONDS

REFUSING = replace(KEEPING, damaged=Damaged.REFUSE)
BROKEN = "damaged: pictures or sound are missing or broken"
RATE, SECONDS = 25, 4
PICTURES = RATE * SECONDS

H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac")
HEVC = (*("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:keyint=25"), "-c:a", "aac")
MPEG2 = ("-c:v", "mpeg2video", "-g", "12", "-b:v", "1M", "-c:a", "mp2")
MPEG4 = ("-c:v", "mpeg4", "-g", "25", "-b:v", "1M", "-c:a", "libmp3lame")
VP9 = (*("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25", "-b:v", "1M"), "-c:a", "libopus")
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-crf", "40", "-c:a", "libopus")
WMV = ("-c:v", "wmv2", "-b:v", "1M", "-c:a", "wmav2")
FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")

Clip = Callable[..., Path]
Make = Callable[..., OutputFacts]


@pytest.fixture(scope="module")
def clip(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Make a clip of a moving picture and a tone with these options of ffmpeg, once for each; do not change it."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[tuple[str, ...], Path] = {}

    def make(name: str, *options: str) -> Path:
        if (name, *options) not in made:
            (folder / str(len(made))).mkdir()
            path = made[name, *options] = folder / str(len(made)) / name
            inputs = (f"testsrc2=s=320x180:r={RATE}:d={SECONDS}", f"sine=r=48000:d={SECONDS}")
            subprocess.run(
                [ffmpeg_path, "-nostdin", "-loglevel", "error", *(w for i in inputs for w in ("-f", "lavfi", "-i", i)),
                 *options, os.fspath(path)],
                check=True, timeout=DEADLINE_SECONDS,
            )  # fmt: skip
        return made[name, *options]

    return make


@pytest.fixture
def make(ffmpeg_path: str, tmp_path: Path) -> Make:
    """Transcode these bytes as a file of that name, to `output.mp4` in the test's folder."""

    def run(name: str, content: bytes, profile: Profile = KEEPING) -> OutputFacts:
        (tmp_path / name).write_bytes(content)
        return transcode(tmp_path / name, profile, tmp_path, ffmpeg_path)

    return run


def noise(length: int) -> bytes:
    """The same random bytes every time."""
    return random.Random(5).randbytes(length)


def packets(path: Path, kind: str) -> list[tuple[int, int]]:
    """Place and size of the packets of a kind of stream, in file order."""
    with av.open(os.fspath(path)) as container:
        return [(p.pos, p.size) for p in container.demux() if p.size and p.stream.type == kind and p.pos is not None]


def spoilt(path: Path, kind: str, numbers: range) -> bytes:
    """The file with noise in these packets, but for their first bytes."""
    content = bytearray(path.read_bytes())
    for place, size in packets(path, kind)[numbers.start : numbers.stop]:
        content[place + 5 : place + size] = noise(max(0, size - 5))
    return bytes(content)


# ---------------------------------------------------------------- other bytes in front


@pytest.mark.parametrize(
    ("name", "options"), [("a.avi", MPEG4), ("a.mkv", H264), ("b.mkv", MPEG4), ("a.flv", H264), ("a.wmv", WMV)]
)
def test_bytes_in_front_of_a_container_do_not_take_its_sound(
    clip: Clip, make: Make, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    """A demuxer of raw streams would find the pictures alone, or none of it would be found."""
    facts = make(name, bytes(1000) + clip(name, *options).read_bytes())
    assert "Its first 1,000 bytes are not part of its container" in " ".join(facts.notes)
    assert not facts.losses
    assert len(shown(tmp_path / "output.mp4")) == PICTURES
    with av.open(str(tmp_path / "output.mp4")) as container:
        assert len(container.streams.audio) == 1


def test_a_container_that_is_read_as_a_raw_stream_has_lost_the_rest(clip: Clip, make: Make) -> None:
    """An MP4 counts from its start, so bytes in front of it cannot be skipped."""
    whole = clip("a.mp4", *MPEG4[:4], "-bf", "0", *MPEG4[4:]).read_bytes()
    assert "read as a raw stream: other tracks are lost" in make("a.mp4", bytes(1000) + whole).losses


# ---------------------------------------------------------------- cut off


@pytest.mark.parametrize(
    ("name", "options", "seconds"),
    [
        ("front.mp4", (*H264, "-movflags", "+faststart"), True),
        ("front.mov", (*MPEG4[:6], "-c:a", "pcm_s16le", "-movflags", "+faststart"), True),
        ("fragments.mp4", (*H264, *FRAGMENTS), True),
        ("whole.mkv", H264, True),
        ("live.mkv", (*H264, "-live", "1"), False),
        ("whole.webm", VP9, True),
        ("a.avi", MPEG4, True),
        ("a.mxf", (*MPEG2[:6], "-c:a", "pcm_s16le"), True),
        ("a.wmv", WMV, False),
        ("a.flv", H264, False),
    ],
)
def test_what_is_there_of_a_file_that_is_cut_off_is_made(
    clip: Clip, make: Make, tmp_path: Path, name: str, options: tuple[str, ...], seconds: bool
) -> None:
    """All but the last pictures, and how much is missing is said; the whole file has no such note."""
    whole = clip(name, *options).read_bytes()
    cut = whole[: int(len(whole) * 0.75)]
    facts = make(name, cut)
    assert END_MISSING in facts.losses
    assert facts.notes[0].startswith("It is cut off: ")
    assert ("about 1." in facts.notes[0] or "about 0." in facts.notes[0]) == seconds
    assert abs(len(shown(tmp_path / "output.mp4")) - 0.75 * PICTURES) < 0.15 * PICTURES
    with pytest.raises(JobError) as caught:
        make(name, cut, REFUSING)
    assert caught.value.kind is FailureKind.BAD_INPUT
    assert str(caught.value).startswith("It is cut off: ")
    assert not make(name, whole, REFUSING).losses


def test_a_recording_that_ends_inside_the_header_of_a_fragment(clip: Clip, make: Make, tmp_path: Path) -> None:
    """ffmpeg does not open it as long as it may look ahead; everything before that fragment is there."""
    whole = clip("a.mp4", *H264, *FRAGMENTS).read_bytes()
    third = whole.index(b"moof", whole.index(b"moof", whole.index(b"moof") + 4) + 4)
    facts = make("a.mp4", whole[: third + 100])
    assert facts.losses == (END_MISSING,)
    assert len(shown(tmp_path / "output.mp4")) == 2 * RATE


def test_an_mp4_without_its_index_cannot_be_made(clip: Clip, make: Make) -> None:
    """Nothing in it tells where a picture begins."""
    whole = clip("a.mp4", *H264).read_bytes()
    with pytest.raises(InspectError, match="its index is missing"):
        make("a.mp4", whole[: len(whole) // 2])
    early = clip("front.mp4", *H264, "-movflags", "+faststart").read_bytes()
    with pytest.raises(JobError, match=r"holds no pictures\. It is cut off"):
        make("front.mp4", early[: early.index(b"mdat") + 100])


def test_an_avi_without_its_index_is_whole(clip: Clip, make: Make, tmp_path: Path) -> None:
    """Its pictures and sound lie before the index; where some of them are missing, it was cut off."""
    whole = clip("a.avi", *MPEG4).read_bytes()
    index = whole.rindex(b"idx1")
    facts = make("a.avi", whole[:index], REFUSING)
    assert facts.losses == ()
    assert "index at its end is missing" in facts.notes[0]
    assert len(shown(tmp_path / "output.mp4")) == PICTURES


def probed(path: Path, content: bytes) -> MediaInfo:
    """What inspecting says of these bytes."""
    path.write_bytes(content)
    return probe(os.fsencode(path), size_bytes=len(content))


def test_what_is_missing_is_told_in_bytes_and_seconds(clip: Clip, tmp_path: Path) -> None:
    """To the picture by the index of an MP4, by the share of bytes elsewhere; durations are of what is there."""
    whole = clip("front.mp4", *H264, "-movflags", "+faststart").read_bytes()
    cut = probed(tmp_path / "a.mp4", whole[: len(whole) // 2])
    assert cut.missing_bytes == len(whole) - len(whole) // 2
    assert f"{cut.missing_bytes:,} of {len(whole):,} bytes" in cut.notes[0].text
    assert cut.duration_seconds == pytest.approx(SECONDS / 2, abs=0.3)
    assert cut.video is not None
    assert cut.video.frames == pytest.approx(PICTURES / 2, abs=6)
    assert probed(tmp_path / "b.mp4", whole).missing_bytes == 0


# ---------------------------------------------------------------- damaged within


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", H264),
        ("hevc.mp4", HEVC),
        ("av1.mp4", AV1),
        ("mpeg4.avi", MPEG4),
        ("h264.mkv", H264),
        ("mpeg2.mkv", MPEG2),
        ("mpeg2.ts", MPEG2),
    ],
)
def test_pictures_that_are_broken_are_counted(clip: Clip, make: Make, name: str, options: tuple[str, ...]) -> None:
    """Ten of a hundred are noise: the film is made, and about as many are noted."""
    content = spoilt(clip(name, *options), "video", range(51, 61))
    facts = make(name, content)
    assert facts.losses == (BROKEN,)
    numbers = [int(word) for note in facts.notes for word in note.replace(",", " ").split() if word.isdigit()]
    assert 5 <= max(number for number in numbers if number < PICTURES - 20) <= 30, facts.notes
    with pytest.raises(JobError) as caught:
        make(name, content, REFUSING)
    assert caught.value.kind is FailureKind.BAD_INPUT
    assert "--retry-failed" in str(caught.value)


def test_sound_that_is_broken_is_counted(clip: Clip, make: Make) -> None:
    """Forty pieces of AAC are 0.85 s; the pictures are whole."""
    facts = make("a.mp4", spoilt(clip("a.mp4", *H264), "audio", range(60, 100)))
    assert facts.losses == (BROKEN,)
    assert facts.notes == ("Damaged or missing: at least 0.85 s of sound.",)


def test_a_bad_sector(clip: Clip, make: Make) -> None:
    """Noise across pictures and sound in the midst of the file."""
    content = bytearray(clip("a.mp4", *H264).read_bytes())
    content[len(content) // 2 : len(content) // 2 + 16384] = noise(16384)
    facts = make("a.mp4", bytes(content))
    assert facts.losses == (BROKEN,)
    assert "pictures" in " ".join(facts.notes)


def test_packets_of_a_transport_stream_that_were_lost(clip: Clip, make: Make) -> None:
    """Weak reception: one in fifty is missing."""
    content = clip("a.ts", *H264).read_bytes()
    chance = random.Random(5)
    kept = [
        content[place : place + 188]
        for place in range(0, len(content), 188)
        if place < 20 * 188 or chance.random() > 0.02
    ]
    facts = make("a.ts", b"".join(kept))
    assert BROKEN in facts.losses
    assert "Damaged or missing: at least " in facts.notes[0]


@pytest.mark.parametrize("name", ["a.mkv", "a.webm"])
def test_a_cluster_that_cannot_be_read_is_skipped(clip: Clip, make: Make, name: str) -> None:
    """Where its bytes are noise, the next is found; how many pictures are missing shows by the pause."""
    path = clip(name, *(H264 if name == "a.mkv" else VP9), "-cluster_time_limit", "1000")
    content = bytearray(path.read_bytes())
    cluster = b"\x1f\x43\xb6\x75"
    places = [at for at in range(len(content)) if content.startswith(cluster, at)]
    content[places[2] : places[2] + 3000] = noise(3000)
    facts = make(name, bytes(content))
    assert BROKEN in facts.losses
    assert "pictures (" in facts.notes[0]
    assert "s of sound" in facts.notes[0]


def test_most_of_the_pictures_are_broken(clip: Clip, make: Make, tmp_path: Path) -> None:
    """What little there is is made; ffmpeg by itself would fail."""
    facts = make("a.mp4", spoilt(clip("a.mp4", *H264), "video", range(10, PICTURES)))
    assert facts.losses == (BROKEN,)
    assert 10 <= len(shown(tmp_path / "output.mp4")) <= 30


def test_the_first_pictures_are_broken(clip: Clip, make: Make) -> None:
    """That is damage, unlike pictures that depend on some before the start of the file."""
    assert make("a.mp4", spoilt(clip("a.mp4", *H264), "video", range(10))).losses == (BROKEN,)


# ---------------------------------------------------------------- no damage


@pytest.mark.parametrize("options", [H264, HEVC, MPEG2], ids=["h264", "hevc", "mpeg2"])
def test_recordings_that_begin_anywhere_or_were_joined_are_not_damaged(
    clip: Clip, make: Make, options: tuple[str, ...]
) -> None:
    """Torn ends, a start in the midst of a group of pictures, and packets that do not follow each other at a join."""
    content = clip("a.ts", *options).read_bytes()
    packets = len(content) // 188
    begun = content[: 188 * 3] + content[188 * (packets * 2 // 5) :]
    assert not make("a.ts", begun, REFUSING).losses
    assert not make("a.ts", content[: 188 * (packets * 4 // 5)], REFUSING).losses
    joined = make("a.ts", content * 2, REFUSING)
    assert not [loss for loss in joined.losses if loss.startswith("damaged")]
