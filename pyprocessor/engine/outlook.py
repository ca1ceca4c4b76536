"""Where a run stands and when it will be done: what listeners are told at every slow reading."""

from __future__ import annotations

from pyprocessor.engine.calibrating import Calibration
from pyprocessor.engine.dispatch import Dispatch
from pyprocessor.engine.eta import InProgress, Pace, Waiting, estimate
from pyprocessor.engine.tally import Tally
from pyprocessor.engine.watch import Watch
from pyprocessor.models import RunSnapshot


class Outlook:
    """Measures the pace of one run."""

    def __init__(self, tally: Tally, dispatch: Dispatch, watch: Watch, calibration: Calibration) -> None:
        self._tally = tally
        self._dispatch = dispatch
        self._watch = watch
        self._calibration = calibration
        self._pace = Pace()

    def snapshot(self, now: float, *, listing_done: bool, stopping: bool, begins_in_seconds: float) -> RunSnapshot:
        """Where the run stands now, on the monotonic clock. Work that waits begins only in so many seconds."""
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
        units = sum(threads for job, threads in running if not job.suspended)
        behind = sum(file.cpu_seconds * file.done(self._pace.rate) for file in files)
        self._pace = self._pace.after(now, self._tally.cost_done + behind, units)
        work = [] if stopping else self._dispatch.work()
        eta = estimate(
            self._pace,
            self._dispatch.width if self._watch.allowance.admit and not stopping else units,
            [Waiting(seconds, model.spread(cost_class)) for cost_class, seconds in work],
            files,
            listing_done=listing_done,
        )
        return self._tally.snapshot(
            now, self._watch.reading, len(files), listing_done, stopping, eta.after(begins_in_seconds)
        )
