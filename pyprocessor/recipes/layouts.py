"""Where do the channels of a sound track go? Into the nearest layout that encoder and container take.

Channels and layouts have ffmpeg's names; what comes back from containers was tried with FFmpeg 9.0.2 for each layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from pyprocessor.models.encoders import AudioEncoder, audio_encoder

Channels = tuple[str, ...]

LAYOUTS: dict[str, Channels] = {
    name: tuple(channels.split("+"))
    for name, channels in (
        ("mono", "FC"),
        ("stereo", "FL+FR"),
        ("2.1", "FL+FR+LFE"),
        ("3.0", "FL+FR+FC"),
        ("3.0(back)", "FL+FR+BC"),
        ("4.0", "FL+FR+FC+BC"),
        ("quad", "FL+FR+BL+BR"),
        ("quad(side)", "FL+FR+SL+SR"),
        ("3.1", "FL+FR+FC+LFE"),
        ("5.0", "FL+FR+FC+BL+BR"),
        ("5.0(side)", "FL+FR+FC+SL+SR"),
        ("4.1", "FL+FR+FC+LFE+BC"),
        ("5.1", "FL+FR+FC+LFE+BL+BR"),
        ("5.1(side)", "FL+FR+FC+LFE+SL+SR"),
        ("6.0", "FL+FR+FC+BC+SL+SR"),
        ("6.0(front)", "FL+FR+FLC+FRC+SL+SR"),
        ("3.1.2", "FL+FR+FC+LFE+TFL+TFR"),
        ("hexagonal", "FL+FR+FC+BL+BR+BC"),
        ("6.1", "FL+FR+FC+LFE+BC+SL+SR"),
        ("6.1(back)", "FL+FR+FC+LFE+BL+BR+BC"),
        ("6.1(front)", "FL+FR+LFE+FLC+FRC+SL+SR"),
        ("7.0", "FL+FR+FC+BL+BR+SL+SR"),
        ("7.0(front)", "FL+FR+FC+FLC+FRC+SL+SR"),
        ("7.1", "FL+FR+FC+LFE+BL+BR+SL+SR"),
        ("7.1(wide)", "FL+FR+FC+LFE+BL+BR+FLC+FRC"),
        ("7.1(wide-side)", "FL+FR+FC+LFE+FLC+FRC+SL+SR"),
        ("5.1.2", "FL+FR+FC+LFE+SL+SR+TFL+TFR"),
        ("5.1.2(back)", "FL+FR+FC+LFE+BL+BR+TFL+TFR"),
        ("octagonal", "FL+FR+FC+BL+BR+BC+SL+SR"),
        ("cube", "FL+FR+BL+BR+TFL+TFR+TBL+TBR"),
        ("5.1.4", "FL+FR+FC+LFE+SL+SR+TFL+TFR+TBL+TBR"),
        ("7.1.2", "FL+FR+FC+LFE+BL+BR+SL+SR+TFL+TFR"),
        ("7.1.4", "FL+FR+FC+LFE+BL+BR+SL+SR+TFL+TFR+TBL+TBR"),
        ("7.2.3", "FL+FR+FC+LFE+BL+BR+SL+SR+TFL+TFR+TBC+LFE2"),
        ("9.1.4", "FL+FR+FC+LFE+BL+BR+FLC+FRC+SL+SR+TFL+TFR+TBL+TBR"),
        ("9.1.6", "FL+FR+FC+LFE+BL+BR+FLC+FRC+SL+SR+TFL+TFR+TBL+TBR+TSL+TSR"),
        ("hexadecagonal", "FL+FR+FC+BL+BR+BC+SL+SR+TFL+TFC+TFR+TBL+TBC+TBR+WL+WR"),
        ("binaural", "BIL+BIR"),
        ("downmix", "DL+DR"),
        ("22.2", "FL+FR+FC+LFE+BL+BR+FLC+FRC+BC+SL+SR+TC+TFL+TFC+TFR+TBL+TBC+TBR+LFE2+TSL+TSR+BFC+BFL+BFR"),
    )
}
UNNAMED = dict(enumerate(AudioEncoder().layouts, start=1))
"""The layout that channels without names are taken for, by their number."""

_MASKED = tuple("FL FR FC LFE BL BR FLC FRC BC SL SR TC TFL TFC TFR TBL TBC TBR".split())
"""Channels that WAVEFORMATEXTENSIBLE has a bit for, in its order: what WAV and FLAC can name."""
_NOT_IN_ADTS = frozenset(("7.1", "6.1(back)", "5.1.2(back)"))
"""Channel configurations above 7, for which the headers of AAC in MPEG-TS have no room."""
_NAMED_BY_MASK: dict[str, tuple[str, ...]] = {
    "wav": ("pcm_",),
    "mov": ("pcm_",),
    **dict.fromkeys(("flac", "mkv", "mka"), ("flac",)),
}
"""Lossless encoders whose channels a container names one by one; MOV has names for all there are."""


def offered(encoder: str, container: str, source: Channels) -> tuple[Channels, ...]:
    """The layouts that `encoder` takes and `container` gives back, for a track of `source` channels."""
    if encoder.startswith(_NAMED_BY_MASK.get(container, ())):
        own = tuple(channel for channel in _MASKED if channel in source)
        named: list[Channels] = []
        if container == "mov":
            named.append(source)
        elif len(own) == len(source):
            named.append(own)
        named += [channels for channels in LAYOUTS.values() if set(channels) <= set(_MASKED)]
        return tuple(c for c in named if encoder != "flac" or len(c) <= 8)
    names = audio_encoder(encoder).layouts
    if encoder == "aac" and container in ("mpegts", "ts"):
        names = tuple(name for name in names if name not in _NOT_IN_ADTS)
    return tuple(LAYOUTS.get(name) or tuple(name.split("+")) for name in names)


def named_channels(layout: str | None, count: int) -> Channels | None:
    """The channels of a layout by ffmpeg's name (`5.1`, `2 channels (SL+SR)`); None: they have no names."""
    if layout is None:
        return None
    listed = re.search(r"\(([A-Z0-9+]+)\)$", layout)
    channels = LAYOUTS.get(layout) or tuple((listed[1] if listed else layout).split("+"))
    known = {channel for each in LAYOUTS.values() for channel in each} | _FOLDS.keys()
    return channels if len(set(channels)) == count and set(channels) <= known else None


def layout_name(channels: Channels) -> str:
    """ffmpeg's name of a layout, or its channels where it has none."""
    return next((name for name, each in LAYOUTS.items() if each == channels), "+".join(channels))


@dataclass(frozen=True, slots=True)
class Placement:
    """The output's channels, and the parts of each (gain, the source's channel), none for silence."""

    channels: Channels
    parts: tuple[tuple[tuple[float, int], ...], ...]
    moved: Channels = ()
    """Source channels that get another name, unmixed."""
    misplaced: Channels = ()
    """Those of them that players therefore send to other speakers."""
    mixed: Channels = ()
    """Those that were added to others."""
    dropped: Channels = ()


def place(source: Channels, candidates: Iterable[Channels]) -> Placement:
    """The nearest of the candidate layouts: the smallest that holds every channel, or else the best mix."""
    fitting = sorted(candidates, key=len)
    whole = [placement for target in fitting if (placement := _relabelled(source, target)) is not None]
    if len(source) <= 2:  # mono or stereo without silent channels beside them
        whole = [placement for placement in whole if len(placement.channels) == len(source)] or whole
    if whole:
        return min(whole, key=lambda found: (len(found.misplaced), len(found.channels), len(found.moved)))
    mixes = [_mixed(source, target) for target in fitting]
    return min(mixes, key=lambda found: (len(found.dropped), len(found.mixed), len(found.channels)))


_FRONT_TO_BACK = (("FLC", "FRC"), ("WL", "WR"), ("SL", "SR"), ("SDL", "SDR"), ("SSL", "SSR"), ("BL", "BR"))
"""Pairs at ear level beside the front pair, each of which may stand for another."""
_SAME_PLACE = {"SL": "BL", "SR": "BR", "BL": "SL", "BR": "SR"}
"""Surround channels, which players send to the same speakers whether they are called side or back."""


def _relabelled(source: Channels, target: Channels) -> Placement | None:
    """`source` in `target` with no channel lost, or None where it does not fit."""
    as_usual = len(source) == len(target) <= 2 and target in (LAYOUTS["mono"], LAYOUTS["stereo"])
    names = dict(zip(source, target, strict=True)) if as_usual else _names(source, target)
    if names is None:
        return None
    number = {names[channel]: place for place, channel in enumerate(source)}
    parts = tuple(((1.0, number[channel]),) if channel in number else () for channel in target)
    moved = tuple(channel for channel in source if names[channel] != channel)
    misplaced = tuple(channel for channel in moved if names[channel] != _SAME_PLACE.get(channel))
    return Placement(target, parts, moved, misplaced)


def _names(source: Channels, target: Channels) -> dict[str, str] | None:
    """The name of each source channel in `target`: its own, or that of a pair in the same order around."""
    ours = [pair for pair in _FRONT_TO_BACK if set(pair) <= set(source)]
    theirs = [pair for pair in _FRONT_TO_BACK if set(pair) <= set(target)]
    paired = {channel for pair in ours for channel in pair}
    names = {channel: channel for channel in source if channel not in paired}
    for pair in (("DL", "DR"), ("BIL", "BIR")):
        if set(pair) <= set(source) and "FL" not in source:
            names |= dict(zip(pair, ("FL", "FR"), strict=True))
    if not set(names.values()) <= set(target):
        return None
    choices = list(combinations(theirs, len(ours)))
    if not choices:
        return None
    nearest = max(choices, key=lambda choice: sum(mine == other for mine, other in zip(ours, choice, strict=True)))
    for mine, other in zip(ours, nearest, strict=True):
        names |= dict(zip(mine, other, strict=True))
    return names if len(set(names.values())) == len(source) else None  # half a pair may stand where the other goes


_HALF = 0.5
_EQUAL_POWER = 0.7071
_Fold = tuple[tuple[str, float], ...]


def _folds() -> dict[str, tuple[_Fold, ...]]:
    """The channels that one without a place is added to: the first of these sets that the layout has.

    Gains as in ITU-R BS.775: a channel that goes to two, or from behind to the front, loses 3 dB.
    """
    front: tuple[_Fold, ...] = ((("FL", 1.0),), (("FC", _EQUAL_POWER),))
    behind: tuple[_Fold, ...] = ((("BC", _EQUAL_POWER),), (("FL", _EQUAL_POWER),), (("FC", _HALF),))
    side, back = (("SL", 1.0),), (("BL", 1.0),)
    left: dict[str, tuple[_Fold, ...]] = {
        "FL": ((("FC", _EQUAL_POWER),),),
        **dict.fromkeys(("FLC", "WL", "TFL", "BFL", "DL", "BIL"), front),
        **dict.fromkeys(("SL", "SDL", "SSL", "TSL", "TTL"), (side, back, *behind)),
        **dict.fromkeys(("BL", "TBL"), (back, side, *behind)),
    }
    back_centre: tuple[_Fold, ...] = (
        (("BC", 1.0),),
        (("BL", _EQUAL_POWER), ("BR", _EQUAL_POWER)),
        (("SL", _EQUAL_POWER), ("SR", _EQUAL_POWER)),
        (("FL", _HALF), ("FR", _HALF)),
        (("FC", _EQUAL_POWER),),
    )
    centre: tuple[_Fold, ...] = ((("FC", 1.0),), (("FL", _EQUAL_POWER), ("FR", _EQUAL_POWER)))
    folds = {
        **left,
        **dict.fromkeys(("FC", "TFC", "BFC", "TC"), centre),
        **dict.fromkeys(("BC", "TBC"), back_centre),
        **dict.fromkeys(("LFE", "LFE2"), ((("LFE", 1.0),), (("LFE2", 1.0),))),
    }
    for channel, ways in left.items():
        folds[_mirrored(channel)] = tuple(tuple((_mirrored(to), gain) for to, gain in way) for way in ways)
    return folds


def _mirrored(channel: str) -> str:
    return channel.replace("L", "R") if channel != "FC" else channel


_FOLDS = _folds()


def _mixed(source: Channels, target: Channels) -> Placement:
    """`source` in `target`, each channel without a place added to its neighbours, where it has any."""
    parts: dict[str, list[tuple[float, int]]] = {channel: [] for channel in target}
    goes_to: dict[str, _Fold] = {}
    for number, channel in enumerate(source):
        own = ((channel, 1.0),) if channel in parts else None
        ways = (way for way in _FOLDS.get(channel, ()) if all(to in parts for to, _ in way))
        goes_to[channel] = own or next(ways, ())
        for to, gain in goes_to[channel]:
            parts[to].append((gain, number))
    away = {channel: way for channel, way in goes_to.items() if way and way != ((channel, 1.0),)}
    alone = [name for name, way in away.items() if way == ((way[0][0], 1.0),) and len(parts[way[0][0]]) == 1]
    return Placement(
        target,
        tuple(tuple(parts[channel]) for channel in target),
        moved=tuple(alone),
        mixed=tuple(name for name in away if name not in alone),
        dropped=tuple(channel for channel, way in goes_to.items() if not way),
    )
