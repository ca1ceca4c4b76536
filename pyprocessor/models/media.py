"""What are sources, and what does inspecting find in them?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class InputFolder:
    """A folder that sources lie in. `device` is the number of its file system, where that is known."""

    path: bytes
    device: int | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """One file or folder that a run reads; `path` is absolute."""

    path: bytes
    name: bytes
    """What its files' relative paths begin with: the end of `path`, or nothing for a folder that is the only input."""
    folder: InputFolder
    """The folder itself, or the one that the file lies in."""

    @property
    def is_file(self) -> bool:
        return self.folder.path != self.path


@dataclass(frozen=True, slots=True)
class Source:
    """A file found by the scanner; its absolute path ends in `relative`: the input's name and the rest."""

    path: bytes
    relative: bytes
    size_bytes: int
    mtime_ns: int

    @property
    def root(self) -> bytes:
        """What `relative` is below: the only input, or a folder above one of several."""
        above = self.path.removesuffix(self.relative)
        return (above if above != self.path else os.path.dirname(self.path)).rstrip(b"/") or b"/"


class StreamKind(StrEnum):
    VIDEO = "video"
    AUDIO = "audio"
    SUBTITLE = "subtitle"
    DATA = "data"
    ATTACHMENT = "attachment"


class HdrKind(StrEnum):
    """How a video stream codes high dynamic range."""

    SDR = "sdr"
    HDR10 = "hdr10"
    HDR10_PLUS = "hdr10+"
    HLG = "hlg"
    DOLBY_VISION = "dolby_vision"


@dataclass(frozen=True, slots=True)
class Colour:
    """Colours in ffmpeg's names (`bt709`, `smpte2084`, ...); None where the stream does not state them."""

    primaries: str | None = None
    transfer: str | None = None
    matrix: str | None = None
    range: str | None = None
    reserved: tuple[str, ...] = ()
    """Which of `primaries`, `transfer` and `matrix` have a reserved value in the stream: they are None here."""


@dataclass(frozen=True, slots=True)
class PictureShape:
    """The size of a film's pictures, and the shape of a pixel, from `at` seconds after the file's start."""

    at: float
    width: int
    height: int
    aspect: Fraction


@dataclass(frozen=True, slots=True)
class PacketFacts:
    """Counts and sizes of coded pictures, from an index or the file's start; two fields may count as two."""

    pictures: int
    bytes: int
    keyframes: int
    """Those of the pictures that are decoded without any other."""
    keyframe_bytes: int
    seconds: float
    """From the first picture's time to the last one's; 0 where their times are unknown."""
    share_of_bytes: float | None = None
    """The film's share of the bytes that were read; None where these are all pictures of the film."""

    @property
    def rate(self) -> float | None:
        """Pictures a second."""
        return (self.pictures - 1) / self.seconds if self.seconds > 0 and self.pictures > 1 else None


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is special to a video stream."""

    width: int
    height: int
    pixel_format: str | None = None
    bit_depth: int = 8
    frame_rate: Fraction | None = None
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int = 0
    """What turns decoded pictures upright, in degrees clockwise."""
    colour: Colour = Colour()
    hdr: HdrKind = HdrKind.SDR
    mastering_display: str | None = None
    """In x265's notation, `G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`."""
    content_light: tuple[int, int] | None = None
    """MaxCLL and MaxFALL, cd/m2."""
    interlaced: bool = False
    """Whether any picture that was looked at holds two fields."""
    variable_frame_rate: bool = False
    """Whether pictures are not all equally far apart: by its packets, where all were read."""
    clock_rate: Fraction | None = None
    """The constant rate on whose clock every picture lies; None: there is none, or not all packets were read."""
    shapes: tuple[PictureShape, ...] = ()
    """The sizes of its pictures over time, where they change; `width` and so on are then of those that last longest."""
    attached_picture: bool = False
    alpha: bool = False
    """Whether its pictures have transparent parts, also where its decoder leaves them out."""
    spherical: str | None = None
    """How the pictures of a 360 degree film are laid out: `equirectangular`, `cubemap`, ..."""
    stereo: str | None = None
    """How the two pictures of a stereo film lie in one: `side by side`, `top and bottom, right eye first`, ..."""
    captions: bool = False
    """Whether closed captions (EIA-608, CEA-708) were seen in its pictures."""
    packets: PacketFacts | None = None
    in_decoding_order: bool = False
    """Whether its packets have a DTS only, though its pictures are shown in another order."""

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """`channels` and `layout` are the widest there are; `varies` says that they change midway."""

    sample_rate: int
    channels: int
    layout: str | None = None
    varies: bool = False
    jitter_seconds: float = 0.0
    """How far packets are at most from where their neighbours show that they should be; 0: nothing, or not known."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream as the container lists it; `frames` is exact or None, and 0 for sound without packets."""

    index: int
    kind: StreamKind
    codec: str | None
    decoder: str | None = None
    """The decoder to name to ffmpeg, where its own choice fails."""
    start_seconds: float = 0.0
    """After the file's first packet."""
    duration_seconds: float | None = None
    frames: int | None = None
    bit_rate: int | None = None
    language: str | None = None
    title: str | None = None
    dispositions: tuple[str, ...] = ()
    goes_on_elsewhere: bool = False
    """Whether it ends in the midst of the file, and another stream of the same kind begins there."""
    charset: str | None = None
    """Of the text of subtitles that are not UTF-8, as iconv calls it."""
    charset_sure: bool = True
    """False where no charset explains the text, or (`charset` is None) only some lines are not UTF-8."""
    has_location: bool = False
    """Whether the text of subtitles, or a cover's own metadata, states where it was recorded."""
    chapter_titles: bool = False
    """Whether it is nothing but the chapters of the file, which MP4 keeps as a track of text."""
    video: VideoInfo | None = None
    audio: AudioInfo | None = None

    @property
    def is_film(self) -> bool:
        """Whether it has pictures and is no cover."""
        return self.video is not None and not self.video.attached_picture


END_MISSING = "damaged: its end is missing"
BROKEN = "damaged: pictures or sound are missing or broken"
"""The kinds of loss that come from damage to the source."""


@dataclass(frozen=True, slots=True)
class MediaNote:
    """A sentence about something unusual in a file, or about what an output lacks of its source."""

    text: str
    loss: str = ""
    """Kind of loss, worded alike for all files so that they can be counted; empty: none."""

    @property
    def damage(self) -> bool:
        """Whether it reports damage to the source, which a profile may refuse."""
        return self.loss in (END_MISSING, BROKEN)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What inspecting found in a source. If that was cut off, durations and frames are of what is there."""

    container: str
    """The demuxer's name as PyAV gives it, for instance `mov,mp4,m4a,3gp,3g2,mj2`."""
    duration_seconds: float | None
    duration_estimated: bool
    """True where the container does not state the duration and it was guessed from bit rate or size, or was cut off."""
    size_bytes: int
    bit_rate: int | None
    streams: tuple[StreamInfo, ...]
    chapters: int = 0
    notes: tuple[MediaNote, ...] = ()
    timeline: str | None = None
    """When its packets are, in the form of `inspect.timeline.compact`; None: too long for that, or not read whole."""
    jump_seconds: float | None = None
    """The step of the container's clock from which ffmpeg is to correct a jump, where its own limit is wrong."""
    forward: bool = False
    """Whether demuxers open it only where they cannot look ahead: it ends inside the header of a fragment."""
    deep: bool = False
    """Whether more than usual has to be read of it at first, as its streams can be identified only late."""
    skipped_bytes: int = 0
    """What lies in front of the container; above 0, a demuxer has to be named and gets the place to begin at."""
    tags: tuple[tuple[str, str], ...] = ()
    """Tags of the file as a whole that state where, when and with what it was recorded: key and value."""
    place_tags: tuple[tuple[str, str], ...] = ()
    """Those that state the place: owner (empty: the file; `s:1` a stream, `c:0` a chapter) and key (empty: unnamed)."""
    missing_bytes: int = 0
    """How far the container's own structure reaches beyond the end of the file: above 0, it was cut off."""

    @property
    def demuxer(self) -> str:
        """The demuxer's shortest name, for instance `mov`."""
        return self.container.partition(",")[0]

    @property
    def video(self) -> StreamInfo | None:
        """The first video stream that is a film and not an attached picture."""
        return next(iter(self.films), None)

    @property
    def films(self) -> tuple[StreamInfo, ...]:
        return tuple(s for s in self.streams if s.is_film)

    @property
    def playing_seconds(self) -> float | None:
        """How long film and sound last where each says so, or else what the container declares for all."""
        tracks = (self.video, *self.audio) if self.video is not None else self.audio
        stated = [track.duration_seconds for track in tracks if track.duration_seconds is not None]
        return max(stated) if stated and len(stated) == len(tracks) else self.duration_seconds

    @property
    def audio(self) -> tuple[StreamInfo, ...]:
        return tuple(s for s in self.streams if s.kind is StreamKind.AUDIO)
