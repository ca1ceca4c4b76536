"""Where does one chunk of a source end and the next begin, and what has its job to know?

By the times of its pictures, or by its keyframes. All of it is read from an index of the source's packets.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.inspect.chunk_reading import SEEK_BACK_SECONDS
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.picture_index import Cut, PictureIndex
from pyprocessor.models import Profile
from pyprocessor.tasks.chunk_processing import chunk_profile, profile_values
from pyprocessor.tasks.chunk_processors import Processor

MOST_CHUNKS = 100_000
_SAME_SECONDS = 1e-6
"""Times that differ by less are one: they come from a container's whole ticks."""
_time = attrgetter("time")
_SETTLED_SECONDS = 3.0
"""How far a recording has to have gone on behind a chunk: sound may come behind the pictures that it belongs to."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a source, in seconds of playing time; `sequence` counts from 0."""

    sequence: int
    start_time: float
    end_time: float
    duration: float


@dataclass(frozen=True, slots=True)
class CutChunk:
    """A chunk, and the cuts at its ends; None is the beginning, or the end, of the source."""

    chunk: Chunk
    first: Cut | None
    end: Cut | None


@dataclass(frozen=True, slots=True)
class Cutting:
    """How the pictures of an index are cut into chunks; pure. `start` and `stop` are seconds of playing time."""

    index: PictureIndex
    seconds: float
    start: float = 0.0
    stop: float = math.inf

    def chunks(self, *, at_keyframes: bool = False, settled: bool = True) -> list[CutChunk]:
        """The chunks with their cuts: at the very times, or at the next keyframes where the source can be cut.

        Of a source that is not `settled`, because it grows, only those that what comes cannot change.
        """
        bounds = self._bounds()
        if not bounds:
            return []
        cuts = self._keyframe_cuts(bounds) if at_keyframes else self._picture_cuts(bounds)
        ends = [*cuts[1:], self._last_cut(at_keyframes=at_keyframes)]
        made = []
        for sequence, ((start, first), (stop, end)) in enumerate(zip(cuts, ends, strict=True)):
            if not settled and (end is None or self.index.duration < end.time + _SETTLED_SECONDS):
                break
            made.append(CutChunk(Chunk(sequence, start, stop, stop - start), first, end))
        return made

    def check(self, most: int = MOST_CHUNKS) -> int:
        """Return how many chunks there may be. Raises JobError where these are more than `most`."""
        stop = min(self.stop, self.index.duration)
        count = max(0, math.ceil((stop - self.start - _SAME_SECONDS) / self.seconds))
        if count > most:
            text = f"{count:,} chunks of {self.seconds:g} seconds are more than the {most:,} of one source"
            raise JobError(FailureKind.BAD_INPUT, f"{text}; give a longer chunk_duration.")
        return count

    def _bounds(self) -> list[float]:
        """When chunks are to begin, where at least one picture begins before the next one does."""
        stop = min(self.stop, self.index.duration)
        bounds = [self.start + number * self.seconds for number in range(self.check())]
        held = []
        for start, following in zip(bounds, [*bounds[1:], stop], strict=False):
            picture = self.index.first_from(start - _SAME_SECONDS)
            if picture is not None and picture < following - _SAME_SECONDS:
                held.append(start)
        if held:
            held[0] = self.start
        return held

    def _picture_cuts(self, bounds: list[float]) -> list[tuple[float, Cut | None]]:
        cuts: list[tuple[float, Cut | None]] = []
        for bound in bounds:
            picture = self.index.first_from(bound - _SAME_SECONDS)
            cuts.append((bound, None if not picture else self.index.cut_at(picture)))
        return cuts

    def _keyframe_cuts(self, bounds: list[float]) -> list[tuple[float, Cut | None]]:
        """The first chunk begins at or before what was asked for, the others at or behind it."""
        safe = [cut for cut in self.index.safe_cuts if cut.time > 0]
        earlier = bisect_right(safe, self.start + _SAME_SECONDS, key=_time)
        first = safe[earlier - 1] if earlier else None
        cuts: list[tuple[float, Cut | None]] = [(first.time if first is not None else 0.0, first)]
        end = self._last_cut(at_keyframes=True)[0]
        for bound in bounds[1:]:
            later = safe[bisect_left(safe, bound - _SAME_SECONDS, key=_time) :][:1]
            if later and cuts[-1][0] < later[0].time < end - _SAME_SECONDS:
                cuts.append((later[0].time, later[0]))
        return cuts

    def _last_cut(self, *, at_keyframes: bool) -> tuple[float, Cut | None]:
        picture = self.index.first_from(self.stop - _SAME_SECONDS) if math.isfinite(self.stop) else None
        if picture is None:
            return self.index.duration, None
        if not at_keyframes:
            return self.stop, self.index.cut_at(picture)
        safe = self.index.safe_cuts
        found = bisect_left(safe, self.stop - _SAME_SECONDS, key=_time)
        return (self.index.duration, None) if found == len(safe) else (safe[found].time, safe[found])


def check_writable(index: PictureIndex, profile: Profile | None) -> None:
    """Raise JobError where chunks of a film cannot be copied (`profile` is None), or not be encoded as asked."""
    if profile is not None:
        contract(chunk_profile(profile_values(profile)), index.media)
        return
    main = next(stream for stream in index.media.streams if stream.index == index.stream)
    if main.decoder is not None:
        text = "ffmpeg does not know the codec of its pictures, so they cannot be copied."
        raise JobError(FailureKind.UNSUPPORTED, text)
    if index.needs_hidden:
        text = "Its last pictures are decoded from one that an edit list hides, which a copy would show; make exact"
        raise JobError(FailureKind.UNSUPPORTED, f"{text} chunks of it.")


def copied_streams(index: PictureIndex) -> tuple[int, ...]:
    """The streams of chunks: the film, or the only sound, and the sound beside it."""
    return (index.stream, *index.sound)


def chunk_params(
    index: PictureIndex,
    path: bytes,
    cut: CutChunk,
    *,
    file: str,
    container: str,
    processors: Mapping[str, Processor | None],
    profile: Profile | None,
    grows: bool = False,
) -> dict[str, Any]:
    """The params of the job of one chunk, which is written to `file` where that is not empty."""
    chunk, streams = cut.chunk, copied_streams(index)
    media = index.media
    low = cut.first.before if cut.first is not None else None
    high = cut.end.before if cut.end is not None else None
    begin, end = (float("-inf") if low is None else low), (float("inf") if high is None else high)
    packets, size = index.packets_between(begin, end)
    main = next(stream for stream in media.streams if stream.index == index.stream)
    first = cut.first.time if cut.first is not None else None
    reached = None if first is None else min(index.keyframe_for(first), first)
    at_least = min(index.origin, index.packets.start_seconds)
    seek = None if reached is None or reached <= SEEK_BACK_SECONDS else index.origin + reached - SEEK_BACK_SECONDS
    shown = {
        "low": None if low is None else low + index.origin,
        "high": None if high is None else high + index.origin,
        "seek": seek,
    }
    return {
        "source": os.fsdecode(path),
        "inode": os.stat(path).st_ino if grows else 0,
        "source_bytes": 0 if grows else index.size_bytes,
        "sequence": chunk.sequence,
        "start_time": chunk.start_time,
        "end_time": chunk.end_time,
        "file": file,
        "container": container,
        "processors": {name: given and asdict(given) for name, given in processors.items()},
        "profile": None if profile is None else profile_values(profile),
        "codec": main.codec or "",
        "pixels": main.video.pixels if main.video is not None else 0,
        "opened": {
            "container": media.container,
            "deep": media.deep,
            "forward": media.forward,
            "skipped_bytes": media.skipped_bytes,
        },
        "streams": [
            {"index": stream.index, "kind": stream.kind.value, "codec": stream.codec}
            for stream in sorted(media.streams, key=lambda stream: stream.index != index.stream)
            if stream.index in streams
        ],
        "range": {
            **shown,
            "zero": at_least if first is None else index.origin + first,
            "file_start": index.packets.start_seconds,
            "film_ends": index.hidden_from if high is None else None,
        },
        "chunk": {
            **shown,
            "stream": index.stream,
            "packets": packets,
            "bytes": size,
            "frames": index.pictures(begin, end),
            "times": index.times_shown(begin, end),
            "fields": main.video is not None and main.video.interlaced,
            "leading": index.packets_between(begin, 0.0)[0] if low is None else 0,
        },
    }
