"""Transcripts improved by a chat API, through the whole engine: what is changed, what is kept, and what goes wrong."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyprocessor.errors import ExitCode, FailureKind, UsageError
from pyprocessor.models import ErrorSettings, Profile
from pyprocessor.plan import backends
from tests.acceptance.command import begin
from tests.integration.api_server import (
    BROKEN,
    BUSY,
    GARBAGE,
    HALF,
    LENGTH,
    SILENCE,
    ApiServer,
    Fault,
    api_server,
    corrected,
)
from tests.process.queues import Queue
from tests.waiting import DEADLINE_SECONDS, until

SWIFT = replace(Profile("test", "f"), errors=ErrorSettings(max_retries=4, retry_delay_seconds=0.01))
SECRET = "sk-0b5e9d7f31"
TEXT = "we met at 9 in the morning. it was cold\n"
SRT = "1\n00:00:01,000 --> 00:00:02,500\nhello there\n\n2\n00:00:03,000 --> 00:00:04,000\nit is 9 degrees\n"
VTT = f"WEBVTT\n\n{SRT.replace(',', '.')}"
REFUSED = b'{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}'
SEGMENTS = {"segments": [{"start": 1.0, "end": 2.0, "text": "hello there"}]}


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """No jobs yet."""
    return Queue(tmp_path)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with the key, which nobody else may read."""
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(SECRET)
    return path


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """One that answers."""
    with api_server() as opened:
        yield opened


def submit(queue: Queue, file: Path, text: str, *servers: ApiServer, **params: Any) -> None:
    """Submit a job for a transcript that is written to the file; with several servers, each is a back end."""
    file.write_text(text)
    named = {"url": servers[0].url, "key_from": ""} if servers else {}
    if len(servers) > 1:
        each = [{"name": f"s{number}", "url": one.url, "key_from": ""} for number, one in enumerate(servers)]
        named = {"backends": each}
    queue.submit({"task": "enhance", "key": file.stem, "inputs": [str(file)], "params": {**named, **params}})


def result(queue: Queue, name: str = "talk") -> Any:
    """What a job answered."""
    return json.loads(queue.rows()[name].result or "null")


@pytest.mark.parametrize(
    ("ending", "text", "improved"),
    [
        (".txt", TEXT, "We met at 9 in the morning. it was cold.\n"),
        (".srt", SRT, SRT.replace("hello there", "Hello there.").replace("it is 9 degrees", "It is 9 degrees.")),
        (".vtt", VTT, VTT.replace("hello there", "Hello there.").replace("it is 9 degrees", "It is 9 degrees.")),
        (".json", json.dumps(SEGMENTS), None),
    ],
)
def test_a_transcript_is_improved(
    queue: Queue, server: ApiServer, tmp_path: Path, ending: str, text: str, improved: str | None
) -> None:
    """In its format, with its times, beside the original; the result says how much is new."""
    submit(queue, tmp_path / f"talk{ending}", text, server)
    assert queue.run(profile=SWIFT) == ExitCode.OK
    made = (queue.output / f"talk.enhanced{ending}").read_text()
    if improved is None:
        assert json.loads(made) == {"segments": [{**SEGMENTS["segments"][0], "text": "Hello there."}]}
    else:
        assert made == improved
    found = result(queue)
    assert found["quality"]["content_preserved"] is True
    assert 0 < found["quality"]["improvement"] <= 100
    assert (found["warnings"], found["pieces"], found["kept"]) == ([], 1, 0)
    assert found["backend"] == f"127.0.0.1:{server.port}"


def test_a_long_text_goes_in_pieces(queue: Queue, server: ApiServer, tmp_path: Path) -> None:
    """Cut at ends of sentences, put together as they were, paragraphs and all."""
    sentences = [f"this is sentence number {number}." for number in range(30)]
    text = " ".join(sentences[:15]) + "\n\n" + " ".join(sentences[15:]) + "\n"
    submit(queue, tmp_path / "talk.txt", text, server, window_characters=200)
    assert queue.run(profile=SWIFT) == ExitCode.OK
    made = (queue.output / "talk.enhanced.txt").read_text()
    assert made.lower() == text
    assert made.count("This") >= result(queue)["pieces"] == len(server.requests) > 4
    assert all(len(request.fields["messages"][-1]["content"]) <= 200 for request in server.requests)


@pytest.mark.parametrize(
    ("ending", "improve", "said"),
    [
        (".txt", lambda text: text.replace("9", "10"), "Numbers are missing: 9. Numbers were added: 10."),
        (".txt", lambda text: "A summary.", "of its words were changed"),
        (".srt", lambda text: corrected(text).replace("\n", " "), "not those that were sent"),
        (".srt", lambda text: "\n".join(reversed(text.splitlines())), "not those that were sent"),
        (".srt", lambda text: f"{text}\n3: and more", "not those that were sent"),
        (".srt", lambda text: text.replace("hello", "00:00 --> 00:01"), "not those that were sent"),
    ],
)
def test_what_changes_the_content_is_not_taken(
    queue: Queue, tmp_path: Path, ending: str, improve: Any, said: str
) -> None:
    """The original is kept, with a warning that says why."""
    text = TEXT if ending == ".txt" else SRT
    with api_server(improve=improve) as server:
        submit(queue, tmp_path / f"talk{ending}", text, server)
        assert queue.run(profile=SWIFT) == ExitCode.OK
    assert (queue.output / f"talk.enhanced{ending}").read_text() == text
    found = result(queue)
    assert found["quality"] == {"improvement": 0.0, "content_preserved": False}
    (warning,) = found["warnings"]
    assert warning.startswith("Piece 1 of 1 was left as it is. ")
    assert said in warning


@pytest.mark.parametrize("fault", [LENGTH, Fault(200, body=REFUSED)], ids=["too long", "refused"])
def test_a_piece_that_is_not_answered_is_kept(queue: Queue, tmp_path: Path, fault: Fault) -> None:
    """The others are improved, and nothing is asked again."""
    pieces = [f"hello there number {number}. " * 6 for number in range(3)]
    with api_server(None, fault) as server:
        submit(queue, tmp_path / "talk.txt", "".join(pieces), server, window_characters=140)
        assert queue.run(profile=SWIFT) == ExitCode.OK
    assert len(server.requests) == 3
    assert (queue.output / "talk.enhanced.txt").read_text().count("Hello") == 2
    found = result(queue)
    assert (found["pieces"], found["kept"]) == (3, 1)
    assert found["warnings"][0].startswith("Piece 2 of 3 was left as it is. 127.0.0.1:")
    assert found["warnings"][0].endswith("A smaller `window_characters` may help.")


def test_a_model_that_marks_its_answer_as_code(queue: Queue, tmp_path: Path) -> None:
    """The marks are no part of the text."""
    with api_server(improve=lambda text: f"```text\n{corrected(text)}\n```") as server:
        submit(queue, tmp_path / "talk.srt", SRT, server)
        assert queue.run(profile=SWIFT) == ExitCode.OK
    assert "Hello there." in (queue.output / "talk.enhanced.srt").read_text()


def test_nothing_was_said(queue: Queue, server: ApiServer, tmp_path: Path) -> None:
    """Nothing is asked, and what waits for it may go on."""
    submit(queue, tmp_path / "talk.txt", " \n", server)
    assert queue.run(profile=SWIFT) == ExitCode.OK
    row = queue.rows()["talk"]
    assert (row.state.value, row.already_right, server.requests) == ("skipped", True, [])


def test_faults_pass(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause that is asked for, an error, half an answer, garbage: tried again until it is answered."""
    monkeypatch.setattr(backends, "FIRST_PAUSE_SECONDS", 0.1)
    with api_server(BUSY, BROKEN, HALF, GARBAGE) as server:
        submit(queue, tmp_path / "talk.txt", TEXT, server)
        assert queue.run(profile=SWIFT) == ExitCode.OK
    assert queue.rows()["talk"].attempts == 5
    assert (queue.output / "talk.enhanced.txt").exists()


def test_the_next_of_the_list_does_it(queue: Queue, tmp_path: Path) -> None:
    """Where the first is broken, says nothing, or is not there."""
    with api_server(always=BROKEN) as broken, api_server(always=SILENCE) as silent, api_server() as well:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            gone = ApiServer(port=taken.getsockname()[1])
        submit(queue, tmp_path / "talk.txt", TEXT, broken, silent, gone, well, timeout_seconds=1.0)
        assert queue.run(profile=SWIFT) == ExitCode.OK
        assert [len(server.requests) for server in (broken, silent, well)] == [1, 1, 1]
    assert result(queue)["backend"] == "s3"


def test_a_server_that_is_not_there_fails_its_jobs_alone(
    queue: Queue, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence that names it, once it was tried often enough; others are done."""
    monkeypatch.setattr(backends, "FIRST_PAUSE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = ApiServer(port=taken.getsockname()[1])
    submit(queue, tmp_path / "talk.txt", TEXT, gone)
    submit(queue, tmp_path / "other.txt", TEXT, server)
    assert queue.run(profile=SWIFT) == ExitCode.SOME_FAILED
    rows = queue.rows()
    assert (rows["talk"].failure, rows["other"].state.value) == (FailureKind.UNAVAILABLE, "succeeded")
    assert rows["talk"].reason.startswith(f"127.0.0.1:{gone.port} cannot be reached: ")


@pytest.mark.parametrize("key_from", ["env:NO_SUCH_KEY", "file"])
def test_a_key_that_is_missing_or_wrong_is_not_tried_again(
    queue: Queue, tmp_path: Path, key_file: Path, key_from: str
) -> None:
    """It is the user's to mend; the next run tries once more."""
    with api_server(key="another") as server:
        key_from = f"file:{key_file}" if key_from == "file" else key_from
        submit(queue, tmp_path / "talk.txt", TEXT, server, key_from=key_from)
        for attempts in (1, 1):
            assert queue.run(profile=SWIFT) == ExitCode.SOME_FAILED
            row = queue.rows()["talk"]
            assert (row.failure, row.attempts) == (FailureKind.PERMISSION, attempts)
            assert ("NO_SUCH_KEY, which is not set" if "env" in key_from else "see to the key") in row.reason


def test_the_key_stands_nowhere(queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the journal, a log, an output, what is printed, or the command line of a process; also of failures."""
    monkeypatch.setenv("CHAT_KEY", SECRET)
    with api_server(SILENCE, BROKEN, key=SECRET) as server, api_server(key="another") as refusing:
        submit(queue, tmp_path / "talk.txt", TEXT, server, key_from="env:CHAT_KEY", timeout_seconds=2.0)
        submit(queue, tmp_path / "refused.txt", TEXT, refusing, key_from="env:CHAT_KEY")
        process = begin("--output", queue.output, "--verbose")
        try:
            until(lambda: server.requests, "the first request")
            lines = [" ".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"])]
            assert any("call_main" in line for line in lines)
            assert not any(SECRET in line for line in lines)
            said, _ = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
            process.communicate()
    assert server.requests[-1].key == f"Bearer {SECRET}"
    rows = queue.rows()
    assert {name: row.state.value for name, row in rows.items()} == {"talk": "succeeded", "refused": "failed"}
    assert SECRET not in (said or "")
    for folder, _, names in os.walk(tmp_path):
        for name in names:
            assert SECRET.encode() not in Path(folder, name).read_bytes(), name


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"key_from": SECRET}, "`key_from` must be env:NAME"),
        ({"url": f"https://me:{SECRET}@example.com"}, "`url` must be an address"),
        ({"url": "example.com"}, "`url` must be an address"),
        ({"modle": "x"}, "did you mean `model`?"),
        ({"window_characters": 3}, "`window_characters` must be 100 to 40000"),
        ({"most_word_error_rate": 2.0}, "`most_word_error_rate` must be 0 to 1"),
        ({"backends": [{"url": "https://a.example"}, {"url": "https://a.example/v1"}]}, "`backends` has two"),
        ({"backends": [{"burst": 0}]}, "`burst` must be 1 or more"),
        ({"per_minute": 0}, "`per_minute` must be above 0"),
    ],
)
def test_params_that_make_no_sense(queue: Queue, tmp_path: Path, params: dict[str, Any], said: str) -> None:
    """Are refused when the job is submitted, in a sentence that names the field and does not repeat a key."""
    with pytest.raises(UsageError) as raised:
        submit(queue, tmp_path / "talk.txt", TEXT, **params)
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)
