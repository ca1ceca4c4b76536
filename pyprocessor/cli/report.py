"""`pyprocessor report`: what is shown of the last runs of an output folder, and what a replay of the last one needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial

import click

from pyprocessor.cli.run_summary import memory_allowed, print_summary, until
from pyprocessor.cli.session import Session, print_result
from pyprocessor.costs.job_prior import prior_cost
from pyprocessor.costs.model import CostModel, class_of
from pyprocessor.errors import JobError
from pyprocessor.intake.details import Details, JobDetails
from pyprocessor.intake.paths import no_journal, output_of_a_run
from pyprocessor.journal.journal import REUSED
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow, JobRow, RunRow
from pyprocessor.models import Chunking, Cost, CostFeatures, Origin, Profile, Reading
from pyprocessor.models.run import RunRequest
from pyprocessor.plan.hours import Schedule
from pyprocessor.plan.replay import Ran, RunToReplay, not_replayed, recommendations
from pyprocessor.report import accuracy, figures, summary
from pyprocessor.state.state_folder import state_folder
from pyprocessor.system.processes import is_alive


@click.command()
@click.option("--output", required=True, metavar="DIR", help="The output folder of the run.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="[default: text]")
@click.option("--last", type=click.IntRange(1), metavar="N", help="Compare the last N runs, a line each.")
@click.option("--verbose", is_flag=True, help="Name the files that lost something.")
@click.pass_obj
def report(session: Session, output: str, form: str, last: int | None, verbose: bool) -> None:
    """Sum up the last run of an output folder: files, time, losses, failures, and what would have been faster."""
    folder, width = output_of_a_run(output), shutil.get_terminal_size((80, 24)).columns
    with JournalReader.read_only(state_folder(folder).path) as journal:
        run = journal.last_run()
        if run is None:
            raise no_journal(folder)
        if last is not None:
            compared = figures.compared(journal, journal.last_runs(last), partial(until, journal))
            session.answered = form == "json"
            print_result(figures.compared_json(compared) if form == "json" else figures.compared_text(compared))
            return
        goes_on = run.ended_at is None and is_alive(run.engine)
        found = run_to_replay(journal, run, folder, goes_on=goes_on)
        why_not = found if isinstance(found, str) else not_replayed(found)
        advice = None if isinstance(found, str) else recommendations(found)

        def text(summed: summary.Summary) -> str:
            told = summary.text(summed, width=width, goes_on=goes_on, verbose=verbose)
            analysis = figures.analysis_of(journal, run, summed.seconds, memory_allowed(journal, run))
            told += figures.text(analysis, advice or (), width=width)
            return told + summary.governor_text(summed, journal, width=width)

        print_summary(
            journal, run, folder, session, as_json=form == "json", text=text, advice=advice, not_replayed=why_not
        )


def run_to_replay(journal: JournalReader, run: RunRow, output: bytes, *, goes_on: bool) -> RunToReplay | str:
    """Return what a replay of a run needs, or a sentence that says why there can be none."""
    profile, readings = journal.settings(run.id), list(journal.readings(run.id))
    copied = {event.job_id for event in journal.events(run_id=run.id) if event.kind == REUSED}
    attempts = [a for a in journal.attempts(run_id=run.id) if a.usage is not None and a.job_id not in copied]
    if run.ended_at is None:
        return "The run goes on." if goes_on else "The run did not end by itself."
    if not attempts:
        return "Nothing was worked on."
    if profile is None:
        return "The journal does not have the settings of the run."
    if not readings:
        return "The run ended before the machine was looked at."
    request = RunRequest((), output, replace(profile, chunking=Chunking.AUTO), "")
    details, model, took = JobDetails(request, journal), CostModel(), []
    for job_id, attempt in accuracy.by_file(journal, attempts).items():
        row = journal.job(job_id)
        if row is None:
            return "Jobs of the run were pruned."
        if why := _why_not_planned(row, details, journal):
            return f"{row.name} {why}."
        try:
            found = details.of(row)
        except JobError as error:  # its task is no longer installed, or has changed
            return f"{row.name} could not be done again: {error}"
        features = found.whole or found.features
        if found.asking is not None or (features.given is not None and features.given.wait_seconds > 0):
            return f"{row.name} waits for a service."
        assert attempt.usage is not None
        threads = attempt.threads or 1
        measured = Cost(attempt.usage.cpu_seconds, attempt.usage.peak_memory_bytes, 0)
        model = model.observe(features, threads, measured)
        took.append((row, attempt, found, features))
    return RunToReplay(
        tuple(_ran(*each) for each in took),
        _usual(readings),
        profile,
        model,
        run.ended_at - run.started_at,
        _worked_seconds(attempts),
        _closed_seconds(profile, run),
    )


def _why_not_planned(row: JobRow, details: JobDetails, journal: JournalReader) -> str:
    """Return why a replay cannot have a job, as the end of a sentence; empty for one that waits for no other."""
    if row.origin is Origin.FOLDER:
        return "" if details.known(row) else "has changed since, or other settings"
    if row.origin is Origin.CHILD or journal.children(row.id):
        return "is made of other jobs"
    return "waits for other jobs" if journal.needs(row.id) else ""


def _ran(row: JobRow, attempt: AttemptRow, found: Details, features: CostFeatures) -> Ran:
    assert attempt.usage is not None
    threads = attempt.threads or 1
    one, several = (prior_cost(features, number).memory_bytes for number in (1, threads))
    peak = attempt.usage.peak_memory_bytes * (one / several if several else 1.0)
    # Of a file that was done before anybody could look no memory was measured.
    cost = Cost(attempt.usage.cpu_seconds, round(peak) or row.cost.memory_bytes, row.cost.disk_bytes)
    job = row.job_with(cost=cost)
    return Ran(job, class_of(features, 1), found.plan.division, attempt.usage.wall_seconds)


def _usual(readings: list[Reading]) -> Reading:
    """The first reading, with the memory that other programs took half of the time, and their mean CPU use."""
    memory = sorted(reading.used_memory_bytes - reading.our_memory_bytes for reading in readings)
    cpu = sum(max(0.0, reading.cpu_percent - reading.our_cpu_percent) for reading in readings) / len(readings)
    used = readings[0].our_memory_bytes + max(0, memory[len(memory) // 2])
    return replace(readings[0], used_memory_bytes=used, cpu_percent=cpu, our_cpu_percent=0.0)


def _worked_seconds(attempts: Iterable[AttemptRow]) -> float:
    """How long at least one of the attempts was on."""
    worked, until = 0.0, 0.0
    for begin, end in sorted((a.started_at, a.ended_at) for a in attempts if a.ended_at is not None):
        worked += max(0.0, end - max(begin, until))
        until = max(until, end)
    return worked


def _closed_seconds(profile: Profile, run: RunRow) -> float:
    """How long the run waited at first for its window of the day."""
    began = datetime.fromtimestamp(run.started_at)  # noqa: DTZ006 - as `Schedule` has it
    opens = Schedule.begin(profile.schedule, began).seconds_to_open(began)
    assert run.ended_at is not None
    return min(opens, run.ended_at - run.started_at)
