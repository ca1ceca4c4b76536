"""The parts of services that decide: rates, the cache, chunks, what is learned, and what results say."""

from __future__ import annotations

import json
import math
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocessor.publish.answers import AnswerLog, read_answers
from pyprocessor.services import BatchRequest, BatchResult, RateLimiter, analyze_batch_performance
from pyprocessor.services.analysis import NO_METRICS, add_to_metrics, generate_performance_report
from pyprocessor.services.cache import AnswerCache, as_cached, key_of
from pyprocessor.services.chunking import Learned, by_cost, bytes_of, grouped, in_order
from pyprocessor.services.handlers import Handler
from pyprocessor.services.kept_answers import AnswerStore
from pyprocessor.tasks.base import Done, Work
from pyprocessor.tasks.call import AnswerRequests, most_seconds
from pyprocessor.workers.answering import answer
from tests.clocks import Clock

PLACED = st.lists(st.integers(0, 3000), max_size=60).map(
    lambda sizes: [(place, BatchRequest(str(place), "x" * size)) for place, size in enumerate(sizes)]
)


def test_a_rate_limiter_takes_so_many_in_a_window() -> None:
    """What it lets pass counts; the wait is until the window has room, endless where it never has."""
    clock = Clock(0.0)
    limiter = RateLimiter(10, 60, clock=clock)
    assert limiter.can_process(6)
    clock.now += 20
    assert limiter.can_process(4)
    assert not limiter.can_process(1)
    assert [limiter.get_wait_time(n) for n in (0, 1, 6, 7, 10, 11)] == [0.0, 40.0, 40.0, 60.0, 60.0, math.inf]
    clock.now += 40
    assert limiter.get_wait_time(6) == 0.0
    assert limiter.can_process(6)
    for requests, window in ((0, 1), (1.5, 1), (math.nan, 1), ("5", 1), (1, 0), (1, -1), (1, math.inf), (1, "x")):
        with pytest.raises(ValueError, match="whole number of requests above 0 in a number of seconds above 0"):
            RateLimiter(requests, window)  # type: ignore[arg-type]
    assert (RateLimiter().max_requests, RateLimiter().time_window) == (1000, 60)


def test_a_cache_is_bounded_and_forgets() -> None:
    """The one not asked for longest goes first; all go when their time is over; failures are not kept."""
    clock = Clock(0.0)
    cache = AnswerCache(2, 100, clock=clock)
    asked = BatchRequest("new", "p")
    for name in "ab":
        cache.add((name,), BatchResult(name, True, name, processing_time=5.0))
    kept = cache.get(("a",))
    assert kept == BatchResult("a", True, "a", processing_time=5.0)
    assert as_cached(kept, asked) == BatchResult("new", True, "a", metadata={"cached": True})
    cache.add(("c",), BatchResult("c", True, "c"))
    cache.add(("d",), BatchResult("d", False, error="no"))
    assert (len(cache), cache.get(("b",)), cache.get(("d",))) == (2, None, None)
    clock.now += 100
    assert cache.get(("a",)) is None


def test_the_key_of_an_answer() -> None:
    """Whatever may change it is in it, the tenant unless the cache is shared, and not the id."""
    one = BatchRequest("1", "p", metadata={"a": 1, "b": 2})
    others = [
        BatchRequest("1", "q", metadata=one.metadata),
        BatchRequest("1", "p", "other", metadata=one.metadata),
        BatchRequest("1", "p", profile_name="loud", metadata=one.metadata),
        BatchRequest("1", "p"),
    ]
    keys = {key_of(request, "h", shared=False) for request in (one, *others)}
    assert len(keys | {key_of(one, "g", shared=False)}) == 6
    assert key_of(BatchRequest("2", "p", metadata={"b": 2, "a": 1}), "h", shared=False) in keys
    assert key_of(one, "h", shared=True) == key_of(others[1], "h", shared=True)


@settings(max_examples=40)
@given(PLACED, st.integers(1, 20), st.integers(1, 8))
def test_chunks_hold_each_request_once(placed: list[tuple[int, BatchRequest]], most: int, chunks: int) -> None:
    """As they come, or by cost: no chunk has more than it may, and nothing is lost."""
    predict = Learned().seconds
    for made in (list(in_order(placed, most, predict)), list(by_cost(placed, most, chunks, predict))):
        assert sorted(place for places, _ in made for place in places) == [place for place, _ in placed]
        assert all(len(places) == len(chunk.requests) <= most for places, chunk in made)
    assert [place for places, _ in in_order(placed, most, predict) for place in places] == [p for p, _ in placed]


def test_chunks_by_cost_are_near_equal() -> None:
    """One long prompt has a chunk for itself, beside many short ones; a chunk too large for a call is cut."""
    placed = [(place, BatchRequest("", "x" * size)) for place, size in enumerate([100_000, *[10_000] * 10])]
    made = list(by_cost(placed, 32, 2, Learned().seconds))
    assert [len(places) for places, _ in made] == [1, 10]
    assert len(list(in_order([(0, BatchRequest("", "x" * 300_000))] * 4, 32, Learned().seconds))) == 4
    assert [len(group) for group in grouped(placed, lambda request: len(request.prompt))] == [1, 10]


@settings(max_examples=40)
@given(st.text(max_size=1200))
def test_requests_are_not_larger_than_predicted(text: str) -> None:
    """Whatever escapes their characters need."""
    import json

    request = BatchRequest(text, text[::2])
    assert bytes_of(request) >= len(json.dumps(request.fields))


def test_what_a_prompt_takes_is_learned() -> None:
    """The line through what was measured, never below nothing."""
    learned = Learned()
    for size in (10, 20, 400):
        learned.add(BatchRequest("", "x" * size), BatchResult("", True, processing_time=1 + size / 100))
    learned.add(BatchRequest("", "x" * 10), BatchResult("", False, processing_time=500.0))
    assert learned.seconds(BatchRequest("", "x" * 100)) == pytest.approx(2.0)
    same = Learned()
    same.add(BatchRequest("", "x"), BatchResult("", True, processing_time=3.0))
    assert same.seconds(BatchRequest("", "x" * 100)) == pytest.approx(3.0)


@pytest.mark.parametrize("timeout", [1, 300])
def test_a_chunk_has_time_for_requests_that_all_hang(timeout: float) -> None:
    """Each holds up the call for all that are left, and two of its own; the job is not ended before."""
    grace = most_seconds(1, timeout) / 3 - timeout
    assert grace == 10
    hung = sum((left * timeout + grace) + 2 * (timeout + grace) for left in range(1, 33))
    assert hung <= most_seconds(32, timeout)


def test_answers_outlive_what_tears_a_line(tmp_path: Path) -> None:
    """The first answer of a place counts; what was begun and not answered is told, and how often alone."""
    path = tmp_path / "log"
    log = AnswerLog(str(path))
    for place in (0, 1, 2):
        log.begun(place, alone=False)
    log.answered(1, {"content": "b"})
    log.close()
    with path.open("a") as file:
        file.write('{"place":2,"cont')
    log = AnswerLog(str(path))
    log.begun(2, alone=True)
    log.answered(1, {"content": "again"})
    log.close()
    found = read_answers(str(path))
    assert (found.done, found.begun, found.alone) == ({1: {"content": "b"}}, (0, 2), {0: 0, 2: 1})


def test_nothing_to_report_is_no_error() -> None:
    """Of no results, and of results that took no time."""
    for results in ([], [BatchResult("a", True), BatchResult("b", False)]):
        metrics = dict(NO_METRICS)
        add_to_metrics(metrics, results, 0.0)
        report = generate_performance_report(results, metrics)
        assert report["overview"]["total_requests"] == len(results) == report["performance_metrics"]["total_requests"]
        assert report["performance_metrics"]["throughput"] == 0.0
        assert report["optimization_recommendations"] == []


def test_what_results_say() -> None:
    """Counts, times, kinds of errors with examples, vectors, and only such advice as the numbers give."""
    good = [BatchResult(str(n), True, "c", [float(n % 2), 1.0], processing_time=0.1) for n in range(20)]
    slow = BatchResult("slow", True, "c", [500.0, 1.0], processing_time=8.0)
    late = [BatchResult("x", False, error="Too late.", metadata={"error_kind": "timeout"}) for _ in range(3)]
    results = [*good, slow, *late, BatchResult("v", True, "c", [1.0])]
    random.Random(1).shuffle(results)
    found = analyze_batch_performance(results)
    assert found["overview"]["success_rate"] == pytest.approx(22 / 25)
    times = found["performance_metrics"]
    assert (times["median_time"], times["max_time"], times["min_time"]) == (0.1, 8.0, 0.0)
    assert (times["p90_time"], times["p99_time"]) == (0.1, 8.0)
    assert found["error_analysis"]["error_types"]["timeout"] == {"count": 3, "share": 1.0, "examples": ["Too late."]}
    vectors = found["hrv_analysis"]
    assert (vectors["count"], vectors["dimensions"], vectors["other_dimensions"], vectors["far"]) == (22, 2, 1, 1)
    first, second = found["optimization_recommendations"]
    assert first.startswith("3 of 25 requests failed (timeout): ")
    assert second.startswith("The request 'slow' took 8.00 s, 80% of the time of all 25")


def test_vectors_of_very_large_numbers_have_figures() -> None:
    """Their sums are beyond what a float holds; those with numbers that are not finite are left out."""
    vectors = [[1e308], [1e308], [-1e308], [math.nan], []]
    found = analyze_batch_performance([BatchResult("", True, "", vector) for vector in vectors])["hrv_analysis"]
    assert (found["count"], found["mean"]) == (3, [pytest.approx(1e308 / 3)])


def test_what_ended_earlier_attempts_is_not_put_on_the_handler(tmp_path: Path) -> None:
    """The engine ends an attempt whole where memory runs short, and does not tell the next one why."""
    log = AnswerLog(str(tmp_path / "log"))
    for _ in range(2):
        log.begun(0, alone=True)
    log.close()
    params = {"handler": {"function": "m:f"}, "requests": [["1", "p", "t", "n", None]], "log": str(tmp_path / "log")}
    rest = {"at_once": 1, "timeout_seconds": 1.0, "predicted_cpu_seconds": 1.0, "predicted_wait_seconds": 1.0}
    steps = AnswerRequests().run(Work("j", {**params, **rest}, (), None, 1, os.fsencode(tmp_path), "a"))
    with pytest.raises(StopIteration) as ended:
        next(steps)
    assert ended.value.value == Done(result={"answered": 0, "failed": 1})
    said = read_answers(str(tmp_path / "log")).done[0]["error"]
    assert said.startswith("The process of the request was ended, 2 times with nothing else in it. ")
    assert "memory ran short (`memory_limit_mb`)" in said


@pytest.mark.parametrize(
    "damage",
    [{"content": None}, {"hrv_vector": ["a"]}, {"hrv_vector": [math.inf]}, {"metadata": []}, {"more": 1}, "["],
    ids=str,
)
def test_a_damaged_answer_is_not_used(tmp_path: Path, damage: dict[str, object] | str) -> None:
    """Reports count on what a handler may answer; a text that is nested without end cannot be read."""
    whole = {"content": "c", "hrv_vector": [1, 2.5], "metadata": None}
    text = damage * 100_000 if isinstance(damage, str) else json.dumps({**whole, **damage})
    store = AnswerStore(os.fsencode(tmp_path), Handler("h", {}), 10, 60.0)
    store.keep({("good",): BatchResult("1", True, "c", [1, 2.5]), ("bad",): BatchResult("2", True, "c")})
    with closing(sqlite3.connect(tmp_path / ".pyprocessor" / "journal.sqlite3")) as raw, raw:
        raw.execute("UPDATE results SET result = ? WHERE result LIKE '%null, \"metadata\"%'", (text,))
    assert [(key, found.hrv_vector) for key, (_, found) in store.get([("good",), ("bad",)]).items()] == [
        (("good",), [1, 2.5])
    ]


def with_odd_vector(request: BatchRequest) -> object:
    """A handler whose vectors are none, though they hold what may be taken for numbers."""
    return "c", {"text": "12", "mapping": {1: 2}, "list": [1, 2]}[request.prompt]


def test_a_text_is_no_vector(tmp_path: Path) -> None:
    """Nor is a mapping; the failure says so."""
    log = str(tmp_path / "log")
    asked = [[place, "1", prompt, "t", "n", None] for place, prompt in enumerate(("text", "mapping", "list"))]
    handler = {"function": f"{__name__}:with_odd_vector"}
    answer(handler=handler, requests=asked, log=log, at_once=1, timeout_seconds=60.0, alone=False)
    done = read_answers(log).done
    assert "answered str as its vector" in done[0].get("error", "")
    assert "answered dict as its vector" in done[1].get("error", "")
    assert done[2]["vector"] == [1.0, 2.0]
