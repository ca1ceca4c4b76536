"""The ffmpeg that makes inputs for tests of single files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.integration.transcoding import run_ffmpeg


@pytest.fixture
def ffmpeg(ffmpeg_path: str, tmp_path: Path) -> Callable[..., None]:
    """Run ffmpeg in the test's folder with these arguments."""
    return partial(run_ffmpeg, ffmpeg_path, cwd=tmp_path)
