"""`pyprocessor report`: the summary of an output folder's last run, read from its journal."""

from __future__ import annotations

import os
import shutil
import time
from functools import partial

import click

from pyprocessor.cli.paths import output_of_a_run
from pyprocessor.cli.session import Session, StandardOutput, print_result
from pyprocessor.errors import UsageError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import display
from pyprocessor.report import summary
from pyprocessor.state.job_logs import find_job_log
from pyprocessor.state.state_folder import state_folder
from pyprocessor.system import is_alive


@click.command()
@click.option("--output", required=True, metavar="DIR", help="The output folder of the run.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="[default: text]")
@click.option("--verbose", is_flag=True, help="Name the files that lost something.")
@click.pass_obj
def report(session: Session, output: str, form: str, verbose: bool) -> None:
    """Sum up the last run of an output folder: files, time, sizes, losses, failures, what the governor did."""
    folder = output_of_a_run(output)
    nothing = f"{display(folder)} holds no journal; name the --output folder of a run."
    if not os.path.isdir(state_folder(folder).path):
        raise UsageError(nothing)
    with JournalReader.read_only(state_folder(folder).path) as journal:
        run = journal.last_run()
        if run is None:
            raise UsageError(nothing)
        log_of = partial(find_job_log, folder)
        summed = summary.summarise(journal, run, now=time.time(), log_of=log_of)
        if form == "json":
            session.answered = True
            with StandardOutput() as stream:
                summary.write_json(stream, summed, journal, output_root=folder, log_of=log_of)
        else:
            width = shutil.get_terminal_size((80, 24)).columns
            goes_on = run.ended_at is None and is_alive(run.engine)
            told = summary.text(summed, width=width, goes_on=goes_on, verbose=verbose)
            print_result(told + summary.governor_text(summed, journal, width=width))
