"""How many pictures a film has and how large they are, from the container's index or from a bounded read of packets."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import av.error

from pyprocessor.models import PacketFacts

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

MOST_BYTES = 2_000_000
MOST_PACKETS = 1000
"""How much is read of a file that has no index, all streams counted: some 3 ms of CPU time."""
MOST_STAMPS = 4096
"""Times of pictures that are kept; with more pictures, `seconds` is 0."""
MOST_ENTRIES = 1024
"""Of an index, spread over all of it."""
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_LONGEST_GAP_SECONDS = 10.0
"""Between two pictures: a clock that jumps further has started anew."""


class FilmPackets:
    """Counts the packets of one film, and the bytes of others beside it, as they are read."""

    def __init__(self, film: Stream) -> None:
        self._film = film
        self._stamps: list[int] = []
        self._pictures = self._picture_bytes = self._keyframes = self._keyframe_bytes = 0
        self.packets = self.bytes = 0

    def take(self, packet: av.Packet[Stream]) -> None:
        """Count one packet of the file."""
        self.packets += 1
        self.bytes += packet.size
        if packet.stream_index != self._film.index or not packet.size or packet.is_discard:
            return
        self._pictures += 1
        self._picture_bytes += packet.size
        if packet.is_keyframe:
            self._keyframes += 1
            self._keyframe_bytes += packet.size
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and len(self._stamps) < MOST_STAMPS:
            self._stamps.append(stamp)

    def facts(self, *, whole: bool) -> PacketFacts | None:
        """The facts of the film so far; None where none of the packets was a picture of it."""
        if not self._pictures:
            return None
        unit, stamps = self._film.time_base or Fraction(0), sorted(self._stamps)
        gaps = (float((later - earlier) * unit) for earlier, later in pairwise(stamps))
        seconds = sum(min(gap, _LONGEST_GAP_SECONDS) for gap in gaps) if len(stamps) == self._pictures else 0.0
        return PacketFacts(
            self._pictures,
            self._picture_bytes,
            self._keyframes,
            self._keyframe_bytes,
            round(seconds, 3),
            None if whole else round(self._picture_bytes / self.bytes, 3),
        )


def packet_facts(
    container: InputContainer, film: Stream, read: Mapping[int, FilmPackets], *, read_whole: bool
) -> PacketFacts | None:
    """The facts of `film`; `read` are the packets that were read up to where `container` stands, by films. Where these
    are not all, its index or some more packets are."""
    own = read[film.index]
    if read_whole:
        return own.facts(whole=True)
    if film.frames and container.format.name.startswith(("mov,", "avi")) and len(film.index_entries) == film.frames:
        return _indexed(film)
    try:
        for packet in container.demux():
            if own.packets >= MOST_PACKETS or own.bytes >= MOST_BYTES:
                return own.facts(whole=False)
            if packet.size or packet.dts is not None:  # else it is the end of a stream
                for each in read.values():
                    each.take(packet)
    except MemoryError:  # the limit on what inspecting may take
        raise
    except (av.error.FFmpegError, IndexError):  # damage, or a stream that begins only here
        return own.facts(whole=False)
    return own.facts(whole=True)


def _indexed(film: Stream) -> PacketFacts | None:
    entries = film.index_entries
    count = len(entries)
    looked_at = min(count, MOST_ENTRIES)
    # At uneven distances where not all are looked at, so that the sample does not keep step with the keyframes.
    places = range(count) if count == looked_at else (_uneven(number, count) for number in range(looked_at))
    found = [entry for entry in map(entries.__getitem__, places) if entry.size and not entry.is_discard]
    if not found:
        return None
    seconds = float((found[-1].timestamp - found[0].timestamp) * (film.time_base or 0))
    keyframes = [entry.size for entry in found if entry.is_keyframe]
    stands_for = count / looked_at
    return PacketFacts(
        pictures=round(len(found) * stands_for),
        bytes=round(sum(entry.size for entry in found) * stands_for),
        keyframes=round(len(keyframes) * stands_for),
        keyframe_bytes=round(sum(keyframes) * stands_for),
        seconds=round(max(0.0, seconds), 3),
    )


def _uneven(number: int, count: int) -> int:
    return int((number + number * _GOLDEN_RATIO % 1) * count / MOST_ENTRIES)
