"""What are the cover pictures of a file, for containers that hold them as files?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

import av.error

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect.reader import open_again
from pyprocessor.models import MediaInfo

_MOST_PACKETS = 3000
"""How far to look for a cover that is a track of one picture; attached ones come first."""


@dataclass(frozen=True, slots=True)
class Cover:
    """The content of a picture file, and its name in the source, or an empty one."""

    content: bytes
    file_name: str


def read_covers(source: bytes, media: MediaInfo, indexes: Sequence[int]) -> list[Cover]:
    """Return the covers in these streams of `source` (`media`), in this order. Raises InspectError."""
    found: dict[int, bytes] = {}
    try:
        with closing(open_again(source, media)) as container:
            names = {stream.index: stream.metadata.get("filename", "") for stream in container.streams}
            for number, packet in enumerate(container.demux()):
                if packet.stream_index in indexes and packet.size:
                    found.setdefault(packet.stream_index, bytes(packet))
                if len(found) == len(indexes) or number >= _MOST_PACKETS:
                    break
    except av.error.FFmpegError as error:
        raise InspectError(FailureKind.BAD_INPUT, f"Its cover cannot be read: {error.strerror}.") from error
    missing = [str(index) for index in indexes if index not in found]
    if missing:
        raise InspectError(FailureKind.BAD_INPUT, f"Its cover (stream {missing[0]}) holds no picture.")
    return [Cover(found[index], names[index].replace("\0", "")) for index in indexes]
