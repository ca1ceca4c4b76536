"""How are the pictures and the sound of a file decoded, and when is each of them shown or heard?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from typing import Any, TypeAlias, cast

import av

from pyprocessor.errors import FailureKind, InspectError
from pyprocessor.inspect.animation import WEBP
from pyprocessor.inspect.probe import SURVEY_SECONDS, probe
from pyprocessor.inspect.reader import Container, context_of, is_away, open_again
from pyprocessor.inspect.survey import read_packets
from pyprocessor.models import MediaInfo, StreamInfo

PathName: TypeAlias = "str | bytes | os.PathLike[str]"
Decoded: TypeAlias = "av.VideoFrame | av.AudioFrame"
_DISORDER_SECONDS = 1.0
"""Times that go back by more than this are those of a clock that was set anew."""
_USUAL_RATE = 25


class Clock:
    """Gives the frames of one stream times in seconds that never go back, also where the file has none for them."""

    def __init__(self, unit: Fraction, step: float) -> None:
        """Times count `unit` seconds; a picture of no stated duration lasts `step` seconds."""
        # Not read from each frame: fractions take long, and the last frames have none.
        self._ticks, self._per = unit.numerator, unit.denominator
        self._step = step
        self._shift = 0.0
        self._last: float | None = None
        self.end = 0.0
        """When the last frame ends."""

    def time(self, frame: Decoded) -> float:
        """Return when the next frame is shown or heard."""
        expected = self.end if self._last is not None else 0.0
        time = expected if frame.pts is None else frame.pts * self._ticks / self._per + self._shift
        if self._last is not None and time < self._last:
            if self._last - time > _DISORDER_SECONDS:
                self._shift += expected - time
                time = expected
            else:
                time = self._last
        if isinstance(frame, av.AudioFrame):
            length = frame.samples / (frame.sample_rate or 48_000)
        else:
            length = (frame.duration or 0) * self._ticks / self._per or self._step
        self._last, self.end = time, time + length
        return time


class Source:
    """A file opened for decoding its first film and, where asked for, its first sound."""

    failures = 0
    """How many packets did not decode whole so far, and 1 more where the file could not be read to its end."""

    def __init__(self, path: bytes, media: MediaInfo, container: Container, *, sound: bool, threads: int) -> None:
        self.media = media
        self._path = path
        self._container = container
        self._decoders: dict[int, Any] = {}
        """By the number of its stream."""
        if media.video is not None:
            self._decoders[media.video.index] = self._film_decoder(media.video.index, threads)
        if sound and media.audio and context_of(container.streams[media.audio[0].index]) is not None:
            self._decoders[media.audio[0].index] = context_of(container.streams[media.audio[0].index])

    def _film_decoder(self, index: int, threads: int) -> Any:
        decoder: Any = context_of(self._container.streams[index])
        if decoder is None:
            try:  # libavformat maps some tags of AV1 to no codec
                decoder = av.CodecContext.create("libdav1d", "r")
            except ValueError as error:
                text = "Its video is in a codec for which there is no decoder."
                raise InspectError(FailureKind.UNSUPPORTED, text) from error
        decoder.thread_type, decoder.thread_count = "AUTO", threads
        return decoder

    def film_clock(self) -> Clock:
        """A clock for the film; a new one is needed after `seek`."""
        film = self.media.video
        rate = film.video.frame_rate if film is not None and film.video is not None else None
        return Clock(self._unit(film), 1 / float(rate or _USUAL_RATE))

    def sound_clock(self) -> Clock:
        """A clock for the first sound."""
        return Clock(self._unit(next(iter(self.media.audio), None)), 0.0)

    def _unit(self, stream: StreamInfo | None) -> Fraction:
        return (self._container.streams[stream.index].time_base if stream is not None else None) or Fraction(1)

    def seek(self, time: float) -> bool:
        """Go to the last keyframe of the film at or before a time of the container; return False where it cannot."""
        assert self.media.video is not None
        stream = self._container.streams[self.media.video.index]
        try:
            self._container.seek(int(time / (stream.time_base or 1)), stream=stream, backward=True)
        except MemoryError:
            raise
        except av.error.FFmpegError:
            return False
        for decoder in self._decoders.values():
            decoder.flush_buffers()
        return True

    def frames(self, *, keyframes: bool = False) -> Iterator[Decoded]:
        """Yield what decodes from here on, each stream in its order. Raises InspectError where the file is away."""
        streams = [self._container.streams[index] for index in self._decoders]
        if keyframes:
            for decoder in self._decoders.values():
                decoder.skip_frame = "NONKEY"
        for packet in self._packets(streams):
            if packet.size and not (keyframes and not packet.is_keyframe):
                yield from self._decode(packet.stream_index, packet)
        for index in self._decoders:
            yield from self._decode(index, None)

    def _packets(self, streams: list[Any]) -> Iterator[Any]:
        while True:
            try:
                yield from self._container.demux(streams)
            except IndexError:  # of a stream that began after the file was opened, which PyAV cannot give
                continue
            except MemoryError:
                raise
            except av.error.FFmpegError as error:
                if is_away(self._path):
                    text = f"The file can no longer be read: {error.strerror}."
                    raise InspectError(FailureKind.UNAVAILABLE, text) from error
                self.failures += 1
            return

    def _decode(self, index: int, packet: Any) -> list[Decoded]:
        try:
            frames = cast("list[Decoded]", self._decoders[index].decode(packet))
        except MemoryError:
            raise
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self.failures += 1
            return []
        self.failures += sum(frame.is_corrupt for frame in frames)
        return frames


@contextmanager
def opened(name: PathName, *, sound: bool = False, threads: int = 0) -> Iterator[Source]:
    """Open a file; `threads` decode its film (0: as many as there are cores). Raises InspectError."""
    path = os.path.abspath(os.fsencode(name))
    try:
        media = probe(path, size_bytes=os.stat(path).st_size)
        if media.container == WEBP:
            text = "An animated WebP is not decoded here; convert it to a video first."
            raise InspectError(FailureKind.UNSUPPORTED, text)
        container = open_again(path, media)
    except FileNotFoundError as error:
        raise InspectError(FailureKind.UNAVAILABLE, "The file is not there.") from error
    except (av.error.FFmpegError, OSError) as error:
        kind = FailureKind.UNAVAILABLE if is_away(path) else FailureKind.BAD_INPUT
        raise InspectError(kind, f"The file cannot be read: {error.strerror}.") from error
    with closing(container):
        yield Source(path, media, container, sound=sound, threads=threads)


def film_seconds(path: bytes, media: MediaInfo) -> float:
    """Return how long the film lasts: as the container states, or else by all its packets. Raises InspectError."""
    stated = media.playing_seconds
    if stated and not media.duration_estimated:
        return stated
    assert media.video is not None
    with closing(open_again(path, media)) as container:
        track = read_packets(container, limit_seconds=SURVEY_SECONDS).tracks.get(media.video.index)
    if track is None or not track.seconds:
        text = "How long it lasts is not known, so pictures cannot be spread over it; ask for a rate."
        raise InspectError(FailureKind.UNSUPPORTED, text)
    return track.seconds
