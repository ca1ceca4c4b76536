"""Which events of a pipeline does a caller learn, and what of the engine's events are they made of?"""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pyprocessor.chunks.feeding import Feed
from pyprocessor.chunks.following import Growth
from pyprocessor.chunks.planning import ChunkJob
from pyprocessor.chunks.results import ChunkResult, ResultCollector
from pyprocessor.engine.transitions import Transitions
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import Outcome, OutcomeKind, RunSnapshot
from pyprocessor.models.run import Listener

EventCallback = Callable[[str, dict[str, Any]], object]
MIB = float(1 << 20)
_log = logging.getLogger("pyprocessor")
_DONE = (OutcomeKind.SUCCEEDED, OutcomeKind.KEPT_SOURCE)


class Events:
    """Calls a caller's function, which must not end the run."""

    def __init__(self, callback: EventCallback | None) -> None:
        self._callback = callback

    def send(self, name: str, **data: Any) -> None:
        """Send one event; where the function raises, that is logged and the run goes on."""
        try:
            if self._callback is not None:
                self._callback(name, data)
        except Exception:  # noqa: BLE001 - a caller's function must not end the run
            _log.exception("The function given as event_callback failed; the run goes on.")


class ChunkListener(Listener):
    """Follows one run of the engine: events for the caller, results for the collector.

    `shown` gets all that happens as well, as the command shows it; `collected` is called after each result.
    """

    def __init__(
        self,
        jobs: Sequence[ChunkJob],
        collector: ResultCollector,
        events: Events,
        output: Path,
        *,
        shown: Listener | None,
        collected: Callable[[], None],
    ) -> None:
        self._jobs = {job.id: job for job in jobs}
        self._collector = collector
        self._events = events
        self._output = output
        self._shown = shown or Listener()
        self._collected = collected
        self._feed: Feed | None = None
        self._workers: dict[str, tuple[int, float]] = {}
        """By job: the process that has it, and since when."""
        self._retries: defaultdict[str, int] = defaultdict(int)
        self._began = time.monotonic()
        self.bytes_done = 0
        self.stats: dict[str, dict[str, float]] = {}

    def feed(self, queue_size: int, output: bytes, growth: Growth | None, journal: Journal, moves: Transitions) -> Feed:
        """The source of jobs that this listener follows."""
        self._feed = Feed(
            tuple(self._jobs.values()),
            queue_size,
            output,
            journal,
            moves,
            queued=self._queued,
            done_before=self._collect,
            growth=growth,
        )
        return self._feed

    @property
    def retries(self) -> int:
        """How often chunks were tried again."""
        return sum(self._retries.values())

    # ------------------------------------------------------------ what the feed does

    def _queued(self, job: ChunkJob, waiting: int) -> None:
        chunk = job.chunk
        self._events.send(
            "chunk_queued",
            sequence=chunk.sequence,
            start_time=chunk.start_time,
            end_time=chunk.end_time,
            duration=chunk.duration,
            queue_size=waiting,
        )

    # ------------------------------------------------------------ what the engine does

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        self._shown.started(job_id, name, media_seconds)
        job = self._jobs.get(job_id)
        if job is None or self._feed is None:
            return
        self._feed.left_queue(job_id)
        worker = self._feed.journal.attempts_of(job_id)[-1].worker.pid
        self._workers[job_id] = (worker, time.monotonic())
        self._events.send("chunk_started", sequence=job.chunk.sequence, worker=worker)

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        job = self._jobs.get(job_id)
        if job is None or self._feed is None or not self._feed.has_submitted(job_id):
            return  # what an earlier call left to do, and is cancelled
        self._shown.finished(job_id, outcome, name=name, will_retry=will_retry)
        worker, began = self._workers.pop(job_id, (None, time.monotonic()))
        if worker is not None:
            stats = self.stats.setdefault(str(worker), {"chunks": 0, "failed": 0, "seconds": 0.0})
            stats["seconds"] += time.monotonic() - began
        if will_retry:
            if outcome.failure is not None:
                self._retries[job_id] += 1
                self._events.send(
                    "chunk_retried",
                    sequence=job.chunk.sequence,
                    retries=self._retries[job_id],
                    error=outcome.reason,
                    worker=worker,
                )
            return
        self._feed.left_queue(job_id)
        done = outcome.kind in _DONE
        if worker is not None:
            stats["chunks"] += 1
            stats["failed"] += not done
        result = self._collect(job, self._feed.moves.row(job_id), worker, None if done else outcome)
        about = {"sequence": result.sequence, "worker": worker, "retries": result.retries}
        if done:
            self.bytes_done += job.source_bytes
            self._events.send("chunk_done", **about, output_file=result.output_file)
        else:
            self._events.send("chunk_failed", **about, error=result.error)

    def _collect(
        self, job: ChunkJob, row: JobRow, worker: int | None = None, failed: Outcome | None = None
    ) -> ChunkResult:
        chunk = job.chunk
        facts = json.loads(row.result) if failed is None and row.result is not None else {}
        result = ChunkResult(
            chunk.sequence,
            success=failed is None,
            output_file=str(self._output / job.file) if job.file and failed is None else None,
            retries=self._retries[job.id],
            error=None if failed is None else failed.reason or f"It was {failed.kind.value}.",
            start_time=chunk.start_time,
            end_time=chunk.end_time,
            facts={name: value for name, value in facts.items() if name not in ("start_time", "end_time")},
            worker=worker,
        )
        self._collector.add(result)
        self._events.send(
            "chunk_collected",
            sequence=result.sequence,
            success=result.success,
            buffered=self._collector.buffered_count,
            emitted=self._collector.emitted_count,
        )
        self._collected()
        return result

    def tick(self, snapshot: RunSnapshot) -> None:
        self._shown.tick(snapshot)
        elapsed = time.monotonic() - self._began
        speed = self.bytes_done / MIB / elapsed if elapsed > 0 else 0.0
        self._events.send("pipeline_progress", elapsed=elapsed, throughput_mbps=speed)

    def found(self, files: int, listing_done: bool) -> None:
        self._shown.found(files, listing_done)

    def queued(self, jobs: int, media_seconds: float) -> None:
        self._shown.queued(jobs, media_seconds)

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        self._shown.progressed(job_id, media_seconds_done, speed)

    def notice(self, level: str, text: str) -> None:
        self._shown.notice(level, text)
