"""Two tenants with weights 3:1 over encodes and calls, and a third that joins: who gets how many CPU-seconds?

Set TENANT_SECONDS to the CPU-seconds of work that are measured: 60 by default, 300 for five minutes of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pyprocessor.control.client import Request, Verb, ask
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.models import TenantSettings
from pyprocessor.profiles import load
from tests.benchmarks.makespan import Clip, make_clips
from tests.process.queues import Queue

WORK_SECONDS = float(os.environ.get("TENANT_SECONDS", "60"))
WEIGHTS = {"studio": 3.0, "press": 1.0, "guest": 1.0}
CLIPS = [Clip(320, 180, seconds, 25) for seconds in (1, 2, 4)]
CALLS = (0.05, 0.1, 0.3)
"""CPU-seconds of each call; all are expected to take as long, so that what was measured decides. No job is so long that
three times its work, as a weight of 3 is owed for one of another tenant, is much of a minute."""
LOOK_SECONDS = 0.2
WITHIN = 0.10

Spans = dict[str, list[tuple[float, float, float]]]
"""By tenant: start, end and CPU-seconds of each attempt."""


def burn(seconds: float) -> None:
    """Compute for so many CPU-seconds."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def measure(folder: Path) -> Iterator[str]:
    """Shares before and after the third tenant joins, and how soon that had its share."""
    clips = sorted(make_clips(folder / "in", CLIPS).iterdir())
    (place := folder / "alone").mkdir()
    each = _run(place, _jobs("one", clips, 1), [])["one"]
    took = sum(cpu for *_, cpu in each)
    # The others have work beyond what is done until the first has nothing left.
    rounds = {tenant: max(2, round(WORK_SECONDS * share / took)) for tenant, share in _work().items()}
    (place := folder / "shared").mkdir()
    begun, later = [], []
    for tenant, count in rounds.items():
        (later if tenant == "guest" else begun).extend(_jobs(tenant, clips, count))
    spans = _run(place, begun, later)
    joined = min(start for start, *_ in spans["guest"])
    longest = max(end - start for each in spans.values() for start, end, _ in each)
    # Near its end a tenant has nothing that waits, and the others are given its part.
    over = min(sorted(start for start, *_ in each)[len(each) * 4 // 5] for each in spans.values())
    first = min(start for start, *_ in spans["studio"])
    yield f"one round of {len(each)} jobs takes {took:.1f} CPU-seconds; the longest took {longest:.1f} s"
    yield from _table("until the third joins", spans, ("studio", "press"), first, joined)
    yield from _table("from then on", spans, tuple(WEIGHTS), joined, over)


def _work() -> dict[str, float]:
    """The parts of all work that each tenant has, so that the first to end is the one of weight 3."""
    return {"studio": 0.65, "press": 0.35, "guest": 0.3}


def _jobs(tenant: str, clips: Sequence[Path], rounds: int) -> list[dict[str, object]]:
    """Encodes and calls, mixed, as documents."""
    jobs: list[dict[str, object]] = []
    for number in range(rounds):
        for clip in clips:
            key = f"{tenant} {number} {clip.stem}"
            work = {"task": "transcode", "inputs": [str(clip)], "params": {"profile": "fast"}}
            jobs.append({"key": key, "tenant": tenant, **work})
        for seconds in CALLS * 3:
            params = {"function": f"{__name__}:burn", "arguments": {"seconds": seconds}}
            jobs.append({"key": f"{tenant} {number} {len(jobs)}", "tenant": tenant, "task": "call", "params": params})
    return jobs


def _run(place: Path, begun: Sequence[object], later: Sequence[object]) -> Spans:
    """The attempts of a run; what comes `later` is submitted once a quarter of what was `begun` is done."""
    queue = Queue(place)
    queue.submit(*begun)
    profile = load("fast", environment={}).profile
    shares = tuple((name, TenantSettings(weight=weight)) for name, weight in WEIGHTS.items())
    joining = threading.Thread(target=_join, args=(queue, len(begun) // 4, later)) if later else None
    if joining is not None:
        joining.start()
    queue.run(profile=replace(profile, batch=replace(profile.batch, tenants=shares)))
    if joining is not None:
        joining.join()
    spans: Spans = {}
    with JournalReader.read_only(queue.folder.path) as journal:
        tenants = {row.id: row.tenant for row in journal.jobs()}
        attempts: list[AttemptRow] = list(journal.attempts())
    for one in attempts:
        if one.usage is not None and one.ended_at is not None:
            span = one.started_at, one.ended_at, one.usage.cpu_seconds
            spans.setdefault(tenants[one.job_id], []).append(span)
    return spans


def _join(queue: Queue, done: int, later: Sequence[object]) -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        with JournalReader.read_only(queue.folder.path) as journal:
            if journal.counts().succeeded >= done:
                break
    given = submissions(list(later), queue="q")
    assert ask(queue.folder.path, Request(Verb.SUBMIT, submissions=given)).ok


def _table(when: str, spans: Spans, tenants: Sequence[str], begin: float, end: float) -> Iterator[str]:
    """A line a tenant: its CPU-seconds in this time, and its share against what its weight says."""
    used = {tenant: sum(_within(span, begin, end) for span in spans[tenant]) for tenant in tenants}
    whole, weights = sum(used.values()), sum(WEIGHTS[tenant] for tenant in tenants)
    for tenant in tenants:
        fair = WEIGHTS[tenant] / weights
        off = used[tenant] / whole / fair - 1
        yield (
            f"{when} ({end - begin:.0f} s): {tenant}, weight {WEIGHTS[tenant]:.0f}: {used[tenant]:.1f} CPU-seconds, "
            f"{used[tenant] / whole:.1%} where {fair:.1%} is fair, {off:+.1%} (at most {WITHIN:.0%})"
        )


def _within(span: tuple[float, float, float], begin: float, end: float) -> float:
    """What of an attempt's CPU-seconds falls into a time, as if it had taken them evenly."""
    start, stop, cpu = span
    return cpu * max(0.0, min(stop, end) - max(start, begin)) / max(stop - start, 1e-6)
