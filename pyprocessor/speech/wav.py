"""How is raw sound written as a WAV file, with where it stands in the recording that it comes from?

A WAV of ours has a `bext` chunk (EBU Tech 3285), whose time reference is where its first sample stands in the source.
"""

from __future__ import annotations

import struct

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.speech.cutting import RATE, SAMPLE_BYTES, Piece

ORIGINATOR = b"pyprocessor"
"""Time references of other programs mean other things, such as the time of day."""
_MOST_BYTES = 0xFFFF_FFFF - 4096
_BEXT = struct.Struct("<256s32s32s10s8sQH254s")
"""Description, originator, its reference, date, time, time reference, version, and what is left out."""
_FORMAT = struct.Struct("<HHIIHH")
_CHUNK = struct.Struct("<4sI")
_COPIED_BYTES = 1 << 20


def write_wav(raw: bytes, piece: Piece, path: bytes, *, stands_at: int = 0) -> None:
    """Write a piece of the raw sound at `raw` as the WAV file `path`.

    `stands_at` is the sample of the source that the first one is. Raises OSError, and JobError where it is too long.
    """
    size = (piece.end - piece.begin) * SAMPLE_BYTES
    if size > _MOST_BYTES:
        raise JobError(FailureKind.UNSUPPORTED, "The sound is longer than a WAV file can hold, which is some 37 hours.")
    bext = _BEXT.pack(b"", ORIGINATOR, b"", b"", b"", stands_at, 1, b"")
    form = _FORMAT.pack(1, 1, RATE, RATE * SAMPLE_BYTES, SAMPLE_BYTES, 8 * SAMPLE_BYTES)
    head = b"WAVE" + _CHUNK.pack(b"bext", len(bext)) + bext + _CHUNK.pack(b"fmt ", len(form)) + form
    with open(raw, "rb") as source, open(path, "wb") as made:
        made.write(_CHUNK.pack(b"RIFF", len(head) + _CHUNK.size + size) + head + _CHUNK.pack(b"data", size))
        source.seek(piece.begin * SAMPLE_BYTES)
        while size and (data := source.read(min(size, _COPIED_BYTES))):
            made.write(data)
            size -= len(data)


def stands_at(path: bytes) -> float:
    """Return where a WAV file of ours begins in its source, in seconds; 0 of any other file. Raises OSError."""
    with open(path, "rb") as file:
        head, chunk, bext = file.read(12), file.read(_CHUNK.size), file.read(_BEXT.size)
    is_wave = head[:4] + head[8:] == b"RIFFWAVE"
    if not is_wave or chunk != _CHUNK.pack(b"bext", _BEXT.size) or len(bext) < _BEXT.size:
        return 0.0
    _, originator, _, _, _, reference, _, _ = _BEXT.unpack(bext)
    return reference / RATE if originator.rstrip(b"\0") == ORIGINATOR else 0.0
