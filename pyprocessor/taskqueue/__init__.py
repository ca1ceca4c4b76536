"""How does a program have a queue of tasks done? The door: `create_batch_processor(...)`, `add_task`, `start`."""

from pyprocessor.taskqueue.creating import (
    DEFAULT_CPU_LIMIT_PERCENT,
    DEFAULT_MEMORY_LIMIT_MB,
    DEFAULT_PROGRESS_INTERVAL,
    DEFAULT_QUEUE_SIZE,
    DEFAULT_WORKERS,
    create_batch_processor,
)
from pyprocessor.taskqueue.processor import BatchProcessor
from pyprocessor.taskqueue.records import (
    BatchProgress,
    BatchResult,
    BatchTask,
    TaskFailure,
    TaskOutcome,
    TaskType,
)

__all__ = [
    "DEFAULT_CPU_LIMIT_PERCENT",
    "DEFAULT_MEMORY_LIMIT_MB",
    "DEFAULT_PROGRESS_INTERVAL",
    "DEFAULT_QUEUE_SIZE",
    "DEFAULT_WORKERS",
    "BatchProcessor",
    "BatchProgress",
    "BatchResult",
    "BatchTask",
    "TaskFailure",
    "TaskOutcome",
    "TaskType",
    "create_batch_processor",
]
