"""How many pictures and how much sound of a source are damaged, by ffmpeg's messages? Pure."""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections.abc import Sequence

from pyprocessor.ffmpeg.damage import NO_DAMAGE, Damage, StreamDamage
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import BROKEN, MediaInfo, MediaNote, StreamInfo, StreamKind

_PACKETS_FOR_EACH_SIGN = 10
"""Damaged packets that one message of a decoder confirms. Joined recordings have damaged packets alone."""
_BEGIN_ANYWHERE = frozenset(
    "mpegts mpeg mpegvideo h264 hevc vvc m4v h263 aac loas ac3 eac3 mp3 dts truehd obu dirac vc1 cavsvideo".split()
)
"""Containers that may be cut anywhere, which leaves their first and last pictures and sounds incomplete."""
_INCOMPLETE_PIECES, _INCOMPLETE_GUESSES = 1, 8
"""Pieces that the parser may take for sound at the start of a program stream before it finds the first frame."""
_HOLE = 1.5
"""Times the usual distance of pictures: where it is longer, pictures are missing."""
_STEADY_SHARE = 0.9
"""The share of usual distances in a film of a steady rate; without one, longer distances need not be lost pictures."""
_Hole = tuple[float, float, int]
"""Start and end of a pause of a film, and how many pictures are missing in it."""


def damage_note(damage: Damage, media: MediaInfo, times: Timeline, *, same_frames: bool) -> tuple[MediaNote, ...]:
    """Return a note on what of `media` is damaged or missing by what ffmpeg printed, if anything is.

    `same_frames`: pictures that do not come out are noted by the comparison, except where a film begins late.
    """
    if damage == NO_DAMAGE:
        return ()
    torn = any(note.damage for note in media.notes)
    # In other containers a damaged packet is the last one of a file that was cut off.
    lost = sum(found.packets for found in damage.streams) if media.container == "mpegts" else 0
    films = [stream.index for stream in media.streams if stream.kind is StreamKind.VIDEO]
    holes = {index: _holes(times.tracks.get(index), damage.gaps, lost) for index in films}
    pictures = _pictures(damage, media, times, holes, torn=torn, with_dropped=not same_frames)
    sound = _sound(damage, media, times, list(itertools.chain(*holes.values())), torn=torn)
    lines = sum(_broken(damage, media, s, torn=torn) for s in media.streams if s.kind is StreamKind.SUBTITLE)
    subtitles = f"{lines:,} subtitle{'s' if lines != 1 else ''}" if lines else ""
    found = [part for part in (pictures, sound, subtitles) if part]
    if found:
        *others, last = found
        text = f"Damaged or missing: at least {', '.join(others)}{' and ' if others else ''}{last}."
    elif damage.ended_early and not torn:
        text = "It cannot be read to its end: what comes after a damaged place is missing."
    elif damage.gaps and not torn:
        text = "Its container is broken in places; what stands there is skipped."
    else:
        return ()
    return (MediaNote(text, BROKEN),)


def _pictures(
    damage: Damage, media: MediaInfo, times: Timeline, holes: dict[int, list[_Hole]], *, torn: bool, with_dropped: bool
) -> str:
    """Return how many pictures are damaged, of how many, and how long they last; empty where none is."""
    films = [stream for stream in media.streams if stream.kind is StreamKind.VIDEO]
    counted = {found.index: found for found in damage.streams}
    signs, number = damage.concealed + damage.gaps, 0
    for film in films:
        found, track = counted.get(film.index, StreamDamage(film.index)), times.tracks.get(film.index)
        decoded = found.broken + found.undecodable
        at_an_end = torn or (media.container in _BEGIN_ANYWHERE and not found.packets)
        if signs or not at_an_end or decoded > _INCOMPLETE_PIECES:
            begins_late = bool(track is not None and track.leading)
            alone = decoded if found.broken or with_dropped or begins_late else 0
            number += max(alone, min(found.packets, _PACKETS_FOR_EACH_SIGN * (decoded + signs)))
        number += sum(left_out for *_, left_out in holes[film.index])
    number = max(number, min(1, damage.concealed))
    if not number:
        return ""
    track = times.tracks.get(films[0].index) if len(films) == 1 else None
    whole = 0
    if track is not None and times.whole:
        whole = len(track.starts) + sum(left_out for *_, left_out in holes[films[0].index])
    of = f" of {whole:,}" if whole >= number else ""
    picture = media.video.video if media.video is not None else None
    rate = (picture.clock_rate or picture.frame_rate) if picture is not None else None
    seconds = float(number / rate) if rate else 0.0
    lasting = f" ({seconds:,.1f} s)" if seconds >= 0.1 else ""
    return f"{number:,}{of} picture{'s' if number != 1 or of else ''}{lasting}"


def _holes(track: Track | None, broken_places: int, lost_packets: int) -> list[_Hole]:
    """Return a film's longest pauses: one for each broken place and, at a steady rate, for each lost packet."""
    steps = [(after - before, before, after) for before, after in itertools.pairwise(track.starts if track else ())]
    usual = statistics.median(step for step, _, _ in steps) if steps else 0.0
    if usual <= 0:
        return []
    longer = [each for each in steps if each[0] > _HOLE * usual]
    steady = len(longer) <= (1 - _STEADY_SHARE) * len(steps)
    longest = heapq.nlargest(broken_places + (lost_packets if steady else 0), longer)
    return [(before, after, round(step / usual) - 1) for step, before, after in longest]


def _sound(damage: Damage, media: MediaInfo, times: Timeline, holes: Sequence[_Hole], *, torn: bool) -> str:
    """Return how many seconds of sound are damaged or missing; empty where none are."""
    seconds, pieces = 0.0, 0
    for stream in media.audio:
        number = _broken(damage, media, stream, torn=torn)
        pieces += number
        track = times.tracks.get(stream.index)
        if track is not None and track.packets:
            pauses = [(before[1], after[0]) for before, after in itertools.pairwise(track.spans)]
            missing = set(heapq.nlargest(damage.gaps, pauses, key=lambda pause: pause[1] - pause[0]))
            missing |= {p for p in pauses if any(since < p[1] and p[0] < until for since, until, _ in holes)}
            seconds += number * track.covered_seconds / track.packets + sum(end - start for start, end in missing)
    return f"{seconds:,.2f} s of sound" if seconds else "some sound" if pieces else ""


def _broken(damage: Damage, media: MediaInfo, stream: StreamInfo, *, torn: bool) -> int:
    """Return how many pieces of sound or subtitles are broken or undecodable, beyond those at a cut end."""
    number = sum(found.broken + found.undecodable for found in damage.streams if found.index == stream.index)
    incomplete = _INCOMPLETE_PIECES if torn or media.container in _BEGIN_ANYWHERE else 0
    if media.container in _BEGIN_ANYWHERE and stream.codec in ("mp2", "mp3"):
        incomplete = _INCOMPLETE_GUESSES
    return number if number > incomplete else 0
