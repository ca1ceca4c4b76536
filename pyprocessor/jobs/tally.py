"""How many files of a run are where, and how much of its work is done?"""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.models import OutcomeKind


@dataclass(slots=True)
class Tally:
    """Counts of one run. `cost_done` is predicted CPU-seconds."""

    began: float
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    """Of those that were skipped."""
    done_before: int = 0
    failed_before: int = 0
    troubles: int = 0
    media_seconds: float = 0.0
    cost_done: float = 0.0

    to_come: int = 0
    """Jobs of no folder that are not queued yet: they wait for others, or are still to be planned."""

    @property
    def done(self) -> int:
        return self.succeeded + self.failed + self.skipped

    def ended(self, kind: OutcomeKind, times: int = 1) -> None:
        """Count one that has reached a final state."""
        match kind:
            case OutcomeKind.SUCCEEDED:
                self.succeeded += times
            case OutcomeKind.FAILED | OutcomeKind.QUARANTINED:
                self.failed += times
            case _:
                self.skipped += times
                self.cancelled += times * (kind is OutcomeKind.CANCELLED)

    def forget(self, kind: OutcomeKind) -> None:
        """Take back that one has ended: it is done again."""
        self.total -= 1
        self.ended(kind, -1)
