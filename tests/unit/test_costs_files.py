"""What single files took before: by the same encoder, by another one, and from run to run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.costs import calibration as calibration_module
from pyprocessor.costs.calibration import FileHistory, load, save
from pyprocessor.costs.job_prior import prior_cost
from pyprocessor.costs.model import CostModel, class_of
from pyprocessor.engine.learning import Calibration
from pyprocessor.models import CostFeatures, Source, Usage

P720 = 1280 * 720
JOB = CostFeatures("transcode", "libx264", "medium", P720, P720, "yuv420p", 300, 10, 2_000_000)
AV1 = replace(JOB, encoder="libsvtav1", preset="8")


def source(number: int) -> Source:
    """One of many files."""
    return Source(b"/in/%d.mp4" % number, b"%d.mp4" % number, 1000 + number, 10**18)


def took(calibration: Calibration, number: int, factor: float, job: CostFeatures = JOB) -> None:
    """A file ended that took so many times its prior."""
    usage = Usage(1.0, prior_cost(job, 1).cpu_seconds * factor, 0)
    calibration.observe(calibration.with_history(job, source(number)), source(number), 1, usage, 0)


def error(calibration: Calibration, number: int, factor: float, job: CostFeatures = JOB) -> float:
    """By how much the prediction for a file is off that takes so many times its prior."""
    predicted = calibration.predict(calibration.with_history(job, source(number)), 1).cpu_seconds
    return abs(predicted / (prior_cost(job, 1).cpu_seconds * factor) - 1)


FACTORS = [0.3, 0.5, 0.8, 1.0, 1.1, 1.4, 2.0, 3.0]


@pytest.fixture
def once() -> Calibration:
    """After one run over eight files that have little in common."""
    calibration = Calibration(CostModel(), FileHistory(), None)
    for number, factor in enumerate(FACTORS):
        took(calibration, number, factor)
    return calibration


def test_the_same_again_takes_what_it_took(once: Calibration) -> None:
    """Every file is predicted as it was measured, the first one as well; one that nobody saw as its class."""
    assert max(error(once, number, factor) for number, factor in enumerate(FACTORS)) < 0.01
    assert once.with_history(JOB, source(99)).own_factor == 1.0


def test_a_second_run_leaves_the_class_as_it_is(once: Calibration) -> None:
    """What is known of files is no news of their class; how far predictions are off is, and the band gets narrow."""
    before = once.model.factors(class_of(JOB, 1), 1.0)
    for _ in range(3):
        for number, factor in enumerate(FACTORS):
            took(once, number, factor)
    after = once.model.factors(class_of(JOB, 1), 1.0)
    assert after.cpu == pytest.approx(before.cpu, rel=0.05)
    assert after.spread < before.spread
    assert error(once, 99, after.cpu) < 0.05


def test_another_encoder_learns_of_the_file_too(once: Calibration) -> None:
    """A file that was hard for one encoder is expected to be hard for another, though not as much."""
    hard, easy = (once.with_history(AV1, source(number)).own_factor for number in (7, 0))
    assert easy < 0.7 < 1.5 < hard < 3.0
    for number, factor in enumerate(FACTORS):
        took(once, number, factor**0.7, AV1)
    assert max(error(once, number, factor) for number, factor in enumerate(FACTORS)) < 0.01
    assert max(error(once, number, factor**0.7, AV1) for number, factor in enumerate(FACTORS)) < 0.01


def test_a_file_that_changed_or_is_another_is_not_known(once: Calibration) -> None:
    """Name, size and time make the file; where it lies does not."""
    known = source(7)
    factor = once.with_history(JOB, known).own_factor
    assert once.with_history(JOB, replace(known, path=b"/elsewhere/7.mp4")).own_factor == factor != 1.0
    for other in (replace(known, size_bytes=5), replace(known, mtime_ns=5), replace(known, path=b"/in/8.mp4")):
        assert once.with_history(JOB, other).own_factor == 1.0


def test_it_outlives_the_run_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved and read again it says the same; the oldest go where there are too many."""
    monkeypatch.setattr(calibration_module, "MOST_ENTRIES", 20)
    files, path, model = FileHistory(), str(tmp_path / "state" / "costs.json"), CostModel()
    for number in range(30):
        prior = prior_cost(JOB, 1)
        files.remember(source(number), JOB, 1, prior, replace(prior, cpu_seconds=3 * prior.cpu_seconds))
    save(model, files, path)
    loaded = load(path).files
    assert loaded.known == files.known
    assert len(loaded.known) == 20
    assert [loaded.factor(source(n), JOB, model) for n in (0, 19, 20, 29)] == pytest.approx([1, 1, 3, 3], rel=1e-3)


def test_what_was_not_measured_teaches_nothing(once: Calibration) -> None:
    """A CPU time of 0 is "not measured"."""
    once.observe(JOB, source(50), 1, Usage(1.0, 0.0, 0), 0)
    assert once.with_history(JOB, source(50)).own_factor == 1.0
