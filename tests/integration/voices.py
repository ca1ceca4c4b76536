"""Sound that a detector of speech takes for speech, made of nothing."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

RATE = 16_000


def voice(seconds: float) -> np.ndarray:
    """Pulses of a throat at 120 Hz through three resonances of a mouth, in syllables."""
    samples = int(seconds * RATE)
    sound = np.zeros(samples)
    pitch = np.cumsum(120 + 15 * np.sin(2 * np.pi * 0.7 * np.arange(samples) / RATE)) / RATE
    sound[1:] = np.diff(np.floor(pitch)) > 0
    vowels = [(730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (570, 840, 2410)]
    spoken = np.zeros(samples)
    syllable = RATE // 4
    for number, start in enumerate(range(0, samples, syllable)):
        piece = sound[start : start + syllable]
        for formant in vowels[number % len(vowels)]:
            piece = resonance(piece, formant)
        spoken[start : start + syllable] = piece / np.abs(piece).max() * np.hanning(len(piece))
    return 0.5 * spoken


def resonance(sound: np.ndarray, hertz: float, width: float = 90.0) -> np.ndarray:
    """A filter with one peak."""
    radius, angle = np.exp(-np.pi * width / RATE), 2 * np.pi * hertz / RATE
    out = np.zeros(len(sound) + 2)
    for at, sample in enumerate(sound):
        out[at + 2] = sample + 2 * radius * np.cos(angle) * out[at + 1] - radius**2 * out[at]
    return out[2:]


def write(path: Path, sound: np.ndarray) -> None:
    """Write a WAV of 16 bits, mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((sound * 30_000).astype("<i2").tobytes())
