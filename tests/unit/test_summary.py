"""The closing summary, read from a real journal."""

from __future__ import annotations

import base64
import io
import json
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pyprocessor.cli.run_summary import until
from pyprocessor.errors import FailureKind
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.journal import Journal
from pyprocessor.models import (
    Cost,
    Job,
    Outcome,
    OutcomeKind,
    OutputFacts,
    PlannedBatch,
    PlannedFile,
    PlanReport,
    ProcessIdentity,
    SkippedFile,
    Source,
    Usage,
    job_id,
    submitted_id,
)
from pyprocessor.models.wording import clock, duration, memory_size, one_line, size
from pyprocessor.report import summary
from pyprocessor.report.plan import plan_json, plan_text
from pyprocessor.report.wording import about, columns, shortened
from tests.integration.worked import example_tasks

__all__ = ["example_tasks"]

ENGINE = ProcessIdentity(4711, 1000.0)
WORKER = ProcessIdentity(4712, 1001.0)
COST = Cost(cpu_seconds=2.0, memory_bytes=100_000_000, disk_bytes=1_000_000)
FACTS = OutputFacts(250_000, 1, 10.0, 1, 1, 0, 250)


class Clock:
    """A clock that goes one second further at each look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal in which a run has begun."""
    with Journal.open(bytes(tmp_path), wal=True, clock=Clock()) as opened:
        opened.begin_run("--input in --output out", ENGINE)
        yield opened


def add(journal: Journal, name: bytes, task: str = "transcode") -> str:
    """Plan one job of a task for the file of that name."""
    path = b"/in/" + name
    job = Job(
        id=job_id(path, task),
        task=task,
        source=Source(path, name, 1_000_000, 1),
        output=name + b".mp4",
        params_fingerprint="f",
        cost=COST,
    )
    assert journal.plan(job, media_seconds=10.0, profile_name="default") is not None
    return job.id


def start(journal: Journal, job: str) -> int:
    """Assign the job to a batch and start an attempt."""
    assert journal.assign([job], batch_id=1) == (job,)
    attempt = journal.start(job, WORKER, threads=1, predicted=COST)
    assert attempt is not None
    return attempt


def succeed(journal: Journal, name: bytes, *losses: str, result: object = None, task: str = "transcode") -> str:
    """Take one file all the way; its output has these kinds of loss, its task answers `result`."""
    job = add(journal, name, task)
    attempt = start(journal, job)
    facts = replace(FACTS, losses=losses)
    assert journal.grant(job, attempt, facts, result=json.dumps(result))
    assert journal.succeed(job, attempt, facts, Usage(3.0, 4.0, 150_000_000))
    return job


def fail(journal: Journal, name: bytes, reason: str) -> str:
    """Let one file fail."""
    job = add(journal, name)
    attempt = start(journal, job)
    assert journal.finish(job, attempt, Outcome(OutcomeKind.FAILED, reason, FailureKind.BAD_INPUT))
    return job


def no_log(_: str) -> bytes | None:
    return None


def summed(journal: Journal) -> summary.Summary:
    run = journal.last_run()
    assert run is not None
    return summary.summarise(journal, run, now=run.started_at + 20.0, log_of=no_log)


def test_warnings_of_results_are_told(journal: Journal) -> None:
    """The first one of each file; of what is no list of texts nothing."""
    succeed(journal, b"a", result={"warnings": ["No words were recognized."]})
    succeed(journal, b"b", result={"warnings": ["One.", "Two.", "Three."]})
    for name, result in ((b"c", {"warnings": []}), (b"d", {"warnings": "x"}), (b"e", ["warnings"]), (b"f", None)):
        succeed(journal, name, result=result)
    told = summary.text(summed(journal)).partition("\n\nWarnings:\n")[2]
    assert told == "  a: No words were recognized.\n  b: One. (and 2 more: `pyprocessor jobs show`)\n"


def test_counts_sizes_and_predictions(journal: Journal) -> None:
    """Every outcome is counted once; sizes and video are of the files done; predictions are medians of ratios."""
    for name in (b"a", b"b", b"c"):
        succeed(journal, name)
    fail(journal, b"d", "d is damaged.")
    skipped = add(journal, b"e")
    journal.finish(skipped, None, Outcome(OutcomeKind.SKIPPED, "e is empty."))
    add(journal, b"left")
    got = summed(journal)
    assert (got.counts.succeeded, got.counts.failed, got.counts.skipped, got.left, got.counts.final) == (3, 1, 1, 1, 5)
    assert (got.bytes_before, got.bytes_after, got.media_seconds) == (3_000_000, 750_000, 30.0)
    assert got.seconds == pytest.approx(20.0)
    assert got.speed == pytest.approx(1.5)
    assert got.skip_reasons == {"is empty.": 1}
    assert got.prediction is not None
    memory, cpu = got.prediction.memory, got.prediction.cpu
    assert memory is not None
    assert cpu is not None
    assert (got.prediction.attempts, memory.ratio, cpu.ratio) == (3, 1.5, 2.0)


def test_only_transcodes_have_a_size_before_and_after(journal: Journal) -> None:
    """What else was made is not smaller or larger than its source, but something else."""
    succeed(journal, b"a", task="preprocess")
    assert "Size" not in summary.text(summed(journal))
    succeed(journal, b"b")
    assert "Size         1.0 MB -> 250.0 kB (25.0%)" in summary.text(summed(journal))


def test_text_names_failures_with_reason_and_log(journal: Journal) -> None:
    """Each failure is told with what failed, why, and which log to read."""
    fail(
        journal,
        b"bad\n.mp4",
        "bad is damaged at second 3; the rest of the file cannot be decoded by any means we have.",
    )
    run = journal.last_run()
    assert run is not None
    got = summary.summarise(journal, run, now=run.started_at, log_of=lambda job: b"/out/logs/job-" + job[:4].encode())
    text = summary.text(got, width=60)
    assert "  bad\\n.mp4: bad is damaged at second 3" in text
    assert "(bad input)" in text
    assert "  log: /out/logs/job-" in text
    assert all(columns(line) <= 60 for line in text.splitlines())


def test_text_lists_a_bounded_number_of_failures(journal: Journal) -> None:
    """Thousands of failures do not flood the terminal; how many are left out is said."""
    with journal.transaction():
        for number in range(summary.MOST_FAILURES + 5):
            fail(journal, b"f%d" % number, "It is damaged.")
    text = summary.text(summed(journal))
    assert text.count("It is damaged.") == summary.MOST_FAILURES
    assert "5 more failed files" in text


def test_each_kind_of_loss_has_a_line(journal: Journal) -> None:
    """The most frequent first, counted over the files of this run alone."""
    succeed(journal, b"before.mov", "captions dropped")
    journal.end_run(0)
    journal.begin_run("again", ENGINE)
    succeed(journal, b"a.mov", "transparency dropped")
    succeed(journal, b"b.mov", "transparency dropped", "subtitles dropped (mp4 holds no hdmv_pgs_subtitle)")
    succeed(journal, b"c.mov")
    text = summary.text(summed(journal))
    assert "Losses       2 files: transparency dropped\n             1 file: subtitles dropped (mp4 holds no" in text
    assert "captions" not in text
    assert "b.mov" not in text
    assert all(columns(line) <= 80 for line in text.splitlines())
    assert "Losses" not in summary.text(replace(summed(journal), losses=Counter()))


def test_the_files_that_lost_something_are_named_where_asked_for(journal: Journal) -> None:
    """Below each kind, a bounded number; how many more there are is said."""
    with journal.transaction():
        for number in range(summary.MOST_NAMES + 3):
            succeed(journal, b"f%02d\n.mov" % number, "captions dropped")
    text = summary.text(summed(journal), verbose=True)
    assert "\nLosses:\n  captions dropped\n    f00\\n.mov\n    f01\\n.mov\n" in text
    assert text.count(".mov\n") == summary.MOST_NAMES
    assert "    ... and 3 more files\n" in text


def test_a_bounded_number_of_kinds_of_loss_is_told(journal: Journal) -> None:
    """The rarest are counted only."""
    succeed(journal, b"a.mov", *(f"kind {number:02d}" for number in range(summary.MOST_KINDS + 2)))
    for verbose in (False, True):
        text = summary.text(summed(journal), verbose=verbose)
        assert f"kind {summary.MOST_KINDS - 1:02d}" in text
        assert f"kind {summary.MOST_KINDS:02d}" not in text
        assert "... and 2 more kinds" in text


def test_files_that_are_not_taken_though_they_seem_to_be_video_are_told_of(journal: Journal) -> None:
    """Beside what was done, and where there was nothing to do."""
    told = "2 files seem to be video by content, but not by name, and are not taken: a.xyz, b.xyz."
    journal.add_event("not_taken", told)
    assert f"\n{told[:60]}" in summary.text(summed(journal))
    succeed(journal, b"a.mov")
    text = summary.text(summed(journal))
    assert "\nNot taken    2 files seem to be video by content" in text
    assert all(columns(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(
    ("done", "failed", "said"),
    [
        (2000, 0, "Nothing to do: all 2,000 files are already done.\n"),
        (1, 0, "Nothing to do: the only file is already done.\n"),
        (0, 0, "Nothing to do: no video files were found.\n"),
        (
            5,
            1,
            "Nothing to do: 5 files are already done and 1 file failed in an earlier run; ",
        ),
        (0, 2, "Nothing to do: 2 files failed in an earlier run; --retry-failed tries again.\n"),
    ],
)
def test_nothing_to_do_is_said(journal: Journal, done: int, failed: int, said: str) -> None:
    """A run over finished work says so in one sentence."""
    journal.end_run(0, done_before=done, failed_before=failed)
    text = summary.text(summed(journal))
    assert text.startswith(said)
    assert text.count("\n") == 1
    assert ("--retry-failed" in text) == bool(failed)


def test_a_run_at_work_is_not_told_as_one_that_ended(journal: Journal) -> None:
    """Neither with nothing found so far, nor with files left, which no other command is to continue."""
    (run,) = journal.open_runs()
    told = summary.text(summary.summarise(journal, run, now=1_700_000_100.0, log_of=lambda _: None), goes_on=True)
    assert told == "The run is at work and has found nothing to do so far.\n"
    add(journal, b"a.mov")
    told = summary.text(summary.summarise(journal, run, now=1_700_000_100.0, log_of=lambda _: None), goes_on=True)
    assert "1 file; the run is at work on them" in told
    assert "continues" not in told


def test_the_time_of_a_run_that_was_killed_is_over(journal: Journal) -> None:
    """It ends with what the run last wrote, however much later somebody asks."""
    (run,) = journal.open_runs()
    assert until(journal, run) == run.started_at
    journal.add_event("info", "Something happened.")
    (event,) = journal.events(run_id=run.id)
    assert until(journal, run) == event.at
    myself = psutil.Process()
    assert until(journal, replace(run, engine=ProcessIdentity(myself.pid, myself.create_time()))) > event.at


def test_an_ended_run_keeps_its_own_counts_of_what_was_done_before(journal: Journal) -> None:
    """Files outside a run's input do not count as done before it, also when they are reported later."""
    for name in (b"a", b"b", b"c"):
        journal.adopt(add(journal, name), FACTS)
    journal.begin_run("--exclude c", ENGINE)
    journal.end_run(0, done_before=2, failed_before=0)
    row = journal.last_run()
    assert row is not None
    told = summary.summarise(journal, row, now=0.0, log_of=lambda _: None)
    assert (told.done_before, told.failed_before, told.counts.succeeded) == (2, 0, 0)


def test_earlier_runs_are_told_apart(journal: Journal) -> None:
    """What an earlier run settled counts as done or failed before."""
    succeed(journal, b"a")
    fail(journal, b"b", "b is damaged.")
    journal.end_run(1)
    journal.begin_run("again", ENGINE)
    got = summed(journal)
    assert (got.counts.final, got.done_before, got.failed_before) == (0, 1, 1)
    succeed(journal, b"c")
    assert "Done before" in summary.text(summed(journal))


def document(journal: Journal) -> dict[str, object]:
    """The JSON document, parsed again."""
    out = io.StringIO()
    summary.write_json(out, summed(journal), journal, output_root=b"/out", log_of=lambda _: b"/log")
    parsed = json.loads(out.getvalue())
    assert isinstance(parsed, dict)
    return parsed


def test_json_lists_every_file(journal: Journal) -> None:
    """The document has a version, counts, and each file with state, sizes, times, reason and log."""
    succeed(journal, b"a.mov", "captions dropped")
    fail(journal, b"b.mov", "It is damaged.")
    got = document(journal)
    assert got["version"] == 1
    assert got["counts"]["succeeded"] == got["counts"]["failed"] == 1  # type: ignore[index]
    done, failed = got["files"]  # type: ignore[misc]
    assert (done["name"], done["input"], done["output"]) == ("a.mov", "/in/a.mov", "/out/a.mov.mp4")
    assert (done["state"], done["input_bytes"], done["output_bytes"]) == ("succeeded", 1_000_000, 250_000)
    assert (done["seconds"], done["cpu_seconds"], done["peak_memory_bytes"]) == (3.0, 4.0, 150_000_000)
    assert done["settled_by_this_run"] is True
    assert (done["losses"], failed["losses"]) == (["captions dropped"], [])
    assert done["log"] is None
    assert (failed["state"], failed["kind"], failed["reason"]) == ("failed", "bad_input", "It is damaged.")
    assert failed["output"] is None
    assert failed["log"] == "/log"


def test_json_of_no_files_is_whole(journal: Journal) -> None:
    """An empty journal gives a document with an empty list."""
    assert document(journal)["files"] == []


def test_json_keeps_names_that_are_not_utf8(journal: Journal) -> None:
    """Odd bytes come escaped and, exactly, as base64; a control character is JSON's own escape."""
    name = b"caf\xe9\n\xff.mov"
    succeed(journal, name)
    entry = document(journal)["files"][0]  # type: ignore[index]
    assert entry["name"] == "caf\\xe9\n\\xff.mov"
    assert base64.b64decode(entry["name_bytes_base64"]) == name
    assert base64.b64decode(entry["input_bytes_base64"]) == b"/in/" + name
    assert base64.b64decode(entry["output_bytes_base64"]) == b"/out/" + name + b".mp4"


def test_json_of_earlier_files_says_so(journal: Journal) -> None:
    """Files that an earlier run settled are listed, marked as not of this run."""
    succeed(journal, b"a.mov")
    journal.end_run(0)
    journal.begin_run("again", ENGINE)
    entry = document(journal)["files"][0]  # type: ignore[index]
    assert (entry["state"], entry["settled_by_this_run"], entry["seconds"]) == ("succeeded", False, None)


def test_the_run_in_the_document(journal: Journal) -> None:
    """The run is told with its arguments, times in UTC and exit code."""
    journal.end_run(1)
    run = document(journal)["run"]
    assert isinstance(run, dict)
    assert run["arguments"] == "--input in --output out"
    assert run["started_at"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_700_000_001))
    assert (run["seconds"], run["exit_code"]) == (1.0, 1)


# ---------------------------------------------------------------- plans

PLAN = PlanReport(
    batches=(
        PlannedBatch(
            number=1,
            files=(
                PlannedFile(b"a" * 120 + b".mov", b"a" * 120 + b".mp4", COST),
                PlannedFile(b"odd\xff\n.mov", b"odd\xff\n.mp4", COST),
            ),
            slots=2,
            threads=1,
            memory_bytes=200_000_000,
            seconds_low=10.0,
            seconds_high=95.0,
            start_seconds=0.0,
        ),
    ),
    skipped=(SkippedFile(b"x.txt.mp4", "It is text, not video."), SkippedFile(b"y", "It is empty.")),
    peak_memory_bytes=200_000_000,
    memory_budget_bytes=6_000_000_000,
    disk_bytes=2_000_000,
    seconds_low=10.0,
    seconds_high=95.0,
    processes=1,
    notes=("The disk may fill.",),
)


def test_plan_text_explains_itself() -> None:
    """Batches with their files, slots, threads, memory and time; skipped files with why; within the width."""
    text = plan_text(PLAN, width=80)
    assert "Batch 1: 2 files, 2 at once, 1 thread each, 191 MiB, 10 s to 1 min 35 s" in text
    assert "Peak memory  191 MiB of 5,722 MiB allowed" in text
    assert "  x.txt.mp4: It is text, not video." in text
    assert "  y: It is empty." in text
    assert "odd\\xff\\n.mov" in text
    assert "The disk may fill." in text
    assert all(columns(line) <= 80 for line in text.splitlines())


def test_plan_text_of_nothing() -> None:
    """A plan without work says so."""
    empty = PlanReport((), (), 0, 1, 0, 0.0, 0.0, 0)
    assert plan_text(empty) == "Nothing to do.\n"


def test_plan_json_has_exact_names() -> None:
    """The document lists batches and skipped files; odd names come with their bytes."""
    got = json.loads(plan_json(PLAN))
    assert got["version"] == 1
    odd = got["batches"][0]["files"][1]
    assert base64.b64decode(odd["name_bytes_base64"]) == b"odd\xff\n.mov"
    assert got["skipped"][1] == {"name": "y", "reason": "It is empty."}


# ---------------------------------------------------------------- wording


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (1_234_567_890, "1.2 GB"), (-5000, "-5.0 kB")],
)
def test_sizes(count: int, said: str) -> None:
    """Sizes are decimal with one digit, and never read 1000.0."""
    assert size(count) == said


def test_memory_is_in_the_units_of_its_limits() -> None:
    """Whole MiB, and GiB where those would be too many digits."""
    assert [memory_size(count << 20) for count in (0, 1064, 12_595)] == ["0 MiB", "1,064 MiB", "12.3 GiB"]


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "unknown"), (0.4, "0:00:00"), (59.6, "0:01:00"), (86399, "23:59:59")]
)
def test_clock(seconds: float | None, said: str) -> None:
    """Times read H:MM:SS, or unknown."""
    assert clock(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.44, "0.4 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (3599.7, "1 h 00 min"), (7260, "2 h 01 min")],
)
def test_durations(seconds: float, said: str) -> None:
    """Lengths of time round into the next unit, never to 60 s."""
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("name", "reason", "said"),
    [
        ("d/y.mp4", "It is empty.", "d/y.mp4: It is empty."),
        ("", "It broke.", "It broke."),
        ("y.mp4", "", "y.mp4"),
    ],
)
def test_reasons_say_which_file(name: str, reason: str, said: str) -> None:
    """A reason is told with the file's whole path, once."""
    assert about(name, reason) == said


@pytest.mark.parametrize("text", ["short", "x" * 200, "\u65e5\u672c\u8a9e" * 40, "e\u0301" * 90, "\U0001f600" * 50])
@pytest.mark.parametrize("width", [0, 1, 3, 4, 10, 31])
def test_shortened_text_fits(text: str, width: int) -> None:
    """Wide and combining characters are counted as terminals do."""
    assert columns(shortened(text, width)) <= width


def test_names_are_measured_as_terminals_show_them() -> None:
    """Decomposed as macOS writes them, and with marks of their own; none is cut off its letter."""
    for composed, wide in (("\ud55c\uae00.mp4", 8), ("Stra\u00dfe-\u00fcber.mp4", 15), ("\u0e01\u0e34.mp4", 5)):
        assert columns(composed) == columns(unicodedata.normalize("NFD", composed)) == wide
    assert shortened("a" * 20 + "x\u0335yz", 8) == "aaa...yz"


def test_one_line_is_printable() -> None:
    """Whatever goes in, one printable line comes out."""
    for code in [*range(0x300), 0x2028, 0x202E, 0xDC80, 0xDCFF, 0xD800, 0x1F600]:
        assert one_line(f"a{chr(code)}b").isprintable()


@pytest.mark.usefixtures("example_tasks")
def test_jobs_without_files(journal: Journal) -> None:
    """They are shown by their names; those that wait for others are counted apart."""
    keys = [("done", []), ("to do", []), ("late", ["to do"])]
    documents = [{"task": "ask", "key": key, "after": after} for key, after in keys]
    journal.submit(submissions(documents, queue="q"))
    done = submitted_id("q", "done")
    journal.complete(done, start(journal, done), '{"score": 1}', Usage(1.0, 1.0, 1))
    found = summed(journal)
    assert (found.left, found.waiting) == (2, 1)
    lines = summary.text(found).splitlines()
    assert "Waiting      1 job, for others that are not done" in lines
    assert not any(line.startswith("Size") for line in lines), "they have none"
    stream = io.StringIO()
    summary.write_json(stream, found, journal, output_root=b"/out", log_of=no_log)
    document = json.loads(stream.getvalue())
    assert document["counts"]["waiting"] == 1
    (entry,) = [entry for entry in document["files"] if entry["name"] == "done"]
    assert (entry["state"], entry["input"], entry["output"]) == ("succeeded", None, None)
