"""Sound of every layout comes out with all its channels, or a note says what became of them."""

from __future__ import annotations

import array
import math
import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.probe import probe
from pyprocessor.models import AudioInfo, AudioSettings, MediaNote, Profile, Source
from pyprocessor.recipes.layouts import LAYOUTS, named_channels
from pyprocessor.recipes.transcode import recipe

RATE = 8000
"""Samples a second at which outputs are listened to."""
BASS = {"LFE": 60.0, "LFE2": 100.0}

ENCODERS = [
    ("aac", "mp4"),
    ("libopus", "mkv"),
    ("libmp3lame", "mp3"),
    ("ac3", "mkv"),
    ("flac", "flac"),
    ("pcm_s16le", "mkv"),
    ("libvorbis", "ogg"),
]
SOURCES = [
    *("stereo", "2.1", "4.0", "5.1(side)", "6.0(front)", "hexagonal", "7.1", "cube"),
    *("downmix", "SL+SR", "BC", "FL+FR+BC+LFE", "6 channels", "16 channels", "ambisonic 1"),
]


def channels_of(layout: str) -> tuple[str, ...]:
    """The channels' names; those that have none are numbered."""
    if layout.startswith("ambisonic"):
        return tuple(f"ambisonic {number}" for number in range((int(layout[-1]) + 1) ** 2))
    if layout.endswith("channels"):
        count = int(layout.split()[0])
        return tuple("LFE" if (count, number) == (6, 3) else f"unnamed {number}" for number in range(count))
    return LAYOUTS.get(layout) or tuple(layout.split("+"))


@cache
def tones(layout: str) -> tuple[float, ...]:
    """One frequency for each channel, far enough apart to be told from each other in a tenth of a second."""
    return tuple(BASS.get(name, 300.0 + 100 * number) for number, name in enumerate(channels_of(layout)))


@pytest.fixture(scope="session")
def make_sound(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory):
    """A function that makes a clip with sound in a layout, once."""
    folder = tmp_path_factory.mktemp("layouts")

    @cache
    def make(layout: str) -> Path:
        waves = tones(layout)
        samples = array.array("h")
        for moment in range(int(48000 * 0.3)):
            samples.extend(round(8000 * math.sin(2 * math.pi * wave * moment / 48000)) for wave in waves)
        ambisonic = layout.startswith("ambisonic")
        path = folder / f"{len(list(folder.iterdir()))}.{'webm' if ambisonic else 'mov'}"
        codec = ("libopus", "-mapping_family", "2") if ambisonic else ("pcm_s16le",)
        subprocess.run(
            [
                *(ffmpeg_path, "-v", "error", "-f", "s16le", "-ar", "48000", "-ch_layout", layout, "-i", "pipe:0"),
                *("-c:a", *codec, str(path)),
            ],
            input=samples.tobytes(),
            check=True,
        )
        return path

    return make


def convert(path: Path, encoder: str, container: str, ffmpeg_path: str, folder: Path) -> tuple[Path, list[MediaNote]]:
    """The output of a profile with that encoder, and its notes."""
    settings = AudioSettings(encoder=encoder, bitrate=256_000)
    profile = Profile("sound", "f", container=container, extension=container, video=None, audio=settings)
    media = probe(os.fsencode(path), size_bytes=path.stat().st_size)
    source = Source(os.fsencode(path), os.fsencode(path.name), path.stat().st_size, 0)
    made = recipe(profile, media, contract(profile, media), source, threads=1, output_name=f"out.{container}")
    command = argv(made.invocation, ffmpeg_path)
    done = subprocess.run(command, cwd=folder, env=environment(os.environ), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return folder / f"out.{container}", list(made.notes)


def heard(path: Path, ffmpeg_path: str, waves: tuple[float, ...]) -> list[set[int]]:
    """For each channel of the file, the numbers of the tones in it."""
    channels = described(path).channels
    command = [ffmpeg_path, "-v", "error", "-i", str(path), "-af", f"aresample={RATE}", "-f", "s16le", "pipe:1"]
    samples = array.array("h", subprocess.run(command, capture_output=True, check=True).stdout)
    tenth = RATE // 10
    found = []
    for channel in range(channels):
        track = samples[channel::channels][tenth : 2 * tenth]
        found.append({number for number, wave in enumerate(waves) if _amplitude(track, wave) > 1000})
    return found


def _amplitude(samples: array.array[int], wave: float) -> float:
    turns = [2 * math.pi * wave * number / RATE for number in range(len(samples))]
    real = sum(sample * math.cos(turn) for sample, turn in zip(samples, turns, strict=True))
    other = sum(sample * math.sin(turn) for sample, turn in zip(samples, turns, strict=True))
    return 2 * math.hypot(real, other) / len(samples)


def described(path: Path) -> AudioInfo:
    """What the file says of its sound."""
    audio = probe(os.fsencode(path), size_bytes=path.stat().st_size).audio[0].audio
    assert audio is not None
    return audio


@pytest.mark.parametrize(("encoder", "container"), ENCODERS, ids=lambda value: str(value))
@pytest.mark.parametrize("layout", SOURCES)
def test_every_channel_is_heard_or_a_note_says_why_not(
    make_sound, ffmpeg_path, tmp_path, layout: str, encoder: str, container: str
) -> None:
    """Each tone comes out alone, in the channel of its name, unless a note tells of another name or of a mix."""
    output, notes = convert(make_sound(layout), encoder, container, ffmpeg_path, tmp_path)
    places = heard(output, ffmpeg_path, tones(layout))
    if not any(note.loss for note in notes):
        assert sorted(number for place in places for number in place) == list(range(len(tones(layout))))
        assert all(len(place) <= 1 for place in places)
    if not notes and "+" not in layout and layout in LAYOUTS:
        audio = described(output)
        names = named_channels(audio.layout, audio.channels)  # Matroska names none of PCM
        for name, place in zip(names, places, strict=True) if names is not None else ():
            for number in place:
                assert channels_of(layout)[number].replace("S", "B") == name.replace("S", "B")


def test_layouts_in_an_order_of_their_own_do_not_end_inspecting(make_sound) -> None:
    """PyAV frees the list of their channels twice, which ends the process, unless it is kept from it."""
    path = make_sound("FL+FR+BC+LFE")
    for _ in range(20):
        assert described(path).layout == "4 channels (FL+FR+BC+LFE)"
