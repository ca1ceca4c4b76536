"""How does faster-whisper transcribe? On this machine, with a model that stays loaded from one call to the next.

Windows are decoded without the text before them, since models that are given it repeat themselves and skip speech.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import wave
from functools import lru_cache
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.extras import check_installed
from pyprocessor.models.wording import sentence
from pyprocessor.speech.cutting import RATE
from pyprocessor.speech.dropped import Stretch, uncovered

COMPUTE_TYPE = "int8"
_MIB = 1 << 20
_SIZES = {
    "tiny": 75,
    "base": 145,
    "small": 484,
    "medium": 1528,
    "large": 3087,
    "turbo": 1618,
    "distil-small": 332,
    "distil-medium": 789,
    "distil-large": 1513,
}
"""MiB of the weights of models by their names, in half precision, as they are published."""
_FILES = ("model.bin", "config.json", "tokenizer.json")
# From the table of faster-whisper's README: 13 minutes with the model `small` on 8 threads take 102 s and 1,477 MB, and
# with a batch of 8, 51 s and 3,608 MB.
_CPU_SECONDS_PER_MIB = 1.05 / 484
"""Of the model, for a second of sound."""
_BASE_MEMORY_BYTES = 300 * _MIB
_MEMORY_PER_MODEL_BYTE = 2.4
_MEMORY_PER_MODEL_BYTE_AND_ITEM = 0.63
_LOADING_SECONDS_PER_MIB = 0.004
SURELY_SPEECH, MAYBE_SPEECH = 0.5, 0.25
"""Probabilities of the detector of speech: from the first one on it is decoded, from the second one on reported."""
_WHY_DETECTOR, _WHY_MODEL = "not taken for speech", "the model gave no words for it"
_LONGEST_REASON = 1000
_NAME = re.compile(r"[\w.-]+(?:/[\w.-]+)?", re.ASCII)


def transcribe(
    audio: str,
    output: str,
    language: str | None = None,
    *,
    model: str = "small",
    device: str = "auto",
    threads: int = 1,
    batch_size: int = 1,
    allow_download: bool = False,
) -> dict[str, int]:
    """Transcribe a WAV of 16 kHz, mono, 16 bits, and write segments to `output` as JSON.

    `model` is a folder, or a name; with `allow_download` it was to be fetched before, and the error says so.
    Raises JobError where faster-whisper or the model is not there, or the model does not know the language.
    """
    numpy, whisper = _libraries()
    loaded = loaded_model(model, device, COMPUTE_TYPE, threads, was_to_be_fetched=allow_download)
    with wave.open(audio, "rb") as file:
        samples = numpy.frombuffer(file.readframes(file.getnframes()), "<i2").astype("float32") / 32768
    speech, maybe = (_speech(whisper, samples, threshold) for threshold in (SURELY_SPEECH, MAYBE_SPEECH))
    segments: list[dict[str, Any]] = []
    found, probability = language, None
    if speech:
        found, probability, segments = _decoded(whisper, loaded, samples, language, batch_size)
    said = [(one["start"], one["end"]) for one in segments]
    dropped = [
        *((start, end, _WHY_DETECTOR) for start, end in uncovered(maybe, [*speech, *said])),
        *((start, end, _WHY_MODEL) for start, end in uncovered(speech, said)),
    ]
    document = {
        "language": found,
        "language_probability": probability,
        "segments": segments,
        "dropped": sorted(dropped),
    }
    with open(output, "w", encoding="utf-8") as made:
        json.dump(document, made, ensure_ascii=False)
    return {"segments": len(segments)}


def model_bytes(model: str) -> int:
    """Return how large the weights of a model are: of a folder on disk, else as its name is known.

    Raises JobError where the folder holds no model, or the name is none.
    """
    if _is_folder(model):
        missing = [name for name in _FILES if not os.path.isfile(os.path.join(model, name))]
        if missing:
            text = f"{model} is no folder of a model for faster-whisper: it lacks {', '.join(missing)}"
            raise JobError(FailureKind.BAD_INPUT, f"{text}; give the folder that holds it, or a name such as small.")
        return os.path.getsize(os.path.join(model, _FILES[0]))
    if not _NAME.fullmatch(model):
        raise JobError(FailureKind.BAD_INPUT, f"{model!r} is neither a folder nor the name of a model.")
    name = max((known for known in _SIZES if known in model), key=len, default="large")
    return _SIZES[name] * _MIB


def cost(model_size_bytes: int, seconds: float, batch_size: int) -> tuple[float, int]:
    """Return CPU-seconds and bytes of memory for so many seconds of sound, with a model of this size."""
    mebibytes = model_size_bytes / _MIB
    cpu_seconds = 1.0 + mebibytes * (_LOADING_SECONDS_PER_MIB + _CPU_SECONDS_PER_MIB * seconds)
    factor = _MEMORY_PER_MODEL_BYTE + _MEMORY_PER_MODEL_BYTE_AND_ITEM * (batch_size - 1)
    return cpu_seconds, _BASE_MEMORY_BYTES + round(factor * model_size_bytes)


def _libraries() -> tuple[Any, Any]:
    check_installed("faster-whisper", "The back end faster-whisper")
    import faster_whisper
    import numpy

    return numpy, faster_whisper


@lru_cache(maxsize=1)
def loaded_model(model: str, device: str, compute_type: str, threads: int, *, was_to_be_fetched: bool = False) -> Any:
    """The model, of which a process holds one."""
    _, whisper = _libraries()
    model_bytes(model)
    try:
        return whisper.WhisperModel(
            model,
            device=device,
            compute_type=compute_type,
            cpu_threads=threads,
            local_files_only=True,
        )
    except (ValueError, RuntimeError, OSError) as error:
        kind, text = FailureKind.BAD_INPUT, f"The model {model!r} is not on this machine"
        if os.path.isdir(model):
            text = f"The model in {model} cannot be loaded: {_sentence(error)}"
        elif was_to_be_fetched:
            kind, text = FailureKind.UNAVAILABLE, f"{text} and could not be fetched; a later run tries again."
        else:
            text += "; give the folder of one, or allow_download: true to fetch it from the Hugging Face hub."
        raise JobError(kind, text) from error


def is_name(model: str) -> bool:
    """Whether it names a model that can be fetched, and no folder."""
    return not _is_folder(model) and _NAME.fullmatch(model) is not None


def fetch_model(model: str) -> dict[str, bool]:
    """Fetch a model from the Hugging Face hub, unless it is on this machine; go on where that was broken off.

    Returns whether a server was asked. Raises JobError.
    """
    _, whisper = _libraries()
    if "/" not in model and model not in whisper.available_models():
        raise JobError(FailureKind.BAD_INPUT, f"{model!r} is none of the models that faster-whisper knows by name.")
    with contextlib.suppress(ValueError, OSError):  # it is not here
        if _is_whole(whisper.download_model(model, local_files_only=True)):
            return {"fetched": False}
    try:
        whole = _is_whole(whisper.download_model(model))
    except (ValueError, RuntimeError, OSError) as error:
        text = f"The model {model!r} cannot be fetched from the Hugging Face hub: {_sentence(error)}"
        raise JobError(FailureKind.UNAVAILABLE, text) from error
    if not whole:
        text = f"What the Hugging Face hub has as {model!r} is no model for faster-whisper."
        raise JobError(FailureKind.BAD_INPUT, text)
    return {"fetched": True}


def _is_whole(folder: str) -> bool:
    return all(os.path.isfile(os.path.join(folder, name)) for name in _FILES)


def _is_folder(model: str) -> bool:
    return os.path.isdir(model) or model.startswith((os.sep, ".", "~")) or model.count(os.sep) > 1


def _speech(whisper: Any, samples: Any, threshold: float) -> list[Stretch]:
    """The stretches in which speech is at least so probable, in seconds."""
    options = whisper.vad.VadOptions(threshold=threshold)
    found = whisper.vad.get_speech_timestamps(samples, options)
    return [(one["start"] / RATE, one["end"] / RATE) for one in found]


def _decoded(
    whisper: Any, loaded: Any, samples: Any, language: str | None, batch_size: int
) -> tuple[str, float | None, list[dict[str, Any]]]:
    """The language, how probable that is, and the segments."""
    given: dict[str, Any] = {
        "language": language,
        "condition_on_previous_text": False,
        "vad_filter": True,
        "vad_parameters": {"threshold": SURELY_SPEECH},
        "without_timestamps": False,
    }
    try:
        if batch_size > 1:
            found, info = whisper.BatchedInferencePipeline(loaded).transcribe(samples, batch_size=batch_size, **given)
        else:
            found, info = loaded.transcribe(samples, **given)
    except ValueError as error:
        text = f"The model cannot transcribe this language: {_sentence(error)}"
        raise JobError(FailureKind.BAD_INPUT, text) from error
    segments = [
        {
            "start": round(one.start, 3),
            "end": round(one.end, 3),
            "text": one.text.strip(),
            "confidence": round(math.exp(min(one.avg_logprob, 0.0)), 4),
        }
        for one in found
        if one.text.strip()
    ]
    return info.language, None if language is not None else info.language_probability, segments


def _sentence(error: BaseException) -> str:
    return sentence(str(error) or type(error).__name__, _LONGEST_REASON)
