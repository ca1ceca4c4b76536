"""A short version of `make stress` over submitted jobs: kills at grants, and of the engine midway through many jobs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.tasks.registry import task
from tests.stress import grants, queue, task_queue, world
from tests.stress.figures import Asked, Figures
from tests.stress.submitted import NAMES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose path is short: a socket's may have 107 bytes. A busy machine gets more time."""
    for module in (grants, queue, world):
        monkeypatch.setattr(module, "LEFT_SECONDS", 60.0)
    for module in (grants, world):
        monkeypatch.setattr(module, "RUN_SECONDS", 240.0)
    with tempfile.TemporaryDirectory(prefix="pyprocessor-stress-") as path:
        yield Path(path)
    task.cache_clear()


def test_killing_the_engine_midway_through_many_jobs(folder: Path) -> None:
    """Two kills among 500 jobs and chains beside them; what cannot be lost is not, and nothing is done again."""
    lines = list(queue.measure(folder, Asked(0, jobs=500, queue_kills=2)))
    assert sum(line.startswith("kill ") for line in lines) == 2


@pytest.mark.long
def test_killing_a_program_with_a_queue_five_times(folder: Path) -> None:
    """Once while it adds and four times while it works, with chains that are added meanwhile."""
    lines = list(task_queue.measure(folder, Asked(0, jobs=1000, queue_kills=4)))
    assert sum(line.startswith(("killed ", "kill ")) for line in lines) == 5


@pytest.mark.parametrize(
    ("case", "moment"),
    [
        (grants.Case(grants.Start.TAKEN, "parts", "worker", "both", 1), "before"),
        (grants.Case(grants.Start.TAKEN, "parts", "engine", "engine", 2), "after commit of grant_job"),
    ],
    ids=str,
)
def test_killing_a_grant(folder: Path, case: grants.Case, moment: str) -> None:
    """It is finished by the next run: both products are whole and of the one attempt."""
    figures = Figures(NAMES)
    told = grants.Harness(folder, figures).kill_at(case)
    assert figures.found == []
    assert told.startswith(moment)
    assert told.endswith("publishing at the kill, 1 attempt(s)")


def test_a_grant_is_killed_at_the_moment_that_was_asked_for(folder: Path) -> None:
    """Between the renames of its two products, of which the first has its name and the second has not."""
    harness = grants.Harness(folder, Figures(NAMES))
    case = grants.Case(grants.Start.FREE, "parts", "recovery", "engine", cut_off=("after exclusive rename", 1))
    output = folder / "cut"
    harness.begin(case, output)
    assert (output / "reel.parts" / "deep" / "two").exists()
    assert not (output / "reel").exists()


def test_the_harness_would_notice(folder: Path) -> None:
    """Products of two attempts, a product that is cut, and one that is missing are all told."""
    figures = Figures(NAMES)
    harness = grants.Harness(folder, figures)
    case = grants.Case(grants.Start.FREE, "parts", "worker", "worker", 1)
    output = folder / "done"
    harness.begin(case, output)
    harness.finish(output, "here")
    harness.check(case, output, "here")
    assert figures.found == []
    (output / "reel").write_text("first of another attempt\n")
    harness.check(case, output, "here")
    mixed = list(figures.found)
    (output / "reel").unlink()
    harness.check(case, output, "here")
    assert {name for name, _ in mixed} == {"products that are not whole, or not of one attempt"}
    assert {name for name, _ in figures.found} == {"products that are not whole, or not of one attempt", "lost files"}
