"""Models that transcriptions name are fetched by a job of their own, from a hub on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.models import Origin
from tests.acceptance.command import call
from tests.integration import tiny_whisper, voices
from tests.integration.model_hub import REPOSITORY, Hub, serving_model
from tests.process.queues import Queue


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A voice."""
    path = tmp_path / "talk.wav"
    voices.write(path, np.concatenate([np.zeros(voices.RATE), voices.voice(3.0)]))
    return path


def transcribing(key: str, recording: Path, **more: Any) -> dict[str, Any]:
    """The document of a job that names the hub's model."""
    params = {"backend": "faster-whisper", "model": REPOSITORY, "allow_download": True, "formats": ["txt"], **more}
    return {"task": "transcribe", "key": key, "inputs": [str(recording)], "params": params}


def run(queue: Queue, hub: Hub) -> int:
    return call("--output", queue.output, environment=hub.environment).returncode


def test_a_model_is_fetched_once_for_all_that_name_it(tmp_path: Path, recording: Path) -> None:
    """Where the hub is away they fail by its name, and a later run fetches it; then no hub is asked."""
    queue = Queue(tmp_path)
    with serving_model(tiny_whisper.make(tmp_path / "tiny")) as hub:
        hub.away = True
        queue.submit(transcribing("a", recording), transcribing("b", recording))
        assert run(queue, hub) == ExitCode.SOME_FAILED
        rows = queue.rows()
        assert {(rows[key].state.value, rows[key].failure) for key in "ab"} == {("failed", "unavailable")}
        assert f"The model '{REPOSITORY}' is not on this machine and could not be fetched" in rows["a"].reason
        (fetch,) = [row for row in rows.values() if row.origin is Origin.CHILD]
        assert f"The model '{REPOSITORY}' cannot be fetched from the Hugging Face hub" in fetch.reason
        hub.away, hub.cut = False, True
        assert run(queue, hub) == ExitCode.OK
        assert queue.states()["a"] == queue.states()["b"] == "succeeded"
        assert hub.fetched("config.json") == 1
        assert "hello there world" in (queue.output / "b.txt").read_text()
        hub.asked.clear()
        queue.submit(transcribing("c", recording))
        assert run(queue, hub) == ExitCode.OK
        assert not hub.fetched("model.bin")


def test_nothing_is_fetched_that_nobody_allowed(tmp_path: Path, recording: Path) -> None:
    """And no job is made for it."""
    queue = Queue(tmp_path)
    with serving_model(tiny_whisper.make(tmp_path / "tiny")) as hub:
        queue.submit(transcribing("a", recording, allow_download=False))
        assert run(queue, hub) == ExitCode.SOME_FAILED
        assert not hub.asked
    (row,) = queue.rows().values()
    assert (row.failure, "allow_download: true" in row.reason) == ("bad_input", True)
