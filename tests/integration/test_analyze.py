"""ANALYZE on real files, each in this process: products, params, result, and what cannot be done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from pyprocessor.errors import FailureKind, JobError
from tests.integration.tasked import Tasked, tasked

HASH = re.compile("[0-9a-f]{16}")


@pytest.fixture
def do(tmp_path: Path, ffmpeg_path: str) -> Callable[..., Tasked]:
    """Analyse a file, in a folder of its own each time."""

    def done(path: Path, **params: Any) -> Tasked:
        folder = tmp_path / f"work-{len(list(tmp_path.glob('work-*')))}"
        return tasked("analyze", params, path, folder, ffmpeg_path)

    return done


@pytest.fixture
def film(ffmpeg: Callable[..., None], tmp_path: Path) -> Path:
    """Three seconds of pictures, the second one black; the sound is silent in the last two."""
    path = tmp_path / "film.mkv"
    picture = "testsrc2=size=160x90:rate=10:duration=3,drawbox=t=fill:c=black:enable='between(t,1,1.95)'"
    sound = "aevalsrc='0.3*sin(2*PI*440*t)*lt(t,1)':s=8000:d=3"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-c:v", "libx264", "-c:a", "flac", path)
    return path


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a JPEG."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    return picture.width, picture.height


def test_a_film_is_analysed(do: Callable[..., Tasked], film: Path) -> None:
    """The thresholds that were asked for arrive; the result sums up what the document has."""
    made = do(film, black_seconds=0.5, silence_seconds=0.5, pictures=4, columns=2)
    document = json.loads(made.made["main"].read_text())
    assert document["version"] == 1
    result = made.result
    assert (result["duration_seconds"], result["pictures"]) == (pytest.approx(3, abs=0.05), 30)
    assert result["black_seconds"] == pytest.approx(1, abs=0.05)
    assert result["silent_seconds"] == pytest.approx(2, abs=0.05)
    assert result["frozen_seconds"] == 0
    assert {name: result["quality"][name] for name in ("black", "frozen", "silent")} == {
        "black": True,
        "frozen": False,
        "silent": True,
    }
    assert 0 < result["quality"]["brightness"] < 1
    assert result["hashes"]
    assert all(HASH.fullmatch(value) for value in result["hashes"])
    assert result["warnings"] == []
    width, height = size_of(made.made["sheet"])
    assert width > height > 180
    assert [product.name for product in made.plan.products] == [b"film.analysis.json", b"film.sheet.jpg"]
    assert len(made.calls) == 1


def test_a_film_of_an_odd_shape_has_a_sheet(
    do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """A picture in it is at most twice as high as others are wide."""
    path = tmp_path / "tall.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=16x4000:rate=1:duration=2", "-c:v", "ffv1", path)
    _, height = size_of(do(path, columns=1).made["sheet"])
    assert height <= 2 * 700


def test_without_a_sheet(do: Callable[..., Tasked], film: Path) -> None:
    """And by default nothing shorter than two seconds counts."""
    made = do(film, sheet=False)
    assert set(made.made) == {"main"}
    assert (made.result["black_seconds"], made.result["quality"]["black"]) == (0, False)


def test_sound_alone(do: Callable[..., Tasked], ffmpeg: Callable[..., None], tmp_path: Path) -> None:
    """Its silence is found; there is no sheet."""
    path = tmp_path / "talk.flac"
    ffmpeg("-f", "lavfi", "-i", "aevalsrc='0.3*sin(2*PI*440*t)*lt(t,1)':s=8000:d=4", path)
    made = do(path)
    assert set(made.made) == {"main"}
    assert made.result["silent_seconds"] == pytest.approx(3, abs=0.05)
    assert made.result["hashes"] == []
    assert "brightness" not in made.result["quality"]


@pytest.mark.parametrize("content", [b"no film at all" * 100, b""])
def test_what_is_no_film(do: Callable[..., Tasked], tmp_path: Path, content: bytes) -> None:
    """It fails with a sentence."""
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(JobError) as raised:
        do(path)
    assert raised.value.kind is FailureKind.BAD_INPUT
    assert str(raised.value).endswith(".")


def test_what_is_damaged(do: Callable[..., Tasked], film: Path) -> None:
    """What decodes of it is analysed, with a warning."""
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) * 2 // 3])
    made = do(film)
    assert made.result["warnings"]
    assert 0 < made.result["pictures"] < 30
