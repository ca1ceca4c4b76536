"""How audio tracks are encoded."""

from __future__ import annotations

import pytest

from pyprocessor.inspect.contract import Action, StreamPlan
from pyprocessor.models import AudioInfo, AudioSettings, StreamInfo, StreamKind
from pyprocessor.recipes.audio import audio_stream, output_channels, target_bit_rate

ENCODE = StreamPlan(1, StreamKind.AUDIO, Action.ENCODE, "aac")


def track(channels: int, layout: str | None = None, bit_rate: int | None = None) -> StreamInfo:
    """An audio track with that many channels."""
    return StreamInfo(1, StreamKind.AUDIO, "ac3", bit_rate=bit_rate, audio=AudioInfo(48000, channels, layout))


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


def test_channels_are_never_added() -> None:
    """A profile of stereo leaves mono mono; encoders with few channels mix down."""
    assert output_channels(AudioSettings(channels=2), AudioInfo(48000, 1)) == 1
    assert output_channels(AudioSettings(channels=2), AudioInfo(48000, 6)) == 2
    assert output_channels(AudioSettings(encoder="libmp3lame"), AudioInfo(48000, 6)) == 2
    assert output_channels(AudioSettings(), AudioInfo(48000, 16)) == 8


def test_opus_gets_a_layout_it_takes() -> None:
    """5.1 with side speakers, as AC-3 has it, is refused by Opus otherwise."""
    made = audio_stream(AudioSettings(encoder="libopus"), track(6, "5.1(side)"), ENCODE)
    assert (made.filters[0].name, made.filters[0].options) == ("aformat", (("channel_layouts", "5.1"),))
    assert ("mapping_family", "1") in made.options


def test_stereo_keeps_its_layout_and_gets_its_gaps_filled() -> None:
    """The ordinary case has no filter but the one that puts silence where samples are missing."""
    made = audio_stream(AudioSettings(), track(2, "stereo"), ENCODE)
    assert [(f.name, f.options) for f in made.filters] == [("aresample", (("async", "1"),))]


def test_many_channels_without_names_keep_the_first() -> None:
    """What nobody named cannot be mixed down by meaning."""
    made = audio_stream(AudioSettings(), track(16), ENCODE)
    assert made.filters[0].name == "pan"


def test_copy_has_no_settings() -> None:
    """A copied track is mapped and nothing more."""
    made = audio_stream(AudioSettings(bitrate=1), track(2), StreamPlan(1, StreamKind.AUDIO, Action.COPY, "copy"))
    assert (made.encoder, made.options, made.filters) == ("copy", (), ())
