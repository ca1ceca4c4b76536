"""What a file truly holds, found by reading its packets: when every track starts and ends, and how many packets it has.

Headers may lie; packets do not. Reading them costs no decoding, only the file's bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.error

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_JUMP_SECONDS = 10.0
"""Transport streams may start a new clock midway; ffmpeg mends jumps above this (its `dts_delta_threshold`)."""
_JUMPING = ("mpegts", "mpeg")
_CHECK_CLOCK_EVERY = 512
"""Packets."""


@dataclass(slots=True)
class Track:
    """Seconds from the track's first picture or sample to the end of its last, as far as packets were read."""

    packets: int = 0
    start: float | None = None
    end: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it lasts, or None where its packets carry no time stamps."""
        return None if self.start is None or self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class Measured:
    """`tracks` by stream index. `whole` is False where the reading was given up on; `damage` is what ended it early."""

    tracks: dict[int, Track]
    whole: bool
    damage: str | None = None


def read_packets(
    container: InputContainer, *, limit_seconds: float, clock: Callable[[], float] = time.monotonic
) -> Measured:
    """Read every packet from where `container` stands to its end, for at most `limit_seconds`."""
    tracks = {stream.index: Track() for stream in container.streams}
    mend = _Mend() if container.format.name in _JUMPING else None
    deadline = clock() + limit_seconds
    try:
        for number, packet in enumerate(container.demux()):
            if number % _CHECK_CLOCK_EVERY == 0 and clock() > deadline:
                return Measured(tracks, whole=False)
            if packet.size and not packet.is_discard:
                _count(tracks[packet.stream_index], packet, mend)
    except av.error.FFmpegError as error:
        return Measured(tracks, whole=True, damage=error.strerror)
    return Measured(tracks, whole=True)


class _Mend:
    """Takes jumps of a transport stream's clock out of its time stamps, as ffmpeg does."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._latest: float | None = None

    def seconds(self, stamp: float) -> float:
        mended = stamp + self._offset
        if self._latest is not None and abs(mended - self._latest) > _JUMP_SECONDS:
            self._offset += self._latest - mended
            mended = self._latest
        self._latest = mended
        return mended


def _count(track: Track, packet: av.Packet[Stream], mend: _Mend | None) -> None:
    track.packets += 1
    stamp = packet.pts if packet.pts is not None else packet.dts
    unit = packet.time_base
    if stamp is None or not unit:
        return
    start = _seconds(stamp, unit)
    if mend is not None:
        start = mend.seconds(start)
    end = start + _seconds(packet.duration or 0, unit)
    track.start = start if track.start is None else min(track.start, start)
    track.end = end if track.end is None else max(track.end, end)


def _seconds(ticks: int, unit: Fraction) -> float:
    return ticks * unit.numerator / unit.denominator
