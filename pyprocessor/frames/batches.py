"""How do frames go through a function of the user's, in micro-batches?"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any

from pyprocessor.frames.reading import Frame
from pyprocessor.microbatch import BatchProcessor, BatchProcessorConfig

_BATCHES_AHEAD = 2
"""One is being done while the next is gathered."""


def map_frames(
    frames: Iterable[Frame], function: Callable[[Any], Any], config: BatchProcessorConfig | None = None
) -> Iterator[tuple[float, Any]]:
    """Yield the time of each frame and what `function` returned for it, in the order of the frames.

    The function gets an array (n, height, width, 3), or (n, height, width) of grey, valid until it returns, and returns
    n results: a list, a tuple or an array. At most two batches of `config.max_batch_size` frames are taken ahead of
    who asks for results. Raises what the function raised for a frame, and what reading frames raises.
    """
    config = config or BatchProcessorConfig()
    ahead: deque[tuple[float, Future[Any]]] = deque()
    with BatchProcessor(config) as processor:
        processor.start(function)
        try:
            for frame in frames:
                ahead.append((frame.time, processor.enqueue_predict(frame.array)))
                if len(ahead) >= _BATCHES_AHEAD * config.max_batch_size:
                    yield _next(ahead)
            while ahead:
                yield _next(ahead)
        finally:
            for _, future in ahead:
                future.cancel()


def _next(ahead: deque[tuple[float, Future[Any]]]) -> tuple[float, Any]:
    time, future = ahead.popleft()
    return time, future.result()
