"""What a run does first: end what an earlier one left running, and settle what it left undecided.

An earlier engine may have died at any moment. Its batch processes end themselves when their pipe closes; what is still
alive is known by pid and start time. A job whose publish was granted is decided by the disk: the granted size and mtime
under the final name mean that it was published, under the temporary name that it was verified and only the rename is
missing. All else goes back to the queue.
"""

from __future__ import annotations

import os
from dataclasses import replace

from pyprocessor.engine.scan import existing_output
from pyprocessor.engine.system import kill_group
from pyprocessor.errors import PublishError
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import Outcome, OutcomeKind, display
from pyprocessor.publish.partials import OutputSeal, partial_name, sweep_partials
from pyprocessor.publish.publish import publish
from pyprocessor.publish.state_folder import StateFolder

INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run ended before the file was done.")


def recover(journal: Journal, folder: StateFolder, output_root: bytes) -> list[str]:
    """Bring the journal and the disk to rest; returns sentences about what was found."""
    # Also where the leader of a group is gone: its ffmpegs may have outlived it.
    notes = [
        f"Ended process {batch.worker.pid}, which an earlier run had left behind."
        for batch in journal.open_batches()
        if kill_group(batch.worker)
    ]
    with journal.transaction():
        journal.abandon_open()
        notes.extend(_settle(journal, folder, output_root, row) for row in list(journal.publishing_jobs()))
    removed = sweep_partials(folder.partials)
    if removed:
        notes.append(f"Removed {removed} unfinished temporary file(s) of an earlier run.")
    return notes


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
