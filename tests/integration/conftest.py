"""The ffmpeg that makes inputs for tests of single files, and runs on a simulated machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.simulated_calls import Simulation
from tests.integration.transcoding import run_ffmpeg

Begin = Callable[..., Simulation]


@pytest.fixture
def ffmpeg(ffmpeg_path: str, tmp_path: Path) -> Callable[..., None]:
    """Run ffmpeg in the test's folder with these arguments."""
    return partial(run_ffmpeg, ffmpeg_path, cwd=tmp_path)


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Begins simulated runs."""
    begun: list[Simulation] = []

    def make(**machine: Any) -> Simulation:
        begun.append(Simulation(tmp_path / str(len(begun)), monkeypatch, **machine))
        return begun[-1]

    yield make
    for simulation in begun:
        simulation.close()
