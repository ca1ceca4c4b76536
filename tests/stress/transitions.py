"""The engine is killed at every write of the journal, just before its commit and just after it; then the plain command
is run to its end.

What it made must decode to the frames of an undisturbed run, what bore its final name at the kill must be left as it
was and not be encoded again, and nothing may be left running. Batch processes die between grant and rename and between
rename and report, alone and with the engine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from random import Random

from pyprocessor.errors import ExitCode
from pyprocessor.ffmpeg.tool import find
from pyprocessor.journal.database import QUERIES
from pyprocessor.models import display
from tests.stress import audit, submitted
from tests.stress.clips import PROFILE, write_profile
from tests.stress.command import Bench, Run, kill_all
from tests.stress.faulty import KILL, SCHEMA, WORKER
from tests.stress.figures import Asked, Figures
from tests.stress.world import World

NEVER = "kills that never came"
AGAIN = "outputs encoded again"
NAMES = (*audit.ALL, NEVER, AGAIN, *submitted.NAMES[len(audit.ALL) :])
FAULTY = ("-m", "tests.stress.faulty")
RUN_SECONDS = 120.0
LEFT_SECONDS = 5.0
_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)


class Start(StrEnum):
    """What the killed run finds in the output folder."""

    NOTHING = "nothing there"
    KILLED = "files in hand of a killed run"
    GRANTED = "a file renamed by a killed run"
    OUTPUT_LOST = "all done, one output removed"
    JOURNAL_LOST = "all done, journal removed"
    OTHER_PROFILE = "all done by another profile, journal removed"
    WORKER_DIES = "nothing there; a batch process dies"
    SUBMITTED = "submitted jobs"
    RETRIED = "submitted jobs, some failed, which can be done now"
    RESUBMITTED = "submitted jobs that have ended and are submitted anew with other params"
    PRUNED = "submitted jobs that have ended and are deleted"


OF_JOBS = {
    Start.SUBMITTED: "submitted",
    Start.RETRIED: "retried",
    Start.RESUBMITTED: "resubmitted",
    Start.PRUNED: "deleted",
}
"""Those that have jobs of no folder."""
WRITES: dict[str, Start] = {
    SCHEMA: Start.NOTHING,
    "clear_transitions": Start.NOTHING,
    "insert_transition": Start.NOTHING,
    "insert_run": Start.NOTHING,
    "end_run": Start.NOTHING,
    "remember_media": Start.NOTHING,
    "remember_content": Start.NOTHING,
    "keep_result": Start.NOTHING,
    "bound_results": Start.NOTHING,
    "use_result": Start.NOTHING,
    "count_lookup": Start.NOTHING,
    "count_hit": Start.NOTHING,
    "insert_job": Start.NOTHING,
    "insert_batch": Start.NOTHING,
    "assign_job": Start.NOTHING,
    "insert_attempt": Start.NOTHING,
    "start_job": Start.NOTHING,
    "name_ffmpeg": Start.NOTHING,
    "insert_reading": Start.NOTHING,
    "prune_readings": Start.NOTHING,
    "grant_job": Start.NOTHING,
    "succeed_job": Start.NOTHING,
    "close_attempt": Start.NOTHING,
    "remember_output": Start.NOTHING,
    "finish_waiting_job": Start.NOTHING,
    "finish_running_job": Start.NOTHING,
    "end_batch": Start.NOTHING,
    "abandon_attempts": Start.KILLED,
    "abandon_jobs": Start.KILLED,
    "abandon_batches": Start.KILLED,
    "refresh_job": Start.KILLED,
    "insert_event": Start.KILLED,
    "replan_job": Start.OUTPUT_LOST,
    "insert_output": Start.JOURNAL_LOST,
    "insert_forgotten_run": Start.JOURNAL_LOST,
    "adopt_job": Start.JOURNAL_LOST,
    "claim_output": Start.OTHER_PROFILE,
    "requeue_running_job": Start.WORKER_DIES,
    "requeue_assigned_job": Start.WORKER_DIES,
    "claim_name": Start.NOTHING,
    "drop_claims": Start.KILLED,
    "predict_job": Start.SUBMITTED,
    "remember_found": Start.SUBMITTED,
    "insert_params": Start.SUBMITTED,
    "insert_dependency": Start.SUBMITTED,
    "clear_dependencies": Start.RESUBMITTED,
    "hold_job": Start.SUBMITTED,
    "release_job": Start.SUBMITTED,
    "cancel_dependent": Start.SUBMITTED,
    "complete_job": Start.SUBMITTED,
    "keep_backend": Start.SUBMITTED,
    "retry_job": Start.RETRIED,
    "reset_dependents": Start.RETRIED,
    "select_prunable": Start.PRUNED,
    "prune_attempts": Start.PRUNED,
    "prune_dependencies": Start.PRUNED,
    "prune_claims": Start.PRUNED,
    "prune_jobs": Start.PRUNED,
    "prune_params": Start.PRUNED,
}
"""Every statement that writes, and where it is met. A test holds it against the journal's own list."""
AGAIN_LATER = {
    "complete_job": 5,
    "release_job": 2,
    "start_job": 5,
    "name_ffmpeg": 5,
    "grant_job": 3,
    "succeed_job": 3,
    "close_attempt": 3,
    "end_batch": 2,
}
"""Those that are also looked at when some of the files are done."""
MORE = (
    *((name, Start.GRANTED) for name in ("succeed_job", "close_attempt", "remember_output")),
    *((name, Start.SUBMITTED) for name in ("claim_name", "grant_job", "succeed_job", "finish_running_job")),
)
"""Met a second time: while what an earlier run had granted is settled, and by jobs of no folder."""


_TEMPORARY = frozenset({"clear_prunable"})
"""Written to a table that ends with its connection, and empty then."""


def written_by_the_journal() -> frozenset[str]:
    """The names of all statements of the journal that change something."""
    writes = {name for name, text in QUERIES.items() if _WRITES.match(_without_comments(text))}
    return frozenset(writes - _TEMPORARY)


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))


@dataclass(frozen=True, slots=True)
class Case:
    """One kill: of the engine at the `count`th time a statement writes, `before` or `after` the commit; or, the
    statement being `worker`, of a batch process at a point of a file's way, which is then the moment."""

    statement: str
    moment: str
    start: Start
    count: int = 1

    @property
    def point(self) -> str:
        """Where a batch process dies; empty where the engine does."""
        return self.moment if self.statement == "worker" else ""

    @property
    def place(self) -> str:
        """Where the engine dies, for `faulty`."""
        return f"{self.statement}/{self.moment}/{self.count}"

    def __str__(self) -> str:
        if self.point:
            engine = " and with it the engine" if self.point.endswith("+engine") else ""
            return f"a batch process{engine} dies, the file being {self.point.partition('+')[0]}"
        time_of = f", time {self.count}" if self.count > 1 else ""
        return f"{self.statement}{time_of}, {self.moment} the commit ({self.start})"


def cases(names: tuple[str, ...] = ()) -> list[Case]:
    """All kills, or those at the named writes: `grant_job`, `grant_job/after`, `worker`, `worker/renamed`."""
    found = []
    for statement, start in WRITES.items():
        times = sorted({1, AGAIN_LATER.get(statement, 1)})
        found += [Case(statement, moment, start, count) for count in times for moment in ("before", "after")]
    found += [Case(statement, moment, start) for statement, start in MORE for moment in ("before", "after")]
    for point in ("spawned", "granted", "renamed", "granted+engine", "renamed+engine"):
        found.append(Case("worker", point, Start.NOTHING))
    return [
        case for case in found if not names or {case.statement, f"{case.statement}/{case.moment}"} & frozenset(names)
    ]


def measure(folder: Path, asked: Asked) -> Iterator[str]:
    """A line for every kill; raises Broken behind the table where a figure is not 0."""
    began = time.monotonic()
    figures = Figures(NAMES)
    chosen = cases(asked.transitions)
    harness, world = _Harness(folder, figures), World(folder / "jobs", figures)
    for case in chosen:
        before = len(figures.found)
        at = time.monotonic()
        try:
            told = (
                world.kill_at(case.place, str(case), OF_JOBS[case.start])
                if case.start in OF_JOBS
                else harness.kill_at(case)
            )
        finally:
            harness.end_all()
            world.end_all()
        verdict = "ok" if len(figures.found) == before else "FAILED"
        yield f"{verdict}: {case}: {told} ({time.monotonic() - at:.1f} s)"
    for said in sorted(folder.glob("said-*.txt")):
        audit.look_for_traceback(figures, said, "standard error")
    yield f"{len(chosen)} kills took {time.monotonic() - began:.0f} s"
    yield from figures.table()


class _Harness:
    """The sources, the reference runs, and the folders that runs begin with."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self._folder = folder
        self._figures = figures
        self._ffmpeg = find(os.environ).path
        inputs = folder / "in"
        _make_sources(inputs, self._ffmpeg)
        profile = f"damaged: refuse\n{PROFILE}"  # so that a file fails while it is worked on
        self._bench = Bench(folder, inputs, write_profile(folder / "profile.yaml", profile))
        other = profile.replace("crf: 23", "crf: 30")
        self._other = Bench(folder, inputs, write_profile(folder / "other.yaml", other))
        self._done = folder / "done"
        self._code, self._reference = self._undisturbed(self._bench, self._done)
        _, self._other_reference = self._undisturbed(self._other, folder / "done-other")
        self._number = 0

    def _undisturbed(self, bench: Bench, output: Path) -> tuple[int, dict[bytes, str]]:
        run = bench.start(output)
        code = run.end(RUN_SECONDS)
        # Two of the sources are damaged, so that failures are written, too.
        assert code == ExitCode.SOME_FAILED, run.text()
        assert bench.left_after(LEFT_SECONDS) == []
        return code, audit.all_frames(output, self._ffmpeg)

    def end_all(self) -> None:
        """Leave nothing running, whatever went wrong."""
        kill_all([*self._bench.processes(), *self._other.processes()])

    def kill_at(self, case: Case) -> str:
        """Do it, and look at what came out; returns what is to be told besides."""
        self._number += 1
        output = self._folder / f"out-{self._number:03}"
        self._prepare(case.start, output)
        bench, reference = self._bench, self._reference
        if case.start is Start.OTHER_PROFILE:
            bench, reference = self._other, self._other_reference
        run = bench.start(output, program=FAULTY, extra_environment=self._fault(case))
        code = run.end(RUN_SECONDS)
        engine_dies = not case.point or case.point.endswith("+engine")
        told = str(case)
        if code is None:
            self._figures.add(audit.HUNG, f"{told}: the run to be killed")
        elif code != (-signal.SIGKILL if engine_dies else self._code):
            self._figures.add(NEVER, f"{told}: exit code {code}: {run.text()[-300:]!r}")
        if (case.point or case.start is Start.WORKER_DIES) and not self._once.exists():
            self._figures.add(NEVER, f"{told}: no batch process died")
            return "nothing"
        if not engine_dies:
            return self._compare_the_one_run(case, bench, output, reference)
        self._look_for_left(bench, f"{told}, after the kill")
        return self._rerun(case, bench, output, reference)

    def _rerun(self, case: Case, bench: Bench, output: Path, reference: dict[bytes, str]) -> str:
        told = str(case)
        named = {}
        if output.exists():
            named = {path: seen for path, seen in audit.outputs(output).items() if path in reference}
        whole = {
            path: seen
            for path, seen in named.items()
            if audit.frames(os.path.join(os.fsencode(output), path), self._ffmpeg) == reference[path]
        }
        # Under another profile what lies there is the other profile's, until it is replaced.
        if case.start is not Start.OTHER_PROFILE:
            for path in named.keys() - whole.keys():
                self._figures.add(audit.DAMAGED, f"{told}: {display(path)} at the kill")
        run = bench.start(output)
        self._check_code(run, told)
        self._check_all(case, bench, output, reference)
        now = audit.outputs(output)
        for path, seen in whole.items():
            if now.get(path) != seen:
                self._figures.add(audit.REDONE, f"{told}: {display(path)}")
        self._check_attempts(output, whole, told)
        if case.point:
            # Killed behind the rename, the file has its name; before it, the next run gives it that.
            self._check_the_file(case, output)
        return f"{len(whole)} of {len(reference)} outputs had their names at the kill; none was made again"

    def _compare_the_one_run(self, case: Case, bench: Bench, output: Path, reference: dict[bytes, str]) -> str:
        self._check_all(case, bench, output, reference)
        attempts = self._check_the_file(case, output)
        return f"the same run did all; {attempts} attempt(s) at the file"

    # ------------------------------------------------------------ checks

    def _check_code(self, run: Run, told: str) -> None:
        code = run.end(RUN_SECONDS)
        if code is None:
            self._figures.add(audit.HUNG, f"{told}: the rerun")
        elif code != self._code:
            self._figures.add(audit.EXITS, f"{told}: the rerun's exit code {code}: {run.text()[-300:]!r}")

    def _check_all(self, case: Case, bench: Bench, output: Path, reference: dict[bytes, str]) -> None:
        told = str(case)
        self._look_for_left(bench, f"{told}, at the end")
        audit.compare(self._figures, output, reference, self._ffmpeg, told)
        # What was removed was made by the first run, and is rightly made a second time.
        audit.inspect_state(self._figures, output, told, since_run=2 if case.start is Start.OUTPUT_LOST else 0)
        for name in os.listdir(bench.temporary):
            self._figures.add(audit.TEMPORARY, f"{told}: {name} in the folder for temporary files")
            shutil.rmtree(bench.temporary / name)

    def _check_attempts(self, output: Path, whole: dict[bytes, audit.Signature], told: str) -> None:
        """What bore its name at the kill had no attempt in the run that followed."""
        last = audit.last_run(output)
        for row, attempts in audit.jobs_and_attempts(output):
            again = [attempt for attempt in attempts if attempt.run_id == last]
            if row.output in whole and again:
                self._figures.add(AGAIN, f"{told}: {display(row.output)}")

    def _check_the_file(self, case: Case, output: Path) -> int:
        """The attempts at the file whose batch process died: one, unless it had not got as far as its grant."""
        name = self._once.read_bytes()
        (attempts,) = (len(attempts) for row, attempts in audit.jobs_and_attempts(output) if row.output == name)
        wanted = 2 if case.point == "spawned" else 1
        if attempts != wanted:
            self._figures.add(AGAIN, f"{case}: {attempts} attempts at {display(name)} instead of {wanted}")
        return attempts

    def _look_for_left(self, bench: Bench, told: str) -> None:
        left = bench.left_after(LEFT_SECONDS)
        for process in left:
            self._figures.add(audit.PROCESSES, f"{told}: {process.role} {process.pid}: {process.line}")
        kill_all(left)

    # ------------------------------------------------------------ how a run begins

    @property
    def _once(self) -> Path:
        return self._folder / f"once-{self._number:03}"

    def _fault(self, case: Case) -> dict[str, str]:
        point = "spawned" if case.start is Start.WORKER_DIES else case.point
        fault = {WORKER: point, "STRESS_ONCE": str(self._once)} if point else {}
        return fault if case.point else {**fault, KILL: f"{case.statement}/{case.moment}/{case.count}"}

    def _prepare(self, start: Start, output: Path) -> None:
        match start:
            case Start.NOTHING | Start.WORKER_DIES:
                return
            case Start.KILLED:
                self._killed(output, "name_ffmpeg/after/3")
            case Start.GRANTED:
                self._killed(output, "succeed_job/before/1")
            case Start.OUTPUT_LOST:
                shutil.copytree(self._done, output)
                (output / "b.mp4").unlink()
            case Start.JOURNAL_LOST | Start.OTHER_PROFILE:
                shutil.copytree(self._done, output)
                for path in (output / ".pyprocessor").glob("journal.sqlite3*"):
                    path.unlink()

    def _killed(self, output: Path, where: str) -> None:
        run = self._bench.start(output, program=FAULTY, extra_environment={KILL: where})
        assert run.end(RUN_SECONDS) == -signal.SIGKILL, run.text()
        assert self._bench.left_after(LEFT_SECONDS) == []


def _make_sources(folder: Path, ffmpeg: str) -> None:
    """Four short clips and a copy of one, one that turns out to be damaged while it is encoded, and one that is no
    video at all."""
    folder.mkdir(parents=True)
    for number, name in enumerate(("a.mov", "b.mov", "c.mkv", "d %03d.mp4", "noise.mov")):
        picture = f"testsrc2=size=320x180:rate=25:duration=3,hue=h={number * 60}"
        sound = f"sine=frequency={300 + 50 * number}:sample_rate=48000:duration=3"
        call = [
            *(ffmpeg, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound),
            *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-threads", "1", "-c:a", "aac"),
            f"file:{folder / name}",
        ]
        done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
    shutil.copyfile(folder / "a.mov", folder / "same as a.mov")
    noise = bytearray((folder / "noise.mov").read_bytes())
    begin = len(noise) // 3  # far enough behind the first picture, which inspecting looks at
    end = 2 * begin  # in front of the index
    noise[begin:end] = Random(0).randbytes(end - begin)
    (folder / "noise.mov").write_bytes(noise)
    (folder / "text.mp4").write_text("this is no video\n" * 50)
