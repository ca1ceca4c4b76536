"""PREPROCESS and TRANSCRIBE on real files: times, loudness, products, references, and what cannot be done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.speech.wav import stands_at
from tests.integration import tiny_whisper, voices
from tests.integration.tasked import Tasked, tasked
from tests.waiting import DEADLINE_SECONDS

BEEPS = "aevalsrc='0.3*sin(2*PI*440*t)*between(mod(t,10),4,5)':s=48000:d={}"
"""Sound of which one second of ten, from the fourth on, is a tone."""
SPHINX = {"backend": "pocketsphinx"}


@pytest.fixture
def do(tmp_path: Path, ffmpeg_path: str) -> Callable[..., Tasked]:
    """Do a job of a task on one file, in a folder of its own each time."""

    def done(name: str, path: Path, **params: Any) -> Tasked:
        folder = tmp_path / f"work-{len(list(tmp_path.glob('work-*')))}"
        return tasked(name, params, path, folder, ffmpeg_path)

    return done


@pytest.fixture
def late_sound(ffmpeg: Callable[..., None], tmp_path: Path) -> Path:
    """A film of 12 s, whose sound begins two seconds after its pictures and beeps two seconds later still."""
    path = tmp_path / "late.mkv"
    sound = ("-itsoffset", "2", "-f", "lavfi", "-i", BEEPS.format(10).replace("4,5", "2,3"))
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=12", *sound, "-c:v", "libx264", "-c:a", "flac", path
    )
    return path


def loudness_of(path: Path, ffmpeg_path: str) -> float:
    """LUFS, by another filter than the one that set it."""
    command = [ffmpeg_path, "-nostdin", "-hide_banner", "-i", path, "-af", "ebur128=framelog=quiet", "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True)
    return float(done.stderr.rpartition("I:")[2].split()[0])


def loud_at(path: Path) -> list[float]:
    """When the sound of a WAV becomes loud, to a tenth of a second."""
    with wave.open(str(path)) as file:
        rate, samples = file.getframerate(), memoryview(file.readframes(file.getnframes())).cast("h")
    step = rate // 10
    loud = [max(map(abs, samples[at : at + step])) > 300 for at in range(0, len(samples) - step, step)]
    return [number / 10 for number, now in enumerate(loud) if now and not (number and loud[number - 1])]


# ---------------------------------------------------------------- preprocess


def test_sound_gets_the_format_and_loudness_for_transcription(
    do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path, ffmpeg_path: str
) -> None:
    """16 kHz, mono, 16 bits, within half a unit of what was asked for, of stereo that is far softer."""
    ffmpeg("-f", "lavfi", "-i", "sine=f=500:d=20,volume=-20dB,aformat=cl=stereo", tmp_path / "soft.flac")
    made = do("preprocess", tmp_path / "soft.flac", loudness=-20.0)
    assert made.result["loudness_before"] < -30
    assert loudness_of(made.made["main"], ffmpeg_path) == pytest.approx(-20, abs=0.5)
    with wave.open(str(made.made["main"])) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.getnframes() / 16_000 == pytest.approx(20, abs=0.05)


def test_trimmed_silence_keeps_the_times_of_the_source(do: Callable[..., Tasked], late_sound: Path) -> None:
    """The sound begins two seconds late and beeps at 4 s; what was cut off is told and stands in the file."""
    made = do("preprocess", late_sound)
    trimmed = made.result["trimmed_start_seconds"]
    assert trimmed == pytest.approx(3.75, abs=0.1)
    assert stands_at(os.fsencode(made.made["main"])) == pytest.approx(trimmed, abs=0.01)
    assert loud_at(made.made["main"]) == [pytest.approx(4.0 - trimmed, abs=0.11)]
    assert made.result["duration_seconds"] + trimmed + made.result["trimmed_end_seconds"] == pytest.approx(12, abs=0.1)
    whole = do("preprocess", late_sound, trim_silence=False)
    assert loud_at(whole.made["main"]) == [pytest.approx(4.0, abs=0.11)]


def test_silence_is_kept_and_told(do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    """It has no loudness that could be set."""
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-t", "3", tmp_path / "silent.wav")
    made = do("preprocess", tmp_path / "silent.wav")
    assert (made.result["loudness_before"], made.result["warnings"]) == (None, ["It is silent."])
    assert made.result["duration_seconds"] == 3.0


def test_a_proxy_is_a_small_film(do: Callable[..., Tasked], late_sound: Path) -> None:
    """H.264 of the height asked for, verified like any transcode."""
    made = do("preprocess", late_sound, kind="proxy", height=64)
    assert made.plan.products[0].name == b"late.proxy.mp4"
    with av.open(str(made.made["main"])) as film:
        assert (film.streams.video[0].codec_context.name, film.streams.video[0].height) == ("h264", 64)
        assert film.streams.audio[0].codec_context.name == "aac"
    assert made.done.facts is not None
    assert made.done.facts.frames == 120


@pytest.mark.parametrize(
    ("name", "codecs", "container"),
    [("a.ts", ("libx264", "aac"), b"mp4"), ("a.avi", ("mpeg4", "mp3"), b"mp4"), ("a.mkv", ("ffv1", "flac"), b"mkv")],
)
def test_a_download_is_copied_to_a_clean_container(
    do: Callable[..., Tasked], make_clip: Callable[..., Path], tmp_path: Path, name: str, codecs: Any, container: bytes
) -> None:
    """Packet by packet as they are, compared with the source."""
    source = make_clip(tmp_path / name, video=codecs[0], audio=codecs[1], seconds=2.0)
    made = do("preprocess", source, kind="remux")
    assert made.plan.products[0].name == b"a.clean." + container

    def packets(path: Path) -> list[int]:
        with av.open(str(path)) as film:
            return [hash(bytes(packet)) for packet in film.demux(video=0) if packet.size]

    assert len(packets(made.made["main"])) == len(packets(source)) == 50
    if container == b"mkv":
        assert packets(made.made["main"]) == packets(source)


@pytest.mark.parametrize(("kind", "said"), [("audio", "The file has no sound."), ("proxy", "The file has no film to")])
def test_what_is_missing_is_a_sentence(
    do: Callable[..., Tasked], make_clip: Callable[..., Path], tmp_path: Path, kind: str, said: str
) -> None:
    """Found when the job is inspected."""
    video, audio = (None, "flac") if kind == "proxy" else ("libx264", None)
    with pytest.raises(JobError, match=said) as raised:
        do("preprocess", make_clip(tmp_path / "a.mkv", video=video, audio=audio), kind=kind)
    assert raised.value.kind is FailureKind.BAD_INPUT


# ---------------------------------------------------------------- transcribe


def test_tones_are_no_words(do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    """The transcript is empty and says so, in every format."""
    ffmpeg("-f", "lavfi", "-i", BEEPS.format(20), tmp_path / "tones.wav")
    made = do("transcribe", tmp_path / "tones.wav", **SPHINX)
    assert made.result["text"] == ""
    assert made.result["warnings"][0] == "No words were recognized."
    assert made.made["main"].read_text() == "\n"
    assert made.made["srt"].read_text() == ""
    assert json.loads(made.made["json"].read_text())["segments"] == []


def test_pieces_have_the_times_of_the_recording(
    do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """Each is a call of its own to the same process, which holds the model."""
    model = tiny_whisper.make(tmp_path / "model")
    voice_file(tmp_path / "voice.wav", ffmpeg, seconds=70)
    made = do("transcribe", tmp_path / "voice.wav", backend="faster-whisper", model=str(model), chunk_size=30)
    assert len(made.calls) == made.plan.requests == 3
    assert len({call.affinity for call in made.calls}) == 1
    assert [call.last for call in made.calls] == [False, False, True]
    starts = [one["start"] for one in json.loads(made.made["json"].read_text())["segments"]]
    assert starts == sorted(starts)
    assert [sum(low <= start < low + 25 for start in starts) > 0 for low in (0, 25, 45)] == [True] * 3
    assert max(starts) > 60


def test_a_trimmed_file_has_the_times_of_its_source(
    do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """Eight seconds of silence were cut off before the voice; the transcript counts them."""
    model = tiny_whisper.make(tmp_path / "model")
    voice_file(tmp_path / "voice.wav", ffmpeg, seconds=5, delay=8)
    sound = do("preprocess", tmp_path / "voice.wav")
    assert sound.result["trimmed_start_seconds"] > 7
    made = do("transcribe", sound.made["main"], backend="faster-whisper", model=str(model))
    assert 7.0 < json.loads(made.made["json"].read_text())["segments"][0]["start"] < 9.0


def test_accuracy_is_told_where_a_reference_lies_beside_the_file(
    do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """A text of the same name with `.ref.txt`."""
    model = tiny_whisper.make(tmp_path / "model")
    voice_file(tmp_path / "voice.wav", ffmpeg, seconds=2)
    (tmp_path / "voice.ref.txt").write_text("Hello -- there, old World!")
    made = do("transcribe", tmp_path / "voice.wav", backend="faster-whisper", model=str(model), formats=["srt"])
    assert made.result["quality"]["accuracy"] == 75.0
    assert made.result["quality"]["confidence"] > 0.9
    assert made.result["quality"]["real_time_factor"] > 0
    assert "hello there world" in made.made["main"].read_text()


def test_a_damaged_recording_is_transcribed_with_a_warning(
    do: Callable[..., Tasked], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """As much as is there."""
    clip = make_clip(tmp_path / "a.wav", video=None, audio="pcm_s16le", seconds=4.0)
    clip.write_bytes(clip.read_bytes()[:200_000])
    made = do("transcribe", clip, **SPHINX)
    assert made.result["duration_seconds"] == pytest.approx(2.08, abs=0.05)
    assert len(made.result["warnings"]) >= 2


@pytest.mark.parametrize(
    ("params", "kind", "said"),
    [
        ({**SPHINX, "language": "de"}, FailureKind.UNSUPPORTED, "pocketsphinx recognizes English alone"),
        ({"backend": "faster-whisper", "model": "/nowhere"}, FailureKind.BAD_INPUT, "/nowhere is no folder of a model"),
    ],
)
def test_a_back_end_that_cannot_says_why(
    do: Callable[..., Tasked], make_clip: Callable[..., Path], tmp_path: Path, params: Any, kind: Any, said: str
) -> None:
    """By a kind that is not tried again."""
    with pytest.raises(JobError, match=said) as raised:
        do("transcribe", make_clip(tmp_path / "a.wav", video=None, audio="pcm_s16le"), **params)
    assert raised.value.kind is kind


def test_a_film_without_sound_cannot_be_transcribed(
    do: Callable[..., Tasked], make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """It is bad input."""
    with pytest.raises(JobError, match=r"The file has no sound\."):
        do("transcribe", make_clip(tmp_path / "a.mp4", audio=None), **SPHINX)


@pytest.mark.parametrize("task", ["transcribe", "preprocess"])
def test_a_track_without_sound_is_no_matter_of_profiles(do: Callable[..., Tasked], tmp_path: Path, task: str) -> None:
    """A WAV whose data are empty: what is said is about the file."""
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    with pytest.raises(JobError, match=r"^Nothing of the file's sound can be decoded\.$"):
        do(task, tmp_path / "a.wav", **(SPHINX if task == "transcribe" else {}))


@pytest.mark.parametrize(
    ("backend", "library"),
    [("pocketsphinx", "pocketsphinx"), ("faster-whisper", "faster_whisper"), ("openai", "httpx")],
)
def test_a_missing_library_is_named_with_its_extra(
    do: Callable[..., Tasked],
    make_clip: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    library: str,
) -> None:
    """Before anything is decoded."""
    monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
    with pytest.raises(JobError, match=rf"which is not installed; pip install 'pyprocessor\[{backend}\]'\.") as raised:
        do("transcribe", make_clip(tmp_path / "a.wav", video=None, audio="pcm_s16le"), backend=backend)
    assert raised.value.kind is FailureKind.NOT_INSTALLED


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_made_speech_is_recognized(do: Callable[..., Tasked], tmp_path: Path) -> None:
    """By pocketsphinx, roughly, with times and the reference beside it."""
    text = "go forward ten meters"
    command = ["espeak-ng", "-v", "en-us", "-s", "120", "-w", str(tmp_path / "said.wav"), text]
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)
    (tmp_path / "said.ref.txt").write_text(text)
    made = do("transcribe", tmp_path / "said.wav", **SPHINX)
    assert made.result["quality"]["accuracy"] >= 50
    assert made.result["language"] == "en"


@pytest.mark.media
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("goforward.wav", "go forward ten meters"),
        ("cards-001.wav", "ten of clubs"),
        ("cards-003.wav", "seven of clubs"),
    ],
)
def test_real_speech_is_recognized(do: Callable[..., Tasked], media_folder: Path, name: str, said: str) -> None:
    """Word for word where that is what pocketsphinx is trained for."""
    made = do("transcribe", media_folder.parent / "speech" / name, **SPHINX)
    assert made.result["text"] == said


def voice_file(path: Path, ffmpeg: Callable[..., None], *, seconds: float, delay: float = 0.0) -> None:
    """A file that a detector of speech takes for speech."""
    once = path.with_name("once.wav")
    voices.write(once, voices.voice(5.0))
    filters = f"aloop=-1:80000,atrim=end={seconds},adelay={delay * 1000:g}:all=1"
    ffmpeg("-i", once, "-af", filters, path)
