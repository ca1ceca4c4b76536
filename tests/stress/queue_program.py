"""A program that adds keyed tasks to a queue, half of them while it works, and notes each that it knows to be added.

python -m tests.stress.queue_program OUTPUT COUNT LOG ADDED
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pyprocessor.taskqueue import create_batch_processor
from tests.stress.queue import chains_of


async def main(output: str, count: int, log: str, added: str) -> int:
    """Returns the exit code: 0 where all tasks are done."""
    processor = create_batch_processor(output=output)
    with Path(added).open("a", buffering=1) as known:

        async def add(number: int, *after: str) -> str:
            data = {"function": "note", "arguments": {"log": log, "text": f"{number}"}}
            task_id = await processor.add_task("ask", data, key=f"{number}", after=after)
            known.write(f"{number}\n")
            return task_id

        for number in range(count):
            await add(number)
        started = asyncio.create_task(processor.start())
        for chain in chains_of(count):
            last: tuple[str, ...] = ()
            for number in chain:
                last = (await add(number, *last),)
    result = await started
    while result.failure_count == 0 and result.success_count < result.total_count:
        result = await processor.start()
    return min(result.failure_count, 1)


if __name__ == "__main__":
    output, count, log, added = sys.argv[1:]
    sys.exit(asyncio.run(main(output, int(count), log, added)))
