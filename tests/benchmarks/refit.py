"""Measures real clips and fits `costs/encode-cpu.tsv` to them: `python -m tests.benchmarks refit`.

The clips are those of the folder that PYPROCESSOR_MEDIA names; PYPROCESSOR_REFIT says which encoders, for instance
`libx264/medium,libsvtav1/8`. Each clip is encoded twice with the very call that a run makes of it, at one thread, and
the smaller CPU time counts. Decoding, filters and sound are taken off as they are predicted; what is left, per
megapixel, is fitted by a ridge regression over the logarithms of size and detail. Printed are the first columns of rows
for the table, and how far predictions are off that clips get from a fit without them. (x264 medium over 60 clips of
10 s takes some eight minutes.)
"""

from __future__ import annotations

import math
import os
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyprocessor.costs.job_prior import cpu_per_pixel, detail, prior_cost
from pyprocessor.inspect.probe import probe
from pyprocessor.models import CostFeatures
from pyprocessor.profiles import load
from pyprocessor.recipes.features import features
from tests.benchmarks.bare import bare_calls
from tests.benchmarks.command import measured
from tests.benchmarks.makespan import Contest, write_profile
from tests.benchmarks.predictions import MEDIA_VARIABLE, media_folder

ENCODERS_VARIABLE = "PYPROCESSOR_REFIT"
USUAL_CRF = {"libx264": 20, "libx265": 22, "libsvtav1": 28, "libvpx-vp9": 31, "libaom-av1": 28}
ROUNDS = 2
LEAST_SECONDS = 0.12
"""Shorter encodes are mostly start-up."""
LEAST_SHARE = 0.25
"""Of CPU time that must be the encoder's own, for a clip to say something of it."""
RIDGE = 1.0
"""What pulls both exponents towards `USUAL`: as much as one clip that is far from the others."""
USUAL = (-0.05, 0.3)
Row = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip: logarithms of its size beside 720p, of its detail, and of the encoder's CPU-seconds per megapixel."""

    size: float
    detail: float
    pace: float
    measured_seconds: float
    other_seconds: float

    def error(self, fitted: Row) -> float:
        """|predicted - measured| / measured by such a fit."""
        encoding = self.measured_seconds - self.other_seconds
        predicted = self.other_seconds + encoding * math.exp(_value(fitted, self) - self.pace)
        return abs(predicted - self.measured_seconds) / self.measured_seconds


def measure(folder: Path) -> Iterator[str]:
    """A row of the table and its errors for every encoder asked for."""
    clips, asked = media_folder(), os.environ.get(ENCODERS_VARIABLE, "")
    if clips is None or not asked:
        yield f"not measured: set {MEDIA_VARIABLE} (a folder) and {ENCODERS_VARIABLE} (libx264/medium,libsvtav1/8)"
        return
    for number, (encoder, preset) in enumerate(name.split("/") for name in asked.split(",")):
        contest = Contest(encoder, encoder, preset, USUAL_CRF[encoder], rounds=ROUNDS)
        samples = _samples(clips, write_profile(folder / f"{number}.yaml", contest), contest)
        level, size, exponent = fit(samples)
        errors = [sample.error(fit([*samples[:n], *samples[n + 1 :]])) for n, sample in enumerate(samples)]
        yield f"{encoder}\t{preset}\t{math.exp(level):.4f}\t{size:.2f}\t{exponent:.2f}\t{contest.crf}"
        yield (
            f"{encoder} {preset}: {len(samples)} clips, left out in turn: off by {100 * statistics.median(errors):.0f} "
            f"% (median), {100 * statistics.quantiles(errors, n=10)[-1]:.0f} % (nine of ten)"
        )


def _samples(clips: Path, profile_file: Path, contest: Contest) -> list[Sample]:
    profile = load(str(profile_file)).profile
    samples = []
    for name, call in bare_calls(clips, profile).items():
        path = clips / name
        asked = features(profile, probe(os.fsencode(path), size_bytes=path.stat().st_size))
        with tempfile.TemporaryDirectory() as output:
            try:
                taken = min(measured(call, cwd=Path(output)).cpu_seconds for _ in range(contest.rounds))
            except RuntimeError:
                continue  # it cannot be converted, so it says nothing
        sample = _sample(asked, taken)
        if sample is not None:
            samples.append(sample)
    return samples


def _sample(asked: CostFeatures, taken: float) -> Sample | None:
    pixels = asked.frames * asked.pixels
    predicted_pace = cpu_per_pixel(asked.encoder, asked.preset, asked.pixels, detail(asked), asked.crf)
    other = max(0.0, prior_cost(asked, 1).cpu_seconds - pixels * predicted_pace)
    if taken < LEAST_SECONDS or taken - other < LEAST_SHARE * taken:
        return None
    pace = math.log((taken - other) / pixels * 1e6)
    return Sample(math.log(asked.pixels / (1280 * 720)), math.log(detail(asked)), pace, taken, other)


def fit(samples: Sequence[Sample]) -> Row:
    """Level, exponent of size and exponent of detail, by least squares with a ridge on the exponents."""
    rows = [(1.0, sample.size, sample.detail) for sample in samples]
    matrix = [[sum(row[i] * row[j] for row in rows) for j in range(3)] for i in range(3)]
    right = [sum(row[i] * sample.pace for row, sample in zip(rows, samples, strict=True)) for i in range(3)]
    for place, usual in enumerate(USUAL, start=1):
        matrix[place][place] += RIDGE
        right[place] += RIDGE * usual
    return _solved(matrix, right)


def _solved(matrix: list[list[float]], right: list[float]) -> Row:
    """By Cramer's rule."""
    whole = _determinant(matrix)
    swapped = ([[*row[:k], right[i], *row[k + 1 :]] for i, row in enumerate(matrix)] for k in range(3))
    level, size, exponent = (_determinant(each) / whole for each in swapped)
    return level, size, exponent


def _determinant(m: Sequence[Sequence[float]]) -> float:
    return sum(
        m[0][i] * (m[1][(i + 1) % 3] * m[2][(i + 2) % 3] - m[1][(i + 2) % 3] * m[2][(i + 1) % 3]) for i in range(3)
    )


def _value(fitted: Row, sample: Sample) -> float:
    level, size, exponent = fitted
    return level + size * sample.size + exponent * sample.detail
