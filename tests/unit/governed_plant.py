"""A machine that obeys the governor: files with true memory curves, a budget, and others who come and go.

Time goes in steps; nothing here reads a clock. The engine's part (admitting what fits, resuming, requeueing what was
shed) is kept as simple as the governor's contract allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pyprocessor.governor.governor import Decision, Governed, Level, govern
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import BatchSettings, MonitoringSettings, Reading, ThrottlingSettings
from tests.unit.running_jobs import running_job

MIB = 1 << 20
Curve = Callable[[float], float]
"""MiB that a file takes after so many seconds of running."""


def x264_1080p(seconds: float) -> float:
    """Measured with one thread, preset medium: 355 MiB within a second, then slowly to 412."""
    return 355 * seconds if seconds < 1 else min(412.0, 355 + 57 * (seconds - 1))


def ramp(peak: float, rate: float) -> Curve:
    """Grows by `rate` MiB a second up to `peak` MiB."""
    return lambda seconds: min(peak, rate * seconds)


def nobody(seconds: float) -> float:
    """Others that take nothing."""
    return 0.0


@dataclass(frozen=True)
class Film:
    """A file to encode: how long it takes, what it takes, and what is thought of that."""

    seconds: float
    curve: Curve
    predicted: float


@dataclass
class Run:
    """A film that runs: `worked` counts only time in which it was not suspended."""

    job_id: str
    film: Film
    started: float
    sheds: int
    worked: float = 0.0
    suspended: bool = False

    @property
    def memory(self) -> float:
        return self.film.curve(self.worked)


@dataclass
class Plant:
    """The machine. Memory is in MiB; `at_once` bounds how many files run."""

    films: Sequence[Film]
    total: float = 1400
    percent: float = 80
    at_once: int = 6
    limit: float | None = None
    others: Curve = nobody
    overhead: float = 130
    cores: float = 8
    throttling: ThrottlingSettings = field(default_factory=ThrottlingSettings)
    step: float = 0.05
    delay_steps: int = 1
    """An order takes effect so many steps later."""
    heed_room: bool = True
    """False admits whatever `at_once` allows, as though predictions were nothing."""

    now: float = 1000.0
    used: float = 0.0
    peak: float = 0.0
    peak_ours: float = 0.0
    at_work: float = 0.0
    """The sum over time of files that were not suspended."""
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = Governed()
        self.waiting = [(f"f{number:03}", film, 0) for number, film in enumerate(self.films)]
        self.running: list[Run] = []
        self.done: list[str] = []
        self.orders: list[tuple[int, Decision]] = []
        self.began = self.now

    @property
    def elapsed(self) -> float:
        return self.now - self.began

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(event.kind.value, event.text) for decision in self.decisions for event in decision.events]

    def run(self, longest: float) -> Plant:
        """Until all is done; fails where it is not after `longest` seconds."""
        while len(self.done) < len(self.films):
            self.advance()
            left = [run.job_id for run in self.running]
            assert self.elapsed < longest, f"{len(self.done)} done, {left} running, level {self.state.level!r}"
        return self

    def advance(self) -> Decision:
        """One step: the world moves on, is read, and the governor decides."""
        self.now += self.step
        for run in list(self.running):
            if not run.suspended:
                run.worked += self.step
                self.at_work += self.step
            if run.worked >= run.film.seconds:
                self.running.remove(run)
                self.done.append(run.job_id)
        for due, decision in list(self.orders):
            if due <= 0:
                self.obey(decision)
        self.orders = [(due - 1, decision) for due, decision in self.orders if due > 0]
        files = sum(run.memory for run in self.running)
        self.used = self.overhead + files + self.others(self.elapsed)
        self.peak, self.peak_ours = max(self.peak, self.used), max(self.peak_ours, self.overhead + files)
        decision = govern(
            self.state,
            self.reading(self.overhead + files),
            tuple(self.seen(run) for run in self.running),
            self.batch,
            self.throttling,
            MonitoringSettings(),
        )
        self.state = decision.state
        self.decisions.append(decision)
        self.orders.append((self.delay_steps, decision))
        self._admit(decision)
        return decision

    @property
    def batch(self) -> BatchSettings:
        limit = None if self.limit is None else int(self.limit * MIB)
        return BatchSettings(max_memory_percent=self.percent, memory_limit_bytes=limit)

    def reading(self, ours: float) -> Reading:
        return Reading(
            monotonic_seconds=self.now,
            cores=self.cores,
            total_memory_bytes=int(self.total * MIB),
            used_memory_bytes=int(self.used * MIB),
            our_memory_bytes=int(ours * MIB),
            cpu_percent=50.0,
            free_disk_bytes=1 << 40,
        )

    @staticmethod
    def seen(run: Run) -> RunningJob:
        predicted = int(run.film.predicted * MIB)
        memory = int(run.memory * MIB)
        return running_job(
            run.job_id,
            name=run.job_id,
            started_seconds=run.started,
            memory_bytes=memory,
            predicted_bytes=predicted,
            suspended=run.suspended,
            sheds=run.sheds,
        )

    def obey(self, decision: Decision) -> None:
        for run in list(self.running):
            if run.job_id in decision.shed:
                self.running.remove(run)
                self.waiting.insert(0, (run.job_id, run.film, run.sheds + 1))
            elif run.job_id in decision.suspend:
                run.suspended = True
            elif run.job_id in decision.resume:
                run.suspended = False

    def _admit(self, decision: Decision) -> None:
        room = decision.room_bytes / MIB
        most = max(1, int(self.at_once * decision.share + 0.5))
        while not decision.hold and self.waiting and len(self.running) < most:
            job_id, film, sheds = self.waiting[0]
            alone = not self.running
            if not alone and (decision.level > Level.NORMAL or (self.heed_room and film.predicted > room)):
                return
            self.waiting.pop(0)
            self.running.append(Run(job_id, film, self.now, sheds))
            room -= film.predicted


def with_predictions(films: Sequence[Film], factor: float) -> tuple[Film, ...]:
    """The same films, predicted to take that much of what they were thought to."""
    return tuple(replace(film, predicted=film.predicted * factor) for film in films)
