"""The program of docs/taskqueue.md, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pyprocessor.tasks.registry import names
from tests.waiting import DEADLINE_SECONDS

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "queue_example.py"


@pytest.mark.skipif(not {"call", "checksum"} <= set(names()), reason="the tasks of the example are not there")
def test_the_example_runs_and_goes_on(tmp_path: Path) -> None:
    """Each file has its two tasks, and a second call finds all of them done."""
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.txt").write_text("line\n" * number + ("\n" if number == 2 else ""))

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(EXAMPLE), "in", "out"]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
        )

    for _ in range(2):
        ended = run()
        assert ended.returncode == 0, ended.stderr
        *outcomes, last = ended.stdout.splitlines()
        assert sorted(line.split(": ")[:3] for line in outcomes) == [
            [f"{number}.txt", kind, "succeeded"] for number in range(3) for kind in ("call", "checksum")
        ]
        assert last == "6 of 6 done, 1.3 lines a file; 1 lines are empty"
        assert "Progress: 6/6 (100.0% success) | Active: 0 | Failed: 0 | " in ended.stderr
