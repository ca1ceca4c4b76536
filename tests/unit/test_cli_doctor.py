"""What `doctor` says of learned costs."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pyprocessor.cli import doctor
from pyprocessor.cli.doctor import CLASSES_SHOWN, most_used
from pyprocessor.cli.main import main
from pyprocessor.costs.calibration import FileHistory, default_path, save
from pyprocessor.costs.job_prior import prior_cost
from pyprocessor.costs.model import CostModel
from pyprocessor.models import Cost, CostFeatures

Captured = pytest.CaptureFixture[str]
FILM = CostFeatures("transcode", "libx264", "medium", 921600, 921600, "yuv420p", 300, 10, 2_000_000)
SOUND = CostFeatures("transcode", "aac", None, 0, 0, "", 0, 60, 2_000_000)


def learned(times: int) -> CostModel:
    """A model that measured so many films at twice the CPU time and half the memory, and one sound without memory."""
    model, prior = CostModel(), prior_cost(FILM, 1)
    for _ in range(times):
        model = model.observe(FILM, 1, Cost(2 * prior.cpu_seconds, prior.memory_bytes // 2, 0))
    return model.observe(SOUND, 2, Cost(1.0, 0, 0))


def document(capsys: Captured) -> dict[str, Any]:
    """What `doctor --json` prints, parsed."""
    main(["doctor", "--json"])
    parsed = json.loads(capsys.readouterr().out)
    assert isinstance(parsed, dict)
    return parsed


def check(told: dict[str, Any]) -> dict[str, Any]:
    """The check about learned costs."""
    (found,) = [one for one in told["checks"] if one["name"] == "calibration"]
    assert isinstance(found, dict)
    return found


def test_before_the_first_run_nothing_is_learned(capsys: Captured) -> None:
    """That is no fault, and where it will be kept is said."""
    told = document(capsys)
    assert check(told)["state"] == "ok"
    assert default_path() in check(told)["found"]
    assert (told["calibration"]["classes"], told["calibration"]["most_used"]) == (0, [])
    main(["doctor"])
    assert "Files measured here" not in capsys.readouterr().out


def test_what_was_learned_is_told_for_each_class(capsys: Captured) -> None:
    """How many files, measured over built-in, and how far predictions are off now; unmeasured is left open."""
    save(learned(40), FileHistory(), default_path())
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "learned from 41 files of 2 classes" in said
    film = next(line for line in said.splitlines() if line.startswith("libx264 medium 720p yuv420p 1 thread"))
    assert film.split()[-7:-1] == ["40", "x0.50", "+-0%", film.split()[-4], "x2.00", "+-0%"]
    sound = next(line for line in said.splitlines() if line.startswith("aac 2 threads"))
    assert sound.split()[3:6] == ["1", "-", "-"]


def test_the_document_has_the_numbers(capsys: Captured) -> None:
    """A class that is well known is predicted well: the error of today's prediction is small."""
    save(learned(40), FileHistory(), default_path())
    told = document(capsys)["calibration"]
    assert (told["path"], told["problem"], told["classes"], told["files"]) == (default_path(), None, 2, 41)
    film, sound = told["most_used"]
    assert film["cost_class"]["encoder"] == "libx264"
    assert (film["memory"]["files"], film["memory"]["ratio"]) == (40, pytest.approx(0.5, rel=1e-3))
    assert (film["cpu"]["ratio"], film["cpu"]["spread"]) == (pytest.approx(2.0, rel=1e-3), pytest.approx(1.0))
    assert film["memory"]["error"] < 0.05
    assert film["cpu"]["error"] < 0.05
    assert sound["memory"] is None


def test_the_error_is_of_what_would_be_predicted(capsys: Captured) -> None:
    """After one file the model is still held back, and says so."""
    save(learned(1), FileHistory(), default_path())
    film = next(
        one for one in document(capsys)["calibration"]["most_used"] if one["cost_class"]["encoder"] == "libx264"
    )
    assert film["cpu"]["error"] > 0.05


def test_learned_costs_that_are_damaged(capsys: Captured) -> None:
    """A warning with what to do; the rest is still told."""
    Path(default_path()).parent.mkdir(parents=True)
    Path(default_path()).write_text("{", encoding="utf-8")
    told = document(capsys)
    assert check(told)["state"] == "warning"
    assert default_path() in check(told)["found"]
    assert told["calibration"]["problem"] == check(told)["found"]


def test_only_the_most_used_classes_are_told() -> None:
    """The table stays short; those with the most files come first."""
    model = CostModel()
    for threads in range(1, CLASSES_SHOWN + 6):
        for _ in range(threads):
            model = model.observe(FILM, threads, prior_cost(FILM, threads))
    told = most_used(model)
    assert [one["files"] for one in told] == list(range(CLASSES_SHOWN + 5, 5, -1))


def test_what_only_some_tasks_need(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which version is there, or how to get it; what yt-dlp can run scripts with, or what to do."""
    from yt_dlp.globals import supported_js_runtimes

    def version(package: str) -> str:
        if package == "pocketsphinx":
            raise PackageNotFoundError
        return "1.2.3"

    class Runtime:
        info = SimpleNamespace(version="9.9", supported=True)

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(supported_js_runtimes, "value", {"deno": Runtime})
    told = {one["name"]: one for one in document(capsys)["checks"]}
    assert told["httpx"]["found"] == "version 1.2.3"
    assert told["pocketsphinx"]["state"] == "ok"
    assert "pip install 'pyprocessor[pocketsphinx]'" in told["pocketsphinx"]["found"]
    assert told["JavaScript"]["found"] == "yt-dlp can use deno 9.9"
    Runtime.info.supported = False
    told = {one["name"]: one for one in document(capsys)["checks"]}
    assert told["JavaScript"]["state"] == "warning"
    assert "deno 9.9 is too old" in told["JavaScript"]["found"]
