"""faster-whisper with a small model of the real format: loading, warmth, batches, languages, and what it leaves out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.speech import whisper_backend
from pyprocessor.workers.messages import Published, Spawned
from tests.integration import tiny_whisper
from tests.integration.voices import RATE, voice, write
from tests.integration.worked import Bench


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says three words in the first two seconds of whatever it hears."""
    return tiny_whisper.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a voice between silences of six seconds, for the detector of speech: syllables of vowels."""
    path = tmp_path_factory.mktemp("sounds") / "voice.wav"
    silence = np.zeros(6 * RATE)
    write(path, np.concatenate([silence, voice(4.0), silence]))
    return path


def said(audio: Path, tmp_path: Path, **settings: Any) -> dict[str, Any]:
    """What the back end writes, in which the times lie within the sound."""
    output = tmp_path / "said.json"
    whisper_backend.transcribe(str(audio), str(output), **{"language": None, **settings})
    found: dict[str, Any] = json.loads(output.read_text())
    return found


@pytest.mark.parametrize("batch_size", [1, 3])
def test_words_have_times_and_confidence(model: Path, speech: Path, tmp_path: Path, batch_size: int) -> None:
    """Times count from the start of the sound, although its silence is left out before it is decoded."""
    found = said(speech, tmp_path, model=str(model), batch_size=batch_size)
    assert (found["language"], found["language_probability"] > 0.9) == ("en", True)
    first = found["segments"][0]
    assert first["text"] == "hello there world"
    assert 5.0 < first["start"] < 6.5
    assert 6.5 < first["end"] < 9.0
    assert first["confidence"] > 0.9


def test_a_model_stays_loaded_while_it_is_asked_for(
    model: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one takes its place, so that memory holds one."""
    loads = []

    class Counted(faster_whisper.WhisperModel):
        def __init__(self, path: str, **settings: Any) -> None:
            loads.append((Path(path).name, settings["compute_type"], settings["cpu_threads"]))
            super().__init__(path, **settings)

    monkeypatch.setattr(faster_whisper, "WhisperModel", Counted)
    whisper_backend.loaded_model.cache_clear()
    other = tiny_whisper.make(tmp_path / "other", "guten tag", language="de")
    for asked in (model, model, other, other, model):
        said(speech, tmp_path, model=str(asked), threads=2)
    whisper_backend.loaded_model.cache_clear()
    assert loads == [("tiny", "int8", 2), ("other", "int8", 2), ("tiny", "int8", 2)]


def test_the_language_is_detected_or_given(speech: Path, tmp_path: Path) -> None:
    """One that the model does not know is a failure with a sentence."""
    german = str(tiny_whisper.make(tmp_path / "german", "guten tag", language="de"))
    assert said(speech, tmp_path, model=german)["language"] == "de"
    given = said(speech, tmp_path, model=german, language="en")
    assert (given["language"], given["language_probability"]) == ("en", None)
    with pytest.raises(JobError, match=r"The model cannot transcribe this language: 'tlh' is not a valid") as raised:
        said(speech, tmp_path, model=german, language="tlh")
    assert raised.value.kind is FailureKind.BAD_INPUT


def test_speech_without_words_is_reported(speech: Path, tmp_path: Path) -> None:
    """Where the model ends a window without a word."""
    mute = tiny_whisper.make(tmp_path / "mute", "")
    found = said(speech, tmp_path, model=str(mute))
    assert found["segments"] == []
    ((start, end, why),) = found["dropped"]
    assert (5.0 < start < 6.5, 9.5 < end < 11.0, why) == (True, True, "the model gave no words for it")


def test_what_the_detector_doubts_is_reported(
    model: Path, speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is less sure than it has to be for the model to hear it."""
    monkeypatch.setattr(whisper_backend, "SURELY_SPEECH", 0.99999)
    found = said(speech, tmp_path, model=str(model))
    assert found["segments"] == []
    assert [why for _, _, why in found["dropped"]] == ["not taken for speech"]


def test_silence_has_no_words(model: Path, tmp_path: Path) -> None:
    """The model, which would say some, is not asked; neither is it by no sound at all."""
    for seconds in (3.0, 0.0):
        write(tmp_path / "silence.wav", np.zeros(int(seconds * RATE)))
        found = said(tmp_path / "silence.wav", tmp_path, model=str(model))
        assert (found["segments"], found["dropped"], found["language"]) == ([], [], None)


def test_a_model_that_is_not_there_is_named(model: Path, speech: Path, tmp_path: Path) -> None:
    """As a folder that lacks files, a damaged one, a name that is not on this machine, and what is neither."""
    partial = tmp_path / "partial"
    partial.mkdir()
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "model.bin").write_bytes(b"\0" * 100)
    for wanted, sentence in {
        str(partial): "is no folder of a model for faster-whisper: it lacks model.bin, config.json, tokenizer.json",
        str(tmp_path / "nowhere"): "is no folder of a model",
        str(broken): f"The model in {broken} cannot be loaded: ",
        "tiny.en": "or allow_download: true to fetch it from the Hugging Face hub.",
        "no model": "'no model' is neither a folder nor the name of a model.",
    }.items():
        with pytest.raises(JobError) as raised:
            said(speech, tmp_path, model=wanted)
        assert sentence in str(raised.value)
        assert raised.value.kind is FailureKind.BAD_INPUT


def test_memory_is_predicted_from_the_model_and_the_batch(model: Path) -> None:
    """What was measured by its makers: 1,477 MB for `small`, 3,608 MB with a batch of eight, 102 s on eight threads."""
    small = whisper_backend.model_bytes("small")
    cpu_seconds, memory = whisper_backend.cost(small, 13 * 60, 1)
    assert 0.9 < memory / 1477e6 < 1.1
    assert 0.9 < whisper_backend.cost(small, 13 * 60, 8)[1] / 3608e6 < 1.1
    assert 0.9 < cpu_seconds / (8 * 102) < 1.1
    assert whisper_backend.model_bytes(str(model)) == (model / "model.bin").stat().st_size
    assert whisper_backend.model_bytes("Systran/faster-whisper-large-v3") > whisper_backend.model_bytes("medium.en")


def test_jobs_of_one_model_share_a_process(model: Path, speech: Path, tmp_path: Path, ffmpeg_path: str) -> None:
    """A worker with one slot has each decoded by an ffmpeg of its own, and all recognized by one process."""
    bench = Bench(tmp_path, tool_path=ffmpeg_path)
    params = {"backend": "faster-whisper", "model": str(model), "formats": ["txt"]}
    for _ in range(3):
        item = bench.item("transcribe", params, (speech,))
        bench.worker.send(item)
        assert isinstance(bench.end_of(item), Published)
    bench.close()
    assert [told.warm for told in bench.told if isinstance(told, Spawned) and told.call] == [False, True, True]
    assert bench.left() == []
