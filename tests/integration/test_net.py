"""APIs that answer, and that do not: each fault is a failure of a kind, in a sentence that does not hold the key."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
import wave
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.net.chat import complete
from pyprocessor.net.http import retry_after
from pyprocessor.net.keys import key
from pyprocessor.net.transcription import transcribe
from tests.integration.api_server import (
    BROKEN,
    BUSY,
    GARBAGE,
    HALF,
    LARGE,
    LENGTH,
    SILENCE,
    ApiServer,
    Fault,
    api_server,
)
from tests.waiting import DEADLINE_SECONDS

SECRET = "sk-3f9a7b1c5d"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the key, which nobody else may read."""
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(f"{SECRET}\n")
    return path


def chat(server: ApiServer, text: str = "how are you", **settings: Any) -> str:
    """What a chat answers to one message."""
    asked = {"url": server.url, "model": "m", "key_from": "", "timeout_seconds": DEADLINE_SECONDS, **settings}
    return asyncio.run(complete([("user", text)], **asked))


def test_a_chat_is_answered(key_file: Path) -> None:
    """With the model and the key that are asked for, in one piece."""
    with api_server(key=SECRET) as server:
        assert chat(server, key_from=f"file:{key_file}", temperature=0.0) == "How are you."
    (request,) = server.requests
    assert request.path == "/v1/chat/completions"
    assert request.fields == {
        "model": "m",
        "messages": [{"role": "user", "content": "how are you"}],
        "stream": False,
        "temperature": 0.0,
    }


UNAVAILABLE, BAD_INPUT = FailureKind.UNAVAILABLE, FailureKind.BAD_INPUT
UNSUPPORTED, PERMISSION = FailureKind.UNSUPPORTED, FailureKind.PERMISSION


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (BUSY, UNAVAILABLE, "status 429 (Too Many Requests): no."),
        (BROKEN, UNAVAILABLE, "status 500 (Internal Server Error): no."),
        (Fault(503, body=b"<html>"), UNAVAILABLE, "status 503 (Service Unavailable)."),
        (Fault(599, body=b"[]"), UNAVAILABLE, "status 599."),
        (Fault(400), BAD_INPUT, "status 400 (Bad Request): no."),
        (Fault(422, body=b'{"detail": "too long"}'), BAD_INPUT, "too long."),
        (Fault(404, body=b'{"error": "no such model"}'), UNSUPPORTED, "no such model."),
        (Fault(404, body=b"<html>"), UNSUPPORTED, "(Not Found); see to the address and the model."),
        (Fault(402), PERMISSION, "see to the key"),
        (Fault(307, (("Location", "http://127.0.0.1:1/"),)), UNSUPPORTED, "which is not followed"),
        (HALF, UNAVAILABLE, "broke off its answer"),
        (GARBAGE, UNAVAILABLE, "what is no answer of such an API"),
        (Fault(200, body=b'{"choices": []}'), UNAVAILABLE, "what is no answer of such an API"),
        (Fault(200, body=b'{"choices": [{"message": {"content": " "}}]}'), UNSUPPORTED, "with no text"),
        (Fault(200, body=b'{"choices": [{"message": {}, "finish_reason": []}]}'), UNAVAILABLE, "what is no answer"),
        (Fault(200, body=b'{"choices": [{"message": {"content": 1}, "finish_reason": []}]}'), UNSUPPORTED, "no text"),
        (Fault(200, body=b"[" * 100_000), UNAVAILABLE, "what is no answer of such an API"),
        (LARGE, UNAVAILABLE, "more than 16,777,216 bytes"),
        (LENGTH, UNSUPPORTED, "as long as it may be"),
    ],
    ids=str,
)
def test_what_goes_wrong_is_a_failure_of_a_kind(fault: Fault, kind: FailureKind, said: str) -> None:
    """Only what may pass is UNAVAILABLE; the sentence names the server."""
    with api_server(fault) as server, pytest.raises(JobError) as raised:
        chat(server)
    assert raised.value.kind is kind
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"127.0.0.1:{server.port} ")
    assert raised.value.retry_after_seconds == (1.0 if fault is BUSY else None)


def test_silence_ends_after_its_time() -> None:
    """However long the server would say nothing."""
    with api_server(SILENCE) as server, pytest.raises(JobError, match=r"did not answer within 0\.2 s") as raised:
        chat(server, timeout_seconds=0.2)
    assert raised.value.kind is UNAVAILABLE


def test_nobody_there() -> None:
    """A port that nothing listens at, a name that no server has, and what is no address at all."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    for url, kind in (
        (f"http://127.0.0.1:{free}", UNAVAILABLE),
        ("http://no-such-server.invalid/v1", UNAVAILABLE),
        ("ftp://127.0.0.1/v1", UNSUPPORTED),
        ("http://[::1/v1", UNSUPPORTED),
    ):
        with pytest.raises(JobError) as raised:
            asyncio.run(complete([("user", "x")], url=url, model="m", key_from="", timeout_seconds=DEADLINE_SECONDS))
        assert raised.value.kind is kind, url


@pytest.mark.parametrize("fault", [None, Fault(400, body=b'{"error": {"message": "KEY"}}')])
def test_no_message_holds_the_key(fault: Fault | None, key_file: Path) -> None:
    """Not even where the server repeats it, which refuses it here, or quotes it."""
    said = (
        None if fault is None else Fault(fault.status, body=fault.body.replace(b"KEY", f"bad {SECRET}".encode() * 20))
    )
    with api_server(key="another", always=said) as server, pytest.raises(JobError) as raised:
        chat(server, key_from=f"file:{key_file}")
    assert server.requests[0].key == f"Bearer {SECRET}"
    assert raised.value.kind is (PERMISSION if fault is None else BAD_INPUT)
    assert SECRET[:6] not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "seconds"), [("", None), ("12", 12.0), ("1.5", 1.5), ("-3", 0.0), ("nan", None), ("soon", None)]
)
def test_retry_after_in_seconds(value: str, seconds: float | None) -> None:
    """What is no time counts for nothing."""
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_as_a_date() -> None:
    """Seconds from now; a time that has passed is now."""
    found = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert found is not None
    assert 90 < found <= 100
    assert retry_after({"retry-after": formatdate(time.time() - 100, usegmt=True)}) == 0.0


def test_keys(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, a file, or none."""
    monkeypatch.setenv("SOME_KEY", f" {SECRET} ")
    assert key("") == ""
    assert key("env:SOME_KEY") == key(f"file:{key_file}") == SECRET


def test_keys_that_cannot_be_used(key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sentence says what to do, and quotes nothing."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    monkeypatch.setenv("TWO_WORDS", f"{SECRET}\nHost: elsewhere")
    key_file.chmod(0o640)
    for key_from, said in (
        ("env:NOT_SET", "NOT_SET, which is not set"),
        (SECRET, "must be"),
        ("env:TWO_WORDS", "is no key"),
        (f"file:{key_file}", "Others may read"),
        (f"file:{tmp_path / 'gone'}", "No such file"),
        (f"file:{tmp_path / 'pipe'}", "is no file"),
        (f"file:{tmp_path}", "cannot be read"),
    ):
        with pytest.raises(JobError, match=said) as raised:
            key(key_from)
        assert raised.value.kind is PERMISSION
        assert SECRET not in str(raised.value)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Three seconds of silence, as a back end gets them."""
    path = tmp_path / "piece.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000 * 3))
    return path


def transcribed(server: ApiServer, audio: Path, **settings: Any) -> Any:
    """What a server says was said."""
    output = audio.with_suffix(".json")
    asked = {"language": None, "key_from": "", "timeout_seconds": DEADLINE_SECONDS, "model": "whisper-1", **settings}
    returned = asyncio.run(transcribe(audio=str(audio), output=str(output), url=server.url, **asked))
    document = json.loads(output.read_text())
    assert returned == {"segments": len(document["segments"])}
    return document


def test_a_transcription(audio: Path, key_file: Path) -> None:
    """Segments with words, with times within the file and how sure the model was; the language by its code."""
    with api_server(key=SECRET) as server:
        found = transcribed(server, audio, language="en", key_from=f"file:{key_file}")
    assert found == {
        "language": "en",
        "language_probability": None,
        "segments": [
            {"start": 0.0, "end": 1.5, "text": "hello there", "confidence": 0.8144},
            {"start": 1.5, "end": 3.0, "text": "general", "confidence": 0.0677},
        ],
        "dropped": [],
    }
    (request,) = server.requests
    sent = request.fields.pop("file")
    assert sent == audio.read_bytes()
    assert request.fields == {"model": "whisper-1", "response_format": "verbose_json", "language": "en"}


def test_a_model_that_gives_no_times(audio: Path) -> None:
    """Is asked once more for the text alone, which is then one segment."""
    with api_server(times=False) as server:
        found = transcribed(server, audio)
    assert found["segments"] == [{"start": 0.0, "end": 3.0, "text": "hello there general", "confidence": None}]
    assert found["language"] is None
    assert [request.fields["response_format"] for request in server.requests] == ["verbose_json", "json"]


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"segments": [{"text": "x"}]}', b'{"segments": [{"text": "x", "start": "a", "end": 1}]}']
)
def test_a_transcription_that_is_none(body: bytes, audio: Path) -> None:
    """Is tried again, and leaves no file."""
    with api_server(Fault(200, body=body)) as server, pytest.raises(JobError) as raised:
        transcribed(server, audio)
    assert raised.value.kind is UNAVAILABLE
    assert not audio.with_suffix(".json").exists()
