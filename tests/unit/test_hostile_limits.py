"""What a source may claim, how far an output may grow, which words reach ffmpeg: the rules against hostile input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor import profiles
from pyprocessor.containers.claims import MAX_SIDE, check_duration, check_picture, check_streams
from pyprocessor.errors import InspectError, ProfileError
from pyprocessor.ffmpeg.invocation import UNTRUSTED_DEMUXERS, Input, Invocation, MappedStream, Output, argv
from pyprocessor.models import CostFeatures, InputLimits, UnsafeArguments
from pyprocessor.profiles.options import option_problem
from pyprocessor.profiles.overrides import variables
from pyprocessor.recipes.features import output_limit_bytes

LIMITS = InputLimits()


def load(text: str, folder: Path, **more: object) -> profiles.LoadedProfile:
    """The profile that this text makes."""
    path = folder / "p.yaml"
    path.write_text(text)
    return profiles.load(str(path), environment={}, **more)  # type: ignore[arg-type]


# ---------------------------------------------------------------- claims


def test_what_is_allowed_passes() -> None:
    """The largest that the defaults allow, and an unknown duration."""
    check_picture(MAX_SIDE, 8192, LIMITS)
    check_picture(8192, MAX_SIDE, LIMITS)
    check_picture(0, 0, LIMITS)
    check_streams(1000, LIMITS)
    check_duration(None, LIMITS)
    check_duration(30 * 86400.0, LIMITS)


@pytest.mark.parametrize(("width", "height"), [(MAX_SIDE + 1, 2), (2, MAX_SIDE + 1), (MAX_SIDE, 8193)])
def test_larger_pictures_are_refused(width: int, height: int) -> None:
    """By side and by area; what is claimed is told."""
    with pytest.raises(InspectError, match=f"{width}x{height}"):
        check_picture(width, height, LIMITS)


def test_sentences_name_the_key_that_allows_more() -> None:
    """Whoever has such a file learns what to do."""
    with pytest.raises(InspectError, match=r"input_limits\.max_streams"):
        check_streams(1001, LIMITS)
    with pytest.raises(InspectError, match=r"longer than the 30 days.*input_limits\.max_duration"):
        check_duration(31 * 86400.0, LIMITS)
    with pytest.raises(InspectError, match=r"input_limits\.max_pixels"):
        check_picture(20, 20, InputLimits(max_pixels=399))


# ---------------------------------------------------------------- growth

FEATURES = CostFeatures("transcode", "libx264", "medium", 1920 * 1080, 1920 * 1080, "yuv420p", 250, 10.0, 1_000_000)


def test_an_output_may_grow_with_its_source() -> None:
    """A hundred times the source and a gigabyte, by default."""
    assert output_limit_bytes(LIMITS, FEATURES) == (1 << 30) + 100_000_000
    assert output_limit_bytes(LIMITS, replace(FEATURES, source_bytes=0)) == 1 << 30


def test_a_header_that_claims_frames_gives_a_usual_encoder_no_more_room() -> None:
    """Endless durations and huge pictures are no reason to fill the disk."""
    claimed = replace(FEATURES, frames=1e12, pixels=1 << 28, duration_seconds=1e9)
    assert output_limit_bytes(LIMITS, claimed) == output_limit_bytes(LIMITS, FEATURES)


@pytest.mark.parametrize("encoder", ["ffv1", "prores_ks", "dnxhd", "rawvideo"])
def test_encoders_that_hardly_compress_have_room_for_raw_pictures(encoder: str) -> None:
    """An hour of a screen recording at 100 kbit/s in ProRes is larger than a hundred times its source, and sound."""
    features = replace(FEATURES, encoder=encoder, frames=90_000, source_bytes=45_000_000)
    assert output_limit_bytes(LIMITS, features) > 90_000 * 1920 * 1080 * 6


def test_sound_alone_has_room_for_what_is_decoded() -> None:
    """Ten hours of speech at 8 kbit/s as WAV."""
    features = replace(FEATURES, encoder="pcm_s16le", pixels=0, duration_seconds=36_000, source_bytes=36_000_000)
    assert output_limit_bytes(LIMITS, features) > 36_000 * 48_000 * 4


# ---------------------------------------------------------------- profiles


@pytest.mark.parametrize("text", ["unsafe: {output: [-metadata, a=b]}", "unsafe: {input: [-enable_drefs, '1']}"])
def test_unchecked_words_need_an_option(text: str, tmp_path: Path) -> None:
    """The error names file, line and option; with the option they are taken as they stand."""
    with pytest.raises(ProfileError, match=r"p\.yaml, line 1: `unsafe` .*--allow-unsafe-args"):
        load(text, tmp_path)
    unsafe = load(text, tmp_path, allow_unsafe=True).profile.unsafe
    assert unsafe in (UnsafeArguments(output=("-metadata", "a=b")), UnsafeArguments(input=("-enable_drefs", "1")))


def test_an_empty_table_of_unchecked_words_is_nothing(tmp_path: Path) -> None:
    """It needs no option and leaves the fingerprint alone; words change it."""
    plain = load("video: {crf: 20}", tmp_path).profile
    assert load("unsafe: {}\nvideo: {crf: 20}", tmp_path).profile.fingerprint == plain.fingerprint
    assert load("unsafe: {input: []}\nvideo: {crf: 20}", tmp_path).profile.fingerprint == plain.fingerprint
    words = load("unsafe: {input: [-x]}\nvideo: {crf: 20}", tmp_path, allow_unsafe=True).profile
    assert words.fingerprint != plain.fingerprint


def test_hooks_and_limits_leave_the_fingerprint_alone(tmp_path: Path) -> None:
    """They change no output."""
    plain = load("video: {crf: 20}", tmp_path).profile
    more = "input_limits: {max_pixels: 1000, max_streams: 3, max_duration: 2h}\nhooks: {on_end: [mail, me]}\n"
    changed = load(more + "video: {crf: 20}", tmp_path).profile
    assert changed.fingerprint == plain.fingerprint
    assert (changed.input_limits.max_duration_seconds, changed.hooks.on_end) == (7200.0, ("mail", "me"))


def test_neither_leave_nor_hooks_come_from_variables(tmp_path: Path) -> None:
    """No variable sets unchecked words or hooks, or allows them."""
    assert not [name for name in variables() if "UNSAFE" in name or "HOOKS" in name]
    (tmp_path / "p.yaml").write_text("unsafe: {input: [-x]}")
    environment = {"PYPROCESSOR_ALLOW_UNSAFE_ARGS": "1", "PYPROCESSOR_UNSAFE_INPUT": "-y"}
    with pytest.raises(ProfileError, match="--allow-unsafe-args"):
        profiles.load(str(tmp_path / "p.yaml"), environment=environment)


@pytest.mark.parametrize(
    "text",
    [
        "allow_unsafe_args: true",
        "unsafe: {allow: true}",
        "unsafe: {input: -x}",
        "unsafe: {input: [1]}",
        'unsafe: {input: ["a\\0b"]}',
        "hooks: {on_end: mail me}",
        "hooks: {on_end: ['', me]}",
        "hooks: {on_start: [a]}",
        "hooks: {timeout_seconds: 0}",
        "input_limits: {max_pixels: 0}",
        "input_limits: {max_streams: 0}",
        "input_limits: {max_output_growth: 0.5}",
        "input_limits: {max_duration: endless}",
    ],
)
def test_what_makes_no_sense_is_refused(text: str, tmp_path: Path) -> None:
    """One sentence that names the file."""
    with pytest.raises(ProfileError, match=r"p\.yaml"):
        load(text, tmp_path, allow_unsafe=True)


def test_a_profile_with_unchecked_words_can_be_shown_and_checked(tmp_path: Path) -> None:
    """To look at it is safe; what it needs is told."""
    path = tmp_path / "p.yaml"
    path.write_text("unsafe: {output: [-metadata, a=b]}\nhooks: {on_end: [mail, me]}")
    assert "-metadata" in profiles.show(str(path))
    assert any("--allow-unsafe-args" in notice for notice in profiles.validate(str(path)))


def test_the_programs_that_a_profile_calls_are_named(tmp_path: Path) -> None:
    """Also where they stand in what it extends."""
    (tmp_path / "base.yaml").write_text("hooks: {on_end: [mail, me], on_success: [./mine, x]}")
    path = tmp_path / "p.yaml"
    path.write_text("extends: base.yaml")
    assert profiles.validate(str(path)) == ['It has programs called (`hooks`): "./mine", "mail".']


def test_unchecked_words_stand_where_they_belong() -> None:
    """Behind all of ours, before the input and before the output's name."""
    streams = (MappedStream((0, 0), "v", "libx264"),)
    made = argv(
        Invocation((Input(b"/a", unchecked=("-x", "1")),), Output("o", "mp4", streams, unchecked=("-y", "2"))), "f"
    )
    at = made.index("-i")
    assert made[at - 2 : at + 2] == ["-x", "1", "-i", b"file:/a"]
    assert made[-5:] == ["-y", "2", "-f", "mp4", "o"]


# ---------------------------------------------------------------- the allow-list

FILES_BY_ENCODER = {
    "libx264": (
        "stats passlogfile x264opts vpre rc_override filename attach dump_attachment sdp_file vstats_file report "
        "init_hw_device protocol_whitelist f map i filter filter_script filter_complex_script /filter metadata"
    ),
    "libx265": "csv qpfile stats analysis-save analysis-load dump-yuv recon lambda-file zonefile x265opts",
    "libsvtav1": "stats fgs-table input output errlog recon",
    "libaom-av1": "film-grain-table aom-params vmaf-model-path two-pass-output fpf stats",
    "libvpx-vp9": "fpf stats ts-parameters passlogfile",
}
FILES_BY_PARAMETERS = {
    ("libx264", "x264-params"): (
        "stats qpfile cqm cqmfile cqm4 dump-yuv opencl-clbin tcfile-in tcfile-out fgo dump_yuv log-file log-file-level "
        "index output input-res no-stats"
    ),
    ("libx265", "x265-params"): (
        "csv csv-log-level stats qpfile analysis-save analysis-load analysis-reuse-file analysis_save recon dump-yuv "
        "lambda-file zonefile scaling-list dhdr10-info dolby-vision-rpu nalu-file film-grain aom-film-grain abr-ladder "
        "scenecut-qp-config refine-analysis-type input output y4m svt-hevc-input multi-pass-opt-rps"
    ),
    ("libsvtav1", "svtav1-params"): (
        "stats fgs-table passes pass input output stat-file errlog qp-file use-qp-file qpfile roi-map-file config c"
    ),
}


@pytest.mark.parametrize(("encoder", "names"), FILES_BY_ENCODER.items())
def test_no_option_that_names_a_file_is_allowed(encoder: str, names: str) -> None:
    """Nor one that adds inputs, filters or another container."""
    assert [name for name in names.split() if option_problem(name, "1", encoder) is None] == []


@pytest.mark.parametrize(("place", "names"), FILES_BY_PARAMETERS.items())
def test_no_parameter_that_names_a_file_is_allowed(place: tuple[str, str], names: str) -> None:
    """Encoders have parsers of their own, in whatever spelling of the key."""
    encoder, option = place
    for name in names.split():
        for spelling in (name, name.replace("-", "_"), f"no-{name}"):
            assert option_problem(option, f"{spelling}=x", encoder) is not None, spelling
            assert option_problem(option, f"keyint=50:{spelling}=x", encoder) is not None, spelling


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "a/b", "..\\b", "http://x", "a b", "$(id)", "a;b", "a\nb", "%d", "@f", ""]
)
def test_no_allowed_option_takes_a_path(value: str) -> None:
    """Whatever the option, a value has no slash, space or other mark of a file or a command."""
    assert option_problem("profile", value, "libx264") is not None
    assert option_problem("x264-params", f"me={value}", "libx264") is not None or value == "a;b"


def test_every_demuxer_for_sources_reads_one_file() -> None:
    """None that is known to open others, or to listen, is on the list."""
    reaching = (
        "hls dash imf concat sdp rtsp rtp sap image2 image2pipe avisynth vapoursynth tedcaptions lavfi mlv bluray "
        "dvdvideo vobsub ffmetadata tty webvtt srt ass wsd v4l2 fbdev alsa kmsgrab x11grab libmodplug libgme smush"
    )
    assert set(reaching.split()) & set(UNTRUSTED_DEMUXERS.split(",")) == set()
