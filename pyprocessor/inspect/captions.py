"""Does a film have closed captions (EIA-608, CEA-708) with content inside its pictures?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.sidedata.sidedata import Type

from pyprocessor.inspect.colour import side_data

if TYPE_CHECKING:
    import av

CODECS = frozenset(("mpeg2video", "h264", "hevc", "av1"))
"""Codecs whose packets `captions_in` can read."""
_MARK = b"GA94\x03"
"""Before the triplets in the user data of MPEG-2 and in the messages of H.264, HEVC and AV1 (ATSC A/53 part 4)."""
_HEAD_BYTES = 4096
"""Captions come before the picture itself, after its headers and the encoder's name and settings."""
_PROCESSED, _COUNT = 0x40, 0x1F
_VALID, _KIND, _CEA_708 = 0x04, 0x03, 0x02


def has_captions(frame: av.VideoFrame) -> bool:
    """Return whether a decoded picture carries captions with content."""
    data = side_data(frame, Type.A53_CC)
    return data is not None and _have_content(data)


def captions_in(packet: memoryview) -> bool:
    """Return whether a picture's packet carries captions with content, without decoding it."""
    return any(
        message and message[0] & _PROCESSED and _have_content(message[2 : 2 + 3 * (message[0] & _COUNT)])
        for message in bytes(packet[:_HEAD_BYTES]).split(_MARK)[1:]
    )


def _have_content(triplets: bytes) -> bool:
    """Return whether one is valid and, of EIA-608, more than the two empty characters of a pause."""
    return any(
        flags & _VALID and (flags & _KIND >= _CEA_708 or first & 0x7F or second & 0x7F)
        for flags, first, second in zip(triplets[0::3], triplets[1::3], triplets[2::3], strict=False)
    )
