"""Scores how colourful each second of a film is, with a model function of one's own: frames_model.py FILE."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from pyprocessor.frames import map_frames, read_frames


def colourfulness(batch: np.ndarray[Any, np.dtype[np.uint8]]) -> list[float]:
    """Return a score for each picture of a batch (n, height, width, 3): 0 is grey, over 100 is garish.

    The measure of Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003). A neural network would
    stand here just so: it gets the batch and returns n results.
    """
    red, green, blue = np.moveaxis(batch.astype(np.float32), -1, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread = np.hypot(*opponents.std(axis=(2, 3)))
    offset = np.hypot(*opponents.mean(axis=(2, 3)))
    return [float(score) for score in spread + 0.3 * offset]


def main(path: str) -> None:
    """Print a line for each second, and which is the most colourful."""
    with read_frames(path, rate=1, width=160) as frames:
        scores = [(score, time) for time, score in map_frames(frames, colourfulness)]
    for score, time in scores:
        print(f"{time:8.2f} s {score:6.1f}")
    score, time = max(scores)
    print(f"most colourful: {score:.1f} at {time:.2f} s")


if __name__ == "__main__":
    main(sys.argv[1])
