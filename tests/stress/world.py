"""Submitted jobs of every kind in one output, at whose writes of the journal the engine is killed.

A text's words in two files, and a job that reads one of these; two reels, of which one is a folder beside a file and
the other a file beside a folder; a chain; a job that is made of others; one that is done by a back end; one that fails,
with what waits for it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyprocessor.errors import ExitCode
from pyprocessor.models import JobState
from pyprocessor.models.products import MAIN
from tests.stress import audit
from tests.stress.command import Run, kill_all
from tests.stress.faulty import KILL
from tests.stress.figures import Figures
from tests.stress.submitted import AGAIN, FAULTY, MIXED, JobsBench, attempt_of, check_sound, rows, submit, successes

TEXT = "so much so"
REELS = {"reel": "parts", "folder reel": MAIN}
"""Keys, and which of their products is a folder."""
CHAIN = ("first", "second", "third")
DEPENDENTS = ("needs it", "needs that")
RUN_SECONDS = 120.0
LEFT_SECONDS = 5.0


def documents(folder: Path) -> list[Mapping[str, object]]:
    """The jobs; one of them fails as long as there is no file `folder`/missing."""
    noop: dict[str, Any] = {"task": "ask", "params": {"function": "noop", "arguments": {}}}
    miss = {"function": "miss", "arguments": {"path": str(folder / "missing")}}
    reels = [{"task": "reel", "key": key, "params": {"version": "only", "folder": role}} for key, role in REELS.items()]
    return [
        {"task": "words", "key": "words", "inputs": [str(folder / "text.txt")]},
        {"task": "words", "key": "counted", "inputs": [{"job": "words", "role": "counts"}]},
        *reels,
        *({**noop, "key": key, "after": list(CHAIN[:place][-1:])} for place, key in enumerate(CHAIN)),
        {
            "task": "ask",
            "key": "asks",
            "params": {**noop["params"], "backends": [{"name": "service", "per_minute": 600}]},
        },
        {"task": "sum", "key": "sum", "params": {"numbers": [1, 2, 4]}},
        {"task": "ask", "key": "fails", "params": miss},
        {**noop, "key": DEPENDENTS[0], "after": ["fails"]},
        {**noop, "key": DEPENDENTS[1], "after": [DEPENDENTS[0]]},
    ]


class World:
    """The folders that runs begin with, and what must hold behind the last one."""

    def __init__(self, folder: Path, figures: Figures) -> None:
        self._folder = folder
        self._figures = figures
        folder.mkdir()
        self._bench = JobsBench.below(folder)
        (folder / "text.txt").write_text(TEXT)
        self._submitted, self._done = folder / "submitted", folder / "done"
        sys.path.insert(0, str(folder / "site"))
        try:
            submit(self._submitted, documents(folder))
        finally:
            sys.path.remove(str(folder / "site"))
        shutil.copytree(self._submitted, self._done)
        code = self._bench.start(self._done).end(RUN_SECONDS)
        assert code == ExitCode.SOME_FAILED, code
        self._check(self._done, "undisturbed", failed=True)
        assert not figures.found, figures.found
        self._number = 0

    def end_all(self) -> None:
        """Leave nothing running."""
        kill_all(self._bench.processes())

    def kill_at(self, where: str, told: str, start: str) -> str:
        """Kill at a write of the journal, `statement/moment/count`; returns what is to be told besides."""
        fault = {KILL: where}
        if start == "deleted":
            return self._kill_in_prune(fault, told)
        if start == "resubmitted":
            return self._kill_in_submit(fault, told)
        return self._kill_in_run(fault, told, retried=start == "retried")

    def _kill_in_run(self, fault: Mapping[str, str], told: str, *, retried: bool) -> str:
        """Kill a run over what was submitted; or, `retried`, over what has failed and could be done now."""
        output = self._next(self._done if retried else self._submitted)
        more = ("--retry-failed",) if retried else ()
        missing = self._folder / "missing"
        missing.unlink(missing_ok=True)
        if retried:
            missing.touch()
        self._killed(self._bench.start(output, *more, program=FAULTY, extra_environment=fault), told)
        done = {name: row for name, row in rows(output).items() if row.state is JobState.SUCCEEDED}
        before = audit.outputs(output)
        expected = ExitCode.OK if retried else ExitCode.SOME_FAILED
        self._ends(self._bench.start(output, *more), told, expected)
        self._check(output, told, failed=not retried)
        now, after = rows(output), audit.outputs(output)
        for name, row in done.items():
            if name in now and now[name].attempts != row.attempts:
                self._figures.add(AGAIN, f"{told}: {name} was done")
            for product in row.job.products:
                same = [
                    {path: seen for path, seen in found.items() if path.startswith(product.name)}
                    for found in (before, after)
                ]
                if name in now and row.parent == "" and same[0] != same[1]:
                    self._figures.add(audit.REDONE, f"{told}: {product.name!r}")
        return f"{len(done)} jobs were done at the kill"

    def _kill_in_prune(self, fault: Mapping[str, str], told: str) -> str:
        """Kill a deletion of finished jobs; afterwards it is done by the same command, and nothing is made again."""
        output = self._next(self._done)
        before = audit.outputs(output)
        export = self._folder / f"export-{self._number}"
        self._killed(self._bench.prune(output, export, program=FAULTY, extra_environment=fault), told)
        export.unlink(missing_ok=True)
        self._ends(self._bench.prune(output, export), told, ExitCode.OK)
        if left := rows(output):
            self._figures.add(audit.LOST, f"{told}: {sorted(left)} are still there")
        check_sound(self._figures, output, told)
        if audit.outputs(output) != before:
            self._figures.add(audit.REDONE, f"{told}: the outputs are others")
        return "nothing was made again"

    def _kill_in_submit(self, fault: Mapping[str, str], told: str) -> str:
        """Kill the taking in of a chain that was done with other params; afterwards it is done again, as a whole."""
        output = self._next(self._done)
        (self._folder / "missing").unlink(missing_ok=True)
        other = {"function": "noop", "arguments": {"other": True}}
        chain = [{**job, "params": other} for job in documents(self._folder) if job["key"] in CHAIN]
        file = self._folder / "chain.json"
        file.write_text(json.dumps(chain))
        self._killed(self._bench.submit(output, file, program=FAULTY, extra_environment=fault), told)
        self._ends(self._bench.submit(output, file), told, ExitCode.OK)
        self._ends(self._bench.start(output), told, ExitCode.SOME_FAILED)
        self._check(output, told, failed=True, twice=CHAIN)
        return "the chain was done again"

    def _next(self, start: Path) -> Path:
        self._number += 1
        output = self._folder / f"out-{self._number:03}"
        shutil.copytree(start, output)
        return output

    def _killed(self, run: Run, told: str) -> None:
        code = run.end(RUN_SECONDS)
        if code != -signal.SIGKILL:
            self._figures.add(audit.EXITS, f"{told}: it never came to the kill: {code} {run.text()[-300:]!r}")
        for process in self._bench.left_after(LEFT_SECONDS):
            self._figures.add(audit.PROCESSES, f"{told}, after the kill: {process.role} {process.line}")

    def _ends(self, run: Run, told: str, expected: ExitCode) -> None:
        code = run.end(RUN_SECONDS)
        if code != expected:
            name = audit.HUNG if code is None else audit.EXITS
            self._figures.add(name, f"{told}: the rerun {code}: {run.text()[-300:]!r}")
        audit.look_for_traceback(self._figures, run.said, told)
        for process in self._bench.left_after(LEFT_SECONDS):
            self._figures.add(audit.PROCESSES, f"{told}, at the end: {process.role} {process.line}")

    def _check(self, output: Path, told: str, *, failed: bool, twice: tuple[str, ...] = ()) -> None:
        """Everything is done that can be, once or `twice`, and every product is whole and of one attempt."""
        check_sound(self._figures, output, told)
        found, times = rows(output), successes(output)
        not_done = {"fails": JobState.FAILED, **dict.fromkeys(DEPENDENTS, JobState.CANCELLED)} if failed else {}
        for document in documents(self._folder):
            key = str(document["key"])
            state, wanted = found[key].state, not_done.get(key, JobState.SUCCEEDED)
            if state is not wanted:
                self._figures.add(audit.LOST, f"{told}: {key} is {state}, not {wanted}: {found[key].reason}")
        for name, count in times.items():
            if count != (2 if name in twice else 1):
                self._figures.add(audit.REDONE, f"{told}: {name} succeeded {count} times")
        words = TEXT.split()
        counts = "\n".join(f"{word} {count}" for word, count in sorted(Counter(words).items()))
        again = counts.split()
        wanted_files = {
            "words": TEXT.upper(),
            "words.counts": counts,
            "counted": " ".join(again).upper(),
            "counted.counts": "\n".join(f"{word} {count}" for word, count in sorted(Counter(again).items())),
        }
        for key, role in REELS.items():
            text = f"only {found[key].id[:20]}-{attempt_of(output, found[key])}\n" * 1000
            folder, file = (key, f"{key}.parts") if role == MAIN else (f"{key}.parts", key)
            wanted_files |= dict.fromkeys((file, f"{folder}/one", f"{folder}/deep/two"), text)
        there = {os.fsdecode(path) for path in audit.outputs(output)}
        for path in there ^ wanted_files.keys():
            self._figures.add(audit.DUPLICATES if path in there else audit.LOST, f"{told}: {path}")
        for path in there & wanted_files.keys():
            if (output / path).read_text() != wanted_files[path]:
                self._figures.add(MIXED, f"{told}: {path}")
        result = found["sum"].result
        if result != '{"sum":7,"failed":0}':
            self._figures.add(audit.LOST, f"{told}: the sum is {result}")
