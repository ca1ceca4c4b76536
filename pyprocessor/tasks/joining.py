"""What are the parts of a film that were encoded, and may they be joined?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.damage import NO_DAMAGE, Damage, StreamDamage
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import StreamInfo
from pyprocessor.models.os_errors import publish_error
from pyprocessor.models.products import MAIN
from pyprocessor.publish.partials import discard
from pyprocessor.recipes.parts import JoinedFilm, joined, list_of_parts
from pyprocessor.recipes.transcode import Recipe
from pyprocessor.tasks.base import ChildEnd, Work
from pyprocessor.tasks.parts import FILM_PART, SOUND_PART, PartEnd


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one film: files of its pictures in order, and of its sound, if any was encoded."""

    film_parts: tuple[bytes, ...]
    ends: tuple[PartEnd, ...]
    """Of the parts of the pictures, in the same order."""
    sound: bytes | None
    sound_damage: Damage
    film: StreamInfo
    track: Track
    """The film in the source, and its times."""

    @property
    def pictures(self) -> int:
        return sum(end.pictures for end in self.ends)

    def join(self, whole: Recipe, listed: bytes) -> Recipe:
        """The recipe that joins them; `listed` is the path of their list."""
        first, track = self.ends[0], self.track
        last = track.starts[-1] - track.starts[0]
        made = JoinedFilm(
            listed,
            self.sound,
            at_seconds=first.at_seconds,
            start_seconds=first.start_seconds,
            seconds=track.seconds or last,
            last_seconds=last,
            clock=Fraction(first.clock),
        )
        return joined(whole, made, self.film)

    def damage_with(self, last: Damage) -> Damage:
        """What all ffmpegs that read the source found damaged, the `last` one included.

        Each part of the pictures met its own; the container was read as a whole for the sound, or by the last one.
        """
        found = (*(end.damage for end in self.ends), self.sound_damage, last)
        streams: dict[int, StreamDamage] = {}
        for stream in (stream for damage in found for stream in damage.streams):
            known = streams.get(stream.index, StreamDamage(stream.index))
            streams[stream.index] = StreamDamage(
                stream.index,
                known.broken + stream.broken,
                known.undecodable + stream.undecodable,
                known.packets + stream.packets,
            )
        gaps = max(sum(end.damage.gaps for end in self.ends), self.sound_damage.gaps, last.gaps)
        return Damage(
            tuple(streams[index] for index in sorted(streams)),
            sum(damage.concealed for damage in found),
            gaps,
            any(damage.ended_early for damage in found),
        )


def parts_of(children: Sequence[ChildEnd], film: StreamInfo, times: Timeline) -> Parts:
    """Return the parts that these jobs made. Raises JobError where they cannot be joined."""
    failed = next((child for child in children if not child.succeeded), None)
    if failed is not None:
        raise JobError(FailureKind.UNSUPPORTED, failed.reason or "A part was not made.")
    ends = [(child, PartEnd.of(child.result)) for child in children]
    of_pictures = [(child.products[MAIN], end) for child, end in ends if child.role == FILM_PART]
    sound = next(((child.products[MAIN], end.damage) for child, end in ends if child.role == SOUND_PART), None)
    if len({end.headers for _, end in of_pictures}) != 1:
        raise JobError(FailureKind.UNSUPPORTED, "The headers of its parts differ.")
    track = times.tracks.get(film.index)
    if track is None or not track.starts:
        raise JobError(FailureKind.UNSUPPORTED, "The times of its pictures are not known.")
    paths, of_film = zip(*of_pictures, strict=True)
    return Parts(paths, of_film, sound[0] if sound else None, sound[1] if sound else NO_DAMAGE, film, track)


@contextmanager
def list_file(work: Work, parts: Parts | None) -> Iterator[bytes]:
    """Write the list of the parts, if there are any, beside the partial output, and remove it afterwards."""
    path = work.path(f"{work.name}.parts")
    if parts is None:
        yield path
        return
    try:
        text = list_of_parts(parts.film_parts, [end.at_seconds for end in parts.ends])
    except ValueError as error:
        raise JobError(FailureKind.UNSUPPORTED, "The name of the output folder has a line break.") from error
    try:
        with open(path, "wb") as file:
            file.write(text)
    except OSError as error:
        raise publish_error(error, path, "could not be written") from error
    try:
        yield path
    finally:
        discard(path)
