"""Which limits does a queue have, and in which folder does it lie?"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace
from typing import Any

import platformdirs

from pyprocessor import profiles
from pyprocessor.errors import UsageError
from pyprocessor.intake.paths import AnyPath, output_folder
from pyprocessor.models import Mode, PriorityRule, UnknownTenants
from pyprocessor.profiles import kinds
from pyprocessor.profiles.problems import shown
from pyprocessor.taskqueue.processor import BatchProcessor

_log = logging.getLogger("pyprocessor")
DEFAULT_WORKERS = 8
DEFAULT_QUEUE_SIZE = 1000
DEFAULT_PROGRESS_INTERVAL = 5.0
DEFAULT_MEMORY_LIMIT_MB = 2048
DEFAULT_CPU_LIMIT_PERCENT = 90


def create_batch_processor(
    max_workers: int = DEFAULT_WORKERS,
    queue_size: int = DEFAULT_QUEUE_SIZE,
    progress_interval: float = DEFAULT_PROGRESS_INTERVAL,
    memory_limit_mb: int = DEFAULT_MEMORY_LIMIT_MB,
    cpu_limit_percent: float = DEFAULT_CPU_LIMIT_PERCENT,
    *,
    name: str = "default",
    output: AnyPath | None = None,
    mode: str = Mode.AUTO,
    priority_by: str | None = None,
    tenants: dict[str, Any] | None = None,
    refuse_unknown_tenants: bool = False,
) -> BatchProcessor:
    """A queue of this name, in the folder `output` or else the user's state directory.

    At most `max_workers` tasks run at once, fewer where cores, memory or other programs leave no more. `queue_size`
    bounds how many wait while it works: more tasks are added once fewer do. `mode` is the order and the batches in
    which they are done, `priority_by` the rule of the mode "priority". `tenants` has the weight and the limits of each,
    as `batch_processing.tenants` of a profile; tasks of others are refused where that is asked for. Raises UsageError
    or OutputUnwritable.
    """
    check_whole("max_workers", max_workers, 1)
    check_whole("queue_size", queue_size, 1)
    check_whole("memory_limit_mb", memory_limit_mb, 1)
    check_seconds("progress_interval", progress_interval)
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\0" in name:
        raise UsageError(f"name is {name!r}, but has to be a text without slashes.")
    limits = {
        "memory_limit_bytes": memory_limit_mb << 20,
        # All of the CPU is no limit, which would suspend processes now and then to keep.
        "cpu_limit_percent": cpu_limit_percent if cpu_limit_percent != 100 else None,
        "progress_interval_seconds": progress_interval,
        "mode": mode,
        "priority_by": priority_by,
    }
    loaded = profiles.load("default", overrides=profiles.overrides_of(limits, called=lambda called: called))
    if loaded.profile.batch.priority_rule[0] is PriorityRule.LIST:
        raise UsageError(f"priority_by is {priority_by!r}, but a list orders the files of a folder; give priorities.")
    for notice in loaded.notices:
        _log.warning("%s", notice)
    try:
        shares = kinds.Tenants.read({} if tenants is None else tenants)
    except ValueError as error:
        raise UsageError(f"tenants is {shown(tenants)}, but {error}.") from None
    batch = replace(loaded.profile.batch, most_jobs=max_workers)
    if shares:
        others = UnknownTenants.REFUSE if refuse_unknown_tenants else UnknownTenants.ALLOW
        batch = replace(batch, tenants=shares, unknown_tenants=others)
    profile = replace(loaded.profile, batch=batch)
    folder = output if output is not None else platformdirs.user_state_path("pyprocessor") / "queues" / name
    return BatchProcessor(profile, queue_size, name=name, output=output_folder(os.fsdecode(folder)))


def check_whole(called: str, value: object, least: int) -> None:
    """Raise UsageError for what is no whole number, or a smaller one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UsageError(f"{called} is {value!r}, but has to be a whole number of {least} or more.")


def check_seconds(called: str, value: object) -> None:
    """Raise UsageError for what is no number of seconds above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= threading.TIMEOUT_MAX:
        raise UsageError(f"{called} is {value!r}, but has to be a number of seconds above 0.")
