"""`pyprocessor submit`: jobs from a file go to the run of an output, or wait in its journal for the next one."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from pyprocessor import profiles
from pyprocessor.cli.control import Contact, hand_over
from pyprocessor.cli.session import Session, print_result
from pyprocessor.control.client import Request, Verb
from pyprocessor.errors import UsageError
from pyprocessor.intake.paths import absolute
from pyprocessor.intake.submission import submissions
from pyprocessor.journal.journal import Journal
from pyprocessor.journal.reader import jobs_known
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import Source, display
from pyprocessor.models.run import RunRequest
from pyprocessor.models.wording import count, one_line, utc

if TYPE_CHECKING:
    from pyprocessor.intake.submission_preview import Preview

MAX_FILE_BYTES = 64 << 20
MOST_NAMES = 5
"""Of the jobs that one waits for, so many are named."""
_JSON_LINES = (".jsonl", ".ndjson")
_JSON = ".json"
_YAML = (".yaml", ".yml")


@click.command(epilog="Exit code: 0 taken in, 2 the jobs make no sense, 75 a run is on and does not answer.")
@click.argument("file", metavar="FILE")
@click.option("--output", required=True, metavar="DIR", help="The output folder whose runs are to do the jobs.")
@click.option("--queue", default="default", metavar="NAME", help="A key is unique in its queue.  [default: default]")
@click.option(
    "--allow-calls",
    multiple=True,
    metavar="PACKAGE",
    help="A package or module whose functions jobs of the task call may name; may be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Check the jobs; show their order, and what they would leave.")
@click.pass_obj
def submit(session: Session, file: str, output: str, queue: str, allow_calls: tuple[str, ...], dry_run: bool) -> None:
    """Take in the jobs of FILE: a list of jobs as YAML or JSON, or one JSON object a line; - reads standard input.

    A run that is on does them now, else the next one does. All are taken in or none; a job that is known already and
    has not changed stays as it is. See docs/jobs.md for what a job may hold.
    """
    document, folder = _read(file)
    contact = Contact(output, may_be_new=True)
    with jobs_known(contact.folder) as known:
        jobs = submissions(document, queue=queue, folder=folder, known=known, calls=allow_calls)
    if dry_run:
        lines = [line for preview in _previewed(jobs, contact) for line in _lines(preview)]
        print_result("".join(f"{line}\n" for line in lines) + f"{count(len(jobs), 'job')} would be taken in.\n")
        return
    request = Request(Verb.SUBMIT, submissions=jobs)
    print_result(hand_over(contact, request, lambda journal: _take_in(journal, jobs), session) + "\n")


def _take_in(journal: Journal, jobs: Sequence[Submission]) -> str:
    added = len(journal.submit(jobs))
    more = f", {len(jobs) - added} known already" if added < len(jobs) else ""
    return f"{count(added, 'job')} taken in{more}; the next run does what is left to do."


def _previewed(jobs: Sequence[Submission], contact: Contact) -> Iterator[Preview]:
    """The jobs in an order in which they can be done, with what each would leave."""
    from pyprocessor.intake.submission_preview import previews

    profile = profiles.load(None).profile
    request = RunRequest((), contact.output, profile, tool_path="")  # for its limits: no ffmpeg is run
    with jobs_known(contact.folder) as known:
        yield from previews(jobs, request, known)


def _lines(preview: Preview) -> Iterator[str]:
    """One job: what it is and waits for; below, what it leaves, and when it is to be done."""
    job = preview.submission.job
    files = sum(isinstance(given, Source) for given in job.inputs) + bool(job.source.path)
    waits = ", ".join(map(one_line, preview.waits_for[:MOST_NAMES]))
    more = len(preview.waits_for) - MOST_NAMES
    waits += f" and {more} more" if more > 0 else ""
    told = ", ".join(
        part for part in (count(files, "file") if files else "", f"waits for {waits}" if waits else "") if part
    )
    yield f"{job.id[:12]}  {one_line(job.task):<12}  {display(job.source.relative)}{f' ({told})' if told else ''}"
    if preview.problem:
        yield f"    {one_line(preview.problem)}"
    elif preview.products is None:
        yield "    what it makes is known once its inputs are there"
    elif preview.products:
        yield f"    makes {', '.join(display(product.name) for product in preview.products)}"
    if preview.backends:
        yield f"    asks {', else '.join(map(one_line, preview.backends))}"
    times = (("not before", job.not_before), ("deadline", job.deadline))
    if given := [f"{what} {utc(when)}" for what, when in times if when is not None]:
        yield f"    {', '.join(given)}"


def _read(file: str) -> tuple[Any, str]:
    """What a file holds, in plain values, and the folder that paths in it start from. Raises UsageError."""
    if file == "-":
        content, name, folder, suffix = sys.stdin.buffer.read(MAX_FILE_BYTES + 1), "standard input", os.curdir, ""
    else:
        path = absolute(file, "FILE")
        name, folder, suffix = display(path), os.fsdecode(os.path.dirname(path)), os.path.splitext(file)[1].lower()
        try:
            with open(path, "rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise UsageError(f"The file of jobs {name} cannot be read: {error.strerror}.") from None
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB; submit its jobs in parts.")
    return _parsed(content, name, suffix), folder


def _parsed(content: bytes, name: str, suffix: str) -> Any:
    begins_as_json = content.lstrip()[:1] in (b"{", b"[") and suffix not in _YAML
    if suffix not in (_JSON, *_JSON_LINES) and not begins_as_json:
        # Imported here, because it takes a while and JSON needs none of it.
        from pyprocessor.profiles.documents import parse_values

        return parse_values(content, name=name, suffix=".yaml", kind="a file of jobs")[0]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}, line {line}: the text is not UTF-8; save the file as UTF-8.") from None
    if suffix not in _JSON_LINES:
        try:
            return _json(text)
        except ValueError as error:
            # What goes on behind a value is one of several lines.
            if suffix == _JSON or not str(error).startswith("Extra data"):
                raise _not_json(name, error) from None
    jobs = []
    for number, held in enumerate(text.split("\n"), 1):
        if held.strip():
            try:
                jobs.append(_json(held))
            except ValueError as error:
                raise _not_json(name, error, line=number) from None
    return jobs


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_mapping, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {one_line(next(key for key in keys if keys.count(key) > 1))} stands twice")
    return made


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")


def _not_json(name: str, error: ValueError, *, line: int | None = None) -> UsageError:
    place = "" if line is None else f", line {line}"
    if isinstance(error, json.JSONDecodeError):
        place, what = f", line {line or error.lineno}, column {error.colno}", error.msg
    else:
        what = str(error)
    return UsageError(f"{name}{place}: not valid JSON: {what}.")
