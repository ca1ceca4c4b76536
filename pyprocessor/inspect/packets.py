"""How many pictures does a film have, and how large are they? By the container's index or a bounded read of packets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import av

from pyprocessor.inspect.reader import Container, Packet, Stream
from pyprocessor.models import PacketFacts

MOST_BYTES, MOST_PACKETS = 2_000_000, 1000
"""How much is read of a file without an index, all streams counted: some 3 ms of CPU time."""
MOST_ENTRIES = 1024
"""Entries of an index that are looked at, spread over all of it."""
_MOST_STAMPS = 4096
"""Times of pictures that are kept; with more pictures, their seconds are not known."""
_LONGEST_GAP_SECONDS = 10.0
"""Between two pictures: a longer one is a jump of the clock."""
_GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(slots=True)
class _Film:
    unit: Fraction
    pictures: int = 0
    bytes: int = 0
    keyframes: int = 0
    keyframe_bytes: int = 0
    stamps: list[int] = field(default_factory=list)


class PacketCounts:
    """Counts the packets of a file's films, and of the whole file, as they are read."""

    def __init__(self, films: Iterable[Stream]) -> None:
        self._films = {film.index: _Film(film.time_base or Fraction(0)) for film in films}
        self.packets = self.bytes = 0

    def take(self, packet: Packet) -> None:
        """Count one packet of the file."""
        self.packets += 1
        self.bytes += packet.size
        film = self._films.get(packet.stream_index)
        if film is None or not packet.size or packet.is_discard:
            return
        film.pictures += 1
        film.bytes += packet.size
        if packet.is_keyframe:
            film.keyframes += 1
            film.keyframe_bytes += packet.size
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and len(film.stamps) < _MOST_STAMPS:
            film.stamps.append(stamp)

    def facts(self, index: int, *, whole: bool) -> PacketFacts | None:
        """Return the facts of one film so far; None where none of the packets was a picture of it."""
        film = self._films[index]
        if not film.pictures:
            return None
        gaps = (float((later - earlier) * film.unit) for earlier, later in pairwise(sorted(film.stamps)))
        timed = len(film.stamps) == film.pictures
        seconds = round(sum(min(gap, _LONGEST_GAP_SECONDS) for gap in gaps), 3) if timed else 0.0
        share = None if whole else round(film.bytes / self.bytes, 3)
        return PacketFacts(film.pictures, film.bytes, film.keyframes, film.keyframe_bytes, seconds, share)


def packet_facts(container: Container, film: Stream, counts: PacketCounts, *, read_whole: bool) -> PacketFacts | None:
    """Return the facts of `film`: by the counted packets, the container's index, or more packets."""
    if read_whole:
        return counts.facts(film.index, whole=True)
    if film.frames and container.format.name.startswith(("mov,", "avi")) and len(film.index_entries) == film.frames:
        return _indexed(film)
    try:
        for packet in container.demux():
            if counts.packets >= MOST_PACKETS or counts.bytes >= MOST_BYTES:
                return counts.facts(film.index, whole=False)
            if packet.size or packet.dts is not None:  # else it is the end of a stream
                counts.take(packet)
    except MemoryError:  # the limit on what inspecting may take
        raise
    except (av.error.FFmpegError, IndexError):  # damage, or a stream that begins only here
        return counts.facts(film.index, whole=False)
    return counts.facts(film.index, whole=True)


def _indexed(film: Stream) -> PacketFacts | None:
    """Return the facts of `film` by the index of its container."""
    entries = film.index_entries
    count = len(entries)
    looked_at = min(count, MOST_ENTRIES)
    # At uneven distances where not all are looked at, so that the sample does not keep step with the keyframes.
    uneven = (int((n + n * _GOLDEN_RATIO % 1) * count / MOST_ENTRIES) for n in range(looked_at))
    places = range(count) if count == looked_at else uneven
    found = [entry for entry in map(entries.__getitem__, places) if entry.size and not entry.is_discard]
    if not found:
        return None
    seconds = float((found[-1].timestamp - found[0].timestamp) * (film.time_base or 0))
    keyframes = [entry.size for entry in found if entry.is_keyframe]
    counted = (len(found), sum(entry.size for entry in found), len(keyframes), sum(keyframes))
    pictures, total, keys, key_bytes = (round(number * count / looked_at) for number in counted)
    return PacketFacts(pictures, total, keys, key_bytes, round(max(0.0, seconds), 3))
