"""How does pocketsphinx transcribe? English, with the model in its wheel: offline, small, and rough.

The function is called in a process of its own, which keeps the model loaded for further calls.
"""

from __future__ import annotations

import io
import json
import re
import wave
from collections.abc import Iterator
from functools import cache
from statistics import fmean
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.extras import check_installed
from pyprocessor.speech.cutting import RATE, SAMPLE_BYTES, as_samples, quietest

REAL_TIME_FACTOR = 0.35
"""CPU-seconds for a second of sound, the median of 11 recordings (0.15 to 0.56)."""
MEMORY_BYTES = 220 << 20
"""136 MB with the model and a minute of sound, and the sound of ten minutes three times."""
_WINDOW_SECONDS, _SHARE_OF_SPEECH = 0.5, 0.9
"""Of a window so much has to be speech, or silence, for an utterance to begin or end."""
_BESIDE_SECONDS = 0.3
"""Added on both sides of an utterance: the detector comes late for words that begin softly."""
_LONGEST_SECONDS = 45.0
"""An utterance that lasts longer is cut at its quietest place."""
_PAUSE_SECONDS = 0.4
"""A pause of so long ends a segment."""
_FRAMES_A_SECOND = 100
_VARIANT = re.compile(r"\(\d+\)$")
_FILLER = re.compile(r"<.*>|\[.*\]|\+\+.*\+\+")
_NO_WORDS = "pocketsphinx recognized none"


def transcribe(audio: str, output: str, language: str | None = None) -> dict[str, int]:
    """Transcribe a WAV of 16 kHz, mono, 16 bits, and write segments to `output` as JSON.

    Raises JobError where pocketsphinx is not installed or the language is another one.
    """
    if language is not None and language.partition("-")[0].lower() not in ("en", "english"):
        text = f"pocketsphinx recognizes English alone, and the language is {language!r}; choose another back end."
        raise JobError(FailureKind.UNSUPPORTED, text)
    with wave.open(audio, "rb") as file:
        sound = file.readframes(file.getnframes())
    segments: list[dict[str, Any]] = []
    dropped = []
    for start, end in _utterances(sound):
        found = list(_segments(start, sound[start * SAMPLE_BYTES : end * SAMPLE_BYTES]))
        segments += found
        if not found:
            dropped.append([start / RATE, end / RATE, _NO_WORDS])
    with open(output, "w", encoding="utf-8") as made:
        json.dump({"language": "en", "language_probability": None, "segments": segments, "dropped": dropped}, made)
    return {"segments": len(segments)}


@cache
def _library() -> Any:
    check_installed("pocketsphinx", "The back end pocketsphinx")
    import pocketsphinx

    return pocketsphinx


@cache
def _decoder() -> Any:
    # Means of the whole utterance, so that what was decoded before makes no difference.
    return _library().Decoder(samprate=RATE, cmn="batch", loglevel="FATAL")


def _utterances(sound: bytes) -> Iterator[tuple[int, int]]:
    """Yield where utterances begin and end, in samples, in order and without overlaps."""
    segmenter = _library().Segmenter(_WINDOW_SECONDS, _SHARE_OF_SPEECH)
    found = [(one.start_time, one.end_time) for one in segmenter.segment(io.BytesIO(sound))]
    samples, before = len(sound) // SAMPLE_BYTES, 0
    for number, (start, end) in enumerate(found):
        until = int(found[number + 1][0] * RATE) if number + 1 < len(found) else samples
        begin = max(before, int((start - _BESIDE_SECONDS) * RATE))
        before = min(until, int((end + _BESIDE_SECONDS) * RATE))
        yield from _shortened(sound, begin, before)


def _shortened(sound: bytes, begin: int, end: int) -> Iterator[tuple[int, int]]:
    longest = int(_LONGEST_SECONDS * RATE)
    while end - begin > longest:
        half = begin + longest // 2
        at = half + quietest(as_samples(sound[half * SAMPLE_BYTES : (begin + longest) * SAMPLE_BYTES]))
        yield begin, at
        begin = at
    yield begin, end


def _segments(start: int, sound: bytes) -> Iterator[dict[str, Any]]:
    """Decode one utterance that begins at a sample; yield a segment for the words between two pauses."""
    decoder = _decoder()
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()
    words: list[tuple[float, float, str, float]] = []
    for one in decoder.seg() or ():
        if not _FILLER.fullmatch(one.word):
            begin, end = (start / RATE + frame / _FRAMES_A_SECOND for frame in (one.start_frame, one.end_frame + 1))
            if words and begin - words[-1][1] >= _PAUSE_SECONDS:
                yield _segment(words)
                words = []
            words.append((begin, end, _VARIANT.sub("", one.word), one.prob))
    if words:
        yield _segment(words)


def _segment(words: list[tuple[float, float, str, float]]) -> dict[str, Any]:
    """One segment; its confidence is the mean of the posterior probabilities of its words."""
    return {
        "start": round(words[0][0], 2),
        "end": round(words[-1][1], 2),
        "text": " ".join(word for _, _, word, _ in words),
        "confidence": round(fmean(min(share, 1.0) for _, _, _, share in words), 4),
    }
