"""What do the packets of a chunk of a file hold? Read, or decoded, by calls in processes of their own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import av

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.inspect.film import DTS_ONLY
from pyprocessor.inspect.reader import Container, Packet, is_attached, is_away, open_again
from pyprocessor.models import MediaInfo, StreamKind

SEEK_BACK_SECONDS = 2.0
"""How far before a chunk reading begins: where a demuxer lands is not exact, and sound may lie before its pictures."""
_BEYOND_SECONDS = 10.0
"""How far sound may lie behind the pictures that it belongs to."""
_INFINITY = float("inf")


def checksum(source: str, opened: dict[str, Any], chunk: dict[str, Any]) -> dict[str, Any]:
    """Return the SHA-256 of the film and sound of a chunk: of each stream's times and packets, then of all these."""
    digests: dict[int, Any] = {}
    packets, size = 0, 0
    with closing(_open(source, opened)) as container:
        for packet in _of_chunk(container, chunk):
            own = digests.setdefault(packet.stream_index, hashlib.sha256())
            own.update(f"{packet.pts},{packet.size};".encode())
            own.update(bytes(packet))
            packets += packet.stream_index == chunk["stream"]
            size += packet.size
    _check(packets, chunk["packets"], "packets")
    whole = hashlib.sha256(b"".join(b"%d:" % index + digests[index].digest() for index in sorted(digests)))
    return {"digest": whole.hexdigest(), "packets": packets, "bytes": size}


def decode(source: str, opened: dict[str, Any], chunk: dict[str, Any], threads: int) -> dict[str, Any]:
    """Decode every picture of a chunk (where there is none: its sound) and return how many there are."""
    low, high = _bounds(chunk)
    decoded, complaints = 0, 0
    with closing(_open(source, opened)) as container:
        stream = container.streams[chunk["stream"]]
        context = stream.codec_context
        if context is None:
            raise JobError(FailureKind.UNSUPPORTED, "Its video is in a codec for which there is no decoder.")
        context.thread_type, context.thread_count = "AUTO", threads
        unit = float(stream.time_base or 0)
        for packet in (*_up_to(container, chunk, stream.index), None):
            try:
                frames = context.decode(packet)
            except MemoryError:
                raise
            except av.error.FFmpegError:
                complaints += 1
                continue
            shown = (frame.pts if frame.pts is not None else frame.dts for frame in frames)
            decoded += sum(time is not None and low <= time * unit < high for time in shown)
    if not chunk["fields"]:
        _check(decoded, chunk["frames"], "pictures", at_least=True)
    return {"frames": decoded, "decode_errors": complaints}


def _open(source: str, opened: dict[str, Any]) -> Container:
    path = os.fsencode(source)
    media = MediaInfo(duration_seconds=None, duration_estimated=True, size_bytes=0, bit_rate=None, streams=(), **opened)
    try:
        return open_again(path, media)
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        kind = FailureKind.UNAVAILABLE if is_away(path) else FailureKind.BAD_INPUT
        raise JobError(kind, f"The source can no longer be read: {error.strerror}.") from error


def _bounds(chunk: dict[str, Any]) -> tuple[float, float]:
    low, high = chunk["low"], chunk["high"]
    return -_INFINITY if low is None else low, _INFINITY if high is None else high


def _time(packet: Packet, *, dts_only: bool) -> float | None:
    stamp = packet.dts if dts_only or packet.pts is None else packet.pts
    return None if stamp is None or packet.time_base is None else float(stamp * packet.time_base)


def _of_chunk(container: Container, chunk: dict[str, Any]) -> Iterator[Packet]:
    """Yield the packets of film and sound whose times lie in a chunk; what is before the first keyframe is none."""
    low, high = _bounds(chunk)
    dts_only = container.format.name in DTS_ONLY
    kinds = (StreamKind.VIDEO, StreamKind.AUDIO)
    covers = {film.index for film in container.streams.video if is_attached(film)}
    streams = [stream for stream in container.streams if stream.type in kinds and stream.index not in covers]
    ended: set[int] = set()
    begun = False
    for packet in _packets(container, chunk, streams):
        is_film = packet.stream_index == chunk["stream"]
        begun = begun or (is_film and packet.is_keyframe)
        time = _time(packet, dts_only=dts_only)
        if time is None or packet.is_discard or (is_film and not begun):
            continue
        if low <= time < high:
            yield packet
        elif time >= high + (_BEYOND_SECONDS if is_film else 0.0):
            ended.add(packet.stream_index)
            if is_film or len(ended) == len(streams):
                return


def _up_to(container: Container, chunk: dict[str, Any], stream: int) -> Iterator[Packet]:
    """Yield the packets of one stream from a keyframe before a chunk to its end in decoding order."""
    _, high = _bounds(chunk)
    begun = False
    for packet in _packets(container, chunk, [container.streams[stream]]):
        if packet.dts is not None and packet.time_base and float(packet.dts * packet.time_base) >= high:
            return  # nothing is shown before it is decoded
        begun = begun or packet.is_keyframe
        if begun:
            yield packet


def _packets(container: Container, chunk: dict[str, Any], streams: list[Any]) -> Iterator[Packet]:
    if chunk["seek"] is not None:
        main = container.streams[chunk["stream"]]
        container.seek(int(chunk["seek"] / float(main.time_base or 1)), stream=main, backward=True)
    try:
        yield from (packet for packet in container.demux(streams) if packet.size)
    except MemoryError:
        raise
    except av.error.FFmpegError:
        return  # as when the index was made; what is missing beyond that is noticed by the number of packets


def _check(found: int, expected: int, what: str, *, at_least: bool = False) -> None:
    if found == expected or (at_least and found > expected):
        return
    text = f"Of {expected:,} {what} that the source holds there, {found:,} were found: it is damaged, or has changed."
    raise JobError(FailureKind.BAD_INPUT, text)
