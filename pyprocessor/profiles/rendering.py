"""A profile written back as a file, with every default filled in."""

from __future__ import annotations

from typing import Any

import yaml

from pyprocessor.models import Profile
from pyprocessor.profiles.freezing import SOURCE_PIXEL_FORMAT
from pyprocessor.profiles.limits import time_text, window_text


def render(profile: Profile, description: str) -> str:
    """YAML that, loaded again, gives the same settings and fingerprint. Keys that are absent keep no value."""
    values: dict[str, Any] = {
        "description": description or None,
        "container": profile.container,
        "video": _video(profile),
        "audio": _audio(profile),
        "subtitles": profile.keep_subtitles,
        "attachments": profile.keep_attachments,
        "chapters": profile.keep_chapters,
        "metadata": profile.keep_metadata,
        "damaged": profile.damaged.value,
        "strip_location": profile.strip_location,
        "naming": _said(
            rename_pattern=profile.naming.rename_pattern,
            validation_pattern=profile.naming.validation_pattern,
            organization_pattern=profile.naming.organization_pattern,
        ),
        "scan": _said(
            extensions=list(profile.scan.extensions),
            include=list(profile.scan.include),
            exclude=list(profile.scan.exclude),
            min_size=profile.scan.min_size_bytes,
            max_size=profile.scan.max_size_bytes,
            min_age=profile.scan.min_age_seconds,
        ),
        "batch_processing": _said(
            enabled=profile.batch.enabled,
            batch_size=profile.batch.batch_size or "auto",
            max_memory_percent=profile.batch.max_memory_percent,
            memory_limit=profile.batch.memory_limit_bytes,
            jobs=profile.batch.jobs,
        ),
        "estimation": {
            "target_batch_seconds": profile.estimation.target_batch_seconds,
            "min_batch_size": profile.estimation.min_batch_size,
            "max_batch_size": profile.estimation.max_batch_size,
            "memory_safety_factor": profile.estimation.memory_safety_factor,
        },
        "monitoring": {
            "sample_interval_seconds": profile.monitoring.sample_interval_seconds,
            "ramp_interval_seconds": profile.monitoring.ramp_interval_seconds,
            "progress_interval_seconds": profile.monitoring.progress_interval_seconds,
        },
        "throttling": _throttling(profile),
        "schedule": _schedule(profile),
        "error_handling": {
            "max_retries": profile.errors.max_retries,
            "retry_delay_seconds": profile.errors.retry_delay_seconds,
            "max_retry_delay_seconds": profile.errors.max_retry_delay_seconds,
            "max_failed_runs": profile.errors.max_failed_runs,
            "max_killed_runs": profile.errors.max_killed_runs,
            "stall_seconds": profile.errors.stall_seconds,
            "time_limit_factor": profile.errors.time_limit_factor,
            "inspect_timeout_seconds": profile.errors.inspect_timeout_seconds,
            "worker_silence_seconds": profile.errors.worker_silence_seconds,
        },
        "watch": {"poll_seconds": profile.watch.poll_seconds},
        "input_limits": {
            "max_pixels": profile.input_limits.max_pixels,
            "max_streams": profile.input_limits.max_streams,
            "max_duration": profile.input_limits.max_duration_seconds,
            "inspect_memory": profile.input_limits.inspect_memory_bytes,
            "max_output_growth": profile.input_limits.max_output_growth,
            "always_allowed_output": profile.input_limits.always_allowed_output_bytes,
        },
        "hooks": _said(
            on_success=list(profile.hooks.on_success),
            on_failure=list(profile.hooks.on_failure),
            on_end=list(profile.hooks.on_end),
            timeout_seconds=profile.hooks.timeout_seconds,
        ),
        "unsafe": _said(input=list(profile.unsafe.input), output=list(profile.unsafe.output)),
    }
    written = {name: value for name, value in values.items() if value is not None and value != {}}
    text: str = yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=100)
    if all(line.isprintable() for line in text.split("\n")):
        return text
    # Characters that turn text around, or are none, are shown as what they are.
    return str(yaml.safe_dump(written, sort_keys=False, allow_unicode=False, width=100))


def _said(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != []}


def _video(profile: Profile) -> dict[str, Any] | bool:
    video = profile.video
    if video is None:
        return False
    fps: int | str | None = None
    if video.fps is not None:
        fps = video.fps.numerator if video.fps.denominator == 1 else str(video.fps)
    return _said(
        encoder=video.encoder,
        preset=int(video.preset) if video.preset is not None and video.preset.isdecimal() else video.preset,
        tune=video.tune,
        crf=video.crf,
        bitrates={f"{lines}p": rate for lines, rate in video.bitrates} or None,
        pixel_format=video.pixel_format or SOURCE_PIXEL_FORMAT,
        max_width=video.max_width,
        max_height=video.max_height,
        fps=fps,
        hdr=video.hdr.value,
        deinterlace=video.deinterlace.value,
        keyframe_seconds=video.keyframe_seconds,
        all_tracks=video.all_tracks,
        options=dict(video.options) or None,
    )


def _audio(profile: Profile) -> dict[str, Any] | bool:
    audio = profile.audio
    if audio is None:
        return False
    return _said(
        encoder=audio.encoder,
        bitrate=audio.bitrate,
        bitrates=list(audio.bitrates),
        channels=audio.channels,
        sample_rate=audio.sample_rate,
        all_tracks=audio.all_tracks,
        copy_if_compatible=audio.copy_if_compatible,
    )


def _throttling(profile: Profile) -> dict[str, Any]:
    throttling = profile.throttling
    return _said(
        hold_percent=throttling.hold_percent,
        release_percent=throttling.release_percent,
        release_readings=throttling.release_readings,
        wall_percent=throttling.wall_percent,
        reaction_seconds=throttling.reaction_seconds,
        pressure_full_percent=throttling.pressure_full_percent,
        max_sheds=throttling.max_sheds,
        strict_memory=throttling.strict_memory,
        cpu_limit_percent=throttling.cpu_limit_percent,
        disk_reserve=throttling.disk_reserve_bytes,
        nice=throttling.nice,
        io_idle=throttling.io_idle,
        pressure_polite=throttling.pressure_polite,
        polite_percent=throttling.polite_percent,
    )


def _schedule(profile: Profile) -> dict[str, Any]:
    schedule = profile.schedule
    return _said(
        window=None if schedule.window is None else window_text(schedule.window),
        until=None if schedule.until is None else time_text(schedule.until),
        overrun=schedule.overrun.value,
        grace_seconds=schedule.grace_seconds,
    )
