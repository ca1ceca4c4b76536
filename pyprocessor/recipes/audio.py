"""How one audio track is encoded: bit rate by channels, and layouts and sample rates that the encoder takes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pyprocessor.ffmpeg.invocation import Filter, MappedStream, Options
from pyprocessor.inspect.contract import Action, StreamPlan
from pyprocessor.models import AudioInfo, AudioSettings, MediaNote, StreamInfo
from pyprocessor.recipes.layouts import LAYOUTS, Channels, Placement, layout_name, named_channels, offered, place, usual

_MOST_DISCRETE = {"libopus": 255, "libvorbis": 255}
"""How many channels without names an encoder takes; PCM takes any number."""
_LOSSLESS = ("pcm_", "flac", "alac", "wavpack")
_BITRATE_LIMITS = {"libopus": (6_000, 256_000), "aac": (8_000, 288_000), "libmp3lame": (8_000, 160_000)}
"""Bits per second for each channel, lowest and highest that the encoder takes at every sample rate in use."""
_UNLIMITED = (8_000, 320_000)
_LEAST_GAP_SECONDS = 0.04
"""ffmpeg by itself mends 0.1 s and more, and all that comes after a smaller gap would be so much too early: fragmented
MP4 without edit lists has one behind its first packet. What is smaller than two packets of sound is jitter."""
_MOST_JITTER_SECONDS = 0.25
"""Time stamps that are further off than that are mended all the same."""
_ORDINALS = ("first", "second", "third", "fourth")
_MIXED = "sound mixed to fewer channels ({})"


@dataclass(frozen=True, slots=True)
class Sound:
    """The channels of an output track: `channels` of them hold sound, and `filters` and `options` make them."""

    channels: int
    filters: tuple[Filter, ...] = ()
    options: Options = ()
    notes: tuple[MediaNote, ...] = ()


def audio_stream(
    settings: AudioSettings, container: str, stream: StreamInfo, plan: StreamPlan
) -> tuple[MappedStream, tuple[MediaNote, ...]]:
    """The output stream that `plan` makes of an audio track, and what its user is to know of it."""
    source = (0, stream.index)
    if plan.action is Action.COPY or stream.audio is None:
        return MappedStream(source, "a", "copy"), ()
    made = sound(settings, container, stream.audio)
    options: list[tuple[str, str]] = []
    rate = target_bit_rate(settings, stream, made.channels)
    if rate is not None:
        options.append(("b", str(rate)))
    if settings.sample_rate is not None:
        options.append(("ar", str(settings.sample_rate)))
    mapped = MappedStream(
        source,
        "a",
        settings.encoder,
        filters=(*made.filters, _gaps_filled(stream.audio.jitter_seconds)),
        options=(*options, *made.options),
    )
    return mapped, made.notes


def _gaps_filled(jitter_seconds: float) -> Filter:
    """The filter that fills with silence what time stamps leave out and cuts what overlaps; else no sample changes.

    Without it a gap becomes one frame that lasts long, and players that count samples run out of step with the picture.
    Where time stamps jitter, the first sample may be as far off to one side as another is to the other.
    """
    least = min(_MOST_JITTER_SECONDS, max(_LEAST_GAP_SECONDS, 2 * jitter_seconds + 0.005))
    return Filter("aresample", options=(("async", "1"), ("min_hard_comp", f"{least:.4g}")))


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


# ---------------------------------------------------------------- channels


def sound(settings: AudioSettings, container: str, audio: AudioInfo) -> Sound:
    """What becomes of a track's channels: kept as they are where the encoder takes them, else in the nearest layout.

    More channels come out than go in only as silence beside them, and never more than the profile wants.
    """
    order = _ambisonic_order(audio)
    if order is not None:
        return _ambisonic(settings, container, audio, order)
    names = named_channels(audio.layout, audio.channels)
    if names is not None:
        return _in_layout(settings, container, audio, names)
    if audio.channels <= 2 and (settings.channels or 2) >= audio.channels:
        return Sound(audio.channels)
    taken_for = usual(audio.channels)
    if _takes_unnamed(settings, audio.channels) and (taken_for is None or not _by_names(settings)):
        return Sound(audio.channels, options=_discrete(settings.encoder))
    if taken_for is None:
        return _first_channels(settings, container, audio)
    made = _in_layout(settings, container, audio, taken_for)
    text = f"Its {audio.channels} channels of sound have no names; they were taken for {layout_name(taken_for)}"
    if "LFE" in taken_for:
        text += f", where the {_ORDINALS[taken_for.index('LFE')]} holds low frequencies alone"
    return Sound(made.channels, made.filters, made.options, (MediaNote(f"{text}."), *made.notes))


def _in_layout(settings: AudioSettings, container: str, audio: AudioInfo, names: Channels) -> Sound:
    encoder = settings.encoder
    candidates = _within(settings, offered(encoder, container, names))
    placement = place(names, candidates)
    name = layout_name(placement.channels)
    options = _families(encoder, len(placement.channels))
    noted = not placement.lossless or bool(placement.misplaced)
    named = (_layout(layout_name(names)),) if audio.layout in LAYOUTS else ()  # where the layout changes midway
    filters: tuple[Filter, ...]
    if placement.channels == names and len(names) <= 2:
        filters = named if audio.varies else ()
    elif named and not noted and not _goes_to_centre(placement):
        filters = (_layout(name),)  # ffmpeg itself converts to that
    else:
        filters = (*named, _without_names(len(names)), _pan(placement, limited=encoder.startswith(_LOSSLESS)))
    asked = settings.channels is not None and len(names) > settings.channels
    return Sound(
        placement.sounding, filters, options, _layout_note(encoder, names, placement) if noted and not asked else ()
    )


def _layout(name: str) -> Filter:
    return Filter("aformat", options=(("channel_layouts", name),))


def _goes_to_centre(placement: Placement) -> bool:
    """Whether ffmpeg, left to itself, would send the back channels to the back centre instead of the sides."""
    return "BL" in placement.moved and "BC" in placement.channels


def _layout_note(encoder: str, names: Channels, placement: Placement) -> tuple[MediaNote, ...]:
    before, after = layout_name(names), layout_name(placement.channels)
    if placement.lossless:
        text = f"Its sound is labelled {before}, which {encoder} does not take here: as {after} it has every channel."
        return (MediaNote(text),)
    text = f"Its sound was mixed from {before} to {after}: {encoder} takes no layout with all its channels"
    if placement.dropped:
        text += f"; its low-frequency channel ({'+'.join(placement.dropped)}) was left out"
    return (MediaNote(f"{text}.", _MIXED.format(encoder)),)


def _within(settings: AudioSettings, layouts: tuple[Channels, ...]) -> tuple[Channels, ...]:
    most = settings.channels
    fitting = tuple(channels for channels in layouts if most is None or len(channels) <= most)
    return fitting or (min(layouts, key=len),)


def _families(encoder: str, channels: int) -> Options:
    return (("mapping_family", "1"),) if encoder == "libopus" and channels > 2 else ()


def _without_names(channels: int) -> Filter:
    """The filter that takes the names from all channels: `pan` refuses sets of names that make no usual layout."""
    numbers = "|".join(str(number) for number in range(channels))
    return Filter("channelmap", options=(("map", numbers), ("channel_layout", f"{channels} channels")))


def _pan(placement: Placement, *, limited: bool) -> Filter:
    """The filter that puts channels where `placement` says; `limited`: no sum of them exceeds full scale."""
    loudest = max((sum(gain for gain, _ in part) for part in placement.parts), default=1.0)
    scale = 1 / loudest if limited and loudest > 1 else 1.0
    rows = [
        f"{channel}=" + "+".join(f"{gain * scale:.4g}*c{number}" for gain, number in part)
        for channel, part in zip(placement.channels, placement.parts, strict=True)
        if part
    ]
    return Filter("pan", options=(("args", "|".join((layout_name(placement.channels), *rows))),))


# ---------------------------------------------------------------- channels without names


def _takes_unnamed(settings: AudioSettings, channels: int) -> bool:
    encoder = settings.encoder
    if settings.channels is not None and channels > settings.channels:
        return False
    return encoder.startswith("pcm_") or channels <= _MOST_DISCRETE.get(encoder, 0)


def _by_names(settings: AudioSettings) -> bool:
    """Whether up to eight channels are better given their usual names, since players would give them others."""
    return not settings.encoder.startswith("pcm_")


def _discrete(encoder: str) -> Options:
    return (("mapping_family", "255"),) if encoder == "libopus" else ()


def _first_channels(settings: AudioSettings, container: str, audio: AudioInfo) -> Sound:
    """As many as the encoder takes: unnamed channels cannot be mixed, and a recording's main ones come first."""
    # A low-frequency channel holds no full sound.
    layouts = [c for c in _within(settings, offered(settings.encoder, container, ())) if "LFE" not in c]
    target = max((c for c in layouts if len(c) <= audio.channels), key=len)
    kept = Placement(target, tuple(((1.0, number),) for number in range(len(target))))
    text = (
        f"Its {audio.channels} channels of sound have no names: the first {len(target)} were kept, which is as many as "
        f"{settings.encoder} takes here."
    )
    loss = f"sound channels dropped ({settings.encoder} takes no more)"
    asked = settings.channels is not None and len(target) == settings.channels
    return Sound(
        len(target),
        (_pan(kept, limited=False),),
        _families(settings.encoder, len(target)),
        () if asked else (MediaNote(text, loss),),
    )


# ---------------------------------------------------------------- ambisonics

_AMBISONIC = re.compile(r"ambisonic (\d+)")
_TO_STEREO = ("FL=0.5*c0+0.5*c1", "FR=0.5*c0-0.5*c1")
"""Two cardioids that look left and right: channel 0 is sound from all directions, channel 1 left minus right (ACN)."""


def _ambisonic_order(audio: AudioInfo) -> int | None:
    """The order of an ambisonic track, or None of another; it has (order + 1)^2 channels, and maybe a stereo pair."""
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
    name = "mono" if most == 1 else "stereo"
    rows: tuple[str, ...]
    if most == 1:
        rows = ("FC=c0",)
    else:
        beside = (order + 1) ** 2 if audio.channels > (order + 1) ** 2 else None
        pair = ("", "") if beside is None else (f"+c{beside}", f"+c{beside + 1}")
        rows = tuple(row + other for row, other in zip(_TO_STEREO, pair, strict=True))
    text = (
        f"Its sound is ambisonic, of which {encoder} knows nothing: it was mixed to {name}, as heard from its centre."
    )
    pan = Filter("pan", options=(("args", "|".join((name, *rows))),))
    return Sound(len(rows), (pan,), notes=(MediaNote(text, f"ambisonic sound mixed to {name} ({encoder})"),))
