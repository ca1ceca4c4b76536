"""A pipeline in Python: each task reads what the ones before it made.

    DEEPSEEK_API_KEY=... python pipeline.py https://media.example.org/interview.mp4 Texts

Killed at any moment, the same command goes on from what was done.
"""

from __future__ import annotations

import asyncio
import sys

from pyprocessor.taskqueue import BatchProgress, BatchResult, TaskType, create_batch_processor


def show(progress: BatchProgress) -> None:
    """Called every few seconds; what it raises ends nothing."""
    print(f"{progress.completed_tasks} of {progress.total_tasks} done, {progress.memory_usage_mb:.0f} MB")


async def improved_text(url: str, output: str, *, api: str, allow_private: bool = False) -> BatchResult:
    """Download, have the sound prepared, written down, and the text improved; returns what that came to."""
    queue = create_batch_processor(max_workers=2, memory_limit_mb=2048, name="interview", output=output)
    film = await queue.add_task(TaskType.DOWNLOAD, {"url": url, "allow_private": allow_private}, key="film")
    sound = await queue.add_task(TaskType.PREPROCESS, {}, after=[film], key="sound")
    text = await queue.add_task(TaskType.TRANSCRIBE, {"backend": "pocketsphinx"}, after=[sound], key="text")
    await queue.add_task(TaskType.ENHANCE, {"url": api}, after=[text], key="improved", max_retries=5)
    return await queue.start(show)


def main(url: str, output: str, api: str = "https://api.deepseek.com") -> int:
    """Do it, and say what it came to."""
    result = asyncio.run(improved_text(url, output, api=api, allow_private="127.0.0.1" in url))
    print(f"{result.success_count} of {result.total_count} tasks done in {result.processing_time:.1f} s")
    for name, value in result.quality_metrics.items():
        print(f"  {name}: {value}")
    return 0 if result.success_count == result.total_count else 1


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: pipeline.py URL FOLDER [API]")
    sys.exit(main(*sys.argv[1:]))
