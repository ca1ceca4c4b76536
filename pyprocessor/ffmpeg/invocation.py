"""How does a command line of ffmpeg read? The one builder of them.

`argv` alone makes arguments, so the safety options (no stdin, whitelists, bounded threads) stand in one place. Which
encoder options a *profile* may pass on is decided where profiles are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from pyprocessor.models import MediaInfo
from pyprocessor.models.encoders import encoder_threads, is_hardware, muxer, video_encoder

Options = tuple[tuple[str, str], ...]
"""ffmpeg options as (name without the dash, value); an option without a value has the value ``""``. May repeat."""


@dataclass(frozen=True, slots=True)
class Input:
    """A file to read, by its absolute path; the user's `unchecked` words come behind `options`."""

    path: bytes
    own: bool = False
    """Whether this program wrote it, so that it may be text."""
    options: Options = ()
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a chain; values are unescaped."""

    name: str
    options: Options = ()


@dataclass(frozen=True, slots=True)
class MappedStream:
    """One stream of the output; its option `("crf", "20")` is `-crf:0 20` where it is the first."""

    source: tuple[int, int]
    """Input number, and index of the stream in that input."""
    kind: str
    """`v`, `a`, `s` or `t`."""
    encoder: str
    """ffmpeg's name of it, or `copy`."""
    filters: tuple[Filter, ...] = ()
    options: Options = ()
    preset: str | None = None
    """Apart from the options because encoders call it by different names."""
    metadata: Options = ()

    def copied(self, options: Options = ()) -> MappedStream:
        """The same stream as it is in its source; of its options only those stay that hold for a copy, too."""
        kept = tuple(option for option in self.options if option[0] in ("tag", "disposition"))
        return replace(self, encoder="copy", filters=(), preset=None, options=(*kept, *options))


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that an output is to hold as `file_name`; its `name` is as plain as an output's."""

    name: str
    file_name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Output:
    """The file to make, by its short name in the working directory; `attachments` follow the streams."""

    name: str
    muxer: str
    streams: tuple[MappedStream, ...]
    options: Options = ()
    attachments: tuple[Attachment, ...] = ()
    unchecked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Invocation:
    """What one ffmpeg is to do. `threads`, one a core, bounds decoder, filters and encoder, each by its option."""

    inputs: tuple[Input, ...]
    output: Output
    threads: int = 1
    options: Options = ()


UNTRUSTED_DEMUXERS = (
    "mov,matroska,avi,mpegts,mpegtsraw,mpeg,mpegvideo,flv,live_flv,kux,asf,asf_o,mxf,gxf,ogg,nut,rm,ivr,wtv,nsv,nuv,ty,"
    "pva,pmp,dhav,lmlm4,cine,r3d,ivf,obu,av1,h261,h263,h264,hevc,vvc,evc,apv,m4v,mjpeg,mjpeg_2000,mxg,vc1,vc1test,"
    "dirac,dv,dnxhd,cavsvideo,avs2,avs3,yuv4mpegpipe,gif,apng,webp_anim,swf,smk,bink,roq,flic,film_cpk,idcin,ipmovie,"
    "vmd,4xm,cdxl,thp,bethsoftvid,rl2,siff,psxstr,xmv,vivo,"
    "wav,w64,aiff,au,caf,mp3,aac,loas,ac3,ac4,eac3,dts,dtshd,truehd,mlp,flac,ape,tta,tak,wv,mpc,mpc8,amr,amrnb,amrwb,"
    "qcp,dsf,oma,voc,shn,iamf,sox"
)
"""Containers and raw streams that a user's file may be: each reads that one file and nothing else.

Left out: playlists and manifests (hls, dash, imf, concat, sdp), number patterns (image2), scripts and text (avisynth,
ffmetadata, tty, subtitles), formats that continue in other files (mlv), devices (lavfi, v4l2), and headerless data, for
which any file could be taken.
"""


def whitelists(*, own: bool = False) -> Options:
    """The protocols and demuxers that an input may use in ffmpeg and PyAV; our `own` may be SubRip or a list too."""
    return (("protocol_whitelist", "file"), ("format_whitelist", UNTRUSTED_DEMUXERS + (",concat,srt" if own else "")))


def demuxer_options(container: str, *, deep: bool, forward: bool, skipped_bytes: int = 0) -> Options:
    """Options for a file's demuxer, given to PyAV and ffmpeg alike so that both see the same streams."""
    options: Options = ()
    if deep:  # pictures may be many seconds apart: bytes and microseconds
        options += (("probesize", "50000000"), ("analyzeduration", "100000000"))
    if container == "mpegts":  # a stream that goes on under another number (PID) stays one stream
        options += (("merge_pmt_versions", "1"),)
    if forward:
        options += (("seekable", "0"),)
    if skipped_bytes:  # the container's index may count from the file's start, so it is ignored
        options += (("skip_initial_bytes", str(skipped_bytes)), ("fflags", "+ignidx"))
    return options


def opening(media: MediaInfo) -> Options:
    """Options that open a file as inspecting did."""
    options = demuxer_options(
        media.container, deep=media.deep, forward=media.forward, skipped_bytes=media.skipped_bytes
    )
    return (*options, ("f", media.demuxer)) if media.skipped_bytes else options


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` without variables that make ffmpeg write reports or colours, and with a quiet SVT-AV1."""
    unwanted = ("FFREPORT", "AV_LOG_FORCE_COLOR", "AV_LOG_FORCE_256COLOR")
    kept = {name: value for name, value in base.items() if name not in unwanted}
    return kept | {"SVT_LOG": "1", "AV_LOG_FORCE_NOCOLOR": "1"}


_OPTION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:.-]*", re.ASCII)
"""Notably without a leading slash: `-/option FILE` makes ffmpeg read the option's value from a file."""
_FILTER_NAME = re.compile(r"[a-z0-9_]+", re.ASCII)
_OUTPUT_NAME = re.compile(r"(?!-)[A-Za-z0-9._-]{1,100}", re.ASCII)
"""No `%` (a number pattern to some muxers), no slash, no colon (a protocol), no leading dash (an option)."""

_PARAMETER_LISTS = ("x264-params", "x264opts", "x265-params", "svtav1-params", "aom-params", "rav1e-params")
"""Options whose value is `key=value:key=value` for the encoder's own parser, which knows keys that open files."""


def argv(invocation: Invocation, ffmpeg: str) -> list[bytes | str]:
    """The arguments, program first, that make `ffmpeg`, started in the output's folder, do this.

    Raises ValueError where a name or path would be read otherwise, which is a mistake in a recipe and not in a file.
    """
    if invocation.threads < 1:
        raise ValueError("an ffmpeg needs at least one thread")  # 0 would mean all cores
    threads = str(invocation.threads)
    arguments: list[bytes | str] = [
        *(ffmpeg, "-nostdin", "-hide_banner", "-y", "-loglevel", "repeat+level+warning", "-nostats"),
        # A decoder that fails on most of a damaged stream still gives the rest.
        *("-max_error_rate", "1"),
        # How often its peak memory is sampled, too.
        *("-progress", "pipe:1", "-stats_period", "0.5"),
        *("-filter_threads", threads, "-filter_complex_threads", threads),
        *_options(invocation.options),
    ]
    for source in invocation.inputs:
        if not os.path.isabs(source.path) or b"\0" in source.path:
            raise ValueError(f"not the absolute path of an input: {source.path!r}")
        arguments += _options(whitelists(own=source.own))
        arguments += ["-threads", threads, *_options(source.options), *source.unchecked]
        arguments += ["-i", b"file:" + source.path]
    return arguments + _output_arguments(invocation.output, invocation.threads)


def trial_encode_argv(ffmpeg: str, encoder: str, kind: str, container: str) -> list[bytes | str]:
    """The arguments that encode one picture (`kind` is `v`) or silence (`a`) and discard the output."""
    device: tuple[str, ...] = ()
    # Some hardware encoders refuse smaller pictures.
    source: tuple[str, ...] = ("color=size=256x256:rate=25:duration=0.04", "-frames:v", "1")
    filters: tuple[Filter, ...] = (Filter("format", (("pix_fmts", "nv12"),)),) if is_hardware(encoder) else ()
    if kind == "a":
        source = ("anullsrc=sample_rate=48000:channel_layout=stereo:duration=0.1",)
    elif encoder.endswith("_vaapi"):
        device, filters = ("-vaapi_device", "/dev/dri/renderD128"), (*filters, Filter("hwupload"))
    elif encoder.endswith("_vulkan"):
        device = ("-init_hw_device", "vulkan=gpu", "-filter_hw_device", "gpu")
        filters = (*filters, Filter("hwupload"))
    return [
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "level+error", *device),
        *("-f", "lavfi", "-i", *source),
        *_stream_options(0, MappedStream((0, 0), kind, encoder, filters), threads=1),
        # Not every muxer writes to a pipe, but all write to this.
        *("-y", "-f", muxer(container), os.devnull),
    ]


def _output_arguments(output: Output, threads: int) -> list[bytes | str]:
    for name in (output.name, *(attachment.name for attachment in output.attachments)):
        if not _OUTPUT_NAME.fullmatch(name):
            raise ValueError(f"not a plain, short, relative output name: {name!r}")
    arguments: list[bytes | str] = []
    for stream in output.streams:
        arguments += ["-map", f"{stream.source[0]}:{stream.source[1]}"]
    for number, stream in enumerate(output.streams):
        arguments += _stream_options(number, stream, threads)
    for number, attachment in enumerate(output.attachments, start=len(output.streams)):
        arguments += ["-attach", attachment.name]
        arguments += _metadata(number, (("filename", attachment.file_name), ("mimetype", attachment.media_type)))
    return [*arguments, *_options(output.options), *output.unchecked, "-f", _word(output.muxer), output.name]


def _stream_options(number: int, stream: MappedStream, threads: int) -> list[str]:
    """The options of output stream `number`, each with its specifier."""
    threads = encoder_threads(stream.encoder, threads)
    arguments = [f"-c:{number}", _word(stream.encoder)]
    if stream.filters:
        arguments += [f"-filter:{number}", filter_graph(stream.filters)]
    if stream.preset is not None:
        arguments += [f"-{video_encoder(stream.encoder).preset_option}:{number}", stream.preset]
    if stream.kind == "v" and stream.encoder != "copy":
        arguments += [f"-threads:{number}", str(threads)]
    for name, value in _with_threads(stream.encoder, stream.options, threads):
        if name in _PARAMETER_LISTS and ("/" in value or "\\" in value):
            raise ValueError(f"{name} may not name a file: {value!r}")
        arguments += _options(((f"{name}:{number}", value),))
    return arguments + _metadata(number, stream.metadata)


def _metadata(number: int, metadata: Options) -> list[str]:
    arguments: list[str] = []
    for key, value in metadata:
        if not key or "=" in key:
            raise ValueError(f"not a metadata key and value: {key!r}, {value!r}")
        arguments += [f"-metadata:s:{number}", f"{key}={value}"]
    return arguments


def _with_threads(encoder: str, options: Options, threads: int) -> Options:
    """`options` with the threads in the encoder's own parameters, last, so that they override others."""
    facts = video_encoder(encoder)
    given = dict(options)
    if facts.row_threads and "row-mt" not in given:
        return (*options, ("row-mt", "1" if threads > 1 else "0"))
    if facts.thread_parameters is None:
        return options
    name, parameters = facts.thread_parameters
    if facts.takes_threads and name not in given:
        return options
    before = [value for option, value in options if option == name and value]
    joined = ":".join([*before, parameters.format(threads=threads, level=svt_av1_level(threads))])
    return (*((option, value) for option, value in options if option != name), (name, joined))


def svt_av1_level(threads: int) -> int:
    """SVT-AV1's level of parallelism (1 to 6) for so many threads, by ranges as it would choose itself."""
    return 1 + sum(threads > highest for highest in (1, 2, 5, 11, 23))


def _word(text: str) -> str:
    if not _OPTION_NAME.fullmatch(text):
        raise ValueError(f"not a name that ffmpeg could know: {text!r}")
    return text


def _options(options: Options) -> list[str]:
    arguments: list[str] = []
    for name, value in options:
        arguments.append("-" + _word(name))
        if value != "":
            arguments.append(value)
    return arguments


@lru_cache(maxsize=256)
def filter_graph(chain: tuple[Filter, ...]) -> str:
    """The text of filters one after another for `-filter`, with every value escaped."""
    # Kept, since the files of a folder often have the same, and it takes as long as all else of a command line.
    import ffmpeg  # which takes 40 ms

    stream = ffmpeg.input("input")
    for step in chain:
        if not _FILTER_NAME.fullmatch(step.name):
            raise ValueError(f"not the name of a filter: {step.name!r}")
        stream = stream.filter(step.name, **dict(step.options))
    arguments: list[str] = ffmpeg.get_args(ffmpeg.output(stream, "output"))
    return arguments[arguments.index("-filter_complex") + 1]
