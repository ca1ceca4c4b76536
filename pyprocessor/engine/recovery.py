"""What did an earlier run leave running or undecided, and how is it settled?

Living processes are identified by pid and start time. For a granted publish, size and mtime decide: under the final
name it was published, under the temporary name the rename is missing.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.intake.details import INTERMEDIATE
from pyprocessor.journal.audit import BEGUN_BY
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import JobState, Origin, Outcome, OutcomeKind, OutputFacts, Source, display
from pyprocessor.models.products import Intent, Seal
from pyprocessor.models.run import RunRequest
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.grants import settle
from pyprocessor.publish.kept import keeper_of
from pyprocessor.publish.partials import Anchor, discard, discard_attempts, sweep_partials, token_of
from pyprocessor.publish.receipts import Receipt, ReceiptWriter, latest_run
from pyprocessor.publish.seals import seal_at
from pyprocessor.state.receipt_index import Receipts
from pyprocessor.state.state_folder import StateFolder
from pyprocessor.system.left_behind import kill_marked, mark
from pyprocessor.system.own_process import user_name
from pyprocessor.system.processes import kill_group, process_identity, wait_gone

SETTLE_SECONDS = 5.0
"""How long processes that were killed may take to be gone."""
_ID = re.compile(rb"[0-9a-f]{32}")
"""A job's id, with which the names of its products begin where it is a part of another."""
INTERRUPTED = Outcome(OutcomeKind.INTERRUPTED, "The run ended before the file was done.")


Note = tuple[str, str]
"""The level of a notice, and a sentence about what an earlier run left."""


def begin_run(journal: Journal, folder: StateFolder, request: RunRequest) -> tuple[int, bool]:
    """Enter this run in the journal, with its settings; returns its number, and whether the journal may lack outputs.

    They may where the last run did not end by itself, or where receipts are of later runs than the journal knows.
    """
    engine = process_identity(os.getpid())
    assert engine is not None
    last = journal.last_run()
    known, received = last.id if last is not None else 0, latest_run(folder.receipts)
    behind = received > known or (last is not None and last.ended_at is None)
    with journal.transaction():
        run_id = journal.begin_run(request.arguments, engine, after=max(known, received))
        journal.note_settings(request.profile)
        journal.add_event(BEGUN_BY, user_name())
    return run_id, behind


def recover(journal: Journal, folder: StateFolder, request: RunRequest, *, behind: bool) -> list[Note]:
    """Settle what an earlier run left; returns what was found. Call `refuse_if_busy` before."""
    # Also where the leader of a group is gone: its ffmpegs may have outlived it.
    left = [worker for worker in journal.open_workers() if kill_group(worker)]
    notes = [("info", f"Ended process {worker.pid}, which an earlier run had left behind.") for worker in left]
    until = time.monotonic() + SETTLE_SECONDS
    for worker in left:
        # The disk decides about what it was publishing, so it must not touch that any more.
        wait_gone(worker, max(0.0, until - time.monotonic()))
    if behind and (strays := kill_marked(mark(folder.path))):
        notes.append(("info", f"Ended {strays} process(es) that calls of an earlier run had left behind."))
    with journal.transaction():
        journal.abandon_open()
        rows = list(journal.jobs(JobState.PUBLISHING))
        notes += [("info", _settle(journal, folder, request, row)) for row in rows]
        unsettled = journal.counts().publishing
    try:
        if not unsettled and (removed := sweep_partials(folder.partials)):
            notes.append(("info", f"Removed {removed} unfinished temporary file(s) of an earlier run."))
    except PublishError as error:
        notes.append(("warning", f"What an earlier run left unfinished stays there: {error}"))
    _sweep_intermediates(journal, request.output)
    if others := [name for name in os.listdir(folder.partials) if keeper_of(name) is None]:
        text = (
            f"{display(os.path.join(folder.partials, min(others)))} is no unfinished output of pyprocessor "
            f"and was left alone, {len(others)} such file(s) in all; better keep nothing in that folder."
        )
        notes.append(("info", text))
    if behind or not journal.knows_outputs():
        notes += _take_in_receipts(journal, folder)
    return notes


def _sweep_intermediates(journal: Journal, output_root: bytes) -> None:
    """Remove what jobs left that others were made of which need it no more."""
    for path, row in intermediates(journal, output_root):
        if row is None:  # pruned, or of a journal that is lost
            needless = True
        elif row.origin is not Origin.CHILD or (row.is_fetch and journal.is_wanted(row.id)):
            needless = False
        else:
            parent = journal.job(row.parent)
            needless = parent is None or parent.state is JobState.SUCCEEDED or row.id not in journal.needs(parent.id)
        if needless:
            with contextlib.suppress(PublishError):
                discard(path)


def intermediates(journal: Journal, output_root: bytes) -> Iterator[tuple[bytes, JobRow | None]]:
    """Yield the paths of what jobs left for others, each with the job that left it; None where no journal has that."""
    folder = os.path.join(output_root, INTERMEDIATE)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if job_id := _ID.match(name):
            yield os.path.join(folder, name), journal.job(job_id[0].decode("ascii"))


def sweep_kept(journal: Journal, folder: StateFolder, asks_for: Callable[[str], bool]) -> None:
    """Remove what jobs have kept for attempts that will not come, once it is known what this run tries again.

    What a job has kept that ended in vain, and that this run does not ask for, is for a run that does.
    """
    for name in os.listdir(folder.partials):
        if (job_id := keeper_of(name)) is not None:
            row = journal.job(job_id)
            in_vain = row is not None and row.state.is_failure
            if row is None or (row.final and not (in_vain and not asks_for(job_id))):
                with contextlib.suppress(PublishError):
                    discard(os.path.join(folder.partials, name))


def set_aside(journal: Journal, most_killed_runs: int) -> list[str]:
    """Quarantine jobs that so many killed runs in a row worked on; returns a sentence about each."""
    sentences = []
    for row in [row for row in journal.jobs(JobState.PENDING, journal.run_id) if row.killed_runs >= most_killed_runs]:
        reason = (
            f"{row.killed_runs} runs in a row were killed while it was being worked on, so the file is set aside; "
            "--retry-failed tries it again."
        )
        journal.finish(row.id, None, Outcome(OutcomeKind.QUARANTINED, reason, FailureKind.CRASH))
        if row.origin is Origin.CHILD:  # what waits for others follows when the run counts them
            journal.follow(row.id)
        sentences.append(f"{display(row.source.relative)}: {reason}")
    return sentences


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
            if known is None or known.facts.seal != made.facts.seal:
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
    """Whether what lies under the final names is all that the publish was granted for."""
    intents = row.intents or ()
    return bool(intents) and all(
        _lies(os.path.join(output_root, intent.product.name), intent.seal) for intent in intents
    )


@dataclass(frozen=True, slots=True)
class Replaceable:
    """The names under which lies what a run made there, each looked at when it is asked for."""

    journal: Journal
    output_root: bytes
    row: JobRow

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, bytes):
            return False
        final, made = os.path.join(self.output_root, name), self.journal.made(name)
        known = [self.row.produced if name == self.row.output else None, made.facts if made is not None else None]
        return any(facts is not None and _lies(final, facts.seal) for facts in known)


def _lies(path: bytes, seal: Seal) -> bool:
    try:
        return seal_at(path) == seal
    except OSError:
        return False


def settle_grant(journal: Journal, folder: StateFolder, request: RunRequest, row: JobRow) -> OutputFacts | None:
    """Finish what a publish was granted for, or take it back; returns the main product's facts where all is there.

    Call it only when the process that had the grant is gone: it may have died before it wrote the receipt. Raises
    PublishError.
    """
    granted, intents = row.granted, row.intents
    assert granted is not None
    assert intents is not None
    bounds = Bounds(request.output, row.source, request.folders)
    if not was_published(request.output, row):
        _write_receipt(journal, folder, row, intents)
    allowed = Replaceable(journal, request.output, row)
    placed = settle(intents, partials=folder.partials, bounds=bounds, allowed=allowed)
    if not placed:
        return None
    size_bytes, mtime_ns = placed[-1].seal
    return replace(granted, size_bytes=size_bytes, mtime_ns=mtime_ns)


def _write_receipt(journal: Journal, folder: StateFolder, row: JobRow, intents: tuple[Intent, ...]) -> None:
    own = (row.source,) if row.source.path else ()
    inputs = (*own, *(given for given in row.inputs if isinstance(given, Source)))
    products = tuple((intent.product, intent.seal) for intent in intents)
    token = token_of(intents[0].temporary)
    writer = ReceiptWriter(folder.receipts, journal.run_id)
    try:
        writer.append(Receipt(products, inputs, row.params_fingerprint, row.task, token))
    finally:
        writer.close()


def _settle(journal: Journal, folder: StateFolder, request: RunRequest, row: JobRow) -> str:
    attempt_id, name = row.attempt_id, display(row.output)
    assert attempt_id is not None
    try:
        facts = settle_grant(journal, folder, request, row)
    except PublishError as error:
        if error.kind is not FailureKind.DISK:  # else it may lie half-way, for the next run to settle
            journal.requeue(row.id, attempt_id, INTERRUPTED, charge=False)
        return f"{name} was verified by an earlier run but could not be given its name: {error}"
    if facts is None:
        journal.requeue(row.id, attempt_id, INTERRUPTED, charge=False)
        return f"{name} is done again: an earlier run ended while it was being published."
    journal.succeed(row.id, attempt_id, facts, None)
    journal.follow(row.id)
    return f"{name} was finished by an earlier run that ended before it could take note."
