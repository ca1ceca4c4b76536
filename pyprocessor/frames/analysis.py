"""What is in a film: black, frozen and silent spans, cuts, brightness, sharpness, hashes? One pass over the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pyprocessor.frames.reading import Frame


class Span(NamedTuple):
    """From one time to another, in seconds; the film's first picture is shown at 0."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """Thresholds, in the terms and with the defaults of ffmpeg's blackdetect, freezedetect and silencedetect."""

    black_seconds: float = 2.0
    """The shortest black span."""
    black_pixel: float = 0.10
    """The brightest luma of a black pixel, from 0 (black) to 1 (white)."""
    black_share: float = 0.98
    """The smallest share of black pixels in a black picture."""
    freeze_seconds: float = 2.0
    """The shortest frozen span."""
    freeze_db: float = -60.0
    """The largest mean difference of two pictures that look the same, in decibels of the full range."""
    silence_seconds: float = 2.0
    """The shortest silent span."""
    silence_db: float = -60.0
    """The loudest sample of silence, in decibels of full scale."""
    cut_score: float = 0.10
    """The smallest score of a cut, from 0 to 1; lower finds more."""
    hashes: int = 64
    """How many pictures, spread over the film, are hashed at most; and as many of its longest shots."""


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
