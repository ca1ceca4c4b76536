"""`pyprocessor submit`: jobs from a file go to the run of an output, or wait in its journal for the next one."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
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
from pyprocessor.models.wording import count, duration, moment, one_line, utc
from pyprocessor.plan.hours import next_time
from pyprocessor.profiles.quantities import parse_time_of_day

if TYPE_CHECKING:
    from pyprocessor.engine.dry_run import Expected, Outlook
    from pyprocessor.intake.submission_preview import Preview

MAX_FILE_BYTES = 64 << 20
DOCUMENT_VERSION = 1
MOST_NAMES = 5
"""Of the jobs that one waits for, so many are named."""
_JSON_LINES = (".jsonl", ".ndjson")
_JSON = ".json"
_YAML = (".yaml", ".yml")


@click.command(
    epilog="Exit code: 0 taken in, 2 the jobs make no sense or are refused, 75 a run is on and does not answer."
)
@click.argument("file", metavar="FILE")
@click.option("--output", required=True, metavar="DIR", help="The output folder whose runs are to do the jobs.")
@click.option("--queue", default="default", metavar="NAME", help="A key is unique in its queue.  [default: default]")
@click.option(
    "--allow-calls",
    multiple=True,
    metavar="PACKAGE",
    help="A package or module whose functions jobs of the task call may name; may be given several times.",
)
@click.option("--deadline", metavar="TIME", help="When jobs have to be done that say nothing themselves: 07:00, ISO.")
@click.option(
    "--refuse-below",
    metavar="CHANCE",
    type=click.FloatRange(0, 1),
    help="Take in no job where the chance that all are in time is less: 0.8.",
)
@click.option("--dry-run", is_flag=True, help="Check the jobs; show their order, what they would leave and take.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: one JSON document.")
@click.pass_obj
def submit(
    session: Session,
    file: str,
    output: str,
    queue: str,
    allow_calls: tuple[str, ...],
    deadline: str | None,
    refuse_below: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take in the jobs of FILE: a list of jobs as YAML or JSON, or one JSON object a line; - reads standard input.

    A run that is on does them now, else the next one does. All are taken in or none; a job that is known already and
    has not changed stays as it is. See docs/jobs.md for what a job may hold.

    Where jobs have a deadline the chance is told that they are done by then, if a run begins now.
    """
    if as_json and not dry_run:
        raise UsageError("--json shows what --dry-run finds; add --dry-run.")
    document, folder = _read(file)
    contact = Contact(output, may_be_new=True)
    with jobs_known(contact.folder) as known:
        jobs = submissions(document, queue=queue, folder=folder, known=known, calls=allow_calls)
    if deadline is not None:
        jobs = with_deadline(jobs, deadline)
    timed = any(given.job.deadline is not None for given in jobs)
    if refuse_below is not None and math.isnan(refuse_below):
        raise UsageError("--refuse-below is nan, but has to be a number from 0 to 1.")
    if refuse_below is not None and not timed:
        raise UsageError("--refuse-below needs a time: give --deadline, or jobs that have one.")
    outlook = _outlook(jobs, contact.output) if dry_run or timed else None
    if outlook is not None and refuse_below is not None and outlook.chance < refuse_below:
        raise UsageError(f"{outlook.sentence} That is less than {refuse_below:.0%}, so nothing is taken in.")
    if dry_run and outlook is not None:
        lines = [line for preview in outlook.previews for line in _lines(preview, outlook.expected)]
        text = "".join(f"{line}\n" for line in lines) + f"{count(len(jobs), 'job')} would be taken in.\n"
        session.answered = as_json
        print_result(json.dumps(_document(outlook), indent=2) + "\n" if as_json else text + outlook.line)
        return
    request = Request(Verb.SUBMIT, submissions=jobs)
    said = hand_over(contact, request, lambda journal: _take_in(journal, jobs), session)
    print_result(f"{said}\n" + (outlook.line if outlook is not None else ""))


def with_deadline(jobs: Sequence[Submission], text: str) -> tuple[Submission, ...]:
    """The jobs, those without a deadline with this one. Raises UsageError for what is no time, or too early."""
    now = datetime.now().astimezone()
    try:
        due = next_time(parse_time_of_day(text), now)
    except ValueError:
        try:
            due = moment(text)
        except ValueError:
            told = one_line(text)
            raise UsageError(f"--deadline is {told}; write 07:00 or a time such as 2026-01-31T22:00:00Z.") from None
    if due <= now.timestamp():
        raise UsageError(f"--deadline is {utc(due)}, which has passed.")
    late = next((given.job for given in jobs if given.job.deadline is None and (given.job.not_before or 0) > due), None)
    if late is not None:
        raise UsageError(f"{display(late.source.relative)} may not begin before --deadline; give it a deadline itself.")
    return tuple(
        replace(given, job=replace(given.job, deadline=due)) if given.job.deadline is None else given for given in jobs
    )


def _outlook(jobs: Sequence[Submission], output: bytes) -> Outlook:
    from pyprocessor.engine.dry_run import outlook

    return outlook(jobs, RunRequest((), output, profiles.load(None).profile, tool_path=""))  # no ffmpeg is run


def _document(outlook: Outlook) -> dict[str, Any]:
    """What a dry run finds, for programs; seconds, the bounds of a job being those of its own errors."""
    jobs = []
    for preview in outlook.previews:
        job, run = preview.submission.job, outlook.expected.runs.get(preview.submission.job.id)
        products = preview.products
        jobs.append(
            {
                "id": job.id,
                "name": display(job.source.relative),
                "task": job.task,
                "waits_for": list(preview.waits_for),
                "products": None if products is None else [display(product.name) for product in products],
                "problem": preview.problem or None,
                "deadline": None if job.deadline is None else utc(job.deadline),
                "seconds": None if run is None else round(run.seconds, 3),
                "seconds_low": None if run is None else round(run.seconds_low, 3),
                "seconds_high": None if run is None else round(run.seconds_high, 3),
            }
        )
    known = outlook.expected.forecast
    return {
        "version": DOCUMENT_VERSION,
        "jobs": jobs,
        "chance": outlook.chance if outlook.deadlines else None,
        "seconds": round(known.seconds, 3),
        "seconds_low": round(known.seconds_low, 3),
        "seconds_high": round(known.seconds_high, 3),
        "waiting": outlook.waiting,
        "not_counted": outlook.expected.unknown,
    }


def _take_in(journal: Journal, jobs: Sequence[Submission]) -> str:
    added = len(journal.submit(jobs))
    more = f", {len(jobs) - added} known already" if added < len(jobs) else ""
    return f"{count(added, 'job')} taken in{more}; the next run does what is left to do."


def _lines(preview: Preview, expected: Expected) -> Iterator[str]:
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
    if (run := expected.runs.get(job.id)) is not None:
        low, high = duration(run.seconds_low), duration(run.seconds_high)
        yield f"    takes about {duration(run.seconds)} ({low} to {high})"
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
