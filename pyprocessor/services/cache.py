"""Was this asked before, and what was answered? In memory: as many answers as it may hold, each for a time."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pyprocessor.workers.requests import BatchRequest, BatchResult

DEFAULT_SIZE = 1000
DEFAULT_EXPIRY_SECONDS = 3600.0
Key = tuple[str, ...]


@dataclass(eq=False)
class AnswerCache:
    """Answers that succeeded. The one that was not asked for longest makes room. Thread-safe."""

    size: int
    expiry_seconds: float
    clock: Callable[[], float] = time.monotonic
    _kept: OrderedDict[Key, tuple[float, BatchResult]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> BatchResult | None:
        """The answer as it was given; None where there is none, or no longer."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            if self.clock() - found[0] >= self.expiry_seconds:
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
        return found[1]

    def add(self, key: Key, result: BatchResult, age_seconds: float = 0.0) -> None:
        """Keep an answer that was given so long ago, unless it is a failure."""
        if not result.success or self.size < 1:
            return
        with self._lock:
            self._kept[key] = self.clock() - age_seconds, result
            self._kept.move_to_end(key)
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)


def as_cached(result: BatchResult, request: BatchRequest) -> BatchResult:
    """An answer as one to a request that asks the same."""
    metadata = {**(result.metadata or {}), "cached": True}
    vector = None if result.hrv_vector is None else list(result.hrv_vector)
    return replace(result, id=request.id, processing_time=0.0, hrv_vector=vector, metadata=metadata)


def key_of(request: BatchRequest, handler: str, *, shared: bool) -> Key:
    """What answers are found by; tenants get each other's only where the cache is shared."""
    metadata = json.dumps(request.metadata, sort_keys=True)
    return "" if shared else f"tenant {request.tenant}", handler, request.profile_name, request.prompt, metadata
