"""Makes the frozen records of what a run may use and when, fills defaults in, and checks keys against each other."""

from __future__ import annotations

from datetime import time
from typing import TypeVar

from pyprocessor.models import (
    BatchSettings,
    ErrorSettings,
    EstimationSettings,
    HookSettings,
    InputLimits,
    MonitoringSettings,
    Overrun,
    ScanSettings,
    ScheduleSettings,
    ThrottlingSettings,
    WatchSettings,
)
from pyprocessor.profiles.documents import KeyPath
from pyprocessor.profiles.layers import Merged
from pyprocessor.profiles.problems import wrong_value
from pyprocessor.profiles.schema import (
    BatchProcessing,
    ErrorHandling,
    Estimation,
    Hooks,
    InputLimitsTable,
    Monitoring,
    Scan,
    Schedule,
    Throttling,
    Watch,
)

T = TypeVar("T")

_MINUTES_A_DAY = 24 * 60


def said_or(value: T | None, default: T) -> T:
    return default if value is None else value


class Limits:
    """Builds the records from merged settings; `problems` and `notices` gather what does not go together."""

    def __init__(self, merged: Merged) -> None:
        self._merged = merged
        self.problems: list[str] = []
        self.notices: list[str] = []

    def _wrong(self, path: KeyPath, value: object, rule: str) -> None:
        self.problems.append(wrong_value(self._merged.origin(path), value, rule))

    def _other(self, path: KeyPath, *, said: bool) -> str:
        """The key that a rule compares with: where it was set, or its plain name where its default applies."""
        return str(self._merged.origin(path)) if said else f"`{'.'.join(path)}`"

    def scan(self, said: Scan) -> ScanSettings:
        smallest, largest = said_or(said.min_size, 0), said.max_size
        if largest is not None and largest < smallest:
            other = self._merged.origin(("scan", "min_size"))
            self._wrong(("scan", "max_size"), largest, f"must not be below {other}, which is {smallest} bytes")
        return ScanSettings(
            extensions=tuple(dict.fromkeys(said.extensions or ())),
            include=tuple(said.include or ()),
            exclude=tuple(said.exclude or ()),
            min_size_bytes=smallest,
            max_size_bytes=largest,
            min_age_seconds=said_or(said.min_age, 0.0),
        )

    def batch(self, said: BatchProcessing) -> BatchSettings:
        default = BatchSettings()
        return BatchSettings(
            enabled=said_or(said.enabled, default.enabled),
            batch_size=said.batch_size if isinstance(said.batch_size, int) else None,
            max_memory_percent=float(said_or(said.max_memory_percent, default.max_memory_percent)),
            memory_limit_bytes=said.memory_limit,
            jobs=said.jobs,
        )

    def estimation(self, said: Estimation) -> EstimationSettings:
        default = EstimationSettings()
        fewest = said_or(said.min_batch_size, default.min_batch_size)
        most = said_or(said.max_batch_size, max(default.max_batch_size, fewest))
        if most < fewest:
            other = self._merged.origin(("estimation", "min_batch_size"))
            self._wrong(("estimation", "max_batch_size"), most, f"must not be below {other}, which is {fewest}")
        return EstimationSettings(
            target_batch_seconds=said_or(said.target_batch_seconds, default.target_batch_seconds),
            min_batch_size=fewest,
            max_batch_size=most,
            memory_safety_factor=said_or(said.memory_safety_factor, default.memory_safety_factor),
        )

    def monitoring(self, said: Monitoring) -> MonitoringSettings:
        default = MonitoringSettings()
        usual, ramp = said.sample_interval_seconds, said.ramp_interval_seconds
        longest = said_or(usual, default.sample_interval_seconds)
        if ramp is not None and ramp > longest:
            other = self._other(("monitoring", "sample_interval_seconds"), said=usual is not None)
            rule = f"must not be above {other}, which is {longest:g} seconds"
            self._wrong(("monitoring", "ramp_interval_seconds"), ramp, rule)
        return MonitoringSettings(
            sample_interval_seconds=longest,
            ramp_interval_seconds=said_or(ramp, default.ramp_interval_seconds),
            progress_interval_seconds=said_or(said.progress_interval_seconds, default.progress_interval_seconds),
        )

    def throttling(self, said: Throttling) -> ThrottlingSettings:
        default = ThrottlingSettings()
        hold = float(said_or(said.hold_percent, default.hold_percent))
        # Who lowers the one mark alone keeps the distance between them, as far as there is room.
        distance = default.hold_percent - default.release_percent
        release = float(said_or(said.release_percent, max(1.0, min(default.release_percent, hold - distance))))
        if release >= hold and said.release_percent is not None:
            other = self._other(("throttling", "hold_percent"), said=said.hold_percent is not None)
            rule = f"must be below {other}, which is {hold:g} percent"
            self._wrong(("throttling", "release_percent"), said.release_percent, rule)
        elif release >= hold:
            self._wrong(("throttling", "hold_percent"), said.hold_percent, "must be above 1 percent")
        return ThrottlingSettings(
            hold_percent=hold,
            release_percent=release,
            release_readings=said_or(said.release_readings, default.release_readings),
            wall_percent=float(said_or(said.wall_percent, default.wall_percent)),
            reaction_seconds=said_or(said.reaction_seconds, default.reaction_seconds),
            pressure_full_percent=float(said_or(said.pressure_full_percent, default.pressure_full_percent)),
            max_sheds=said_or(said.max_sheds, default.max_sheds),
            strict_memory=said_or(said.strict_memory, default.strict_memory),
            cpu_limit_percent=None if said.cpu_limit_percent is None else float(said.cpu_limit_percent),
            disk_reserve_bytes=said_or(said.disk_reserve, default.disk_reserve_bytes),
            nice=said_or(said.nice, default.nice),
            io_idle=said_or(said.io_idle, default.io_idle),
            pressure_polite=said_or(said.pressure_polite, default.pressure_polite),
            polite_percent=float(said_or(said.polite_percent, default.polite_percent)),
        )

    def schedule(self, said: Schedule) -> ScheduleSettings:
        if said.window is not None and said.until is not None and not _ends_within(said.window, said.until):
            other = self._merged.origin(("schedule", "window"))
            rule = f"must lie within {other}, which is {window_text(said.window)}"
            self._wrong(("schedule", "until"), time_text(said.until), rule)
        if said.overrun is not None and said.window is None and said.until is None:
            self._overrun_of_nothing()
        return ScheduleSettings(
            window=said.window,
            until=said.until,
            overrun=Overrun(said.overrun) if said.overrun is not None else ScheduleSettings().overrun,
            grace_seconds=said_or(said.grace_seconds, ScheduleSettings().grace_seconds),
        )

    def _overrun_of_nothing(self) -> None:
        """An option without effect is an error, a variable gets a notice; files may be meant for runs with an end."""
        origin = self._merged.origin(("schedule", "overrun"))
        told = f"{origin.key} has no effect, because nothing says when the time is up"
        if origin.key.startswith("--"):
            self.problems.append(f"{told}; give --window or --until as well, or leave it out.")
        elif not origin.place:
            self.notices.append(f"{told}.")

    def errors(self, said: ErrorHandling) -> ErrorSettings:
        default = ErrorSettings()
        first = said_or(said.retry_delay_seconds, default.retry_delay_seconds)
        longest = said_or(said.max_retry_delay_seconds, max(default.max_retry_delay_seconds, first))
        if longest < first:
            other = self._other(("error_handling", "retry_delay_seconds"), said=said.retry_delay_seconds is not None)
            rule = f"must not be below {other}, which is {first:g} seconds"
            self._wrong(("error_handling", "max_retry_delay_seconds"), said.max_retry_delay_seconds, rule)
        return ErrorSettings(
            max_retries=said_or(said.max_retries, default.max_retries),
            retry_delay_seconds=first,
            max_retry_delay_seconds=longest,
            max_failed_runs=said_or(said.max_failed_runs, default.max_failed_runs),
            max_killed_runs=said_or(said.max_killed_runs, default.max_killed_runs),
            stall_seconds=said_or(said.stall_seconds, default.stall_seconds),
            time_limit_factor=float(said_or(said.time_limit_factor, default.time_limit_factor)),
            inspect_timeout_seconds=said_or(said.inspect_timeout_seconds, default.inspect_timeout_seconds),
            worker_silence_seconds=said_or(said.worker_silence_seconds, default.worker_silence_seconds),
        )

    def watch(self, said: Watch) -> WatchSettings:
        return WatchSettings(poll_seconds=said_or(said.poll_seconds, WatchSettings().poll_seconds))

    def input(self, said: InputLimitsTable) -> InputLimits:
        default = InputLimits()
        return InputLimits(
            max_pixels=said_or(said.max_pixels, default.max_pixels),
            max_streams=said_or(said.max_streams, default.max_streams),
            max_duration_seconds=said_or(said.max_duration, default.max_duration_seconds),
            inspect_memory_bytes=said_or(said.inspect_memory, default.inspect_memory_bytes),
            max_output_growth=float(said_or(said.max_output_growth, default.max_output_growth)),
            always_allowed_output_bytes=said_or(said.always_allowed_output, default.always_allowed_output_bytes),
        )

    def hooks(self, said: Hooks) -> HookSettings:
        return HookSettings(
            on_success=tuple(said.on_success or ()),
            on_failure=tuple(said.on_failure or ()),
            on_end=tuple(said.on_end or ()),
            timeout_seconds=said_or(said.timeout_seconds, HookSettings().timeout_seconds),
        )


def _ends_within(window: tuple[time, time], until: time) -> bool:
    """Whether a run in the window can end at this time: after its start, and at its end at the latest."""
    start, end, last = (moment.hour * 60 + moment.minute for moment in (*window, until))
    return 0 < (last - start) % _MINUTES_A_DAY <= (end - start) % _MINUTES_A_DAY


def time_text(moment: time) -> str:
    """`07:00`."""
    return f"{moment:%H:%M}"


def window_text(window: tuple[time, time]) -> str:
    """`22:00-06:00`."""
    return f"{time_text(window[0])}-{time_text(window[1])}"
