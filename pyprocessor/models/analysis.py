"""From which thresholds on is a picture black or frozen, sound silence, and a change of pictures a cut?"""

from __future__ import annotations

from dataclasses import dataclass

_BOUNDS = {
    "black_seconds": (0, 3600),
    "black_pixel": (0, 1),
    "black_share": (0, 1),
    "freeze_seconds": (0, 3600),
    "freeze_db": (-120, 0),
    "silence_seconds": (0, 3600),
    "silence_db": (-120, 0),
    "cut_score": (0, 1),
    "hashes": (0, 256),
}


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
    cut_score: float = 0.09
    """The smallest score of a cut, from 0 to 1; lower finds more. It is the geometric mean of how much more changes
    than in the pictures before, and of the share of the picture whose brightness is new."""
    hashes: int = 64
    """How many pictures, spread over the film, are hashed at most; and as many of its longest shots."""

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"`{name}` is {value:g}, but has to be from {least} to {most}")
