"""How much of a file that was cut off is missing, in bytes and in seconds, and how much of each track is there.

An MP4 lists every picture and where it lies, so it is exact there. Other containers declare how long the whole lasted,
of which a share goes with the bytes that are missing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyprocessor.models import MediaNote, StreamInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

END_MISSING = "damaged: its end is missing"
_SHORTENED_BY_DEMUXER = "avi"
"""Its demuxer takes the file's size for what it is, and shortens what the header declares."""


@dataclass(frozen=True, slots=True)
class CutOff:
    """What is there of a file that was cut off. Seconds are None where nothing declares how long it lasted."""

    missing_bytes: int
    streams: tuple[StreamInfo, ...]
    held_seconds: float | None = None
    missing_seconds: float | None = None
    open_ended: bool = False
    """Whether only its last part says how long it is, as in recordings that crashed; more may be missing then."""

    def note(self, size_bytes: int) -> MediaNote:
        """What is missing, as a sentence."""
        of_bytes = of_seconds = seconds = ""
        if self.held_seconds is not None and self.missing_seconds is not None and self.missing_seconds >= 0.05:
            if not self.open_ended:
                of_bytes = f" of {size_bytes + self.missing_bytes:,}"
                of_seconds = f" of {self.held_seconds + self.missing_seconds:,.1f} s"
            seconds = f", about {self.missing_seconds:,.1f} s{of_seconds}"
        return MediaNote(
            f"It is cut off: at least {self.missing_bytes:,}{of_bytes} bytes are missing at its end{seconds}.",
            END_MISSING,
        )


def longest_track(container_name: str, streams: Sequence[StreamInfo], duration_seconds: float | None) -> float | None:
    """How long the longest track of an MP4 lasts, where the file declares far more; None where nothing is odd.

    An MP4 lasts as long as its longest track, by definition: one that says otherwise was cut off, or badly cut.
    """
    longest = max((stream.duration_seconds or 0.0 for stream in streams), default=0.0)
    if not container_name.startswith("mov,") or duration_seconds is None or not longest:
        return None
    return longest if duration_seconds > 2 * longest + 60 else None


def listed_beyond(container: InputContainer, size_bytes: int) -> int:
    """How far the index of an MP4 lists pictures and sound beyond the end of the file; 0 for other containers."""
    if not container.format.name.startswith("mov,"):
        return 0
    ends = [0]
    for stream in (*container.streams.video, *container.streams.audio):
        entries = stream.index_entries
        if len(entries):
            ends.append(entries[-1].pos + entries[-1].size - size_bytes)
    return max(ends)


def cut_off(
    container: InputContainer,
    streams: tuple[StreamInfo, ...],
    duration_seconds: float | None,
    *,
    size_bytes: int,
    missing_bytes: int,
    fragmented: bool,
) -> CutOff:
    """What is there of a file that lacks `missing_bytes`, and how long it declares (`duration_seconds`) to last."""
    if container.format.name.startswith("mov,"):
        held = tuple(_as_listed(container.streams[stream.index], stream, size_bytes) for stream in streams)
        lasts = max((stream.duration_seconds or 0.0 for stream in held), default=0.0)
        missing = max(0.0, duration_seconds - lasts) if duration_seconds is not None else None
        return CutOff(missing_bytes, held, lasts, missing, open_ended=fragmented)
    if duration_seconds is None:
        return CutOff(missing_bytes, streams)
    share = size_bytes / (size_bytes + missing_bytes)
    if container.format.name == _SHORTENED_BY_DEMUXER:
        return CutOff(missing_bytes, streams, duration_seconds, duration_seconds / share - duration_seconds)
    held = tuple(
        replace(stream, duration_seconds=stream.duration_seconds * share)
        if stream.duration_seconds is not None
        else stream
        for stream in streams
    )
    return CutOff(missing_bytes, held, duration_seconds * share, duration_seconds * (1 - share))


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
