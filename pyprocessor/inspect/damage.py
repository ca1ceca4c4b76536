"""How many pictures and how much sound of a source are damaged, by what ffmpeg printed while decoding. Pure.

Pictures that are dropped, none of them broken, are counted by comparing the output with the source (`compare`).
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pyprocessor.ffmpeg.damage import NO_DAMAGE, Damage, StreamDamage
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import BROKEN, MediaInfo, MediaNote, StreamInfo, StreamKind

_PACKETS_FOR_EACH_SIGN = 10
"""How many damaged packets one sign of damage from a decoder confirms. Joined recordings have damaged packets alone."""
_BEGIN_ANYWHERE = frozenset(
    "mpegts mpeg mpegvideo h264 hevc vvc m4v h263 aac loas ac3 eac3 mp3 dts truehd obu dirac vc1 cavsvideo".split()
)
"""Containers without a beginning: their first and last pictures and sounds are incomplete wherever they are cut."""
_INCOMPLETE_PIECES = 1
_FOUND_BY_GUESSING = frozenset(("mp2", "mp3"))
_INCOMPLETE_GUESSES = 8
"""At the start of program streams their parser takes up to so much for sound before it finds the first whole piece."""
_HOLE = 1.5
"""Times the usual step from picture to picture: a longer one leaves pictures out."""
_STEADY_SHARE = 0.9
"""Of the steps from picture to picture that are usual ones: with fewer, longer ones are no sign of lost packets."""
_LEAST_SECONDS = 0.1
"""The shortest time that is written beside a number of pictures."""


def damage_note(damage: Damage, media: MediaInfo, times: Timeline, *, same_frames: bool) -> tuple[MediaNote, ...]:
    """A sentence on what of `media`, whose timeline is `times`, is damaged or missing; empty where nothing is.

    `same_frames` says that pictures which do not come out are noted by a comparison, but for the first ones where a
    film begins late. What is incomplete at the ends of a file that was cut there counts as no damage of its own.
    """
    if damage == NO_DAMAGE:
        return ()
    torn = any(note.damage for note in media.notes)
    # In other containers it is the last packet of a file that was cut off.
    lost = sum(found.packets for found in damage.streams) if media.container == "mpegts" else 0
    holes = {
        stream.index: _holes(times.tracks.get(stream.index), damage.gaps, lost)
        for stream in media.streams
        if stream.kind is StreamKind.VIDEO
    }
    parts = (
        _pictures(damage, media, times, holes, torn=torn, with_dropped=not same_frames),
        _sound(damage, media, times, [hole for of_film in holes.values() for hole in of_film], torn=torn),
        _subtitles(damage, media, torn=torn),
    )
    found = [part for part in parts if part]
    if found:
        listed = " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
        return (MediaNote(f"Damaged or missing: at least {listed}.", BROKEN),)
    if damage.ended_early and not torn:
        return (MediaNote("It cannot be read to its end: what comes after a damaged place is missing.", BROKEN),)
    if damage.gaps and not torn:
        return (MediaNote("Its container is broken in places; what stands there is skipped.", BROKEN),)
    return ()


# ---------------------------------------------------------------- pictures


@dataclass(frozen=True, slots=True)
class _Hole:
    """A pause between two pictures that leaves so many `pictures` out; times in seconds."""

    start: float
    end: float
    pictures: int


def _pictures(
    damage: Damage,
    media: MediaInfo,
    times: Timeline,
    holes: dict[int, list[_Hole]],
    *,
    torn: bool,
    with_dropped: bool,
) -> str:
    """How many pictures, of how many, and how long that is; empty where none is damaged."""
    films = [stream for stream in media.streams if stream.kind is StreamKind.VIDEO]
    counted = {found.index: found for found in damage.streams}
    signs = damage.concealed + damage.gaps
    number = 0
    for film in films:
        found, track = counted.get(film.index, StreamDamage(film.index)), times.tracks.get(film.index)
        decoded = found.broken + found.undecodable
        at_an_end = torn or (media.container in _BEGIN_ANYWHERE and not found.packets)
        if signs or not at_an_end or decoded > _INCOMPLETE_PIECES:
            begins_late = bool(track is not None and track.leading)
            alone = decoded if found.broken or with_dropped or begins_late else 0
            number += max(alone, min(found.packets, _PACKETS_FOR_EACH_SIGN * (decoded + signs)))
        number += _left_out(holes[film.index])
    number = max(number, min(1, damage.concealed))
    if not number:
        return ""
    track = times.tracks.get(films[0].index) if len(films) == 1 else None
    whole = len(track.starts) + _left_out(holes[films[0].index]) if track is not None and times.whole else 0
    of = f" of {whole:,}" if whole >= number else ""
    picture = media.video.video if media.video is not None else None
    rate = (picture.clock_rate or picture.frame_rate) if picture is not None else None
    seconds = float(number / rate) if rate else 0.0
    lasting = f" ({seconds:,.1f} s)" if seconds >= _LEAST_SECONDS else ""
    return f"{number:,}{of} picture{'s' if number != 1 or of else ''}{lasting}"


def _left_out(holes: Iterable[_Hole]) -> int:
    return sum(hole.pictures for hole in holes)


def _holes(track: Track | None, broken_places: int, lost_packets: int) -> list[_Hole]:
    """The longest pauses of a film: as many as there are places where its container is broken and, in a film of a
    steady rate, packets that came in damaged."""
    if track is None or len(track.starts) < 2:
        return []
    steps = [(after - before, before, after) for before, after in itertools.pairwise(track.starts)]
    usual = statistics.median(step for step, _, _ in steps)
    if usual <= 0:
        return []
    longer = [each for each in steps if each[0] > _HOLE * usual]
    steady = len(longer) <= (1 - _STEADY_SHARE) * len(steps)
    longest = heapq.nlargest(broken_places + (lost_packets if steady else 0), longer)
    return [_Hole(before, after, round(step / usual) - 1) for step, before, after in longest]


# ---------------------------------------------------------------- sound and subtitles


def _sound(damage: Damage, media: MediaInfo, times: Timeline, holes: Sequence[_Hole], *, torn: bool) -> str:
    """How many seconds of all tracks are damaged or missing; empty where none are."""
    seconds, pieces = 0.0, 0
    for stream in media.audio:
        number = _broken(damage, media, stream, torn=torn)
        pieces += number
        track = times.tracks.get(stream.index)
        if track is not None and track.packets:
            pauses = [(before[1], after[0]) for before, after in itertools.pairwise(track.spans)]
            missing = set(heapq.nlargest(damage.gaps, pauses, key=lambda pause: pause[1] - pause[0]))
            missing |= {pause for pause in pauses if any(h.start < pause[1] and pause[0] < h.end for h in holes)}
            seconds += number * track.covered_seconds / track.packets + sum(end - start for start, end in missing)
    if not seconds:
        return "some sound" if pieces else ""
    return f"{seconds:,.2f} s of sound"


def _subtitles(damage: Damage, media: MediaInfo, *, torn: bool) -> str:
    number = sum(
        _broken(damage, media, stream, torn=torn) for stream in media.streams if stream.kind is StreamKind.SUBTITLE
    )
    return f"{number:,} subtitle{'s' if number != 1 else ''}" if number else ""


def _broken(damage: Damage, media: MediaInfo, stream: StreamInfo, *, torn: bool) -> int:
    """Pieces of sound, or subtitles, that came out broken or not at all, less what is incomplete at the ends."""
    number = sum(found.broken + found.undecodable for found in damage.streams if found.index == stream.index)
    incomplete = _INCOMPLETE_PIECES if torn or media.container in _BEGIN_ANYWHERE else 0
    if media.container in _BEGIN_ANYWHERE and stream.codec in _FOUND_BY_GUESSING:
        incomplete = _INCOMPLETE_GUESSES
    return number if number > incomplete else 0
