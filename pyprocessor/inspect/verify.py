"""Whether a finished output is what its contract says, before it may be given its final name.

ffmpeg's exit code proves nothing, so the file itself is read: its streams, and when each of its packets is, which is
held against the packets of the source.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import av
import av.error

from pyprocessor.errors import FailureKind, VerifyError
from pyprocessor.inspect.compare import Pair, compared
from pyprocessor.inspect.contract import Contract
from pyprocessor.inspect.reader import open_output
from pyprocessor.inspect.sound import audio_info
from pyprocessor.inspect.survey import SHOWS_NO_TIMES, is_attached, read_packets
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import MediaInfo, MediaNote, OutputFacts, StreamKind, display

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_CAPTIONS = frozenset(("eia_608", "eia_708"))
OUTPUT_LIMIT_SECONDS = 60.0
"""How long the packets of an output may be read; what comes after is not compared."""


@dataclass(frozen=True, slots=True)
class _Output:
    """What the output holds: film, audio and subtitle tracks, each in output order."""

    films: tuple[Track, ...]
    audio: tuple[Track, ...]
    subtitles: tuple[Track, ...]
    whole: bool
    seconds: float | None


def verify(
    path: bytes,
    contract: Contract,
    *,
    encoded_frames: int | None,
    damaged: bool,
    source: bytes,
    media: MediaInfo,
    times: Timeline,
) -> tuple[OutputFacts, tuple[MediaNote, ...]]:
    """Check the finished output at `path`, which our own ffmpeg wrote from `source`, whose timeline is `times`.

    `encoded_frames` is the number of pictures ffmpeg said it wrote, or None where there is no video; `damaged` says
    that it met damage in the source. Returns what was found, and notes worth telling. Raises VerifyError with a
    sentence; its kind is BAD_INPUT where the source is the cause, and INFRASTRUCTURE where another try may do better.
    """
    try:
        found = os.stat(path)
        with closing(open_output(path)) as container:
            output = _read_output(container, contract, found.st_size, damaged=damaged)
    except av.error.FFmpegError as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output cannot be read back: {error.strerror}.") from error
    except OSError as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output is not there: {error.strerror}.") from error
    frames = output.films[0].packets if output.films and output.whole else None
    if encoded_frames is not None and frames is not None and frames < encoded_frames:
        raise VerifyError(
            FailureKind.INFRASTRUCTURE,
            f"The output holds {frames:,} pictures of the {encoded_frames:,} that ffmpeg encoded.",
        )
    notes = compared(
        _pairs(output, contract, media, times),
        began=times.began,
        same_frames=contract.same_frames,
        whole=output.whole and times.whole,
        damaged=damaged or times.damage is not None,
        name=display(os.path.basename(source)),
    )
    facts = OutputFacts(
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        duration_seconds=output.seconds,
        video_streams=contract.video_streams,
        audio_streams=sum(bool(track.packets) for track in output.audio),
        subtitle_streams=len(output.subtitles),
        frames=frames,
    )
    return facts, (*media.notes, *notes)


def _pairs(output: _Output, contract: Contract, media: MediaInfo, times: Timeline) -> list[Pair]:
    """Every film, audio and subtitle track that was kept, beside what became of it."""
    made = {
        StreamKind.VIDEO: iter(output.films),
        StreamKind.AUDIO: iter(output.audio),
        StreamKind.SUBTITLE: iter(output.subtitles),
    }
    limit = math.inf if contract.limit_seconds is None else times.began + contract.limit_seconds
    codecs = {stream.index: stream.codec for stream in media.streams}
    interlaced = {s.index: s.video is not None and s.video.interlaced for s in media.streams}
    reordered = {s.index for s in media.streams if s.video is not None and s.video.in_decoding_order}
    return [
        Pair(
            _limited(times.tracks.get(plan.index, Track(plan.kind, 0)), limit),
            next(made[plan.kind]),
            interlaced=interlaced[plan.index],
            timed=codecs[plan.index] not in _CAPTIONS,
            in_decoding_order=media.container in SHOWS_NO_TIMES or plan.index in reordered,
        )
        for plan in contract.kept
        if plan.kind in made and not plan.cover
    ]


def _limited(track: Track, limit: float) -> Track:
    """The track less the subtitles that begin at `limit` or later."""
    if track.kind is not StreamKind.SUBTITLE:
        return track
    return replace(track, starts=[start for start in track.starts if start < limit])


# ---------------------------------------------------------------- reading the output


def _read_output(container: InputContainer, contract: Contract, size_bytes: int, *, damaged: bool) -> _Output:
    films = [s for s in container.streams.video if not is_attached(s)]
    covers = len(container.streams.video) - len(films)
    audio, subtitles = list(container.streams.audio), list(container.streams.subtitles)
    _expect("video tracks", len(films), contract.video_streams)
    _expect("cover pictures", covers, contract.cover_pictures)
    if audio or not (damaged and films):  # ffmpeg makes no track of sound of which nothing decodes
        _expect("audio tracks", len(audio), contract.audio_streams)
    _expect("subtitle tracks", len(subtitles), contract.subtitle_streams)
    _expect("attachments", len(container.streams.attachments), contract.attachments)
    for film in films:
        if film.codec_context.width < 1 or film.codec_context.height < 1:
            raise VerifyError(FailureKind.INFRASTRUCTURE, "The output's video does not say how large its pictures are.")
    for sound in audio:
        described = audio_info(sound.codec_context)
        if described.channels < 1 or described.sample_rate < 1:
            raise VerifyError(FailureKind.INFRASTRUCTURE, "The output's audio has no channels or no sample rate.")
    if container.format.name.startswith("mov,"):
        for stream in (*films, *audio):
            _check_index(stream, size_bytes)
    seconds = container.duration / av.time_base if container.duration else None
    found = read_packets(container, limit_seconds=OUTPUT_LIMIT_SECONDS)
    if found.damage is not None:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output is damaged: {found.damage}.")

    def tracks(streams: Sequence[Stream], kind: StreamKind) -> tuple[Track, ...]:
        return tuple(found.tracks.get(stream.index, Track(kind, 0)) for stream in streams)

    return _Output(
        tracks(films, StreamKind.VIDEO),
        tracks(audio, StreamKind.AUDIO) or (Track(StreamKind.AUDIO, 0),) * contract.audio_streams,
        tracks(subtitles, StreamKind.SUBTITLE),
        found.whole,
        seconds,
    )


def _expect(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise VerifyError(FailureKind.UNSUPPORTED, f"The output has {found} {what} where it should have {expected}.")


def _check_index(stream: Stream, size_bytes: int) -> None:
    entries = stream.index_entries
    if len(entries) and entries[-1].pos + entries[-1].size > size_bytes:
        raise VerifyError(FailureKind.INFRASTRUCTURE, "The output ends before what its index lists.")
