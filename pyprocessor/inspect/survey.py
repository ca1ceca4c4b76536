"""What all of a file's packets state, and what its pictures and sound are where they were decoded.

One pass over the packets. Of each film the first picture is decoded, then keyframes: where the parameters that stand
before them change, and at places spread evenly over the file. Of sound a packet is decoded where its header changes.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import av.error

from pyprocessor.containers.headers import picture_header, sound_header
from pyprocessor.containers.tags import picture_has_location
from pyprocessor.inspect.captions import CODECS as CAPTIONED
from pyprocessor.inspect.captions import captions_in, has_captions
from pyprocessor.inspect.clock import JUMPING
from pyprocessor.inspect.first_picture import (
    FIRST_PICTURE_BYTES,
    FIRST_PICTURE_PACKETS,
    FirstPicture,
    FirstPictureSearch,
    context_of,
)
from pyprocessor.inspect.packets import FilmPackets, packet_facts
from pyprocessor.inspect.sound import channels_of
from pyprocessor.inspect.subtitles import SubtitleText
from pyprocessor.inspect.timeline import MOST_PACKETS, Ticks, Timeline, timeline
from pyprocessor.models import PacketFacts, StreamKind

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream

SAMPLES = 16
"""Places spread over a file at which a keyframe is decoded, where a codec may change between fields and pictures."""
MOST_DECODED = 96
"""Keyframes, and as many packets of sound, that are decoded of one stream, however often its parameters change."""
MAX_FILMS = 8
"""Film streams that are looked at."""
SHOWS_NO_TIMES = frozenset(("avi",))
"""Demuxers whose packets say only when they are decoded; libavformat guesses when they are shown, ffmpeg does not."""
_MAY_SHOW_NO_TIMES = frozenset(("mxf",))
"""Demuxers that give the time of decoding for both, where an index lacks the other."""
_FIELD_CODECS = frozenset(("h264", "mpeg2video", "vc1", "wmv3", "hevc", "dvvideo", "dnxhd", "prores", "mjpeg", "ffv1"))
_CHECK_CLOCK_EVERY = 512
"""Packets."""
_VP8_SHOWN = 0x10
_MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class PictureSample:
    """A decoded picture: the time of its packet, mended, in seconds; its size in pixels, their shape, and whether it
    holds two fields."""

    at: float
    width: int
    height: int
    aspect: Fraction | None
    interlaced: bool


@dataclass(frozen=True, slots=True)
class SoundSample:
    """Channels and sample rate of a sound track from one of its packets on."""

    layout: str
    channels: int
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a file found, by stream index. `timeline` is of all that was read."""

    timeline: Timeline
    first: dict[int, FirstPicture]
    pictures: dict[int, tuple[PictureSample, ...]]
    sounds: dict[int, tuple[SoundSample, ...]]
    captioned: frozenset[int] = frozenset()
    """Films that have closed captions in their pictures."""
    located: frozenset[int] = frozenset()
    """Covers whose metadata states where they were taken."""
    texts: dict[int, tuple[bytes, ...]] = field(default_factory=dict)
    """The lines of subtitles that are text, as they lie in the file; where they are very many, the first."""
    packets: dict[int, PacketFacts | None] = field(default_factory=dict)
    """How many pictures films have and how large they are."""
    in_decoding_order: frozenset[int] = frozenset()
    """Films whose packets say only when they are decoded, though their pictures are shown in another order."""


def survey(
    container: InputContainer,
    *,
    size_bytes: int,
    whole: bool,
    limit_seconds: float,
    used: Collection[int] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Survey:
    """Read packets from where `container` stands: to its end, for at most `limit_seconds`, or only until each film has
    shown its first picture where not `whole`. `used` are the streams that ffmpeg will read (None: all)."""
    streams = [stream for stream in container.streams.video if not is_attached(stream)][:MAX_FILMS]
    films = {stream.index: _FilmSampler(stream, size_bytes, samples=whole) for stream in streams}
    counts = {stream.index: FilmPackets(stream) for stream in streams}
    sounds = {stream.index: _SoundSampler(stream) for stream in container.streams.audio} if whole else {}
    texts = SubtitleText(container) if whole else None
    covers = {stream.index for stream in container.streams.video if is_attached(stream)}
    located: set[int] = set()

    def look(packet: av.Packet[Stream]) -> bool:
        index = packet.stream_index
        for count in counts.values():
            count.take(packet)
        if texts is not None:
            texts.take(packet)
        if index in covers and picture_has_location(bytes(packet)):
            located.add(index)
        if index in films:
            films[index].take(packet)
        if index in sounds and packet.size:
            sounds[index].take(packet)
        return whole or not all(film.search.settled for film in films.values())

    def too_late() -> None:
        for film in films.values():
            film.search.give_up()

    times = read_packets(container, limit_seconds=limit_seconds, used=used, look=look, too_late=too_late, clock=clock)
    return Survey(
        times,
        {index: film.search.result() for index, film in films.items()},
        {index: film.mended(times.moved.get(index)) for index, film in films.items() if film.samples},
        {index: tuple(sound.samples) for index, sound in sounds.items() if sound.samples},
        frozenset(index for index, film in films.items() if film.captions),
        frozenset(located),
        {index: tuple(lines) for index, lines in texts.lines.items()} if texts is not None else {},
        {stream.index: packet_facts(container, stream, counts, read_whole=times.whole) for stream in streams},
        frozenset(index for index, film in films.items() if whole and film.in_decoding_order(container.format.name)),
    )


def read_packets(
    container: InputContainer,
    *,
    limit_seconds: float,
    used: Collection[int] | None = None,
    look: Callable[[av.Packet[Stream]], bool] = lambda packet: True,  # noqa: ARG005 - the default looks at nothing
    too_late: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Timeline:
    """The timeline of the packets from where `container` stands to its end, read for at most `limit_seconds`.

    Each packet is shown to `look`, which returns False to end the reading; `too_late` is called once, when so much was
    read that a first picture is no longer looked for.
    """
    ticks: dict[int, Ticks] = {}
    never = {s.index: test for s in container.streams if (c := context_of(s)) and (test := _NEVER_SHOWN.get(c.name))}
    order = array("I") if container.format.name in JUMPING else None
    by_decoding_alone = container.format.name in SHOWS_NO_TIMES
    deadline = clock() + limit_seconds
    complete, damage, bytes_read, listed_bytes, searching = True, None, 0, 0, True
    packets = _Demuxed(container)
    try:
        for number, packet in enumerate(packets):
            index = packet.stream_index
            go_on = look(packet)
            if packet.size and not packet.is_discard and not (index in never and never[index](packet)):
                if index not in ticks:
                    ticks[index] = _new_ticks(packet)
                shown = packet.dts if by_decoding_alone else packet.pts
                ticks[index].add(shown, packet.dts, packet.duration, is_key=packet.is_keyframe)
                if order is not None:
                    order.append(index)
            elif packet.size and packet.is_keyframe:
                ticks.setdefault(index, _new_ticks(packet)).begins_with_key()
            bytes_read += packet.size
            listed_bytes = max(listed_bytes, packet.pos or 0)
            if searching and (number >= FIRST_PICTURE_PACKETS or bytes_read >= FIRST_PICTURE_BYTES):
                searching = False
                too_late()
            late = number >= MOST_PACKETS or (number % _CHECK_CLOCK_EVERY == 0 and clock() > deadline)
            if late or not go_on:
                complete = False
                break
    except MemoryError:  # PyAV's is an FFmpegError as well
        raise
    except av.error.FFmpegError as error:
        damage = error.strerror
    found = timeline(
        ticks, order, ticks if used is None else used, by_decoding=container.format.name.startswith("mov,")
    )
    return replace(found, whole=complete, damage=damage, unlisted=packets.unlisted, listed_bytes=listed_bytes)


class _Demuxed:
    """The packets of a container. `unlisted` turns True where there are some of streams that began after it was opened,
    which PyAV cannot give."""

    def __init__(self, container: InputContainer) -> None:
        self._container = container
        self.unlisted = False

    def __iter__(self) -> Iterator[av.Packet[Stream]]:
        try:
            yield from self._container.demux()
        except IndexError:
            self.unlisted = True
            yield from self._container.demux()


def _new_ticks(packet: av.Packet[Stream]) -> Ticks:
    return Ticks(kind_of(packet.stream), packet.time_base or _MICROSECOND)


_NEVER_SHOWN: dict[str, Callable[[av.Packet[Stream]], bool]] = {
    "vp8": lambda packet: not memoryview(packet)[0] & _VP8_SHOWN,
    "mov_text": lambda packet: not any(memoryview(packet)[:2]),
}
"""By codec, which packets show nothing: pictures that others only refer to, and the pauses between subtitles of MP4."""


def is_attached(stream: av.VideoStream) -> bool:
    """Whether a video stream is a picture beside a film: a cover, or thumbnails."""
    flags = stream.disposition
    return bool(flags & type(flags).attached_pic or flags & type(flags).timed_thumbnails)


def kind_of(stream: Stream) -> StreamKind:
    """The kind of a stream, with all that players make nothing of as data."""
    return {
        "video": StreamKind.VIDEO,
        "audio": StreamKind.AUDIO,
        "subtitle": StreamKind.SUBTITLE,
        "attachment": StreamKind.ATTACHMENT,
    }.get(stream.type, StreamKind.DATA)


class _FilmSampler:
    """Decodes the first picture of one film, and keyframes where they may look different."""

    def __init__(self, stream: av.VideoStream, size_bytes: int, *, samples: bool) -> None:
        self.search = FirstPictureSearch(stream)
        self.samples: list[PictureSample] = []
        self._places: list[int] = []
        self._seen = 0
        self._codec = stream.codec_context.codec.canonical_name if context_of(stream) is not None else ""
        self._wants = samples
        self._header = b""
        self._step = size_bytes // SAMPLES if self._codec in _FIELD_CODECS else size_bytes
        self._next_place = 0
        self._searching = not self.search.settled
        self.captions = False
        self._says_when_shown = False

    def in_decoding_order(self, container: str) -> bool:
        """Whether what was seen of it says only when it is decoded, though it is shown in another order."""
        context = self.search.context
        if context is None or not context.has_b_frames:
            return False
        return container in SHOWS_NO_TIMES or (container in _MAY_SHOW_NO_TIMES and not self._says_when_shown)

    def take(self, packet: av.Packet[Stream]) -> None:
        """Look at the next packet of the film."""
        self._seen += bool(packet.size and not packet.is_discard)
        self._says_when_shown = self._says_when_shown or packet.pts != packet.dts
        if not self.captions and self._codec in CAPTIONED and packet.size:
            self.captions = captions_in(memoryview(packet))
        if self._searching:
            if self._wants and packet.size and packet.is_keyframe and not self._header:
                self._header = self._header_of(packet)
                self._next_place = (packet.pos or 0) + self._step
            self.search.offer(packet)
            self._searching = not self.search.settled
            frame = None if self._searching else self.search.result().frame
            if frame is not None and self._wants:
                self._keep(packet, frame)
            return
        if not self._wants or not packet.size or not packet.is_keyframe or len(self.samples) >= MOST_DECODED:
            return
        header = self._header_of(packet)
        changed = bool(header) and header != self._header
        if changed or (packet.pos is not None and packet.pos >= self._next_place):
            self._header = header or self._header
            self._next_place = max(self._next_place, packet.pos or 0) + self._step
            frame = self._decoded(packet)
            if frame is not None:
                self._keep(packet, frame)

    def mended(self, moved: Sequence[float] | None) -> tuple[PictureSample, ...]:
        """The samples, with what was added to the time of each packet of the film added to theirs."""
        if moved is None:
            return tuple(self.samples)
        pairs = zip(self.samples, self._places, strict=True)
        return tuple(replace(sample, at=sample.at + moved[min(place, len(moved) - 1)]) for sample, place in pairs)

    def _header_of(self, packet: av.Packet[Stream]) -> bytes:
        return picture_header(self._codec, memoryview(packet))

    def _decoded(self, packet: av.Packet[Stream]) -> av.VideoFrame | None:
        """The picture of a keyframe by itself; None where it does not decode."""
        context = self.search.context
        if context is None:
            return None
        try:
            context.flush_buffers()
            frames = [*context.decode(packet), *context.decode(None)]
            context.flush_buffers()
        except MemoryError:
            raise
        except av.error.FFmpegError:
            return None
        return frames[0] if frames else None

    def _keep(self, packet: av.Packet[Stream], frame: av.VideoFrame) -> None:
        context = self.search.context
        assert context is not None
        self._places.append(max(0, self._seen - 1))
        self.captions = self.captions or has_captions(frame)
        self.samples.append(
            PictureSample(
                at=_time_of(packet),
                width=context.width,
                height=context.height,
                aspect=context.sample_aspect_ratio,
                interlaced=bool(frame.interlaced_frame),
            )
        )


class _SoundSampler:
    """Decodes packets of one sound track where their headers change."""

    def __init__(self, stream: av.AudioStream) -> None:
        context = context_of(stream)
        self._context = context if isinstance(context, av.AudioCodecContext) else None
        self._codec = context.codec.canonical_name if context is not None else ""
        self.samples: list[SoundSample] = []
        self._header: bytes | None = None
        self._decoded = 0

    def take(self, packet: av.Packet[Stream]) -> None:
        """Look at the next packet of the track."""
        if self._context is None or self._decoded >= MOST_DECODED:
            return
        header = sound_header(self._codec, memoryview(packet))
        if not header or header == self._header:
            return
        self._decoded += 1
        try:
            frames = self._context.decode(cast("av.Packet[av.AudioStream]", packet))
        except MemoryError:
            raise
        except av.error.FFmpegError:
            return
        layouts = [channels_of(frame.layout) for frame in frames]
        if not layouts:
            return
        self._header = header
        self.samples.append(SoundSample(*layouts[-1], frames[-1].sample_rate))


def _time_of(packet: av.Packet[Stream]) -> float:
    ticks = packet.pts if packet.pts is not None else packet.dts
    return float((ticks or 0) * (packet.time_base or 0))
