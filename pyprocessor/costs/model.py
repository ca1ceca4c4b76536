"""What will a job take? A pure function of its features and of what earlier jobs took.

A prediction is a prior (see `job_prior`) times a correction. Every finished attempt adds the ratio of measured to prior
to a bounded history; the correction is the median of that history, held back towards 1 while it is short. Histories are
kept per class of jobs, and for encoder and preset, encoder, and all jobs together, so that a class that was never
measured is corrected as its relatives are.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from pyprocessor.costs.encoding import encode_memory
from pyprocessor.costs.job_prior import COPY, prior_cost
from pyprocessor.models import Cost, CostFeatures

HISTORY = 64
"""Ratios kept of one class: enough for a steady median, few enough to follow a change of machine or build."""
RECENT = 3
"""Where so many of the latest attempts took more memory than was usual, they count and not the history."""
_LARGEST_RATIO = math.log(50.0)

_THREAD_EFFICIENCY = 0.85
FILE_SECONDS = 0.05
"""Wall time of a file beside its CPU-seconds: starting ffmpeg, verifying and syncing the output."""

_PIXEL_CLASSES = (
    ("90p", 160 * 90),
    ("180p", 320 * 180),
    ("360p", 640 * 360),
    ("480p", 854 * 480),
    ("720p", 1280 * 720),
    ("1080p", 1920 * 1080),
    ("1440p", 2560 * 1440),
    ("2160p", 3840 * 2160),
    ("4320p", 7680 * 4320),
)
NO_PICTURE = "none"
UNKNOWN_SPREAD = 2.0
"""By what factor the time of a job of a class never seen may lie above or below its prediction."""


@dataclass(frozen=True, slots=True)
class CostClass:
    """Jobs whose costs are alike. `pixels` is the nearest usual picture size, or "none" for audio."""

    task: str
    encoder: str
    preset: str
    pixels: str
    pixel_format: str
    threads: int


def class_of(features: CostFeatures, threads: int) -> CostClass:
    """The class a job belongs to when its ffmpeg may use `threads`."""
    return CostClass(
        features.task,
        features.encoder,
        features.preset or "",
        _pixel_class(features.pixels),
        features.pixel_format if features.pixels else "",
        threads,
    )


def _pixel_class(pixels: int) -> str:
    if pixels <= 0:
        return NO_PICTURE
    return min(_PIXEL_CLASSES, key=lambda named: abs(math.log(pixels / named[1])))[0]


@dataclass(frozen=True, slots=True)
class Price:
    """Factors between the priors and the predictions of one class; `memory` contains the margin of safety, and `spread`
    is the factor by which the time of one job may lie above or below its prediction."""

    cpu: float = 1.0
    memory: float = 1.0
    spread: float = UNKNOWN_SPREAD


@dataclass(frozen=True, slots=True)
class History:
    """Natural logarithms of measured / prior, newest last; `count` includes attempts dropped since.

    `medians` are of the three channels, that of memory at least the median of the latest attempts; `deviations` (median
    distance of a ratio from its median) of CPU and memory. They are stored, because every planned job needs them.
    """

    count: int = 0
    cpu: tuple[float, ...] = ()
    memory: tuple[float, ...] = ()
    disk: tuple[float, ...] = ()
    medians: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviations: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, count: int, cpu: tuple[float, ...], memory: tuple[float, ...], disk: tuple[float, ...]) -> History:
        """A history with its medians and deviations."""
        usual = _median(memory)
        medians = (_median(cpu), max(usual, _median(memory[-RECENT:])), _median(disk))
        return cls(count, cpu, memory, disk, medians, (_deviation(cpu, medians[0]), _deviation(memory, usual)))

    def with_ratios(self, prior: Cost, measured: Cost) -> History:
        """This history and one more attempt; a 0 was not measured and is left out."""
        return History.of(
            self.count + 1,
            _appended(self.cpu, prior.cpu_seconds, measured.cpu_seconds),
            _appended(self.memory, prior.memory_bytes, measured.memory_bytes),
            _appended(self.disk, prior.disk_bytes, measured.disk_bytes),
        )


def _appended(ratios: tuple[float, ...], prior: float, measured: float) -> tuple[float, ...]:
    if prior <= 0 or measured <= 0 or not math.isfinite(measured):
        return ratios
    return (*ratios, _ratio(prior, measured))[-HISTORY:]


def _ratio(prior: float, measured: float) -> float:
    return max(-_LARGEST_RATIO, min(_LARGEST_RATIO, math.log(measured / prior)))


def _median(ratios: tuple[float, ...]) -> float:
    return statistics.median(ratios) if ratios else 0.0


def _deviation(ratios: tuple[float, ...], centre: float) -> float:
    """Median absolute deviation."""
    return _median(tuple(abs(r - centre) for r in ratios))


GroupKey = tuple[str, ...]
"""A group of classes: () for all, then ever more of (task, encoder, preset, pixel format, pixels)."""

_HELD_BACK = (4.0, 3.0, 2.0, 8.0, 8.0)
"""With how many attempts a group (all, encoder, preset, size, class) outweighs what is known without it."""
_HELD_BACK_MEMORY = 0.25
"""The same for memory within a picture size: it varies by some 4 % with the film, where CPU varies by half."""


def group_keys(cost_class: CostClass) -> tuple[GroupKey, GroupKey, GroupKey, GroupKey]:
    """The groups a class belongs to, widest first; the last is the class whatever its threads."""
    encoder = (cost_class.task, cost_class.encoder)
    preset = (*encoder, cost_class.preset, cost_class.pixel_format)
    return (), encoder, preset, (*preset, cost_class.pixels)


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Memory of a file that still runs: the logarithm of memory / prior, a lower bound unless it is `settled`.

    It no longer counts after `attempts_left` more attempts of its kind.
    """

    ratio: float
    settled: bool
    attempts_left: int = RECENT


@dataclass(frozen=True, slots=True)
class CostModel:
    """A frozen snapshot of what is known; `observe` and `glimpse` return the next one.

    `running` has the latest of files that still run, by the group of one picture size; it is not saved.
    """

    classes: Mapping[CostClass, History] = field(default_factory=lambda: MappingProxyType({}))
    groups: Mapping[GroupKey, History] = field(default_factory=lambda: MappingProxyType({}))
    running: Mapping[GroupKey, Glimpse] = field(default_factory=lambda: MappingProxyType({}))

    def predict(self, features: CostFeatures, threads: int) -> Cost:
        """CPU-seconds, peak bytes of its ffmpeg and bytes on disk of a job with `threads` threads."""
        prior = prior_cost(features, threads)
        cpu, memory, disk = self._corrections(class_of(features, threads))
        return Cost(
            prior.cpu_seconds * math.exp(cpu),
            round(prior.memory_bytes * math.exp(memory)),
            round(prior.disk_bytes * math.exp(disk)),
        )

    def observe(self, features: CostFeatures, threads: int, measured: Cost) -> CostModel:
        """The model with one more attempt, which must have run to its end; a 0 in `measured` is "not measured"."""
        prior = prior_cost(features, threads)
        cost_class = class_of(features, threads)
        classes = dict(self.classes)
        classes[cost_class] = classes.get(cost_class, History()).with_ratios(prior, measured)
        groups = dict(self.groups)
        for key in group_keys(cost_class):
            groups[key] = groups.get(key, History()).with_ratios(prior, measured)
        running = dict(self.running)
        size = group_keys(cost_class)[-1]
        if size in running:
            left = running[size].attempts_left - 1
            running[size] = replace(running[size], attempts_left=left)
            if left == 0:
                del running[size]
        return CostModel(MappingProxyType(classes), MappingProxyType(groups), MappingProxyType(running))

    def glimpse(self, features: CostFeatures, threads: int, memory_bytes: int, *, settled: bool) -> CostModel:
        """The model with the memory of a file that still runs, `settled` if it has stopped growing.

        Others of its kind are then planned by it, although a file of hours has not ended.
        """
        size = group_keys(class_of(features, threads))[-1]
        ratio = _ratio(prior_cost(features, threads).memory_bytes, max(memory_bytes, 1))
        known = self.running.get(size)
        if known is not None:
            ratio, settled = max(ratio, known.ratio), settled or known.settled
        seen = Glimpse(ratio, settled)
        if seen == known:
            return self
        return replace(self, running=MappingProxyType({**self.running, size: seen}))

    def measured_count(self, cost_class: CostClass) -> int:
        """How many attempts of this class were observed."""
        history = self.classes.get(cost_class)
        return history.count if history is not None else 0

    def memory_margin(self, cost_class: CostClass, unmeasured: float) -> float:
        """The factor of safety for predicted memory: `unmeasured` for a class never seen, less for a known one.

        A class whose peaks scatter keeps a margin of twice their usual deviation.
        """
        history = self.classes.get(cost_class, History())
        glimpse = self.running.get(group_keys(cost_class)[-1])
        seen = max(len(history.memory), glimpse is not None and glimpse.settled)
        known = 1 + (unmeasured - 1) * 2 / (2 + seen)
        return max(known, min(unmeasured, math.exp(2 * history.deviations[1])))

    def price(self, cost_class: CostClass, unmeasured: float) -> Price:
        """The factors for the priors of all jobs of this class; `unmeasured` as in `memory_margin`."""
        cpu, memory, _ = self._corrections(cost_class)
        margin = self.memory_margin(cost_class, unmeasured)
        return Price(math.exp(cpu), math.exp(memory) * margin, self.spread(cost_class))

    def spread(self, cost_class: CostClass) -> float:
        """The factor by which the time of one job may lie above or below its prediction."""
        history = self.classes.get(cost_class, History())
        seen = len(history.cpu)
        usual = max(math.log(1.1), 1.5 * history.deviations[0])
        return math.exp((seen * usual + 2 * math.log(UNKNOWN_SPREAD)) / (seen + 2))

    def _corrections(self, cost_class: CostClass) -> tuple[float, float, float]:
        cpu = memory = disk = 0.0
        *wide, size = (self.groups.get(key) for key in group_keys(cost_class))
        for history, held_back in zip(wide, _HELD_BACK, strict=False):
            if history is not None:
                cpu += len(history.cpu) / (len(history.cpu) + held_back) * (history.medians[0] - cpu)
                disk += len(history.disk) / (len(history.disk) + held_back) * (history.medians[2] - disk)
        preset = wide[-1]
        if preset is not None:
            # Other picture sizes may warn that more memory is needed here; that they took less says nothing.
            weight = len(preset.memory) / (len(preset.memory) + _HELD_BACK[2])
            memory = max(0.0, weight * preset.medians[1])
        for history, held_back in zip((size, self.classes.get(cost_class)), _HELD_BACK[3:], strict=True):
            if history is not None:
                cpu += len(history.cpu) / (len(history.cpu) + held_back) * (history.medians[0] - cpu)
                sure = len(history.memory) / (len(history.memory) + _HELD_BACK_MEMORY)
                memory += sure * (history.medians[1] - memory)
                disk += len(history.disk) / (len(history.disk) + held_back) * (history.medians[2] - disk)
        glimpse = self.running.get(group_keys(cost_class)[-1])
        if glimpse is not None:
            only_source = glimpse.settled and (size is None or not size.memory)
            memory = glimpse.ratio if only_source else max(memory, glimpse.ratio)
        return cpu, memory, disk


def thread_growth(cost_class: CostClass, threads: int) -> float:
    """The factor between predicted memory at one thread and at `threads`."""
    if cost_class.pixels == NO_PICTURE or cost_class.encoder == COPY:
        return 1.0
    pixels = dict(_PIXEL_CLASSES)[cost_class.pixels]
    _, growth = encode_memory(cost_class.encoder, cost_class.preset or None, pixels)
    return 1 + growth * (threads - 1)


def speed(threads: int) -> float:
    """How many times faster a job is with `threads` cores than with one."""
    return 1 + _THREAD_EFFICIENCY * (threads - 1)


def wall_seconds(cost: Cost, threads: int) -> float:
    """Predicted wall time of a job that has `threads` cores to itself."""
    return FILE_SECONDS + cost.cpu_seconds / speed(threads)
