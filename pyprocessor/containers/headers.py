"""Which bytes of a packet state its pictures' size or its sound's channels? Compared with the last's, not parsed."""

from __future__ import annotations

# The unit that holds size and shape of the pictures, after a start code: (mask, value) of its first byte.
_UNITS = {
    "h264": (0x1F, 7),
    "hevc": (0x7E, 33 << 1),
    "mpeg1video": (0xFF, 0xB3),
    "mpeg2video": (0xFF, 0xB3),
    "mpeg4": (0xF0, 0x20),
    "vc1": (0xFF, 0x0F),
}
_KEYFRAME_HEADERS = {"vp8": slice(3, 10), "vp9": slice(0, 12), "av1": slice(0, 20)}


def picture_header(codec: str, packet: memoryview) -> bytes:
    """Return the bytes of a keyframe that change with its size or shape, if there are any."""
    if codec in _KEYFRAME_HEADERS:
        return bytes(packet[_KEYFRAME_HEADERS[codec]])
    head = bytes(packet[:512])
    if codec == "mjpeg":
        sizes = (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2")
        return next((head[at : at + 9] for mark in sizes if (at := head.find(mark)) >= 0), b"")
    mask, value = _UNITS.get(codec, (0, 1))
    units = head.split(b"\0\0\1")[1:]
    return next((unit[:29] for unit in units if unit and unit[0] & mask == value), b"")


def sound_header(codec: str, packet: memoryview) -> bytes:
    """Return the bits of a sound packet that change with channels or sample rate, if there are any."""
    match codec if len(packet) >= 9 else "":
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
