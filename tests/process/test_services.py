"""Requests answered in processes by handlers that are good, fail, hang and end their process; a call that is killed."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import OutputBusy, UsageError
from pyprocessor.services import (
    AdvancedBatchProcessor,
    BatchProcessor,
    BatchRequest,
    BatchResult,
    OptimizedBatchProcessor,
)
from tests.process import answering
from tests.waiting import DEADLINE_SECONDS

HOME = Path(__file__).parents[2]


RAISED = {
    "raise cancelled": "CancelledError: No luck today.",
    "raise interrupt": "KeyboardInterrupt: No luck today.",
    "raise exit": "SystemExit: No luck today.",
    "raise mute": "Mute.",
}
"""What a handler raises that is no usual error, and what is said then."""


def requests(*prompts: str, tenant: str = "default", profile: str = "plain") -> list[BatchRequest]:
    """One request for each prompt, numbered."""
    return [BatchRequest(str(number), prompt, tenant, profile) for number, prompt in enumerate(prompts)]


def kinds(results: Sequence[BatchResult]) -> list[str | None]:
    """The kind of failure of each, None of those that succeeded."""
    return [(result.metadata or {}).get("error_kind") for result in results]


def test_each_failure_is_that_of_one_request() -> None:
    """Whatever a function raises, answers or does to its process: the others of its chunk are answered."""
    bad = {
        "raise value": "validation",
        "exit": "crash",
        "hang": "timeout",
        "number": "validation",
        "set": "validation",
        "memory": "memory",
        "raise lost": "connection",
        "raise timeout": "timeout",
        **dict.fromkeys(RAISED, "unknown"),
        "fail x": "validation",
    }
    good = ("hello", "vector", "mapping x")
    processor = BatchProcessor(handler=answering.answer, timeout=2)
    results = processor.process_batch_parallel(requests(*good, *bad, "and on"))
    assert kinds(results) == [None] * 3 + [*bad.values()] + [None]
    assert [result.content for result in results[:3]] == ["0: hello", "1", "x"]
    assert results[1].hrv_vector == [1.0, 1.0]
    assert results[2].metadata == {"model": "m"}
    said = {prompt: result.error for prompt, result in zip(bad, results[3:], strict=False)}
    assert said["raise value"] == "ValueError: No luck today."
    assert said["exit"] is not None
    assert "ended its process, 2 times" in said["exit"]
    assert said["hang"] == "The handler did not answer within 2 s."
    assert said["number"] is not None
    assert said["number"].startswith("The handler answered int; it has to answer a text")
    assert [said[prompt] for prompt in RAISED] == list(RAISED.values())
    assert "answered list as its metadata" in (said["fail x"] or "")
    assert processor.performance_metrics["failed_requests"] == len(bad)
    assert processor.generate_performance_report()["error_analysis"]["total_errors"] == len(bad)


def test_one_that_kills_all_that_works_on_it_fails_alone() -> None:
    """The batch process, too: the others of its chunk are answered."""
    found = BatchProcessor(1, handler=answering.answer).process_batch_chunked(requests("a", "kill", "b", "c"))
    assert kinds(found) == [None, "crash", None, None]


def test_coroutines_while_an_event_loop_runs() -> None:
    """One that hangs is one failure; the loop of the caller waits."""

    async def main() -> list[BatchResult]:
        processor = BatchProcessor(handler=answering.answer_later, timeout=1)
        return processor.process_batch_parallel(requests("a", "hang", "raise value", *RAISED, "b"))

    found = asyncio.run(main())
    assert kinds(found) == [None, "timeout", "validation", *["unknown"] * len(RAISED), None]
    assert [result.error for result in found[3:-1]] == list(RAISED.values())


def test_a_handler_that_forks_answers_once(tmp_path: Path) -> None:
    """What returns in the fork is ended, and does none of the other requests."""
    path = tmp_path / "asked"
    given = requests("fork", *[f"append {path}"] * 8)
    results = BatchProcessor(2, handler=answering.answer).process_batch_chunked(given)
    assert [result.content for result in results] == [f"{request.id}: {request.prompt}" for request in given]
    assert sorted(path.read_text().split()) == [request.id for request in given[1:]]


def test_a_handler_works_in_the_folder_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a relative path means there what it means in the program, and nothing is left in a folder of ours."""
    monkeypatch.chdir(tmp_path)
    processor = BatchProcessor(handler=answering.answer, output=tmp_path / "output")
    assert kinds(processor.process_batch_parallel(requests("append mine.txt"))) == [None]
    assert (tmp_path / "mine.txt").read_text() == "0\n"


def test_a_task_may_answer(tmp_path: Path) -> None:
    """The prompt is its file; what it refuses is a failure."""
    (tmp_path / "a").write_text("a")
    found = BatchProcessor(handler="checksum").process_batch_chunked(
        requests(str(tmp_path / "a"), str(tmp_path / "none"))
    )
    assert kinds(found) == [None, "validation"]
    assert "sha256" in (found[0].content or "")


def test_the_order_of_sequential_and_of_priorities(tmp_path: Path) -> None:
    """One after the other as given; with priorities the highest number first, in work as in the list of results."""
    path = tmp_path / "order"
    processor = AdvancedBatchProcessor(1, 1, handler=answering.answer)
    processor.process_batch_sequential(requests(*[f"append {path}"] * 4))
    assert path.read_text().split() == ["0", "1", "2", "3"]
    path.unlink()
    ranks = {"a": 1, "b": 9, "c": None, "d": 5, "e": 9}
    given = [BatchRequest(name, f"append {path}", metadata={"rank": rank}) for name, rank in ranks.items()]
    found = processor.process_batch_with_priority(given, "rank")
    assert [result.id for result in found] == path.read_text().split() == ["b", "e", "d", "a", "c"]


def test_a_killed_call_goes_on(tmp_path: Path) -> None:
    """By the folder: what was answered is not asked again. Once all is returned, the same batch is asked anew."""
    asked, begun, output = tmp_path / "asked", tmp_path / "begun", str(tmp_path / "out")
    given = [*(BatchRequest(name, f"append {asked}") for name in "ab"), BatchRequest("c", f"once {begun}")]
    program = (
        "import os, threading; from pathlib import Path; from tests.waiting import until\n"
        "from pyprocessor.services import BatchProcessor, BatchRequest; from tests.process import answering\n"
        "def kill():\n"
        f"    until(Path({str(begun)!r}).exists)\n"
        "    os.kill(os.getpid(), 9)\n"
        "threading.Thread(target=kill).start()\n"
        f"BatchProcessor(1, 8, handler=answering.answer, output={output!r}).process_batch_chunked({given!r})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=HOME, check=False, timeout=DEADLINE_SECONDS, capture_output=True
    )
    assert ended.returncode == -9, ended.stderr
    processor = BatchProcessor(1, 8, handler=answering.answer, output=output)
    assert all(result.success for result in processor.process_batch_chunked(given))
    assert asked.read_text().split() == ["a", "b"]
    processor.process_batch_chunked(given[:2])
    assert sorted(asked.read_text().split()) == ["a", "a", "b", "b"]
    assert list((tmp_path / "out" / "answers").iterdir()) == []


def test_answers_outlast_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the folder is kept: of one tenant, for a time, by the function as it was; what is damaged is asked anew."""
    module = tmp_path / "module_of_a_handler.py"
    module.write_text("from tests.process.answering import answer\ndef ask(request): return answer(request)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(HOME))))
    log, output = tmp_path / "log", tmp_path / "out"

    def ask(*names: str, tenant: str = "x", **settings: Any) -> list[bool]:
        """Which of the answers a new processor, with nothing in its memory, has from the cache."""
        settings = {"handler": "module_of_a_handler:ask", "output": output, "max_workers": 1, **settings}
        given = [BatchRequest(name, f"append {log}", tenant, name) for name in names]
        found = OptimizedBatchProcessor(**settings).process_batch_optimized(given)
        assert [(result.id, result.content) for result in found] == [(name, f"{name}: append {log}") for name in names]
        return [bool((result.metadata or {}).get("cached")) for result in found]

    assert ask("a", "b") == [False, False]
    assert ask("b", "c", "a") == [True, False, True]
    assert ask("a", tenant="y") == [False]
    assert ask("a", cache_expiry_seconds=0.001) == [False]
    assert ask("a", enable_caching=False) == [False]
    assert ask("a", "b", cache_size=1) == [True, True]
    with closing(sqlite3.connect(output / ".pyprocessor" / "journal.sqlite3")) as raw, raw:
        assert raw.execute("SELECT count(*) FROM results").fetchone() == (4,)
        raw.execute("UPDATE results SET result = '[]'")
    assert ask("a") == [False]
    assert "damaged and is not used" in caplog.text
    assert ask("a") == [True]
    module.write_text(module.read_text() + "# changed\n")
    assert ask("a") == [False]
    assert ask("d", cache_size=1) == [False]
    assert ask("a") == [False], "it has made room"
    assert len(log.read_text().split()) == 10


def test_answers_of_a_module_that_changes_meanwhile_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be those of either version, so that the new one is asked anew."""
    module = tmp_path / "module_that_changes.py"
    module.write_text("def ask(request):\n    open(__file__, 'a').write('# changed\\n')\n    return request.prompt\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(HOME))))
    for _ in range(2):
        processor = OptimizedBatchProcessor(handler="module_that_changes:ask", output=tmp_path / "out", max_workers=1)
        (result,) = processor.process_batch_optimized([BatchRequest("a", "said", "x")])
        assert result.content == "said"
        assert "cached" not in (result.metadata or {})


def test_the_program_shown_runs(tmp_path: Path) -> None:
    """That of docs/services.md, whose handler lies in the script."""
    (shown,) = re.findall(r"```python\n(.*?)```", (HOME / "docs" / "services.md").read_text(), re.DOTALL)
    (tmp_path / "shown.py").write_text(shown)
    command = [sys.executable, str(tmp_path / "shown.py")]
    ended = subprocess.run(command, cwd=tmp_path, check=False, timeout=DEADLINE_SECONDS, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    *results, last = ended.stdout.splitlines()
    assert results == [
        "0 True One [9.0] None",
        "1 False None None ValueError: There is nothing to summarize.",
        "2 True Three [12.0] None",
        "3 True One [9.0] None",
    ]
    assert "'validation': {'count': 1" in last


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("tests.process.answering:nothing", "cannot be found"),
        ("no_such_module_here:answer", "No module named"),
        ("tests.process.answering:HOME", "cannot be found"),
        ("json:__name__", "is no function"),
        ("no-such-task", "There is no task named 'no-such-task'"),
        ("answer-requests", "made by other jobs only"),
        ("__main__:answer", "which other processes do not run"),
        (5, "has to be a function"),
        ({"url": "nonsense"}, "`url` must be an address"),
        ({"url": "https://here", "language": "en"}, "a chat API has no field `language`"),
        (lambda _, data=b"x" * 300_000: "", "let it read its data from a file"),
    ],
)
def test_a_handler_that_cannot_be(handler: object, said: str) -> None:
    """Is refused where it is named, in a sentence."""
    with pytest.raises(UsageError) as error:
        BatchProcessor(handler=handler)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert str(error.value).endswith(".")


def test_bad_requests_and_a_busy_folder(tmp_path: Path) -> None:
    """A request that cannot be sent is one failure; a folder that another queue works in is not touched."""
    processor = BatchProcessor(handler=answering.answer, output=tmp_path)
    bad = [BatchRequest("1", 5), BatchRequest("2", "x" * 600_000), BatchRequest("3", "x", metadata={"a": {1}})]  # type: ignore[arg-type]
    found = processor.process_batch_adaptive(bad)
    assert kinds(found) == ["validation"] * 3
    assert "600,0" in (found[1].error or "")
    assert processor.process_batch_adaptive([]) == []
    with pytest.raises(TypeError, match="A request is a BatchRequest"):
        processor.process_batch_parallel(["hello"])  # type: ignore[list-item]

    async def main() -> None:
        from pyprocessor.taskqueue import create_batch_processor

        queue = create_batch_processor(output=tmp_path)
        await queue.add_task("call", {"function": "json:dumps", "arguments": {"obj": 1}})
        with pytest.raises(OutputBusy):
            processor.process_single_request(BatchRequest("1", "x"))
        queue.close()

    asyncio.run(main())
