"""How many tasks that do nothing does a queue take in and do in a second, journaled, and what does that take?"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil

from pyprocessor.taskqueue import create_batch_processor
from tests.integration.worked import install

TASKS = int(os.environ.get("QUEUE_TASKS", "100000"))
LOOK_SECONDS = 0.1
LEAST_A_SECOND = 2000


def measure(folder: Path) -> Iterator[str]:
    """Rates of adding, doing and both, CPU time by process, and the most memory that the engine's process took."""
    site = str(install(folder / "site"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[2]), site))}
    program = psutil.Popen(
        [sys.executable, "-m", __name__, str(folder / "out")], env=environment, stdout=(folder / "told").open("w")
    )
    taken: dict[int, tuple[str, float]] = {}
    peak = 0
    while program.poll() is None:
        for process in (program, *program.children(recursive=True)):
            try:
                caller = any("call_main" in part for part in process.cmdline())
                part = "the program" if process == program else "processes for calls" if caller else "workers"
                times = process.cpu_times()
                taken[process.pid] = part, times.user + times.system
                peak = max(peak, program.memory_info().rss)
            except psutil.Error:
                continue  # it has just ended
        time.sleep(LOOK_SECONDS)
    assert program.returncode == 0, program.returncode
    told = json.loads((folder / "told").read_text())
    assert told["success"] == TASKS, told
    each: defaultdict[str, float] = defaultdict(float)
    for part, cpu_seconds in taken.values():
        each[part] += cpu_seconds * 1e6 / TASKS
    seconds = told["add"] + told["do"]
    yield (
        f"{TASKS:,} tasks: {TASKS / told['add']:,.0f} added and {TASKS / told['do']:,.0f} done in a second, "
        f"{TASKS / seconds:,.0f}/s in all (at least {LEAST_A_SECOND:,})"
    )
    shares = ", ".join(f"{cost:.0f} us in {part}" for part, cost in sorted(each.items()))
    yield f"of CPU time each {shares}; the program takes at most {peak >> 20} MiB"


async def add_and_do(output: str) -> dict[str, float]:
    """Seconds that both take."""
    processor = create_batch_processor(output=output, cpu_limit_percent=100)
    began = time.perf_counter()
    for _ in range(TASKS):
        await processor.add_task("ask", {"function": "noop"})
    added = time.perf_counter()
    result = await processor.start()
    return {"add": added - began, "do": time.perf_counter() - added, "success": result.success_count}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(add_and_do(sys.argv[1]))))
