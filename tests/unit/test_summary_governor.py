"""What a summary says of the governor and of predictions, read from a real journal."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.governor.governor import EventKind
from pyprocessor.journal.journal import Journal
from pyprocessor.models import Cost, Job, OutputFacts, ProcessIdentity, Reading, Source, Usage, job_id
from pyprocessor.report import events, summary
from pyprocessor.report.wording import columns
from tests.clocks import Clock

READING = Reading(5.0, 2.0, 1_400_000_000, 1_100_000_000, 900_000_000, 99.0, 10_000_000_000)
BEGAN = 1_700_000_000.0


@pytest.fixture
def clock() -> Clock[float]:
    return Clock(BEGAN)


@pytest.fixture
def journal(tmp_path: Path, clock: Clock[float]) -> Iterator[Journal]:
    """An empty journal in which a run has begun."""
    with Journal.open(bytes(tmp_path), wal=True, clock=clock) as opened:
        opened.begin_run("--input in", ProcessIdentity(1, 1.0))
        yield opened


def at(journal: Journal, clock: Clock[float], seconds: float, kind: str, text: str = "Something.") -> None:
    """Let an event happen so many seconds into the run."""
    clock.now = BEGAN + seconds
    journal.add_event(kind, text, reading=READING)


def done(journal: Journal, name: bytes, predicted: Cost, usage: Usage | None) -> None:
    """Take one file all the way."""
    source = Source(b"/in/" + name, name, 1_000_000, 1)
    job = Job(job_id(source.path, "transcode"), "transcode", source, name + b".mp4", "f", predicted)
    assert journal.plan(job, media_seconds=10.0) is not None
    journal.assign([job.id], batch_id=1)
    attempt = journal.start(job.id, ProcessIdentity(2, 2.0), threads=1, predicted=predicted)
    assert attempt is not None
    facts = OutputFacts(250_000, 1, 10.0, 1, 1, 0, 250)
    assert journal.grant(job.id, attempt, facts)
    assert journal.succeed(job.id, attempt, facts, usage)


def summed(journal: Journal, seconds: float = 100.0) -> summary.Summary:
    run = journal.last_run()
    assert run is not None
    return summary.summarise(journal, run, now=BEGAN + seconds, log_of=lambda _: None)


def document(journal: Journal) -> dict[str, Any]:
    """The JSON document, parsed again."""
    out = io.StringIO()
    summary.write_json(out, summed(journal), journal, output_root=b"/out", log_of=lambda _: None)
    parsed = json.loads(out.getvalue())
    assert isinstance(parsed, dict)
    return parsed


COST = Cost(10.0, 100_000_000, 1)


# ---------------------------------------------------------------- the governor


def test_every_kind_of_event_is_known_here() -> None:
    """The governor cannot tell of something that no summary counts."""
    assert {kind.value for kind in EventKind} == set(events.PHRASES)


def test_a_run_without_events_says_nothing_of_the_governor(journal: Journal) -> None:
    """Nothing happened, nothing is told; events of other kinds are not the governor's."""
    done(journal, b"a", COST, None)
    journal.add_event("replanned", "The source changed.")
    got = summed(journal)
    assert not got.governing.counts
    assert "Governor" not in summary.text(got)
    assert summary.governor_text(got, journal) == ""
    assert document(journal)["governor"] == {"held_seconds": 0.0, "counts": {}, "events": []}


def test_what_the_governor_did_is_counted_and_timed(journal: Journal, clock: Clock[float]) -> None:
    """From the first sign of a hold to its recovery counts as held, once, however many events lie between."""
    done(journal, b"a", COST, None)
    for seconds, kind in (
        *((10, "hold"), (12, "shrink"), (13, "suspend"), (14, "suspend"), (15, "shed"), (20, "resume")),
        *((30, "recover"), (31, "recover"), (50, "hold"), (55, "recover"), (60, "yield"), (61, "throttle")),
    ):
        at(journal, clock, seconds, kind)
    got = summed(journal).governing
    assert " ".join(f"{kind} {number}" for kind, number in got.counts) == (
        "hold 2 shrink 1 suspend 2 shed 1 throttle 1 yield 1 resume 1 recover 3"
    )
    assert got.held_seconds == 25.0
    assert events.sentence(got) == (
        "held 2 times, shrank once, suspended 2 files, ended 1 file to be tried again, kept to the CPU limit, "
        "gave way to other work once; nothing new was started for 25 s"
    )
    assert "Governor" in summary.text(summed(journal))


def test_a_hold_that_never_ended_lasts_to_the_end(journal: Journal, clock: Clock[float]) -> None:
    """A run that stops while it holds was held until then."""
    at(journal, clock, 40, "hold")
    assert summed(journal, 100.0).governing.held_seconds == 60.0


def test_a_disk_that_fills_and_empties(journal: Journal, clock: Clock[float]) -> None:
    """Its second event is its end; time that memory is short as well counts once."""
    for seconds, kind in ((10, "disk"), (20, "hold"), (30, "disk"), (40, "recover"), (90, "disk")):
        at(journal, clock, seconds, kind)
    got = summed(journal, 100.0).governing
    assert dict(got.counts) == {"hold": 1, "recover": 1, "disk": 2}
    assert got.held_seconds == 40.0


def test_events_of_an_earlier_run_are_its_own(journal: Journal, clock: Clock[float]) -> None:
    """A run is summed up by what happened in it."""
    at(journal, clock, 1, "hold")
    journal.end_run(0)
    journal.begin_run("again", ProcessIdentity(1, 1.0))
    assert not summed(journal).governing.counts


def test_a_clock_that_was_set_back_makes_no_time_negative(journal: Journal, clock: Clock[float]) -> None:
    """Times of events are wall-clock times."""
    at(journal, clock, 50, "hold")
    at(journal, clock, -500, "recover")
    assert summed(journal).governing.held_seconds == 0.0


def test_each_event_is_told_with_its_sentence(journal: Journal, clock: Clock[float]) -> None:
    """The section has a line for each, within the width, control characters escaped."""
    at(
        journal,
        clock,
        10,
        "suspend",
        "Suspending a\nb.mp4: the machine uses 1.1 GiB of 1.1 GiB, and it is rising fast.",
    )
    at(journal, clock, 11, "resume", "b.mp4 goes on.")
    text = summary.governor_text(summed(journal), journal, width=60)
    assert text.startswith("\nGovernor:\n  ")
    assert "suspend: Suspending a\\nb.mp4" in text
    assert "resume: b.mp4 goes on." in text
    assert all(columns(line) <= 60 for line in text.splitlines())


def test_very_many_events_are_told_in_part(journal: Journal, clock: Clock[float]) -> None:
    """The first and the last stand there, and how many are between."""
    number = events.MOST_SHOWN + 5
    with journal.transaction():
        for event in range(number):
            at(journal, clock, event, "hold", f"Event {event}.")
    lines = summary.governor_text(summed(journal), journal).splitlines()[2:]
    assert "Event 0." in lines[0]
    assert lines[events.SHOWN_AT_THE_START] == "  ... 5 more; --format json lists all ..."
    assert f"Event {number - 1}." in lines[-1]
    assert len(lines) == events.MOST_SHOWN + 1


def test_the_document_lists_events_with_their_readings(journal: Journal, clock: Clock[float]) -> None:
    """Programs get kind, sentence, time, file and what was read when it was decided."""
    at(journal, clock, 10, "hold", "Starting nothing new.")
    clock.now += 5
    journal.add_event("shed", "Ended.", job_id="j")
    got = document(journal)["governor"]
    assert (got["held_seconds"], got["counts"]) == (90.0, {"hold": 1, "shed": 1})
    hold, shed = got["events"]
    assert (hold["kind"], hold["text"], hold["time"]) == ("hold", "Starting nothing new.", "2023-11-14T22:13:30Z")
    assert hold["reading"]["used_memory_bytes"] == READING.used_memory_bytes
    assert (hold["job"], shed["job"], shed["reading"]) == (None, "j", None)


def test_a_run_whose_time_was_up_does_not_say_that_nothing_was_found(journal: Journal) -> None:
    """It may have ended before it knew what there is."""
    journal.end_run(ExitCode.TRY_AGAIN)
    assert "Nothing to do" not in summary.text(summed(journal))


# ---------------------------------------------------------------- predictions


def test_predictions_are_compared_file_by_file(journal: Journal) -> None:
    """Sums, the median error and the file that was furthest off, by whichever factor."""
    done(journal, b"near.mp4", COST, Usage(1.0, 10.0, 110_000_000))
    done(journal, b"half.mp4", COST, Usage(1.0, 5.0, 100_000_000))
    done(journal, b"far.mp4", COST, Usage(1.0, 40.0, 125_000_000))
    told = summed(journal).prediction
    assert told is not None
    assert told.memory is not None
    assert told.cpu is not None
    assert (told.cpu.predicted, told.cpu.measured, told.cpu.ratio) == (30.0, 55.0, 1.0)
    assert told.cpu.error == pytest.approx(0.75)
    assert told.memory.error == pytest.approx(1 - 100 / 110)
    assert told.cpu.worst[0] == told.memory.worst[0] == b"far.mp4"
    text = " ".join(summary.text(summed(journal), width=200).split())
    off = "predictions off by 9.1% (median), by 20.0% at worst (far.mp4: 119 MiB instead of 95 MiB)"
    assert f"Peak memory {off}" in text
    off = "predictions off by 75.0% (median), by 75.0% at worst (far.mp4: 40 s instead of 10 s)"
    assert f"CPU time 55 s (30 s predicted); {off}" in text
    got = document(journal)["prediction"]
    assert (got["attempts"], got["memory_ratio_median"], got["cpu_ratio_median"]) == (3, 1.1, 1.0)
    assert got["cpu_seconds"]["worst"] == {"name": "far.mp4", "predicted": 10.0, "measured": 40.0}
    assert got["memory_bytes"]["error_median"] == 0.0909


def test_what_was_not_measured_is_not_compared(journal: Journal) -> None:
    """A file that was done before its memory was looked at says nothing of memory, and one without any nothing."""
    done(journal, b"quick.mp4", COST, Usage(0.01, 8.0, 0))
    done(journal, b"unseen.mp4", COST, None)
    told = summed(journal).prediction
    assert told is not None
    assert (told.attempts, told.memory) == (1, None)
    assert "Peak memory" not in summary.text(summed(journal))
    assert "CPU time  predicted 10 s, took 8.0 s\n" in summary.text(summed(journal))
    assert document(journal)["prediction"]["memory_bytes"] is None


def test_files_tell_what_was_predicted_of_them(journal: Journal) -> None:
    """Each file's entry has its prediction beside what it took."""
    done(journal, b"a.mp4", COST, Usage(1.0, 10.5, 110_000_000))
    (entry,) = document(journal)["files"]
    assert (entry["predicted_cpu_seconds"], entry["cpu_seconds"]) == (10.0, 10.5)
    assert (entry["predicted_memory_bytes"], entry["peak_memory_bytes"]) == (100_000_000, 110_000_000)
