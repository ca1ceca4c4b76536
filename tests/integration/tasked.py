"""A task driven to its end in this process, by a real ffmpeg, its calls made here: what a worker does with it."""

from __future__ import annotations

import inspect
import json
import os
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.ffmpeg.run import FfmpegRun
from pyprocessor.models import InputLimits, Source
from pyprocessor.publish.kept import answers_path
from pyprocessor.publish.partials import discard
from pyprocessor.tasks.base import Call, Done, Ffmpeg, Plan, Returned, Work
from pyprocessor.tasks.registry import problems, task
from tests.waiting import DEADLINE_SECONDS


@dataclass
class Tasked:
    """A job that was done: its plan, what it answered, the files of its products by role, and the calls it made."""

    plan: Plan
    done: Done
    made: dict[str, Path]
    calls: list[Call] = field(default_factory=list)

    @property
    def result(self) -> Any:
        return self.done.result


def tasked(
    name: str, params: dict[str, Any], path: Path, folder: Path, ffmpeg_path: str, *, backend: str = ""
) -> Tasked:
    """Do a job of the task `name` on one file, in a folder that is made. Raises JobError as the task does."""
    folder.mkdir(parents=True, exist_ok=True)
    assert list(problems(name, params, 1)) == []
    found_on_disk = path.stat()
    source = Source(os.fsencode(path), os.fsencode(path.name), found_on_disk.st_size, found_on_disk.st_mtime_ns)
    does = task(name)
    found = json.loads(json.dumps(does.inspect((source,), params, InputLimits())))
    plan = does.plan(params, (source,), found, os.fsencode(path.stem))
    work = Work("j", params, (source,), found, 1, os.fsencode(folder), "a", plan.products, backend=backend)
    steps, calls = does.run(work), []
    step = next(steps)
    while True:
        try:
            if isinstance(step, Ffmpeg):
                step = steps.send(_finished(step, folder, ffmpeg_path))
            else:
                calls.append(step)
                step = steps.send(_returned(step))
        except StopIteration as end:
            done: Done = end.value
            break
    assert {made.role for made in done.products} == {product.role for product in plan.products}
    assert len(json.dumps(done.result)) < 64 * 1024
    discard(answers_path(work.folder, work.job_id))  # as a worker does, once all is published
    assert sorted(os.listdir(folder)) == sorted(made.temporary for made in done.products), "nothing else is left"
    return Tasked(plan, done, {made.role: folder / made.temporary for made in done.products}, calls)


def _finished(step: Ffmpeg, folder: Path, ffmpeg_path: str) -> Any:
    arguments = argv(step.invocation, ffmpeg_path)
    run = FfmpegRun(
        arguments, cwd=os.fsencode(folder), env=environment(os.environ), wall_limit_seconds=DEADLINE_SECONDS
    )
    return run.wait()


def _returned(call: Call) -> Returned:
    module, _, name = call.function.partition(":")
    value = getattr(import_module(module), name)(**json.loads(json.dumps(call.arguments)))
    assert not inspect.isawaitable(value)
    return Returned(json.loads(json.dumps(value)), 1.0, 1.0, 1 << 20)
