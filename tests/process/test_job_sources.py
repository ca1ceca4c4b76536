"""A source of jobs of another kind than the engine's own: a list that a program has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.engine import loop
from pyprocessor.errors import ExitCode
from pyprocessor.inspect.probe import probe
from pyprocessor.intake.classify import Finding, Todo
from pyprocessor.intake.job_source import JobSource, JobSources
from pyprocessor.models import Cost, Job, Profile, Source, job_id
from pyprocessor.models.run import RunRequest
from pyprocessor.tasks.base import Task
from tests.process.runs import Recorder, published, request, run


class Listed(JobSource):
    """Files that are known beforehand, one a turn, without a process."""

    def __init__(self, run: RunRequest, task: Task, costs: Any, *_: object) -> None:
        self._profile: Profile = run.profile
        self._task, self._costs = task, costs
        self._left = sorted(Path(given.path.decode()) / "a.mp4" for given in run.inputs)

    @property
    def listed(self) -> bool:
        return not self._left

    finished = listed

    @property
    def pending(self) -> int:
        return len(self._left)

    @property
    def busy(self) -> bool:
        return bool(self._left)

    def begin(self, now: float) -> None:
        pass

    def findings(self, now: float) -> Iterator[Finding]:
        if self._left:
            path = self._left.pop()
            self.files += 1
            found = path.stat()
            source = Source(bytes(path), bytes(Path(path.name)), found.st_size, found.st_mtime_ns)
            media = probe(source.path, size_bytes=source.size_bytes, limits=self._profile.input_limits)
            output = b"from the list.mp4"
            plan = self._task.plan(self._profile, (source,), media, output)
            assert not isinstance(plan.cost, Cost)
            name, fingerprint = self._task.name, self._profile.fingerprint
            cost = self._costs.predict(plan.cost, 1)
            job = Job(job_id(source.path, name), name, source, output, fingerprint, cost, media)
            yield Todo(job, plan.cost, fresh=True)

    def stop(self) -> None:
        self._left.clear()


def test_a_run_takes_its_files_from_another_source(
    tmp_path: Path, make_clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs nothing but the protocol, and comes together with the journal's own."""
    make_clip(tmp_path / "in" / "a.mp4")
    make_clip(tmp_path / "in" / "b.mp4")
    monkeypatch.setattr(loop, "Discovery", Listed)
    listener = Recorder()
    result = run(request(tmp_path / "in", tmp_path / "out"), listener)
    assert result.exit_code == ExitCode.OK
    assert published(tmp_path / "out") == {"from the list.mp4"}
    assert listener.files == 1


@pytest.mark.parametrize("first", [0, 1])
def test_several_sources_are_one(tmp_path: Path, first: int) -> None:
    """Together they have ended when each has, and what one of them waits for all wait for."""
    made: list[JobSource] = [Listed(request(tmp_path, tmp_path / "out"), None, None) for _ in range(2)]  # type: ignore[arg-type]
    both = JobSources(made)
    assert (both.finished, both.busy, both.pending, both.away) == (False, True, 2, False)
    made[first].stop()
    assert (both.finished, both.busy, both.pending) == (False, True, 1)
    both.stop()
    assert (both.finished, both.busy, both.pending) == (True, False, 0)
