"""How is a run opened and closed? State folder, run lock, journal, signals, the loop, the hook for the end."""

from __future__ import annotations

import gc
from dataclasses import replace

from pyprocessor.control.own_requests import OwnRequests
from pyprocessor.control.signals import SignalQueue
from pyprocessor.control.stall_responder import Emergency
from pyprocessor.costs.model import CostModel
from pyprocessor.engine.loop import MakeSource, Run
from pyprocessor.engine.stopping import RunResult
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.state.journal_opening import hold_lock, marking_damage, open_journal, refuse_if_busy
from pyprocessor.state.state_folder import make_private, prepare_state_folder, refuse_planted
from pyprocessor.system.filesystems import shares_memory
from pyprocessor.workers.process import context


def execute(
    request: RunRequest,
    listener: Listener,
    *,
    emergency: Emergency | None = None,
    start_method: str | None = None,
    model: CostModel | None = None,
    cores: float | None = None,
    source: MakeSource | None = None,
    own: OwnRequests | None = None,
) -> RunResult:
    """Do all there is to do. Raises `OutputBusy`, `OutputUnwritable` or `JournalError` before it begins.

    `emergency` is asked to end the program where the output's disk lets the run do nothing more. For measurements,
    `model` replaces what earlier runs learned of costs, and `cores` the number of cores. `source` makes a further
    source of jobs, which submits them while the run goes on; `own` is what threads of this program ask of it.
    """
    folder = prepare_state_folder(request.output)
    made_private = make_private(folder)
    refuse_planted(folder)
    gc.enable()  # else a run of many files grows, which a caller without garbage collection does not expect
    run: Run | None = None
    try:
        with hold_lock(folder.path, request.output) as lock:
            journal, rebuilt = open_journal(folder, wal=shares_memory(folder.path))
            with marking_damage(folder), journal, SignalQueue() as signals:
                refuse_if_busy(journal, request.output)
                notices = [*(("warning", sentence) for sentence in made_private), ("error", rebuilt)]
                processes = context(start_method)
                run = Run(
                    request,
                    listener,
                    processes,
                    folder,
                    lock,
                    journal,
                    signals,
                    emergency,
                    notices,
                    model,
                    cores,
                    source,
                    own,
                )
                return replace(run.go(), stopped_by=signals.stopped_by)
    finally:
        # Only now, so that the hook finds the journal closed and the output free.
        if run is not None:
            run.call_last_hook()
