"""`pyprocessor audit`: who had what done, when, with which settings and result; and do the records agree?"""

from __future__ import annotations

import csv
import json
import time
from contextlib import suppress
from typing import Any

import click

from pyprocessor.cli.control import Contact
from pyprocessor.cli.dead import of_tenants
from pyprocessor.cli.session import Session, print_result, standard_output
from pyprocessor.errors import ExitCode, OutputBusy, UsageError
from pyprocessor.journal.audit import trail
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models.wording import count, moment
from pyprocessor.profiles.quantities import parse_duration
from pyprocessor.report.narration import encodable
from pyprocessor.state.proof import disagreements
from pyprocessor.state.state_folder import state_folder

COLUMNS = (
    *("at", "record", "run", "user", "program", "tenant", "job", "name", "task", "profile", "settings", "source"),
    *("source_bytes", "attempt", "started_at", "ended_at", "outcome", "kind", "text", "exit_code", "cpu_seconds"),
    *("products", "pruned_at"),
)


@click.command(epilog="Exit code: 0 done, and with --prove all agree; 1 something does not; 75 a run is on.")
@click.option("--output", required=True, metavar="DIR", help="The output folder.")
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), help="[default: jsonl]")
@click.option("--since", metavar="TIME", help="Only what is newer: 2026-01-31, 2026-01-31T22:00:00Z, or 30d, 12h.")
@of_tenants
@click.option("--prove", is_flag=True, help="Check instead that journal, receipts and files agree.")
@click.pass_obj
def audit(
    session: Session, output: str, form: str | None, since: str | None, tenants: tuple[str, ...], prove: bool
) -> ExitCode:
    """Export runs, attempts and events in the order of time: who, what, when, which settings, which result.

    What was pruned is among them; with --tenant only what is about jobs of that tenant. With --prove a line names each
    product that is not as it was made, or of which journal and receipts differ.
    """
    contact = Contact(output)
    if prove:
        if form is not None or since is not None or tenants:
            raise UsageError("--prove looks at all and exports nothing; leave out --format, --since and --tenant.")
        return _prove(contact)
    after = _seconds(since) if since is not None else 0.0
    session.answered = True
    with JournalReader.read_only(contact.folder) as journal, standard_output() as stream:
        # Of Python's endings of lines only this one has lone carriage returns quoted, as file names may hold.
        rows = csv.DictWriter(stream, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
        if form == "csv":
            rows.writeheader()
        for record in trail(journal, after):
            if tenants and _tenant(record, journal) not in tenants:
                continue
            if form == "csv":
                rows.writerow({name: encodable(_cell(value), stream) for name, value in record.items()})
            else:
                stream.write(json.dumps(record) + "\n")
    return ExitCode.OK


def _tenant(record: dict[str, Any], journal: JournalReader) -> object:
    """Return the tenant whose job a record is about; None for a run, and for a job that is not known."""
    if "tenant" in record or not (job_id := record.get("job")):
        return record.get("tenant")
    row = journal.job(str(job_id))
    return row.tenant if row is not None else None


def _prove(contact: Contact) -> ExitCode:
    if (run := contact.living()) is not None:
        raise OutputBusy(
            f"The run on {contact.shown} (process {run.engine.pid}) changes what is to be proved; wait until it ends."
        )
    with JournalReader.read_only(contact.folder) as journal:
        wrong = list(disagreements(journal, state_folder(contact.output)))
        jobs = journal.counts().succeeded
    said = f"{count(jobs, 'job')} succeeded; these disagreements were found: {len(wrong)}."
    if not wrong:
        said = f"Journal, receipts and files agree, of {count(jobs, 'job')} that succeeded."
    print_result("\n".join([*wrong, said]) + "\n")
    return ExitCode.SOME_FAILED if wrong else ExitCode.OK


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return json.dumps(value)
    text = "" if value is None else str(value)
    # Spreadsheets take what begins so for a formula.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def _seconds(since: str) -> float:
    with suppress(ValueError):
        return moment(since)
    try:
        return time.time() - parse_duration(since)
    except ValueError:
        raise UsageError(f"--since is {since!r}, but has to be a time such as 2026-01-31, or 30d or 12h ago.") from None
