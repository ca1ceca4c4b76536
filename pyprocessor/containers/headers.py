"""Which bytes of a packet state its pictures' size or its sound's channels?

They are compared with those of the packet before, not parsed; where they differ, the packet is decoded.
"""

from __future__ import annotations

_LOOK_BYTES = 512
_PARAMETER_BYTES = 32
_START_CODE = b"\x00\x00\x01"

# The unit that holds size and shape of the pictures, after a start code: (mask, value) of its first byte.
_UNITS = {
    "h264": (0x1F, 7),
    "hevc": (0x7E, 33 << 1),
    "mpeg1video": (0xFF, 0xB3),
    "mpeg2video": (0xFF, 0xB3),
    "mpeg4": (0xF0, 0x20),
    "vc1": (0xFF, 0x0F),
    "vvc": (0x00, 0xFF),
}
_KEYFRAME_HEADERS = {"vp8": slice(3, 10), "vp9": slice(0, 12), "av1": slice(0, 20)}
_JPEG_SIZES = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")


def picture_header(codec: str, packet: memoryview) -> bytes:
    """Return the bytes of a keyframe that change with its size or shape, if there are any."""
    if codec in _KEYFRAME_HEADERS:
        return bytes(packet[_KEYFRAME_HEADERS[codec]])
    head = bytes(packet[:_LOOK_BYTES])
    if codec == "mjpeg":
        place = next((at for mark in _JPEG_SIZES if (at := head.find(mark)) >= 0), -1)
        return head[place : place + 9] if place >= 0 else b""
    if codec not in _UNITS:
        return b""
    mask, value = _UNITS[codec]
    at = head.find(_START_CODE)
    while 0 <= at < len(head) - 3:
        if head[at + 3] & mask == value:
            end = head.find(_START_CODE, at + 3)
            return head[at : min(at + _PARAMETER_BYTES, end if end > 0 else len(head))]
        at = head.find(_START_CODE, at + 3)
    return b""


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
