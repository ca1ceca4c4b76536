"""The figures of a run, over rows that are made here, and how they are shown."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pyprocessor.errors import FailureKind
from pyprocessor.journal.rows import AttemptRow, RunRow
from pyprocessor.models import OutcomeKind, ProcessIdentity, Reading, Recommendation, Usage
from pyprocessor.report import figures
from pyprocessor.report.analysis import Analysis, Retries, Trend, Used, analyse, error_name
from pyprocessor.report.figures import Compared, compared_json, compared_text

MIB = 1 << 20
NOBODY = ProcessIdentity(1, 1.0)
READING = Reading(
    *(0.0, 2.0, 1000 * MIB, 300 * MIB, 100 * MIB, 50.0, 1 << 40), our_cpu_percent=20.0, disk_bytes_per_second=10e6
)
DONE, FAILED, SHED = OutcomeKind.SUCCEEDED, OutcomeKind.FAILED, OutcomeKind.SHED


def attempt(
    job: str,
    begin: float,
    end: float,
    *,
    cpu: float | None = None,
    outcome: OutcomeKind = DONE,
    failure: FailureKind | None = None,
) -> AttemptRow:
    """An attempt from one second of the run to another, which took that much CPU time."""
    usage = Usage(end - begin, end - begin if cpu is None else cpu, 50 * MIB)
    return AttemptRow(1, job, 1, 1, 1, NOBODY, None, begin, end, outcome, failure, "", failure is not None, usage)


def figures_of(
    *attempts: AttemptRow,
    not_begun: tuple[FailureKind | None, ...] = (),
    readings: tuple[Reading, ...] = (READING,),
    seconds: float = 100.0,
    allowed: int | None = 400 * MIB,
) -> Analysis:
    """The analysis of a run of these attempts, each file's last one being what counts for it."""
    return analyse(attempts, {a.job_id: a for a in attempts}, not_begun, readings, seconds, allowed)


def test_successes() -> None:
    """Their share is of the files that were done or failed; what was ended to go on later is neither."""
    found = figures_of(
        attempt("a", 0, 10),
        attempt("b", 0, 10, outcome=OutcomeKind.KEPT_SOURCE),
        attempt("c", 0, 10, outcome=FAILED, failure=FailureKind.CRASH),
        attempt("d", 0, 10, outcome=OutcomeKind.INTERRUPTED),
        not_begun=(FailureKind.BAD_INPUT,),
    )
    assert (found.files, found.success_percent) == (4, 50.0)
    assert figures_of().success_percent is None


def test_durations() -> None:
    """Of 1 to 100 seconds."""
    took = figures_of(*(attempt(str(n), 0, n) for n in range(1, 101))).durations
    assert took is not None
    assert (took.files, took.mean, took.minimum, took.median, took.maximum) == (100, 50.5, 1, 50.5, 100)
    assert (took.p90, took.p95, took.p99) == pytest.approx((90.1, 95.05, 99.01))
    one = figures_of(attempt("a", 0, 7)).durations
    assert one is not None
    assert {one.mean, one.minimum, one.median, one.maximum, one.p90, one.p95, one.p99} == {7}


@pytest.mark.parametrize(
    ("second", "trend"),
    [(100.0, Trend.STEADY), (109.0, Trend.STEADY), (120.0, Trend.RISING), (80.0, Trend.FALLING)],
)
def test_throughput_and_its_trend(second: float, trend: Trend) -> None:
    """Work counts evenly over each attempt, so that the order of long and short files makes no trend."""
    attempts = [attempt("a", 0, 50, cpu=50), attempt("b", 0, 50, cpu=50)]
    attempts += [attempt("c", 50, 100, cpu=second / 2), attempt("d", 50, 100, cpu=second / 2)]
    flow = figures_of(*attempts, seconds=120.0).throughput
    assert flow is not None
    assert flow.files_per_minute == 2.0
    assert (flow.first_half, flow.second_half, flow.trend) == (2.0, second / 50, trend)


def test_an_attempt_over_both_halves() -> None:
    """A long one counts in both; few files have no trend."""
    flow = figures_of(attempt("a", 0, 100, cpu=100), attempt("b", 0, 25, cpu=25)).throughput
    assert flow is not None
    assert (flow.first_half, flow.second_half, flow.trend) == (1.5, 1.0, None)


def test_errors_by_kind() -> None:
    """Each failed attempt counts, and each file that failed before one; every kind has a name."""
    kinds = [FailureKind.STALL, FailureKind.STALL, FailureKind.RESOURCE, FailureKind.UNAVAILABLE, None]
    attempts = [attempt(str(n), 0, 1, outcome=FAILED, failure=kind) for n, kind in enumerate(kinds)]
    found = figures_of(*attempts, attempt("ended", 0, 1, outcome=SHED), not_begun=(FailureKind.BAD_INPUT,))
    assert found.errors == (("timeout", 2), ("connection", 1), ("memory", 1), ("unknown", 1), ("validation", 1))
    assert {kind: error_name(kind) for kind in FailureKind} == {
        FailureKind.BAD_INPUT: "validation",
        FailureKind.UNSUPPORTED: "profile",
        FailureKind.NOT_INSTALLED: "not_installed",
        FailureKind.RESOURCE: "memory",
        FailureKind.STALL: "timeout",
        FailureKind.CRASH: "crash",
        FailureKind.DISK: "disk",
        FailureKind.PERMISSION: "permission",
        FailureKind.UNAVAILABLE: "connection",
        FailureKind.INFRASTRUCTURE: "infrastructure",
    }


def test_retries() -> None:
    """Files that were tried again, and those that were done then."""
    failed = {"outcome": FAILED, "failure": FailureKind.STALL}
    found = figures_of(
        *(attempt("a", 0, 1, **failed), attempt("a", 1, 2)),  # type: ignore[arg-type]
        *(attempt("b", 0, 1, **failed), attempt("b", 1, 2, **failed)),  # type: ignore[arg-type]
        attempt("c", 0, 1),
    )
    assert found.retries == Retries(2, 1)
    assert found.retries.recovery_percent == 50.0
    assert figures_of().retries.recovery_percent is None


def test_what_was_used() -> None:
    """CPU time of all that the cores had, the peak of memory of what was allowed, the mean rate of the disks."""
    readings = (READING, replace(READING, our_memory_bytes=200 * MIB, disk_bytes_per_second=30e6))
    used = figures_of(attempt("a", 0, 100, cpu=150), readings=readings).used
    assert used == Used(2.0, 75.0, 30.0, 200 * MIB, 150 * MIB, 400 * MIB, 50.0, 20e6, 30e6, disk_bound=False)
    assert figures_of(readings=()).used == Used()
    assert figures_of(allowed=None).used.memory_percent is None


@pytest.mark.parametrize(("rate", "cpu", "bound"), [(100e6, 30.0, True), (100e6, 90.0, False), (1e6, 30.0, False)])
def test_disks_that_hold_a_run_back(rate: float, cpu: float, bound: bool) -> None:
    """They are busy all along while the cores have little to do."""
    steady = replace(READING, disk_bytes_per_second=rate, cpu_percent=cpu)
    assert figures_of(attempt("a", 0, 1), readings=(steady,) * 3).used.disk_bound is bound
    bursts = (steady, *(replace(steady, disk_bytes_per_second=0.0),) * 3)
    assert figures_of(attempt("a", 0, 1), readings=bursts).used.disk_bound is False


def test_the_text() -> None:
    """A section of what there is to say, and the recommendations; nothing of a run that did nothing."""
    failed = {"outcome": FAILED, "failure": FailureKind.UNSUPPORTED}
    found = figures_of(
        *(attempt(str(n), 0, n, cpu=30) for n in range(10, 60, 10)),
        *(attempt("again", 0, 10, **failed), attempt("again", 50, 80, cpu=10)),  # type: ignore[arg-type]
        attempt("bad", 0, 1, **failed),  # type: ignore[arg-type]
    )
    told = figures.text(
        found, [Recommendation("--jobs 2", "--jobs 2 would have saved 1 min 00 s.", 60, 40, 0)], width=120
    )
    assert told.splitlines() == [
        "",
        "Analysis:",
        "  Success     85.7% of 7 files",
        "  Durations   30 s a file on average, 10 s to 50 s, median 30 s; 90% within 45 s, 95% 48 s, 99% 50 s",
        "  Throughput  3.6 files a minute, falling (3.9 CPU-seconds a second, then 0.4)",
        "  Errors      2 x profile",
        "  Retries     1 file tried again, 1 of them done then",
        "  Used        86% of the time of 2 cores; at most 100 MiB of 400 MiB of memory; 10.0 MB a second of disk",
        "",
        "Recommendations:",
        "  --jobs 2 would have saved 1 min 00 s.",
        "  Other programs took 30% of the CPU meanwhile; as long as they do, less is saved.",
    ]
    assert figures.text(figures_of()) == ""


def test_runs_side_by_side() -> None:
    """A line each; of a run that did nothing there is little to say."""
    runs = [
        Compared(RunRow(2, "--input in", NOBODY, 1_700_000_000.0, None, None), 3.0, figures_of(readings=())),
        Compared(RunRow(1, "--input in", NOBODY, 1_600_000_000.0, 1.0, 0), 100.0, figures_of(attempt("a", 0, 100))),
    ]
    head, second, first = compared_text(runs).splitlines()
    assert head.split() == "Run Began Time Files Success Files a minute CPU used".split()
    assert second.split()[3:] == ["3.0", "s", "0", "-", "-", "-"]
    assert first.split()[3:] == ["1", "min", "40", "s", "1", "100.0%", "0.6", "50%"]
    document = json.loads(compared_json(runs))
    assert [run["id"] for run in document["runs"]] == [2, 1]
    assert document["runs"][1]["analysis"]["used"]["cpu_percent"] == 50.0
