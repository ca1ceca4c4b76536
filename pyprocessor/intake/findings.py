"""What can become of a file that was found? The classifier's verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.intake.messages import Remark
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import CostFeatures, Job, Outcome, OutputFacts
from pyprocessor.workers.messages import InputAway


@dataclass(frozen=True, slots=True)
class Todo:
    """A job to do. `fresh` says that its media was read now and is not in the journal yet.

    `replaces` is the output of this source that lies under its name, and so may be replaced.
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
    """A job whose output is there and right, though the journal does not say so."""

    job: Job
    facts: OutputFacts


@dataclass(frozen=True, slots=True)
class Untouched:
    """A file that this run leaves out by its settings; what the journal knows of it still holds."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Settled:
    """A file that ends without an attempt.

    `inspection_failed` says that inspecting would fail again as long as the file stays as it is.
    """

    job: Job
    outcome: Outcome
    inspection_failed: bool = False


Finding = Todo | AlreadyDone | Adopted | Untouched | Settled | Remark | InputAway
"""After an `InputAway`, what is said of files does not count."""
