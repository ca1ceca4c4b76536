"""Requests answered by chat APIs on loopback: asked again, at their rate, elsewhere, and refused for good."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.services import BatchProcessor, BatchRequest, BatchResult
from tests.integration.api_server import BROKEN, BUSY, HALF, LENGTH, ApiServer, Fault, api_server

KEY = "sk-of-this-test"


@pytest.fixture(scope="module")
def key_from(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with the key."""
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    return f"file:{path}"


def service(api: ApiServer, key_from: str, **more: Any) -> dict[str, Any]:
    """The fields of a handler that asks this server."""
    return {"url": api.url, "model": "m", "key_from": key_from, **more}


def asked(count: int) -> list[BatchRequest]:
    """Requests, each with a text of its own."""
    return [BatchRequest(str(number), f"text {number}", profile_name="terse") for number in range(count)]


def contents(results: Sequence[BatchResult]) -> list[str | None]:
    """What was answered."""
    return [result.content for result in results]


def test_what_is_sent(key_from: str) -> None:
    """Prompt, style of the profile, and key; one request each."""
    with api_server(key=KEY) as api:
        results = BatchProcessor(handler=service(api, key_from)).process_batch_parallel(asked(2))
    assert contents(results) == ["Text 0.", "Text 1."]
    assert len(api.requests) == 2
    system, user = api.requests[0].fields["messages"]
    assert "terse" in system["content"]
    assert user["content"].startswith("text ")


def test_a_server_that_is_busy_or_breaks_is_asked_again(key_from: str, tmp_path: Path) -> None:
    """By the engine, after the time that it asks for; what it has answered is kept, and nothing is asked alone."""
    faults = [None, BUSY, HALF, None, BROKEN]
    with api_server(*faults, key=KEY) as api:
        processor = BatchProcessor(1, 8, handler=service(api, key_from), output=tmp_path)
        results = processor.process_batch_chunked(asked(8))
    assert contents(results) == [f"Text {number}." for number in range(8)]
    answered = len(api.requests) - sum(fault is not None for fault in faults)
    assert answered == 8, "no request that was answered was sent again"


def test_a_limit_is_kept_by_small_chunks(key_from: str, tmp_path: Path) -> None:
    """Of ten a second two at once, whatever the size of a chunk."""
    with api_server(key=KEY) as api:
        processor = BatchProcessor(1, 32, handler=service(api, key_from, per_minute=600, burst=2), output=tmp_path)
        results = processor.process_batch_chunked(asked(6))
    assert all(result.success for result in results)
    assert processor.performance_metrics["chunks"] == 3


def test_another_server_answers_where_the_first_does_not(key_from: str) -> None:
    """The preferred one is asked first, and then left alone."""
    with api_server(always=BROKEN) as down, api_server(key=KEY) as up:
        fields = [service(down, key_from, name="first"), service(up, key_from, name="second")]
        results = BatchProcessor(1, handler={"backends": fields}).process_batch_chunked(asked(3))
    assert contents(results) == ["Text 0.", "Text 1.", "Text 2."]
    assert down.requests


def test_one_that_no_server_answers_costs_no_other(key_from: str, tmp_path: Path) -> None:
    """Although it is asked first, and the others of its chunk one after the other."""
    with api_server(key=KEY, breaks_on="text 0") as api:
        processor = BatchProcessor(1, 8, handler=service(api, key_from), output=tmp_path)
        results = processor.process_batch_chunked(asked(6))
    assert [result.success for result in results] == [False, *[True] * 5]
    assert "500" in (results[0].error or "")


def test_an_answer_that_is_too_long_is_its_requests_failure(key_from: str, tmp_path: Path) -> None:
    """The server is not taken for one that is down: nothing waits for it, and nothing is asked again."""
    with api_server(None, LENGTH, key=KEY) as api:
        processor = BatchProcessor(1, 8, handler=service(api, key_from), output=tmp_path)
        results = processor.process_batch_chunked(asked(4))
    assert len(api.requests) == 4
    (failed,) = (result for result in results if not result.success)
    assert "as long as it may be" in (failed.error or "")


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [(Fault(401), "permission", "key"), (BROKEN, "connection", "500")],
    ids=["wrong key", "down for good"],
)
def test_what_is_never_answered_fails(key_from: str, fault: Fault, kind: str, said: str) -> None:
    """With a sentence; the key is in none."""
    with api_server(always=fault) as api:
        result = BatchProcessor(handler=service(api, key_from)).process_single_request(asked(1)[0])
    assert (result.metadata or {})["error_kind"] == kind
    assert said in (result.error or "")
    assert KEY not in str(dataclasses.asdict(result))
