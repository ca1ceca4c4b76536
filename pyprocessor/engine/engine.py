"""How is a run opened and closed?

state folder -> run lock -> journal -> signals -> the loop -> the user's hook for the end
"""

from __future__ import annotations

import gc

from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import Emergency
from pyprocessor.costs import CostModel
from pyprocessor.engine.hooks import call_at_end
from pyprocessor.engine.loop import Run, RunResult
from pyprocessor.engine.recovery import refuse_if_busy
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.state.journal_opening import marking_damage, open_journal
from pyprocessor.state.run_lock import hold
from pyprocessor.state.state_folder import make_private, prepare_state_folder, refuse_planted
from pyprocessor.system import shares_memory
from pyprocessor.workers.process import context


def execute(
    request: RunRequest,
    listener: Listener,
    *,
    emergency: Emergency | None = None,
    start_method: str | None = None,
    model: CostModel | None = None,
    cores: float | None = None,
) -> RunResult:
    """Do all there is to do. Raises `OutputBusy`, `OutputUnwritable` or `JournalError` before it begins.

    `emergency` is asked to end the program where the output's disk lets the run do nothing more. For measurements,
    `model` replaces what earlier runs learned of costs, and `cores` the number of cores.
    """
    folder = prepare_state_folder(request.output)
    made_private = make_private(folder)
    refuse_planted(folder)
    # What was imported stays to the end: collecting garbage need not go through it again and again.
    gc.freeze()
    gc.enable()
    run: Run | None = None
    try:
        with hold(folder.path, request.output) as lock:
            journal, rebuilt = open_journal(folder, wal=shares_memory(folder.path))
            with marking_damage(folder), journal, SignalQueue() as interrupts:
                refuse_if_busy(journal, request.output)
                run = Run(
                    request,
                    listener,
                    context(start_method),
                    folder,
                    lock,
                    journal,
                    interrupts,
                    emergency=emergency,
                    notices=[*(("warning", sentence) for sentence in made_private), ("error", rebuilt)],
                    model=model,
                    cores=cores,
                )
                return run.go()
    finally:
        # Only now, so that the hook finds the journal closed and the output free.
        if run is not None:
            call_at_end(request.profile.hooks, run.last_call(), folder.logs, listener.notice)
