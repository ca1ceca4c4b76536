"""Where does a run stand, when will it be done, and why does its next file wait?"""

from __future__ import annotations

import os
import time

from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.eta import Eta, Pace, estimate, share_done
from pyprocessor.engine.monitor import Monitor
from pyprocessor.engine.transitions import Tally
from pyprocessor.models import ActiveFile, RunSnapshot, RunStatus
from pyprocessor.plan.admission import Conditions


class StatusTracker:
    """Measures the pace of one run."""

    def __init__(self, tally: Tally, dispatch: Dispatch, monitor: Monitor) -> None:
        self._tally = tally
        self._dispatch = dispatch
        self._monitor = monitor
        self._pace = Pace()
        self.latest: RunStatus
        """The status as of the last `status`."""
        self._began_at = time.time() - (time.monotonic() - tally.began)

    def status(self, on: Conditions, begins_in_seconds: float) -> RunStatus:
        """Where the run stands now. Work that waits begins only in so many seconds."""
        running = sorted(self._dispatch.running, key=lambda job: (job.started_seconds, job.job_id))
        self.latest = RunStatus(
            pid=os.getpid(),
            started_at=self._began_at,
            snapshot=self._snapshot(on, begins_in_seconds),
            done_before=self._tally.done_before,
            failed_before=self._tally.failed_before,
            begins_in_seconds=begins_in_seconds,
            files=tuple(
                ActiveFile(
                    name=job.name,
                    media_seconds=job.media_seconds or None,
                    done_seconds=job.progress_seconds,
                    speed=job.speed,
                    running_seconds=job.active_seconds(on.now),
                    still=job.is_still,
                )
                for job in running
            ),
            next=self._dispatch.next_waiting(on),
        )
        return self.latest

    def _snapshot(self, on: Conditions, begins_in_seconds: float) -> RunSnapshot:
        tally, reading, running = self._tally, self._monitor.reading, self._dispatch.running
        stopping = on.state.stopping
        units = sum(job.cores for job in running if not job.is_still)
        done = sum(job.queued.cpu_seconds * share_done(job, self._pace.rate, on.now) for job in running)
        self._pace = self._pace.after(on.now, tally.cost_done + done, units)
        eta = estimate(
            self._pace,
            units if on.allowance.hold or stopping else self._dispatch.width,
            [] if stopping else self._dispatch.work(),
            running,
            on.now,
            listing_done=not on.more_to_come,
        )
        # Nobody knows when a paused run goes on.
        eta = Eta() if on.state.paused else eta.after(begins_in_seconds)
        return RunSnapshot(
            done=tally.done,
            total=tally.total,
            total_is_final=not on.more_to_come,
            succeeded=tally.succeeded,
            failed=tally.failed,
            skipped=tally.skipped,
            active=len(running),
            memory_bytes=reading.our_memory_bytes,
            cpu_percent=reading.cpu_percent,
            elapsed_seconds=on.now - tally.began,
            eta_seconds=eta.seconds,
            eta_low_seconds=eta.low,
            eta_high_seconds=eta.high,
            draining=stopping,
            state=on.state,
        )
