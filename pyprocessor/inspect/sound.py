"""How many channels a sound track has, in which layout, by its decoder."""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING

from pyprocessor.models import AudioInfo

if TYPE_CHECKING:
    import av

_LISTED = re.compile(r"\d+ channels \(")


def audio_info(context: av.AudioCodecContext) -> AudioInfo:
    """Sample rate, channels, and their layout in ffmpeg's words (`5.1`, `2 channels (SL+SR)`) where they have names."""
    name, channels = channels_of(context.layout)
    named = bool(name) and not name.endswith("channels")
    return AudioInfo(context.sample_rate or 0, channels, name if named else None)


def channels_of(layout: av.AudioLayout) -> tuple[str, int]:
    """ffmpeg's name of a layout, and how many channels it has.

    PyAV 18 frees the list of channels in an order of their own twice, with the layout and with its decoder or frame,
    which ends the process. So such layouts, some hundred bytes in rare files, are never freed. Each one that comes into
    being has to pass here, so a decoder is not asked for its `channels`, which makes another.
    """
    if _LISTED.match(layout.name):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout.name, layout.nb_channels
