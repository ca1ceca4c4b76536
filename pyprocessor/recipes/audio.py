"""How is one audio track encoded? Its bit rate by channels, and what becomes of its channels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyprocessor.ffmpeg.invocation import Filter, MappedStream, Options
from pyprocessor.inspect.contract import Action, StreamPlan
from pyprocessor.models import AudioInfo, AudioSettings, MediaNote, StreamInfo
from pyprocessor.models.encoders import audio_encoder
from pyprocessor.recipes.layouts import (
    LAYOUTS,
    UNNAMED,
    Channels,
    Placement,
    layout_name,
    named_channels,
    offered,
    place,
)

_LEAST_GAP_SECONDS = 0.04
"""ffmpeg by itself fills 0.1 s and more; fragmented MP4 without edit lists has a smaller gap behind its first packet.
Less than two packets is jitter."""
_MOST_JITTER_SECONDS = 0.25
"""Larger gaps are filled even where time stamps jitter."""
_ORDINALS = ("first", "second", "third", "fourth")


@dataclass(frozen=True, slots=True)
class Sound:
    """An output track's channels: how many hold sound, and the filters and options that make them."""

    channels: int
    filters: tuple[Filter, ...] = ()
    options: Options = ()
    notes: tuple[MediaNote, ...] = ()


def audio_stream(
    settings: AudioSettings, container: str, stream: StreamInfo, plan: StreamPlan
) -> tuple[MappedStream, tuple[MediaNote, ...]]:
    """The output stream that `plan` makes of an audio track, and notes for the user."""
    source = (0, stream.index)
    if plan.action is Action.COPY or stream.audio is None:
        return MappedStream(source, "a", "copy"), ()
    made = sound(settings, container, stream.audio)
    asked = (("b", target_bit_rate(settings, stream, made.channels)), ("ar", settings.sample_rate))
    options = (*((name, str(value)) for name, value in asked if value is not None), *made.options)
    filters = (*made.filters, _gaps_filled(stream.audio.jitter_seconds))
    return MappedStream(source, "a", settings.encoder, filters, options), made.notes


def _gaps_filled(jitter_seconds: float) -> Filter:
    """The filter that fills gaps between time stamps with silence and cuts overlaps."""
    # Of packets that jitter the first may be early and another one late by as much.
    least = min(_MOST_JITTER_SECONDS, max(_LEAST_GAP_SECONDS, 2 * jitter_seconds + 0.005))
    return Filter("aresample", (("async", "1"), ("min_hard_comp", f"{least:.4g}")))


def target_bit_rate(settings: AudioSettings, stream: StreamInfo, channels: int) -> int | None:
    """Bits per second: by the channels, or the highest listed within the source's, if any is asked for."""
    encoder = audio_encoder(settings.encoder)
    if encoder.lossless or (settings.bitrate is None and not settings.bitrates):
        return None
    if settings.bitrate is not None:
        wanted = settings.bitrate * max(1, channels) // 2 if channels != 1 else settings.bitrate * 5 // 8
    else:
        within = [rate for rate in settings.bitrates if stream.bit_rate is None or rate <= stream.bit_rate]
        wanted = max(within, default=min(settings.bitrates))
    least, most = encoder.bitrate_limits
    return max(least * channels, min(most * channels, wanted))


def sound(settings: AudioSettings, container: str, audio: AudioInfo) -> Sound:
    """What becomes of a track's channels: kept where the encoder takes them, else in the nearest layout."""
    order = _ambisonic_order(audio)
    if order is not None:
        return _ambisonic(settings, container, audio, order)
    names = named_channels(audio.layout, audio.channels)
    if names is not None:
        return _in_layout(settings, container, audio, names)
    if audio.channels <= 2 and (settings.channels or 2) >= audio.channels:
        return Sound(audio.channels)
    encoder = audio_encoder(settings.encoder)
    usual = UNNAMED.get(audio.channels)
    # Up to eight channels get their usual names, since players would give them others; but not in PCM.
    if audio.channels <= min(encoder.unnamed_channels, settings.channels or audio.channels) and (
        usual is None or encoder.codec == "pcm"
    ):
        return Sound(audio.channels, options=(("mapping_family", "255"),) if settings.encoder == "libopus" else ())
    if usual is None:
        return _first_channels(settings, container, audio)
    made = _in_layout(settings, container, audio, LAYOUTS[usual])
    text = f"Its {audio.channels} channels of sound have no names; they were taken for {usual}"
    if "LFE" in LAYOUTS[usual]:
        text += f", where the {_ORDINALS[LAYOUTS[usual].index('LFE')]} holds low frequencies alone"
    return Sound(made.channels, made.filters, made.options, (MediaNote(f"{text}."), *made.notes))


def _in_layout(settings: AudioSettings, container: str, audio: AudioInfo, names: Channels) -> Sound:
    encoder = settings.encoder
    placement = place(names, _within(settings, offered(encoder, container, names)))
    unlike = bool(placement.mixed or placement.dropped or placement.misplaced)
    named = (_layout(names),) if audio.layout in LAYOUTS else ()  # where the layout changes midway
    # Left to itself, ffmpeg would send the back channels to the back centre instead of the sides.
    to_centre = "BL" in placement.moved and "BC" in placement.channels
    filters: tuple[Filter, ...]
    if placement.channels == names and len(names) <= 2:
        filters = named if audio.varies else ()
    elif named and not unlike and not to_centre:
        filters = (_layout(placement.channels),)  # ffmpeg itself converts to that
    else:
        filters = (*named, _without_names(len(names)), _pan(placement, limited=audio_encoder(encoder).lossless))
    asked = settings.channels is not None and len(names) > settings.channels
    notes = _layout_note(encoder, names, placement) if unlike and not asked else ()
    return Sound(sum(map(bool, placement.parts)), filters, _families(encoder, len(placement.channels)), notes)


def _first_channels(settings: AudioSettings, container: str, audio: AudioInfo) -> Sound:
    """As many as the encoder takes: unnamed channels cannot be mixed, and the main ones come first."""
    # A low-frequency channel cannot hold full sound.
    layouts = [c for c in _within(settings, offered(settings.encoder, container, ())) if "LFE" not in c]
    target = max((c for c in layouts if len(c) <= audio.channels), key=len)
    kept = Placement(target, tuple(((1.0, number),) for number in range(len(target))))
    text = (
        f"Its {audio.channels} channels of sound have no names: the first {len(target)} were kept, which is as many as "
        f"{settings.encoder} takes here."
    )
    note = MediaNote(text, f"sound channels dropped ({settings.encoder} takes no more)")
    notes = () if settings.channels == len(target) else (note,)
    return Sound(len(target), (_pan(kept, limited=False),), _families(settings.encoder, len(target)), notes)


def _layout(channels: Channels) -> Filter:
    return Filter("aformat", (("channel_layouts", layout_name(channels)),))


def _layout_note(encoder: str, names: Channels, placement: Placement) -> tuple[MediaNote, ...]:
    before, after = layout_name(names), layout_name(placement.channels)
    if not placement.mixed and not placement.dropped:
        text = f"Its sound is labelled {before}, which {encoder} does not take here: as {after} it has every channel."
        return (MediaNote(text),)
    text = f"Its sound was mixed from {before} to {after}: {encoder} takes no layout with all its channels"
    if placement.dropped:
        text += f"; its low-frequency channel ({'+'.join(placement.dropped)}) was left out"
    return (MediaNote(f"{text}.", f"sound mixed to fewer channels ({encoder})"),)


def _within(settings: AudioSettings, layouts: tuple[Channels, ...]) -> tuple[Channels, ...]:
    most = settings.channels
    fitting = tuple(channels for channels in layouts if most is None or len(channels) <= most)
    return fitting or (min(layouts, key=len),)


def _families(encoder: str, channels: int) -> Options:
    return (("mapping_family", "1"),) if encoder == "libopus" and channels > 2 else ()


def _without_names(channels: int) -> Filter:
    """The filter that removes the names of all channels: `pan` refuses names that make no usual layout."""
    numbers = "|".join(str(number) for number in range(channels))
    return Filter("channelmap", (("map", numbers), ("channel_layout", f"{channels} channels")))


def _pan(placement: Placement, *, limited: bool) -> Filter:
    """The filter that makes the channels of `placement`; `limited`: no sum of them exceeds full scale."""
    loudest = max((sum(gain for gain, _ in part) for part in placement.parts), default=1.0)
    scale = 1 / loudest if limited and loudest > 1 else 1.0
    rows = [
        f"{channel}=" + "+".join(f"{gain * scale:.4g}*c{number}" for gain, number in part)
        for channel, part in zip(placement.channels, placement.parts, strict=True)
        if part
    ]
    return Filter("pan", (("args", "|".join((layout_name(placement.channels), *rows))),))


_AMBISONIC = re.compile(r"ambisonic (\d+)")


def _ambisonic_order(audio: AudioInfo) -> int | None:
    """The order of an ambisonic track, which has (order + 1)^2 channels and maybe a stereo pair; or None."""
    found = _AMBISONIC.match(audio.layout or "")
    order = int(found[1]) if found is not None else -1
    return order if order >= 0 and audio.channels - (order + 1) ** 2 in (0, 2) and audio.channels >= 4 else None


def _ambisonic(settings: AudioSettings, container: str, audio: AudioInfo, order: int) -> Sound:
    encoder, most = settings.encoder, settings.channels
    if most is None or most >= audio.channels:
        if encoder == "libopus":
            return Sound(audio.channels, options=(("mapping_family", "2"),))
        if encoder.startswith("pcm_"):
            text = f"Its ambisonic channels were kept, but {container} does not say that they are ambisonic."
            return Sound(audio.channels, notes=(MediaNote(text, f"ambisonic sound unnamed ({container})"),))
    beside = (order + 1) ** 2
    pair = (f"+c{beside}", f"+c{beside + 1}") if audio.channels > beside else ("", "")
    # Two cardioids to the left and right: channel 0 is sound from all directions, channel 1 left minus right (ACN).
    stereo = f"stereo|FL=0.5*c0+0.5*c1{pair[0]}|FR=0.5*c0-0.5*c1{pair[1]}"
    pan = "mono|FC=c0" if most == 1 else stereo
    name = pan.partition("|")[0]
    text = (
        f"Its sound is ambisonic, which {encoder} does not support: it was mixed to {name}, as heard from its centre."
    )
    note = MediaNote(text, f"ambisonic sound mixed to {name} ({encoder})")
    return Sound(pan.count("|"), (Filter("pan", (("args", pan),)),), notes=(note,))
