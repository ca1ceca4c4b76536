"""Two tenants with weights 3:1 over encodes and calls, and a third that joins: who gets how many CPU-seconds?

Set TENANT_SECONDS to how long the first two share the machine before the third joins: 60 by default, 300 for five
minutes; all three share it for half as long again. None of them ever runs out of work.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pyprocessor.control.client import Request, Verb, ask
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import TenantSettings
from pyprocessor.profiles import load
from tests.benchmarks.makespan import Clip, make_clips
from tests.process.queues import Queue

SECONDS = float(os.environ.get("TENANT_SECONDS", "60"))
WEIGHTS = {"studio": 3.0, "press": 1.0, "guest": 1.0}
CLIPS = [Clip(320, 180, seconds, 25) for seconds in (1, 2, 4)]
CALLS = (0.05, 0.1, 0.3)
"""CPU-seconds of each call; all are expected to take as long, so that what was measured decides. No job is so long that
three times its work, as a weight of 3 is owed for one of another tenant, is much of a minute."""
WAITING = 24
"""Jobs of a tenant that wait at least: two rounds."""
LOOK_SECONDS = 0.5
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
    (place := folder / "shared").mkdir()
    feeding = _Feeding(Queue(place), clips)
    spans = feeding.run()
    first = min(start for start, *_ in spans["studio"])
    asked, end, begun = feeding.joined, feeding.ended, min(start for start, *_ in spans["guest"])
    longest = max(end - start for each in spans.values() for start, end, _ in each)
    yield f"the third began {begun - asked:.2f} s after it was submitted; the longest job took {longest:.1f} s"
    yield from _table("until the third joins", spans, ("studio", "press"), first, asked)
    yield from _table("from then on", spans, tuple(WEIGHTS), asked, end)
    yield from _table("of that the first quarter", spans, tuple(WEIGHTS), asked, asked + (end - asked) / 4)


class _Feeding:
    """A run whose tenants are given work as long as it lasts."""

    def __init__(self, queue: Queue, clips: Sequence[Path]) -> None:
        self.joined = self.ended = 0.0
        """When the third tenant's first jobs were submitted, and when the run was stopped."""
        self._queue = queue
        self._clips = clips
        self._rounds = itertools.count()
        self._tenants = ["studio", "press"]

    def run(self) -> Spans:
        """The attempts of the run."""
        for tenant in self._tenants * 2:
            self._queue.submit(*self._round(tenant))
        profile = load("fast", environment={}).profile
        shares = tuple((name, TenantSettings(weight=weight)) for name, weight in WEIGHTS.items())
        feeder = threading.Thread(target=self._feed)
        feeder.start()
        self._queue.run(profile=replace(profile, batch=replace(profile.batch, tenants=shares, cache_size=0)))
        feeder.join()
        spans: Spans = {}
        with JournalReader.read_only(self._queue.folder.path) as journal:
            tenants = {row.id: row.tenant for row in journal.jobs()}
            for one in journal.attempts():
                if one.usage is not None and one.ended_at is not None:
                    span = one.started_at, one.ended_at, one.usage.cpu_seconds
                    spans.setdefault(tenants[one.job_id], []).append(span)
        return spans

    def _feed(self) -> None:
        """Keep all tenants in work, have the third join, and stop the run."""
        while not self._begun():
            time.sleep(LOOK_SECONDS)
        began = time.time()
        while (now := time.time()) < began + 1.5 * SECONDS:
            if now >= began + SECONDS and not self.joined:
                self._tenants, self.joined = list(WEIGHTS), now
            for tenant in self._tenants:
                with JournalReader.read_only(self._queue.folder.path) as journal:
                    few = journal.waiting_of(tenant) < WAITING
                if few:
                    self._ask(Request(Verb.SUBMIT, submissions=submissions(self._round(tenant), queue="q")))
            time.sleep(LOOK_SECONDS)
        self.ended = time.time()
        self._ask(Request(Verb.STOP, now=True))

    def _begun(self) -> bool:
        with JournalReader.read_only(self._queue.folder.path) as journal:
            return journal.counts().succeeded > 0

    def _ask(self, request: Request) -> None:
        answer = ask(self._queue.folder.path, request)
        assert answer.ok, answer.text

    def _round(self, tenant: str) -> list[dict[str, object]]:
        """Encodes and calls, mixed, as documents."""
        number = next(self._rounds)
        work: list[dict[str, object]] = [
            {"task": "transcode", "inputs": [str(clip)], "params": {"profile": "fast"}} for clip in self._clips
        ]
        for seconds in CALLS * 3:
            params = {"function": f"{__name__}:burn", "arguments": {"seconds": seconds}}
            work.append({"task": "call", "params": params})
        return [{"key": f"{tenant} {number} {place}", "tenant": tenant, **one} for place, one in enumerate(work)]


def _table(when: str, spans: Spans, tenants: Sequence[str], begin: float, end: float) -> Iterator[str]:
    """A line with the CPU-seconds of this time, and one a tenant: its share against what its weight says."""
    used = {tenant: sum(_within(span, begin, end) for span in spans[tenant]) for tenant in tenants}
    whole, weights = sum(used.values()), sum(WEIGHTS[tenant] for tenant in tenants)
    yield f"{when}: {end - begin:.0f} s, {whole:.1f} CPU-seconds"
    for tenant in tenants:
        fair, part = WEIGHTS[tenant] / weights, used[tenant] / whole
        yield (
            f"  {tenant}, weight {WEIGHTS[tenant]:.0f}: {used[tenant]:.1f} CPU-seconds, {part:.1%} where {fair:.1%} "
            f"is fair, {part / fair - 1:+.1%} (at most {WITHIN:.0%})"
        )


def _within(span: tuple[float, float, float], begin: float, end: float) -> float:
    """What of an attempt's CPU-seconds falls into a time, as if it had taken them evenly."""
    start, stop, cpu = span
    return cpu * max(0.0, min(stop, end) - max(start, begin)) / max(stop - start, 1e-6)
