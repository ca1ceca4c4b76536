"""What is ffmpeg to do to make one output, a film or sound alone, of one source?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from pyprocessor.containers.mp4_headers import HeaderEdits
from pyprocessor.ffmpeg.invocation import Attachment, Filter, Input, Invocation, MappedStream, Options, Output, opening
from pyprocessor.inspect.contract import Action, Contract, StreamPlan, same_frame_rate
from pyprocessor.models import MediaInfo, MediaNote, Profile, Source, StreamInfo, StreamKind, VideoInfo, VideoSettings
from pyprocessor.models.encoders import MP4_FAMILY, muxer, video_encoder
from pyprocessor.recipes.audio import audio_stream
from pyprocessor.recipes.colours import without_reserved_matrix
from pyprocessor.recipes.metadata import FileTags, file_tags, lost_marks, marks, stream_tags
from pyprocessor.recipes.picture import Picture, picture
from pyprocessor.recipes.subtitles import charset_notes, lost_captions, subtitle_stream

_LAST_PICTURE = (
    "setts=pts=PTS:dts=DTS:duration='if(gt(NEXT_DTS,DTS),DURATION+0*st(0,max(ld(0),PTS+DURATION)),"
    "max(DURATION,max(ld(0),PTS+DURATION)-STARTPTS+STARTDTS-DTS))'"
)
"""Makes the last packet last until the last picture ends. MP4 adds up a track's length in decoding order, whose last
packet is not the last picture, so the end of a track with unequal pictures would be cut."""
_LAST_PICTURE_OF_SVT = (
    "setts=pts=PTS:dts=DTS:duration='if(gt(NEXT_PTS,PTS),NEXT_PTS-PTS,max(DURATION,{seconds:.6f}/TB+STARTPTS-PTS))'"
)
"""The same for SVT-AV1, whose pictures come in the order in which they are shown and all last equally long."""
_STATISTICS_TAGS = tuple(
    "BPS DURATION NUMBER_OF_FRAMES NUMBER_OF_BYTES _STATISTICS_TAGS _STATISTICS_WRITING_APP"
    " _STATISTICS_WRITING_DATE_UTC".split()
)
"""Matroska tags about the source's streams that would be wrong for the output's."""
_QUICKTIME_LANGUAGES = dict(
    pair.split(":")
    for pair in (
        "bod:tib cym:wel cze:ces deu:ger ell:gre eus:baq fas:per fre:fra hye:arm isl:ice kat:geo mkd:mac "
        "msa:may mya:bur nld:dut nob:nor rum:ron slo:slk sqi:alb swe:sve zho:chi"
    ).split()
)
"""Languages by the one code that ffmpeg writes into QuickTime, where it drops the other (tried with FFmpeg 9.0.2)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One ffmpeg's work, notes for the user, and what is to be corrected in the finished output."""

    invocation: Invocation
    notes: tuple[MediaNote, ...] = ()
    headers: HeaderEdits | None = None


def recipe(
    profile: Profile,
    media: MediaInfo,
    contract: Contract,
    source: Source,
    *,
    threads: int,
    output_name: str,
    covers: tuple[Attachment, ...] = (),
    subtitles: Mapping[int, bytes] = MappingProxyType({}),
) -> Recipe:
    """The ffmpeg that makes the output of `contract`, as `output_name` in its working directory.

    `covers` are files there, in the contract's order; `subtitles` are files by the index of the track replaced.
    """
    by_index = {stream.index: stream for stream in media.streams}
    streams = []
    notes = list(contract.notes)
    input_options = list(opening(media))
    for plan in contract.kept:
        if plan.attached:
            continue
        stream = by_index[plan.index]
        if stream.decoder is not None:
            input_options.append((f"c:{stream.index}", stream.decoder))
        if plan.action is Action.ENCODE and stream.video is not None:
            # The latter removes a PTS that is a DTS, so that the decoder counts on from one picture to the next.
            before = (without_reserved_matrix(stream), "setts=pts=NOPTS" if stream.video.in_decoding_order else None)
            if any(before):
                input_options.append((f"bsf:{stream.index}", ",".join(filter(None, before))))
        file = 1 + list(subtitles).index(stream.index) if stream.index in subtitles else None
        mapped, about = _mapped(profile, media, plan, stream, file)
        if file is None and stream.charset is not None:
            input_options.append((f"sub_charenc:{stream.index}", stream.charset))
        streams.append(_with_tags(mapped, profile, media, stream))
        notes += about
    tags = file_tags(profile, media)
    texts = tuple(by_index[plan.index] for plan in contract.kept if plan.kind is StreamKind.SUBTITLE)
    notes += (*tags.notes, *lost_marks(profile.container, texts))
    return Recipe(
        Invocation(
            (
                Input(source.path, options=tuple(input_options), unchecked=profile.unsafe.input),
                *(Input(path, own=True) for path in subtitles.values()),
            ),
            Output(
                output_name,
                muxer(profile.container),
                tuple(streams),
                _output_options(profile, media, contract, tags),
                covers,
                unchecked=profile.unsafe.output,
            ),
            threads,
            options=(("dts_delta_threshold", f"{media.jump_seconds:g}"),) if media.jump_seconds is not None else (),
        ),
        tuple(notes),
        _header_edits(profile.container, tags, [by_index[plan.index] for plan in contract.films], texts),
    )


def _mapped(
    profile: Profile, media: MediaInfo, plan: StreamPlan, stream: StreamInfo, file: int | None
) -> tuple[MappedStream, tuple[MediaNote, ...]]:
    source = (0, stream.index)
    if plan.cover:
        return MappedStream(source, "v", "copy", options=(("disposition", "attached_pic"),)), ()
    if plan.kind is StreamKind.VIDEO and profile.video is not None and stream.video is not None:
        return _film(profile, profile.video, media, stream, stream.video)
    if plan.kind is StreamKind.AUDIO and profile.audio is not None:
        return audio_stream(profile.audio, profile.container, stream, plan)
    if plan.kind is StreamKind.SUBTITLE:
        return subtitle_stream(plan, stream, file), charset_notes(stream)
    return MappedStream(source, "t", "copy"), ()


def _with_tags(mapped: MappedStream, profile: Profile, media: MediaInfo, stream: StreamInfo) -> MappedStream:
    """`mapped` with the source's marks and tags, except those that no longer hold or are not to be shared."""
    tags = [*mapped.metadata, *stream_tags(profile, media, stream)]
    options = mapped.options
    if mapped.kind != "t" and ("disposition", "attached_pic") not in options:
        options = (*options, ("disposition", marks(stream)))
        if media.container.startswith("matroska"):
            tags += [(tag + suffix, "") for tag in _STATISTICS_TAGS for suffix in ("", "-eng")]
    language = _QUICKTIME_LANGUAGES.get(stream.language or "")
    if profile.container == "mov" and language is not None:
        tags.append(("language", language))
    return replace(mapped, options=options, metadata=tuple(tags))


def _header_edits(
    container: str, tags: FileTags, films: list[StreamInfo], subtitles: tuple[StreamInfo, ...]
) -> HeaderEdits | None:
    if container not in MP4_FAMILY:
        return None
    layouts = [film.video.stereo or "" for film in films if film.video is not None]
    stereo = {"top and bottom": 1, "side by side": 2}.get(layouts[0], 0) if layouts else 0  # in MP4's `st3d` box
    shown = tuple("default" in stream.dispositions for stream in subtitles)
    needed = tags.recorded is not None or stereo or (shown and not any(shown))
    return HeaderEdits(tags.recorded, shown, stereo) if needed else None


def _output_options(profile: Profile, media: MediaInfo, contract: Contract, tags: FileTags) -> Options:
    # Packets of one stream that wait for another's first: sparse subtitles overflow ffmpeg's 128.
    options: list[tuple[str, str]] = [("max_muxing_queue_size", "4096")]
    if contract.limit_seconds is not None:
        options.append(("t", f"{contract.limit_seconds:.3f}"))
    if profile.container in MP4_FAMILY:
        options.append(("movflags", "+faststart" + tags.movflags))
        if any(s.video is not None and (s.video.spherical or s.video.stereo) for s in media.streams):
            options.append(("strict", "unofficial"))  # else ffmpeg leaves out the boxes of 360 degree and stereo films
    if profile.container in ("mp4", "m4a"):
        options.append(("write_tmcd", "0"))  # a timecode tag would become a data track; editors read it in MOV
    options += tags.options
    if media.chapters:
        options.append(("map_chapters", "0" if profile.keep_chapters else "-1"))
    return tuple(options)


def _film(
    profile: Profile, settings: VideoSettings, media: MediaInfo, stream: StreamInfo, video: VideoInfo
) -> tuple[MappedStream, tuple[MediaNote, ...]]:
    keeps_rate = same_frame_rate(profile, stream)
    made = picture(settings, video, keeps_rate=keeps_rate)
    lost = lost_captions(profile, settings, keeps_rate=keeps_rate) if video.captions else ()
    options = [
        *_quality(settings, made),
        *((("tune", settings.tune),) if settings.tune is not None else ()),
        *_keyframes(settings, video),
        *_timing(media, stream, video, keeps_rate=keeps_rate),
    ]
    after = (_last_picture(profile, settings, stream), made.bitstream_filter)
    if any(after):
        options.append(("bsf", ",".join(filter(None, after))))
    encoder = video_encoder(settings.encoder)
    if encoder.codec == "hevc" and profile.container in ("mp4", "mov"):
        options.append(("tag", "hvc1"))  # Apple's players refuse hev1
    if encoder.converts_dolby_vision:
        options.append(("dolbyvision", "0"))  # its metadata belongs to the picture before scaling and filtering
    if video.captions and settings.encoder == "libx265":
        options.append(("a53cc", "1"))  # other encoders write closed captions without being asked
    options += settings.options
    filters = made.filters
    if video.in_decoding_order:  # without the decoder's delay: its first picture is at its first packet
        filters = (Filter("setpts", (("expr", f"PTS-STARTPTS+{stream.start_seconds:.6f}/TB"),)), *filters)
    mapped = MappedStream((0, stream.index), "v", settings.encoder, filters, tuple(options), settings.preset)
    return mapped, (*made.notes, *lost)


def last_unequally(film: StreamInfo) -> bool:
    """Whether a film's last picture may last longer or shorter than others."""
    video, seconds = film.video, film.duration_seconds
    if video is None:
        return False
    # A film of a constant rate may last longer than its pictures: animations pause at their end.
    pauses = seconds and film.frames and video.frame_rate and seconds * float(video.frame_rate) > film.frames + 0.5
    return video.variable_frame_rate or bool(pauses)


def _last_picture(profile: Profile, settings: VideoSettings, stream: StreamInfo) -> str | None:
    """The bitstream filter that makes the last picture last as in the source, where they last unequally."""
    seconds = stream.duration_seconds
    if not last_unequally(stream):
        return None
    if settings.encoder == "libsvtav1":
        exact = stream.frames is not None and seconds is not None
        return _LAST_PICTURE_OF_SVT.format(seconds=seconds) if exact else None
    return _LAST_PICTURE if profile.container in ("mp4", "mov") else None


def _quality(settings: VideoSettings, made: Picture) -> Options:
    """CRF, capped by the bit rate listed for the output's height, which is the target without a CRF."""
    cap = bit_rate_cap(settings, made.lines)
    encoder = video_encoder(settings.encoder)
    crf = (("crf", str(settings.crf)),) if settings.crf is not None and encoder.crf is not None else ()
    if crf and encoder.family in ("vp8", "vp9", "aom"):
        return (*crf, ("b", str(cap or 0)))  # the target bit rate is the cap, and 0 is no cap
    if cap is None:
        return crf
    if not crf and settings.encoder == "libsvtav1":
        return (("b", str(cap)),)  # it takes a cap only beside a CRF
    rates = (("maxrate", str(cap)),) if crf else (("b", str(cap)), ("maxrate", str(cap * 3 // 2)))
    return (*crf, *rates, ("bufsize", str(2 * cap)))


def bit_rate_cap(settings: VideoSettings, lines: int) -> int | None:
    """Bits per second listed for pictures of `lines`: the entry at or below, or else the lowest, if any."""
    if not settings.bitrates:
        return None
    at_or_below = [entry for entry in settings.bitrates if entry[0] <= lines]
    return max(at_or_below)[1] if at_or_below else min(settings.bitrates)[1]


def _keyframes(settings: VideoSettings, video: VideoInfo) -> Options:
    if settings.keyframe_seconds is None:
        return ()
    rate = settings.fps or video.frame_rate
    if rate is None or (settings.fps is None and video.variable_frame_rate):
        return (("force_key_frames", f"expr:gte(t,n_forced*{settings.keyframe_seconds})"),)
    return (("g", str(max(1, round(rate * Fraction(settings.keyframe_seconds))))),)


def _timing(media: MediaInfo, stream: StreamInfo, video: VideoInfo, *, keeps_rate: bool) -> Options:
    """Options that keep every picture's time, as ffmpeg would round to a guess of the rate."""
    if not keeps_rate:
        return (("fps_mode", "vfr"),)
    # Where the container rounds to milliseconds, the clock of a constant rate on which all pictures lie is truer; but
    # only if the first picture is near one of its ticks, so that none is rounded to the tick of another.
    rate = video.clock_rate
    if rate is not None and media.container.startswith(("matroska", "flv", "asf")):
        ticks = stream.start_seconds * float(rate)
        if abs(ticks - round(ticks)) < 0.25:
            return (("fps_mode", "vfr"), ("enc_time_base", f"{rate.denominator}/{rate.numerator}"))
    return (("fps_mode", "vfr"), ("enc_time_base", "demux"))
