"""How far is a run, by its engine's answer or, where none answers, by its journal: as text and as JSON?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pyprocessor.errors import ExitCode
from pyprocessor.journal.rows import Counts, RunRow
from pyprocessor.models import ActiveFile, Mode, RunSnapshot, RunState, RunStatus
from pyprocessor.models.wording import clock, count, duration, memory_size, one_line, utc
from pyprocessor.report.wording import eta, local_time, shortened, wrapped

DOCUMENT_VERSION = 1
_STATES = {
    RunState.WAITING: "waiting for its window",
    RunState.RUNNING: "running",
    RunState.PAUSED: "paused; running files are finished, nothing new is started",
    RunState.PAUSED_NOW: "paused; running files are suspended",
    RunState.DRAINING: "stopping; running files are finished first",
    RunState.ENDING: "stopping; running files are being ended",
}
_ENDS = {
    ExitCode.OK: ": all done",
    ExitCode.SOME_FAILED: ": some files failed",
    ExitCode.OUTPUT_UNWRITABLE: ": the disk was full, or the output could not be written",
    ExitCode.TRY_AGAIN: ": it could not go on, or its time was up, with work left",
    ExitCode.HUNG_UP: ": its terminal was closed",
    ExitCode.INTERRUPTED: ": it was stopped",
    ExitCode.TERMINATED: ": it was terminated",
}


def document(status: RunStatus) -> dict[str, Any]:
    """The JSON document of a run that answered."""
    return {
        "version": DOCUMENT_VERSION,
        "running": True,
        "answered": True,
        "pid": status.pid,
        "since": utc(status.started_at),
        **asdict(status.snapshot),
        "left": _left(status.snapshot),
        "waiting": status.waiting,
        "mode": status.mode,
        "done_before": status.done_before,
        "failed_before": status.failed_before,
        "begins_in_seconds": status.begins_in_seconds,
        "disk_silent_seconds": status.disk_silent_seconds,
        "next": asdict(status.next) if status.next is not None else None,
        "files": [{**asdict(file), "name": one_line(file.name), "share": _share(file)} for file in status.files],
    }


def _left(snapshot: RunSnapshot) -> int:
    """Files that are known and not done yet."""
    return max(0, snapshot.total - snapshot.done)


def _share(file: ActiveFile) -> float | None:
    """The part of a file that is done, 0 to 1; None where its length is not known."""
    if file.done is not None:
        return min(1.0, max(0.0, file.done / file.total)) if file.total else None
    return min(1.0, file.done_seconds / file.media_seconds) if file.media_seconds else None


def text(status: RunStatus, *, width: int) -> str:
    """The text for a run that answered. How long it runs is by its own clock, as the system's may have been set."""
    snapshot = status.snapshot
    state = _STATES[snapshot.state]
    runs_for = duration(snapshot.elapsed_seconds + status.disk_silent_seconds)
    if snapshot.state is RunState.WAITING:
        state += f", which opens in {clock(status.begins_in_seconds)}"
    if status.disk_silent_seconds:
        state = f"waiting for the output's disk, which has not answered for {duration(status.disk_silent_seconds)}"
    more = "" if snapshot.total_is_final else ", more are being looked for"
    done = f"{snapshot.done:,} of {count(snapshot.total, 'file')} done, {snapshot.failed:,} failed"
    lines = [
        f"State:  {state}",
        f"Run:    process {status.pid}, since {local_time(status.started_at)} ({runs_for})",
        f"Files:  {done}, {_left(snapshot):,} left{more}",
    ]
    if status.mode != Mode.AUTO:
        lines.append(f"Mode:   {status.mode}")
    if status.waiting:
        lines.append(f"        {count(status.waiting, 'more job')} wait for others, or to be looked at")
    if status.done_before or status.failed_before:
        lines.append(f"        by earlier runs: {status.done_before:,} done, {status.failed_before:,} failed")
    lines += [
        f"Use:    {memory_size(snapshot.memory_bytes)} of memory, {snapshot.cpu_percent:.0f}% of the machine's CPU",
        f"ETA:    {eta(snapshot)}",
    ]
    if status.files:
        lines.append(f"Active: {count(len(status.files), 'file')}")
        lines += [f"  {_file(file, width - 2)}" for file in status.files]
    if status.next is not None:
        lines.append(f"Next:   {shortened(one_line(status.next.name), max(8, width - 8))}")
        lines += wrapped(f"        waits because {status.next.reason}", width, indent="        ")
    return "\n".join(lines) + "\n"


def _file(file: ActiveFile, width: int) -> str:
    share = _share(file)
    done = f"{100 * share:3.0f}%" if share is not None else clock(file.done_seconds)
    speed = "still" if file.still else f"{file.speed:.2f}x" if file.speed else ""
    if file.done is not None:
        speed = speed or f"{file.done:g}" + (f"/{file.total:g}" if file.total else "")
    head = f"{done} {speed:>7}  "
    return head + shortened(one_line(file.name), max(8, width - len(head)))


def last_document(run: RunRow | None, counts: Counts, *, lives: bool) -> dict[str, Any]:
    """The JSON document where no run answered; `lives` is whether its process runs all the same."""
    last = None
    if run is not None:
        ended = None if run.ended_at is None else utc(run.ended_at)
        last = {"since": utc(run.started_at), "ended": ended, "exit_code": run.exit_code}
    return {
        "version": DOCUMENT_VERSION,
        "running": lives,
        "answered": False,
        "state": None,
        "pid": run.engine.pid if run is not None and lives else None,
        "last_run": last,
        "succeeded": counts.succeeded,
        "failed": counts.bad,
        "left": counts.total - counts.final,
        "waiting": counts.waiting,
    }


def last_text(run: RunRow | None, counts: Counts, *, lives: bool, output: str) -> str:
    """The text where no run answered, by the journal of `output` (printable)."""
    if run is None:
        counted = _counted(counts) if counts.total else ""  # of jobs that were submitted
        return f"Nothing runs on {output}, and no run is remembered.\n{counted}"
    began = local_time(run.started_at)
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
        why = next((end for code, end in _ENDS.items() if code == run.exit_code), "")
        head = (
            f"Nothing runs on {output}. The last run, of {began}, ended {local_time(run.ended_at)} with exit code "
            f"{run.exit_code}{why}."
        )
    return f"{head}\n{_counted(counts)}"


def _counted(counts: Counts) -> str:
    waiting = f", {counts.waiting:,} of them waiting for others" if counts.waiting else ""
    left = counts.total - counts.final
    return f"Files: {counts.succeeded:,} succeeded, {counts.bad:,} failed, {left:,} left{waiting}.\n"
