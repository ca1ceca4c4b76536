"""What do a reading of the machine, the state of a run and a plan hold?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.models.work import Cost


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of the machine and of our process trees."""

    monotonic_seconds: float
    cores: float
    """Cores this process may use: affinity and cgroup quota taken into account."""
    total_memory_bytes: int
    """min(physical, tightest cgroup limit)."""
    used_memory_bytes: int
    """Of that total, what is in use by anyone, less what the kernel can drop (inactive file pages)."""
    our_memory_bytes: int
    cpu_percent: float
    """Of all cores of the machine, 0 to 100."""
    free_disk_bytes: int
    memory_pressure_full: float | None = None
    """PSI `full avg10`, percent; None where the kernel has no PSI."""
    oom_kills: int | None = None
    our_cpu_percent: float = 0.0
    """What our processes take, of all cores we may use, 0 to 100, since the last reading."""
    disk_bytes_per_second: float = 0.0
    """Read and written by all of the machine's disks, since the last reading."""
    waiting_percent: float | None = None
    """The highest of PSI `some avg10` of cpu, io and memory, percent; None where the kernel has no PSI."""


@dataclass(frozen=True, slots=True)
class ProcessReading:
    """One process of ours at one moment; `suspended` is true while it is stopped by a signal."""

    pid: int
    memory_bytes: int
    """Resident (RSS)."""
    peak_memory_bytes: int
    """The highest it ever was (VmHWM)."""
    cpu_seconds: float
    suspended: bool = False


# ---------------------------------------------------------------- what listeners of a run are given


class RunState(StrEnum):
    """What a run is doing."""

    WAITING = "waiting"
    """Its window of the day has not opened yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Nothing is started; what runs is finished."""
    PAUSED_NOW = "paused_now"
    """Nothing is started, and what runs stands still."""
    DRAINING = "draining"
    """It was asked to stop, or its time is up: what runs is finished first."""
    ENDING = "ending"
    """What runs is being ended."""

    @property
    def paused(self) -> bool:
        return self in (RunState.PAUSED, RunState.PAUSED_NOW)

    @property
    def stopping(self) -> bool:
        return self in (RunState.DRAINING, RunState.ENDING)


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """Where a run stands; `done` of `total` files are in a final state (succeeded, failed, skipped)."""

    done: int
    total: int
    total_is_final: bool
    """False while the listing goes on, so that `total` may still grow."""
    succeeded: int
    failed: int
    skipped: int
    active: int
    memory_bytes: int
    """Resident memory of the engine and all its processes."""
    cpu_percent: float
    """Of all cores of the machine, 0 to 100."""
    elapsed_seconds: float
    eta_seconds: float | None
    draining: bool
    """True once a stop was asked for: running files finish and nothing new starts."""
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None
    """The band around `eta_seconds` that the predictions' spread allows."""
    state: RunState = RunState.RUNNING


@dataclass(frozen=True, slots=True)
class ActiveFile:
    """A file that runs now.

    `media_seconds` is None where its duration is not known; `speed` is media seconds per second; `running_seconds`
    leaves out the time it was stopped, and `still` says that it is stopped now.
    """

    name: str
    media_seconds: float | None
    done_seconds: float
    speed: float | None
    running_seconds: float
    still: bool = False


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """The file that starts next, and why it waits, as the end of a sentence."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands, as `status` shows it; `started_at` is seconds since the epoch.

    `done_before` and `failed_before` count files that earlier runs settled and that still hold. A run that waits for
    its window begins in `begins_in_seconds`. While the output's disk has not answered for `disk_silent_seconds`, the
    rest is what was known before.
    """

    pid: int
    started_at: float
    snapshot: RunSnapshot
    done_before: int = 0
    failed_before: int = 0
    begins_in_seconds: float = 0.0
    files: tuple[ActiveFile, ...] = ()
    disk_silent_seconds: float = 0.0
    next: WaitingFile | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a plan; both paths are relative, to the input and to the output root.

    `cost` is at the threads it is to run with. `lane` numbers, from 1, the places that run side by side; times count
    from the start of the run.
    """

    name: bytes
    output: bytes
    cost: Cost
    lane: int = 1
    start_seconds: float = 0.0
    end_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file a plan leaves alone, and why, as a sentence."""

    name: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """One batch of a plan; times count from the start of the run.

    `seconds_low` and `seconds_high` bound how long it takes.
    """

    number: int
    files: tuple[PlannedFile, ...]
    slots: int
    threads: int
    memory_bytes: int
    seconds_low: float
    seconds_high: float
    start_seconds: float
    end_seconds: float = 0.0
    waits_because: str = ""
    """Why it does not start with the run, as the end of a sentence; empty where it does."""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do; `peak_memory_bytes` is of all batches that run at once."""

    batches: tuple[PlannedBatch, ...]
    skipped: tuple[SkippedFile, ...]
    peak_memory_bytes: int
    memory_budget_bytes: int
    disk_bytes: int
    seconds_low: float
    seconds_high: float
    processes: int
    notes: tuple[str, ...] = ()
