"""The pydantic models of the older, flat form of a profile (`ffmpeg_params`, `max_parallel_jobs`, ...)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from pyprocessor.profiles.fields import (
    AudioRate,
    Between,
    Container,
    EncoderName,
    FrameRate,
    Heights,
    Pattern,
    PixelFormat,
    Preset,
    Tune,
)
from pyprocessor.profiles.schema import BatchProcessing, ProfileFile, Section, key


class FfmpegParams(Section):
    """What ffmpeg is told."""

    video_encoder: EncoderName | None = key("As `video.encoder`.", "libx264")
    audio_encoder: EncoderName | None = key("As `audio.encoder`.", "aac")
    preset: Preset | None = key("As `video.preset`.")
    tune: Tune | None = key("As `video.tune`.")
    crf: Annotated[int, Between(0, 63)] | None = key("As `video.crf`.")
    fps: FrameRate | None = key("As `video.fps`.")
    pixel_format: PixelFormat | None = key("As `video.pixel_format`.")
    include_audio: bool | None = key("false makes an output without sound.", True)
    bitrates: Heights | None = key("As `video.bitrates`: highest bit rate by height.")
    audio_bitrates: list[AudioRate] | None = key("As `audio.bitrates`.")


class FlatProfile(Section):
    """The older, flat form of a profile."""

    description: Annotated[str, Field(max_length=500)] | None = key("One line on what the profile is for.")
    extends: Annotated[str, Field(min_length=1)] | None = key("A built-in profile's name or a file to build on.")
    container: Container | None = key("As in the nested form.", "mp4")
    input_folder: str | None = key("Folder to read, used where no --input is given.")
    output_folder: str | None = key("Folder to write, used where no --output is given.")
    ffmpeg_params: FfmpegParams | None = key("What ffmpeg is told.")
    max_parallel_jobs: Annotated[int, Between(1, 1024, "batches")] | None = key("As `batch_processing.jobs`.")
    auto_rename_files: bool | None = key("Whether `file_rename_pattern` is applied.", False)
    file_rename_pattern: Pattern | None = key("As `naming.rename_pattern`.")
    file_validation_pattern: Pattern | None = key("As `naming.validation_pattern`.")
    auto_organize_folders: bool | None = key("Whether `folder_organization_pattern` is applied.", False)
    folder_organization_pattern: Pattern | None = key("As `naming.organization_pattern`.")
    batch_processing: BatchProcessing | None = key("As in the nested form.")
    last_used_profile: Any = key("Read, but has no effect.")
    server_optimization: Any = key("Read, but has no effect.")


FLAT_SECTIONS: dict[str, type[Section]] = {"ffmpeg_params": FfmpegParams, "batch_processing": BatchProcessing}

KNOWN_AT_TOP = frozenset(ProfileFile.model_fields) | frozenset(FlatProfile.model_fields)
"""Every key that may stand at the top of a profile of either form."""
