"""What do a file's packets say, read in one pass, and its pictures and sound where some are decoded?"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av

from pyprocessor.containers.tags import picture_has_location
from pyprocessor.inspect.clock import JUMPING
from pyprocessor.inspect.film import DTS_ONLY, FilmSampler
from pyprocessor.inspect.packets import PacketCounts, packet_facts
from pyprocessor.inspect.reader import Container, Packet, context_of, is_attached, kind_of
from pyprocessor.inspect.sound import SoundSampler
from pyprocessor.inspect.subtitles import SubtitleText
from pyprocessor.inspect.timeline import MOST_PACKETS, Ticks, Timeline, timeline
from pyprocessor.models import AudioInfo

FIRST_PICTURE_BYTES, FIRST_PICTURE_PACKETS = 64_000_000, 3000
"""How far to look for the first pictures, all streams counted; long-GOP television stays far below both."""
MAX_FILMS = 8
"""Film streams that are looked at."""
_CHECK_CLOCK_PACKETS = 512
"""After so many packets each it is checked whether the time is over."""
_VP8_SHOWN = 0x10
_NEVER_SHOWN: dict[str, Callable[[Packet], bool]] = {
    "vp8": lambda packet: not memoryview(packet)[0] & _VP8_SHOWN,
    "mov_text": lambda packet: not any(memoryview(packet)[:2]),
}
"""By codec, which packets show nothing: pictures that others only refer to, and the pauses between subtitles of MP4."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a file found, by stream index; `timeline` is of all that was read."""

    timeline: Timeline
    films: dict[int, FilmSampler] = field(default_factory=dict)
    sounds: dict[int, list[AudioInfo]] = field(default_factory=dict)
    """Channels and sample rate of sound, each time they change."""
    located: Collection[int] = ()
    """Covers whose metadata states where they were taken."""
    texts: dict[int, list[bytes]] = field(default_factory=dict)
    """The lines of text subtitles as they lie in the file, up to a limit."""


def survey(
    container: Container,
    *,
    size_bytes: int,
    whole: bool,
    limit_seconds: float,
    used: Collection[int] | None = None,
    also: Callable[[Packet], object] = lambda packet: None,  # noqa: ARG005 - the default looks at nothing
) -> Survey:
    """Read all packets, or, where not `whole`, only up to the first picture of each film.

    It takes at most `limit_seconds`; `used` are the streams that ffmpeg will read (None: all); `also` is called with
    each packet.
    """
    streams = [stream for stream in container.streams.video if not is_attached(stream)][:MAX_FILMS]
    films = {stream.index: FilmSampler(stream, size_bytes, whole=whole) for stream in streams}
    counts = PacketCounts(streams)
    sounds = {stream.index: SoundSampler(stream) for stream in container.streams.audio} if whole else {}
    texts = SubtitleText(container) if whole else None
    covers = {stream.index for stream in container.streams.video if is_attached(stream)}
    located: set[int] = set()

    def look(packet: Packet) -> bool:
        index = packet.stream_index
        counts.take(packet)
        also(packet)
        if index in covers and picture_has_location(bytes(packet)):
            located.add(index)
        for sampler in (films.get(index), sounds.get(index), texts):
            if sampler is not None:
                sampler.take(packet)
        settled = all(film.settled for film in films.values())
        if not settled and (counts.packets > FIRST_PICTURE_PACKETS or counts.bytes >= FIRST_PICTURE_BYTES):
            for film in films.values():
                film.give_up()
        return whole or not settled

    times = read_packets(container, limit_seconds=limit_seconds, used=used, look=look)
    for stream in streams:
        facts = packet_facts(container, stream, counts, read_whole=times.whole)
        films[stream.index].finish(times.corrections.get(stream.index), facts)
    samples = {index: sound.samples for index, sound in sounds.items()}
    return Survey(times, films, samples, located, texts.lines if texts is not None else {})


def read_packets(
    container: Container,
    *,
    limit_seconds: float,
    used: Collection[int] | None = None,
    look: Callable[[Packet], object] = lambda packet: None,  # noqa: ARG005 - the default looks at nothing
) -> Timeline:
    """Return the timeline of the rest of `container`, read for at most `limit_seconds`.

    `look` is called with each packet; where it returns False, the reading ends.
    """
    ticks: dict[int, Ticks] = {}
    never = {s.index: test for s in container.streams if (c := context_of(s)) and (test := _NEVER_SHOWN.get(c.name))}
    order = array("I") if container.format.name in JUMPING else None
    dts_only = container.format.name in DTS_ONLY
    deadline = time.monotonic() + limit_seconds
    complete, damage, listed_bytes, unlisted = True, None, 0, False

    def packets() -> Iterator[Packet]:
        nonlocal unlisted
        try:
            yield from container.demux()
        except IndexError:  # of a stream that began after the file was opened, which PyAV cannot give
            unlisted = True
            yield from container.demux()

    try:
        for number, packet in enumerate(packets()):
            index = packet.stream_index
            go_on = look(packet) is not False
            is_shown = packet.size and not packet.is_discard and not (index in never and never[index](packet))
            if index not in ticks and (is_shown or (packet.size and packet.is_keyframe)):
                ticks[index] = Ticks(kind_of(packet.stream), packet.time_base or Fraction(1, 1_000_000))
            if is_shown:
                shown = packet.dts if dts_only else packet.pts
                ticks[index].add(shown, packet.dts, packet.duration, is_key=packet.is_keyframe)
                if order is not None:
                    order.append(index)
            elif packet.size and packet.is_keyframe:
                ticks[index].begins_with_key()
            listed_bytes = max(listed_bytes, packet.pos or 0)
            late = number >= MOST_PACKETS or (number % _CHECK_CLOCK_PACKETS == 0 and time.monotonic() > deadline)
            if late or not go_on:
                complete = False
                break
    except MemoryError:  # PyAV's is an FFmpegError as well
        raise
    except av.error.FFmpegError as error:
        damage = error.strerror
    by_decoding = container.format.name.startswith("mov,")
    found = timeline(ticks, order, ticks if used is None else used, by_decoding=by_decoding)
    return replace(found, whole=complete, damage=damage, unlisted=unlisted, listed_bytes=listed_bytes)
