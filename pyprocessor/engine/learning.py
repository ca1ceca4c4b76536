"""What has this run learned of costs, and what had earlier runs? Exchanges the frozen model for a better one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pyprocessor.costs.calibration import FileHistory, default_path, load, save
from pyprocessor.costs.job_prior import prior_cost
from pyprocessor.costs.model import FILE_SECONDS, HISTORY, CostModel, class_of
from pyprocessor.models import Cost, CostFeatures, Source, Usage

ONE_IN = 64
"""So many of the short calls of a kind that is known well are learned from: learning takes as long as they do."""
SAVE_EVERY = 200
"""Attempts learned between two savings, so that a run that is killed has not learned for nothing."""


@dataclass(eq=False)
class Calibration:
    """The cost model of one run, kept in `path` (if any) with the history of single files."""

    model: CostModel
    _files: FileHistory
    _path: str | None
    _unsaved: int = 0
    _observed: int = 0

    @classmethod
    def load(cls, model: CostModel | None) -> tuple[Calibration, str | None]:
        """What earlier runs learned, and a sentence where it could not be used. A given `model` is not kept."""
        if model is not None:
            return cls(model, FileHistory(), None), None
        path = default_path()
        found = load(path)
        return cls(found.model, found.files, path), found.problem

    def predict(self, features: CostFeatures, threads: int) -> Cost:
        return self.model.predict(features, threads)

    def with_history(self, features: CostFeatures, source: Source) -> CostFeatures:
        """The features of a job with what earlier runs of the same file took."""
        factor = self._files.factor(source, features, self.model)
        return features if factor == features.own_factor else replace(features, own_factor=factor)

    def observe(
        self, features: CostFeatures, source: Source, threads: int, usage: Usage, output_bytes: int
    ) -> str | None:
        """Learn from an attempt that ran to its end; returns a sentence where what was learned cannot be kept."""
        self._observed += 1
        short = features.given is not None and usage.wall_seconds < FILE_SECONDS
        if short and self._observed % ONE_IN and self.model.measured_count(class_of(features, threads)) >= HISTORY:
            return None
        measured = Cost(usage.cpu_seconds, usage.peak_memory_bytes, output_bytes)
        self.model = self.model.observe(features, threads, measured)
        prior = prior_cost(replace(features, own_factor=1.0), threads)
        self._files.remember(source, features, threads, prior, measured)
        self._unsaved += 1
        return self.keep() if self._unsaved >= SAVE_EVERY else None

    def took(self, features: CostFeatures, source: Source, cpu_seconds: float) -> None:
        """Remember what a file that was joined of parts took in all; the model has learned from each part already."""
        prior = prior_cost(replace(features, own_factor=1.0), 1)
        self._files.remember(source, features, 1, prior, Cost(cpu_seconds, 0, 0))

    def glimpse(self, features: CostFeatures, threads: int, memory_bytes: int, *, settled: bool) -> bool:
        """Learn from a running file how much memory its class takes; returns whether that changed the model."""
        before = self.model
        self.model = before.glimpse(features, threads, memory_bytes, settled=settled)
        return self.model is not before

    def keep(self) -> str | None:
        """Save what was learned since the last time; returns a sentence where that is not possible."""
        if self._path is None or self._unsaved == 0:
            return None
        self._unsaved = 0
        try:
            save(self.model, self._files, self._path)
        except OSError as error:
            path, self._path = self._path, None
            return f"What this run learns of costs cannot be kept in {path} ({error.strerror}); nothing else is harmed."
        return None
