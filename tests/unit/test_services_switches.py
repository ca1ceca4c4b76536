"""What do the modes and switches of services give to the engine, in which chunks? The engine is left out here."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import PyprocessorError, UsageError
from pyprocessor.services import (
    AdvancedBatchProcessor,
    BatchProcessor,
    BatchRequest,
    BatchResult,
    EnterpriseBatchProcessor,
    OptimizedBatchProcessor,
    processors,
)
from pyprocessor.services.running import Chunk, Ran, Runner, result_of


@dataclass
class Engine:
    """Answers at once, and knows what it was given: chunks, and how many at once, for each time it was started."""

    given: list[tuple[Sequence[Chunk], int]] = field(default_factory=list)

    @property
    def asked(self) -> list[list[str]]:
        """The ids of the requests of each chunk, in all."""
        return [[request.id for request in chunk.requests] for chunks, _ in self.given for chunk in chunks]

    def run(self, chunks: Sequence[Chunk], workers: int) -> Ran:
        self.given.append((chunks, workers))
        return Ran([[self.answer(request) for request in chunk.requests] for chunk in chunks], 0.5)

    def answer(self, request: BatchRequest) -> BatchResult:
        if request.prompt == "bad":
            return result_of(request, {"error": "It is bad.", "kind": "validation"})
        return result_of(request, {"content": request.prompt, "seconds": 0.1})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """In the place of the real one."""
    made = Engine()
    monkeypatch.setattr(Runner, "run", lambda _, chunks, workers: made.run(chunks, workers))
    return made


def requests(*prompts: str, **fields: Any) -> list[BatchRequest]:
    """One request for each prompt, numbered."""
    return [BatchRequest(str(number), prompt, **fields) for number, prompt in enumerate(prompts)]


@pytest.mark.parametrize(
    ("count", "chunks", "workers"), [(0, [], []), (9, [9], [1]), (10, [5, 5], [2]), (99, [32, 32, 32, 3], [2])]
)
def test_the_mode_follows_from_the_number(engine: Engine, count: int, chunks: list[int], workers: list[int]) -> None:
    """Fewer than 10 one after the other, fewer than 100 spread over the workers."""
    results = BatchProcessor(2, handler="json:dumps").process_batch_adaptive(requests(*"x" * count))
    assert [result.id for result in results] == [str(number) for number in range(count)]
    assert [len(ids) for ids in engine.asked] == chunks
    assert [most for _, most in engine.given] == workers


def test_a_lambda_needs_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where that is not installed, the sentence says how to."""
    monkeypatch.setattr("pyprocessor.models.extras.LIBRARIES", {"no-such-library": (("services",), "handlers")})
    with pytest.raises(UsageError, match=r"pip install 'pyprocessor\[services\]'"):
        BatchProcessor(handler=lambda request: request.prompt)


def test_a_single_request(engine: Engine) -> None:
    """Is a batch of one."""
    assert BatchProcessor(handler="json:dumps").process_single_request(BatchRequest("s", "hello")).content == "hello"
    assert engine.asked == [["s"]]


@pytest.mark.parametrize("balanced", [True, False])
def test_chunks_are_balanced_or_not(engine: Engine, balanced: bool) -> None:
    """From 100 requests on; a long prompt then has a chunk nearly for itself."""
    processor = AdvancedBatchProcessor(2, 100, enable_load_balancing=balanced, handler="json:dumps")
    given = requests("x" * 200_000, *["x"] * 100)
    results = processor.process_batch_adaptive(given)
    assert [result.id for result in results] == [request.id for request in given]
    assert [len(ids) for ids in engine.asked] == ([1, 100] if balanced else [100, 1])


def test_priorities_are_the_engines_order(engine: Engine) -> None:
    """Each chunk before all that come later; by `priority` in the metadata unless another key is named."""
    processor = AdvancedBatchProcessor(1, 2, handler="json:dumps")
    given = [BatchRequest(str(rank), "x", metadata={"priority": rank, "b": -rank}) for rank in (1, 3, 2, 4)]
    assert [result.id for result in processor.process_batch_with_priority(given)] == ["4", "3", "2", "1"]
    assert engine.asked == [["4", "3"], ["2", "1"]]
    assert [chunk.priority for chunk in engine.given[0][0]] == [-2, -1]
    assert [result.id for result in processor.process_batch_with_priority(given, "b")] == ["1", "2", "3", "4"]


def test_an_optimized_processor_asks_once_and_apart(engine: Engine) -> None:
    """Each of its switches decides what is asked and in which chunks."""
    same = [BatchRequest(str(n), "same", profile_name=f"p{n % 2}") for n in range(6)]
    processor = OptimizedBatchProcessor(handler="json:dumps", max_workers=1)
    assert [result.id for result in processor.process_batch_optimized(same)] == [request.id for request in same]
    assert engine.asked == [["0"], ["1"]]
    again = processor.process_batch_optimized(same)
    assert all(result.success and result.metadata == {"cached": True} for result in again)
    assert processor.performance_metrics["cache_hit_rate"] == pytest.approx(10 / 12)
    assert len(engine.given) == 1
    processor.optimization_config |= {"enable_caching": False, "enable_profile_grouping": False}
    processor.process_batch_optimized(same)
    assert engine.asked[2:] == [["0", "1", "2", "3", "4", "5"]]
    processor.optimization_config["enable_caching"] = True
    of_another = [BatchRequest("x", "same", tenant="other", profile_name="p0")]
    processor.process_batch_optimized(of_another)
    assert engine.asked[3:] == [["x"]]
    processor.optimization_config["shared_cache"] = True
    processor.process_batch_optimized(requests("new", tenant="a"))
    assert processor.process_batch_optimized(requests("new", tenant="b"))[0].metadata == {"cached": True}
    assert len(engine.asked) == 5


def test_failures_are_asked_again(engine: Engine) -> None:
    """And those that cannot be sent are never asked."""
    processor = OptimizedBatchProcessor(handler="json:dumps", max_workers=1)
    given = [*requests("bad", "bad"), BatchRequest("s", "x", metadata={"a": {1}})]
    for _ in range(2):
        assert [result.success for result in processor.process_batch_optimized(given)] == [False] * 3
    assert engine.asked == [["0"], ["0"]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"timeout": math.nan}, "timeout is nan, but has to be a number of seconds above 0."),
        ({"max_workers": True}, "max_workers is True, but has to be a whole number of 1 or more."),
        ({"cache_size": "9"}, "cache_size is '9', but has to be a whole number of 0 or more."),
        ({"cache_expiry_seconds": math.nan}, "cache_expiry_seconds is nan, but has to be a number of seconds above 0."),
        ({"enable_caching": "no"}, "enable_caching is 'no', but has to be True or False."),
        ({"max_requests_per_tenant": None}, "max_requests_per_tenant is None, but has to be a whole number"),
        ({"rate_limit_window": math.inf}, "rate_limit_window is inf, but has to be a number of seconds above 0."),
        ({"rate_limit_requests": 1.5}, "rate_limit_requests is 1.5, but has to be a whole number of 0 or more."),
        ({"output": 5}, "output is 5, but has to be the path of a folder."),
        ({"output": __file__}, "is not a folder"),
        ({"handler": ".here:f"}, "The handler .here:f cannot be found: "),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    """In a sentence, before anything is asked."""
    with pytest.raises(PyprocessorError) as error:
        EnterpriseBatchProcessor(**{"handler": "json:dumps", **settings})
    assert said in str(error.value)
    assert str(error.value).endswith(".")


def test_a_module_that_raises_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a handler is given by its name."""
    (tmp_path / "broken_module.py").write_text("raise KeyError('settings')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        UsageError, match=r"broken_module:f cannot be loaded: its module raises KeyError\('settings'\)\."
    ):
        BatchProcessor(handler="broken_module:f")


def test_odd_requests_are_failures_of_their_own(engine: Engine, tmp_path: Path) -> None:
    """Whatever a request holds, those beside it are answered; audit and counts have it, too."""
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    odd = [
        BatchRequest("1", "x", tenant=["a"]),  # type: ignore[arg-type]
        BatchRequest({2}, "x"),  # type: ignore[arg-type]
        BatchRequest("3", "x", metadata=["a"]),  # type: ignore[arg-type]
        BatchRequest("4", "x", metadata={"a": 1, 2: 3}),  # type: ignore[dict-item]
        BatchRequest("5", "x", metadata={"a": {"b": 1, None: 2}}),
        BatchRequest("6", "x", metadata={"a": deep}),
    ]
    processor = EnterpriseBatchProcessor(handler="json:dumps", max_workers=1, output=tmp_path / "out")
    modes = (
        processor.process_batch_enterprise,
        processor.process_batch_adaptive,
        processor.process_batch_with_priority,
    )
    for mode in modes:
        results = mode(iter([*odd, BatchRequest("7", "x")]))
        assert [result.success for result in results] == [False] * 6 + [True]
        assert all(str(result.error).startswith("The request is not sent: ") for result in results[:6])
    assert engine.asked == [["7"]] * 3
    events = [json.loads(line) for line in (tmp_path / "out" / "audit.jsonl").read_text().splitlines()]
    assert [event["tenant"] for event in events[1:3]] == ["['a']", "default"]
    assert processor.monitoring_data["by_tenant"]["['a']"]["failed"] == 1
    for mode in modes:
        with pytest.raises(TypeError, match="A request is a BatchRequest, and not dict"):
            mode([{"id": "1"}])  # type: ignore[list-item]


def test_what_is_given_to_the_engine_is_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts, where memory is to be kept."""
    monkeypatch.setattr(processors, "MOST_IN_MEMORY", 2)
    processor = OptimizedBatchProcessor(handler="json:dumps", max_workers=1)
    for switched, starts in ((True, 3), (False, 1)):
        engine.given.clear()
        processor.optimization_config |= {"enable_memory_optimization": switched, "enable_caching": False}
        assert len(processor.process_batch_optimized(requests(*"abcde"))) == 5
        assert len(engine.given) == starts


def test_an_enterprise_limits_audits_and_watches(engine: Engine, tmp_path: Path) -> None:
    """Limits are refused with their numbers before anything is asked, the rate waits, and each switch can be off."""
    processor = EnterpriseBatchProcessor(
        handler="json:dumps",
        max_workers=1,
        output=tmp_path / "out",
        rate_limit_requests=4,
        rate_limit_window=0.2,
        enable_load_balancing=False,
        max_requests_per_tenant=5,
    )
    with pytest.raises(ValueError, match=r"^The batch has 10,001 requests, of 10,000 that are allowed\.$"):
        processor.process_batch_enterprise([BatchRequest("n", "n")] * 10_001)
    with pytest.raises(ValueError, match=r"^The tenant 'press' has 6 requests in it, of 5 that are allowed\.$"):
        processor.process_batch_enterprise(requests(*"abcdef", tenant="press"))
    assert engine.given == []
    given = [*requests("a", "bad", "b", tenant="press"), *requests("a", "c", tenant="film")]
    results = processor.process_batch_enterprise(given)
    assert [result.success for result in results] == [True, False, True, True, True]
    assert engine.asked == [["0", "1", "2"], ["0"], ["1"]]
    seen = processor.monitoring_data
    assert (seen["batches"], seen["refused_batches"], seen["requests"], seen["failed"]) == (1, 2, 5, 1)
    assert seen["rate_limit_waits"] >= 1
    assert seen["by_tenant"]["press"] == {"requests": 3, "failed": 1, "processing_time": pytest.approx(0.2)}
    events = [json.loads(line) for line in (tmp_path / "out" / "audit.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == [
        *("refused", "refused", "begun", "answered", "failed", "answered", "answered", "answered")
    ]
    assert "bad" not in json.dumps(events)
    assert list(processor.audit_log) == events
    off = {f"enable_{name}": False for name in ("rate_limiting", "audit_logging", "monitoring", "tenant_isolation")}
    waits = seen["rate_limit_waits"]
    processor.enterprise_config |= off
    processor.optimization_config["enable_caching"] = False
    processor.process_batch_enterprise(given)
    assert (len(processor.audit_log), seen["batches"], seen["rate_limit_waits"]) == (len(events), 1, waits)
    assert engine.asked[3:] == [["0", "1", "2", "0", "1"]]
    assert processor.process_batch_enterprise([]) == []
