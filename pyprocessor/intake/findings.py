"""What discovery says of a file, or of the input as a whole."""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.journal.rows import JobRow
from pyprocessor.models import CostFeatures, Job, Outcome, OutputFacts


@dataclass(frozen=True, slots=True)
class Todo:
    """A job to do. Its media was read now and is not in the journal yet when `fresh`.

    `replaces` is what lies under its name and was made of its source, so that it may be replaced.
    """

    job: Job
    features: CostFeatures
    fresh: bool
    replaces: OutputFacts | None = None


@dataclass(frozen=True, slots=True)
class AlreadyDone:
    """A job that an earlier run brought to a final state which still holds."""

    row: JobRow
    note: str = ""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A job whose output is there and right, though the journal's row does not say so."""

    job: Job
    facts: OutputFacts


@dataclass(frozen=True, slots=True)
class Untouched:
    """A file that this run leaves out by its settings; what the journal knows of it still holds."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """A file that ends without an attempt: it cannot be done, or is left alone. `inspection_failed` says that
    inspecting would fail again as long as the file stays as it is."""

    job: Job
    outcome: Outcome
    inspection_failed: bool = False


@dataclass(frozen=True, slots=True)
class Trouble:
    """A message about the input as a whole; where `serious`, files may be missing.

    `closing` says that it belongs into the closing table, too: files that are not taken.
    """

    text: str
    serious: bool = True
    closing: bool = False


@dataclass(frozen=True, slots=True)
class Away:
    """The input as a whole is gone, with why as a sentence; what is said of files after that is of no account."""

    reason: str


Finding = Todo | AlreadyDone | Adopted | Untouched | Settled | Trouble | Away
