"""ANALYZE without any file: what it takes and predicts; what the summary of a run makes of its results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import JobError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import CostFeatures, Source
from pyprocessor.models.extras import is_installed
from pyprocessor.report.analyses import Analysed, Analyses, entries, lines, near_duplicates
from pyprocessor.tasks.analyze import Analyze, AnalyzeParams
from pyprocessor.tasks.params import params_as

SOURCE = Source(b"/in/film.mp4", b"film.mp4", 1000, 0)
HD = {
    "seconds": 100.0,
    "pictures": 2500.0,
    "pixels": 1920 * 1080,
    "sheet_size": (320, 180),
    "sample_bytes": 1,
    "damage": [],
}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"rate": 0}, "`rate` is 0, but has to be above 0 and at most 60."),
        ({"black_share": 1.5}, "`black_share` is 1.5, but has to be from 0 to 1."),
        ({"silence_db": 3}, "`silence_db` is 3, but has to be from -120 to 0."),
        ({"hashes": 1000}, "`hashes` is 1000, but has to be from 0 to 256."),
        ({"columns": 0}, "`columns` is 0, but has to be from 1 to 100."),
        ({"black_second": 1}, "`black_second` is no field of this task; did you mean `black_seconds`?"),
    ],
)
def test_what_is_wrong_is_one_sentence(params: dict[str, Any], said: str) -> None:
    """With the bounds."""
    with pytest.raises(JobError) as raised:
        params_as(AnalyzeParams, params)
    assert str(raised.value) == said


def planned(found: dict[str, Any]) -> tuple[list[str], CostFeatures]:
    """The products' roles and the cost of a file."""
    plan = Analyze().plan({}, (SOURCE,), found, b"a/film")
    assert isinstance(plan.cost, CostFeatures)
    return [product.role for product in plan.products], plan.cost


def test_the_prediction_follows_what_is_decoded() -> None:
    """CPU time by pictures and their size, memory by their size; both more for more than 8 bits."""
    roles, hd = planned(HD)
    _, uhd = planned({**HD, "pixels": 3840 * 2160})
    _, deep = planned({**HD, "sample_bytes": 2})
    alone, sound = planned({**HD, "pictures": 0, "pixels": 0})
    assert (roles, alone) == (["main", "sheet"], ["main"])
    costs = [features.given for features in (sound, hd, deep, uhd)]
    assert all(cost is not None for cost in costs)
    cpu, memory = ([getattr(cost, name) for cost in costs] for name in ("cpu_seconds", "memory_bytes"))
    assert cpu == sorted(cpu)
    assert memory[0] < memory[1] < memory[2] < memory[3]


def test_results_are_added_up() -> None:
    """A video counts once for each kind, whatever the number of its spans."""
    found = Analyses()
    assert list(found.rows()) == []
    found.add({"black_seconds": 3.0, "frozen_seconds": 0.0, "cuts": 1000})
    found.add({"black_seconds": 0.0, "frozen_seconds": 0.0, "silent_seconds": 2.5, "cuts": 1})
    assert list(found.rows()) == [("Analysed", "2 videos: 1 with black, 1 with silence, 1,001 scene cuts")]


def test_near_duplicates_are_listed() -> None:
    """So many groups and names in the text; all in the document."""
    groups = [tuple(Analysed(f"{name}-{group}".encode(), b"/in/x") for name in range(12)) for group in range(22)]
    assert lines([], 80) == []
    text = lines(groups, 200)
    assert text[:3] == ["", "Near-duplicates:", "  " + ", ".join(f"{n}-0" for n in range(10)) + ", and 2 more"]
    assert text[-1] == "  ... and 2 more groups; with --json all are listed"
    assert [len(group) for group in entries(groups)] == [12] * 22


class Results(JournalReader):
    """A journal that has these results, by name of the file below a folder."""

    def __init__(self, folder: Path, results: dict[str, str | None]) -> None:
        self._folder, self._results = folder, results

    def results_of(self, task: str) -> Iterator[tuple[bytes, bytes, str | None]]:
        assert task == "analyze"
        for name, result in self._results.items():
            yield name.rpartition(".")[0].encode(), bytes(self._folder / name), result


def hashed(*values: int) -> str:
    listed = ", ".join(f'"{value:016x}"' for value in values)
    return f'{{"hashes": [{listed}], "warnings": []}}'


def test_videos_that_are_gone_are_no_duplicates(tmp_path: Path) -> None:
    """Nor are those without hashes, or whose results are unknown; names have their extensions."""
    assert is_installed("frames")
    one, other = (0x0123456789ABCDEF, 0xFEDCBA9876543210), (0x00FF00FF00FF00FF, 0xFF00FF00FF00FF00)
    results = {"a.mp4": hashed(*one), "b.mkv": hashed(*one), "c.mp4": hashed(*other), "d.mp4": hashed(), "e.mp4": None}
    for name in results:
        (tmp_path / name).touch()
    (group,) = near_duplicates(Results(tmp_path, results))
    assert [video.name for video in group] == [b"a.mp4", b"b.mkv"]
    (tmp_path / "b.mkv").unlink()
    assert near_duplicates(Results(tmp_path, results)) == []
