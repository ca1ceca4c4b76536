"""What does a queue say of its tasks, of how far it is, and of how it ended?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pyprocessor.errors import FailureKind
from pyprocessor.models import JobState
from pyprocessor.models.wording import progress_line


class TaskType(StrEnum):
    """The kinds of work that come with the package; those of others go by their registered names."""

    PREPROCESS = "preprocess"
    DOWNLOAD = "download"
    YOUTUBE = "youtube"
    TRANSCRIBE = "transcribe"
    ENHANCE = "enhance"
    TRANSCODE = "transcode"
    CHUNK = "chunk"
    CHECKSUM = "checksum"
    VERIFY = "verify"
    ANALYZE = "analyze"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class BatchTask:
    """One task: what is to be done with what. `retry_count` says how often it was tried again."""

    id: str
    task_type: str
    data: Mapping[str, Any]
    priority: int = 0
    max_retries: int = 3
    retry_count: int = 0


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How a task ended for good; `products` are absolute paths by role, and `result` what it answered."""

    task: BatchTask
    state: JobState
    result: Any
    products: Mapping[str, Path]
    reason: str
    failure: FailureKind | None
    tenant: str
    metadata: Mapping[str, str]

    @property
    def id(self) -> str:
        return self.task.id

    @property
    def success(self) -> bool:
        """Whether what was asked for is there."""
        return self.state in SUCCEEDED


SUCCEEDED = (JobState.SUCCEEDED, JobState.KEPT_SOURCE, JobState.SKIPPED)


def _percent(part: int, whole: int) -> float:
    return 100.0 * part / whole if whole > 0 else 0.0


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a queue is. Completed tasks have succeeded, or there was nothing to do for them.

    Rates are percentages of all tasks, CPU percentages of all cores; megabytes have 1,000,000 bytes.
    """

    total_tasks: int
    completed_tasks: int = 0
    failed_tasks: int = 0
    active_workers: int = 0
    memory_usage_mb: float = 0.0
    """Of this program and all of its processes."""
    cpu_usage_percent: float = 0.0
    """Of the machine."""
    memory_peak_mb: float = 0.0
    cpu_peak_percent: float = 0.0
    quality_metrics: Mapping[str, Any] = field(default_factory=dict)
    eta: float | None = None
    """Seconds until all is done, where that can be said."""
    elapsed: float = 0.0

    @property
    def success_rate(self) -> float:
        return _percent(self.completed_tasks, self.total_tasks)

    @property
    def failure_rate(self) -> float:
        return _percent(self.failed_tasks, self.total_tasks)

    def __str__(self) -> str:
        return progress_line(
            self.completed_tasks,
            self.total_tasks,
            active=self.active_workers,
            failed=self.failed_tasks,
            memory_bytes=self.memory_usage_mb * 1e6,
            cpu_percent=self.cpu_usage_percent,
        )


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A task that failed for good, and why."""

    id: str
    task_type: str
    kind: FailureKind | None
    reason: str
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one `start` came to. Tasks that were cancelled or are left count in the total alone.

    `quality_metrics` has averages over tasks, `error_rate` in percent, `recovered` (tasks that succeeded after a
    retry), and the averages of each task type in `by_task`.
    """

    success_count: int
    failure_count: int
    total_count: int
    processing_time: float
    """Seconds."""
    memory_peak_mb: float
    cpu_peak_percent: float
    quality_metrics: Mapping[str, Any]
    warnings: tuple[str, ...] = ()
    """Of the quality of results, each once."""
    failures: tuple[TaskFailure, ...] = ()

    @property
    def success_rate(self) -> float:
        return _percent(self.success_count, self.total_count)

    @property
    def failure_rate(self) -> float:
        return _percent(self.failure_count, self.total_count)
