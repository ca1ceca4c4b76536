"""Two encodes alone, and beside as many jobs that wait as may at once: one engine does both, for how much?"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow
from pyprocessor.models import JobState
from pyprocessor.plan.ahead import MOST_WAITING
from pyprocessor.profiles import load
from tests.benchmarks.makespan import Clip, make_clips
from tests.integration.worked import install
from tests.process.queues import Queue
from tests.process.runs import whole

ROUNDS = 3
ENCODES = 2
CLIP = Clip(1280, 720, 8, 25)
NAP_SECONDS = 5.0


class Figures(NamedTuple):
    """Of one run: seconds and CPU-seconds of its encodes, CPU-seconds of the rest, the most that waited at once."""

    encode_seconds: float
    encode_cpu_seconds: float
    others_cpu_seconds: float
    at_once: int


def measure(folder: Path) -> Iterator[str]:
    """Ratios of the encodes' time with and without those that wait, by turns; how many of these overlap."""
    sys.path.insert(0, str(install(folder / "site")))
    clips = make_clips(folder / "in", [CLIP] * ENCODES)
    alone, beside = [], []
    for number in range(ROUNDS):
        alone.append(_run(folder, clips, number, 0))
        beside.append(_run(folder, clips, number, MOST_WAITING))
    for what in ("encode_seconds", "encode_cpu_seconds"):
        before, after = (statistics.median(getattr(one, what) for one in runs) for runs in (alone, beside))
        words = what.replace("_", " ")
        yield f"{words} of {ENCODES}: {before:.2f} alone, {after:.2f} beside {MOST_WAITING}, ratio {after / before:.3f}"
    cpu = statistics.median(one.others_cpu_seconds for one in beside)
    yield f"{MOST_WAITING} jobs that wait took {cpu:.2f} CPU-seconds, {min(one.at_once for one in beside)} at once"


def _run(folder: Path, clips: Path, number: int, waiting: int) -> Figures:
    (place := folder / f"{number}-{waiting}").mkdir()
    queue = Queue(place)
    cost = {"memory_bytes": 1 << 20, "wait_seconds": NAP_SECONDS}
    params = {"function": "nap", "arguments": {"seconds": NAP_SECONDS}, "coroutine": True, "cost": cost}
    if waiting:
        queue.submit(*({"task": "ask", "key": f"wait {one}", "params": params} for one in range(waiting)))
    queue.run(inputs=(whole(clips),), profile=load("fast", environment={}).profile)
    assert set(queue.states().values()) == {JobState.SUCCEEDED}
    with JournalReader.read_only(queue.folder.path) as journal:
        tasks = {row.id: row.task for row in journal.jobs()}
        attempts = list(journal.attempts())
    encodes = [one for one in attempts if tasks[one.job_id] == "transcode"]
    others = [one for one in attempts if tasks[one.job_id] != "transcode"]
    return Figures(_seconds(encodes), _cpu(encodes), _cpu(others), _at_once(others))


def _seconds(attempts: list[AttemptRow]) -> float:
    """From the first start to the last end."""
    return max(one.ended_at or 0.0 for one in attempts) - min(one.started_at for one in attempts)


def _cpu(attempts: list[AttemptRow]) -> float:
    return sum(one.usage.cpu_seconds for one in attempts if one.usage is not None)


def _at_once(attempts: list[AttemptRow]) -> int:
    """The most attempts that were on at one time."""
    moments = sorted([(one.started_at, 1) for one in attempts] + [(one.ended_at or 0.0, -1) for one in attempts])
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most
