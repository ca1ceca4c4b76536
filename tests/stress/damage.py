"""Ways to damage a clip; each takes its bytes, another clip's and a source of chance, and is otherwise pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

Damage = Callable[[bytes, bytes, random.Random], bytes]


def truncated(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """Its end is missing."""
    return clip[: chance.randrange(1, len(clip))]


def beheaded(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """Its start is missing."""
    return clip[chance.randrange(1, len(clip)) :]


def header_only(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """Little more than what says which container it is."""
    return clip[: chance.choice((4, 8, 12, 16, 32, 48, 64, 128, 256, 512, 1024))]


def bits_flipped(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """One to a few thousand bits are wrong, anywhere."""
    damaged = bytearray(clip)
    for _ in range(chance.choice((1, 3, 10, 30, 100, 1000, 3000))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def head_flipped(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """A few bits are wrong where the container describes itself."""
    damaged = bytearray(clip)
    reach = min(len(damaged), chance.choice((64, 512, 2048)))
    for _ in range(chance.choice((1, 2, 5, 20))):
        damaged[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def zeroed(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """A range holds zeros, as after a crash of the machine that wrote it."""
    start = chance.randrange(len(clip))
    length = min(len(clip) - start, chance.choice((16, 512, 4096, len(clip) // 4)))
    return clip[:start] + bytes(length) + clip[start + length :]


def spliced(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """It begins as this clip and goes on as another, in another container."""
    return clip[: chance.randrange(1, len(clip))] + other[chance.randrange(len(other)) :]


def noise_within(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """Bytes of chance stand between two halves, so that every offset after them is wrong."""
    at = chance.randrange(len(clip))
    return clip[:at] + chance.randbytes(chance.choice((1, 7, 188, 4096))) + clip[at:]


def ranges_swapped(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """Two ranges have changed places."""
    first, second, third, fourth = sorted(chance.randrange(len(clip)) for _ in range(4))
    return clip[:first] + clip[third:fourth] + clip[second:third] + clip[first:second] + clip[fourth:]


def atoms_swapped(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """The top level boxes of an MP4 or MOV are in another order; ranges of any other container are."""
    boxes = _boxes(clip)
    if len(boxes) < 2:
        return ranges_swapped(clip, other, chance)
    chance.shuffle(boxes)
    return b"".join(boxes)


def sizes_overwritten(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """Four bytes here and there, where sizes and counts tend to stand, claim the most or the oddest there is."""
    damaged = bytearray(clip)
    claims = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\0\0\1", b"\x10\0\0\0")
    for _ in range(chance.choice((1, 2, 4))):
        at = chance.randrange(min(len(damaged), 4096)) & ~3
        damaged[at : at + 4] = chance.choice(claims)
    return bytes(damaged)


def untouched(clip: bytes, other: bytes, chance: random.Random) -> bytes:
    """Nothing but its name will be wrong."""
    return clip


DAMAGES: Mapping[str, Damage] = {
    "truncation": truncated,
    "lost start": beheaded,
    "header only": header_only,
    "bit flips": bits_flipped,
    "bit flips in the head": head_flipped,
    "zeroed range": zeroed,
    "splice": spliced,
    "noise within": noise_within,
    "swapped ranges": ranges_swapped,
    "swapped atoms": atoms_swapped,
    "false sizes": sizes_overwritten,
    "wrong extension": untouched,
}


def _boxes(clip: bytes) -> list[bytes]:
    """The top level boxes of an MP4, or one piece where it is none."""
    boxes, at = [], 0
    while at + 8 <= len(clip):
        size = int.from_bytes(clip[at : at + 4], "big")
        if size < 8 or at + size > len(clip) or not clip[at + 4 : at + 8].isalnum():
            return [clip]
        boxes.append(clip[at : at + size])
        at += size
    return boxes
