"""Is a media file whole: does all of it decode, and has it what another one has, at the same times?"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyprocessor.errors import FailureKind, JobError, VerifyError
from pyprocessor.ffmpeg.damage import NO_DAMAGE
from pyprocessor.ffmpeg.diagnosis import diagnose
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models import Cost, CostFeatures, InputLimits, MediaInfo, MediaNote, Source, StreamKind, display
from pyprocessor.models.wording import count
from pyprocessor.recipes.decoding import decoded
from pyprocessor.tasks.base import Done, Ffmpeg, Plan, Steps, Work
from pyprocessor.tasks.params import params_as

if TYPE_CHECKING:
    from pyprocessor.inspect.timeline import Timeline, Track

_PIXELS_PER_SECOND = 120e6
_SOUND_SECONDS_PER_SECOND = 400.0
_BYTES_PER_SECOND = 500e6
_BASE_BYTES, _PICTURES_IN_DECODER = 48 << 20, 24
_COMPARED = (StreamKind.VIDEO, StreamKind.AUDIO, StreamKind.SUBTITLE)
_EMPTY_SECONDS, _EMPTY_SHARE = 1.0, 0.02
"""How long a whole file may have neither pictures nor sound between two of its tracks: the larger of both."""
_MOST_NOTES = 100


@dataclass(frozen=True, slots=True)
class Takes:
    """`strict`: whether the job fails where the file is damaged, instead of saying so in its result."""

    strict: bool = False


class Verify:
    """One ffmpeg that decodes everything; a second input is what the first one is compared with."""

    name = "verify"
    summary = "Decode a whole film, report damage, and compare its times with those of another one"
    takes = Takes
    inputs = (1, 2)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> dict[str, float]:
        # Here, so that the engine, which asks for plans only, does without PyAV.
        from pyprocessor.inspect.probe import probe

        params_as(Takes, params)
        media, *_ = [probe(source.path, size_bytes=source.size_bytes, limits=limits) for source in inputs]
        seconds, film = media.playing_seconds or 0.0, media.video
        if film is None and not media.audio:
            raise JobError(FailureKind.BAD_INPUT, "It has neither pictures nor sound.")
        pixels = film.video.pixels if film is not None and film.video is not None else 0
        rate = film.video.frame_rate if film is not None and film.video is not None else None
        return {"seconds": seconds, "pixels": pixels, "pictures": seconds * float(rate or 25)}

    def plan(self, params: Any, inputs: tuple[Source, ...], found: dict[str, float], output: bytes) -> Plan:  # noqa: ARG002
        size = sum(source.size_bytes for source in inputs)
        seconds = found["pictures"] * found["pixels"] / _PIXELS_PER_SECOND
        seconds += 0.1 + found["seconds"] / _SOUND_SECONDS_PER_SECOND + size / _BYTES_PER_SECOND
        cost = Cost(seconds, _BASE_BYTES + int(2 * _PICTURES_IN_DECODER * found["pixels"]), 0)
        features = CostFeatures(self.name, self.name, duration_seconds=found["seconds"], source_bytes=size, given=cost)
        return Plan(cost=features)

    def run(self, work: Work) -> Steps:
        from pyprocessor.inspect.damage import damage_note

        source, *others = work.inputs
        media, times = _read(source)
        finished: Finished = yield Ffmpeg(
            decoded(source.path, media, threads=work.threads, output_name=f"{work.name}.null")
        )
        notes = [*media.notes, *_empty(media, times), *damage_note(finished.damage, media, times, same_frames=True)]
        failure = diagnose(finished, source.path)
        if failure is not None:
            if failure.kind is not FailureKind.BAD_INPUT:
                raise failure
            notes.append(MediaNote(str(failure), _DAMAGED))
        pictures = finished.progress.frame if finished.progress is not None else 0
        if finished.damage == NO_DAMAGE:
            notes += _not_decoded(media, times, pictures)
        for other in others:
            notes += _compared(media, times, other, damaged=finished.damage != NO_DAMAGE)
        losses = [note.text for note in notes if note.loss]
        if losses and params_as(Takes, work.params).strict:
            raise JobError(FailureKind.BAD_INPUT, " ".join(losses[:3]))
        result = {
            "ok": not losses,
            "pictures": pictures,
            "seconds": media.playing_seconds,
            "notes": [note.text for note in notes][:_MOST_NOTES],
        }
        return Done(result={**result, "quality": {"verified": not losses}, "warnings": losses[:_MOST_NOTES]})


_DAMAGED, _DIFFERS = "damaged", "differs"


def _read(source: Source) -> tuple[MediaInfo, Timeline]:
    """What a file holds, and when, by all of its packets."""
    from pyprocessor.inspect.probe import probe, survey_source

    media = probe(source.path, size_bytes=source.size_bytes)
    return survey_source(source.path, media, [stream.index for stream in media.streams], InputLimits())


def _empty(media: MediaInfo, times: Timeline) -> Iterator[MediaNote]:
    """A note where all tracks have ended long before another one begins.

    Pauses within a track tell nothing: slides stay, and silence may be left out.
    """
    tracks = _tracks(media, times)
    played = [*tracks[StreamKind.VIDEO], *tracks[StreamKind.AUDIO]]
    spans = sorted((track.start, track.end) for track in played if track.start is not None and track.end is not None)
    if not spans or not times.whole:
        return
    began = reached = spans[0][0]
    empty = 0.0
    for start, end in spans:
        empty += max(0.0, start - reached)
        reached = max(reached, end)
    lasts = reached - began
    if empty > max(_EMPTY_SECONDS, _EMPTY_SHARE * lasts):
        text = f"It declares {lasts:,.1f} s and holds {lasts - empty:,.1f} s of pictures and sound: it was cut off, or "
        yield MediaNote(f"{text}its times are wrong.", _DAMAGED)


def _not_decoded(media: MediaInfo, times: Timeline, pictures: int) -> Iterator[MediaNote]:
    """A note where fewer pictures came out than the film has, or none."""
    film = media.video
    if film is not None and not pictures:
        yield MediaNote("No picture of its film came out of the decoder.", _DAMAGED)
        return
    track = times.tracks.get(film.index) if film is not None else None
    if film is None or film.video is None or track is None or not times.whole:
        return
    least = len(track.starts) // (2 if film.video.interlaced else 1)
    if pictures < least:
        yield MediaNote(f"Of {least:,} pictures {pictures:,} came out of the decoder.", _DAMAGED)


def _compared(media: MediaInfo, times: Timeline, other: Source, *, damaged: bool) -> Iterator[MediaNote]:
    """Notes on what a file lacks of another one, or has at other times."""
    from pyprocessor.inspect.compare import Pair, compare_tracks

    wanted, wanted_times = _read(other)
    name = display(os.path.basename(other.path))
    here, there = _tracks(media, times), _tracks(wanted, wanted_times)
    pairs = []
    for kind in _COMPARED:
        if len(here[kind]) != len(there[kind]):
            has, lacks = count(len(here[kind]), f"{kind.value} track"), len(there[kind])
            yield MediaNote(f"It has {has} where {name} has {lacks}.", _DIFFERS)
        pairs += [Pair(theirs, ours) for theirs, ours in zip(there[kind], here[kind], strict=False)]
    try:
        yield from compare_tracks(
            pairs,
            began=wanted_times.began,
            same_frames=True,
            whole=times.whole and wanted_times.whole,
            damaged=damaged or wanted_times.damage is not None,
            name=name,
        )
    except VerifyError as error:
        yield MediaNote(str(error), _DIFFERS)


def _tracks(media: MediaInfo, times: Timeline) -> dict[StreamKind, list[Track]]:
    """The tracks of a file that are compared, in order, covers left out."""
    found = defaultdict(list)
    for stream in media.streams:
        if stream.index in times.tracks and (stream.is_film or stream.video is None):
            found[stream.kind].append(times.tracks[stream.index])
    return found
