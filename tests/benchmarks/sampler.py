"""What watching costs: full and quick readings of the machine and of many ffmpegs that run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from pyprocessor.ffmpeg.tool import find
from pyprocessor.models import MonitoringSettings
from pyprocessor.system.sampler import Sampler

MANY = 64
FEW = 6
SECONDS = 10.0
"""How long each way of reading is watched, at its own pace: between two readings the caches go cold as in a run."""

IDLE = ["-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=64x64:rate=1", "-f", "null", "-"]


@dataclass(frozen=True, slots=True)
class Batches:
    """Processes that lead a group each, and the one ffmpeg that each of them has."""

    leaders: tuple[int, ...]
    ffmpegs: tuple[int, ...]


@contextlib.contextmanager
def idling(count: int, folder: Path) -> Iterator[Batches]:
    """As many ffmpegs that do next to nothing, each below a shell of its own: as many processes as a run can have."""
    command = ["sh", "-c", '"$@" & wait', "sh", str(find(os.environ).path), *IDLE]
    with contextlib.ExitStack() as ends:
        shells = []
        for _ in range(count):
            shell = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, process_group=0)
            ends.callback(_end, shell)
            shells.append(shell)
        deadline = time.monotonic() + 60
        while True:
            children = [child for shell in shells for child in psutil.Process(shell.pid).children()]
            if len([child for child in children if child.name().startswith("ffmpeg")]) == count:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"Only {len(children)} of {count} ffmpegs started within a minute.")
            time.sleep(0.1)
        yield Batches(tuple(shell.pid for shell in shells), tuple(child.pid for child in children))


def _end(leader: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()


def cost(take: Callable[[float], object], interval_seconds: float) -> tuple[float, int]:
    """CPU seconds of one call, and the number of calls, taken at this interval."""
    spent, calls = 0.0, 0
    end = time.monotonic() + SECONDS
    while (now := time.monotonic()) < end:
        before = time.thread_time()
        take(now)
        spent += time.thread_time() - before
        calls += 1
        time.sleep(interval_seconds)
    return spent / calls, calls


def measure(folder: Path) -> Iterator[str]:
    """CPU time of a reading, and the share of one core that readings take at the pace that a run reads."""
    monitoring = MonitoringSettings()
    slow, quick = monitoring.sample_interval_seconds, monitoring.ramp_interval_seconds
    with idling(MANY, folder) as batches:
        sampler = Sampler(os.fsencode(folder))
        sampler.read(batches.leaders, time.monotonic())
        full, calls = cost(lambda now: sampler.read(batches.leaders, now), slow)
        each, _ = cost(lambda now: sampler.trees.processes(batches.ffmpegs), slow)
        yield (
            f"{MANY} ffmpegs in {MANY} batch processes: full reading {full * 1e3:.2f} ms of CPU, one by one "
            f"{each * 1e3:.2f} ms ({calls} readings)"
        )
        yield (
            f"at {1 / slow:g} Hz with {MANY} ffmpegs: {full / slow:.2%} of one core for readings (figure: under 1%), "
            f"{(full + each) / slow:.2%} with the ffmpegs one by one"
        )
    with idling(FEW, folder) as batches:
        sampler = Sampler(os.fsencode(folder))
        sampler.read(batches.leaders, time.monotonic())
        full, _ = cost(lambda now: sampler.read(batches.leaders, now), quick)
        fast, calls = cost(lambda now: sampler.fast(batches.leaders, now), quick)
        each, _ = cost(lambda now: sampler.trees.processes(batches.ffmpegs), quick)
        yield (
            f"{FEW} ffmpegs in {FEW} batch processes: full reading {full * 1e3:.2f} ms of CPU, quick reading "
            f"{fast * 1e3:.2f} ms, the {FEW} ffmpegs one by one {each * 1e3:.2f} ms ({calls} quick readings)"
        )
        share = fast / quick + full / slow
        yield (
            f"at the ramp rate of {1 / quick:g} Hz with {FEW} ffmpegs: {share:.2%} of one core for readings, "
            f"{share + each / quick:.2%} with the ffmpegs one by one"
        )
