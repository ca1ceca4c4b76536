"""How many channels does a sound track have, and in which layout?"""

from __future__ import annotations

import ctypes
import re

import av

from pyprocessor.inspect.reader import Packet, context_of, decode
from pyprocessor.models import AudioInfo

_MOST_DECODED = 96
"""Packets of a track that are decoded at most, however often its parameters change."""


def audio_info(source: av.AudioCodecContext | av.AudioFrame) -> AudioInfo:
    """Return sample rate, channels and their layout in ffmpeg's words (`5.1`, `2 channels (SL+SR)`).

    PyAV 18 frees the list of channels in an unusual order twice, with the layout and with its decoder or frame, which
    ends the process. So such layouts, some hundred bytes in rare files, are never freed. Every layout has to be read
    here: a decoder's `channels` would make another one.
    """
    layout = source.layout
    name = layout.name
    if re.match(r"\d+ channels \(", name):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    named = bool(name) and not name.endswith("channels")
    return AudioInfo(source.sample_rate or 0, layout.nb_channels, name if named else None)


def sound_header(codec: str, packet: memoryview) -> bytes:
    """Return the bits of a sound packet that change with channels or sample rate, if there are any."""
    if len(packet) < 9:
        return b""
    match codec:
        case "ac3":
            return bytes((packet[4] & 0xC0, packet[6]))  # sample rate; channels, with mix levels among them
        case "eac3":
            return bytes((packet[4],))
        case "mp1" | "mp2" | "mp3":
            return bytes((packet[2] & 0x0C, packet[3] & 0xC0))
        case "aac" if packet[0] == 0xFF and packet[1] & 0xF0 == 0xF0:  # with an ADTS header
            return bytes((packet[2] & 0x3D, packet[3] & 0xC0))
        case "dts":
            return bytes((packet[7] & 0x0F, packet[8]))
        case _:
            return b""


class SoundSampler:
    """Decodes packets of one sound track where their headers change."""

    def __init__(self, stream: av.AudioStream) -> None:
        context = context_of(stream)
        self._context = context if isinstance(context, av.AudioCodecContext) else None
        self._codec = context.codec.canonical_name if context is not None else ""
        self.samples: list[AudioInfo] = []
        self._header = b""
        self._decoded = 0

    def take(self, packet: Packet) -> None:
        """Look at the next packet of the track."""
        if self._context is None or self._decoded >= _MOST_DECODED:
            return
        header = sound_header(self._codec, memoryview(packet))
        if header in (b"", self._header):
            return
        self._decoded += 1
        described = [audio_info(frame) for frame in decode(self._context, packet)[0]]
        if described:
            self._header = header
            self.samples.append(described[-1])
