"""How fast does memory grow, by file and by other programs? Pure.

Rates are smoothed, since memory grows in steps and a file's memory and the machine's are not sampled at one instant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyprocessor.governor.step_process import StepProcess
from pyprocessor.models import Reading

SMOOTHING_SECONDS = 0.1
MIN_STEP_SECONDS = 0.02
"""Readings closer together than this are taken as one."""
MAX_STEP_SECONDS = 5.0
"""After a longer gap (the machine slept, a clock jumped) rates start anew."""
UNTRUSTED_SECONDS = 0.15
"""For so long a file's rate counts beyond its prediction, once another file has outgrown its own."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory at the latest reading (bytes) and rates (bytes per second; `others_rate` is never negative)."""

    at_seconds: float | None = None
    used_bytes: int = 0
    our_bytes: int = 0
    memory: Mapping[str, int] = field(default_factory=dict)
    """By process."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """By process."""
    others_rate: float = 0.0


def observe(
    last: Growth, reading: Reading, running: Sequence[StepProcess], longest_step_seconds: float = MAX_STEP_SECONDS
) -> tuple[Growth, float]:
    """The rates as of this reading, and the seconds since the last; 0 after a gap or a clock set back."""
    now, used, ours = reading.monotonic_seconds, reading.used_memory_bytes, reading.our_memory_bytes
    step = 0.0 if last.at_seconds is None else now - last.at_seconds
    memory = {job.key: job.memory_bytes for job in running}
    if last.at_seconds is None or step < 0 or step > longest_step_seconds:
        return Growth(now, used, ours, memory, {job.key: _first_rate(job, now) for job in running}), 0.0
    if step < MIN_STEP_SECONDS:
        return last, 0.0
    weight = 1 - math.exp(-step / SMOOTHING_SECONDS)
    rates, explained = {}, 0
    for job in running:
        grown = job.memory_bytes - last.memory.get(job.key, 0)
        explained += max(0, grown)
        rate = last.rates.get(job.key)
        rates[job.key] = _first_rate(job, now) if rate is None else rate + weight * (grown / step - rate)
    # A file that is not listed yet is ours all the same. Memory that was given back never makes others grow.
    explained = max(explained, ours - last.our_bytes)
    others = max(0, used - last.used_bytes - explained) / step
    return Growth(now, used, ours, memory, rates, last.others_rate + weight * (others - last.others_rate)), step


def _first_rate(job: StepProcess, now: float) -> float:
    """The rate of a process read for the first time: all it has over its age, where that is short."""
    if job.warm:
        return 0.0  # what it has may stem from the calls before
    age = now - job.started_seconds
    return job.memory_bytes / max(age, MIN_STEP_SECONDS) if 0 <= age <= 1 else 0.0


def ahead_bytes(jobs: Sequence[StepProcess], rates: Mapping[str, float], seconds: float) -> dict[str, int]:
    """How much each file grows within `seconds`, if it goes on; no further than predicted while all keep to that."""
    doubted = min(seconds, UNTRUSTED_SECONDS) if any(job.memory_bytes > job.predicted_bytes for job in jobs) else 0
    ahead = {}
    for job in jobs:
        rate = max(0.0, rates.get(job.key, 0.0))
        within = max(min(rate * seconds, job.remaining_bytes), rate * doubted)
        ahead[job.key] = int(rate * seconds if job.memory_bytes > job.predicted_bytes else within)
    return ahead
