"""How is a file made ready for what follows: its sound for transcription, a small film, or a clean container?"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.damage import NO_DAMAGE
from pyprocessor.ffmpeg.diagnosis import check
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import Cost, CostFeatures, InputLimits, MediaInfo, OutputFacts, Product, Source
from pyprocessor.recipes.features import features
from pyprocessor.recipes.speech import (
    check_sound,
    container_of,
    levelled,
    loudness,
    measuring,
    preview,
    raw_sound,
    remuxed,
)
from pyprocessor.speech.cutting import RATE, SAMPLE_BYTES, Piece, sounding
from pyprocessor.speech.wav import write_wav
from pyprocessor.tasks.base import Done, Ffmpeg, Made, Plan, Steps, Work
from pyprocessor.tasks.params import params_as
from pyprocessor.tasks.side_files import removed_afterwards
from pyprocessor.tasks.transcode import Transcode

_SILENCE = 100
"""Mean of samples of 16 bits, -50 dB: 25 dB below speech of the usual loudness."""
_SOUND_CPU_SECONDS = 0.03
"""Both passes, for a second of sound."""
_SOUND_MEMORY_BYTES = 64 << 20
_COPY_CPU_SECONDS_PER_BYTE = 2e-9
_BYTES_BESIDE = 1 << 20


@dataclass(frozen=True, slots=True)
class PreprocessParams:
    """What is made of the file."""

    kind: Literal["audio", "proxy", "remux"] = "audio"
    loudness: float = -23.0
    """LUFS, of `audio`; -23 is what EBU R 128 asks for."""
    trim_silence: bool = True
    """Of `audio`: leave out silence at the start and at the end."""
    height: int = 360
    """Lines of a `proxy` at most."""

    def __post_init__(self) -> None:
        if not -70 <= self.loudness <= -5:
            raise ValueError(f"`loudness` is {self.loudness:g} LUFS, but has to be from -70 to -5")
        if not 64 <= self.height <= 4320:
            raise ValueError(f"`height` is {self.height} lines, but has to be from 64 to 4320")


class Preprocess:
    """Two ffmpegs that measure and set the loudness of sound, or one that encodes or copies."""

    name = "preprocess"
    summary = "Sound ready for transcription, a small preview film, or a copy in a clean container"
    takes = PreprocessParams
    inputs = (1, 1)
    reusable = True

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        # Here, so that the engine, which asks for plans only, does without PyAV.
        from pyprocessor.inspect.probe import probe

        taken = params_as(PreprocessParams, params)
        (source,) = inputs
        media = probe(source.path, size_bytes=source.size_bytes, limits=limits)
        if taken.kind == "audio":
            check_sound(media)
        if taken.kind == "proxy" and media.video is None:
            raise JobError(FailureKind.BAD_INPUT, "The file has no film to make a preview of.")
        encode = asdict(features(preview(taken.height), media)) if taken.kind == "proxy" else None
        return {
            "seconds": media.playing_seconds or 0.0,
            "bytes": media.size_bytes,
            "container": container_of(media),
            "encode": encode,
        }

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:  # noqa: ARG002 - the task's
        taken = params_as(PreprocessParams, params)
        if taken.kind == "proxy":
            return Plan((Product(output + b".proxy.mp4"),), CostFeatures(**{**found["encode"], "resources": ()}))
        size = found["bytes"] + _BYTES_BESIDE
        if taken.kind == "remux":
            name = output + f".clean.{found['container']}".encode()
            cost = Cost(0.2 + _COPY_CPU_SECONDS_PER_BYTE * size, _SOUND_MEMORY_BYTES, size)
            return Plan((Product(name),), CostFeatures(self.name, "copy of streams", given=cost))
        sound = 2 * round(found["seconds"] * RATE * SAMPLE_BYTES) + _BYTES_BESIDE
        cost = Cost(0.2 + _SOUND_CPU_SECONDS * found["seconds"], _SOUND_MEMORY_BYTES, sound)
        return Plan((Product(output + b".16k.wav"),), CostFeatures(self.name, "sound", given=cost))

    def run(self, work: Work) -> Steps:
        from pyprocessor.inspect.probe import probe

        taken = params_as(PreprocessParams, work.params)
        (source,) = work.inputs
        media = probe(source.path, size_bytes=source.size_bytes)
        if taken.kind == "proxy":
            return (yield from Transcode().run(replace(work, params=preview(taken.height), found=media)))
        if taken.kind == "remux":
            return (yield from _remuxed(work, source, media))
        raw = f"{work.name}.raw"
        with removed_afterwards(work, raw):
            return (yield from _sound(work, source, media, taken, raw))


def _sound(work: Work, source: Source, media: MediaInfo, taken: PreprocessParams, raw: str) -> Steps:
    made = f"{work.name}.wav"
    sound = raw_sound(media, source, threads=work.threads, output_name=raw)
    limit = 2 * RATE * SAMPLE_BYTES * (media.playing_seconds or 0.0) + (1 << 28)
    finished: Finished = yield Ffmpeg(measuring(sound, taken.loudness), last=False)
    check(finished, source.path)
    measured = loudness(finished.stderr_text)
    if measured is None:
        raise JobError(FailureKind.BAD_INPUT, "The loudness of the file's sound cannot be measured.")
    second = sound if measured.silent else levelled(sound, taken.loudness, measured)
    finished = yield Ffmpeg(second, output_limit_bytes=limit)
    check(finished, source.path)
    path = work.path(raw)
    whole = Piece(0, _samples(path))
    kept = sounding(path, _SILENCE) if taken.trim_silence else whole
    write_wav(path, kept, work.path(made), stands_at=kept.begin)
    result = {
        "duration_seconds": round(kept.seconds, 3),
        "trimmed_start_seconds": round(kept.begin_seconds, 3),
        "trimmed_end_seconds": round(whole.seconds - kept.begin_seconds - kept.seconds, 3),
        "loudness_before": None if measured.silent else measured.integrated,
        "warnings": ["It is silent."] if measured.silent else [],
    }
    facts = OutputFacts(0, 0, kept.seconds, audio_streams=1)
    return Done(facts, (Made(made),), result)


def _samples(path: bytes) -> int:
    samples = os.path.getsize(path) // SAMPLE_BYTES
    if not samples:
        raise JobError(FailureKind.BAD_INPUT, "Nothing of the file's sound can be decoded.")
    return samples


def _remuxed(work: Work, source: Source, media: MediaInfo) -> Steps:
    from pyprocessor.inspect.probe import survey_source
    from pyprocessor.inspect.verify import verify

    made = f"{work.name}.{container_of(media)}"
    _, agreed = remuxed(media, source, threads=work.threads, output_name=made)
    media, times = survey_source(source.path, media, [plan.index for plan in agreed.kept], InputLimits())
    recipe, agreed = remuxed(media, source, threads=work.threads, output_name=made)
    finished: Finished = yield Ffmpeg(recipe.invocation)
    check(finished, source.path)
    facts, notes = verify(
        work.path(made),
        agreed,
        encoded_frames=None,
        damaged=finished.damage != NO_DAMAGE or any(note.damage for note in media.notes),
        source=source.path,
        media=media,
        times=times,
    )
    texts = tuple(note.text for note in (*recipe.notes, *notes))
    return Done(replace(facts, notes=texts), (Made(made),), {"warnings": list(texts)})
