"""TRANSCRIBE and ENHANCE go on where an attempt failed or was killed: a server is asked for no piece twice."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.models import ErrorSettings, Profile
from pyprocessor.plan import backends
from tests.acceptance.command import begin, call
from tests.integration import voices
from tests.integration.api_server import BROKEN, SILENCE, ApiServer, Fault, api_server
from tests.process.queues import Queue
from tests.waiting import DEADLINE_SECONDS, until

SWIFT = replace(Profile("test", "f"), errors=ErrorSettings(max_retries=4, retry_delay_seconds=0.01))
ONCE = replace(SWIFT, errors=ErrorSettings(max_retries=0))
PIECES = 4
TWO_ANSWERS: tuple[Fault | None, ...] = (None, None)


class Speech:
    """A job of four pieces in a queue of its own."""

    def __init__(self, folder: Path, task: str) -> None:
        self.task = task
        self.queue = Queue(folder)
        self.source = folder / ("talk.wav" if task == "transcribe" else "talk.txt")
        self.change(1)

    def change(self, seed: int) -> None:
        """Write another source."""
        if self.task == "transcribe":
            noise = np.random.default_rng(seed).normal(0.0, 0.1, 100 * voices.RATE)
            voices.write(self.source, noise)
        else:
            said = (f"this is sentence {seed} of {number} and it goes on and on." for number in range(2 * PIECES))
            self.source.write_text(" ".join(said))

    def submit(self, *servers: ApiServer, **params: Any) -> None:
        """Have it done by these servers, the first one preferred."""
        backend = {"backend": "openai"} if self.task == "transcribe" else {}
        each = [{**backend, "name": f"s{n}", "url": one.url, "key_from": ""} for n, one in enumerate(servers)]
        cut = {"chunk_size": 30} if self.task == "transcribe" else {"window_characters": 110}
        document = {"task": self.task, "key": "talk", "inputs": [str(self.source)]}
        self.queue.submit({**document, "params": {"backends": each, **cut, **params}})

    @property
    def made(self) -> bytes:
        """The product."""
        name = "talk.srt" if self.task == "transcribe" else "talk.enhanced.txt"
        return (self.queue.output / name).read_bytes()

    @property
    def kept(self) -> list[str]:
        """What lies among the partials."""
        return sorted(os.listdir(self.queue.output / ".pyprocessor" / "partial"))


@pytest.fixture(params=["transcribe", "enhance"])
def speech(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Speech:
    """A job of each of the two tasks."""
    monkeypatch.setattr(backends, "FIRST_PAUSE_SECONDS", 0.01)
    return Speech(tmp_path, request.param)


def asked(server: ApiServer) -> list[Any]:
    """The pieces that a server was asked for."""
    return [request.fields.get("file") or request.fields["messages"][-1]["content"] for request in server.requests]


def assert_asked_once(server: ApiServer, *, lost: int) -> None:
    """Of all pieces in their order, but for the one whose answer was lost, which was asked for twice."""
    pieces = asked(server)
    assert len(pieces) == PIECES + 1
    assert pieces[lost] == pieces[lost + 1]
    assert len(set(pieces)) == PIECES


@pytest.fixture
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """What a task makes of the same source where nothing goes wrong."""

    def made(task: str) -> bytes:
        alone = Speech(tmp_path_factory.mktemp("undisturbed"), task)
        with api_server() as server:
            alone.submit(server)
            assert alone.queue.run() == ExitCode.OK
            assert len(server.requests) == PIECES
        return alone.made

    return made


def test_after_a_kill(speech: Speech, undisturbed: Callable[[str], bytes]) -> None:
    """Midway through: the next run asks for what is missing, and makes what it would have made."""
    with api_server(*TWO_ANSWERS, SILENCE) as server:
        speech.submit(server)
        process = begin("--output", speech.queue.output)
        try:
            until(lambda: len(server.requests) == 3, "the third request")
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
            process.communicate()
        result = call("--output", speech.queue.output)
        assert result.returncode == ExitCode.OK, result.stderr
        assert_asked_once(server, lost=2)
    assert speech.made == undisturbed(speech.task)
    assert speech.kept == []


def test_after_a_failed_attempt(speech: Speech) -> None:
    """Of the same run."""
    with api_server(*TWO_ANSWERS, BROKEN) as server:
        speech.submit(server)
        assert speech.queue.run(profile=SWIFT) == ExitCode.OK
        assert_asked_once(server, lost=2)
    assert speech.queue.rows()["talk"].attempts == 2
    assert speech.kept == []


def test_after_a_failed_run(speech: Speech) -> None:
    """A later run tries again what a server did not answer, and so what was answered is kept for it."""
    with api_server(*TWO_ANSWERS, BROKEN) as server:
        speech.submit(server)
        assert speech.queue.run(profile=ONCE) == ExitCode.SOME_FAILED
        assert speech.kept == [f"{speech.queue.rows()['talk'].id}.kept.answers"]
        assert speech.queue.run(profile=ONCE) == ExitCode.OK
        assert_asked_once(server, lost=2)
    assert speech.kept == []


def test_another_back_end_does_the_rest(speech: Speech) -> None:
    """Pieces of the first one stay; a result that names back ends names both."""
    with api_server(*TWO_ANSWERS, always=BROKEN) as first, api_server() as second:
        speech.submit(first, second)
        assert speech.queue.run(profile=SWIFT) == ExitCode.OK
        assert asked(first)[2:] == asked(second)[:1]
        assert len(second.requests) == PIECES - 2
    result = json.loads(speech.queue.rows()["talk"].result or "null")
    if speech.task == "enhance":
        assert (result["backend"], result["pieces"]) == ("s0, s1", PIECES)


@pytest.mark.parametrize("changed", ["source", "params"])
def test_what_changed_is_begun_anew(speech: Speech, changed: str) -> None:
    """Answers to other sound or text, or asked for otherwise, are of no use."""
    with api_server(*TWO_ANSWERS, BROKEN) as server:
        speech.submit(server)
        assert speech.queue.run(profile=ONCE) == ExitCode.SOME_FAILED
        if changed == "source":
            speech.change(2)
        speech.submit(server, **({"language": "en"} if changed == "params" else {}))
        assert speech.queue.run(profile=ONCE) == ExitCode.OK
        assert len(server.requests) == 3 + PIECES
    assert speech.kept == []


def test_what_is_cancelled_keeps_nothing(speech: Speech) -> None:
    """The next run removes it."""
    with api_server(*TWO_ANSWERS, BROKEN) as server:
        speech.submit(server)
        assert speech.queue.run(profile=ONCE) == ExitCode.SOME_FAILED
        assert len(speech.kept) == 1
        assert call("jobs", "retry", "talk", "--output", speech.queue.output).returncode == ExitCode.OK
        assert call("jobs", "cancel", "talk", "--output", speech.queue.output).returncode == ExitCode.OK
        speech.queue.run(profile=ONCE)
        assert len(server.requests) == 3
    assert speech.kept == []


def test_a_run_over_other_files_leaves_it(speech: Speech, tmp_path: Path) -> None:
    """It does not try again what it is not asked for, so what was answered is for a run that does."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "one.wav").write_bytes(b"any")
    with api_server(*TWO_ANSWERS, BROKEN) as server:
        speech.submit(server)
        assert speech.queue.run(profile=ONCE) == ExitCode.SOME_FAILED
        result = call("run", other, "--task", "checksum", "--output", speech.queue.output)
        assert result.returncode == ExitCode.OK, result.stderr
        assert speech.queue.run(profile=ONCE) == ExitCode.OK
        assert_asked_once(server, lost=2)
    assert speech.kept == []
