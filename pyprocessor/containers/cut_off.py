"""Whether a file was cut off, how much of it is missing in bytes and in seconds, and how much of each track is there.

An MP4 lists every picture and where it lies, so it is exact there. Other containers declare how long the whole lasted,
of which a share goes with the bytes that are missing.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from pyprocessor.containers.structure import Tail
from pyprocessor.models import END_MISSING, MediaInfo, MediaNote, StreamInfo, StreamKind

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_SHORTENED_BY_DEMUXER = "avi"
"""Its demuxer takes the file's size for what it is, and shortens what the header declares."""
_MARK_THEIR_END = ("apng", "webp_anim")
_LEAST_SECONDS = 0.05
"""The shortest time that is written beside the bytes."""


def with_its_end(container: InputContainer, media: MediaInfo, tail: Tail, *, fragmented: bool) -> MediaInfo:
    """`media`, as the open file declares it, less what its structure (`tail`) and its index say is missing, with notes.

    `fragmented` says that it is an MP4 that lists what is in it part by part.
    """
    is_mp4 = media.container.startswith("mov,")
    missing = _listed_beyond(container, media.size_bytes) if is_mp4 else 0
    if not is_mp4 or fragmented:
        # Where an MP4's index lists all that is in it, only an empty or unused rest of a part may lack beside that.
        missing = max(missing, tail.missing_bytes)
    if missing:
        return _shortened(container, media, missing, open_ended=fragmented)
    if tail.note is not None:
        note = MediaNote(tail.note, END_MISSING if tail.cut_off else "")
        return replace(media, notes=(*media.notes, note), duration_estimated=True)
    if (
        media.duration_seconds is None
        and media.container not in _MARK_THEIR_END
        and any(stream.kind is StreamKind.VIDEO for stream in media.streams)
    ):
        unknown = MediaNote("It does not say how long it is, so a missing end would not show.")
        return replace(media, notes=(*media.notes, unknown))
    return media


def _listed_beyond(container: InputContainer, size_bytes: int) -> int:
    """How far the index of an MP4 lists pictures and sound beyond the end of the file."""
    ends = [0]
    for stream in (*container.streams.video, *container.streams.audio):
        entries = stream.index_entries
        if len(entries):
            ends.append(entries[-1].pos + entries[-1].size - size_bytes)
    return max(ends)


def _shortened(container: InputContainer, media: MediaInfo, missing_bytes: int, *, open_ended: bool) -> MediaInfo:
    """What is there of a file that lacks so many bytes. `open_ended`: only its last part says how long it is, as in
    recordings that crashed, so more may be missing."""
    declared, streams = media.duration_seconds, media.streams
    share = media.size_bytes / (media.size_bytes + missing_bytes)
    held, lost = declared, None
    if media.container.startswith("mov,"):
        streams = tuple(_as_listed(container.streams[s.index], s, media.size_bytes) for s in streams)
        held = max((stream.duration_seconds or 0.0 for stream in streams), default=0.0)
        lost = max(0.0, declared - held) if declared is not None else None
    elif declared is not None and media.container == _SHORTENED_BY_DEMUXER:
        lost = declared / share - declared
    elif declared is not None:
        held, lost = declared * share, declared * (1 - share)
        streams = tuple(
            stream
            if stream.duration_seconds is None
            else replace(stream, duration_seconds=stream.duration_seconds * share)
            for stream in streams
        )
    text = f"It is cut off: at least {missing_bytes:,}"
    known = lost is not None and held is not None and lost >= _LEAST_SECONDS
    if known and not open_ended:
        text += f" of {media.size_bytes + missing_bytes:,}"
    text += " bytes are missing at its end"
    if known and lost is not None and held is not None:
        text += f", about {lost:,.1f} s" + ("" if open_ended else f" of {held + lost:,.1f} s")
    return replace(
        media,
        streams=streams,
        duration_seconds=held,
        duration_estimated=True,
        notes=(*media.notes, MediaNote(f"{text}.", END_MISSING)),
        missing_bytes=missing_bytes,
    )


def _as_listed(stream: Stream, described: StreamInfo, size_bytes: int) -> StreamInfo:
    """The track as far as the file reaches."""
    if stream.type not in ("video", "audio") or not stream.time_base or described.duration_seconds is None:
        return described
    entries = stream.index_entries
    there = bisect_left(range(len(entries)), True, key=lambda at: entries[at].pos + entries[at].size > size_bytes)
    if there == len(entries):
        return described
    lasts = float((entries[there].timestamp - entries[0].timestamp) * stream.time_base)
    frames = described.frames
    if frames is not None:
        frames = sum(not entry.is_discard for entry in entries[:there])
    return replace(described, duration_seconds=min(described.duration_seconds, lasts), frames=frames)
