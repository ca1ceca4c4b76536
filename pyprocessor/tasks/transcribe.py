"""How is a recording transcribed? Its sound is cut at silences, each piece is given to a back end, all is merged."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.damage import NO_DAMAGE
from pyprocessor.ffmpeg.diagnosis import check
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import MAIN, Cost, CostFeatures, InputLimits, MediaInfo, Product, Source
from pyprocessor.models.wording import duration
from pyprocessor.publish.kept import KeptAnswers
from pyprocessor.recipes.speech import check_sound, raw_sound
from pyprocessor.speech import quality
from pyprocessor.speech.backends import BackendParams
from pyprocessor.speech.cutting import RATE, SAMPLE_BYTES, cuts, digest
from pyprocessor.speech.subtitles import cues, srt, vtt
from pyprocessor.speech.transcript_files import REFERENCE_ENDING
from pyprocessor.speech.transcripts import Transcript, merged, transcript
from pyprocessor.speech.wav import stands_at, write_wav
from pyprocessor.speech.whisper_backend import model_bytes
from pyprocessor.tasks.base import Call, Done, Ffmpeg, Made, Plan, Returned, Step, Steps, Work
from pyprocessor.tasks.params import params_as
from pyprocessor.tasks.side_files import removed_afterwards

LEAST_PIECE_SECONDS, MOST_PIECE_SECONDS = 30.0, 3 * 3600.0
"""A window of Whisper's models; a quarter of a gigabyte of sound."""
_MOST_TEXT = 4000
"""Characters of the text that the result has; all of it is in the products."""
_MOST_REFERENCE_BYTES = 16 << 20
_FETCHING_CPU_SECONDS, _FETCHING_MEMORY_BYTES = 5.0, 256 << 20
_FETCHED_A_SECOND = 2e6
"""Bytes of a model; four times as slow counts as stuck."""
_UNKNOWN_SECONDS = 600.0
"""For how long a recording is taken that does not say so."""


@dataclass(frozen=True, slots=True)
class TranscribeParams(BackendParams):
    """A back end, or several in `backends` in order of preference, each a mapping of the fields of one."""

    backends: tuple[dict[str, Any], ...] = ()
    language: str | None = None
    chunk_size: float = 600.0
    """Seconds of a piece at most."""
    formats: tuple[Literal["txt", "srt", "vtt", "json"], ...] = ("txt", "srt", "vtt", "json")
    """What is written; the first one is the main product."""

    def __post_init__(self) -> None:
        BackendParams.__post_init__(self)
        if not LEAST_PIECE_SECONDS <= self.chunk_size <= MOST_PIECE_SECONDS:
            bounds = f"from {LEAST_PIECE_SECONDS:g} to {MOST_PIECE_SECONDS:g}"
            raise ValueError(f"`chunk_size` is {self.chunk_size:g} seconds, but has to be {bounds}")
        if not self.formats or len(set(self.formats)) < len(self.formats):
            raise ValueError("`formats` has to name each format that is wanted once")
        names = [choice.known_as for choice in self.choices]
        if len(set(names)) < len(names):
            raise ValueError("`backends` has two of one name; give each a `name` of its own")

    @property
    def choices(self) -> tuple[BackendParams, ...]:
        """The back ends, the preferred one first. Raises ValueError where one is described wrongly."""
        try:
            return tuple(params_as(BackendParams, given) for given in self.backends) or (self,)
        except JobError as error:
            raise ValueError(f"`backends`: {error}") from error

    def chosen(self, name: str) -> BackendParams:
        """The back end of this name; the first one where none is named."""
        return next((choice for choice in self.choices if choice.known_as == name), self.choices[0])


class Transcribe:
    """One ffmpeg that decodes the sound, and a call of the back end for each piece of it."""

    name = "transcribe"
    summary = "Speech to text, SRT, VTT and JSON, by openai, faster-whisper or pocketsphinx"
    takes = TranscribeParams
    inputs = (1, 1)
    reusable = True

    def fetches(self, params: Any) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the jobs that fetch the models of its back ends."""
        for choice in params_as(TranscribeParams, params).choices:
            if choice.model_to_fetch:
                yield FetchModel.name, {"model": choice.model_to_fetch}

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        # Here, so that the engine, which asks for plans only, does without PyAV.
        from pyprocessor.inspect.probe import probe

        sizes = [choice.check() for choice in params_as(TranscribeParams, params).choices]
        (source,) = inputs
        media = probe(source.path, size_bytes=source.size_bytes, limits=limits)
        check_sound(media)
        found = {"seconds": media.playing_seconds or _UNKNOWN_SECONDS, "model_bytes": sizes[0]}
        reference = _reference(source)
        # Part of what identifies the content: the same sound beside another text gives another result.
        return found if reference is None else {**found, "reference": sha256(reference.encode()).hexdigest()}

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:  # noqa: ARG002 - the task's
        taken = params_as(TranscribeParams, params)
        roles = (MAIN, *taken.formats[1:])
        products = tuple(
            Product(output + b"." + name.encode(), role) for name, role in zip(taken.formats, roles, strict=True)
        )
        seconds, preferred = found["seconds"], taken.choices[0]
        sound = seconds + min(seconds, taken.chunk_size)
        cost = preferred.cost(seconds, found["model_bytes"], round(sound * RATE * SAMPLE_BYTES) + (1 << 20))
        limited = taken.backends or preferred.backend == "openai"
        return Plan(
            products,
            CostFeatures(task=self.name, encoder=preferred.affinity, given=cost),
            backends=tuple(choice.limits for choice in taken.choices) if limited else (),
            requests=max(1, -(-int(seconds) // int(taken.chunk_size))),
        )

    def run(self, work: Work) -> Steps:
        from pyprocessor.inspect.probe import probe

        taken = params_as(TranscribeParams, work.params)
        (source,) = work.inputs
        media = probe(source.path, size_bytes=source.size_bytes)
        files = raw, _, _ = (f"{work.name}.raw", f"{work.name}.piece.wav", f"{work.name}.piece.json")
        limit = 2 * RATE * SAMPLE_BYTES * work.found["seconds"] + (1 << 28)
        invocation = raw_sound(media, source, threads=work.threads, output_name=raw)
        with removed_afterwards(work, *files):
            finished: Finished = yield Ffmpeg(invocation, last=False, output_limit_bytes=limit)
            check(finished, source.path)
            samples = os.path.getsize(work.path(raw)) // SAMPLE_BYTES
            if not samples:
                raise JobError(FailureKind.BAD_INPUT, "Nothing of the file's sound can be decoded.")
            pieces, wall_seconds = yield from _pieces(work, taken, files, samples, stands_at(source.path))
        whole = merged(pieces)
        seconds = samples / RATE
        warnings = [*_about_the_sound(media, finished, seconds), *quality.warnings(whole)]
        languages = sorted({piece.language for piece in pieces if piece.segments and piece.language})
        if len(languages) > 1:
            warnings.append(f"Pieces of it are in several languages: {', '.join(languages)}.")
        result = {
            "text": whole.text if len(whole.text) <= _MOST_TEXT else whole.text[:_MOST_TEXT] + "...",
            "language": whole.language,
            "segments": len(whole.segments),
            "duration_seconds": round(seconds, 3),
            "quality": _quality(whole, _reference(source), (finished.wall_seconds + wall_seconds) / seconds),
            "warnings": warnings,
        }
        return Done(products=tuple(_written(work, taken, whole, seconds)), result=result)


@dataclass(frozen=True, slots=True)
class Model:
    """The name of a model of faster-whisper."""

    model: str


class FetchModel:
    """Fetch a model to this machine, once for all transcriptions that use it."""

    name = "fetch-model"
    takes = Model
    inputs = (0, 0)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> None:
        """Nothing has to be known."""

    def plan(self, params: Any, inputs: tuple[Source, ...], found: None, output: bytes) -> Plan:  # noqa: ARG002
        size = model_bytes(params_as(Model, params).model)
        cost = Cost(_FETCHING_CPU_SECONDS, _FETCHING_MEMORY_BYTES, 0, wait_seconds=60.0 + size / _FETCHED_A_SECOND)
        return Plan(cost=CostFeatures(self.name, self.name, source_bytes=size, given=cost))

    def run(self, work: Work) -> Steps:
        arguments = {"model": params_as(Model, work.params).model}
        returned: Returned = yield Call("pyprocessor.speech.whisper_backend:fetch_model", arguments)
        return Done(result=returned.value)


def _pieces(
    work: Work, taken: TranscribeParams, files: tuple[str, str, str], samples: int, begins: float
) -> Generator[Step, Any, tuple[list[Transcript], float]]:
    """Transcribe one piece after the other, but for what earlier attempts have kept.

    Returns their transcripts and how long the back end took.
    `files` are names of all of the sound, a piece of it, and what the back end writes of that.
    """
    call = taken.chosen(work.backend).call(work.threads)
    raw, sound, said = map(work.path, files)
    arguments = {"audio": os.fsdecode(sound), "output": os.fsdecode(said), "language": taken.language}
    call["arguments"] = {**call["arguments"], **arguments}
    kept = KeptAnswers(work.folder, work.job_id, work.params)
    pieces, wall_seconds = [], 0.0
    for piece in cuts(raw, taken.chunk_size):
        question = [piece.begin, piece.end, digest(raw, piece)]
        answer = kept.get(question)
        if answer is None:
            write_wav(raw, piece, sound)
            returned: Returned = yield Call(**call, last=piece.end == samples)
            with open(said, encoding="utf-8", errors="replace") as file:
                answer = {"document": file.read(), "wall_seconds": returned.wall_seconds}
        wall_seconds += answer["wall_seconds"]
        pieces.append(transcript(answer["document"], begins + piece.begin_seconds, piece.seconds))
        kept.add(question, answer)  # only now: it is a transcript
    return pieces, wall_seconds


def _written(work: Work, taken: TranscribeParams, whole: Transcript, seconds: float) -> Generator[Made, None, None]:
    """Write the products."""
    shown = cues(whole.segments)
    for name, product in zip(taken.formats, work.products, strict=True):
        text = {
            "txt": lambda: whole.text + "\n",
            "srt": lambda: srt(shown),
            "vtt": lambda: vtt(shown),
            "json": lambda: json.dumps(whole.document(seconds), ensure_ascii=False, indent=1) + "\n",
        }[name]()
        made = f"{work.name}.{name}"
        with open(work.path(made), "w", encoding="utf-8") as file:
            file.write(text)
        yield Made(made, product.role)


def _reference(source: Source) -> str | None:
    """The text that somebody wrote by hand of what is said, beside the source: `talk.ref.txt` for `talk.mp4`."""
    path = os.path.splitext(source.path)[0] + REFERENCE_ENDING.encode()
    if not os.path.isfile(path) or os.path.getsize(path) > _MOST_REFERENCE_BYTES:
        return None
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _quality(whole: Transcript, reference: str | None, real_time_factor: float) -> dict[str, float]:
    found = {"real_time_factor": round(real_time_factor, 4)}
    sure = quality.confidence(whole)
    if sure is not None:
        found["confidence"] = round(sure, 4)
    if reference is not None:
        found["accuracy"] = round(quality.accuracy(whole, reference), 2)
    return found


def _about_the_sound(media: MediaInfo, finished: Finished, seconds: float) -> Generator[str, None, None]:
    """Yield why the transcript may lack something that was said."""
    yield from (note.text for note in media.notes if note.damage)
    if finished.damage != NO_DAMAGE:
        yield "The file is damaged in places; words may be missing there."
    stated = media.playing_seconds
    if stated is not None and not media.duration_estimated and seconds < 0.98 * stated - 1:
        yield f"Its sound ends after {duration(seconds)}, of {duration(stated)}."
