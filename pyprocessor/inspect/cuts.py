"""Where may a film be cut, so that what follows decodes by itself and holds all pictures that are shown in its time?"""

from __future__ import annotations

import bisect
import itertools
import re
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import av

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.inspect.clock import JUMPING
from pyprocessor.inspect.probe import survey_source
from pyprocessor.inspect.reader import Container, Packet, context_of
from pyprocessor.models import InputLimits, MediaInfo

_DECODED_ALONE = frozenset(
    "h264 hevc av1 vp8 vp9 mpeg1video mpeg2video mpeg4 msmpeg4v2 msmpeg4v3 wmv1 wmv2 wmv3 vc1 h263 flv1 vp6f mjpeg "
    "prores dnxhd dvvideo ffv1 rawvideo v210 huffyuv utvideo magicyuv cineform".split()
)
"""Codecs whose keyframes need nothing that came before them."""
_SLICE = re.compile(rb"\x00\x00\x01([\x01\x05\x21\x25\x41\x45\x61\x65])")
"""The first slice of a picture of H.264 behind a start code."""
_IDR, _PLAIN, _UNIT = 5, 1, 0x1F
_LEAST_STRETCH_SECONDS = 0.5
"""Of what lies between two cuts: films of keyframes alone could be cut at each picture."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What lies between two neighbouring places where a film may be cut; times are in ticks of the film's clock."""

    begin: int
    end: int | None
    """The time of the first picture behind it; None for the last stretch."""
    pictures: int
    seconds: float
    bytes: int
    keyframes: int
    keyframe_bytes: int


@dataclass(frozen=True, slots=True)
class Film:
    """A film by its packets: what the survey found of its file, and its stretches in order, of at least one."""

    media: MediaInfo
    unit: Fraction
    """Seconds of a tick."""
    start_seconds: float
    """What ffmpeg subtracts from the times of the streams that it reads."""
    stretches: tuple[Stretch, ...]


@dataclass(slots=True)
class PacketIndex:
    """The packets of the stream that is cut, in decoding order from its first keyframe on.

    What comes before that cannot be decoded. Times are in ticks of `unit` seconds.
    """

    stream: int
    unit: Fraction
    start_seconds: float = 0.0
    """What ffmpeg subtracts from times of the file."""
    codec: str = ""
    is_entry: Callable[[Packet], bool] = lambda packet: True  # noqa: ARG005
    """Whether a keyframe ends all reference to what was before it."""
    by_decoding_time: bool = False
    """Whether its packets are known by their DTS."""
    times: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    keys: list[int] = field(default_factory=list)
    """The places of its keyframes, and those of them that end all reference to what was before."""
    entries: list[int] = field(default_factory=list)
    untimed: int = 0
    hidden: list[tuple[int, int]] = field(default_factory=list)
    """Those that an edit list hides: the time, and how many that are shown come before it."""
    _begun: bool = False
    """Whether there was a keyframe, be it one that is not shown."""

    @classmethod
    def of(
        cls, container: Container, index: int, used: Sequence[int] = (), *, by_decoding_time: bool = False
    ) -> PacketIndex:
        """That of stream `index` of a file that was just opened, of which ffmpeg will read the streams `used`."""
        stream = container.streams[index]
        context = context_of(stream)
        codec = context.codec.canonical_name if context is not None else ""
        starts = [
            s.start_time * (s.time_base or Fraction(0)) for s in container.streams if s.index in used and s.start_time
        ]
        start = Fraction(container.start_time or 0, av.time_base)
        if container.format.name in JUMPING and starts:
            start = min(starts)
        is_entry = _entry_test(codec, bytes((context.extradata or b"")[:5]) if context is not None else b"")
        return cls(index, stream.time_base or Fraction(1), float(start), codec, is_entry, by_decoding_time)

    def take(self, packet: Packet) -> None:
        """Take in the next packet of the file."""
        if packet.stream_index != self.stream or not packet.size:
            return
        self._begun = self._begun or packet.is_keyframe
        time = packet.dts if self.by_decoding_time else packet.pts
        if packet.is_discard:
            if time is not None:
                self.hidden.append((time, len(self.times)))
            return
        if not self._begun:
            return
        if time is None:
            self.untimed += 1
            return
        if packet.is_keyframe:
            self.keys.append(len(self.times))
            if self.is_entry(packet):
                self.entries.append(len(self.times))
        self.times.append(time)
        self.sizes.append(packet.size)

    def stretches(self, shown: Sequence[float]) -> Iterator[Stretch]:
        """What lies between places where it may be cut; its pictures are shown at these times, in ascending seconds."""
        begins = [0]
        for place in safe_places(self.times, self.entries):
            if (self.times[place] - self.times[begins[-1]]) * self.unit >= _LEAST_STRETCH_SECONDS:
                begins.append(place)
        for place, until in itertools.zip_longest(begins, begins[1:], fillvalue=len(self.times)):
            end = self.times[until] if until < len(self.times) else None
            last = end if end is not None else max(self.times[place:])
            keys = self.keys[bisect.bisect_left(self.keys, place) : bisect.bisect_left(self.keys, until)]
            first_shown = self._shown_before(shown, self.times[place])
            shown_until = self._shown_before(shown, end) if end is not None else len(shown)
            yield Stretch(
                self.times[place],
                end,
                shown_until - first_shown,
                float((last - self.times[place]) * self.unit),
                sum(self.sizes[place:until]),
                len(keys),
                sum(self.sizes[key] for key in keys),
            )

    def _shown_before(self, shown: Sequence[float], time: int) -> int:
        return bisect.bisect_left(shown, float((time - Fraction(1, 2)) * self.unit))


def safe_places(times: Sequence[int], keys: Sequence[int]) -> list[int]:
    """Return which of the places `keys` have only earlier pictures before them and only later ones behind them.

    `times` are those of the pictures in the order in which they are decoded.
    """
    before = array("q", itertools.accumulate(times, max))
    behind = array("q", itertools.accumulate(reversed(times), min))[::-1]
    last = len(times) - 1
    return [
        key
        for key in keys
        if (key == 0 or before[key - 1] < times[key]) and (key == last or behind[key + 1] > times[key])
    ]


def read_film(path: bytes, media: MediaInfo, index: int, used: Sequence[int], limits: InputLimits) -> Film:
    """Read all packets of the file and return the film in stream `index`. Raises JobError where no cut is safe."""
    opened: list[PacketIndex] = []

    def begin(container: Container) -> Callable[[Packet], None]:
        opened.append(PacketIndex.of(container, index, used))
        return opened[-1].take

    found, times = survey_source(path, media, used, limits, begin)
    if not opened:
        raise JobError(FailureKind.UNSUPPORTED, "It is an animation that has no packets.")
    packets = opened[-1]
    track = times.tracks.get(index)
    problem = ""
    if packets.codec not in _DECODED_ALONE:
        problem = f"Parts of a film in {packets.codec or 'its codec'} cannot be decoded by themselves."
    elif not times.whole:
        problem = "It takes too long to read all of its packets."
    elif times.damage is not None:
        problem = "It cannot be read to its end."
    elif times.unlisted or found.deep != media.deep:
        problem = "Streams begin in the midst of it."
    elif times.corrections or found.jump_seconds is not None:
        problem = "The clock of its recording jumps."
    elif packets.hidden:
        problem = "An edit list leaves out some of its pictures."
    elif packets.untimed:
        problem = "Some of its pictures have no time."
    elif len(set(packets.times)) < len(packets.times):
        problem = "Several of its pictures come at the same time."
    elif track is None or not packets.keys:
        problem = "It has no picture that can be decoded by itself."
    if problem or track is None:
        raise JobError(FailureKind.UNSUPPORTED, problem)
    return Film(found, packets.unit, packets.start_seconds, tuple(packets.stretches(track.starts)))


def _entry_test(codec: str, extradata: bytes) -> Callable[[Packet], bool]:
    """Return the test whether a keyframe ends all reference to what was before it.

    Demuxers also mark pictures of H.264 from which a decoder recovers only some pictures later.
    """
    if codec != "h264":
        return lambda packet: True  # noqa: ARG005
    if extradata[:1] != b"\1":
        return lambda packet: _begins_with_idr(bytes(packet))
    length_bytes = (extradata[4] & 3) + 1
    return lambda packet: _first_slice(bytes(packet), length_bytes) == _IDR


def _begins_with_idr(data: bytes) -> bool:
    found = _SLICE.search(data)
    return found is not None and found[1][0] & _UNIT == _IDR


def _first_slice(data: bytes, length_bytes: int) -> int:
    """Return the kind of the first slice among units with their lengths before them; 0 where there is none."""
    at = 0
    while at + length_bytes < len(data):
        kind = data[at + length_bytes] & _UNIT
        if kind in (_IDR, _PLAIN):
            return kind
        at += length_bytes + int.from_bytes(data[at : at + length_bytes], "big")
    return 0
