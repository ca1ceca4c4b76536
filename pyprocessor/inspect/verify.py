"""Whether a finished output is what its contract says, before it may be given its final name.

ffmpeg's exit code proves nothing, so the file itself is asked: MP4 by its index, others by their packets. Where the
output does not reach what the source declares, and only then, the source's own packets are read, to tell a source that
was cut off from an output that was.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import av.error

from pyprocessor.errors import FailureKind, VerifyError
from pyprocessor.inspect.contract import Contract
from pyprocessor.inspect.measure import Measured, Track, read_packets
from pyprocessor.inspect.reader import is_away, open_output, open_source
from pyprocessor.models import MediaInfo, MediaNote, OutputFacts, StreamKind, display

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

SOURCE_LIMIT_SECONDS = 60.0
"""How long the packets of a source may be read."""
OUTPUT_LIMIT_SECONDS = 60.0
WHOLE_READ_BYTES = 64_000_000
"""Outputs up to this size are read whole (tens of milliseconds, from the page cache); of larger ones the end."""
_TAIL_SECONDS = 10.0

_DAMAGED = "damaged: pictures or sound missing"
_LOST_SHARE = 0.02
_LOST_FRAMES = 3
"""Pictures that a damaged or open-ended start may cost before the output counts as short."""
_STRETCHED_SHARE = 0.1
_STRETCHED_SECONDS = 5.0
"""How much longer than its packets say a track may come out: they do not all say how long they last."""
_OVERSTATED_SHARE = 0.02
_OVERSTATED_SECONDS = 1.0
"""How far a header may overstate the duration (careless muxers) before the source counts as cut off."""


@dataclass(frozen=True, slots=True)
class _Output:
    """What the output holds: film and audio tracks in output order, `frames` of the first where they were counted."""

    films: tuple[Track, ...]
    audio: tuple[Track, ...]
    subtitles: int
    frames: int | None
    seconds: float | None


def verify(
    path: bytes, contract: Contract, *, encoded_frames: int | None, source: bytes, media: MediaInfo
) -> tuple[OutputFacts, tuple[MediaNote, ...]]:
    """Check the finished output at `path`, which our own ffmpeg wrote from `source`.

    `encoded_frames` is the number of pictures ffmpeg said it wrote, or None where there is no video. Returns what was
    found, and notes worth telling. Raises VerifyError with a sentence; its kind is BAD_INPUT where the source is the
    cause, and INFRASTRUCTURE where another try may do better.
    """
    try:
        found = os.stat(path)
        with closing(open_output(path)) as container:
            output = _read_output(container, contract, found.st_size)
    except av.error.FFmpegError as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output cannot be read back: {error.strerror}.") from error
    except OSError as error:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output is not there: {error.strerror}.") from error
    if encoded_frames is not None and output.frames is not None and output.frames < encoded_frames:
        raise VerifyError(
            FailureKind.INFRASTRUCTURE,
            f"The output holds {output.frames:,} pictures of the {encoded_frames:,} that ffmpeg encoded.",
        )
    notes = list(media.notes)
    if not _as_declared(output, contract):
        notes += _against_source(output, contract, encoded_frames, source, media)
    elif _ends_early(output, contract):
        notes.append(
            MediaNote("Its last picture is shown for a shorter time than in the source; all pictures are there.")
        )
    elif _lacks_pictures(output, contract, media):
        notes += _lost_at_its_ends(output, contract, source, media)
    facts = OutputFacts(
        size_bytes=found.st_size,
        mtime_ns=found.st_mtime_ns,
        duration_seconds=output.seconds,
        video_streams=contract.video_streams,
        audio_streams=contract.audio_streams,
        subtitle_streams=output.subtitles,
        frames=output.frames,
    )
    return facts, tuple(notes)


# ---------------------------------------------------------------- reading the output


def _read_output(container: InputContainer, contract: Contract, size_bytes: int) -> _Output:
    films = [s for s in container.streams.video if not s.disposition & type(s.disposition).attached_pic]
    covers = len(container.streams.video) - len(films)
    audio = list(container.streams.audio)
    subtitles = len(container.streams.subtitles)
    _expect("video tracks", len(films), contract.video_streams)
    _expect("cover pictures", covers, contract.cover_pictures)
    _expect("audio tracks", len(audio), contract.audio_streams)
    _expect("subtitle tracks", subtitles, contract.subtitle_streams)
    _expect("attachments", len(container.streams.attachments), contract.attachments)
    for film in films:
        if film.codec_context.width < 1 or film.codec_context.height < 1:
            raise VerifyError(FailureKind.INFRASTRUCTURE, "The output's video does not say how large its pictures are.")
    for stream in audio:
        if stream.codec_context.channels < 1 or stream.codec_context.sample_rate < 1:
            raise VerifyError(FailureKind.INFRASTRUCTURE, "The output's audio has no channels or no sample rate.")
    seconds = container.duration / av.time_base if container.duration else None
    if container.format.name.startswith("mov,"):
        tracks = {stream.index: _indexed_track(stream, size_bytes) for stream in (*films, *audio)}
        counted = True
    else:
        measured, counted = _end_of(container, [stream.index for stream in (*films, *audio)], size_bytes)
        tracks = measured.tracks
    return _Output(
        films=tuple(tracks[stream.index] for stream in films),
        audio=tuple(tracks[stream.index] for stream in audio),
        subtitles=subtitles,
        frames=tracks[films[0].index].packets if films and counted else None,
        seconds=seconds,
    )


def _expect(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise VerifyError(FailureKind.UNSUPPORTED, f"The output has {found} {what} where it should have {expected}.")


def _indexed_track(stream: Stream, size_bytes: int) -> Track:
    """The track as MP4's index lists it, checked against the size of the file."""
    entries = stream.index_entries
    if not len(entries):
        return Track()
    if entries[-1].pos + entries[-1].size > size_bytes:
        raise VerifyError(FailureKind.INFRASTRUCTURE, "The output ends before what its index lists.")
    if stream.duration is None or stream.time_base is None:
        return Track(packets=len(entries))
    start = float((stream.start_time or 0) * stream.time_base)
    return Track(packets=len(entries), start=start, end=start + float(stream.duration * stream.time_base))


def _end_of(container: InputContainer, wanted: list[int], size_bytes: int) -> tuple[Measured, bool]:
    """The tracks as their packets show them, and whether all packets were counted."""
    if size_bytes > WHOLE_READ_BYTES and container.duration:
        container.seek(max(0, container.duration - int(_TAIL_SECONDS * av.time_base)))
        tail = read_packets(container, limit_seconds=OUTPUT_LIMIT_SECONDS)
        if tail.damage is None and all(tail.tracks[index].packets for index in wanted):
            for stream in container.streams:
                if stream.index in wanted and stream.start_time is not None and stream.time_base is not None:
                    tail.tracks[stream.index].start = float(stream.start_time * stream.time_base)
            return tail, False
        container.seek(0)
    whole = read_packets(container, limit_seconds=OUTPUT_LIMIT_SECONDS)
    if whole.damage is not None:
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output is damaged: {whole.damage}.")
    return whole, whole.whole


# ---------------------------------------------------------------- against what the source declares


def _as_declared(output: _Output, contract: Contract) -> bool:
    """Whether every track reaches what the source declares."""
    for number, (film, seconds) in enumerate(zip(output.films, contract.video_seconds, strict=True)):
        if number == 0 and contract.frames is not None and output.frames is not None:
            if not _all_frames(output.frames, contract.frames):
                return False
        elif not _reaches(film, seconds, contract):
            return False
    for track, seconds in zip(output.audio, contract.audio_seconds, strict=True):
        if not _reaches(track, seconds, contract):
            return False
    return True


def _ends_early(output: _Output, contract: Contract) -> bool:
    """Whether all pictures are there, but the last, of which not every encoder says how long it lasts, ends early."""
    if not output.films or contract.frames is None or output.films[0].seconds is None:
        return False
    return not _reaches(output.films[0], contract.video_seconds[0], contract)


def _all_frames(found: int | None, expected: int | None) -> bool:
    if found is None or expected is None:
        return False
    return found >= expected - max(_LOST_FRAMES, int(expected * _LOST_SHARE)) and found > 0


def _reaches(track: Track, declared: float | None, contract: Contract) -> bool:
    expected = declared if declared is not None else contract.duration_seconds
    if expected is None or track.seconds is None:
        return False
    return abs(track.seconds - expected) <= contract.tolerance_seconds


# ---------------------------------------------------------------- against what the source holds


def _against_source(
    output: _Output, contract: Contract, encoded_frames: int | None, source: bytes, media: MediaInfo
) -> list[MediaNote]:
    """Compare the output with the source's own packets; returns notes, raises VerifyError where the output is short."""
    name = display(os.path.basename(source))
    try:
        with closing(open_source(source)) as container:
            held = read_packets(container, limit_seconds=SOURCE_LIMIT_SECONDS)
    except av.error.FFmpegError as error:
        kind = FailureKind.UNAVAILABLE if is_away(source) else FailureKind.BAD_INPUT
        raise VerifyError(kind, f"{name} can no longer be read: {error.strerror}.") from error
    if held.damage is not None and is_away(source):
        raise VerifyError(FailureKind.UNAVAILABLE, f"{name} can no longer be read: {held.damage}.")
    if not held.whole:
        raise VerifyError(
            FailureKind.INFRASTRUCTURE,
            f"The output differs from what {name} declares, and reading what it holds took over "
            f"{SOURCE_LIMIT_SECONDS:.0f} s.",
        )
    audio = [plan for plan in contract.kept if plan.kind is StreamKind.AUDIO]
    frames = output.frames if output.frames is not None else encoded_frames
    notes = []
    for number, (plan, got) in enumerate(zip(contract.films, output.films, strict=True)):
        _same_film(got, None if number else frames, held.tracks[plan.index], contract, name)
        if number == 0:
            notes += _lost_pictures(got, frames, held.tracks[plan.index], contract, media, name)
    for plan, got in zip(audio, output.audio, strict=True):
        _same_audio(got, held.tracks[plan.index], contract, name)
    return notes + _overstated(contract, held, name)


def _same_film(got: Track, frames: int | None, held: Track, contract: Contract, name: str) -> None:
    _not_stretched("video", got, held, name)
    if contract.same_frames and _all_frames(frames, held.packets):
        return
    lasts = got.seconds is not None and held.seconds is not None
    if lasts and (got.seconds or 0.0) >= (held.seconds or 0.0) - contract.tolerance_seconds:
        return
    if frames is not None and contract.same_frames:
        what = f"{frames:,} of the {held.packets:,} pictures"
    else:
        what = f"{got.seconds or 0.0:,.1f} s of the {held.seconds or 0.0:,.1f} s of video"
    raise VerifyError(FailureKind.BAD_INPUT, f"Only {what} in {name} could be decoded: it is damaged.")


def _lost_pictures(
    got: Track, frames: int | None, held: Track, contract: Contract, media: MediaInfo, name: str
) -> list[MediaNote]:
    """A note on pictures that did not come out although the output lasts long enough to pass."""
    if not contract.same_frames or frames is None or _all_frames(frames, held.packets):
        return []
    if media.video is not None and media.video.video is not None and not media.video.video.interlaced:
        return [MediaNote(f"Only {frames:,} of the {held.packets:,} pictures in {name} could be decoded.", _DAMAGED)]
    # The two fields of an interlaced picture may be packets of their own, so only the time can tell.
    if got.seconds is None or held.seconds is None or not _is_short(got.seconds, held.seconds, media):
        return []
    told = f"Only {got.seconds:,.2f} s of the {held.seconds:,.2f} s of video in {name} could be decoded."
    return [MediaNote(told, _DAMAGED)]


def _is_short(seconds: float, expected: float, media: MediaInfo) -> bool:
    """Whether more is lacking than pictures that may be lost without a word."""
    film = media.video
    rate = film.video.frame_rate if film is not None and film.video is not None else None
    return expected - seconds > max(_LOST_FRAMES / float(rate) if rate else _OVERSTATED_SECONDS, _LOST_SHARE * expected)


def _lacks_pictures(output: _Output, contract: Contract, media: MediaInfo) -> bool:
    """Whether the film came out shorter, although within tolerance: in a short film that may be many pictures."""
    declared = contract.video_seconds[0] if contract.video_seconds else None
    if not output.films or contract.frames is not None or not contract.same_frames:
        return False
    got = output.films[0].seconds
    return got is not None and declared is not None and _is_short(got, declared, media)


def _lost_at_its_ends(output: _Output, contract: Contract, source: bytes, media: MediaInfo) -> list[MediaNote]:
    """A note where the source holds pictures that did not come out; what cannot be read or counted gives none."""
    try:
        with closing(open_source(source)) as container:
            held = read_packets(container, limit_seconds=SOURCE_LIMIT_SECONDS)
    except av.error.FFmpegError:
        return []
    if not held.whole:
        return []
    name = display(os.path.basename(source))
    return _lost_pictures(output.films[0], output.frames, held.tracks[contract.films[0].index], contract, media, name)


def _same_audio(got: Track, held: Track, contract: Contract, name: str) -> None:
    _not_stretched("audio", got, held, name)
    if got.seconds is None or held.seconds is None:
        if bool(got.packets) == bool(held.packets):
            return
    elif got.seconds >= held.seconds * (1 - _LOST_SHARE) - contract.tolerance_seconds:
        return
    raise VerifyError(
        FailureKind.BAD_INPUT,
        f"Only {got.seconds or 0.0:,.1f} s of the {held.seconds or 0.0:,.1f} s of audio in {name} could be decoded: "
        "it is damaged.",
    )


def _not_stretched(what: str, got: Track, held: Track, name: str) -> None:
    if got.seconds is None or held.seconds is None:
        return
    if got.seconds > held.seconds * (1 + _STRETCHED_SHARE) + _STRETCHED_SECONDS:
        raise VerifyError(
            FailureKind.BAD_INPUT,
            f"The {what} of {name} lasts {held.seconds:,.1f} s and became {got.seconds:,.1f} s: its time stamps are "
            "damaged.",
        )


def _overstated(contract: Contract, held: Measured, name: str) -> list[MediaNote]:
    """Notes on a source that holds less than it declares; raises where that is so much that it was cut off.

    All its tracks count, since a container's duration is that of its longest, which may be subtitles.
    """
    declared = contract.duration_seconds
    starts = [track.start for track in held.tracks.values() if track.start is not None]
    ends = [track.end for track in held.tracks.values() if track.end is not None]
    longest = max(ends) - min(starts) if ends and starts else 0.0
    if declared is None or not longest or contract.estimated:
        return []
    lacking = declared - longest
    if lacking > max(_OVERSTATED_SECONDS + contract.tolerance_seconds, _OVERSTATED_SHARE * declared):
        raise VerifyError(
            FailureKind.BAD_INPUT,
            f"{name} declares {declared:,.1f} s but holds only {longest:,.1f} s: it is cut off.",
        )
    if held.damage is not None:
        return [MediaNote(f"The end of the file is damaged ({held.damage}).", _DAMAGED)]
    if lacking > contract.tolerance_seconds:
        return [MediaNote(f"The file declares {declared:,.1f} s and holds {longest:,.1f} s; all of it is there.")]
    return []
