"""Do the journal, the receipts and the files of an output agree? One sentence for each thing that does not."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState, Origin, display
from pyprocessor.models.products import Seal
from pyprocessor.publish.seals import seal_at
from pyprocessor.state.receipt_index import Receipts
from pyprocessor.state.state_folder import StateFolder


def disagreements(journal: JournalReader, folder: StateFolder) -> Iterator[str]:
    """Yield what is wrong; `folder` is the state folder of the output. Raises PublishError for unreadable receipts.

    Every product of a job that succeeded lies under its name with the size and time that the journal has (of a folder:
    the digest), and its receipt has the same; and every receipt of something that lies there is in the journal.
    """
    root, receipts = os.path.dirname(folder.path), Receipts(folder)
    if receipts.damaged_lines:
        yield f"The receipts in {display(folder.receipts)} have {receipts.damaged_lines} damaged line(s)."
    for row in journal.jobs(JobState.SUCCEEDED):
        if row.origin is Origin.CHILD:
            continue  # what it left is gone once it was used
        for product in row.products:
            made = journal.made(product.name)
            seal = made.facts.seal if made is not None else None
            if product.name == row.output and row.produced is not None:
                if seal is not None and seal != row.produced.seal:
                    yield f"{display(product.name)}: the journal has two sizes or times for it."
                seal = row.produced.seal
            if seal is None:
                yield f"{display(product.name)}: {row.name} made it, and the journal does not say what it was."
                continue
            if made is not None and made.params_fingerprint != row.params_fingerprint:
                yield f"{display(product.name)}: the journal names other settings for it than for {row.name}."
            yield from _of_file(root, product.name, seal)
            receipt = receipts.made(product.name)
            if receipt is None:
                yield f"{display(product.name)}: there is no receipt of it."
            elif receipt.facts.seal != seal:
                yield f"{display(product.name)}: its receipt is of something else than the journal's record."
            elif made is not None and receipt.params_fingerprint != made.params_fingerprint:
                yield f"{display(product.name)}: its receipt names other settings than the journal's record."
    last = journal.last_run()
    killed = (
        "; the last run was killed, and the next one enters it" if last is not None and last.ended_at is None else ""
    )
    for standing in receipts.standing():
        if journal.made(standing.output) is None:
            name = display(standing.output)
            yield f"{name}: it lies there with a receipt, and the journal has no record of it{killed}."


def _of_file(root: bytes, name: bytes, seal: Seal) -> Iterator[str]:
    try:
        there = seal_at(os.path.join(root, name))
    except OSError as error:
        yield f"{display(name)}: it cannot be looked at: {error.strerror}."
        return
    if there is None:
        yield f"{display(name)}: it is not there any more."
    elif there[0] != seal[0]:
        yield f"{display(name)}: it has {there[0]:,} bytes, where {seal[0]:,} were made."
    elif there != seal:
        yield f"{display(name)}: it was changed since it was made."
