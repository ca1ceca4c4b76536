"""What is ffmpeg to do to make one part of a film, all of its sound, and the film of its parts? Pure.

The recipe for a part is that of the film with a stretch of its packets for input and nothing beside the pictures. Each
part begins at time 0. The recipe that joins them is that of the film, with what was encoded copied from the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from pyprocessor.ffmpeg.invocation import Filter, Input, Invocation, MappedStream, Options
from pyprocessor.inspect.contract import Action, Contract, StreamPlan, contract, same_frame_rate
from pyprocessor.models import Deinterlace, MediaInfo, Profile, Source, StreamInfo, StreamKind, VideoInfo, VideoSettings
from pyprocessor.models.encoders import MP4_FAMILY, muxer, video_encoder
from pyprocessor.recipes.transcode import Recipe, last_unequally, recipe

PART_EXTENSION = "mp4"
"""It keeps times and headers exactly as the encoder gave them."""
_JOINED_IN = frozenset(("mp4", "mov", "mkv", "webm"))
_OVER_THE_WHOLE = frozenset(
    "b maxrate minrate bufsize crf_max nal-hrd intra-refresh level-idc vbv-maxrate vbv-bufsize vbv-init vbv-end "
    "crf-max crf-min hrd strict-cbr rc-grain const-vbv mbr buf-initial-sz buf-optimal-sz buf-sz rc".split()
)
"""Options and parameters that govern the rate, or make it depend on what came before."""
_MARGIN_SECONDS = 1.0
"""How far before a part ffmpeg begins to read: demuxers seek to decoding times, some of them inexactly."""
_FOLLOWED = "setts=pts=PTS:dts='max(DTS,PREV_OUTDTS+1)'"
"""Keeps decoding times ascending where a part begins: with unequal pictures its first ones may lie before its start."""
_SHOWN_LAST = "if(gte(PTS-STARTPTS+0.5,{last:.6f}/TB),{seconds:.6f}/TB+STARTPTS-PTS,DURATION)"
_LAST_OF_MP4 = "if(gt(NEXT_DTS,DTS)," + _SHOWN_LAST + ",max(DURATION,{seconds:.6f}/TB+STARTDTS-DTS))"
"""How long packets last, where they last unequally: parts do not keep how long their last picture lasts. MP4 states the
end of a track by its last packet in decoding order, and in an edit list by the picture that is shown last."""
_LAST_OF_SVT = "if(gt(NEXT_PTS,PTS),NEXT_PTS-PTS,max(DURATION,{seconds:.6f}/TB+STARTPTS-PTS))"
"""As in the recipe of the film."""


@dataclass(frozen=True, slots=True)
class Span:
    """The packets of one part, from the picture at `begin` to the one before `end`, in ticks of the film's clock."""

    begin: int
    end: int | None
    seek_seconds: float | None
    """The time of `begin`; None for the first part, which is read from the start of the file."""


@dataclass(frozen=True, slots=True)
class JoinedFilm:
    """What the film's recipe takes from files: a list of parts, and sound, of which there may be none.

    `at_seconds` is when the film begins in the output, `start_seconds` what is subtracted from the source's times.
    """

    parts: bytes
    sound: bytes | None
    at_seconds: float
    start_seconds: float
    seconds: float
    last_seconds: float
    """From its first picture to the end of the film, and to its last picture."""
    clock: Fraction
    """Seconds of a tick in which its encoder counted."""


def why_whole(profile: Profile, media: MediaInfo, agreed: Contract) -> str:
    """Why parts of the film could not be exactly what the whole is, as a sentence; empty where they can be."""
    settings, film = profile.video, media.video
    if settings is None or film is None or film.video is None:
        return "It has no pictures."
    encoder = video_encoder(settings.encoder)
    if profile.container not in _JOINED_IN:
        return f"Parts of a film cannot be joined in {profile.container}."
    if encoder.joinable is None:
        return f"Parts of a film in {settings.encoder} cannot be joined without encoding them again."
    if profile.unsafe.input or profile.unsafe.output:
        return "What ffmpeg is given unchecked is meant for the whole film."
    if settings.crf is None or settings.bitrates or _over_the_whole(settings.options):
        return "The bit rate is governed over the whole film."
    if len(agreed.films) != 1:
        return "It has several films."
    if media.forward or media.skipped_bytes or media.jump_seconds is not None:
        return "It can only be read from its start."
    return _why_pictures_whole(settings, film.video) or (
        "" if same_frame_rate(profile, film) else "Its frame rate is changed."
    )


def _why_pictures_whole(settings: VideoSettings, video: VideoInfo) -> str:
    if settings.deinterlace is Deinterlace.ALWAYS or video.interlaced:
        return "It is interlaced, and fields have to be put together across any cut."
    if video.shapes:
        return "Its pictures change their size midway."
    if video.in_decoding_order:
        return "The times of its pictures are those of their decoding."
    return ""


def _over_the_whole(options: Options) -> bool:
    names = {name for name, _ in options}
    given = (item.partition("=") for name, value in options if name.endswith("-params") for item in value.split(":"))
    # Zero is how most of them are switched off.
    names |= {name.replace("_", "-").removeprefix("no-") for name, _, value in given if value not in ("0", "none")}
    return not names.isdisjoint(_OVER_THE_WHOLE)


def film_recipe(profile: Profile, media: MediaInfo, source: Source, *, threads: int, output_name: str) -> Recipe:
    """The recipe of the film alone, without what belongs to the file around it."""
    # As in Matroska: nothing is done for the last picture, which only the whole film has.
    alone = replace(profile, container="mkv", keep_metadata=False, keep_chapters=False)
    agreed = contract(profile, media)
    agreed = replace(agreed, streams=agreed.films, limit_seconds=None, notes=())
    streams = tuple(replace(stream, frames=None) if stream.video is not None else stream for stream in media.streams)
    return recipe(alone, replace(media, streams=streams), agreed, source, threads=threads, output_name=output_name)


def film_part(film: Recipe, span: Span) -> Invocation:
    """The ffmpeg that encodes one part, by the recipe of the film alone."""
    whole = film.invocation
    (source,), (mapped,) = whole.inputs, whole.output.streams
    number = mapped.source[1]
    chosen = f"noise=drop='not(gte(pts,{span.begin}))'"
    kept = [option for option in source.options if option[0] != f"bsf:{number}"]
    chain = [chosen, *(value for name, value in source.options if name == f"bsf:{number}")]
    options: Options = (*kept, (f"bsf:{number}", ",".join(chain)))
    if span.seek_seconds is not None:
        seek = (("seek_timestamp", "1"), ("noaccurate_seek", ""), ("ss", f"{span.seek_seconds - _MARGIN_SECONDS:.6f}"))
        options = (*options, *seek)
    until = (Filter("trim", (("end_pts", str(span.end)),)),) if span.end is not None else ()
    filters = (*until, Filter("setpts", (("expr", f"PTS-{span.begin}"),)), *mapped.filters)
    joinable = video_encoder(mapped.encoder).joinable or ()
    mapped = replace(mapped, filters=filters, options=(*mapped.options, *joinable), metadata=())
    # Without it the muxer leaves out the boxes of 360 degree and stereo films.
    beside = (*whole.output.options, ("strict", "unofficial"))
    return replace(
        whole,
        inputs=(replace(source, options=options),),
        output=replace(whole.output, muxer=muxer(PART_EXTENSION), streams=(mapped,), options=beside),
        options=(*whole.options, ("copyts", "")),
    )


def clock_of(film: Recipe, unit: Fraction) -> Fraction:
    """Seconds of a tick in which the encoder counts times; `unit` is one of the source's."""
    (mapped,) = film.invocation.output.streams
    base = dict(mapped.options).get("enc_time_base", "demux")
    return unit if base == "demux" else Fraction(base)


def sound_part(
    profile: Profile, media: MediaInfo, source: Source, *, start_seconds: float, threads: int, output_name: str
) -> Invocation:
    """The ffmpeg that encodes all sound that the film's recipe encodes, at its times in the output."""
    agreed = contract(profile, media)
    agreed = replace(agreed, streams=encoded_sound(agreed))
    alone = replace(profile, keep_metadata=False, keep_chapters=False)
    whole = recipe(alone, media, agreed, source, threads=threads, output_name=output_name).invocation
    return _moved(whole, start_seconds)


def encoded_sound(agreed: Contract) -> tuple[StreamPlan, ...]:
    """The sound tracks that are encoded."""
    return tuple(plan for plan in agreed.kept if plan.kind is StreamKind.AUDIO and plan.action is Action.ENCODE)


def joined(whole: Recipe, made: JoinedFilm, film: StreamInfo) -> Recipe:
    """The recipe that makes the output of its parts: `whole`, with what was encoded copied from them."""
    invocation = _moved(whole.invocation, made.start_seconds)
    output = invocation.output
    parts = Input(
        made.parts,
        own=True,
        options=(("f", "concat"), ("safe", "0"), ("auto_convert", "0"), ("itsoffset", f"{made.at_seconds:.6f}")),
    )
    sound = (Input(made.sound, own=True),) if made.sound is not None else ()
    beside = len(invocation.inputs)
    streams: list[MappedStream] = []
    tracks = 0
    for mapped in output.streams:
        if mapped.kind == "v" and mapped.encoder != "copy":
            streams.append(_copied(mapped, (beside, 0), _following(output.muxer, mapped, film, made)))
        elif mapped.kind == "a" and mapped.encoder != "copy":
            streams.append(_copied(mapped, (beside + 1, tracks)))
            tracks += 1
        else:
            streams.append(mapped)
    # ffmpeg copies a track's tags from the file that the track comes from.
    tags = tuple(
        (f"map_metadata:s:{number}", f"0:s:{mapped.source[1]}")
        for number, mapped in enumerate(output.streams)
        if mapped.source[0] == 0
    )
    return replace(
        whole,
        invocation=replace(
            invocation,
            inputs=(*invocation.inputs, parts, *sound),
            output=replace(output, streams=tuple(streams), options=(*output.options, *tags)),
        ),
    )


def _copied(mapped: MappedStream, source: tuple[int, int], options: Options = ()) -> MappedStream:
    metadata = (*mapped.metadata, ("encoder", ""))  # that of the source
    return replace(mapped.copied(options), source=source, metadata=metadata)


def _following(container: str, mapped: MappedStream, film: StreamInfo, made: JoinedFilm) -> Options:
    """The bitstream filter of a film whose parts follow one another."""
    lasting = ""
    if last_unequally(film):
        form = _LAST_OF_MP4 if container in MP4_FAMILY else _SHOWN_LAST
        form = _LAST_OF_SVT if mapped.encoder == "libsvtav1" else form
        lasting = f":duration='{form.format(seconds=made.seconds, last=made.last_seconds)}'"
    # The muxer of MP4 derives the clock of the whole file, and so of chapters, from that of the encoder.
    return (("time_base", str(made.clock)), ("bsf", _FOLLOWED + lasting))


def _moved(invocation: Invocation, start_seconds: float) -> Invocation:
    """The same with all times of the source moved by a number instead of what ffmpeg finds to be its start."""
    source, *others = invocation.inputs
    source = replace(source, options=(*source.options, ("itsoffset", f"{-start_seconds:.6f}")))
    return replace(invocation, inputs=(source, *others), options=(*invocation.options, ("copyts", "")))


def list_of_parts(paths: Sequence[bytes], starts: Sequence[float]) -> bytes:
    """The list that ffmpeg's concat demuxer reads: each file begins at its start, in seconds; the first one is at 0.

    Raises ValueError where a path has a line break, which such a list cannot hold.
    """
    lines = [b"ffconcat version 1.0"]
    microseconds = [round(start * 1_000_000) for start in starts]
    for number, path in enumerate(paths):
        if b"\n" in path or b"\r" in path:
            raise ValueError(path)
        lines.append(b"file 'file:" + path.replace(b"'", b"'\\''") + b"'")
        if number + 1 < len(paths):
            lines.append(b"duration %dus" % (microseconds[number + 1] - microseconds[number]))
    return b"\n".join(lines) + b"\n"
