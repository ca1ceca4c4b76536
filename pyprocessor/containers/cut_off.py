"""Was a file cut off, and how many bytes and seconds of it are missing?"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from pyprocessor.models import END_MISSING, MediaInfo, MediaNote, StreamInfo, StreamKind

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

_LEAST_SECONDS = 0.05
"""The shortest time that is written beside the bytes."""


def without_missing_end(
    container: InputContainer, media: MediaInfo, tail: int | MediaNote, *, fragmented: bool
) -> MediaInfo:
    """Return `media` less what its index and `structure.examine` (`tail`) say is missing at its end.

    `fragmented`: it is an MP4 that lists its samples in fragments.
    """
    if isinstance(tail, MediaNote):
        return replace(media, notes=(*media.notes, tail), duration_estimated=True)
    missing = tail
    if media.container.startswith("mov,"):
        # Where an MP4's index lists all samples, anything else that is missing is padding.
        missing = max(listed_beyond(container, media.size_bytes), tail if fragmented else 0)
    if missing:
        return _shortened(container, media, missing, open_ended=fragmented)
    has_film = any(stream.kind is StreamKind.VIDEO for stream in media.streams)
    if media.duration_seconds is None and has_film and media.container != "apng":  # it marks its end
        unknown = MediaNote("It does not say how long it is, so a missing end would not show.")
        return replace(media, notes=(*media.notes, unknown))
    return media


def listed_beyond(container: InputContainer, size_bytes: int) -> int:
    """Return how many bytes an MP4's index reaches beyond the end of the file."""
    indexes = (stream.index_entries for stream in (*container.streams.video, *container.streams.audio))
    return max((0, *(entries[-1].pos + entries[-1].size - size_bytes for entries in indexes if len(entries))))


def _shortened(container: InputContainer, media: MediaInfo, missing_bytes: int, *, open_ended: bool) -> MediaInfo:
    """Return what is there of a file that lacks so many bytes; `open_ended`: even more may be missing."""
    declared, streams, whole_bytes = media.duration_seconds, media.streams, media.size_bytes + missing_bytes
    share = media.size_bytes / whole_bytes
    held, lost = declared, 0.0
    if media.container.startswith("mov,"):
        streams = tuple(_as_listed(container.streams[s.index], s, media.size_bytes) for s in streams)
        held = max((stream.duration_seconds or 0.0 for stream in streams), default=0.0)
        lost = declared - held if declared is not None else 0.0
    elif declared is not None and media.container == "avi":  # computed from the size of the file by the demuxer
        lost = declared / share - declared
    elif declared is not None:  # the same share is missing as of the bytes
        held, lost = declared * share, declared * (1 - share)
        streams = tuple(
            replace(s, duration_seconds=s.duration_seconds * share) if s.duration_seconds is not None else s
            for s in streams
        )
    known = held is not None and lost >= _LEAST_SECONDS
    of_bytes = f" of {whole_bytes:,}" if known and not open_ended else ""
    text = f"It is cut off: at least {missing_bytes:,}{of_bytes} bytes are missing at its end"
    if held is not None and known:
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
    """Return the track of an MP4 less the samples that lie beyond the end of the file."""
    if stream.type not in ("video", "audio") or not stream.time_base or described.duration_seconds is None:
        return described
    entries = stream.index_entries
    there = bisect_left(range(len(entries)), True, key=lambda at: entries[at].pos + entries[at].size > size_bytes)
    if there == len(entries):
        return described
    lasts = float((entries[there].timestamp - entries[0].timestamp) * stream.time_base)
    frames = sum(not entry.is_discard for entry in entries[:there]) if described.frames is not None else None
    return replace(described, duration_seconds=min(described.duration_seconds, lasts), frames=frames)
