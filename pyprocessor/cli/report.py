"""`pyprocessor report`: what did an output folder's last run come to? Also prints the closing summary of a run."""

from __future__ import annotations

import shutil
import time
from functools import partial

import click

from pyprocessor.cli.paths import no_journal, output_of_a_run
from pyprocessor.cli.session import Session, StandardOutput, print_result
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import RunRow
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
    with JournalReader.read_only(state_folder(folder).path) as journal:
        run = journal.last_run()
        if run is None:
            raise no_journal(folder)
        if form == "json":
            print_document(session, journal, run, folder)
            return
        summed = summary.summarise(journal, run, now=time.time(), log_of=partial(find_job_log, folder))
        width = shutil.get_terminal_size((80, 24)).columns
        goes_on = run.ended_at is None and is_alive(run.engine)
        text = summary.text(summed, width=width, goes_on=goes_on, verbose=verbose)
        print_result(text + summary.governor_text(summed, journal, width=width))


def print_document(session: Session, journal: JournalReader, run: RunRow, output: bytes) -> None:
    """Print a run's summary as one JSON document."""
    session.answered = True
    log_of = partial(find_job_log, output)
    summed = summary.summarise(journal, run, now=time.time(), log_of=log_of)
    with StandardOutput() as stream:
        summary.write_json(stream, summed, journal, output_root=output, log_of=log_of)
