"""What became of chunks, in their order, and of the pipeline as a whole?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyprocessor.errors import ExitCode


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of one chunk. `facts` is what its processors found: frames, packets, digest, value, ..."""

    sequence: int
    success: bool
    output_file: str | None = None
    retries: int = 0
    error: str | None = None
    start_time: float = 0.0
    end_time: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    worker: int | None = None
    """The process that did it; None where an earlier call had done it."""


class ResultCollector:
    """Takes results as they come, and gives them back in the order of the chunks."""

    def __init__(self, expected: int) -> None:
        self._expected = expected
        self._buffered: dict[int, ChunkResult] = {}
        self._emitted: list[ChunkResult] = []

    def add(self, result: ChunkResult) -> list[ChunkResult]:
        """Take a result; return those whose turn has come. Raises ValueError for one that is not expected."""
        sequence = result.sequence
        if not len(self._emitted) <= sequence < self._expected or sequence in self._buffered:
            raise ValueError(f"a result of chunk {sequence} is not expected, or is there already")
        self._buffered[sequence] = result
        ready = []
        while len(self._emitted) in self._buffered:
            ready.append(self._buffered.pop(len(self._emitted)))
            self._emitted.append(ready[-1])
        return ready

    @property
    def results(self) -> tuple[ChunkResult, ...]:
        """All results up to now, in order; those that still wait for others come last."""
        return (*self._emitted, *(self._buffered[sequence] for sequence in sorted(self._buffered)))

    @property
    def buffered_count(self) -> int:
        """How many wait for one before them."""
        return len(self._buffered)

    @property
    def emitted_count(self) -> int:
        return len(self._emitted)

    @property
    def is_complete(self) -> bool:
        return len(self._emitted) == self._expected


@dataclass(frozen=True, slots=True)
class PipelineResult:
    """How a pipeline ended. `processed` counts failed chunks, too, and `throughput_mbps` is MiB of source a second."""

    total_chunks: int = 0
    processed: int = 0
    failed: int = 0
    retries: int = 0
    elapsed_time: float = 0.0
    throughput_mbps: float = 0.0
    worker_stats: dict[str, dict[str, float]] = field(default_factory=dict)
    """By the process that did them: how many chunks it did, how many failed there, and the seconds they took."""
    errors: list[str] = field(default_factory=list)
    chunks_in_order: bool = True
    """Whether all chunks were given back in their order."""
    output_dir: str | None = None
    chunk_files: list[str] = field(default_factory=list)
    """In order; without those that failed."""
    results: tuple[ChunkResult, ...] = ()
    exit_code: ExitCode = ExitCode.OK
    """As of the command."""
