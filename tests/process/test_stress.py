"""A short version of `make stress`: whole runs of the command under kills, compared with undisturbed ones."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stress import audit, kills, transitions, world
from tests.stress.command import Bench
from tests.stress.figures import Asked, Broken, Figures
from tests.waiting import DEADLINE_SECONDS, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found through /proc")
SEED = 20261127


@pytest.fixture(autouse=True)
def timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long leftovers and runs may take is a figure of the harness; a test gives a busy machine more time."""
    for module in (kills, transitions, world):
        monkeypatch.setattr(module, "LEFT_SECONDS", 60.0)
    monkeypatch.setattr(transitions, "RUN_SECONDS", 240.0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short: a socket's may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="pyprocessor-stress-") as path:
        yield Path(path)


@pytest.mark.long
def test_random_kills_lose_nothing(folder: Path) -> None:
    """Ten moments of killing over ten oddly named files."""
    lines = []
    for line in kills.measure(folder, Asked(SEED, kills=10, clips=10)):
        lines.append(line)
        print(line)
    assert any(line.startswith("10 kills in") for line in lines)


@pytest.mark.long
def test_kills_at_writes_of_the_journal_lose_nothing(folder: Path) -> None:
    """The engine, and batch processes, at the moments that matter most: about the grant and the rename."""
    chosen = ("grant_job/after", "succeed_job/before", "worker/renamed+engine")
    lines = []
    for line in transitions.measure(folder, Asked(SEED, transitions=chosen)):
        lines.append(line)
        print(line)
    assert sum(line.startswith("ok: ") for line in lines) == len(transitions.cases(chosen)) == 8


def test_the_harness_would_notice(folder: Path) -> None:
    """A lost, a damaged, a strange and a changed output, a traceback and a leftover are all told."""
    output = folder / "out"
    state = output / ".pyprocessor"
    for below in ("partial", "logs"):
        (state / below).mkdir(parents=True)
    (output / "kept.mp4").write_bytes(b"whole")
    (output / "damaged.mp4").write_bytes(b"no video")
    (output / "strange.mp4").touch()
    (output / ".pyprocessor-0123456789abcdef").touch()
    log = state / "logs" / "crash.log"
    log.write_text(f"{audit.TRACEBACK}:\n")
    figures = Figures(audit.ALL)
    with audit.Watch(output) as watch:
        watch.look()
        (output / "kept.mp4").write_bytes(b"another")
    assert list(watch.changed) == [b"kept.mp4"]
    reference = dict.fromkeys((b"kept.mp4", b"damaged.mp4", b"lost.mp4"), "0" * 64)
    audit.compare(figures, output, reference, transitions.find({}).path, "here")
    audit.look_for_traceback(figures, log, "here")
    assert {name for name, _ in figures.found} == {
        audit.LOST,
        audit.DUPLICATES,
        audit.DAMAGED,
        audit.TEMPORARY,
        audit.TRACEBACKS,
    }
    with pytest.raises(Broken):
        list(figures.table())


def test_processes_are_found_by_their_mark(folder: Path) -> None:
    """Only those of this harness, and only as long as they run."""
    bench = Bench(folder, folder / "in", folder / "profile.yaml")
    sleeper = ("-c", "import time; time.sleep(60)")
    run = bench.start(folder / "out", program=sleeper)
    try:
        found = until(bench.processes, "its mark to be readable")
        assert [process.pid for process in found] == [run.pid]
        assert [process.pid for process in bench.left_after(0.1)] == [run.pid]
        assert Bench(folder, folder, folder).processes() == []
    finally:
        run.process.kill()
        run.process.wait()
    assert bench.left_after(DEADLINE_SECONDS) == []
