"""Calls of Python functions that a worker makes for tasks of another package, in processes of its own."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pyprocessor.errors import FailureKind
from pyprocessor.models import OutcomeKind
from pyprocessor.workers import worker
from pyprocessor.workers.messages import Answered, Command, Ended, HandedBack, Progressed, Published, Spawned, Verified
from tests.integration.worked import Bench, example_tasks
from tests.waiting import DEADLINE_SECONDS, until

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A worker with one slot, in a thread."""
    made = Bench(tmp_path)
    yield made
    made.worker.kill()


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[Bench]:
    """A worker with three slots, in a thread."""
    made = Bench(tmp_path, slots=3)
    yield made
    made.worker.kill()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Bench]:
    """A worker with one slot, in a process of its own."""
    made = Bench(tmp_path, own_process=True)
    yield made
    made.worker.kill()


def failure(bench: Bench, item: Any) -> tuple[FailureKind | None, str]:
    """The kind and sentence of a job that fails; the next one is done all the same, and nothing is left."""
    ended = bench.end_of(item)
    assert isinstance(ended, Ended), ended
    assert ended.outcome.kind is OutcomeKind.FAILED
    assert isinstance(bench.end_of(bench.ask("noop")), Answered)
    until(lambda: not bench.left(), bench.left)
    return ended.outcome.failure, ended.outcome.reason


# ---------------------------------------------------------------- what goes well


@pytest.mark.parametrize("own_process", [False, True], ids=["thread", "process"])
def test_a_call_makes_two_products_and_a_result(tmp_path: Path, own_process: bool) -> None:
    """Both get their names once they are granted, wherever the worker runs."""
    text = tmp_path / "a.txt"
    text.write_text("so much so")
    bench = Bench(tmp_path, own_process=own_process)
    item = bench.item("words", None, (text,))
    bench.worker.send(item)
    ended = bench.end_of(item)
    assert isinstance(ended, Published), ended
    assert (bench.output / "made-1.txt").read_text() == "SO MUCH SO"
    assert (bench.output / "made-1.txt.counts").read_text() == "much 1\nso 2"
    assert bench.first(Verified, item).result == '{"words":3}'
    assert {intent.product.role for intent in bench.first(Verified, item).intents} == {"main", "counts"}
    assert ended.usage.cpu_seconds > 0
    assert ended.usage.peak_memory_bytes > 1 << 20
    assert bench.left() == []
    bench.close()


def test_a_job_without_products_is_answered_at_once(bench: Bench) -> None:
    """Nothing is to be granted."""
    ended = bench.end_of(bench.ask("noop", arguments={"a": [1, "ü", None]}))
    assert isinstance(ended, Answered)
    assert ended.result == '{"a":[1,"\\u00fc",null]}'


def test_a_process_is_kept_for_calls_of_one_affinity(bench: Bench) -> None:
    """By default those of one function; the peak of memory is each call's own."""
    first, large, again = (bench.end_of(bench.ask("grow", arguments={"megabytes": size})).usage for size in (1, 200, 1))
    pids = {message.process.pid for message in bench.told if isinstance(message, Spawned)}
    assert len(pids) == 1
    assert large.peak_memory_bytes > 200 << 20
    assert max(first.peak_memory_bytes, again.peak_memory_bytes) < 150 << 20
    shared = [bench.end_of(bench.ask(name, affinity="model")).result for name in ("say_pid", "noop", "say_pid")]
    assert shared[0] == shared[2]
    assert int(shared[0]) not in pids
    assert not psutil.pid_exists(pids.pop()), "with one slot it keeps one process"


def test_what_a_call_leaves_behind_is_not_taken_for_the_next_ones(bench: Bench) -> None:
    """Memory that nobody needs goes back to the system before the next call begins."""
    left, again = (
        bench.end_of(bench.ask(name, arguments={"megabytes": size}, affinity="one")).usage
        for name, size in (("litter", 200), ("grow", 1))
    )
    assert left.peak_memory_bytes > 190 << 20
    assert again.peak_memory_bytes < 100 << 20


def test_an_idle_process_ends_when_memory_is_wanted(bench: Bench) -> None:
    """And when the batch ends."""
    pid = int(bench.end_of(bench.ask("say_pid")).result)
    bench.worker.send(Command.FREE)
    until(lambda: not psutil.pid_exists(pid), "the end of the idle process")
    pid = int(bench.end_of(bench.ask("say_pid")).result)
    bench.close()
    assert not psutil.pid_exists(pid)


def test_a_process_that_becomes_idle_while_memory_is_short_ends(bench: Bench) -> None:
    """The engine holds the worker meanwhile."""
    marker = bench.output / "marker"
    item = bench.ask("count_to", arguments={"number": 5, "marker": str(marker)})
    spawned = bench.message(lambda told: isinstance(told, Spawned), "the process")
    bench.worker.send(Command.HOLD)
    marker.touch()
    assert isinstance(bench.end_of(item), Answered)
    until(lambda: not psutil.pid_exists(spawned.process.pid), "the end of the idle process")


def test_coroutines_share_their_memory(wide: Bench) -> None:
    """Each is charged a part of what their process takes, and says whether that was there before."""
    items = [wide.ask("nap_or_die", arguments=_meeting(wide), coroutine=True) for _ in range(3)]
    peaks = [wide.end_of(item).usage.peak_memory_bytes for item in items]
    alone = wide.end_of(wide.ask("nap", arguments={"seconds": 0.0}, coroutine=True)).usage.peak_memory_bytes
    assert min(peaks) < 0.5 * alone
    spawned = [message for message in wide.told if isinstance(message, Spawned)]
    assert [(message.call, message.warm) for message in spawned[:3]] == [(True, False), (True, True), (True, True)]


def test_coroutines_share_a_process(wide: Bench) -> None:
    """They wait at the same time, which three calls one after the other could not."""
    items = [wide.ask("nap_or_die", arguments=_meeting(wide), coroutine=True) for _ in range(3)]
    results = {wide.end_of(item).result for item in items}
    assert len(results) == 1


def test_progress_is_reported(bench: Bench) -> None:
    """As the function reports it."""
    marker = bench.output / "marker"
    item = bench.ask("count_to", arguments={"number": 5, "marker": str(marker)})
    wanted = bench.message(lambda told: isinstance(told, Progressed) and told.done == 4.0, "the last report")
    assert (wanted.token, wanted.total) == (item.token, 5.0)
    marker.touch()
    assert bench.end_of(item).result == "4"


def test_a_process_for_calls_starts_light() -> None:
    """It is started for a call of a few milliseconds: it imports none of what the engine, tasks and ffmpeg need."""
    program = "import sys, pyprocessor.workers.call_main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=True
    )
    imported = set(done.stdout.split())
    assert "pyprocessor.workers.call_main" in imported
    heavy = {"av", "click", "psutil", "asyncio", "subprocess", "multiprocessing", "dataclasses", "traceback", "logging"}
    ours = {"engine", "models", "tasks", "ffmpeg", "workers.worker"}
    assert imported.isdisjoint(heavy | {f"pyprocessor.{name}" for name in ours})


# ---------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("function", "call", "kind", "words"),
    [
        ("fail", {"text": "a\nb"}, FailureKind.BAD_INPUT, "raised ValueError: a b"),
        ("refuse", {"kind": "unavailable"}, FailureKind.UNAVAILABLE, "The service is closed."),
        ("miss", {"path": "/no/such"}, FailureKind.BAD_INPUT, "/no/such"),
        ("lose_connection", {}, FailureKind.UNAVAILABLE, "raised ConnectionResetError: [Errno 104] Connection reset"),
        ("ask_nobody", {"port": 1}, FailureKind.UNAVAILABLE, "the service has no answer"),
        ("break_off", {"number": errno.EHOSTUNREACH}, FailureKind.UNAVAILABLE, "No route to host"),
        ("break_off", {"number": errno.ENOSPC}, FailureKind.INFRASTRUCTURE, "No space left"),
        ("break_off", {"number": errno.EIO, "path": "/elsewhere/file"}, FailureKind.INFRASTRUCTURE, "/elsewhere/file"),
        ("break_off", {"number": errno.ENOTCONN, "path": "/mnt/share"}, FailureKind.UNAVAILABLE, "/mnt/share"),
        ("break_off", {"number": errno.EACCES, "path": "/root/x"}, FailureKind.PERMISSION, "/root/x"),
        ("leave", {"code": 3, "hard": False}, FailureKind.CRASH, "sys.exit(3)"),
        ("leave", {"code": 3, "hard": True}, FailureKind.CRASH, "ended with exit code 3"),
        ("leave", {"code": 0, "hard": True}, FailureKind.CRASH, "ended with exit code 0"),
        ("die", {"number": signal.SIGSEGV}, FailureKind.CRASH, "was killed by SIGSEGV"),
        ("nowhere", {}, FailureKind.UNSUPPORTED, "cannot be found"),
        ("HERE", {}, FailureKind.UNSUPPORTED, "is no function"),
        ("noop", {"a": {1, 2}}, FailureKind.UNSUPPORTED, "arguments that are no JSON"),
        ("noop", {"a": "x" * (1 << 20)}, FailureKind.UNSUPPORTED, "arguments of 1,048"),
        ("fail", {"unknown": 1}, FailureKind.CRASH, "unexpected keyword argument"),
        ("babble", {"what": "garbage"}, FailureKind.UNSUPPORTED, "what is no answer"),
        ("babble", {"what": "endless"}, FailureKind.UNSUPPORTED, "an answer of more than"),
        ("babble", {"what": "stranger"}, FailureKind.UNSUPPORTED, "what is no answer"),
        ("answer", {"what": "bytes"}, FailureKind.UNSUPPORTED, "returned what is no JSON"),
        ("answer", {"what": "nan"}, FailureKind.UNSUPPORTED, "returned what is no JSON"),
        ("answer", {"what": "large"}, FailureKind.UNSUPPORTED, "returned 70,002 bytes"),
        ("nap", {"seconds": 0.0}, FailureKind.UNSUPPORTED, "is async"),
    ],
)
def test_a_call_that_fails_fails_its_job_alone(
    bench: Bench, function: str, call: dict[str, Any], kind: FailureKind, words: str
) -> None:
    """With a sentence, and a log that says which call it was; the next call is made as if nothing had been."""
    item = bench.ask(function, arguments=call)
    failed, reason = failure(bench, item)
    assert (failed, words in reason) == (kind, True), (failed, reason)
    assert f"pyprocessor_example:{function}" in bench.log_of(item)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_call_that_the_output_refuses_is_a_failure_of_the_disk(bench: Bench, number: int) -> None:
    """Where the error names a file in there, or a folder that takes nothing shows it."""
    item = bench.ask("break_off", arguments={"number": number, "path": str(bench.output / "file")})
    assert failure(bench, item)[0] is FailureKind.DISK


def test_a_call_that_is_no_coroutine_is_refused_as_one(bench: Bench) -> None:
    """Others would wait for it."""
    kind, reason = failure(bench, bench.ask("noop", coroutine=True))
    assert (kind, "is not async" in reason) == (FailureKind.UNSUPPORTED, True)


def test_a_task_may_forgive_a_failure(bench: Bench) -> None:
    """It is raised where the task waits for the call."""
    ended = bench.end_of(bench.ask("fail", arguments={"text": "no", "forgiven": True}))
    assert "forgiven: pyprocessor_example:fail raised ValueError: no" in ended.result


def test_a_call_may_print_without_end(bench: Bench) -> None:
    """The log keeps the beginning and the end of it, and says how much it left out; of this call only."""
    quiet = bench.ask("fail_after", arguments={"lines": 1, "closing": "first"}, affinity="one")
    loud = bench.ask("fail_after", arguments={"lines": 200_000, "closing": "last words"}, affinity="one")
    failure(bench, loud)
    log = bench.log_of(loud)
    assert len(log) < 64_000
    assert ("line 0" in log, "bytes left out" in log, "last words" in log, "enough" in log) == (True, True, True, True)
    assert "last words" not in bench.log_of(quiet)
    assert "first" in bench.log_of(quiet)


def test_a_call_that_outgrows_its_memory_fails_alone(bench: Bench) -> None:
    """The same process makes the next call, with the memory that this one may use."""
    item = bench.ask("grow", arguments={"megabytes": 600}, memory_bytes=300 << 20)
    ended = bench.end_of(item)
    assert (ended.outcome.failure, "ran out of the memory" in ended.outcome.reason) == (FailureKind.RESOURCE, True)
    assert bench.end_of(bench.ask("grow", arguments={"megabytes": 400})).result == str(400 << 20)
    assert len({told.process.pid for told in bench.told if isinstance(told, Spawned)}) == 1


@pytest.mark.parametrize("deaf", [False, True])
def test_a_call_that_never_returns_is_ended(bench: Bench, deaf: bool) -> None:
    """By SIGTERM, and where it ignores that by SIGKILL."""
    kind, reason = failure(bench, bench.ask("never", arguments={"deaf": deaf}, timeout_seconds=0.5))
    assert (kind, "did not return within 0.5 s" in reason) == (FailureKind.STALL, True), reason


def test_the_jobs_own_limit_holds_for_calls(bench: Bench) -> None:
    """As it does for ffmpegs, where the call has no shorter one."""
    kind, _ = failure(bench, bench.ask("never", wall_limit_seconds=0.5))
    assert kind is FailureKind.STALL


@pytest.mark.parametrize("limit", [0.5, 0.0], ids=["as it runs", "before it begins"])
def test_a_coroutine_that_takes_too_long_is_cancelled_alone(wide: Bench, limit: float) -> None:
    """The process and the others in it go on."""
    slow = wide.ask("nap", arguments={"seconds": 3600}, coroutine=True, timeout_seconds=limit)
    meeting = _meeting(wide)
    first = wide.ask("nap_or_die", arguments=meeting, coroutine=True, affinity="pyprocessor_example:nap")
    ended = wide.end_of(slow)
    assert (ended.outcome.failure, f"within {limit} s" in ended.outcome.reason) == (FailureKind.STALL, True)
    others = [
        wide.ask("nap_or_die", arguments=meeting, coroutine=True, affinity="pyprocessor_example:nap") for _ in range(2)
    ]
    assert len({wide.end_of(item).result for item in (first, *others)}) == 1


def test_when_a_shared_process_dies_each_call_is_repeated_alone(wide: Bench) -> None:
    """Only the one that is to blame fails."""
    items = [
        wide.ask("nap_or_die", arguments={**_meeting(wide), "seconds": 1.0, "dies": dies}, coroutine=True)
        for dies in (False, True, False)
    ]
    ends = [wide.end_of(item) for item in items]
    assert [type(end) for end in ends] == [Answered, Ended, Answered]
    assert "exit code 7" in ends[1].outcome.reason
    assert ends[0].result != ends[2].result, "alone means in a process of its own"


@pytest.mark.parametrize(
    ("kill", "clean"), [(False, False), (False, True), (True, False)], ids=["marked", "unmarked", "killed"]
)
def test_what_a_call_leaves_behind_does_not_outlive_the_worker(process: Bench, kill: bool, clean: bool) -> None:
    """A process with a session of its own is adopted by the worker; where that is killed, the mark finds it."""
    marker = process.output / "marker"
    assert isinstance(
        process.end_of(process.ask("daemonize", arguments={"marker": str(marker), "clean": clean})), Answered
    )
    pid = int(marker.read_text())
    assert os.getsid(pid) == pid
    if kill:
        process.worker.kill()
    else:
        process.close()
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", "the end of the daemon")


def test_a_thread_that_a_call_leaves_does_not_keep_the_worker(process: Bench) -> None:
    """Its process would wait for the thread, and is killed."""
    ended = process.end_of(process.ask("leave_thread"))
    assert isinstance(ended, Answered), ended
    process.close()
    assert not psutil.pid_exists(int(ended.result))


def test_a_call_that_forks_answers_once(process: Bench) -> None:
    """The new process returns from the function as well, and is not taken for the one that was asked."""
    marker = process.output / "marker"
    item = process.ask("fork", arguments={"marker": str(marker)})
    assert process.end_of(item).result == marker.read_text()
    assert isinstance(process.end_of(process.ask("noop")), Answered)
    process.close()
    assert sum(isinstance(told, Answered) for told in process.told) == 2


# ---------------------------------------------------------------- tasks that break the rules


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        ("raises", FailureKind.INFRASTRUCTURE, "this task is broken"),
        ("exits", FailureKind.INFRASTRUCTURE, "SystemExit(3)"),
        ("yields nothing", FailureKind.UNSUPPORTED, "yields nothing"),
        ("yields no step", FailureKind.UNSUPPORTED, "yields str where a step was expected"),
        ("returns nothing", FailureKind.UNSUPPORTED, "returned NoneType"),
        ("claims another's file", FailureKind.UNSUPPORTED, "not in its folder"),
        ("claims what it did not make", FailureKind.UNSUPPORTED, "did not make"),
        ("claims a link", FailureKind.UNSUPPORTED, "is no file"),
        ("claims what was not planned", FailureKind.UNSUPPORTED, "was not planned"),
        ("makes no main product", FailureKind.UNSUPPORTED, "without its main product"),
        ("does not end", FailureKind.UNSUPPORTED, "yields str where a step was expected"),
        ("returns no JSON", FailureKind.UNSUPPORTED, "no JSON"),
        ("returns too much", FailureKind.UNSUPPORTED, "70,002 bytes"),
    ],
)
def test_a_bad_task_fails_its_job_alone(bench: Bench, rule: str, kind: FailureKind, words: str) -> None:
    """With a sentence that names the task; nothing is published."""
    item = bench.item("bad", rule)
    bench.worker.send(item)
    failed, reason = failure(bench, item)
    assert (failed, words in reason) == (kind, True), (failed, reason)
    assert sorted(path.name for path in bench.output.iterdir()) == [".pyprocessor"]


# ---------------------------------------------------------------- orders


@pytest.mark.parametrize("own_process", [False, True], ids=["thread", "process"])
def test_a_worker_says_what_its_calls_take(tmp_path: Path, own_process: bool) -> None:
    """Now, by the pids that it reported, and nothing of one that has ended."""
    bench = Bench(tmp_path, own_process=own_process)
    item = bench.ask("grow", arguments={"megabytes": 100, "seconds": DEADLINE_SECONDS})
    pid = bench.first(Spawned, item).process.pid
    until(lambda: bench.worker.usage([pid])[pid].memory_bytes > 100 << 20, "its memory")
    assert bench.worker.usage([pid])[pid].cpu_seconds > 0
    bench.order(item, "kill")
    assert bench.end_of(item).outcome.kind is OutcomeKind.SHED
    assert not bench.worker.usage([pid])
    bench.worker.kill()


def test_a_call_is_suspended_resumed_and_shed(bench: Bench) -> None:
    """By the messages that do so with an ffmpeg."""
    item = bench.ask("never")
    pid = bench.first(Spawned, item).process.pid
    for act, wanted in (("suspend", True), ("resume", False)):
        bench.order(item, act)
        until(lambda wanted=wanted: (psutil.Process(pid).status() == "stopped") is wanted, "the change")
    bench.order(item, "kill")
    assert bench.end_of(item).outcome.kind is OutcomeKind.SHED
    assert isinstance(bench.end_of(bench.ask("never", timeout_seconds=0.1)), Ended)


def test_ending_interrupts_calls(wide: Bench) -> None:
    """Their jobs are queued again, those not started as well."""
    running = [wide.ask("never") for _ in range(3)]
    for item in running:
        wide.first(Spawned, item)
    waiting = wide.ask("noop")
    wide.worker.send(Command.END)
    assert {wide.end_of(item).outcome.kind for item in running} == {OutcomeKind.INTERRUPTED}
    back = wide.message(lambda told: isinstance(told, HandedBack), "what was not started")
    assert [(job.job_id, job.token) for job in back.jobs] == [(waiting.job_id, waiting.token)]


def test_calls_end_with_an_engine_that_is_gone(process: Bench) -> None:
    """A worker whose pipe closes ends its calls and what they left behind."""
    marker = process.output / "marker"
    process.ask("never", arguments={"marker": str(marker), "deaf": True})
    until(lambda: marker.exists() and marker.read_text(), "the call")
    process.worker.connection.close()
    until(lambda: not psutil.pid_exists(int(marker.read_text())), "the end of the call")


def _meeting(bench: Bench) -> dict[str, Any]:
    return {"marker": str(bench.output / "meeting"), "seconds": 0.0, "dies": False}


def test_what_ends_at_once_leaves_its_slot_to_the_next(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the worker hears of nothing meanwhile: it does not sleep while it has a job and a slot."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 10 * DEADLINE_SECONDS)
    (text := tmp_path / "text").write_text("a b")
    items = [bench.item("words-once", {"log": str(tmp_path / "none" / "log")}, (text,)) for _ in range(3)]
    bench.worker.send(*items)
    assert [bench.end_of(item).outcome.failure for item in items] == [FailureKind.INFRASTRUCTURE] * 3
    bench.close()
