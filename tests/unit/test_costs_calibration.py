"""The file of learned costs: comes back as it was, and never stands in the way of a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyprocessor.costs.calibration import FileHistory, default_path, load, save
from pyprocessor.costs.model import CostModel
from pyprocessor.models import Cost, CostFeatures

JOB = CostFeatures("transcode", "libx264", "medium", 921600, 921600, "yuv420p", 300, 10, 2_000_000)
AUDIO = CostFeatures("transcode", "aac", None, 0, 0, "", 0, 60, 2_000_000)


def learned() -> CostModel:
    """A model that has seen a few attempts of two classes."""
    model = CostModel()
    for number in range(5):
        model = model.observe(JOB, 1, Cost(7.0 + number, 300 << 20, 1 << 20)).observe(AUDIO, 2, Cost(1.0, 50 << 20, 0))
    return model


def test_what_was_learned_comes_back(tmp_path: Path) -> None:
    """Saved and loaded, the model predicts the same; the folder is made."""
    path = str(tmp_path / "state" / "costs.json")
    save(learned(), FileHistory(), path)
    loaded = load(path)
    assert loaded.problem is None
    for job in (JOB, AUDIO):
        before, after = learned().predict(job, 1), loaded.model.predict(job, 1)
        assert after.memory_bytes == pytest.approx(before.memory_bytes, rel=1e-3)
        assert after.cpu_seconds == pytest.approx(before.cpu_seconds, rel=1e-3)
    assert os.listdir(tmp_path / "state") == ["costs.json"]


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    """The first run of all starts from the priors."""
    loaded = load(str(tmp_path / "none.json"))
    assert loaded.problem is None
    assert loaded.model.predict(JOB, 1) == CostModel().predict(JOB, 1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"{}",
        b'{"version": 99, "classes": [], "groups": [], "files": []}',
        b'{"version": 3, "classes": [{"class": {"nonsense": 1}}], "groups": [], "files": []}',
        b'{"version": 3, "classes": [], "groups": [{"group": [], "count": 1, "cpu": [NaN], "memory": [], "disk": []}]}',
        b'{"version": 3, "classes": [], "groups": [], "files": [[1, NaN, 1]]}',
        b'{"version": 3, "classes": [], "groups": [], "files": [[1]]}',
    ],
)
def test_a_damaged_file_is_told_and_left_behind(tmp_path: Path, content: bytes) -> None:
    """One sentence names the file; the run goes on from the priors and can save over it."""
    path = tmp_path / "costs.json"
    path.write_bytes(content)
    loaded = load(str(path))
    assert loaded.problem is not None
    assert str(path) in loaded.problem
    assert loaded.model.predict(JOB, 1) == CostModel().predict(JOB, 1)
    save(learned(), FileHistory(), str(path))
    assert load(str(path)).problem is None


def test_a_failed_save_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays whole and no temporary file is left."""
    path = str(tmp_path / "costs.json")
    save(learned(), FileHistory(), path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save(CostModel(), FileHistory(), path)
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["costs.json"]
    assert load(path).model.classes


def test_default_path_is_in_the_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """It carries over between outputs, and bears the tool's name."""
    path = default_path()
    assert path.endswith("costs.json")
    assert "pyprocessor" in path
