"""Is a finished output what its contract says, so that it may get its final name? What does a part or a chunk hold?

ffmpeg's exit code proves nothing.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import av

from pyprocessor.containers.cut_off import listed_beyond
from pyprocessor.errors import FailureKind, JobError, VerifyError
from pyprocessor.inspect.colour import spherical, stereo
from pyprocessor.inspect.compare import Pair, compare_tracks
from pyprocessor.inspect.contract import Contract, StreamPlan
from pyprocessor.inspect.film import DTS_ONLY
from pyprocessor.inspect.reader import Container, is_attached, open_output
from pyprocessor.inspect.sound import audio_info
from pyprocessor.inspect.survey import read_packets, survey
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import MediaInfo, MediaNote, OutputFacts, StreamKind, VideoInfo, display

OUTPUT_LIMIT_SECONDS = 60.0
"""How long the packets of an output may be read; the rest is not compared."""
_FIRST_PICTURES_SECONDS = 10.0
"""How long an output may be read for the first pictures of its films."""


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
    """Return what is in the output at `path`, and notes on what it lacks of its source.

    `times` is the timeline of the source; `encoded_frames` is ffmpeg's count of pictures (None: no video); `damaged`:
    ffmpeg found damage. Raises VerifyError, of kind BAD_INPUT where the source is the cause and INFRASTRUCTURE where
    another try may do better.
    """
    try:
        found = os.stat(path)
        with closing(open_output(path)) as container:
            seconds = container.duration / av.time_base if container.duration else None
            tracks, read_whole = _read_output(container, contract, found.st_size, damaged=damaged)
    except av.error.FFmpegError as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output cannot be read back: {error.strerror}.") from error
    except OSError as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output is not there: {error.strerror}.") from error
    films = tracks[StreamKind.VIDEO]
    frames = films[0].packets if films and read_whole else None
    if encoded_frames is not None and frames is not None and frames < encoded_frames:
        text = f"The output holds {frames:,} pictures of the {encoded_frames:,} that ffmpeg encoded."
        raise VerifyError(FailureKind.INFRASTRUCTURE, text)
    notes = compare_tracks(
        _pairs(tracks, contract, media, times),
        began=times.began,
        same_frames=contract.same_frames,
        whole=read_whole and times.whole,
        damaged=damaged or times.damage is not None,
        name=display(os.path.basename(source)),
    )
    facts = OutputFacts(
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        duration_seconds=seconds,
        video_streams=contract.count(StreamKind.VIDEO),
        audio_streams=sum(bool(track.packets) for track in tracks[StreamKind.AUDIO]),
        subtitle_streams=len(tracks[StreamKind.SUBTITLE]),
        frames=frames,
    )
    return facts, (*media.notes, *notes)


def _pairs(
    tracks: Mapping[StreamKind, Sequence[Track]], contract: Contract, media: MediaInfo, times: Timeline
) -> list[Pair]:
    """Return every film, audio and subtitle track that was kept, beside what became of it."""
    made = {kind: iter(found) for kind, found in tracks.items()}
    streams = {stream.index: stream for stream in media.streams}

    def source(plan: StreamPlan) -> Track:
        track = times.tracks.get(plan.index, Track(plan.kind, 0))
        if plan.kind is not StreamKind.SUBTITLE or contract.limit_seconds is None:
            return track
        limit = times.began + contract.limit_seconds
        return replace(track, starts=[start for start in track.starts if start < limit])

    return [
        Pair(
            source(plan),
            next(made[plan.kind]),
            interlaced=(film := streams[plan.index].video) is not None and film.interlaced,
            timed=streams[plan.index].codec not in ("eia_608", "eia_708"),
            in_decoding_order=media.container in DTS_ONLY or (film is not None and film.in_decoding_order),
        )
        for plan in contract.kept
        if plan.kind in made and not plan.cover
    ]


def _read_output(
    container: Container, contract: Contract, size_bytes: int, *, damaged: bool
) -> tuple[dict[StreamKind, tuple[Track, ...]], bool]:
    """Return the tracks of the output by kind, and whether it was read to its end."""
    films = [s for s in container.streams.video if not is_attached(s)]
    audio, subtitles = container.streams.audio, container.streams.subtitles
    # ffmpeg makes no track of sound of which nothing decodes.
    silent = not audio and damaged and films
    for what, number, expected in (
        ("video tracks", len(films), contract.count(StreamKind.VIDEO)),
        ("cover pictures", len(container.streams.video) - len(films), sum(plan.cover for plan in contract.kept)),
        ("audio tracks", len(audio), 0 if silent else contract.count(StreamKind.AUDIO)),
        ("subtitle tracks", len(subtitles), contract.count(StreamKind.SUBTITLE)),
        ("attachments", len(container.streams.attachments), contract.count(StreamKind.ATTACHMENT)),
    ):
        if number != expected:
            text = f"The output has {number} {what} where it should have {expected}."
            raise VerifyError(FailureKind.UNSUPPORTED, text)
    if any(min(film.codec_context.width, film.codec_context.height) < 1 for film in films):
        raise VerifyError(FailureKind.INFRASTRUCTURE, "The output's video does not say how large its pictures are.")
    sounds = [audio_info(sound.codec_context) for sound in audio]
    if any(min(sound.channels, sound.sample_rate) < 1 for sound in sounds):
        raise VerifyError(FailureKind.INFRASTRUCTURE, "The output's audio has no channels or no sample rate.")
    if container.format.name.startswith("mov,") and listed_beyond(container, size_bytes):
        raise VerifyError(FailureKind.INFRASTRUCTURE, "The output ends before what its index lists.")
    found = read_packets(container, limit_seconds=OUTPUT_LIMIT_SECONDS)
    if found.damage is not None:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output is damaged: {found.damage}.")

    kinds = ((StreamKind.VIDEO, films), (StreamKind.AUDIO, audio), (StreamKind.SUBTITLE, subtitles))
    tracks = {kind: tuple(found.tracks.get(s.index, Track(kind, 0)) for s in streams) for kind, streams in kinds}
    if not audio:
        tracks[StreamKind.AUDIO] = (Track(StreamKind.AUDIO, 0),) * contract.count(StreamKind.AUDIO)
    return tracks, found.whole


def lost_projection(path: bytes, contract: Contract, media: MediaInfo) -> tuple[MediaNote, ...]:
    """Return notes where the output at `path` does not state its source's 360 degree or stereo layout."""
    by_index = {stream.index: stream.video for stream in media.streams}
    wanted = [by_index[plan.index] or VideoInfo(0, 0) for plan in contract.films]
    if not any(video.spherical or video.stereo for video in wanted):
        return ()
    try:
        with closing(open_output(path)) as container:
            films = survey(container, size_bytes=0, whole=False, limit_seconds=_FIRST_PICTURES_SECONDS).films
    except av.error.FFmpegError:
        return ()  # verification says what is wrong with it
    lost = []
    for video, index in zip(wanted, sorted(films), strict=False):
        frame = films[index].frame
        if video.spherical != spherical(frame):
            lost.append(f"360 degree pictures ({video.spherical})")
        if video.stereo != stereo(frame):
            lost.append(f"stereo pictures ({video.stereo})")
    return tuple(
        MediaNote(
            f"It has {what}, and the output no longer says so, so that players show them flat as they are.",
            f"no longer marked as {what} ({contract.container})",
        )
        for what in dict.fromkeys(lost)
    )


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """What an encoded part of a film holds; parts with the same `headers` (a digest) can be joined."""

    pictures: int
    headers: str


def encoded_part(path: bytes) -> EncodedPart:
    """Return what the file at `path` holds, which has to begin at time 0. Raises VerifyError."""
    try:
        with closing(open_output(path)) as container:
            (film,) = container.streams.video
            headers, began, pictures = film.codec_context.extradata or b"", film.start_time, film.frames
    except (av.error.FFmpegError, ValueError) as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, "A part that was encoded cannot be read back.") from error
    if began:
        raise VerifyError(FailureKind.UNSUPPORTED, "The first picture of a part could not be decoded.")
    return EncodedPart(pictures, hashlib.sha256(headers).hexdigest()[:16])


def sound_tracks(path: bytes) -> int:
    """Return how many tracks of sound the file at `path`, which our own ffmpeg wrote, holds. Raises VerifyError."""
    try:
        with closing(open_output(path)) as container:
            return len(container.streams.audio)
    except av.error.FFmpegError as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, "The sound that was encoded cannot be read back.") from error


def written_packets(path: bytes) -> tuple[int, float]:
    """How many packets are in the first stream of a file that our own ffmpeg wrote, and how long they last."""
    count, first, last = 0, math.inf, 0.0
    try:
        with closing(open_output(path)) as container:
            for packet in container.demux(container.streams[0]):
                if packet.size and not packet.is_discard:
                    count += 1
                    if packet.pts is not None and packet.time_base is not None:
                        first = min(first, float(packet.pts * packet.time_base))
                        last = max(last, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except (av.error.FFmpegError, IndexError) as error:
        raise JobError(FailureKind.CRASH, f"What ffmpeg wrote cannot be read back: {error}.") from error
    return count, max(0.0, last - first)
