"""What planning costs for each of very many short calls: memory while it waits, and time until it is in a batch."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

from pyprocessor.costs.model import CostModel, class_of
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import Cost, CostFeatures, EstimationSettings, Job, Source
from pyprocessor.plan.ahead import MOST_AHEAD, more_of_its_kind
from pyprocessor.plan.queue import ReadyQueue

JOBS = 100_000
SAID = Cost(0.0003, 20 << 20, 0)
SOURCE = Source(b"", b"call", 0, 0)


def filled(tenants: int) -> tuple[ReadyQueue, float]:
    """A queue of that many tenants' calls, and the CPU-seconds that filling it took."""
    ready, model, estimation = ReadyQueue(), CostModel(), EstimationSettings()
    kind = class_of(CostFeatures("call", "affinity", given=SAID), 1)
    taken = 0.0
    for number in range(JOBS):
        job = Job(f"{number:032x}", "call", SOURCE, b"", "", SAID, tenant=f"tenant {number % tenants}")
        began = time.process_time()
        ready.add(QueuedJob.of(job, kind, model, estimation))
        taken += time.process_time() - began
    return ready, taken


def measure(_folder: Path) -> Iterator[str]:
    """Time and memory for a job."""
    for tenants in (1, 1000):
        ready, adding = filled(tenants)
        began = time.process_time()
        while (head := ready.first()) is not None:
            more_of_its_kind(ready, head, MOST_AHEAD, head.memory_bytes, lambda _: True)
        taking = time.process_time() - began
        adding, taking = (seconds / JOBS * 1e6 for seconds in (adding, taking))
        yield f"{tenants} tenants: {adding:.0f} us of CPU to add a call to 100,000, {taking:.0f} us to take it"
    tracemalloc.start()
    ready, _ = filled(1)
    yield f"{len(ready):,} calls that wait take {tracemalloc.get_traced_memory()[0] / 1e6:.0f} MB"
    tracemalloc.stop()
