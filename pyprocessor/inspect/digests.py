"""What are the digests of a file, or of the packets in it? Read by calls in processes of their own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

_PIECE_BYTES = 1 << 20


def of_file(source: str, algorithms: Sequence[str], listed: Mapping[str, str]) -> dict[str, Any]:
    """Return the digest of a file by each algorithm, and its bytes.

    `listed` names files to write, by algorithm: a line as sha256sum and its like write and check it.
    """
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    size = 0
    with open(source, "rb", buffering=0) as file:
        while piece := file.read(_PIECE_BYTES):
            size += len(piece)
            for digest in digests.values():
                digest.update(piece)
    found = {name: digest.hexdigest() for name, digest in digests.items()}
    for name, path in listed.items():
        with open(path, "wb") as written:
            written.write(line(found[name], os.path.basename(os.fsencode(source))))
    return {"digests": found, "bytes": size}


def line(digest: str, name: bytes) -> bytes:
    """The line of sha256sum for a file of this name."""
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != name else b"") + digest.encode("ascii") + b"  " + escaped + b"\n"


def of_packets(source: str, algorithms: Sequence[str]) -> dict[str, Any]:
    """Return digests of what the packets of a media file hold, of each stream in its order and then of all of these.

    Neither times nor the container count: they are the same where a file was only packed into another one.
    """
    import av

    from pyprocessor.errors import FailureKind, JobError
    from pyprocessor.inspect.reader import is_away, open_unknown
    from pyprocessor.inspect.reader import kind_of as kind_of_stream

    path = os.fsencode(source)
    try:
        with open(path, "rb", buffering=0) as file:
            container = open_unknown(path, file, os.fstat(file.fileno()).st_size, deep=False).container
        with closing(container):
            streams = {stream.index: stream for stream in container.streams}
            digests = {index: [hashlib.new(name, usedforsecurity=False) for name in algorithms] for index in streams}
            packets, sizes = dict.fromkeys(streams, 0), dict.fromkeys(streams, 0)
            for packet in container.demux():
                if packet.size:
                    packets[packet.stream_index] += 1
                    sizes[packet.stream_index] += packet.size
                    for digest in digests[packet.stream_index]:
                        digest.update(packet)
            described = [
                {
                    "index": index,
                    "kind": kind_of_stream(stream).value,
                    "packets": packets[index],
                    "bytes": sizes[index],
                    "digests": dict(zip(algorithms, (each.hexdigest() for each in digests[index]), strict=True)),
                }
                for index, stream in streams.items()
            ]
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        kind = FailureKind.UNAVAILABLE if is_away(path) else FailureKind.BAD_INPUT
        raise JobError(kind, f"Its packets cannot be read to the end: {error.strerror}.") from error
    whole = {
        name: hashlib.new(
            name, b"".join(digests[index][place].digest() for index in streams), usedforsecurity=False
        ).hexdigest()
        for place, name in enumerate(algorithms)
    }
    return {"digests": whole, "bytes": sum(sizes.values()), "streams": described}
