"""A queue of tasks: checksums of all files in a folder, and a function of one's own for each, the small files first.

    python docs/examples/queue_example.py FOLDER [OUTPUT]

Killed and called again it goes on where it was: each task has a key.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pyprocessor.taskqueue import BatchProcessor, BatchProgress, TaskType, create_batch_processor

SMALL_BYTES = 1_000_000


def count_lines(path: str) -> dict[str, object]:
    """Called in a process of its own; what it returns is the task's result, and its `quality` is averaged."""
    lines = Path(path).read_bytes().splitlines()
    empty = sum(not line.strip() for line in lines)
    warnings = [f"{empty} lines are empty"] if empty else []
    return {"lines": len(lines), "quality": {"lines": len(lines), "no_empty_lines": not empty}, "warnings": warnings}


async def add_tasks(processor: BatchProcessor, folder: Path) -> None:
    """Two tasks for each file: its checksum, and once that is there the function."""
    folder = folder.resolve()  # the function is called in another folder
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        priority = 1 if path.stat().st_size < SMALL_BYTES else 6
        name = path.relative_to(folder).as_posix()
        checksum = await processor.add_task(
            TaskType.CHECKSUM, {"file_path": path}, priority, key=f"checksum of {name}", metadata={"file": name}
        )
        await processor.add_task(
            TaskType.CALL,
            {"function": "queue_example:count_lines", "arguments": {"path": str(path)}},
            priority,
            key=f"lines of {name}",
            after=[checksum],
            metadata={"file": name},
        )


def show(progress: BatchProgress) -> None:
    """The line of a terminal."""
    print(progress, file=sys.stderr)


async def main(folder: Path, output: Path | None) -> int:
    """Add all, do all, and print what came of each."""
    processor = create_batch_processor(max_workers=4, progress_interval=1.0, name="example", output=output)
    await add_tasks(processor, folder)
    started = asyncio.create_task(processor.start(show))
    async for outcome in processor.results():
        found = outcome.result if outcome.success else outcome.reason
        print(f"{outcome.metadata['file']}: {outcome.task.task_type}: {outcome.state}: {found}")
    result = await started
    lines = result.quality_metrics.get("avg_lines", 0.0)
    print(f"{result.success_count} of {result.total_count} done, {lines:.1f} lines a file", *result.warnings, sep="; ")
    return 0 if result.failure_count == 0 else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)))
