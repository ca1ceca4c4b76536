"""What is held besides memory: CPU, politeness, disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyprocessor.governor.governor import Decision, EventKind, Governed, Level, govern
from pyprocessor.models import BatchSettings, MonitoringSettings, Reading, ThrottlingSettings
from tests.unit.running_jobs import running_job

IDLE = Reading(
    monotonic_seconds=0.0,
    cores=4,
    total_memory_bytes=1 << 40,
    used_memory_bytes=1 << 30,
    our_memory_bytes=1 << 20,
    cpu_percent=0.0,
    free_disk_bytes=1 << 40,
)


class Encoders:
    """Files that take `each` percent of all cores while they go on, obeying the governor at once."""

    def __init__(self, count: int, each: float, throttling: ThrottlingSettings, *, idle_percent: float = 0.0) -> None:
        self.files = [
            running_job(f"f{n}", started_seconds=float(n), memory_bytes=1 << 20, predicted_bytes=1 << 20)
            for n in range(count)
        ]
        self.each = each
        self.idle_percent = idle_percent
        self.throttling = throttling
        self.state = Governed()
        self.now = 100.0
        self.used: list[float] = []

    def step(self, seconds: float = 0.5, **rest: float) -> Decision:
        going = sum(not file.suspended for file in self.files)
        ours = min(100.0, self.idle_percent + going * self.each)
        self.used.append(ours)
        self.now += seconds
        said = replace(IDLE, monotonic_seconds=self.now, our_cpu_percent=ours, cpu_percent=ours)
        now = replace(said, **rest)  # type: ignore[arg-type]
        decision = govern(self.state, now, self.files, BatchSettings(), self.throttling, MonitoringSettings())
        self.state = decision.state
        self.files = [
            replace(
                file,
                suspended=file.job_id in decision.suspend or (file.suspended and file.job_id not in decision.resume),
            )
            for file in self.files
        ]
        return decision

    def run(self, seconds: float, step: float = 0.5, **rest: float) -> list[Decision]:
        return [self.step(step, **rest) for _ in range(round(seconds / step))]


# ---------------------------------------------------------------- CPU


@settings(max_examples=20)
@given(
    count=st.integers(1, 8),
    each=st.floats(12.5, 100),
    limit=st.floats(5, 100),
    step=st.sampled_from([0.1, 0.5]),
)
def test_the_cpu_limit_holds_on_average(count: int, each: float, limit: float, step: float) -> None:
    """However many files there are and whatever they take: after the first minute the limit is kept, and used."""
    encoders = Encoders(count, each, ThrottlingSettings(cpu_limit_percent=limit))
    encoders.run(60, step)
    encoders.used.clear()
    encoders.run(120, step)
    average = sum(encoders.used) / len(encoders.used)
    assert average <= limit + 5
    assert average >= min(limit, count * each, 100) * 0.6 - 5


def test_a_cpu_limit_is_told_once() -> None:
    """Suspending for CPU now and then makes a single event, and no level."""
    encoders = Encoders(2, 50, ThrottlingSettings(cpu_limit_percent=30))
    seen = encoders.run(120)
    assert [event.kind for d in seen for event in d.events] == [EventKind.THROTTLE]
    assert "30 % of the CPU" in next(event.text for d in seen for event in d.events)
    assert {d.level for d in seen} == {Level.NORMAL}
    assert any(d.suspend for d in seen)
    assert any(d.resume for d in seen)


def test_below_the_cpu_limit_nothing_happens() -> None:
    """Files that keep to it are left alone."""
    seen = Encoders(2, 25, ThrottlingSettings(cpu_limit_percent=50)).run(120)
    assert not any(d.suspend or d.events for d in seen)


def test_a_limit_that_we_exceed_by_ourselves_does_not_stop_the_run() -> None:
    """With the engine alone above the limit, a file still gets its turns."""
    encoders = Encoders(1, 50, ThrottlingSettings(cpu_limit_percent=5), idle_percent=8)
    seen = encoders.run(200)
    assert sum(bool(d.resume) for d in seen) >= 5


def test_nothing_is_started_while_files_wait_for_the_cpu() -> None:
    """A file more would only be one more to suspend."""
    seen = Encoders(2, 50, ThrottlingSettings(cpu_limit_percent=30)).run(60)
    assert all(d.hold for d in seen if d.state.cpu.throttled)


# ---------------------------------------------------------------- politeness

POLITE = ThrottlingSettings(pressure_polite=True)


def test_waiting_work_of_others_halves_the_share_step_by_step() -> None:
    """Every five seconds, down to a floor, told when it begins and when it is over."""
    encoders = Encoders(2, 25, POLITE)
    busy = encoders.run(60, cpu_percent=95.0, waiting_percent=60.0)
    assert list(dict.fromkeys(d.share for d in busy)) == [1.0, 0.5, 0.25, 0.125, 0.0625]
    assert busy[9].share == 1.0
    assert busy[10].share == 0.5
    rest = encoders.run(60, waiting_percent=0.0)
    assert rest[-1].share == 1.0
    kinds = [event.kind for d in (*busy, *rest) for event in d.events]
    assert kinds == [EventKind.YIELD, EventKind.RECOVER]
    assert not any(d.suspend for d in (*busy, *rest))


def test_waiting_of_our_own_making_is_no_reason() -> None:
    """On a machine that nobody else uses, full cores make work wait, and that is what is wanted."""
    seen = Encoders(4, 25, POLITE).run(60, waiting_percent=90.0)
    assert {d.share for d in seen} == {1.0}


@pytest.mark.parametrize("waiting", [None, 10.0])
def test_little_waiting_is_no_reason(waiting: float | None) -> None:
    """Below the threshold, or where the kernel does not say, all cores are used."""
    seen = Encoders(2, 25, POLITE).run(60, cpu_percent=100.0, waiting_percent=waiting)  # type: ignore[arg-type]
    assert {d.share for d in seen} == {1.0}


def test_who_did_not_ask_is_not_polite() -> None:
    """Politeness is off by default."""
    seen = Encoders(2, 25, ThrottlingSettings()).run(60, cpu_percent=100.0, waiting_percent=90.0)
    assert {d.share for d in seen} == {1.0}


# ---------------------------------------------------------------- disk


def test_a_full_disk_starts_nothing() -> None:
    """Below the reserve: hold and take back, told once; back when a quarter more is free, so that it does not flap."""
    encoders = Encoders(1, 25, ThrottlingSettings(disk_reserve_bytes=1 << 30))
    assert not encoders.step(free_disk_bytes=1 << 30).hold
    low = encoders.step(free_disk_bytes=(1 << 30) - 1)
    assert (low.level, not low.hold, low.take_back) == (Level.HOLD, False, True)
    assert [event.kind for event in low.events] == [EventKind.DISK]
    assert low.events[0].text == (
        "Starting nothing new: the output's disk has 1,024 MiB left, and 1,024 MiB are to stay free."
    )
    for free in (1.0, 1.2):
        between = encoders.step(free_disk_bytes=int(free * (1 << 30)))
        assert (between.level, not between.hold, between.take_back, between.events) == (Level.HOLD, False, False, ())
    back = encoders.step(free_disk_bytes=int(1.3 * (1 << 30)))
    assert (back.level, not back.hold) == (Level.NORMAL, True)
    assert [event.kind for event in back.events] == [EventKind.DISK]


def test_no_reserve_is_no_hold() -> None:
    """Who reserves nothing may fill the disk."""
    encoders = Encoders(1, 25, ThrottlingSettings(disk_reserve_bytes=0))
    assert not encoders.step(free_disk_bytes=0).hold


def test_a_full_disk_holds_even_where_nothing_runs() -> None:
    """Nothing is let in, not even a first file."""
    assert Encoders(0, 25, ThrottlingSettings()).step(free_disk_bytes=0).hold
