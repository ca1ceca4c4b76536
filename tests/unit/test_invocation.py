"""The builder of ffmpeg command lines: what must stand in every one, and what may stand in none."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.ffmpeg.invocation import (
    Filter,
    Input,
    Invocation,
    MappedStream,
    Options,
    Output,
    argv,
    environment,
    filter_graph,
    svt_av1_level,
    trial_encode_argv,
    whitelists,
)
from pyprocessor.models.encoders import is_hardware


def invocation(encoder: str = "libx264", threads: int = 2, options: Options = (), **stream: object) -> Invocation:
    mapped = dataclasses.replace(MappedStream((0, 0), "v", encoder, options=options), **stream)  # type: ignore[arg-type]
    return Invocation((Input(b"/in/a.mp4"),), Output("o.mp4", "mp4", (mapped,)), threads=threads)


def built(*args: object, **kwargs: object) -> list[bytes | str]:
    return argv(invocation(*args, **kwargs), "/bin/ffmpeg")  # type: ignore[arg-type]


def value(arguments: list[bytes | str], option: str) -> bytes | str:
    """The value of an option that stands there exactly once."""
    assert arguments.count(option) == 1, f"{option} in {arguments}"
    return arguments[arguments.index(option) + 1]


def test_every_command_line_is_safe() -> None:
    """No terminal input, machine-readable progress, and whitelists before the input they are for."""
    arguments = built()
    assert arguments[0] == "/bin/ffmpeg"
    assert "-nostdin" in arguments
    assert value(arguments, "-progress") == "pipe:1"
    assert value(arguments, "-protocol_whitelist") == "file"
    assert "-format_whitelist" in arguments[: arguments.index("-i")]
    assert value(arguments, "-i") == b"file:/in/a.mp4"
    assert arguments[-3:] == ["-f", "mp4", "o.mp4"]


def test_untrusted_inputs_may_not_be_playlists() -> None:
    """Demuxers that open other files, run scripts or read devices are only for our own files, or for none."""
    untrusted = dict(whitelists())["format_whitelist"].split(",")
    own = dict(whitelists(own=True))["format_whitelist"].split(",")
    assert not {"hls", "dash", "concat", "image2", "sdp", "lavfi", "tty", "ffmetadata", "imf", "rtsp"} & set(untrusted)
    assert {"mov", "matroska", "avi", "mpegts", "ogg", "wav"} <= set(untrusted)
    assert set(own) - set(untrusted) == {"concat", "srt"}


def test_each_input_has_whitelists_of_its_own() -> None:
    """A trusted input beside an untrusted one lends it nothing."""
    first = invocation()
    both = dataclasses.replace(
        first, inputs=(*first.inputs, Input(b"/our/list.srt", own=True, options=(("f", "srt"),)))
    )
    arguments = argv(both, "ffmpeg")
    formats = [str(arguments[i + 1]) for i, a in enumerate(arguments) if a == "-format_whitelist"]
    assert [text.endswith(",srt") for text in formats] == [False, True]
    assert arguments[arguments.index(b"file:/our/list.srt") - 3 :][:2] == ["-f", "srt"]


@pytest.mark.parametrize(("threads", "encoding"), [(1, 1), (2, 3), (3, 4)])
def test_threads_bound_decoder_filters_and_encoder(threads: int, encoding: int) -> None:
    """The number of threads is said everywhere ffmpeg would choose one itself; x264 gets half as many more."""
    arguments = built(threads=threads)
    assert value(arguments, "-threads") == str(threads)
    assert arguments.index("-threads") < arguments.index("-i")
    assert value(arguments, "-threads:0") == str(encoding)
    assert value(arguments, "-filter_threads") == str(threads)
    assert value(arguments, "-filter_complex_threads") == str(threads)


@pytest.mark.parametrize(
    ("encoder", "given_options", "option", "expected"),
    [
        ("libx265", (), "-x265-params:0", "pools=2:frame-threads=1"),
        ("libx265", (("x265-params", "aq-mode=3"),), "-x265-params:0", "aq-mode=3:pools=2:frame-threads=1"),
        ("libx265", (("x265-params", "pools=64"),), "-x265-params:0", "pools=64:pools=2:frame-threads=1"),
        ("libsvtav1", (), "-svtav1-params:0", "lp=2"),
        ("libsvtav1", (("svtav1-params", "tune=0"), ("g", "50")), "-svtav1-params:0", "tune=0:lp=2"),
        ("libx264", (("x264-params", "threads=64"),), "-x264-params:0", "threads=64:threads=3"),
        ("libvpx-vp9", (), "-row-mt:0", "1"),
        ("libaom-av1", (("row-mt", "0"),), "-row-mt:0", "0"),
    ],
)
def test_encoders_are_told_their_threads_in_their_own_language(
    encoder: str, given_options: Options, option: str, expected: str
) -> None:
    """Encoders that ignore -threads get the number in their own parameters, last, so that it wins."""
    assert value(built(encoder, options=given_options), option) == expected


def test_svt_av1_levels_grow_with_threads() -> None:
    """The level never falls, starts at 1 and ends at 6."""
    levels = [svt_av1_level(threads) for threads in range(1, 65)]
    assert levels == sorted(levels)
    assert levels[:3] == [1, 2, 3]
    assert levels[-1] == 6


@pytest.mark.parametrize(
    ("encoder", "option"), [("libx264", "-preset:0"), ("libvpx-vp9", "-cpu-used:0"), ("librav1e", "-speed:0")]
)
def test_presets_are_named_as_the_encoder_names_them(encoder: str, option: str) -> None:
    """A preset goes to the option that the encoder has for it."""
    assert value(built(encoder, preset="5"), option) == "5"


def test_options_and_metadata_belong_to_their_stream() -> None:
    """Specifiers count output streams; repeated options stay in order."""
    streams = (
        MappedStream((0, 2), "v", "libx264", options=(("crf", "20"),), metadata=(("title", "a=b"),)),
        MappedStream((0, 1), "a", "copy", options=(("disposition", "default"), ("disposition", "forced"))),
    )
    arguments = argv(Invocation((Input(b"/a"),), Output("o.mkv", "matroska", streams)), "ffmpeg")
    assert [arguments[i + 1] for i, a in enumerate(arguments) if a == "-map"] == ["0:2", "0:1"]
    assert value(arguments, "-crf:0") == "20"
    assert value(arguments, "-metadata:s:0") == "title=a=b"
    assert value(arguments, "-c:1") == "copy"
    assert arguments.count("-disposition:1") == 2
    assert "-threads:1" not in arguments


def test_options_without_a_value_stand_alone() -> None:
    """An empty value means a flag."""
    arguments = argv(dataclasses.replace(invocation(), options=(("copyts", ""), ("copytb", "1"))), "ffmpeg")
    at = arguments.index("-copyts")
    assert arguments[at : at + 3] == ["-copyts", "-copytb", "1"]


@pytest.mark.parametrize(
    "name", ["", "-o.mp4", "e%03d.mp4", "../o.mp4", "/o.mp4", "http:o", "o\\p", "a b.mp4", "o" * 101, "o.mp4\n"]
)
def test_output_names_that_ffmpeg_would_read_otherwise_are_refused(name: str) -> None:
    """Patterns, paths, protocols and options are no names of outputs."""
    first = invocation()
    with pytest.raises(ValueError, match="output name"):
        argv(dataclasses.replace(first, output=dataclasses.replace(first.output, name=name)), "ffmpeg")


@pytest.mark.parametrize("path", [b"relative.mp4", b"-", b"", b"/a\0b"])
def test_inputs_are_absolute_paths(path: bytes) -> None:
    """A relative input would depend on the working directory, and could be read as an option."""
    with pytest.raises(ValueError, match="absolute path"):
        argv(dataclasses.replace(invocation(), inputs=(Input(path),)), "ffmpeg")


@pytest.mark.parametrize("name", ["/filter_complex", "-y", "a b", "", "a\0", "crf=1"])
def test_options_that_read_files_or_pose_as_others_are_refused(name: str) -> None:
    """`-/option FILE` reads a value from a file; a name is a name."""
    with pytest.raises(ValueError, match="not a name"):
        built(options=((name, "1"),))


@pytest.mark.parametrize(
    "option", [("x265-params", "csv=/tmp/x"), ("x264-params", "stats=../x"), ("svtav1-params", "fgs-table=C:\\x")]
)
def test_encoder_parameters_may_not_hold_paths(option: tuple[str, str]) -> None:
    """An encoder's own parser has keys that open files."""
    with pytest.raises(ValueError, match="may not name a file"):
        built(options=(option,))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"metadata": (("a=b", "c"),)}, "metadata"),
        ({"encoder": "-y"}, "not a name"),
    ],
)
def test_malformed_streams_are_refused(wrong: dict[str, object], message: str) -> None:
    """A mistake in a recipe is told before any process starts."""
    with pytest.raises(ValueError, match=message):
        built(**wrong)


def test_no_number_of_threads_means_all_cores() -> None:
    """ffmpeg takes 0 for as many threads as there are cores."""
    with pytest.raises(ValueError, match="at least one thread"):
        built(threads=0)


@pytest.mark.parametrize(
    ("chain", "text"),
    [
        ((Filter("hflip"),), "[0]hflip[s0]"),
        (
            (Filter("scale", (("w", "1280"), ("h", "-2"))), Filter("fps", (("fps", "30000/1001"),))),
            "[0]scale=h=-2:w=1280[s0];[s0]fps=fps=30000/1001[s1]",
        ),
        ((Filter("scale", (("w", "min(64,iw)"),)),), "[0]scale=w=min(64\\,iw)[s0]"),
    ],
)
def test_filter_chains(chain: tuple[Filter, ...], text: str) -> None:
    """Filters follow one another in the order given, escaped."""
    assert filter_graph(chain) == text


def test_filters_that_would_be_misread_are_refused() -> None:
    """What could not be written faithfully is refused."""
    with pytest.raises(ValueError, match="name of a filter"):
        filter_graph((Filter("scale[0];movie"),))


def test_two_streams_may_have_the_same_filters() -> None:
    """Equal chains on one source stay separate, as two renditions need them."""
    stream = MappedStream((0, 0), "v", "libx264", filters=(Filter("hflip"),))
    arguments = argv(Invocation((Input(b"/a"),), Output("o.mp4", "mp4", (stream, stream))), "ffmpeg")
    assert value(arguments, "-filter:0") == value(arguments, "-filter:1") == "[0]hflip[s0]"


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_any_file_name_is_one_argument(name: bytes) -> None:
    """Whatever bytes a name holds, it is the one argument after -i, behind the prefix that makes it a file."""
    arguments = argv(dataclasses.replace(invocation(), inputs=(Input(b"/" + name),)), "ffmpeg")
    assert value(arguments, "-i") == b"file:/" + name


def test_the_environment_writes_no_reports() -> None:
    """FFREPORT would make every ffmpeg write a log file; SVT-AV1 is kept quiet."""
    made = environment({"FFREPORT": "file=/x", "PATH": "/bin", "AV_LOG_FORCE_COLOR": "1"})
    assert made == {"PATH": "/bin", "SVT_LOG": "1", "AV_LOG_FORCE_NOCOLOR": "1"}


def test_hardware_encoders_are_known_by_name() -> None:
    """A device may be absent although the encoder is listed."""
    assert all(map(is_hardware, ("h264_nvenc", "hevc_qsv", "av1_vaapi", "h264_videotoolbox", "hevc_amf")))
    assert not any(map(is_hardware, ("libx264", "libx265", "prores_ks", "aac_mf_like")))


def test_trials_of_hardware_encoders_upload_where_they_must() -> None:
    """VAAPI takes frames on its device only; the others take them from memory."""
    assert "-vaapi_device" in trial_encode_argv("ffmpeg", "h264_vaapi", "v", "mp4")
    assert value(trial_encode_argv("ffmpeg", "h264_nvenc", "v", "mp4"), "-filter:0") == "[0]format=pix_fmts=nv12[s0]"
