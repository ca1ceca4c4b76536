"""Counts of one run, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass

from pyprocessor.engine.eta import Eta
from pyprocessor.models import OutcomeKind, Reading, RunSnapshot, RunState


@dataclass(slots=True)
class Tally:
    """Mutable counts, moved by the loop alone. Costs are predicted CPU-seconds."""

    began: float
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    done_before: int = 0
    failed_before: int = 0
    troubles: int = 0
    media_seconds: float = 0.0
    cost_done: float = 0.0

    @property
    def done(self) -> int:
        return self.succeeded + self.failed + self.skipped

    def settle(self, kind: OutcomeKind, cost_seconds: float) -> None:
        """Count a job that reached a final state by such an outcome."""
        self.cost_done += cost_seconds
        match kind:
            case OutcomeKind.SUCCEEDED:
                self.succeeded += 1
            case OutcomeKind.FAILED | OutcomeKind.QUARANTINED:
                self.failed += 1
            case _:
                self.skipped += 1

    def snapshot(
        self, now: float, reading: Reading, active: int, listing_done: bool, state: RunState, eta: Eta
    ) -> RunSnapshot:
        """Where the run stands; `active` files run now."""
        return RunSnapshot(
            done=self.done,
            total=self.total,
            total_is_final=listing_done,
            succeeded=self.succeeded,
            failed=self.failed,
            skipped=self.skipped,
            active=active,
            memory_bytes=reading.our_memory_bytes,
            cpu_percent=reading.cpu_percent,
            elapsed_seconds=now - self.began,
            eta_seconds=eta.seconds,
            eta_low_seconds=eta.low,
            eta_high_seconds=eta.high,
            draining=state.stopping,
            state=state,
        )
