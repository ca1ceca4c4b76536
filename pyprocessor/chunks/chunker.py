"""Where does one chunk of a source end, and the next begin? By the times of its pictures, or by its keyframes."""

from __future__ import annotations

import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from pyprocessor.chunks.errors import PipelineError
from pyprocessor.errors import ExitCode, FailureKind, InspectError, PyprocessorError
from pyprocessor.inspect.picture_index import Cut, PictureIndex, picture_index
from pyprocessor.intake.paths import absolute, all_exist
from pyprocessor.models import InputLimits, display

MOST_CHUNKS = 100_000
_SAME_SECONDS = 1e-6
"""Times that differ by less are one: they come from a container's whole ticks."""
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

    def _bounds(self) -> list[float]:
        """When chunks are to begin, where at least one picture begins before the next one does."""
        stop = min(self.stop, self.index.duration)
        count = math.ceil((stop - self.start - _SAME_SECONDS) / self.seconds)
        if count > MOST_CHUNKS:
            text = f"{count:,} chunks of {self.seconds:g} seconds are more than the {MOST_CHUNKS:,} of a pipeline"
            raise PipelineError(f"{text}; give a longer chunk_duration.")
        bounds = [self.start + number * self.seconds for number in range(max(0, count))]
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


class Chunker:
    """Reads the packets of a source, once, and says how it is divided. Raises PipelineError.

    A chunk in which no picture begins is none: the one before it lasts longer.
    """

    def __init__(
        self,
        source: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        chunk_duration: float = 10.0,
        start_time: float | None = None,
        end_time: float | None = None,
        *,
        limits: InputLimits = InputLimits(),  # noqa: B008 - frozen
    ) -> None:
        self.path = _readable(source)
        self.chunk_duration = _seconds("chunk_duration", chunk_duration)
        start = _seconds("start_time", 0.0 if start_time is None else start_time, least=0.0)
        stop = math.inf if end_time is None else _seconds("end_time", end_time, least=0.0)
        if stop <= start:
            raise PipelineError(f"end_time ({stop:g}) is not behind start_time ({start:g}).")
        if self.chunk_duration <= 0:
            raise PipelineError(f"chunk_duration is {self.chunk_duration:g}, but has to be more than 0 seconds.")
        try:
            self.index: PictureIndex = picture_index(self.path, limits)
        except (InspectError, OSError) as error:
            reason = str(error) if isinstance(error, InspectError) else f"It cannot be read: {error.strerror}."
            away = isinstance(error, InspectError) and error.kind is FailureKind.UNAVAILABLE
            code = ExitCode.TRY_AGAIN if away else ExitCode.SOME_FAILED
            raise PipelineError(f"{display(self.path)} cannot be cut into chunks. {reason}", code) from error
        self.cutting = Cutting(self.index, self.chunk_duration, start, stop)

    @property
    def file_size(self) -> int:
        """Bytes of the source."""
        return self.index.size_bytes

    @property
    def source_duration(self) -> float:
        """Seconds from the first picture to the end of the last."""
        return self.index.duration

    @property
    def expected_chunks(self) -> int:
        """How many chunks there are by the times of pictures."""
        return len(self.cutting.chunks())

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks by the times of pictures."""
        return (cut.chunk for cut in self.cutting.chunks())


def _time(cut: Cut) -> float:
    return cut.time


def _readable(source: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> bytes:
    try:
        given = os.fsdecode(source)
        path = absolute(given, "The source")
        if not all_exist([given]):
            raise PipelineError(f"The source {display(path)} does not exist; check its path.")
    except PipelineError:
        raise
    except PyprocessorError as error:
        raise PipelineError(str(error), error.exit_code) from error
    if not os.path.isfile(path):
        raise PipelineError(f"The source {display(path)} is no file; a pipeline takes one video file.")
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _seconds(name: str, value: float, *, least: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        raise PipelineError(f"{name} is {value!r}, but has to be a number of seconds.")
    return float(value)
