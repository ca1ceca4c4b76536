"""What did an earlier run leave running or undecided, and how is it settled?

Living processes are identified by pid and start time. For a granted publish, size and mtime decide: under the final
name it was published, under the temporary name the rename is missing.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace

from pyprocessor.errors import FailureKind, OutputBusy, PublishError
from pyprocessor.intake.scan import existing_output
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import InputFolder, JobState, Outcome, OutcomeKind, OutputFacts, display
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.partials import Anchor, discard_attempts, partial_name, seal_of, sweep_partials
from pyprocessor.publish.publish import publish
from pyprocessor.publish.receipts import latest_run
from pyprocessor.state.receipt_index import Receipts
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.system.processes import is_alive, kill_group, process_identity, wait_gone

SETTLE_SECONDS = 5.0
"""How long processes that were killed may take to be gone."""
INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run ended before the file was done.")


Note = tuple[str, str]
"""The level of a notice, and a sentence about what an earlier run left."""


def begin_run(journal: Journal, folder: StateFolder, arguments: str) -> tuple[int, bool]:
    """Enter this run in the journal; returns its number, and whether the journal may lack outputs.

    They may where the last run did not end by itself, or where receipts are of later runs than the journal knows.
    """
    engine = process_identity(os.getpid())
    assert engine is not None
    last = journal.last_run()
    known, received = last.id if last is not None else 0, latest_run(folder.receipts)
    behind = received > known or (last is not None and last.ended_at is None)
    return journal.begin_run(arguments, engine, after=max(known, received)), behind


def recover(
    journal: Journal, folder: StateFolder, output_root: bytes, *, behind: bool, folders: tuple[InputFolder, ...] = ()
) -> list[Note]:
    """Settle what an earlier run left; returns what was found. Call `refuse_if_busy` before."""
    # Also where the leader of a group is gone: its ffmpegs may have outlived it.
    left = [batch.worker for batch in journal.open_batches() if kill_group(batch.worker)]
    notes = [("info", f"Ended process {worker.pid}, which an earlier run had left behind.") for worker in left]
    until = time.monotonic() + SETTLE_SECONDS
    for worker in left:
        # The disk decides about what it was publishing, so it must not touch that any more.
        wait_gone(worker, max(0.0, until - time.monotonic()))
    with journal.transaction():
        journal.abandon_open()
        rows = list(journal.jobs(JobState.PUBLISHING))
        notes += [("info", _settle(journal, folder, output_root, row, folders)) for row in rows]
    try:
        if removed := sweep_partials(folder.partials):
            notes.append(("info", f"Removed {removed} unfinished temporary file(s) of an earlier run."))
    except PublishError as error:
        notes.append(("warning", f"What an earlier run left unfinished stays there: {error}"))
    if others := os.listdir(folder.partials):
        text = (
            f"{display(os.path.join(folder.partials, min(others)))} is no unfinished output of pyprocessor "
            f"and was left alone, {len(others)} such file(s) in all; better keep nothing in that folder."
        )
        notes.append(("info", text))
    if behind or not journal.knows_outputs():
        notes += _take_in_receipts(journal, folder)
    return notes


def set_aside(journal: Journal, most_killed_runs: int) -> list[str]:
    """Quarantine jobs that so many killed runs in a row worked on; returns a sentence about each."""
    sentences = []
    for row in [row for row in journal.jobs(JobState.PENDING, journal.run_id) if row.killed_runs >= most_killed_runs]:
        reason = (
            f"{row.killed_runs} runs in a row were killed while it was being worked on, so the file is set aside; "
            "--retry-failed tries it again."
        )
        journal.finish(row.id, None, Outcome(OutcomeKind.QUARANTINED, reason, FailureKind.CRASH))
        sentences.append(f"{display(row.source.relative)}: {reason}")
    return sentences


def refuse_if_busy(journal: Journal, output_root: bytes) -> None:
    """Raise `OutputBusy` where another run in the journal is alive, though its lock was removed."""
    for run in journal.open_runs():
        if run.engine.pid != os.getpid() and is_alive(run.engine):
            raise OutputBusy(
                f"Another run (process {run.engine.pid}) is working on {display(output_root)}, though its lock was "
                "removed; wait until it has ended, or give another --output."
            )


def _take_in_receipts(journal: Journal, folder: StateFolder) -> list[Note]:
    """Take in outputs that receipts list and the journal lacks; of an old journal, only those on the disk."""
    anew = not journal.knows_outputs()
    try:
        receipts = Receipts(folder)
    except PublishError as error:
        unknown = "Whether the journal knows all that earlier runs made cannot be found out"
        if anew:
            unknown = "What earlier runs made cannot be found out, so it is left as it is"
        return [("error", f"{unknown}: {error}")]
    notes, found = [], 0
    if receipts.damaged_lines:
        text = (
            f"{receipts.damaged_lines} line(s) of the receipts in {display(folder.receipts)} are damaged and were "
            "passed over; an output that only they list is taken for somebody else's and left alone."
        )
        notes.append(("warning", text))
    with journal.transaction():
        for made in receipts.outputs() if anew else receipts.standing():
            known = journal.made(made.output)
            if known is None or seal_of(known.facts) != seal_of(made.facts):
                journal.remember_output(made)
                found += 1
    if found and anew:
        text = (
            f"The journal of earlier runs is gone. The receipts in {display(folder.receipts)} list {found} "
            "output(s) that they made: what is still as it was made is not made again."
        )
        notes.append(("warning", text))
    elif found:
        text = f"{found} output(s) of an earlier run were not in the journal and are known again from their receipts."
        notes.append(("warning", text))
    return notes


def drop_partial(partials: Anchor, name: str) -> None:
    """Remove what an attempt of a dead process left, by its name; if that fails, the next run does it."""
    with contextlib.suppress(PublishError):
        partials.check()
        discard_attempts(partials.path, (name,))


def was_published(output_root: bytes, row: JobRow) -> bool:
    """Whether what lies under the final name is what the publish was granted for."""
    return _lies(os.path.join(output_root, row.output), row.granted)


def may_replace(journal: Journal, output_root: bytes, row: JobRow) -> bool:
    """Whether the file under the final name is, still at this moment, as a run made it, and may be replaced."""
    final, made = os.path.join(output_root, row.output), journal.made(row.output)
    return _lies(final, row.produced) or (made is not None and _lies(final, made.facts))


def _lies(path: bytes, facts: OutputFacts | None) -> bool:
    """Whether the file with these facts lies there."""
    return facts is not None and existing_output(path) == seal_of(facts)


def _settle(
    journal: Journal, folder: StateFolder, output_root: bytes, row: JobRow, folders: tuple[InputFolder, ...]
) -> str:
    granted, attempt_id, name = row.granted, row.attempt_id, display(row.output)
    assert granted is not None
    assert attempt_id is not None
    if not was_published(output_root, row):
        partial = _partial(folder.partials, row)
        if partial is None:
            journal.requeue(row.id, attempt_id, INTERRUPTED, charge=False)
            return f"{name} is done again: an earlier run ended while it was being published."
        try:
            size_bytes, mtime_ns = publish(
                partial,
                os.path.join(output_root, row.output),
                seal=seal_of(granted),
                replace=may_replace(journal, output_root, row),
                bounds=Bounds(output_root, row.source, folders),
            )
        except PublishError as error:
            journal.requeue(row.id, attempt_id, INTERRUPTED, charge=False)
            return f"{name} was verified by an earlier run but could not be given its name: {error}"
        granted = replace(granted, size_bytes=size_bytes, mtime_ns=mtime_ns)
    journal.succeed(row.id, attempt_id, granted, None)
    return f"{name} was finished by an earlier run that ended before it could take note."


def _partial(partials: bytes, row: JobRow) -> bytes | None:
    """Return the path of the temporary file that the row's publish was granted for, if it is there."""
    start = partial_name(row.id, "").encode("ascii")
    found = (os.path.join(partials, name) for name in os.listdir(partials) if name.startswith(start))
    return next((path for path in found if _lies(path, row.granted)), None)
