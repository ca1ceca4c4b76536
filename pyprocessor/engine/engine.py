"""The engine: opens what a run needs, in the order in which it has to be, runs it, and puts all back.

state folder -> lock -> journal -> signals -> the loop -> the user's program for the end
"""

from __future__ import annotations

import gc

from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import Emergency
from pyprocessor.costs import CostModel
from pyprocessor.engine.hooks import call_at_end
from pyprocessor.engine.loop import Run, RunResult
from pyprocessor.engine.recovery import refuse_if_busy
from pyprocessor.models.listener import Listener, RunRequest
from pyprocessor.state.journal_opening import marking_damage, open_journal
from pyprocessor.state.run_lock import hold
from pyprocessor.state.state_folder import make_private, prepare_state_folder, refuse_planted
from pyprocessor.system import shares_memory
from pyprocessor.workers.process import context


class Engine:
    """One run over one request.

    `emergency` is asked to end the program where the output's disk lets the run do nothing more.
    `model` is what to predict costs with instead of what earlier runs learned, and `cores` how many cores to reckon
    with instead of those there are; both are for measurements.
    """

    def __init__(
        self,
        request: RunRequest,
        listener: Listener,
        *,
        emergency: Emergency | None = None,
        start_method: str | None = None,
        model: CostModel | None = None,
        cores: float | None = None,
    ) -> None:
        self._request = request
        self._listener = listener
        self._emergency = emergency
        self._context = context(start_method)
        self._model = model
        self._cores = cores

    def run(self) -> RunResult:
        """Do all there is to do. Raises `OutputBusy`, `OutputUnwritable` or `JournalError` before anything began."""
        folder = prepare_state_folder(self._request.output)
        made_private = make_private(folder)
        refuse_planted(folder)
        # What was imported stays to the end: collecting garbage need not go through it again and again.
        gc.freeze()
        gc.enable()
        run: Run | None = None
        try:
            with hold(folder.path, self._request.output) as held:
                journal, rebuilt = open_journal(folder, wal=shares_memory(folder.path))
                with marking_damage(folder), journal, SignalQueue() as interrupts:
                    refuse_if_busy(journal, self._request.output)
                    run = Run(
                        self._request,
                        self._listener,
                        self._context,
                        folder,
                        held,
                        journal,
                        interrupts,
                        emergency=self._emergency,
                        made_private=made_private,
                        rebuilt=rebuilt,
                        model=self._model,
                        cores=self._cores,
                    )
                    return run.go()
        finally:
            # Only now, so that what is called finds the journal closed and the output free.
            if run is not None:
                call_at_end(self._request.profile.hooks, run.last_call(), folder.logs, self._listener.notice)
