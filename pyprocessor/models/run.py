"""What is a run asked to do, how does it stand, what is its plan, and who is called back?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.models.media import Input, InputFolder
from pyprocessor.models.profile import Profile
from pyprocessor.models.wording import display
from pyprocessor.models.work import Cost, Outcome


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
    """One process of ours at one moment."""

    pid: int
    memory_bytes: int
    """Resident (RSS)."""
    cpu_seconds: float


class RunState(StrEnum):
    """What a run is doing."""

    WAITING = "waiting"
    """Its window of the day has not opened yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Nothing is started; what runs is finished."""
    PAUSED_NOW = "paused_now"
    """Nothing is started, and what runs is suspended."""
    DRAINING = "draining"
    """It was asked to stop, or its time is up: what runs is finished first."""
    ENDING = "ending"

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
    eta_low_seconds: float | None = None
    eta_high_seconds: float | None = None
    """The band around `eta_seconds` that the predictions' spread allows."""
    state: RunState = RunState.RUNNING
    cancelled: int = 0
    """Of those that were skipped, the cancelled ones."""

    @property
    def completed(self) -> int:
        """How many succeeded, or were skipped because there was nothing to do."""
        return self.succeeded + self.skipped - self.cancelled


@dataclass(frozen=True, slots=True)
class ActiveFile:
    """A file that runs now; `speed` is media seconds per second, and `still` says that it is stopped."""

    name: str
    media_seconds: float | None
    done_seconds: float
    speed: float | None
    running_seconds: float
    """Without the time for which it was stopped."""
    still: bool = False
    done: float | None = None
    """What a call reports, in a unit of its own, of `total` where it says so; None before that, and of encodes."""
    total: float | None = None


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """The file that starts next, and why it waits, as the end of a sentence."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunStatus:
    """Where a run stands, as `status` shows it."""

    pid: int
    started_at: float
    """In seconds since the epoch."""
    snapshot: RunSnapshot
    done_before: int = 0
    """Files that earlier runs settled and that still hold, as for `failed_before`."""
    failed_before: int = 0
    begins_in_seconds: float = 0.0
    """Above 0, it waits for its window."""
    files: tuple[ActiveFile, ...] = ()
    disk_silent_seconds: float = 0.0
    """Above 0, the output's disk does not answer, and the rest is what was known before."""
    next: WaitingFile | None = None
    waiting: int = 0
    """Jobs of no folder that wait for others, or are still to be planned."""


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a plan, its paths relative to input and output root, its times to the start of the run."""

    name: bytes
    output: bytes
    cost: Cost
    """At the threads that it is to run with."""
    lane: int = 1
    """Which of the places that run side by side, from 1."""
    start_seconds: float = 0.0
    end_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file a plan leaves alone, and why, as a sentence."""

    name: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """One batch of a plan; times count from the start of the run, and two bounds say how long it takes."""

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


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A setting with which a run would have ended sooner, as its replay through the planner has it."""

    option: str
    """What to say on the command line, such as `--max-memory 90`, or to leave out, such as `no --cpu-limit`."""
    text: str
    """A sentence for the user, with its numbers."""
    saved_seconds: float
    run_seconds: float
    """How long the run would have taken."""
    idle_percent: float
    """Of the run's time: how long cores had nothing to do while files waited, and would have had with the setting."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked to do. Without inputs it does the jobs that were submitted to its output."""

    inputs: tuple[Input, ...]
    output: bytes
    profile: Profile
    tool_path: str
    arguments: str = ""
    """The command line, for the journal."""
    limit: int | None = None
    """How many files are taken up at most."""
    retry_failed: bool = False
    overwrite: bool = False
    """Whether files in the output that no run made may be replaced."""
    watch: bool = False
    """Whether to go on with what comes into the only input, a folder."""

    @property
    def folders(self) -> tuple[InputFolder, ...]:
        """The folders that the inputs are or lie in, each once."""
        return tuple(dict.fromkeys(given.folder for given in self.inputs))

    @property
    def input_named(self) -> str:
        """The inputs for a sentence."""
        if not self.inputs:
            return "what was submitted"
        first, *others = (display(given.path) for given in self.inputs)
        return f"{first} and {len(others)} more" if others else first


class Listener:
    """Called back on the engine's own thread, so every method must return at once; by default sentences are logged."""

    def found(self, files: int, listing_done: bool) -> None:
        """So many files were listed up to now."""

    def queued(self, jobs: int, media_seconds: float) -> None:
        """Totals of the work known up to now; they grow while the listing goes on."""

    def started(self, job_id: str, name: str, media_seconds: float | None) -> None:
        """A file's attempt began."""

    def progressed(self, job_id: str, media_seconds_done: float, speed: float | None) -> None:
        """How far a running file is; `speed` is media seconds per second."""

    def finished(self, job_id: str, outcome: Outcome, *, name: str = "", will_retry: bool = False) -> None:
        """An attempt ended, or the file `name` was settled without one; the reason does not name it."""

    def notice(self, level: str, text: str) -> None:
        """One plain sentence; `level` is "info", "warning" or "error"."""
        import logging  # takes some milliseconds, and the command does without

        logging.getLogger("pyprocessor").log(logging.getLevelNamesMapping()[level.upper()], "%s", text)

    def tick(self, snapshot: RunSnapshot) -> None:
        """How far the run is; at least once a second."""
