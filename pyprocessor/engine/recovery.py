"""What a run does first: end what an earlier one left running, and settle what it left undecided.

An earlier engine may have died at any moment. Its batch processes end themselves when their pipe closes; what is still
alive is known by pid and start time. A job whose publish was granted is decided by the disk: the granted size and mtime
under the final name mean that it was published, under the temporary name that it was verified and only the rename is
missing. All else goes back to the queue. Where the journal itself is gone, receipts tell what was made.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace

from pyprocessor.engine.recall import recalled
from pyprocessor.engine.scan import existing_output
from pyprocessor.engine.system import is_alive, kill_group, wait_gone
from pyprocessor.errors import FailureKind, OutputBusy, PublishError
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import JobState, Outcome, OutcomeKind, display
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.partials import OutputSeal, discard, partial_name, sweep_partials
from pyprocessor.publish.publish import publish
from pyprocessor.publish.state_folder import StateFolder

SETTLE_SECONDS = 5.0
"""How long processes that were killed may take to be gone."""
INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run ended before the file was done.")


def recover(journal: Journal, folder: StateFolder, output_root: bytes) -> list[str]:
    """Bring the journal and the disk to rest; returns sentences about what was found.

    Call `refuse_if_busy` before.
    """
    # Also where the leader of a group is gone: its ffmpegs may have outlived it.
    left = [batch.worker for batch in journal.open_batches() if kill_group(batch.worker)]
    notes = [f"Ended process {worker.pid}, which an earlier run had left behind." for worker in left]
    until = time.monotonic() + SETTLE_SECONDS
    for worker in left:
        # What it was publishing is decided by the disk, which it should not touch any more.
        wait_gone(worker, max(0.0, until - time.monotonic()))
    with journal.transaction():
        journal.abandon_open()
        notes.extend(_settle(journal, folder, output_root, row) for row in list(journal.publishing_jobs()))
    removed = sweep_partials(folder.partials)
    if removed:
        notes.append(f"Removed {removed} unfinished temporary file(s) of an earlier run.")
    return [*notes, *_recall(journal, folder)]


def set_aside(journal: Journal, most_killed_runs: int) -> list[str]:
    """Quarantine jobs that were being worked on when so many runs in a row were killed: they may be what killed them.

    Call `recover` before. Returns a sentence about each.
    """
    deadly = [row for row in journal.jobs(JobState.PENDING, journal.run_id) if row.killed_runs >= most_killed_runs]
    sentences = []
    for row in deadly:
        reason = (
            f"{display(row.source.relative)}: {row.killed_runs} runs in a row were killed while it was being worked "
            "on, so the file is set aside; --retry-failed tries it again."
        )
        journal.finish(row.id, None, Outcome(OutcomeKind.QUARANTINED, reason, FailureKind.CRASH))
        sentences.append(reason)
    return sentences


def refuse_if_busy(journal: Journal, output_root: bytes) -> None:
    """Raise `OutputBusy` where another run that the journal knows of still lives, though its lock was removed."""
    for run in journal.open_runs():
        if run.engine.pid != os.getpid() and is_alive(run.engine):
            raise OutputBusy(
                f"Another run (process {run.engine.pid}) is working on {display(output_root)}, though its lock was "
                "removed; wait until it has ended, or give another --output."
            )


def _recall(journal: Journal, folder: StateFolder) -> list[str]:
    """Where the journal is new and outputs are not, take in what the receipts tell of them."""
    if journal.knows_outputs():
        return []
    try:
        receipts = recalled(folder)
    except PublishError as error:
        return [f"What earlier runs made cannot be told, so it is left as it is: {error}"]
    if not receipts:
        return []
    with journal.transaction():
        for made in receipts.outputs():
            journal.remember_output(made)
    told = (
        f"The journal of earlier runs is gone. The receipts in {display(folder.receipts)} tell of {len(receipts)} "
        "output(s) that they made: what is still as it was made is not made again."
    )
    return [told]


def drop_partial(folder: StateFolder, name: str) -> None:
    """Remove what a dead process left unfinished under this temporary name; where that fails, the next run does it."""
    with contextlib.suppress(PublishError):
        discard(os.path.join(folder.partials, name.encode("ascii")))


def was_published(output_root: bytes, row: JobRow) -> bool:
    """Whether what lies under the final name is what the publish was granted for."""
    granted = row.granted
    final = existing_output(os.path.join(output_root, row.output))
    return granted is not None and final == (granted.size_bytes, granted.mtime_ns)


def _settle(journal: Journal, folder: StateFolder, output_root: bytes, row: JobRow) -> str:
    granted = row.granted
    attempt_id = row.attempt_id
    assert granted is not None
    assert attempt_id is not None
    name = display(row.output)
    partial = os.path.join(folder.partials, partial_of(row).encode("ascii"))
    final = os.path.join(output_root, row.output)
    if not was_published(output_root, row) and existing_output(partial) == (granted.size_bytes, granted.mtime_ns):
        try:
            found = publish(
                partial,
                final,
                seal=OutputSeal(granted.size_bytes, granted.mtime_ns),
                replace=row.produced is not None,
                bounds=Bounds(output_root, row.source),
            )
        except PublishError as error:
            journal.requeue(row.id, attempt_id, INTERRUPTED, charge=False)
            return f"{name} was verified by an earlier run but could not be given its name: {error}"
        granted = replace(granted, size_bytes=found.size_bytes, mtime_ns=found.mtime_ns)
    elif not was_published(output_root, row):
        journal.requeue(row.id, attempt_id, INTERRUPTED, charge=False)
        return f"{name} is done again: an earlier run ended while it was being published."
    journal.succeed(row.id, attempt_id, granted, None)
    return f"{name} was finished by an earlier run that ended before it could take note."


def partial_of(row: JobRow) -> str:
    """Temporary name of the attempt that the row counted last."""
    return partial_name(row.id, row.attempts, os.path.splitext(row.output)[1].decode("ascii", "ignore").lstrip("."))
