"""The lines of the control socket: what is understood, what is refused, and that answers survive the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.control.client import (
    REQUEST_BYTES,
    Answer,
    Request,
    Verb,
    answer_line,
    parse_answer,
    parse_request,
    request_line,
)
from pyprocessor.control.run_mode import Order
from pyprocessor.models import ActiveFile, RunSnapshot, RunState, RunStatus

REQUESTS = [Request(verb) for verb in Verb] + [Request(Verb.PAUSE, True), Request(Verb.STOP, True)]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_request_arrives_as_it_was_sent(request_: Request) -> None:
    """One line, short enough, and the same on the other side."""
    line = request_line(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) < REQUEST_BYTES
    assert parse_request(line[:-1]) == request_


def test_what_is_asked_of_a_run() -> None:
    """Each request but for a status is an order."""
    assert [request.order for request in REQUESTS] == [
        *(None, Order.PAUSE, Order.RESUME, Order.STOP),
        *(None, None, None),
        *(Order.FREEZE, Order.END),
    ]


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b"status", b"[]", b'"status"', b"null", b"{}", b'{"do": null}', b'{"do": ["status"]}', b'{"do": {}}'),
        *(b'{"do": "reboot"}', b'{"do": "STATUS"}', b'{"do": "pause", "now": 1}', b'{"do": "pause", "now": "yes"}'),
        *(b'{"do": "status", "now": true}', b'{"do": "resume", "now": true}', b'{"do": "stop", "force": true}'),
        *(b"\xff\xfe\x00", b"[" * 4000, b'{"do":' * 600, b"9" * 4000, b'{"do": "status"} trailing', b"\x00" * 100),
        b"GET / HTTP/1.1\r",
    ],
    ids=lambda line: repr(line[:24]),
)
def test_what_is_no_request_is_refused_with_a_sentence(line: bytes) -> None:
    """Garbage, other protocols, deep nesting, huge numbers, keys and values of other kinds."""
    with pytest.raises(ValueError, match=r"\.$") as caught:
        parse_request(line)
    assert type(caught.value) is ValueError


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_refused_or_understood(line: bytes) -> None:
    """Nothing but ValueError comes out, whatever comes in."""
    for parse in (parse_request, parse_answer):
        try:
            parse(line)
        except ValueError:
            continue


def test_an_answer_arrives_as_it_was_sent() -> None:
    """A standing with odd names, unknown times and a state comes out the same, on one line of ASCII."""
    snapshot = RunSnapshot(1, 3, False, 1, 0, 0, 1, 10**9, 12.5, 4.0, None, False, 3.0, None, RunState.PAUSED_NOW)
    files = (ActiveFile("a\nb-\udce9.mp4", None, 1.5, None, 2.0, True), ActiveFile("c", 4.0, 1.0, 0.5, 2.0))
    for answer in (
        Answer(True, standing=RunStatus(4711, 1e9, snapshot, 2, 1, 60.0, files)),
        Answer(False, "It cannot."),
        Answer(True),
    ):
        line = answer_line(answer)
        assert line.isascii()
        assert line.count(b"\n") == 1
        assert parse_answer(line[:-1]) == answer


@pytest.mark.parametrize("line", [b"", b"[]", b"7", b"{}", b'{"ok": true, "standing": 3}', b'{"text": "x"}', b"\xff"])
def test_what_is_no_answer_is_told(line: bytes) -> None:
    """A run of another version may answer anything."""
    with pytest.raises(ValueError, match="another version"):
        parse_answer(line)
