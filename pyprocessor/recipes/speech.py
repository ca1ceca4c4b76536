"""What is ffmpeg to do before speech is recognized or a film is previewed? Sound for models, one loudness, clean files.

Loudness is measured and set as EBU R 128 has it, by ffmpeg's `loudnorm` in two passes: the second one changes the
volume by one number throughout, where peaks and range allow it.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.invocation import Filter, Invocation
from pyprocessor.inspect.contract import Action, Contract, can_be_decoded, contract
from pyprocessor.models import AudioSettings, MediaInfo, Profile, Source, StreamKind, VideoSettings
from pyprocessor.recipes.chunk import copied_container
from pyprocessor.recipes.transcode import Recipe, recipe

RATE = 16_000
"""Samples a second: what models of speech are trained with."""
_SOUND = Profile(
    "speech",
    "",
    container="wav",
    extension="wav",
    video=None,
    audio=AudioSettings("pcm_s16le", channels=1, sample_rate=RATE, all_tracks=False),
    keep_subtitles=False,
    keep_attachments=False,
    keep_chapters=False,
    keep_metadata=False,
)
_TRUE_PEAK, _RANGE = -2.0, 11.0
"""dBTP and LU: a margin for what coders add, and the widest range that keeps whispers audible."""
_MEASURED = re.compile(r"\{[^{}]*\"input_i\"[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Loudness:
    """What the first pass measured: integrated loudness (LUFS), true peak (dBTP), range (LU), threshold, offset."""

    integrated: float
    peak: float
    range: float
    threshold: float
    offset: float

    @property
    def silent(self) -> bool:
        """Whether nothing is loud enough to have a loudness."""
        return not all(map(math.isfinite, (self.integrated, self.peak, self.range, self.threshold, self.offset)))


def check_sound(media: MediaInfo) -> None:
    """Raise JobError where a file has no sound that `raw_sound` can decode."""
    if not media.audio:
        raise JobError(FailureKind.BAD_INPUT, "The file has no sound.")
    if not any(stream.frames != 0 and can_be_decoded(stream) for stream in media.audio):
        raise JobError(FailureKind.BAD_INPUT, "Nothing of the file's sound can be decoded.")


def raw_sound(media: MediaInfo, source: Source, *, threads: int, output_name: str) -> Invocation:
    """Decode the sound of a file as raw samples, 16 kHz mono of 16 bits, from the file's very beginning on.

    Where the sound begins later than the file or has gaps, there is silence.
    """
    made = recipe(_SOUND, media, contract(_SOUND, media), source, threads=threads, output_name=output_name).invocation
    (stream,) = made.output.streams
    filters = tuple(
        replace(step, options=(*step.options, ("first_pts", "0"))) if step.name == "aresample" else step
        for step in stream.filters
    )
    return replace(made, output=replace(made.output, muxer="s16le", streams=(replace(stream, filters=filters),)))


def measuring(sound: Invocation, target: float) -> Invocation:
    """The first pass over `sound`, which writes nothing; what it measures is read by `loudness`."""
    measured = _with_filter(sound, _loudnorm(target, ("print_format", "json")))
    # The measurement is printed as information.
    options = (*measured.options, ("loglevel", "repeat+level+info"))
    return replace(measured, options=options, output=replace(measured.output, muxer="null"))


def levelled(sound: Invocation, target: float, found: Loudness) -> Invocation:
    """The second pass: `sound` at the loudness `target`, in LUFS."""
    measured = (
        ("measured_I", f"{found.integrated:.2f}"),
        ("measured_TP", f"{found.peak:.2f}"),
        ("measured_LRA", f"{found.range:.2f}"),
        ("measured_thresh", f"{found.threshold:.2f}"),
        ("offset", f"{found.offset:.2f}"),
        ("linear", "true"),
    )
    return _with_filter(sound, _loudnorm(target, *measured))


def loudness(printed: str) -> Loudness | None:
    """Return what the first pass measured, by what it printed."""
    measured = _MEASURED.search(printed)
    if measured is None:
        return None
    try:
        values = json.loads(measured[0])
        names = ("input_i", "input_tp", "input_lra", "input_thresh", "target_offset")
        return Loudness(*(float(values[name]) for name in names))
    except (ValueError, KeyError, TypeError):
        return None


def preview(height: int) -> Profile:
    """The profile of a small film to look at: H.264 of so many lines at most, and sound for a conversation."""
    return Profile(
        "preview",
        "",
        video=VideoSettings(preset="veryfast", crf=28, max_height=height),
        audio=AudioSettings("aac", bitrate=96_000, channels=2, all_tracks=False),
        keep_attachments=False,
    )


def remuxed(media: MediaInfo, source: Source, *, threads: int, output_name: str) -> tuple[Recipe, Contract]:
    """Copy films, sound and subtitles as they are to a new container; returns its recipe and contract."""
    container = container_of(media)
    video = VideoSettings(all_tracks=True) if media.films else None
    profile = Profile("clean", "", container=container, extension=container, video=video)
    agreed = contract(profile, media)
    copies = tuple(
        replace(plan, action=Action.COPY, encoder="copy")
        if plan.action is Action.ENCODE and plan.kind in (StreamKind.VIDEO, StreamKind.AUDIO)
        else plan
        for plan in agreed.streams
    )
    agreed = replace(agreed, streams=copies, same_frames=True)
    made = recipe(profile, media, agreed, source, threads=threads, output_name=output_name)
    output = made.invocation.output
    streams = tuple(stream.copied() if stream.kind == "v" else stream for stream in output.streams)
    invocation = replace(made.invocation, output=replace(output, streams=streams))
    return replace(made, invocation=invocation, notes=agreed.notes), agreed


def container_of(media: MediaInfo) -> str:
    """The container that holds what a file has, and also the extension of its name."""
    return copied_container(media, tuple(stream.index for stream in (*media.audio, *media.films)))


def _with_filter(sound: Invocation, step: Filter) -> Invocation:
    (stream,) = sound.output.streams
    return replace(sound, output=replace(sound.output, streams=(replace(stream, filters=(*stream.filters, step)),)))


def _loudnorm(target: float, *more: tuple[str, str]) -> Filter:
    return Filter("loudnorm", (("I", f"{target:g}"), ("TP", f"{_TRUE_PEAK:g}"), ("LRA", f"{_RANGE:g}"), *more))
