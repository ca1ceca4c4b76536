"""Where does a run stand, when will it be done, and why does its next file wait?"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from pyprocessor.engine.call_dispatch import CallDispatch
from pyprocessor.engine.monitor import Monitor
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.jobs.tally import Tally
from pyprocessor.models import ActiveFile, RunSnapshot, RunStatus
from pyprocessor.plan.admission import Conditions
from pyprocessor.plan.ahead import MOST_WAITING
from pyprocessor.plan.eta import Eta, Pace, estimate, share_done


@dataclass(eq=False)
class StatusTracker:
    """Measures the pace of one run."""

    tally: Tally
    dispatch: CallDispatch
    monitor: Monitor
    latest: RunStatus = field(init=False)
    _pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        self._began_at = time.time() - (time.monotonic() - self.tally.began)

    def status(self, on: Conditions, begins_in_seconds: float) -> RunStatus:
        """Where the run stands now. Work that waits begins only in so many seconds."""
        tally, reading = self.tally, self.monitor.reading
        running = sorted(self.dispatch.running, key=lambda job: (job.started_seconds, job.job_id))
        eta = self._eta(on, running, begins_in_seconds)
        snapshot = RunSnapshot(
            done=tally.done,
            total=tally.total + tally.to_come,
            total_is_final=not on.more_to_come,
            succeeded=tally.succeeded,
            failed=tally.failed,
            skipped=tally.skipped,
            cancelled=tally.cancelled,
            active=len(running),
            memory_bytes=reading.our_memory_bytes,
            cpu_percent=reading.cpu_percent,
            elapsed_seconds=on.now - tally.began,
            eta_seconds=eta.seconds,
            eta_low_seconds=eta.low,
            eta_high_seconds=eta.high,
            draining=on.state.stopping,
            state=on.state,
        )
        files = (
            ActiveFile(
                name=job.name,
                media_seconds=job.media_seconds or None,
                done_seconds=job.progress_seconds,
                speed=job.speed,
                running_seconds=job.active_seconds(on.now),
                still=job.is_stopped,
                done=job.reported[0] if job.is_call and any(job.reported) else None,
                total=job.reported[1] if job.is_call else None,
            )
            for job in running
        )
        self.latest = RunStatus(
            pid=os.getpid(),
            started_at=self._began_at,
            snapshot=snapshot,
            done_before=tally.done_before,
            failed_before=tally.failed_before,
            begins_in_seconds=begins_in_seconds,
            files=tuple(files),
            next=self.dispatch.next_waiting(on),
            waiting=tally.to_come,
            mode=self.dispatch.mode.text,
        )
        return self.latest

    def _eta(self, on: Conditions, running: list[RunningJob], begins_in_seconds: float) -> Eta:
        """Measure the pace once more, and estimate by it."""
        stopping = on.state.stopping
        units = sum(job.cores for job in running if not job.is_stopped)
        done = sum(job.queued.cpu_seconds * share_done(job, self._pace.rate, on.now) for job in running)
        self._pace = self._pace.after(on.now, self.tally.cost_done + done, units)
        eta = estimate(
            self._pace,
            units if on.allowance.hold or stopping else self.dispatch.width,
            [] if stopping else self.dispatch.work(),
            running,
            on.now,
            listing_done=not on.more_to_come,
            beside_seconds=0.0 if stopping else self.dispatch.queue.waiting.wall_seconds(1) / MOST_WAITING,
        )
        # Nobody knows when a paused run goes on.
        return Eta() if on.state.paused else eta.after(begins_in_seconds)
