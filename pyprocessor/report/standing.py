"""Where a run stands, as a running engine tells it or, where none runs, as the journal has it: text and JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pyprocessor.errors import ExitCode
from pyprocessor.journal.rows import Counts, RunRow
from pyprocessor.models import ActiveFile, RunSnapshot, RunState, RunStatus
from pyprocessor.report.table import wrapped
from pyprocessor.report.wording import clock, count, duration, eta, one_line, shortened, size, utc

DOCUMENT_VERSION = 1
_AT = {
    RunState.WAITING: "waiting for its window",
    RunState.RUNNING: "running",
    RunState.PAUSED: "paused; running files are finished, nothing new is started",
    RunState.PAUSED_NOW: "paused; running files stand still",
    RunState.DRAINING: "stopping; running files are finished first",
    RunState.ENDING: "stopping; running files are being ended",
}
_ENDED = {
    ExitCode.OK: "all done",
    ExitCode.SOME_FAILED: "some files failed",
    ExitCode.OUTPUT_UNWRITABLE: "the disk was full, or the output could not be written",
    ExitCode.TRY_AGAIN: "it could not go on, or its time was up, with work left",
    ExitCode.HUNG_UP: "its terminal was closed",
    ExitCode.INTERRUPTED: "it was stopped",
    ExitCode.TERMINATED: "it was terminated",
}


def document(standing: RunStatus) -> dict[str, Any]:
    """The JSON document of a run that answered."""
    snapshot = asdict(standing.snapshot)
    state = snapshot.pop("state")
    return {
        "version": DOCUMENT_VERSION,
        "running": True,
        "answered": True,
        "state": RunState(state).value,
        "pid": standing.pid,
        "since": utc(standing.started_at),
        **snapshot,
        "left": left(standing.snapshot),
        "done_before": standing.done_before,
        "failed_before": standing.failed_before,
        "begins_in_seconds": standing.begins_in_seconds,
        "disk_silent_seconds": standing.disk_silent_seconds,
        "next": asdict(standing.next) if standing.next is not None else None,
        "files": [{**asdict(file), "name": one_line(file.name), "share": share(file)} for file in standing.files],
    }


def left(snapshot: RunSnapshot) -> int:
    """Files that are known and not done yet."""
    return max(0, snapshot.total - snapshot.done)


def share(file: ActiveFile) -> float | None:
    """The part of a file that is done, 0 to 1; None where its length is not known."""
    return min(1.0, file.done_seconds / file.media_seconds) if file.media_seconds else None


def text(standing: RunStatus, *, width: int) -> str:
    """A run that answered, for people. How long it runs is its own clock's word: the system's may have been set."""
    snapshot = standing.snapshot
    at = _AT[snapshot.state]
    runs_for = duration(snapshot.elapsed_seconds + standing.disk_silent_seconds)
    if snapshot.state is RunState.WAITING:
        at += f", which opens in {clock(standing.begins_in_seconds)}"
    if standing.disk_silent_seconds:
        at = f"waiting for the output's disk, which has not answered for {duration(standing.disk_silent_seconds)}"
    more = "" if snapshot.total_is_final else ", more are being looked for"
    done = f"{snapshot.done:,} of {count(snapshot.total, 'file')} done, {snapshot.failed:,} failed"
    lines = [
        f"State:  {at}",
        f"Run:    process {standing.pid}, since {_local(standing.started_at)} ({runs_for})",
        f"Files:  {done}, {left(snapshot):,} left{more}",
    ]
    if standing.done_before or standing.failed_before:
        lines.append(f"        by earlier runs: {standing.done_before:,} done, {standing.failed_before:,} failed")
    lines.append(
        f"Use:    {size(snapshot.memory_bytes)} of memory, {snapshot.cpu_percent:.0f}% of the machine's CPU",
    )
    lines.append(f"ETA:    {eta(snapshot)}")
    if standing.files:
        lines.append(f"Active: {count(len(standing.files), 'file')}")
        lines += [f"  {_file(file, width - 2)}" for file in standing.files]
    if standing.next is not None:
        lines.append(f"Next:   {shortened(one_line(standing.next.name), max(8, width - 8))}")
        lines += wrapped(f"        waits because {standing.next.reason}", width, indent="        ")
    return "\n".join(lines) + "\n"


def _file(file: ActiveFile, width: int) -> str:
    part = share(file)
    done = f"{100 * part:3.0f}%" if part is not None else clock(file.done_seconds)
    speed = "still" if file.still else f"{file.speed:.2f}x" if file.speed else ""
    head = f"{done} {speed:>7}  "
    return head + shortened(one_line(file.name), max(8, width - len(head)))


def last_document(run: RunRow | None, counts: Counts, *, lives: bool) -> dict[str, Any]:
    """The JSON document where no run answered. `lives` says that its process is there all the same."""
    return {
        "version": DOCUMENT_VERSION,
        "running": lives,
        "answered": False,
        "state": None,
        "pid": run.engine.pid if run is not None and lives else None,
        "last_run": None
        if run is None
        else {
            "since": utc(run.started_at),
            "ended": None if run.ended_at is None else utc(run.ended_at),
            "exit_code": run.exit_code,
        },
        "succeeded": counts.succeeded,
        "failed": counts.failed + counts.quarantined,
        "left": counts.total - counts.final,
    }


def last_text(run: RunRow | None, counts: Counts, *, lives: bool, output: str) -> str:
    """What the journal of `output` (printable) tells where no run answered."""
    if run is None:
        return f"Nothing runs on {output}, and no run is remembered.\n"
    began = _local(run.started_at)
    if lives:
        head = (
            f"A run (process {run.engine.pid}, since {began}) is at work on {output} and does not answer; this is what "
            "it has noted."
        )
    elif run.ended_at is None:
        head = (
            f"Nothing runs on {output}. The last run, of {began}, was killed before it was done; the same command goes "
            "on from there."
        )
    else:
        why = _why(run.exit_code)
        head = f"Nothing runs on {output}. The last run, of {began}, ended {_local(run.ended_at)} {why}."
    failed = counts.failed + counts.quarantined
    return f"{head}\nFiles: {counts.succeeded:,} succeeded, {failed:,} failed, {counts.total - counts.final:,} left.\n"


def _why(exit_code: int | None) -> str:
    told = _ENDED.get(ExitCode(exit_code)) if exit_code in set(ExitCode) else None
    return f"with exit code {exit_code}" + (f": {told}" if told else "")


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
