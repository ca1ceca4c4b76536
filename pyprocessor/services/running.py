"""How are chunks of requests done? Each is a job of a queue; answers lie in a file for each until they are returned.

chunks -> jobs -> the engine -> processes that call the handler -> files of answers -> results
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pyprocessor.errors import FailureKind, OutputUnwritable, UsageError
from pyprocessor.publish.answers import read_answers
from pyprocessor.publish.partials import discard
from pyprocessor.services.handlers import Handler
from pyprocessor.taskqueue import BatchProcessor as Queue
from pyprocessor.taskqueue import TaskFailure, create_batch_processor
from pyprocessor.tasks.call import AnswerRequests, most_seconds
from pyprocessor.workers.answering import failure, failure_kind
from pyprocessor.workers.requests import BatchRequest, BatchResult

T = TypeVar("T")
QUEUE = "requests"
ANSWERS = "answers"
"""The folder, below the output, of files of answers that were not returned yet."""
MOST_REQUEST_BYTES = 512 << 10
"""Of a request as JSON, and of a chunk of several: a call takes a megabyte of arguments."""
_ALL = 100
"""Percent of the CPU, which is no limit."""
_SHARE_OF_WAITING = 0.02


@dataclass(frozen=True, slots=True)
class Chunk:
    """Requests of one job."""

    requests: tuple[BatchRequest, ...]
    priority: int = 0
    """As the engine has it: lower numbers first."""
    predicted_seconds: float = 0.01
    """Of all requests one after the other."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of chunks: the results of each, in the order of its requests."""

    results: list[list[BatchResult]]
    cpu_share: float | None = None
    """Of the seconds that functions took; None where that was not measured."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Does chunks by one handler, in `output` or else a temporary folder for each call."""

    handler: Handler
    at_once: int
    timeout_seconds: float
    memory_limit_mb: int
    output: Path | None
    cpu_share: float | None = None
    """Of the seconds that the handler is predicted to take; None: it is taken for one that waits."""

    def run(self, chunks: Sequence[Chunk], workers: int) -> Ran:
        """Have chunks done, up to `workers` at once.

        May be called where an event loop runs, which then waits. Raises OutputBusy where another process uses the
        folder, OutputUnwritable, or JournalError.
        """
        if self.output is not None:
            return _done(self._run(chunks, workers, self.output))
        with tempfile.TemporaryDirectory(prefix="pyprocessor-requests-", ignore_cleanup_errors=True) as folder:
            return _done(self._run(chunks, workers, Path(folder)))

    async def _run(self, chunks: Sequence[Chunk], workers: int, folder: Path) -> Ran:
        queue = create_batch_processor(
            workers,
            memory_limit_mb=self.memory_limit_mb,
            cpu_limit_percent=_ALL,
            name=QUEUE,
            output=folder,
        )
        try:
            if self.handler.task:
                return Ran(await self._by_task(queue, chunks))
            return await self._by_handler(queue, chunks, folder)
        finally:
            queue.close()

    async def _by_handler(self, queue: Queue, chunks: Sequence[Chunk], folder: Path) -> Ran:
        logs: dict[str, Path] = {}
        """By id of the job."""
        try:
            (folder / ANSWERS).mkdir(parents=True, exist_ok=True)
            left = defaultdict(list)
            for path in (folder / ANSWERS).iterdir():
                left[path.name.partition(".")[0]].append(path)
            for chunk in chunks:
                # A file's name is the key of its job, too, so that a call goes on with what one that was killed left.
                digest = self._digest(chunk)
                log = left[digest].pop() if left[digest] else folder / ANSWERS / f"{digest}.{uuid.uuid4().hex}"
                log.touch(0o600)
                logs[await self._add(queue, chunk, log)] = log
        except OSError as error:
            raise OutputUnwritable(f"Requests cannot be written to {folder}: {error.strerror}.") from error
        ended = await queue.start()
        failures = {failed.id: failed for failed in ended.failures}
        found, cpu_seconds, seconds = [], 0.0, 0.0
        lost: list[tuple[int, int]] = []
        """Numbers of chunks, and places in them."""
        for number, (chunk, (job, log)) in enumerate(zip(chunks, logs.items(), strict=True)):
            done = read_answers(str(log)).done
            measured = [answer for answer in done.values() if "cpu" in answer]
            cpu_seconds += sum(answer["cpu"] for answer in measured)
            seconds += sum(answer["seconds"] for answer in measured)
            failed = failures.get(job)
            found.append(_results(chunk, done, failed))
            if failed is not None and failed.kind is FailureKind.CRASH and len(chunk.requests) > 1:
                lost += ((number, place) for place in range(len(chunk.requests)) if place not in done)
        for log in logs.values():
            discard(os.fsencode(log))
        share = cpu_seconds / seconds if seconds > 0 else None
        return await self._each_alone(queue, folder, chunks, lost, Ran(found, share))

    async def _each_alone(
        self, queue: Queue, folder: Path, chunks: Sequence[Chunk], places: Sequence[tuple[int, int]], ran: Ran
    ) -> Ran:
        """Do again, each in a chunk of its own, what was not answered because the batch processes of its job died."""
        if not places:
            return ran
        alone = [replace(chunks[number], requests=(chunks[number].requests[place],)) for number, place in places]
        again = await self._by_handler(queue, alone, folder)
        for (number, place), (result,) in zip(places, again.results, strict=True):
            ran.results[number][place] = result
        return ran

    def _digest(self, chunk: Chunk) -> str:
        """What the chunk of a call that was killed is known by; of a temporary folder nothing is left."""
        if self.output is None:
            return ""
        content = json.dumps([self.handler.name, *(request.fields for request in chunk.requests)], sort_keys=True)
        return hashlib.sha256(content.encode("ascii")).hexdigest()

    async def _add(self, queue: Queue, chunk: Chunk, log: Path) -> str:
        tenants = {request.tenant for request in chunk.requests}
        share = _SHARE_OF_WAITING if self.cpu_share is None else min(1.0, self.cpu_share)
        params = {
            "handler": self.handler.document,
            "requests": [request.fields for request in chunk.requests],
            "log": str(log),
            "at_once": self.at_once,
            "timeout_seconds": self.timeout_seconds,
            "predicted_cpu_seconds": share * chunk.predicted_seconds,
            "predicted_wait_seconds": (1 - share) * chunk.predicted_seconds / self.at_once,
        }
        return await queue.add_task(
            AnswerRequests.name,
            params,
            chunk.priority,
            tenant=tenants.pop() if len(tenants) == 1 else None,
            timeout=most_seconds(len(chunk.requests), self.timeout_seconds),
            key=log.name,
        )

    async def _by_task(self, queue: Queue, chunks: Sequence[Chunk]) -> list[list[BatchResult]]:
        """Each request is a job of its own, whose input is the prompt and whose params are in the metadata."""
        ids: list[list[str | BatchResult]] = []
        for chunk in chunks:
            ids.append([])
            for request in chunk.requests:
                params = (request.metadata or {}).get("params", {})
                try:
                    data = {**({"file_path": request.prompt} if request.prompt else {}), **params}
                    job: str | BatchResult = await queue.add_task(
                        self.handler.task, data, chunk.priority, tenant=request.tenant, timeout=self.timeout_seconds
                    )
                except (UsageError, TypeError) as error:
                    job = result_of(request, failure("validation", str(error)))
                ids[-1].append(job)
        started = asyncio.ensure_future(queue.start())
        found: dict[str, dict[str, Any]] = {}
        async for outcome in queue.results():
            if outcome.success:
                products = {role: str(path) for role, path in outcome.products.items()}
                answer = {"content": json.dumps(outcome.result), "metadata": {"products": products}}
            else:
                answer = failure(failure_kind(outcome.failure), outcome.reason)
            found[outcome.id] = answer
        await started
        lost = failure("unknown", "The queue ended before it was done.")
        return [
            [
                job if isinstance(job, BatchResult) else result_of(request, found.get(job, lost))
                for request, job in zip(chunk.requests, jobs, strict=True)
            ]
            for chunk, jobs in zip(chunks, ids, strict=True)
        ]


def result_of(request: BatchRequest, answer: Mapping[str, Any]) -> BatchResult:
    """Return the answer to a request, as a file of answers has it."""
    error, more = answer.get("error"), answer.get("metadata") or {}
    metadata = {**(request.metadata or {}), **more, **({} if error is None else {"error_kind": answer["kind"]})}
    return BatchResult(
        request.id,
        error is None,
        answer.get("content"),
        answer.get("vector"),
        error,
        answer.get("seconds", 0.0),
        metadata,
    )


def _results(chunk: Chunk, done: Mapping[int, Mapping[str, Any]], failed: TaskFailure | None) -> list[BatchResult]:
    kind = "unknown" if failed is None else failure_kind(failed.kind)
    lost = failure(kind, "The queue ended before it was answered." if failed is None else failed.reason)
    return [result_of(request, done.get(place, lost)) for place, request in enumerate(chunk.requests)]


def _done(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        runs = False
    else:
        runs = True
    if not runs:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
