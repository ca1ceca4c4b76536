"""What will a job take? A pure function of its features and of what earlier jobs took.

A prediction is a prior (see `job_prior`) times the median ratio of measured to prior in a bounded history, held back
towards 1 while that is short. Histories are kept per class of jobs and for wider groups, so that a class that was never
measured is corrected as its relatives are.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

from pyprocessor.costs.job_prior import COPY, encode_memory, prior_cost
from pyprocessor.models import Cost, CostFeatures
from pyprocessor.models.encoders import encoder_threads

HISTORY = 64
"""Ratios kept of one class: enough for a steady median, few enough to follow a change of machine or build."""
RECENT = 3
"""Where so many of the latest attempts took more memory than was usual, they count and not the history."""
_LARGEST_RATIO = math.log(50.0)
_LARGEST_OF_GIVEN = math.log(1e6)
"""Of what a task says itself: a function that is said to take a millisecond may take minutes."""

_THREAD_EFFICIENCY = 0.85
FILE_SECONDS = 0.05
"""Wall time of a file beside its CPU-seconds: starting ffmpeg, verifying and syncing the output."""

_WIDTHS = {90: 160, 180: 320, 360: 640, 480: 854, 720: 1280, 1080: 1920, 1440: 2560, 2160: 3840, 4320: 7680}
_PIXEL_CLASSES = {f"{height}p": width * height for height, width in _WIDTHS.items()}
NO_PICTURE = "none"
GIVEN = "given"
UNKNOWN_SPREAD = 2.0
"""By what factor the time of a job of a class never seen may lie above or below its prediction."""


class CostClass(NamedTuple):
    """Jobs whose costs are alike. It is hashed so often that a tuple is worth it.

    `pixels` is the nearest usual picture size, "none" for audio, or "given" where the task itself said what it takes.
    """

    task: str
    encoder: str
    preset: str
    pixels: str
    pixel_format: str
    threads: int

    @property
    def given(self) -> bool:
        """Whether the task itself says what its jobs take, all in all."""
        return self.pixels == GIVEN


def class_of(features: CostFeatures, threads: int) -> CostClass:
    """The class a job belongs to when its ffmpeg may use `threads`."""
    if features.given is not None:
        return _class(features.task, features.encoder, "", GIVEN, "", threads)
    pixels, pixel_format = NO_PICTURE, ""
    if features.pixels > 0:
        pixels = min(_PIXEL_CLASSES, key=lambda name: abs(math.log(features.pixels / _PIXEL_CLASSES[name])))
        pixel_format = features.pixel_format
    return _class(features.task, features.encoder, features.preset or "", pixels, pixel_format, threads)


@lru_cache(maxsize=4096)
def _class(task: str, encoder: str, preset: str, pixels: str, pixel_format: str, threads: int) -> CostClass:
    """One record for all jobs of a class: it is most of what 100,000 of them would take."""
    return CostClass(task, encoder, preset, pixels, pixel_format, threads)


@dataclass(frozen=True, slots=True)
class CostFactors:
    """Factors between priors and predictions of one class, memory with its margin.

    The time of one job may lie above or below its prediction by the factor `spread`.
    """

    cpu: float = 1.0
    memory: float = 1.0
    spread: float = UNKNOWN_SPREAD


class Ratios(NamedTuple):
    """Natural logarithms of measured / prior, or distances between such, unless it says otherwise."""

    cpu: float = 0.0
    memory: float = 0.0
    disk: float = 0.0


@dataclass(frozen=True)
class History:
    """Natural logarithms of measured / prior, newest last; `count` includes attempts dropped since."""

    count: int = 0
    cpu: tuple[float, ...] = ()
    memory: tuple[float, ...] = ()
    disk: tuple[float, ...] = ()

    @cached_property
    def medians(self) -> Ratios:
        """That of memory is at least the median of the latest attempts."""
        memory = max(_median(self.memory), _median(self.memory[-RECENT:]))
        return Ratios(_median(self.cpu), memory, _median(self.disk))

    @cached_property
    def deviations(self) -> Ratios:
        """The median distances of ratios from their median."""
        channels = ((ratios, _median(ratios)) for ratios in (self.cpu, self.memory, self.disk))
        return Ratios(*(_median([abs(ratio - middle) for ratio in ratios]) for ratios, middle in channels))

    def with_ratios(self, prior: Cost, measured: Cost, largest: float = _LARGEST_RATIO) -> History:
        """This history and one more attempt; a 0 was not measured and is left out."""
        return History(
            self.count + 1,
            _appended(self.cpu, prior.cpu_seconds, measured.cpu_seconds, largest),
            _appended(self.memory, prior.memory_bytes, measured.memory_bytes, largest),
            _appended(self.disk, prior.disk_bytes, measured.disk_bytes, largest),
        )


def _appended(ratios: tuple[float, ...], prior: float, measured: float, largest: float) -> tuple[float, ...]:
    if prior <= 0 or measured <= 0 or not math.isfinite(measured):
        return ratios
    return (*ratios, log_ratio(prior, measured, largest))[-HISTORY:]


def log_ratio(prior: float, measured: float, largest: float = _LARGEST_RATIO) -> float:
    """The natural logarithm of measured / prior, within bounds."""
    return max(-largest, min(largest, math.log(measured / prior)))


def _median(ratios: Sequence[float]) -> float:
    return statistics.median(ratios) if ratios else 0.0


GroupKey = tuple[str, ...]
"""A group of classes: () for all, then ever more of (task, encoder, preset, pixel format, pixels)."""

_HELD_BACK = (4.0, 3.0, 2.0, 8.0, 8.0)
"""Attempts at which a group (all, encoder, preset, size, class) counts as much as the wider groups together."""
_HELD_BACK_GIVEN = (1.0, 1.0)
"""The same for what a task says itself: its word may be off by any factor, and nothing but its own jobs corrects it."""
_HELD_BACK_MEMORY = 0.25
"""The same for memory within a picture size: it varies by some 4 % with the film, where CPU varies by half."""
_PRESET = 2


def group_keys(cost_class: CostClass) -> tuple[GroupKey, ...]:
    """The groups a class belongs to, widest first; the last is the class whatever its threads.

    What tasks say of themselves has nothing in common with the measured tables, nor with what other tasks say.
    """
    if cost_class.given:
        return ((cost_class.task, cost_class.encoder, GIVEN),)
    encoder = (cost_class.task, cost_class.encoder)
    preset = (*encoder, cost_class.preset, cost_class.pixel_format)
    return (), encoder, preset, (*preset, cost_class.pixels)


@dataclass(frozen=True, slots=True)
class RunningMemory:
    """Memory of a running file: the logarithm of memory / prior, a lower bound unless it is `settled`."""

    ratio: float
    settled: bool
    attempts_left: int = RECENT
    """After so many more attempts of its kind it no longer counts."""


class _Known(NamedTuple):
    """What was worked out for one class; margins and factors by the margin that an unmeasured class would have."""

    corrections: Ratios
    """Measured / prior, no logarithms."""
    margins: dict[float, float]
    factors: dict[float, CostFactors]


@dataclass(frozen=True, slots=True)
class CostModel:
    """A frozen snapshot of what is known; `observe` and `glimpse` return the next one.

    `running` has the latest of files that still run, by the group of one picture size; it is not saved.
    """

    classes: Mapping[CostClass, History] = field(default_factory=dict)
    groups: Mapping[GroupKey, History] = field(default_factory=dict)
    running: Mapping[GroupKey, RunningMemory] = field(default_factory=dict)
    _known: dict[CostClass, _Known] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What was asked for: thousands of jobs of a class ask for the same."""

    def predict(self, features: CostFeatures, threads: int) -> Cost:
        """CPU-seconds, peak bytes of its ffmpeg and bytes on disk of a job with `threads` threads."""
        prior = prior_cost(features, threads)
        cpu, memory, disk = self._of(class_of(features, threads)).corrections
        return Cost(
            prior.cpu_seconds * cpu,
            round(prior.memory_bytes * memory),
            round(prior.disk_bytes * disk),
            prior.wait_seconds,
            prior.resources + features.resources,
        )

    def observe(self, features: CostFeatures, threads: int, measured: Cost) -> CostModel:
        """The model with one more attempt, which must have run to its end; a 0 in `measured` is "not measured"."""
        prior = prior_cost(features, threads)
        cost_class = class_of(features, threads)
        keys = group_keys(cost_class)
        took = prior, measured, _LARGEST_OF_GIVEN if cost_class.given else _LARGEST_RATIO
        classes = {**self.classes, cost_class: self.classes.get(cost_class, History()).with_ratios(*took)}
        groups = {**self.groups, **{key: self.groups.get(key, History()).with_ratios(*took) for key in keys}}
        running = dict(self.running)
        seen = running.pop(keys[-1], None)
        if seen is not None and seen.attempts_left > 1:
            running[keys[-1]] = replace(seen, attempts_left=seen.attempts_left - 1)
        model = CostModel(classes, groups, running)
        model._known.update(
            (asked, known) for asked, known in self._known.items() if set(keys).isdisjoint(group_keys(asked))
        )
        return model

    def glimpse(self, features: CostFeatures, threads: int, memory_bytes: int, *, settled: bool) -> CostModel:
        """The model with the memory of a file that still runs, `settled` if it has stopped growing."""
        size = group_keys(class_of(features, threads))[-1]
        ratio = log_ratio(max(prior_cost(features, threads).memory_bytes, 1), max(memory_bytes, 1))
        known = self.running.get(size)
        if known is not None:
            ratio, settled = max(ratio, known.ratio), settled or known.settled
        seen = RunningMemory(ratio, settled)
        return self if seen == known else replace(self, running={**self.running, size: seen})

    def measured_count(self, cost_class: CostClass) -> int:
        """How many attempts of this class were observed."""
        return self.classes.get(cost_class, History()).count

    def memory_margin(self, cost_class: CostClass, unmeasured: float) -> float:
        """The factor of safety for predicted memory: `unmeasured` for a class never seen, less for a known one."""
        margins = self._of(cost_class).margins
        if unmeasured not in margins:
            margins[unmeasured] = self._margin(cost_class, unmeasured)
        return margins[unmeasured]

    def _margin(self, cost_class: CostClass, unmeasured: float) -> float:
        history = self.classes.get(cost_class, History())
        running = self.running.get(group_keys(cost_class)[-1])
        seen = max(len(history.memory), running is not None and running.settled)
        known = 1 + (unmeasured - 1) * 2 / (2 + seen)
        return max(known, min(unmeasured, math.exp(2 * history.deviations.memory)))

    def factors(self, cost_class: CostClass, unmeasured: float) -> CostFactors:
        """The factors for the priors of all jobs of this class; `unmeasured` as in `memory_margin`."""
        factors = self._of(cost_class).factors
        if unmeasured not in factors:
            factors[unmeasured] = self._worked_out(cost_class, unmeasured)
        return factors[unmeasured]

    def _worked_out(self, cost_class: CostClass, unmeasured: float) -> CostFactors:
        cpu, memory, _ = self._of(cost_class).corrections
        margin = self.memory_margin(cost_class, unmeasured)
        history = self.classes.get(cost_class, History())
        seen, usual = len(history.cpu), max(math.log(1.1), 1.5 * history.deviations.cpu)
        spread = math.exp((seen * usual + 2 * math.log(UNKNOWN_SPREAD)) / (seen + 2))
        return CostFactors(cpu, memory * margin, spread)

    def _of(self, cost_class: CostClass) -> _Known:
        known = self._known.get(cost_class)
        if known is None:
            corrections = Ratios(*map(math.exp, self._corrections(cost_class)))
            known = self._known[cost_class] = _Known(corrections, {}, {})
        return known

    def _corrections(self, cost_class: CostClass) -> Ratios:
        cpu = memory = disk = 0.0
        keys = group_keys(cost_class)
        histories = [*(self.groups.get(key) for key in keys), self.classes.get(cost_class)]
        widest = len(_HELD_BACK) - len(histories)
        weights = _HELD_BACK_GIVEN if cost_class.given else _HELD_BACK[widest:]
        for level, (history, held_back) in enumerate(zip(histories, weights, strict=True), widest):
            if history is None:
                continue
            cpu = _moved(cpu, history.cpu, history.medians.cpu, held_back)
            disk = _moved(disk, history.disk, history.medians.disk, held_back)
            if level > _PRESET:
                memory = _moved(memory, history.memory, history.medians.memory, _HELD_BACK_MEMORY)
            elif level == _PRESET:
                # Other picture sizes may warn that more memory is needed here; that they took less says nothing.
                memory = max(0.0, _moved(0.0, history.memory, history.medians.memory, held_back))
        running, size = self.running.get(keys[-1]), self.groups.get(keys[-1])
        if running is not None:
            only_source = running.settled and (size is None or not size.memory)
            memory = running.ratio if only_source else max(memory, running.ratio)
        return Ratios(cpu, memory, disk)


def _moved(known: float, ratios: Sequence[float], usual: float, held_back: float) -> float:
    """What was `known`, moved towards the `usual` ratio of a group by the weight of its attempts."""
    return known + len(ratios) / (len(ratios) + held_back) * (usual - known)


def thread_growth(cost_class: CostClass, threads: int) -> float:
    """The factor between predicted memory at one thread and at `threads`."""
    if cost_class.pixels in (NO_PICTURE, GIVEN) or cost_class.encoder == COPY:
        return 1.0
    pixels = _PIXEL_CLASSES[cost_class.pixels]
    _, growth = encode_memory(cost_class.encoder, cost_class.preset or None, pixels)
    return 1 + growth * (encoder_threads(cost_class.encoder, threads) - 1)


def speed(threads: int) -> float:
    """How many times faster a job is with `threads` cores than with one."""
    return 1 + _THREAD_EFFICIENCY * (threads - 1)


def wall_seconds(cpu_seconds: float, threads: int) -> float:
    """Predicted wall time of a job that has `threads` cores to itself."""
    return FILE_SECONDS + cpu_seconds / speed(threads)
