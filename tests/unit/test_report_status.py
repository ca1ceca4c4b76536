"""How `status` tells where a run stands, and what is remembered where none runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pyprocessor.journal.rows import Counts, RunRow
from pyprocessor.models import ActiveFile, ProcessIdentity, RunSnapshot, RunState, RunStatus, WaitingFile
from pyprocessor.report import status

SNAPSHOT = RunSnapshot(45, 100, True, 41, 2, 2, 2, 512_300_000, 75.2, 60.0, 750.0, False, 600.0, 940.0)
FILES = (
    ActiveFile("films/a\nb.mkv", 200.0, 84.0, 1.52, 55.0),
    ActiveFile("odd-\udce9.mp4", None, 12.0, None, 5.0, still=True),
    ActiveFile("n" * 200, 10.0, 20.0, 0.5, 5.0),
)
STANDING = RunStatus(4711, 1_800_000_000.0, SNAPSHOT, 7, 1, 0.0, FILES)
RUN = RunRow(3, "--input in", ProcessIdentity(4711, 1.0), 1_800_000_000.0, 1_800_000_060.0, 0)
COUNTS = Counts(pending=4, succeeded=12, failed=1, quarantined=1)


def test_a_running_one() -> None:
    """State, process, counts, use, time left and every file on a line that fits."""
    lines = status.text(STANDING, width=60).splitlines()
    assert lines[0] == "State:  running"
    assert lines[1].startswith("Run:    process 4711, since 20")
    assert lines[1].endswith("(1 min 00 s)"), "a clock that was set since then has no say in it"
    assert lines[2:7] == [
        "Files:  45 of 100 files done, 2 failed, 55 left",
        "        by earlier runs: 7 done, 1 failed",
        "Use:    489 MiB of memory, 75% of the machine's CPU",
        "ETA:    0:12:30 (0:10:00-0:15:40)",
        "Active: 3 files",
    ]
    assert lines[7] == "   42%   1.52x  films/a\\nb.mkv"
    assert lines[8] == "  0:00:12   still  odd-\\xe9.mp4"
    assert lines[9].startswith("  100%   0.50x  nnn")
    assert max(map(len, lines)) <= 60


def test_the_next_file_and_why_it_waits() -> None:
    """In lines that fit, and by name for programs; null where no file waits."""
    waits = replace(STANDING, next=WaitingFile("films/c\n.mkv", "as many files run as may at once (2), which is all"))
    lines = status.text(waits, width=44).splitlines()
    assert lines[-3:] == [
        "Next:   films/c\\n.mkv",
        "        waits because as many files run as",
        "        may at once (2), which is all",
    ]
    assert status.document(waits)["next"]["reason"].startswith("as many files run")
    assert status.document(STANDING)["next"] is None


def test_a_silent_disk_is_time_that_passed() -> None:
    """Where the run stood is what it was before; how long it runs is not."""
    lines = status.text(replace(STANDING, disk_silent_seconds=5.0), width=80).splitlines()
    assert lines[1].endswith("(1 min 05 s)")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RunState.WAITING, "waiting for its window, which opens in 0:01:30"),
        (RunState.PAUSED, "paused; running files are finished, nothing new is started"),
        (RunState.PAUSED_NOW, "paused; running files are suspended"),
        (RunState.DRAINING, "stopping; running files are finished first"),
        (RunState.ENDING, "stopping; running files are being ended"),
    ],
)
def test_every_state_is_told(state: RunState, said: str) -> None:
    """In words for people, by its name for programs."""
    shown = replace(STANDING, snapshot=replace(SNAPSHOT, state=state), begins_in_seconds=90.0)
    assert status.text(shown, width=80).splitlines()[0] == f"State:  {said}"
    assert status.document(shown)["state"] == state.value


def test_the_document() -> None:
    """Plain JSON, with names that print and the share of each file that is done."""
    document = json.loads(json.dumps(status.document(STANDING)))
    assert (document["running"], document["answered"], document["pid"]) == (True, True, 4711)
    assert (document["done"], document["failed"], document["left"], document["total"]) == (45, 2, 55, 100)
    assert [file["share"] for file in document["files"]] == [0.42, None, 1.0]
    assert document["files"][1]["name"] == "odd-\\xe9.mp4"


@pytest.mark.parametrize(
    ("run", "lives", "said"),
    [
        (None, False, "Nothing runs on out, and no run is remembered."),
        (RUN, False, "with exit code 0: all done."),
        (replace(RUN, exit_code=143), False, "with exit code 143: it was terminated."),
        (replace(RUN, exit_code=70), False, "with exit code 70."),
        (replace(RUN, ended_at=None, exit_code=None), False, "was killed before it was done"),
        (replace(RUN, ended_at=None, exit_code=None), True, "is at work on out and does not answer"),
    ],
)
def test_what_the_journal_tells(run: RunRow | None, lives: bool, said: str) -> None:
    """Where nobody answers: how the last run ended, or that one is there all the same."""
    text = status.last_text(run, COUNTS, lives=lives, output="out")
    assert said in text
    assert (run is None) or text.endswith("Files: 12 succeeded, 2 failed, 4 left.\n")
    document = json.loads(json.dumps(status.last_document(run, COUNTS, lives=lives)))
    assert (document["running"], document["answered"], document["left"]) == (lives, False, 4)
    assert document["pid"] == (4711 if lives else None)


def test_jobs_that_wait_for_others() -> None:
    """They are counted apart, of a run and where none is on; also where jobs were submitted before any run."""
    some = replace(STANDING, waiting=3)
    assert "        3 more jobs wait for others, or to be looked at" in status.text(some, width=80).splitlines()
    assert status.document(some)["waiting"] == 3
    assert "to come" not in status.text(STANDING, width=80)
    counts = replace(COUNTS, waiting=2)
    assert status.last_document(RUN, counts, lives=False)["waiting"] == 2
    line = "Files: 12 succeeded, 2 failed, 6 left, 2 of them waiting for others."
    for run in (RUN, None):
        assert status.last_text(run, counts, lives=False, output="out").splitlines()[1] == line
    assert status.last_text(None, Counts(), lives=False, output="out").count("\n") == 1
