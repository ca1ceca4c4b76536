"""How audio tracks are encoded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pyprocessor.ffmpeg.invocation import MappedStream
from pyprocessor.inspect.contract import Action, StreamPlan
from pyprocessor.models import AudioInfo, AudioSettings, MediaNote, StreamInfo, StreamKind
from pyprocessor.recipes.audio import audio_stream, sound, target_bit_rate

ENCODE = StreamPlan(1, StreamKind.AUDIO, Action.ENCODE, "aac")


def track(channels: int, layout: str | None = None, bit_rate: int | None = None) -> StreamInfo:
    """An audio track with that many channels."""
    return StreamInfo(1, StreamKind.AUDIO, "ac3", bit_rate=bit_rate, audio=AudioInfo(48000, channels, layout))


def encoded(
    encoder: str, channels: int, layout: str | None = None, *, container: str = "mkv", most: int | None = None
) -> tuple[MappedStream, tuple[MediaNote, ...]]:
    """The stream that a profile with `encoder` and at most `most` channels makes of a track, and its notes."""
    settings = AudioSettings(encoder=encoder, channels=most)
    return audio_stream(settings, container, track(channels, layout), ENCODE)


def pan(made: MappedStream) -> str:
    """What the filter that moves channels is told."""
    return next(dict(step.options)["args"] for step in made.filters if step.name == "pan")


@pytest.mark.parametrize(
    ("encoder", "channels", "expected"),
    [("aac", 2, 160_000), ("aac", 1, 100_000), ("aac", 6, 480_000), ("libopus", 8, 640_000), ("flac", 2, None)],
)
def test_bit_rate_grows_with_channels(encoder: str, channels: int, expected: int | None) -> None:
    """The profile's rate is for stereo; lossless encoders get none."""
    assert target_bit_rate(AudioSettings(encoder=encoder, bitrate=160_000), track(channels), channels) == expected


@pytest.mark.parametrize(
    ("source", "expected"), [(None, 192_000), (130_000, 128_000), (300_000, 192_000), (64_000, 96_000)]
)
def test_of_a_list_the_highest_that_does_not_exceed_the_source(source: int | None, expected: int) -> None:
    """A thin source is not blown up beyond the lowest entry."""
    settings = AudioSettings(bitrates=(192_000, 128_000, 96_000))
    assert target_bit_rate(settings, track(2, bit_rate=source), 2) == expected


def test_without_a_rate_the_encoder_decides() -> None:
    """No rate in the profile, none on the command line."""
    assert target_bit_rate(AudioSettings(), track(2), 2) is None


def test_channels_are_never_more_than_the_profile_or_the_encoder_takes() -> None:
    """A profile of stereo leaves mono mono; encoders with few channels mix down."""
    assert sound(AudioSettings(channels=2), "mp4", AudioInfo(48000, 1, "mono")).channels == 1
    assert sound(AudioSettings(channels=2), "mp4", AudioInfo(48000, 6, "5.1")).channels == 2
    assert sound(AudioSettings(encoder="libmp3lame"), "mp3", AudioInfo(48000, 6, "5.1")).channels == 2
    assert sound(AudioSettings(), "mp4", AudioInfo(48000, 16)).channels == 8


def test_opus_gets_a_layout_it_takes() -> None:
    """5.1 with side speakers, as AC-3 has it, is refused by Opus otherwise; players make no difference, so no note."""
    made, notes = encoded("libopus", 6, "5.1(side)")
    assert (made.filters[0].name, made.filters[0].options) == ("aformat", (("channel_layouts", "5.1"),))
    assert ("mapping_family", "1") in made.options
    assert notes == ()


def test_stereo_keeps_its_layout_and_gets_its_gaps_filled() -> None:
    """The ordinary case has no filter but the one that puts silence where samples are missing."""
    made, _ = encoded("aac", 2, "stereo")
    assert [(f.name, f.options) for f in made.filters] == [("aresample", (("async", "1"), ("min_hard_comp", "0.04")))]


def test_channels_without_names_get_the_usual_ones_and_a_note() -> None:
    """Mono and stereo go without saying."""
    assert encoded("aac", 2) == encoded("aac", 2, "stereo")
    made, notes = encoded("aac", 6)
    assert pan(made).startswith("5.1|FL=1*c0|")
    assert ["taken for 5.1" in note.text for note in notes] == [True]


def test_many_channels_without_names_keep_the_first() -> None:
    """What nobody named cannot be mixed by meaning; Opus and PCM take them as they are."""
    made, notes = encoded("aac", 16)
    assert made.filters[0].name == "pan"
    assert "first 8" in notes[0].text
    assert notes[0].loss
    opus, told = encoded("libopus", 16)
    assert ("mapping_family", "255") in opus.options
    assert told == ()
    assert encoded("pcm_s16le", 16)[1] == ()


def test_a_mix_is_told_unless_the_profile_asks_for_it() -> None:
    """What the user asked for needs no note; what the encoder forces does."""
    _, notes = encoded("ac3", 8, "7.1")
    assert [note.loss for note in notes] == ["sound mixed to fewer channels (ac3)"]
    assert encoded("ac3", 8, "7.1", most=2)[1] == ()
    assert "low-frequency" in encoded("libmp3lame", 3, "2.1")[1][0].text


def test_mixes_into_whole_numbers_do_not_clip() -> None:
    """The loudest row of gains adds up to full scale for PCM; the lossy encoders take sums above it."""
    assert pan(encoded("pcm_s16le", 3, "3.0", most=2)[0]) == "stereo|FL=0.5858*c0+0.4142*c2|FR=0.5858*c1+0.4142*c2"


def test_ambisonic_sound() -> None:
    """Opus keeps it as such; elsewhere two cardioids make stereo of it, and a note says so."""
    kept, told = encoded("libopus", 9, "ambisonic 2")
    assert ("mapping_family", "2") in kept.options
    assert told == ()
    made, notes = encoded("aac", 4, "ambisonic 1")
    assert pan(made) == "stereo|FL=0.5*c0+0.5*c1|FR=0.5*c0-0.5*c1"
    assert notes[0].loss == "ambisonic sound mixed to stereo (aac)"
    both, _ = encoded("aac", 6, "ambisonic 1+stereo")
    assert pan(both).endswith("FR=0.5*c0-0.5*c1+c5")
    assert pan(encoded("aac", 4, "ambisonic 1", most=1)[0]) == "mono|FC=c0"


def test_a_layout_that_changes_midway_comes_out_as_the_widest() -> None:
    """ffmpeg would go on with that of the start."""
    changing = replace(track(2, "stereo"), audio=AudioInfo(48000, 2, "stereo", varies=True))
    made, _ = audio_stream(AudioSettings(), "mp4", changing, ENCODE)
    assert made.filters[0].options == (("channel_layouts", "stereo"),)


def test_copy_has_no_settings() -> None:
    """A copied track is mapped and nothing more."""
    plan = StreamPlan(1, StreamKind.AUDIO, Action.COPY, "copy")
    made, notes = audio_stream(AudioSettings(bitrate=1), "mp4", track(2), plan)
    assert (made.encoder, made.options, made.filters, notes) == ("copy", (), (), ())
