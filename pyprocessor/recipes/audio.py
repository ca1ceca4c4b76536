"""How one audio track is encoded: bit rate by channels, and layouts and sample rates that the encoder takes."""

from __future__ import annotations

from pyprocessor.ffmpeg.invocation import Filter, MappedStream, Options
from pyprocessor.inspect.contract import Action, StreamPlan
from pyprocessor.models import AudioInfo, AudioSettings, StreamInfo

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""The layout, by channels, that AAC and Opus both take; `5.1(side)` for one is refused by Opus."""
_FREE_LAYOUT_PREFIXES = ("pcm_", "flac", "alac")
"""Lossless encoders take the channels as they are."""
_MOST_CHANNELS = {"libmp3lame": 2, "mp2": 2, "libtwolame": 2, "ac3": 6, "eac3": 6, "libvorbis": 8}
_CHANNELS_LIMIT = 8
_LOSSLESS = ("pcm_", "flac", "alac", "wavpack")
_BITRATE_LIMITS = {"libopus": (6_000, 256_000), "aac": (8_000, 288_000), "libmp3lame": (8_000, 160_000)}
"""Bits per second for each channel, lowest and highest that the encoder takes at every sample rate in use."""
_UNLIMITED = (8_000, 320_000)
_GAPS_FILLED = Filter("aresample", options=(("async", "1"),))
"""Where time stamps leave a gap of 0.1 s or more, silence fills it, and what overlaps is cut; else no sample changes.

Without it a gap becomes one frame that lasts long, and players that count samples run out of step with the picture.
"""


def audio_stream(settings: AudioSettings, stream: StreamInfo, plan: StreamPlan) -> MappedStream:
    """The output stream that `plan` makes of an audio track."""
    source = (0, stream.index)
    if plan.action is Action.COPY or stream.audio is None:
        return MappedStream(source, "a", "copy")
    channels = output_channels(settings, stream.audio)
    options: list[tuple[str, str]] = []
    rate = target_bit_rate(settings, stream, channels)
    if rate is not None:
        options.append(("b", str(rate)))
    if settings.sample_rate is not None:
        options.append(("ar", str(settings.sample_rate)))
    return MappedStream(
        source,
        "a",
        settings.encoder,
        filters=(*_layout_filters(settings.encoder, stream.audio, channels), _GAPS_FILLED),
        options=(*options, *_layout_options(settings.encoder, channels)),
    )


def output_channels(settings: AudioSettings, audio: AudioInfo) -> int:
    """How many channels come out: never more than go in, than the profile wants, or than the encoder takes."""
    most = _MOST_CHANNELS.get(settings.encoder, _CHANNELS_LIMIT)
    return min(audio.channels, most, settings.channels or most)


def target_bit_rate(settings: AudioSettings, stream: StreamInfo, channels: int) -> int | None:
    """Bits per second, or None for what is the encoder's own choice.

    `bitrate` is for stereo and grows with the channels. Of a list, the highest that does not exceed the source's rate
    is taken, or else the lowest.
    """
    if settings.encoder.startswith(_LOSSLESS):
        return None
    if settings.bitrate is not None:
        wanted = settings.bitrate * max(1, channels) // 2 if channels != 1 else settings.bitrate * 5 // 8
    elif settings.bitrates:
        source = stream.bit_rate
        within = [rate for rate in settings.bitrates if source is None or rate <= source]
        wanted = max(within) if within else min(settings.bitrates)
    else:
        return None
    least, most = _BITRATE_LIMITS.get(settings.encoder, _UNLIMITED)
    return max(least * channels, min(most * channels, wanted))


def _layout_filters(encoder: str, audio: AudioInfo, channels: int) -> tuple[Filter, ...]:
    if channels == audio.channels and (encoder.startswith(_FREE_LAYOUT_PREFIXES) or channels <= 2):
        return ()
    if audio.layout is None and audio.channels > _CHANNELS_LIMIT:
        # Channels nobody named cannot be mixed down; the first ones of a recording are its main ones.
        kept = "|".join(f"c{number}=c{number}" for number in range(channels))
        return (Filter("pan", options=(("args", f"{_LAYOUTS[channels]}|{kept}"),)),)
    return (Filter("aformat", options=(("channel_layouts", _LAYOUTS[channels]),)),)


def _layout_options(encoder: str, channels: int) -> Options:
    return (("mapping_family", "1"),) if encoder == "libopus" and channels > 2 else ()
