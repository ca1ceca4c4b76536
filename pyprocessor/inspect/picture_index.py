"""When is each picture of a film shown, by its packets, and where can the film be cut? Demultiplexed, never decoded.

Times are seconds of playing time: the first picture is shown at 0. A file without a film is cut by its first sound.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import av

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect.animation import WEBP
from pyprocessor.inspect.cuts import PacketIndex, safe_places
from pyprocessor.inspect.film import DTS_ONLY
from pyprocessor.inspect.probe import probe
from pyprocessor.inspect.reader import is_away, open_again
from pyprocessor.inspect.survey import read_packets
from pyprocessor.models import InputLimits, MediaInfo

READ_SECONDS = 900.0
"""How long all packets of a source may be read."""
_MOMENT_SECONDS = 2e-6
"""Above the precision of the times that ffmpeg takes, and below any tick."""
_CONVERT = "Convert it first (pyprocessor SOURCE FOLDER), and cut what comes out."


@dataclass(frozen=True, slots=True)
class Cut:
    """A place between two pictures: `time` is when the one behind it is shown, `before` a moment between the two.

    That is close to the former, since filters round it to the ticks of the stream.
    """

    time: float
    before: float

    @classmethod
    def between(cls, earlier: float, time: float) -> Cut:
        """The cut between pictures at these times."""
        return cls(time, time - min((time - earlier) / 4, _MOMENT_SECONDS))


@dataclass(frozen=True)
class PictureIndex:
    """All packets of the film, and what is needed to find them again in the file."""

    media: MediaInfo
    sound: tuple[int, ...]
    """The streams of sound beside it."""
    origin: float
    """The container's time of the first picture."""
    duration: float
    """From the first picture to the end of the last."""
    size_bytes: int
    packets: PacketIndex
    shown: Sequence[float]
    """When each picture is shown that can be decoded, ascending."""
    damage: str | None = None

    @property
    def stream(self) -> int:
        """The stream that is cut."""
        return self.packets.stream

    @cached_property
    def times(self) -> Sequence[float]:
        """Of all packets of the film, in decoding order."""
        return array("d", (float(time * self.packets.unit) - self.origin for time in self.packets.times))

    def pictures(self, start: float, end: float) -> int:
        """How many pictures are shown from `start` to before `end`."""
        return bisect_left(self.shown, end) - bisect_left(self.shown, start)

    def times_shown(self, start: float, end: float) -> int:
        """At how many different times pictures are shown there: damaged files show several at one."""
        return len(set(self.shown[bisect_left(self.shown, start) : bisect_left(self.shown, end)]))

    def first_from(self, time: float) -> float | None:
        """When the first picture is shown from `time` on."""
        found = bisect_left(self.shown, time)
        return self.shown[found] if found < len(self.shown) else None

    def cut_at(self, time: float) -> Cut:
        """The cut between pictures shown before the picture at `time` and those from it on."""
        found = bisect_left(self.shown, time)
        return Cut.between(self.shown[found - 1] if found else time - 1.0, time)

    def keyframe_for(self, time: float) -> float:
        """When the keyframe is shown from which decoding has to begin so that all pictures from `time` on decode."""
        before = bisect_right(self.safe_cuts, time, key=lambda cut: cut.time)
        return self.safe_cuts[before - 1].time if before else 0.0

    @property
    def hidden_from(self) -> float | None:
        """The container's time between the last picture and those behind it that an edit list hides, if any."""
        last = max(self.packets.times)
        behind = [time for time, _ in self.packets.hidden if time > last]
        return float((last + min(behind)) * self.packets.unit / 2) if behind else None

    @property
    def needs_hidden(self) -> bool:
        """Whether the last pictures may be decoded from one behind them that an edit list hides."""
        last = max(self.packets.times)
        return any(time > last and place < len(self.packets.times) for time, place in self.packets.hidden)

    @cached_property
    def safe_cuts(self) -> tuple[Cut, ...]:
        """The cuts between which each piece can be copied, and decodes by itself."""
        latest = array("d", accumulate(self.times, max))
        return tuple(
            Cut.between(latest[place - 1] if place else self.times[0] - 1.0, self.times[place])
            for place in safe_places(self.packets.times, self.packets.entries)
        )

    def packets_between(self, start: float, end: float) -> tuple[int, int]:
        """How many packets of the film have times from `start` to before `end`, and their bytes."""
        order, bytes_before = self._by_time
        first, last = (bisect_left(order, time) for time in (start, end))
        return last - first, bytes_before[last] - bytes_before[first]

    @cached_property
    def _by_time(self) -> tuple[list[float], list[int]]:
        ordered = sorted(zip(self.times, self.packets.sizes, strict=True))
        return [time for time, _ in ordered], [0, *accumulate(size for _, size in ordered)]


def picture_index(path: bytes, limits: InputLimits) -> PictureIndex:
    """Read all packets of a file. Raises InspectError, also where times of its pictures are not known or jump."""
    size = os.stat(path).st_size
    media = probe(path, size_bytes=size, limits=limits)
    main = media.video or next(iter(media.audio), None)
    if main is None:
        raise InspectError(FailureKind.BAD_INPUT, "It has neither pictures nor sound.")
    if media.container == WEBP:
        raise InspectError(FailureKind.UNSUPPORTED, f"An animated WebP cannot be cut. {_CONVERT}")
    try:
        with closing(open_again(path, media)) as container:
            found = PacketIndex.of(container, main.index, by_decoding_time=container.format.name in DTS_ONLY)
            times = read_packets(container, limit_seconds=READ_SECONDS, look=found.take)
    except (av.error.FFmpegError, OSError) as error:
        kind = FailureKind.UNAVAILABLE if is_away(path) else FailureKind.BAD_INPUT
        raise InspectError(kind, f"It can no longer be read: {error.strerror}.") from error
    if not times.whole:
        raise InspectError(FailureKind.UNSUPPORTED, f"Its packets could not be read within {READ_SECONDS:.0f} seconds.")
    if any(times.corrections.values()):
        raise InspectError(
            FailureKind.UNSUPPORTED, f"Its clock jumps, so its pictures cannot be found again. {_CONVERT}"
        )
    track = times.tracks.get(main.index)
    if found.untimed or (main.video is not None and main.video.in_decoding_order):
        text = (
            "The times of some of its pictures are not known: its container holds none, or only their decoding order."
        )
        raise InspectError(FailureKind.UNSUPPORTED, f"{text} {_CONVERT}")
    if track is None or not found.times or not (track.starts or track.spans):
        raise InspectError(FailureKind.BAD_INPUT, "It holds no pictures that can be decoded.")
    origin = track.starts[0] if track.starts else track.spans[0][0]
    shown = track.starts or sorted(float(time * found.unit) for time in found.times)
    return PictureIndex(
        media=media,
        sound=tuple(stream.index for stream in media.audio if stream is not main and stream.index in times.tracks),
        origin=origin,
        duration=max(0.0, (track.end or origin) - origin),
        size_bytes=size,
        packets=found,
        shown=array("d", (time - origin for time in shown)),
        damage=times.damage,
    )
