"""Two dozen 1080p encodes inside a memory control group that holds three of them, and the kernel ready to kill.

Fixed numbers at once are measured first, with the very calls the command makes; then the command itself; then a run
whose model is wrong by a factor of four on a machine it takes for one of eight cores, which its governor alone can
save. All memory is in MiB (2**20 bytes). Some eight minutes on 2 cores.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyprocessor.ffmpeg.tool import find
from pyprocessor.journal.reader import JournalReader
from pyprocessor.profiles import load
from tests.benchmarks.bare import Call, bare_calls, xargs
from tests.benchmarks.command import pyprocessor
from tests.process.cgroups import MEMORY_PROFILE, MIB, Contained, NoMemoryGroup, memory_group, run_inside

LIMIT_BYTES = 1400 * MIB
MAX_MEMORY_PERCENT = 80
JOBS = 6
CLIPS = 24
DIFFERENT_CLIPS = 4
SECONDS = 5
LEAST_OF_BEST = 0.9


def measure(folder: Path) -> Iterator[str]:
    """What each way of running the set came to, then the decisions of the governor in the last one."""
    try:
        with memory_group(LIMIT_BYTES):
            pass
    except NoMemoryGroup as reason:
        yield f"skipped: {reason}"
        return
    clips = make_clips(folder / "clips")
    profile = folder / "profile.yaml"
    profile.write_text(MEMORY_PROFILE)
    calls = list(bare_calls(clips, load(str(profile)).profile).values())
    one = _fixed(folder / "one", calls[:1], 1)
    yield f"one encode alone takes {_mib(one.peak_anonymous_bytes)} of memory; the group holds {_mib(LIMIT_BYTES)}"
    best = 0.0
    for at_once in (1, 2, 3, 4):
        output = folder / f"fixed-{at_once}"
        run = _fixed(output, calls, at_once)
        yield _told(f"fixed {at_once} at once", run, output)
        if run.returncode == 0 and run.oom_kills == 0:
            best = max(best, CLIPS / run.seconds)
    arguments = ["--input", str(clips), "--profile", str(profile), "--max-memory", str(MAX_MEMORY_PERCENT)]
    arguments += ["--jobs", str(JOBS)]
    figures = f"figures: at most 1 of the budget, at least {LEAST_OF_BEST} of the best"
    yield from _ours(folder / "ours", pyprocessor(*arguments), best, figures)
    misled = [sys.executable, "-m", "tests.process.misled", *arguments, "--cores", "8", "--divisor", "4"]
    yield from _ours(folder / "misled", misled, best, "figure: nothing killed")
    yield from events(folder / "misled")


def make_clips(folder: Path) -> Path:
    """Moving test pictures under grain, 1080p; some are copies of each other."""
    folder.mkdir(parents=True)
    ffmpeg = find(os.environ).path
    for number in range(CLIPS):
        path = folder / f"clip-{number:02d}.mp4"
        if number >= DIFFERENT_CLIPS:
            shutil.copy(folder / f"clip-{number % DIFFERENT_CLIPS:02d}.mp4", path)
            with path.open("ab") as file:  # else it would be a copy, and not encoded
                file.write((12).to_bytes(4, "big") + b"free" + number.to_bytes(4, "big"))
            continue
        picture = f"testsrc2=size=1920x1080:rate=25:duration={SECONDS},noise=alls=4:allf=t:all_seed={number}"
        command = [ffmpeg, "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", picture + ",format=yuv420p"]
        subprocess.run([*command, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", str(path)], check=True)
    return folder


def events(output: Path) -> Iterator[str]:
    """What the journal says of the last run, a line for every event, in seconds since its first."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        run = journal.last_run()
        assert run is not None
        for event in journal.events(run_id=run.id):
            yield f"  {event.at - run.started_at:7.2f} s  {event.kind:10} {event.text}"


def _fixed(output: Path, calls: Sequence[Call], at_once: int) -> Contained:
    """So many bare encodes of one thread each at once, whatever memory there is."""
    output.mkdir()
    with memory_group(LIMIT_BYTES) as group:
        return run_inside(group, xargs(calls, output.with_suffix(".arguments"), at_once), cwd=output)


def _ours(output: Path, command: Sequence[str], best: float, figures: str) -> Iterator[str]:
    """Our own run, with costs that nothing has been learned of yet; `best` is in files a second."""
    state = output.with_suffix(".state")
    with memory_group(LIMIT_BYTES) as group:
        run = run_inside(group, ["env", f"XDG_STATE_HOME={state}", *command, "--output", str(output)])
    name = f"{output.name}, --max-memory {MAX_MEMORY_PERCENT} --jobs {JOBS}"
    yield _told(name, run, output)
    budget = LIMIT_BYTES * MAX_MEMORY_PERCENT // 100
    peak = run.peak_anonymous_bytes
    yield (
        f"{output.name}: anonymous memory / budget of {_mib(budget)} {peak / budget:.3f}, / limit "
        f"{peak / LIMIT_BYTES:.3f}; throughput / best fixed {CLIPS / run.seconds / best:.3f} "
        f"({figures})"
    )
    if run.returncode != 0:
        yield f"{output.name}: {run.output[-2000:]}"


def _told(name: str, run: Contained, output: Path) -> str:
    made = sum(b"moov" in path.read_bytes() for path in output.glob("*.mp4"))  # the index: written at the very end
    ending = "killed by the kernel" if run.oom_kills else f"exit code {run.returncode}"
    return (
        f"{name}: {run.seconds:.1f} s, {made} outputs of {CLIPS}, {ending}, oom_kill {run.oom_kills}, anonymous memory "
        f"at most {_mib(run.peak_anonymous_bytes)}"
    )


def _mib(count: int) -> str:
    return f"{count / MIB:,.0f} MiB"
