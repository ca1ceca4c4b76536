"""Where a run stands and when it will be done: what listeners are told at every slow reading."""

from __future__ import annotations

import os
import time

from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.eta import Eta, InProgress, Pace, Waiting, estimate
from pyprocessor.engine.learning import Calibration
from pyprocessor.engine.monitor import Monitor
from pyprocessor.engine.tally import Tally
from pyprocessor.models import ActiveFile, RunSnapshot, RunState, RunStatus


class StatusTracker:
    """Measures the pace of one run."""

    def __init__(self, tally: Tally, dispatch: Dispatch, watch: Monitor, calibration: Calibration) -> None:
        self._tally = tally
        self._dispatch = dispatch
        self._monitor = watch
        self._calibration = calibration
        self._pace = Pace()
        self.latest: RunStatus
        """Where the run stood when that was last asked, once it was."""
        self._began_at = time.time() - (time.monotonic() - tally.began)

    def standing(self, now: float, *, listing_done: bool, state: RunState, begins_in_seconds: float) -> RunStatus:
        """Where the run stands now, on the monotonic clock. Work that waits begins only in so many seconds."""
        self.latest = RunStatus(
            pid=os.getpid(),
            started_at=self._began_at,
            snapshot=self._snapshot(now, listing_done, state, begins_in_seconds),
            done_before=self._tally.done_before,
            failed_before=self._tally.failed_before,
            begins_in_seconds=begins_in_seconds,
            files=self._files(now),
        )
        return self.latest

    def _snapshot(self, now: float, listing_done: bool, state: RunState, begins_in_seconds: float) -> RunSnapshot:
        model = self._calibration.model
        running = self._dispatch.running
        files = [
            InProgress(
                cpu_seconds=job.entry.cpu_seconds,
                spread=model.spread(job.entry.cost_class),
                threads=threads,
                share=job.share_done if job.media_seconds > 0 else None,
                active_seconds=job.active_seconds(now),
            )
            for job, threads in running
        ]
        units = sum(threads for job, threads in running if not job.is_still)
        behind = sum(file.cpu_seconds * file.done(self._pace.rate) for file in files)
        self._pace = self._pace.after(now, self._tally.cost_done + behind, units)
        work = [] if state.stopping else self._dispatch.work()
        eta = estimate(
            self._pace,
            self._dispatch.width if self._monitor.allowance.admit and not state.stopping else units,
            [Waiting(seconds, model.spread(cost_class)) for cost_class, seconds in work],
            files,
            listing_done=listing_done,
        )
        if state.paused:
            eta = Eta()  # nobody knows when it goes on
        return self._tally.snapshot(
            now, self._monitor.reading, len(files), listing_done, state, eta.after(begins_in_seconds)
        )

    def _files(self, now: float) -> tuple[ActiveFile, ...]:
        running = sorted((job for job, _ in self._dispatch.running), key=lambda job: (job.started_seconds, job.job_id))
        return tuple(
            ActiveFile(
                name=job.name,
                media_seconds=job.media_seconds or None,
                done_seconds=job.progress_seconds,
                speed=job.speed,
                running_seconds=job.active_seconds(now),
                still=job.is_still,
            )
            for job in running
        )
