"""What a run would do, worked out by forming its batches one after another on a simulated clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence

from pyprocessor.costs import CostClass, CostModel
from pyprocessor.models import (
    BatchSettings,
    EstimationSettings,
    Job,
    PlannedBatch,
    PlannedFile,
    PlanReport,
    Reading,
    SkippedFile,
    display,
)
from pyprocessor.plan.planner import FormedBatch, Running, entry, memory_budget, next_batch, shape
from pyprocessor.plan.ready import Entry, Ready


def preview(
    jobs: Iterable[tuple[Job, CostClass]],
    reading: Reading,
    settings: BatchSettings,
    estimation: EstimationSettings,
    model: CostModel,
    skipped: Sequence[SkippedFile] = (),
) -> PlanReport:
    """The plan of a run over `jobs` (each with its class at one thread), as things stand in `reading`.

    Time ranges span what the model's spread of every class allows; deterministic.
    """
    ready = Ready()
    by_id: dict[str, Job] = {}
    for job, cost_class in jobs:
        by_id[job.id] = job
        ready.add(entry(job, cost_class, model, estimation))
    batches: list[PlannedBatch] = []
    alone: list[FormedBatch] = []
    doubt = _Doubt(model)
    clock = _Clock()
    peak = most = 0
    while ready:
        left = len(ready) + clock.files
        now = shape(reading, settings, jobs_known=left, typical=ready.typical(), more_to_come=False)
        formed = next_batch(ready, now, settings, estimation, batch_id=len(batches) + 1, running=clock.running())
        if formed is None:
            clock.advance()
            continue
        doubt.add(formed.entries)
        batches.append(_planned(formed, by_id, model, clock.now))
        if formed.note is not None:
            alone.append(formed)
        clock.start(formed)
        peak = max(peak, sum(batch.memory_bytes for batch in clock.running()))
        most = max(most, len(clock.running()))
    notes = _notes(alone, by_id, memory_budget(reading, settings))
    return PlanReport(
        batches=tuple(batches),
        skipped=tuple(skipped),
        peak_memory_bytes=peak,
        memory_budget_bytes=memory_budget(reading, settings),
        disk_bytes=sum(job.cost.disk_bytes for job in by_id.values()),
        seconds_low=clock.end / doubt.factor,
        seconds_high=clock.end * doubt.factor,
        processes=most,
        notes=notes,
    )


def _notes(alone: Sequence[FormedBatch], by_id: Mapping[str, Job], budget: int) -> tuple[str, ...]:
    files = [(entry.memory_bytes, by_id[entry.job_id].source.relative) for batch in alone for entry in batch.entries]
    if not files:
        return ()
    need, name = max(files)
    what = "One file is" if len(files) == 1 else f"{len(files)} files are"
    note = (
        f"{what} predicted to take more memory than the {budget >> 20} MiB allowed for all jobs and will run with "
        f"nothing beside (most: {display(name)}, {need >> 20} MiB)."
    )
    return (note,)


class _Clock:
    """The simulated run: what is busy now, slot by slot."""

    def __init__(self) -> None:
        self.now = 0.0
        self.end = 0.0
        self._ends: list[float] = []
        self._started: list[tuple[float, FormedBatch]] = []

    def start(self, formed: FormedBatch) -> None:
        self._started.append((self.now, formed))
        for seconds in formed.slot_seconds:
            heapq.heappush(self._ends, self.now + seconds)
        self.end = max(self.end, self.now + formed.seconds)

    def advance(self) -> None:
        """Go on to the next moment at which a slot falls idle."""
        self.now = heapq.heappop(self._ends)
        self._started = [(start, formed) for start, formed in self._started if start + formed.seconds > self.now]

    @property
    def files(self) -> int:
        """Files of the batches that run, about: those of slots that are idle by now are done."""
        return sum(
            math.ceil(len(formed.entries) * self._busy(start, formed) / formed.batch.slots)
            for start, formed in self._started
        )

    def running(self) -> list[Running]:
        return [
            Running(busy, formed.batch.memory_budget_bytes * busy // formed.batch.slots)
            for start, formed in self._started
            if (busy := self._busy(start, formed))
        ]

    def _busy(self, start: float, formed: FormedBatch) -> int:
        return sum(start + seconds > self.now for seconds in formed.slot_seconds)


def _planned(formed: FormedBatch, by_id: Mapping[str, Job], model: CostModel, start: float) -> PlannedBatch:
    doubt = _Doubt(model)
    doubt.add(formed.entries)
    jobs = [by_id[entry.job_id] for entry in formed.entries]
    return PlannedBatch(
        number=formed.batch.id,
        files=tuple(PlannedFile(job.source.relative, job.output, job.cost) for job in jobs),
        slots=formed.batch.slots,
        threads=formed.batch.threads,
        memory_bytes=formed.batch.memory_budget_bytes,
        seconds_low=formed.seconds / doubt.factor,
        seconds_high=formed.seconds * doubt.factor,
        start_seconds=start,
    )


class _Doubt:
    """By what factor the time of several jobs may be off: the mean of their classes' spreads, weighted by their work.

    Not less for many jobs: how far the prior is off depends on the kind of film, which a folder's files often share.
    """

    def __init__(self, model: CostModel) -> None:
        self._model = model
        self._weighted = 0.0
        self._weight = 0.0

    def add(self, entries: Iterable[Entry]) -> None:
        for taken in entries:
            self._weighted += taken.cpu_seconds * math.log(self._model.spread(taken.cost_class))
            self._weight += taken.cpu_seconds

    @property
    def factor(self) -> float:
        return math.exp(self._weighted / self._weight) if self._weight else 1.0
