"""When is each picture of a film shown, by its packets, and where can the film be cut? Demultiplexed, never decoded.

Times are seconds of playing time: the first picture is shown at 0. A file without a film is cut by its first sound.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import av

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect.animation import WEBP
from pyprocessor.inspect.film import DTS_ONLY
from pyprocessor.inspect.probe import probe
from pyprocessor.inspect.reader import Packet, is_away, open_again
from pyprocessor.inspect.survey import read_packets
from pyprocessor.models import InputLimits, MediaInfo

READ_SECONDS = 900.0
"""How long all packets of a source may be read."""
_MOMENT_SECONDS = 2e-6
"""Above the precision of the times that ffmpeg takes, and below any tick."""
_CONVERT = "Convert it first (pyprocessor SOURCE FOLDER), and cut what comes out."


@dataclass(slots=True)
class Packets:
    """The packets of the stream that is cut, in decoding order; times are the container's, in seconds."""

    times: array[float] = field(default_factory=lambda: array("d"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    keys: list[int] = field(default_factory=list)
    """The places of those that are decoded without any other."""
    untimed: int = 0
    hidden: list[tuple[float, int]] = field(default_factory=list)
    """Those that an edit list hides: the time, and how many that are shown come before it."""
    begun: bool = False
    """Whether there was a keyframe, be it one that is not shown."""


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
    stream: int
    sound: tuple[int, ...]
    """The streams of sound beside it."""
    origin: float
    """The container's time of the first picture."""
    file_start: float
    """The container's time from which ffmpeg counts."""
    duration: float
    """From the first picture to the end of the last."""
    size_bytes: int
    places: Packets
    shown: Sequence[float]
    """When each picture is shown that can be decoded, ascending."""
    damage: str | None = None

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
        before = bisect_right(self._decodable, (time, len(self.places.times)))
        return self._decodable[before - 1][0] if before else 0.0

    @cached_property
    def _decodable(self) -> list[tuple[float, int]]:
        return [(cut.time, 0) for cut in self.safe_cuts]

    @property
    def hidden_from(self) -> float | None:
        """The container's time between the last picture and those behind it that an edit list hides, if any."""
        last = self.origin + max(self.places.times)
        behind = [time for time, _ in self.places.hidden if time > last]
        return (last + min(behind)) / 2 if behind else None

    @property
    def needs_hidden(self) -> bool:
        """Whether the last pictures may be decoded from one behind them that an edit list hides."""
        last = self.origin + max(self.places.times)
        return any(time > last and place < len(self.places.times) for time, place in self.places.hidden)

    @cached_property
    def safe_cuts(self) -> tuple[Cut, ...]:
        """The keyframes before which no picture is shown later, and behind which none is shown earlier."""
        times = self.places.times
        earliest_behind = array("d", times)
        for place in range(len(times) - 2, -1, -1):
            earliest_behind[place] = min(times[place], earliest_behind[place + 1])
        cuts, latest, seen = [], float("-inf"), 0
        for key in self.places.keys:
            latest = max(latest, max(times[seen:key], default=latest))
            seen = key
            if latest < times[key] <= earliest_behind[key]:
                cuts.append(Cut.between(latest if key else times[key] - 1.0, times[key]))
        return tuple(cuts)

    def packets(self, start: float, end: float) -> tuple[int, int]:
        """How many packets of the film have times from `start` to before `end`, and their bytes."""
        order, bytes_before = self._by_time
        first, last = (bisect_left(order, time) for time in (start, end))
        return last - first, bytes_before[last] - bytes_before[first]

    @cached_property
    def _by_time(self) -> tuple[list[float], list[int]]:
        ordered = sorted(zip(self.places.times, self.places.sizes, strict=True))
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
    found = Packets()
    try:
        with closing(open_again(path, media)) as container:
            dts_only = container.format.name in DTS_ONLY
            file_start = (container.start_time or 0) / av.time_base

            def look(packet: Packet) -> bool:
                if packet.stream_index == main.index and packet.size:
                    _note(found, packet, dts_only=dts_only)
                return True

            times = read_packets(container, limit_seconds=READ_SECONDS, look=look)
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
    shown = track.starts or sorted(found.times)
    found.times = array("d", (time - origin for time in found.times))
    return PictureIndex(
        media=media,
        stream=main.index,
        sound=tuple(stream.index for stream in media.audio if stream is not main and stream.index in times.tracks),
        origin=origin,
        file_start=file_start,
        duration=max(0.0, (track.end or origin) - origin),
        size_bytes=size,
        places=found,
        shown=array("d", (time - origin for time in shown)),
        damage=times.damage,
    )


def _note(found: Packets, packet: Packet, *, dts_only: bool) -> None:
    found.begun = found.begun or packet.is_keyframe
    if not found.begun:
        return  # it depends on a picture that is not in the file
    stamp = packet.dts if dts_only else packet.pts
    if packet.is_discard:
        if stamp is not None and packet.time_base is not None:
            found.hidden.append((float(stamp * packet.time_base), len(found.times)))
        return
    if stamp is None or packet.time_base is None:
        found.untimed += 1
        return
    if packet.is_keyframe:
        found.keys.append(len(found.times))
    found.times.append(float(stamp * packet.time_base))
    found.sizes.append(packet.size)
