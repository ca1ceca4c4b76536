"""`pyprocessor run`: a task is done with each file of a folder that it takes, by the engine of the main job."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import click

from pyprocessor import profiles
from pyprocessor.cli.run import carry_out, overrides, screen_for, sum_up
from pyprocessor.cli.session import Session
from pyprocessor.engine.request import check_list
from pyprocessor.errors import ExitCode, UsageError
from pyprocessor.ffmpeg import tool
from pyprocessor.intake.messages import Remark
from pyprocessor.intake.paths import all_exist, output_folder, readable_input
from pyprocessor.intake.submission import submissions
from pyprocessor.intake.task_jobs import ENHANCE, TaskFile, documents, extensions_taken, further_key, listing
from pyprocessor.journal.reader import jobs_known
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import Mode, Profile, display, submitted_id
from pyprocessor.models.run import RunRequest
from pyprocessor.models.wording import count
from pyprocessor.state.state_folder import state_folder
from pyprocessor.tasks.params import param_from
from pyprocessor.tasks.registry import offered, problems

_WITH_OPTIONS = ("model", "language", "chunk_size", "backend")
"""Params of tasks that have options of their own."""


@click.command(epilog="Exit code: 0 all done; 1 some files failed; else as of a run.")
@click.argument("folder")
@click.option("--task", "name", required=True, metavar="NAME", help="What to do; see `pyprocessor tasks list`.")
@click.option("--enhance", is_flag=True, help="Improve what is written of each file, too: --task transcribe.")
@click.option("--output", metavar="DIR", help="Folder for what is made.  [default: beside each file]")
@click.option("--workers", metavar="N", type=click.IntRange(min=1), help="Files at once, at most.  [default: as fit]")
@click.option("--memory-limit", "memory_limit_bytes", metavar="SIZE", help="Memory to take at most: 1024 (MB), 2G.")
@click.option(
    "--cpu-limit", "cpu_limit_percent", metavar="PCT", type=float, help="Percent of all cores to stay within."
)
@click.option(
    "--progress-interval", "progress_interval_seconds", metavar="SECS", type=float, help="Between lines.  [default: 10]"
)
@click.option("--model", metavar="NAME", help="The model that a back end is to use.")
@click.option("--language", metavar="CODE", help="The language that is spoken.  [default: found out]")
@click.option("--chunk-size", metavar="SECS", help="How long pieces of long sound are.  [default: 600]")
@click.option("--backend", metavar="NAME", help="Which back end does it.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A param of the task; again for more.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only files that match; may be given again.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="No files that match; may be given again.")
@click.option("--priority", default=0, metavar="N", help="Of these jobs; lower ones first.  [default: 0]")
@click.option("--mode", type=click.Choice(list(Mode)), metavar="MODE", help="Order and batches; see docs/batches.md.")
@click.option("--priority-by", metavar="RULE", help="What goes first in --mode priority.")
@click.option("--retry-failed", is_flag=True, help="Try files again that failed in an earlier run.")
@click.option("--quiet", is_flag=True, help="Show failures and errors only.")
@click.option("--verbose", is_flag=True, help="Show the start and end of every file, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON document.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="json: each line is an object.")
@click.pass_obj
def run(
    session: Session,
    /,
    folder: str,
    name: str,
    enhance: bool,
    output: str | None,
    params: tuple[str, ...],
    priority: int,
    retry_failed: bool,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> ExitCode:
    """Do a task with each file of FOLDER, or with one file: --task transcribe, checksum, preprocess, ...

    What is made lies beside each file, and the journal in FOLDER/.pyprocessor; with --output both lie there. The same
    command again does what is missing, new or changed. Its jobs are those of docs/jobs.md; ./run is a folder.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other; give one of them.")
    if enhance and name != "transcribe":
        raise UsageError(f"--enhance improves what is written of speech; it goes with --task transcribe, not {name}.")
    own, further = _params(name, params, options, enhance=enhance)
    all_exist([folder])
    given = readable_input(folder)
    folder_of_it = given if os.path.isdir(given) else os.path.dirname(given)
    root = output_folder(output if output is not None else os.fsdecode(folder_of_it))
    memory = options["memory_limit_bytes"]
    if memory is not None and memory.strip().isdecimal():
        options["memory_limit_bytes"] = f"{memory.strip()}M"
    loaded = profiles.load(None, overrides=overrides(options))
    check_list(loaded.profile)
    jobs, remarks = _jobs(given, root, loaded.profile, name, own, further, priority)
    arguments = " ".join(sys.argv[1:]).encode("utf-8", "backslashreplace").decode("utf-8")
    profile = replace(loaded.profile, batch=replace(loaded.profile.batch, most_jobs=options["workers"]))
    request = RunRequest((), root, profile, tool.find(os.environ).path, arguments=arguments, retry_failed=retry_failed)
    said = {"quiet": quiet, "verbose": verbose}
    with closing(screen_for(said, session, loaded.profile.monitoring.progress_interval_seconds)) as screen:
        for notice in loaded.notices:
            screen.notice("warning", notice)
        # What takes long to import comes after all that can be wrong with the command line.
        from pyprocessor.cli.listed_jobs import ListedJobs

        result = carry_out(request, screen, session, source=partial(ListedJobs, name, jobs, remarks, root))
    if as_json or not quiet:
        sum_up(request, result, session, as_json=as_json, verbose=verbose)
    return result.exit_code


def _params(
    name: str, given: Sequence[str], options: dict[str, Any], *, enhance: bool
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the params of the task and, where it follows, of the one that improves texts. Raises UsageError."""
    own: dict[str, Any] = {}
    further: dict[str, Any] = {}
    takes, enhances = (getattr(offered(each), "takes", None) for each in (name, ENHANCE if enhance else name))
    for param in _WITH_OPTIONS:
        if options[param] is not None:
            own[param] = param_from(takes, param, options[param])
    for pair in given:
        param, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--param {pair} has no value; write NAME=VALUE.")
        called = param.removeprefix(f"{ENHANCE}.")
        if enhance and called != param:
            further[called] = param_from(enhances, called, text)
        else:
            own[param] = param_from(takes, param, text)
    if getattr(offered(name), "inputs", (0, None))[1] == 0:
        what = f"The task {name} reads no files, so there is nothing in a folder for it"
        raise UsageError(f"{what}; write a file of jobs, and `pyprocessor submit` it.")
    wrong = [*problems(name, own, 1), *(problems(ENHANCE, further, 1) if enhance else ())]
    if wrong:
        raise UsageError("\n".join(wrong))
    return own, further if enhance else None


def _queue(name: str) -> str:
    """Return which queue the jobs of a task are of."""
    return f"run {name}"


def _jobs(
    given: bytes,
    root: bytes,
    profile: Profile,
    name: str,
    params: dict[str, Any],
    further: dict[str, Any] | None,
    priority: int,
) -> tuple[tuple[Submission, ...], list[Remark]]:
    """Return the jobs that the folder, or file, makes, and what is to be said of its listing."""
    queue = _queue(name)
    extensions = extensions_taken(name, profile.scan.include)
    with jobs_known(state_folder(root).path) as known:

        def source_of(called: str) -> bytes | None:
            row = known(submitted_id(queue, called))
            return None if row is None else row.source.path

        def improved_at_once(file: TaskFile) -> bool:
            row = known(submitted_id(_queue("transcribe"), further_key(file.name)))
            return row is not None and os.path.splitext(row.output)[1] == os.path.splitext(file.path)[1]

        files, remarks = listing(given, root, profile, extensions, source_of, offered(name))
        if not files:
            kinds = f" with an extension that the task {name} takes" if extensions else ""
            remarks.append(Remark(f"{display(given)} has no file{kinds}."))
        wanted = [file for file in files if name != ENHANCE or not improved_at_once(file)]
        if left_out := len(files) - len(wanted):
            what = f"{count(left_out, 'transcript')} left out, which --task transcribe --enhance improves"
            remarks.append(Remark(f"{what}."))
    jobs = list(documents(wanted, name, params, enhance=further, priority=priority))
    return submissions(jobs, queue=queue) if jobs else (), remarks
