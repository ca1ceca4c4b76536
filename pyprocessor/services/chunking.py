"""Which requests go together into a chunk, and how long will they take? Pure, but for what was learned."""

from __future__ import annotations

import heapq
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from pyprocessor.services.running import MOST_REQUEST_BYTES, Chunk
from pyprocessor.workers.requests import BatchRequest, BatchResult

Place = int
Placed = tuple[Place, BatchRequest]
"""A request, and its place among those of the call."""
_FIRST_SECONDS = 0.01
"""Of a request, before anything was measured."""
_SMALL = 1000
"""Characters: so few are taken for what they may come to."""
_MOST_ESCAPED = 12
"""Bytes of a character, as a pair of escapes."""
_AROUND_BYTES = 32


class Learned:
    """How long a prompt of so many characters takes: the line through all that was measured. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._sums = [0.0, 0.0, 0.0, 0.0]
        """Of characters, seconds, characters squared, and characters times seconds."""

    def add(self, request: BatchRequest, result: BatchResult) -> None:
        """Take in how long one that succeeded took."""
        seconds = result.processing_time
        if not result.success or seconds <= 0:
            return
        size = float(len(request.prompt))
        with self._lock:
            self._count += 1
            for place, value in enumerate((size, seconds, size * size, size * seconds)):
                self._sums[place] += value

    def seconds(self, request: BatchRequest) -> float:
        """Predicted seconds; where nothing was measured they only tell longer prompts from shorter ones."""
        size = len(request.prompt)
        with self._lock:
            count, (sizes, seconds, squares, products) = self._count, self._sums
        if count == 0:
            return _FIRST_SECONDS * (1 + size / 1000)
        mean = seconds / count
        spread = squares - sizes * sizes / count
        slope = max(0.0, (products - sizes * seconds / count) / spread) if spread > 1e-9 * squares else 0.0
        return max(mean / 100, mean + slope * (size - sizes / count))


def in_order(
    requests: Iterable[Placed], most: int, predict: Callable[[BatchRequest], float]
) -> Iterator[tuple[list[Place], Chunk]]:
    """Yield chunks of up to so many requests as they come, with the places of these."""
    part: list[Placed] = []
    held = 0
    for placed in requests:
        size = bytes_of(placed[1])
        if part and (len(part) >= most or held + size > MOST_REQUEST_BYTES):
            yield _chunk(part, predict)
            part, held = [], 0
        part.append(placed)
        held += size
    if part:
        yield _chunk(part, predict)


def by_cost(
    requests: Sequence[Placed], most: int, chunks: int, predict: Callable[[BatchRequest], float]
) -> Iterator[tuple[list[Place], Chunk]]:
    """Yield chunks of near equal predicted cost: the most expensive first, each to the one that has least.

    There are `chunks` of them, or as many as hold up to `most` requests each.
    """
    if not requests:
        return
    count = max(min(chunks, len(requests)), -(-len(requests) // most))
    bins: list[list[Placed]] = [[] for _ in range(count)]
    least = [(0.0, number) for number in range(count)]
    for placed in sorted(requests, key=lambda placed: -predict(placed[1])):
        taken, number = heapq.heappop(least)
        bins[number].append(placed)
        if len(bins[number]) < most:
            heapq.heappush(least, (taken + predict(placed[1]), number))
    for one in bins:
        yield from in_order(one, most, predict)


def grouped(requests: Iterable[Placed], group: Callable[[BatchRequest], Hashable]) -> list[list[Placed]]:
    """Requests that have something in common, in the order in which these first come."""
    groups: defaultdict[Hashable, list[Placed]] = defaultdict(list)
    for placed in requests:
        groups[group(placed[1])].append(placed)
    return list(groups.values())


def _chunk(part: list[Placed], predict: Callable[[BatchRequest], float]) -> tuple[list[Place], Chunk]:
    requests = tuple(request for _, request in part)
    return [place for place, _ in part], Chunk(requests, predicted_seconds=sum(map(predict, requests)))


def bytes_of(request: BatchRequest) -> int:
    """At most how large a request is as JSON. Raises TypeError or ValueError where its metadata is none."""
    *texts, metadata = request.fields
    size = sum(map(len, texts))
    if not metadata and size < _SMALL:
        return size * _MOST_ESCAPED + _AROUND_BYTES
    return len(json.dumps(request.fields, allow_nan=False, sort_keys=True))  # as it is known by
