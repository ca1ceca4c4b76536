"""One source to one output: video with its audio, subtitles and covers, or audio alone."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from pyprocessor.ffmpeg.invocation import Input, Invocation, MappedStream, Options, Output, muxer
from pyprocessor.inspect.contract import Contract, StreamPlan, same_frame_rate
from pyprocessor.models import CostFeatures, MediaInfo, Profile, Source, StreamInfo, StreamKind, VideoSettings
from pyprocessor.recipes.audio import audio_stream, output_channels, target_bit_rate
from pyprocessor.recipes.picture import Picture, picture

_FASTSTART = frozenset(("mp4", "mov", "m4a"))
_HEVC_ENCODERS = ("libx265", "hevc_", "libkvazaar")
_QUALITY_BY_CRF = frozenset(("libx264", "libx265", "libsvtav1", "libvpx-vp9", "libvpx", "libaom-av1"))
_COARSE_CLOCKS = ("matroska", "flv", "asf")
"""Containers that round time stamps to milliseconds: at a constant rate the encoder's own clock is truer."""
_LAST_PICTURE = (
    "setts=pts=PTS:dts=DTS:duration='if(gt(NEXT_DTS,DTS),DURATION+0*st(0,max(ld(0),PTS+DURATION)),"
    "max(DURATION,max(ld(0),PTS+DURATION)-STARTPTS+STARTDTS-DTS))'"
)
"""MP4 counts a track's length in decoding order, and the last packet there is not the last picture: where pictures last
unequally, the end of the track would be cut. So the last packet is made to last until the last picture ends.
"""
_MUXING_QUEUE_PACKETS = "4096"
"""Packets of one stream that wait for another's first: sparse subtitles overflow ffmpeg's 128."""
_STATISTICS_TAGS = (
    "BPS",
    "DURATION",
    "NUMBER_OF_FRAMES",
    "NUMBER_OF_BYTES",
    "_STATISTICS_TAGS",
    "_STATISTICS_WRITING_APP",
    "_STATISTICS_WRITING_DATE_UTC",
)
"""Matroska tags that describe the source's streams and would be a lie about the output's."""
_GUESSED_BITS_PER_PIXEL = 0.1
_GUESSED_RATE = Fraction(25)
_GUESSED_AUDIO_BIT_RATE = 128_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What ffmpeg is to do, and what the user is to know of it, as sentences."""

    invocation: Invocation
    notes: tuple[str, ...] = ()


def recipe(
    profile: Profile, media: MediaInfo, contract: Contract, source: Source, *, threads: int, output_name: str
) -> Recipe:
    """The ffmpeg that makes of `source` what `contract` promises, as `output_name` in its working directory."""
    by_index = {stream.index: stream for stream in media.streams}
    streams = []
    notes = list(contract.notes)
    input_options: list[tuple[str, str]] = []
    for plan in contract.kept:
        stream = by_index[plan.index]
        if stream.decoder is not None:
            input_options.append((f"c:{stream.index}", stream.decoder))
        mapped, told = _mapped(profile, media, contract, plan, stream)
        streams.append(mapped)
        notes += told
    return Recipe(
        Invocation(
            inputs=(Input(source.path, options=tuple(input_options)),),
            outputs=(
                Output(
                    output_name,
                    muxer(profile.container),
                    tuple(streams),
                    _output_options(profile, media),
                ),
            ),
            threads=threads,
        ),
        tuple(notes),
    )


def _mapped(
    profile: Profile, media: MediaInfo, contract: Contract, plan: StreamPlan, stream: StreamInfo
) -> tuple[MappedStream, tuple[str, ...]]:
    source = (0, stream.index)
    if plan.cover:
        return MappedStream(source, "v", "copy", options=(("disposition", "attached_pic"),)), ()
    if plan.kind is StreamKind.VIDEO and profile.video is not None and stream.video is not None:
        made = picture(profile.video, stream.video, keeps_rate=contract.same_frames)
        return _video_stream(profile, media, contract, stream, made), made.notes
    if plan.kind is StreamKind.AUDIO and profile.audio is not None:
        mapped = audio_stream(profile.audio, stream, plan)
    elif plan.kind is StreamKind.SUBTITLE:
        mapped = MappedStream(source, "s", plan.encoder or "copy")
    else:
        mapped = MappedStream(source, "t", "copy")
    if plan.kind is StreamKind.ATTACHMENT:
        return mapped, ()
    return _with_metadata(mapped, media), ()


def _with_metadata(mapped: MappedStream, media: MediaInfo) -> MappedStream:
    if not media.container.startswith("matroska"):
        return mapped
    stale = tuple((tag + suffix, "") for tag in _STATISTICS_TAGS for suffix in ("", "-eng"))
    return MappedStream(
        mapped.source, mapped.kind, mapped.encoder, mapped.filters, mapped.options, mapped.preset, stale
    )


def _output_options(profile: Profile, media: MediaInfo) -> Options:
    options: list[tuple[str, str]] = [("max_muxing_queue_size", _MUXING_QUEUE_PACKETS)]
    if profile.container in _FASTSTART:
        options.append(("movflags", "+faststart"))
    if profile.container in ("mp4", "m4a"):
        options.append(("write_tmcd", "0"))  # a timecode tag would become a data track; editors read it in MOV
    if not profile.keep_metadata:
        options.append(("map_metadata", "-1"))
    if media.chapters:
        options.append(("map_chapters", "0" if profile.keep_chapters else "-1"))
    return tuple(options)


# ---------------------------------------------------------------- the film


def _video_stream(
    profile: Profile, media: MediaInfo, contract: Contract, stream: StreamInfo, made: Picture
) -> MappedStream:
    settings = profile.video
    if settings is None or stream.video is None:
        raise ValueError("a video stream needs video settings")
    options = [
        *_quality(settings, made),
        *((("tune", settings.tune),) if settings.tune is not None else ()),
        *_keyframes(settings, stream),
        *_timing(media, contract, stream),
    ]
    if profile.container in ("mp4", "mov") and stream.video.variable_frame_rate:
        options.append(("bsf", _LAST_PICTURE))
    if settings.encoder.startswith(_HEVC_ENCODERS) and profile.container in ("mp4", "mov"):
        options.append(("tag", "hvc1"))  # Apple's players refuse hev1
    if settings.encoder in ("libx265", "libsvtav1"):
        options.append(("dolbyvision", "0"))  # its enhancement belongs to the picture before scaling and filtering
    options += settings.options
    mapped = MappedStream(
        (0, stream.index),
        "v",
        settings.encoder,
        filters=made.filters,
        options=tuple(options),
        preset=settings.preset,
    )
    return _with_metadata(mapped, media)


def _quality(settings: VideoSettings, made: Picture) -> Options:
    """CRF, capped by the bit rate listed for the output's height; without a CRF that bit rate is the target."""
    cap = bit_rate_cap(settings, made.lines)
    options: list[tuple[str, str]] = []
    if settings.crf is not None and settings.encoder in _QUALITY_BY_CRF:
        options.append(("crf", str(settings.crf)))
        if settings.encoder in ("libvpx-vp9", "libvpx", "libaom-av1"):
            return (*options, ("b", str(cap or 0)))  # the target bit rate is the cap there, and 0 is no cap
        if cap is not None:
            options += [("maxrate", str(cap)), ("bufsize", str(2 * cap))]
    elif cap is not None:
        options += [("b", str(cap)), ("maxrate", str(cap * 3 // 2)), ("bufsize", str(2 * cap))]
        if settings.encoder == "libsvtav1":
            return (options[0],)  # it takes a cap only beside a CRF
    return tuple(options)


def bit_rate_cap(settings: VideoSettings, lines: int) -> int | None:
    """Bits per second listed for pictures of `lines`: the entry at or below, or else the lowest; None: no list."""
    if not settings.bitrates:
        return None
    at_or_below = [entry for entry in settings.bitrates if entry[0] <= lines]
    return max(at_or_below)[1] if at_or_below else min(settings.bitrates)[1]


def _keyframes(settings: VideoSettings, stream: StreamInfo) -> Options:
    if settings.keyframe_seconds is None:
        return ()
    rate = settings.fps or (stream.video.frame_rate if stream.video is not None else None)
    if rate is None or (settings.fps is None and stream.video is not None and stream.video.variable_frame_rate):
        return (("force_key_frames", f"expr:gte(t,n_forced*{settings.keyframe_seconds})"),)
    return (("g", str(max(1, round(rate * Fraction(settings.keyframe_seconds))))),)


def _timing(media: MediaInfo, contract: Contract, stream: StreamInfo) -> Options:
    """Every picture keeps its time: on another clock than the source's, ffmpeg rounds to its guess of the rate."""
    if not contract.same_frames:
        return (("fps_mode", "vfr"),)
    coarse = media.container.startswith(_COARSE_CLOCKS)
    if coarse and stream.video is not None and not stream.video.variable_frame_rate:
        return (("fps_mode", "vfr"),)
    return (("fps_mode", "vfr"), ("enc_time_base", "demux"))


# ---------------------------------------------------------------- cost


def features(profile: Profile, media: MediaInfo) -> CostFeatures:
    """What the cost model may look at of the transcode that `profile` makes of `media`."""
    film = media.video if profile.video is not None else None
    if film is None or film.video is None or profile.video is None:
        return _audio_features(profile, media)
    made = picture(profile.video, film.video, keeps_rate=same_frame_rate(profile, film))
    rate = film.video.frame_rate or _GUESSED_RATE
    pixels = max(1, film.video.pixels)
    seconds = media.duration_seconds or media.size_bytes * 8 / (pixels * float(rate) * _GUESSED_BITS_PER_PIXEL)
    frames = film.frames or seconds * float(profile.video.fps or rate)
    return CostFeatures(
        task="transcode",
        encoder=profile.video.encoder,
        preset=profile.video.preset,
        pixels=made.width * made.height,
        source_pixels=film.video.pixels,
        pixel_format=made.pixel_format or film.video.pixel_format or "yuv420p",
        frames=float(frames),
        duration_seconds=seconds,
        source_bytes=media.size_bytes,
        target_bit_rate=bit_rate_cap(profile.video, made.lines),
    )


def _audio_features(profile: Profile, media: MediaInfo) -> CostFeatures:
    seconds = media.duration_seconds or media.size_bytes * 8 / _GUESSED_AUDIO_BIT_RATE
    rate = None
    if profile.audio is not None and media.audio and media.audio[0].audio is not None:
        first = media.audio[0]
        rate = target_bit_rate(profile.audio, first, output_channels(profile.audio, media.audio[0].audio))
    return CostFeatures(
        task="transcode",
        encoder=profile.audio.encoder if profile.audio is not None else "copy",
        preset=None,
        pixels=0,
        source_pixels=0,
        pixel_format="",
        frames=0.0,
        duration_seconds=seconds,
        source_bytes=media.size_bytes,
        target_bit_rate=rate,
    )
