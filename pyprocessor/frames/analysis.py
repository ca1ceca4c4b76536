"""What is in a film: black, frozen and silent spans, cuts, brightness, sharpness, hashes? One pass over the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyprocessor.frames.reading import Frame
from pyprocessor.models.analysis import AnalysisSettings


class Span(NamedTuple):
    """From one time to another, in seconds; the film's first picture is shown at 0."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found. Times are seconds; the film's first picture is shown at 0 (without a film: the first sound)."""

    duration: float
    """From the first picture, or sound, to the end of the last."""
    pictures: int
    """Decoded: all of the film."""
    samples: int
    """Of these, how many were measured for brightness and sharpness."""
    failures: int
    """Packets of pictures and sound that could not be decoded."""
    width: int
    height: int
    """Of the upright pictures, in pixels; 0 without a film."""
    black: tuple[Span, ...]
    freeze: tuple[Span, ...]
    silence: tuple[Span, ...] | None
    """None where there is no sound."""
    cuts: tuple[float, ...]
    """When the first picture of each new shot is shown."""
    left_out: int
    """Spans and cuts beyond the 10,000 of each kind that are kept."""
    brightness: tuple[float, float, float] | None
    """Mean, smallest and largest mean luma of the samples, from 0 (black) to 1 (white); None without pictures."""
    sharpness: tuple[float, float, float] | None
    """Median, smallest, and the time of the smallest: the variance of the Laplacian of each sample, blurred is low."""
    hashes: tuple[int, ...]
    """64-bit perceptual hashes of pictures, for `near_duplicates`; pictures without structure have none."""
    shown: tuple[Frame, ...]
    """The pictures that were asked for, spread evenly over the film."""
    settings: AnalysisSettings

    def document(self) -> dict[str, Any]:
        """Return all but `shown` as JSON of the shape in docs/frames.md."""
        raise NotImplementedError


def analyse(
    path: str | bytes | os.PathLike[str],
    *,
    rate: float = 2.0,
    threads: int = 0,
    settings: AnalysisSettings = AnalysisSettings(),
    pictures: int = 0,
    picture_width: int = 320,
    progress: Callable[[float], None] | None = None,
) -> Analysis:
    """Analyse the film and the first sound of a file, decoded once from beginning to end.

    Black and frozen spans, silence and cuts are exact to the picture or the sample of sound; brightness and sharpness
    are measured `rate` times a second. `pictures` are kept in `Analysis.shown`, `picture_width` pixels wide (a contact
    sheet). `progress` is called with the seconds of playing time analysed so far, at most once for each second of
    them. Raises InspectError, UsageError.
    """
    raise NotImplementedError
