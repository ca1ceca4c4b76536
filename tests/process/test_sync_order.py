"""In which order things reach the disk, seen from outside the processes: so that a power cut, whenever it comes, leaves
either no name or one whose file is whole and known."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

DEADLINE_SECONDS = 240
CALL = re.compile(r"^\d+ +(\w+)\((.*?)\)? += 0")


@dataclass(frozen=True)
class Call:
    """A system call that succeeded, and the paths it names."""

    name: str
    paths: tuple[str, ...]


def calls(trace: Path) -> list[Call]:
    """All syncs, renames and new folders of a trace, in order."""
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        match = CALL.match(line.replace(" <unfinished ...>", ") = 0"))
        if match is not None:
            named = re.findall(r'\d+<([^>]+)>|"([^"]+)"', match[2])
            found.append(Call(match[1], tuple(one or other for one, other in named)))
    return found


@pytest.fixture
def traced(tmp_path: Path, make_clip) -> list[Call]:  # type: ignore[no-untyped-def]
    """The calls of one run over a file in two folders."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace here")
    make_clip(tmp_path / "in" / "sub" / "deep" / "a.mp4")
    trace = tmp_path / "trace"
    wanted = "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,mkdir,mkdirat"
    job = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--profile", "fast"]
    command = [strace, "-f", "-y", "-s", "4096", "-e", wanted, "-o", str(trace), sys.executable, "-m", "pyprocessor"]
    try:
        done = subprocess.run([*command, *job], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    except OSError as error:
        pytest.skip(f"strace does not run here: {error}")
    if "Operation not permitted" in done.stderr and not trace.exists():
        pytest.skip("this machine does not let us trace")
    assert done.returncode == 0, done.stderr
    return calls(trace)


def test_the_order_of_one_publish(traced: list[Call], tmp_path: Path) -> None:
    """Content and its name, intent, receipt and its name, new folders, rename, the final name; in that order."""
    output = os.path.realpath(tmp_path / "out")
    state = f"{output}/.pyprocessor"

    def first(name: str, *endings: str, after: int = -1) -> int:
        for place, call in enumerate(traced[after + 1 :], after + 1):
            named = [any(path.endswith(ending) for path in call.paths) for ending in endings]
            if call.name.startswith(name) and all(named):
                return place
        raise AssertionError(f"no {name} of {endings} after call {after}:\n" + "\n".join(map(str, traced[after + 1 :])))

    content = first("fsync", ".mp4")
    (partial,) = traced[content].paths
    staged = first("fsync", f"{state}/partial", after=content)
    intent = first("fsync", f"{state}/journal.sqlite3-wal", after=staged)
    receipts = first("fsync", f"{state}/receipts", after=intent)
    receipt = first("fsync", ".jsonl", after=receipts)
    rename = first("renameat2", partial, f"{output}/sub/deep/a.mp4", after=receipt)
    first("fsync", f"{output}/sub/deep", after=rename)
    for made, holder in ((f"{output}/sub", output), (f"{output}/sub/deep", f"{output}/sub")):
        place = first("mkdir", made)
        assert place < first("fsync", holder, after=place) < rename
    for made, holder in ((output, os.path.dirname(output)), (state, output), (f"{state}/receipts", state)):
        place = first("mkdir", made)
        assert place < first("fsync", holder, after=place) < content
    assert [call for call in traced if call.name.startswith("rename") and output in str(call)] == [traced[rename]]
