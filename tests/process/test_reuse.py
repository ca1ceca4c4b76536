"""Sources of the same content are done once: others get copies of what was made, files of their own, byte for byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.costs import calibration
from pyprocessor.errors import ExitCode
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.database import FILE_NAME
from pyprocessor.journal.journal import REUSED
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import RunRow
from pyprocessor.models import Chunking, JobState, OutcomeKind, Profile, TenantSettings, WatchSettings
from pyprocessor.profiles import load
from pyprocessor.state.journal_opening import change_without_run
from pyprocessor.workers.content import WHOLE_BYTES
from tests.acceptance.command import call_here
from tests.integration.worked import example_tasks
from tests.process.engines import Undertaking
from tests.process.queues import Queue
from tests.process.queues import ask as calling
from tests.process.runs import Recorder, partials, published, request, run, run_in_thread, states
from tests.process.steered import ask, slow_ffmpeg, standing
from tests.waiting import DEADLINE_SECONDS, until

__all__ = ["example_tasks"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="runs are ended by signals")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


def profile(**batch: Any) -> Profile:
    """The profile `fast`, some of its settings of batches changed."""
    usual = load("fast", environment={}).profile
    return replace(usual, batch=replace(usual.batch, **batch))


def twins(clip: Path, *names: str) -> None:
    """Copies of a clip beside it, byte for byte."""
    for name in names:
        shutil.copyfile(clip, clip.with_name(name))


def large(clip: Path, *, last: bytes = b"one") -> Path:
    """The clip with so much behind its end that only samples of it are read; `last` lies where none is taken."""
    size = clip.stat().st_size
    room = 2 * WHOLE_BYTES
    with clip.open("ab") as file:
        file.write((room + 8).to_bytes(4, "big") + b"free" + bytes(room))
    with clip.open("r+b") as file:
        file.seek(size + room // 2)
        file.write(last)
    return clip


def last_run(output: Path) -> RunRow:
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        found = journal.last_run()
    assert found is not None
    return found


def copies(output: Path) -> int:
    """How many events say that a job got a copy."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return sum(event.kind == REUSED for event in journal.events())


def encodes(output: Path) -> int:
    """How many attempts ran an ffmpeg of their own."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return sum(attempt.ffmpeg is not None for attempt in journal.attempts())


def test_identical_sources_are_encoded_once(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """One of three is encoded; the copies are equal files of their own, and each job has succeeded and says so."""
    clip = make_clip(tmp_path / "in" / "a.mp4")
    twins(clip, "b.mp4", "c.mp4")
    recorder = Recorder()
    assert run(request(tmp_path / "in", output, profile=profile()), recorder).exit_code == ExitCode.OK
    assert states(output) == dict.fromkeys((b"a.mp4", b"b.mp4", b"c.mp4"), JobState.SUCCEEDED)
    assert (encodes(output), copies(output)) == (1, 2)
    made = [output / name for name in sorted(published(output))]
    assert len({path.read_bytes() for path in made}) == 1
    assert len({path.stat().st_ino for path in made}) == 3
    ended = last_run(output)
    assert (ended.cache.lookups, ended.cache.hits) == (3, 2)
    assert ended.cache.saved_cpu_seconds > 0
    notes = [outcome.reason for _, outcome, _ in recorder.outcomes if outcome.kind is OutcomeKind.SUCCEEDED]
    assert sum("same content" in note for note in notes) == 2


def test_larger_sources_are_compared(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """Of three whose samples are the same, the one that differs by a byte between them is encoded."""
    clip = large(make_clip(tmp_path / "a.mp4"))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").symlink_to(clip)
    shutil.copyfile(clip, tmp_path / "in" / "b.mp4")
    large(make_clip(tmp_path / "in" / "c.mp4"), last=b"onf")
    assert run(request(tmp_path / "in", output, profile=profile())).exit_code == ExitCode.OK
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert (encodes(output), copies(output)) == (2, 1)


def test_what_another_run_made_is_copied(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """Also where its source is gone, unless that has to be compared; the cost model learns nothing of copies."""
    shutil.copyfile(make_clip(tmp_path / "one" / "small.mp4"), tmp_path / "small.mp4")
    shutil.copyfile(large(make_clip(tmp_path / "one" / "large.mp4")), tmp_path / "large.mp4")
    assert run(request(tmp_path / "one", output, profile=profile())).exit_code == ExitCode.OK
    learned = costs_learned()
    shutil.rmtree(tmp_path / "one")
    for name in ("small", "large"):
        (tmp_path / "two").mkdir(exist_ok=True)
        shutil.move(tmp_path / f"{name}.mp4", tmp_path / "two" / f"other {name}.mp4")
    recorder = Recorder()
    assert run(request(tmp_path / "two", output, profile=profile()), recorder).exit_code == ExitCode.OK
    assert (encodes(output), copies(output)) == (3, 1)
    assert (output / "small.mp4").read_bytes() == (output / "other small.mp4").read_bytes()
    assert any("other large.mp4 is done, not copied" in text for _, text in recorder.notices)
    assert costs_learned() == learned + 1
    ended = last_run(output)
    assert (ended.cache.lookups, ended.cache.hits) == (3, 1), "what could not be copied was looked up twice"


def test_a_product_that_was_changed_is_not_copied(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """It is made, and what is made then is what others get a copy of."""
    clip = make_clip(tmp_path / "in" / "a.mp4")
    assert run(request(tmp_path / "in", output, profile=profile())).exit_code == ExitCode.OK
    (output / "a.mp4").write_bytes(b"no film")
    for name in ("b", "c"):
        (tmp_path / name).mkdir()
        shutil.copyfile(clip, tmp_path / name / f"{name}.mp4")
        assert run(request(tmp_path / name, output, profile=profile())).exit_code == ExitCode.OK
    assert (encodes(output), copies(output)) == (2, 1)
    assert (output / "c.mp4").read_bytes() == (output / "b.mp4").read_bytes() != b"no film"


def test_another_profile_and_a_cache_that_is_off(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """Neither gets a copy."""
    clip = make_clip(tmp_path / "in" / "a.mp4")
    twins(clip, "b.mp4")
    assert run(request(tmp_path / "in", output, profile=profile(cache_size=0))).exit_code == ExitCode.OK
    assert (encodes(output), copies(output)) == (2, 0)
    other = load("proxy", environment={}).profile
    assert run(request(tmp_path / "in", output, profile=other)).exit_code == ExitCode.OK
    assert (encodes(output), copies(output)) == (3, 1), "the first of its profile, and a copy of that"
    assert last_run(output).cache.lookups == 2


@pytest.mark.parametrize("what", ["engine", "batch process"])
def test_a_kill_while_a_copy_is_made(
    what: str, tmp_path: Path, output: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run, or the same command, goes on: the copy is whole, and nothing is left of the first try."""
    twins(make_clip(tmp_path / "in" / "a.mp4"), "b.mp4")
    mark = tmp_path / "mark"
    monkeypatch.setenv("STOP_AT_COPY", str(mark))
    runs = Undertaking(tmp_path / "in", output, "forkserver")
    try:
        runs.start()
        until(lambda: mark.exists() and mark.read_text(), "a copy that is not compared yet")
        assert len(published(output)) == 1
        if what == "engine":
            runs.kill()
        else:
            os.kill(int(mark.read_text()), signal.SIGKILL)
        runs.finish()
    finally:
        runs.end()
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert (output / "a.mp4").read_bytes() == (output / "b.mp4").read_bytes()
    assert encodes(output) == 1
    assert partials(output) == []


def test_a_kill_while_others_wait_for_the_first(
    tmp_path: Path, output: Path, make_clip: Callable[..., Path], ffmpeg_path: str
) -> None:
    """Those that wait are done by the next run, which encodes one and copies it."""
    twins(make_clip(tmp_path / "in" / "a.mp4"), "b.mp4", "c.mp4")
    slow = slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.01)
    runs = Undertaking(tmp_path / "in", output, "forkserver", tool_path=slow)
    try:
        runs.start()
        runs.encoding(1)
        until(lambda: len(states(output)) == 3, "all of them to be known")
        assert len(runs.attempts()) == 1
        runs.kill()
        runs.tool_path = None
        runs.finish()
    finally:
        runs.end()
    assert set(states(output).values()) == {JobState.SUCCEEDED}
    assert (encodes(output), copies(output)) == (2, 2)


def test_a_film_that_is_made_of_parts(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """Its parts are not looked up, and the other film of the same content is copied whole."""
    twins(make_clip(tmp_path / "in" / "a.mp4", seconds=44.0, size="320x180", extra=["-g", "25"]), "b.mp4")
    divided = replace(profile(), chunking=Chunking.ALWAYS)
    assert run(request(tmp_path / "in", output, profile=divided)).exit_code == ExitCode.OK
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        (parent,) = {row.parent for row in journal.jobs() if row.parent}
        in_parts = sum(
            attempt.usage.cpu_seconds
            for child in journal.children(parent)
            for attempt in journal.attempts_of(child.id)
            if attempt.usage is not None
        )
    assert (output / "a.mp4").read_bytes() == (output / "b.mp4").read_bytes()
    assert (last_run(output).cache.lookups, last_run(output).cache.hits) == (2, 1)
    assert last_run(output).cache.saved_cpu_seconds >= in_parts > 0


def test_as_many_as_are_wanted(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """One that waits for another of the same content counts."""
    twins(make_clip(tmp_path / "in" / "a.mp4"), "b.mp4", "c.mp4")
    for made in (2, 3):
        assert run(request(tmp_path / "in", output, profile=profile(), limit=2)).exit_code == ExitCode.OK
        assert len(published(output)) == made
    assert (encodes(output), copies(output)) == (1, 2)


def test_what_comes_into_a_watched_folder(tmp_path: Path, output: Path, make_clip: Callable[..., Path]) -> None:
    """It is copied from what the same run made before."""
    clip = make_clip(tmp_path / "in" / "a.mp4")
    often = replace(profile(), watch=WatchSettings(0.5))
    asked = request(tmp_path / "in", output, profile=often, watch=True)
    thread, results = run_in_thread(asked, Recorder())
    until(lambda: len(published(output)) == 1, "the first")
    twins(clip, "b.mp4")
    until(lambda: len(published(output)) == 2, "the copy")
    until(lambda: copies(output) == 1, "the event of that")
    assert ask(output, "stop") is not None
    thread.join(DEADLINE_SECONDS)
    assert (encodes(output), [result.exit_code for result in results]) == (1, [ExitCode.OK])


# ------------------------------------------------------------ jobs of any task


@pytest.fixture
def queue(tmp_path: Path, example_tasks: Path) -> Queue:
    """No jobs yet."""
    return Queue(tmp_path)


def once(
    queue: Queue, key: str, *, task: str = "words-once", text: str = "to be or not", **more: Any
) -> dict[str, Any]:
    """The document of a job that logs when it is done, whose input is a file of its own."""
    folder = queue.output.parent
    (folder / key).write_text(text)
    return {"task": task, "key": key, "inputs": [str(folder / key)], "params": {"log": str(folder / "log")}, **more}


def done(queue: Queue) -> int:
    """How many jobs were really done."""
    log = queue.output.parent / "log"
    return len(log.read_text().split()) if log.exists() else 0


def settings(**batch: Any) -> Profile:
    plain = Profile("test", "f")
    return replace(plain, batch=replace(plain.batch, **batch))


def test_products_and_results_of_any_task(queue: Queue) -> None:
    """Two products, or a result alone: jobs of the same content have the same."""
    queue.submit(*(once(queue, f"{task} {n}", task=task) for task in ("words-once", "count-once") for n in range(3)))
    assert queue.run() == ExitCode.OK
    assert done(queue) == 2
    assert {row.result for row in queue.rows().values()} == {'{"words":4}'}
    assert {(queue.output / f"words-once {n}.counts").read_text() for n in range(3)} == {"be 1\nnot 1\nor 1\nto 1"}
    assert (last_run(queue.output).cache.lookups, last_run(queue.output).cache.hits) == (6, 4)


@pytest.mark.parametrize("shared", [False, True])
def test_tenants_get_copies_of_their_own_results(queue: Queue, shared: bool) -> None:
    """And of each other's only where the user wants that."""
    tenants = ("x", "y", "x")
    queue.submit(*(once(queue, f"{tenant}{n}", tenant=tenant) for n, tenant in enumerate(tenants)))
    assert queue.run(profile=settings(share_results=shared)) == ExitCode.OK
    assert done(queue) == (1 if shared else 2)


def test_an_urgent_job_waits_for_no_idle_one(queue: Queue) -> None:
    """It is done first, and the idle one gets a copy."""
    queue.submit(once(queue, "idle", priority=12), once(queue, "urgent", priority=1))
    assert queue.run() == ExitCode.OK
    urgent = queue.rows()["urgent"].id
    assert (queue.output.parent / "log").read_text().split() == [urgent]


def test_what_is_asked_for_again_is_done_again(queue: Queue) -> None:
    """Both the job that others have copies of, and one that had a copy."""
    documents = [once(queue, "a"), once(queue, "b")]
    queue.submit(*documents)
    assert queue.run() == ExitCode.OK
    assert done(queue) == 1
    for number, document in enumerate(documents, start=2):
        with change_without_run(os.fsencode(queue.output), print) as journal:
            found = submissions([document], queue="q")
            journal.submit(found, again=[given.job.id for given in found])
        assert queue.run() == ExitCode.OK
        assert done(queue) == number


def test_results_that_are_too_old_or_too_many(queue: Queue) -> None:
    """A result is reused for a time, and the one that was not used for longest makes room."""
    queue.submit(once(queue, "a"))
    assert queue.run() == ExitCode.OK
    queue.submit(once(queue, "b"))
    assert queue.run(profile=settings(cache_expiry_seconds=0.0)) == ExitCode.OK
    assert done(queue) == 2
    queue.submit(once(queue, "c", text="something else"))
    assert queue.run(profile=settings(cache_size=1)) == ExitCode.OK
    assert len(kept(queue)) == 1
    queue.submit(once(queue, "d"), once(queue, "e", text="something else"))
    assert queue.run() == ExitCode.OK
    assert done(queue) == 4, "d is done, as its result made room, and e is a copy"


@pytest.mark.parametrize(
    "how", ["'[3]'", "replace(hex(zeroblob(50000)), '0', '[')", "replace(result, 'YQ==', 'L2V0Yy9wYXNzd2Q=')"]
)
def test_a_damaged_result_is_replaced(queue: Queue, how: str) -> None:
    """Also one with a product elsewhere: the job is done, and the user reads why."""
    queue.submit(once(queue, "a"))
    assert queue.run() == ExitCode.OK
    with closing(sqlite3.connect(os.path.join(queue.folder.path, FILE_NAME))) as raw, raw:
        raw.execute(f"UPDATE results SET result = {how}")
    queue.submit(once(queue, "b"))
    assert queue.run() == ExitCode.OK
    assert done(queue) == 2
    (said,) = (text for level, text in queue.listener.notices if level == "warning")
    assert "keeps for reuse is damaged and is not used" in said
    queue.submit(once(queue, "c"))
    assert queue.run() == ExitCode.OK
    assert done(queue) == 2, "c is a copy of b"


def test_one_that_fails_holds_nobody_up(queue: Queue) -> None:
    """Each of the same content is tried, as each may fail for a cause of its own."""
    bad = [once(queue, str(n), text="") for n in range(3)]
    for document in bad:
        document["params"]["log"] = str(queue.output.parent / "no folder" / "log")
    queue.submit(*bad)
    assert queue.run() == ExitCode.SOME_FAILED
    assert set(queue.states().values()) == {"failed"}


def test_once_one_has_failed_the_others_are_done_side_by_side(queue: Queue) -> None:
    """Else each of many would fail after the one before it: the other two are begun at once here."""
    log = {"log": str(queue.output.parent / "log")}
    waits = {**log, "lines": 3, "seconds": DEADLINE_SECONDS, "first_fails": True}
    params = {**log, "before": ["see_lines", waits]}
    queue.submit(*(once(queue, str(n), params=params, max_retries=0) for n in range(3)))
    assert queue.run(profile=settings(most_jobs=2)) == ExitCode.SOME_FAILED
    assert sorted(queue.states().values()) == ["failed", "succeeded", "succeeded"]
    assert done(queue) == 3


def test_nobody_waits_for_a_tenant_that_has_used_up_its_time(queue: Queue) -> None:
    """Its job is left for the next run; one of another tenant, of the same content, is done."""
    spent = {"cpu_seconds": 0.6, "memory_bytes": 16 << 20, "disk_bytes": 0}
    burn = {"function": "noop", "arguments": {}, "cost": spent}
    queue.submit(
        {"task": "ask", "key": "burns", "tenant": "small", "params": burn, "priority": -2},
        once(queue, "of small", tenant="small", priority=-1),
        once(queue, "of other", tenant="other"),
    )
    limits = {"tenants": (("small", TenantSettings(max_cpu_seconds=0.0001)), ("other", TenantSettings()))}
    assert queue.run(profile=settings(share_results=True, **limits)) == ExitCode.TRY_AGAIN
    assert queue.states() == {"burns": "succeeded", "of small": "pending", "of other": "succeeded"}


def test_nobody_waits_for_one_that_was_put_off(queue: Queue) -> None:
    """It was the first of its content when it was submitted again, for a later time."""
    goes_on, again = queue.output.parent / "goes on", queue.output.parent / "again.json"
    documents = {key: once(queue, key) for key in "ab"}
    queue.submit({**calling("busy", function="wait_for", path=str(goes_on)), "priority": -1}, *documents.values())

    def known() -> str:
        """The first of its content, once the other is known, too."""
        found = standing(queue.output)
        first = (found.get("next") or {}).get("name", "")
        return first if first in documents and found["snapshot"]["total"] == 3 else ""

    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(queue.run, profile=settings(most_jobs=1))
        try:
            first = until(known, "a job that waits for its turn")
            again.write_text(json.dumps([{**documents[first], "not_before": 4e9}]))
            said = call_here("submit", again, "--output", queue.output, "--queue", "q")
            assert "1 jobs taken in" in said.stdout, said
        finally:
            goes_on.touch()
        assert run.result() == ExitCode.TRY_AGAIN
    assert queue.states() == {"busy": "succeeded", "a": "succeeded", "b": "succeeded", first: "pending"}


def test_a_deadline_is_not_missed_by_waiting(queue: Queue) -> None:
    """What would be late after another one of the same content is begun beside it, or before it."""
    log = {"log": str(queue.output.parent / "log")}
    params = {**log, "cpu_seconds": 10_000.0, "before": ["see_lines", {**log, "lines": 2, "seconds": DEADLINE_SECONDS}]}
    queue.submit(*(once(queue, key, params=params, deadline=time.time() + 5_000) for key in "ab"))
    assert queue.run(profile=settings(most_jobs=2)) == ExitCode.OK
    assert done(queue) == 2


def test_the_report_has_what_was_saved(queue: Queue) -> None:
    """As text and as JSON."""
    queue.submit(once(queue, "a"), once(queue, "b"))
    assert queue.run() == ExitCode.OK
    said = call_here("report", "--output", queue.output).stdout
    assert "1 of 2 lookups hit (50.0%)" in said
    assert "1 file of these, from results of the same content" in said
    document = json.loads(call_here("report", "--output", queue.output, "--format", "json").stdout)
    cache = document["analysis"]["cache"]
    assert (cache["lookups"], cache["hits"], cache["hit_percent"]) == (2, 1, 50.0)


def kept(queue: Queue) -> list[str]:
    """The keys of the results that the journal keeps."""
    with closing(sqlite3.connect(os.path.join(queue.folder.path, FILE_NAME))) as raw:
        return [key for (key,) in raw.execute("SELECT key FROM results")]


def costs_learned() -> int:
    """How many attempts the cost model has learned from."""
    found = calibration.load(calibration.default_path())
    return sum(history.count for history in found.model.classes.values())
