"""Which chunks has a source that a caller names?"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

from pyprocessor.chunks.errors import PipelineError
from pyprocessor.errors import ExitCode, FailureKind, InspectError, JobError, PyprocessorError
from pyprocessor.inspect.picture_index import PictureIndex, picture_index
from pyprocessor.intake.paths import AnyPath, absolute, all_exist
from pyprocessor.models import InputLimits, display
from pyprocessor.tasks.chunk_cutting import Chunk, Cutting


class Chunker:
    """Reads the packets of a source, once, and says how it is divided. Raises PipelineError.

    A chunk in which no picture begins is none: the one before it lasts longer.
    """

    def __init__(
        self,
        source: AnyPath,
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
        try:
            self.cutting.check()
        except JobError as error:
            raise PipelineError(str(error)) from error

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


def _readable(source: AnyPath) -> bytes:
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
