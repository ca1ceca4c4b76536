"""Jobs of TRANSCRIBE in whole runs: a pipeline, a model that stays loaded, and what fails beside them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pyprocessor.errors import ExitCode
from tests.integration import tiny_whisper, voices
from tests.process.queues import Queue


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Silence, then a voice."""
    path = tmp_path / "talk.wav"
    voices.write(path, np.concatenate([np.zeros(4 * voices.RATE), voices.voice(4.0)]))
    return path


def test_a_pipeline_makes_subtitles_of_a_film(tmp_path: Path, recording: Path) -> None:
    """Sound is made ready, then transcribed; the times are those of the recording. What cannot be done is told."""
    queue, model = Queue(tmp_path), tiny_whisper.make(tmp_path / "model")
    whisper = {"backend": "faster-whisper", "model": str(model)}
    queue.submit(
        {"task": "preprocess", "key": "sound", "inputs": [str(recording)]},
        {
            "task": "transcribe",
            "key": "talk",
            "inputs": [{"job": "sound"}],
            "params": {**whisper, "formats": ["srt", "json"]},
        },
        {"task": "transcribe", "key": "lost", "inputs": [str(recording)], "params": {**whisper, "model": "/nowhere"}},
        {"task": "transcribe", "key": "again", "inputs": [str(recording)], "params": {"backend": "pocketsphinx"}},
    )
    assert queue.run() == ExitCode.SOME_FAILED
    rows = queue.rows()
    assert {name: row.state.value for name, row in rows.items()} == {
        "sound": "succeeded",
        "talk": "succeeded",
        "lost": "failed",
        "again": "succeeded",
    }
    assert rows["lost"].reason.startswith("/nowhere is no folder of a model for faster-whisper")
    assert rows["lost"].attempts == 0
    first = json.loads((queue.output / "talk.json").read_text())["segments"][0]
    assert (3.0 < first["start"] < 5.0, first["text"]) == (True, "hello there world")
    assert "hello there world" in (queue.output / "talk.srt").read_text()
    assert rows["talk"].result is not None
    assert json.loads(rows["talk"].result)["quality"]["confidence"] > 0.9
    assert not list((queue.output / ".pyprocessor" / "partial").iterdir())
