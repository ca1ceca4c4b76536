"""Loading profiles: precedence, extends, environment, command line, fingerprint and built-ins."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import time
from fractions import Fraction
from pathlib import Path

import pytest

from pyprocessor import profiles
from pyprocessor.errors import ExitCode, ProfileError
from pyprocessor.models import (
    Damaged,
    Deinterlace,
    HdrPolicy,
    Overrun,
    Profile,
    ScheduleSettings,
)
from pyprocessor.profiles import LoadedProfile, Overrides
from pyprocessor.profiles.overrides import variables

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a profile file and gives its path."""

    def write_file(text: str, name: str = "p.yaml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write_file


def load(name: str | None = None, config: str | None = None, /, **rest: object) -> LoadedProfile:
    environment = rest.pop("environment", {})
    overrides = Overrides(**rest)  # type: ignore[arg-type]
    return profiles.load(name, config_file=config, environment=environment, overrides=overrides)  # type: ignore[arg-type]


def error_of(name: str | None = None, config: str | None = None, /, **rest: object) -> str:
    with pytest.raises(ProfileError) as caught:
        load(name, config, **rest)
    assert caught.value.exit_code == ExitCode.USAGE
    return str(caught.value)


def crf(loaded: LoadedProfile) -> int | None:
    assert loaded.profile.video is not None
    return loaded.profile.video.crf


# ---------------------------------------------------------------- built-ins


def test_builtin_names() -> None:
    """The built-in profiles are these, the default first."""
    assert profiles.builtin_names() == ("default", "archive", "audio", "fast", "high_quality", "proxy")


@pytest.mark.parametrize("name", profiles.builtin_names())
def test_every_builtin_loads_and_describes_itself(name: str) -> None:
    """Each has one line on what it is for, and gives no notices."""
    assert 10 < len(profiles.describe(name)) < 100
    loaded = load(name)
    assert loaded.profile.name == name
    assert loaded.notices == ()


@pytest.mark.parametrize("name", profiles.builtin_names())
def test_show_loads_back_to_the_same_profile(name: str, write: Write) -> None:
    """What `show` prints is a profile file with the same settings and fingerprint."""
    assert load(write(profiles.show(name), f"{name}.yaml")).profile == load(name).profile


def test_no_profile_is_the_default_profile() -> None:
    """The defaults that apply without any file are those of the built-in `default`."""
    assert load().profile == load("default").profile


def test_what_the_builtins_promise() -> None:
    """The choices that users rely on: where HDR, ten bits, attachments and pictures go."""
    by_name: dict[str, Profile] = {name: load(name).profile for name in profiles.builtin_names()}
    default, archive, proxy = by_name["default"].video, by_name["archive"].video, by_name["proxy"].video
    assert default is not None
    assert archive is not None
    assert proxy is not None
    assert (default.encoder, default.pixel_format, default.hdr) == ("libx264", "yuv420p", HdrPolicy.TONEMAP)
    assert (archive.encoder, archive.pixel_format, archive.hdr) == ("libsvtav1", "yuv420p10le", HdrPolicy.KEEP)
    assert by_name["archive"].keep_attachments
    assert by_name["archive"].container == "mkv"
    assert proxy.max_height == 540
    assert by_name["audio"].video is None
    assert by_name["audio"].extension == "m4a"
    assert len({profile.fingerprint for profile in by_name.values()}) == len(by_name)


# ---------------------------------------------------------------- precedence


def test_precedence_from_defaults_to_command_line(write: Write) -> None:
    """Defaults < --config < --profile < environment < command line, each laid over the one before."""
    config = write("video: {crf: 31, max_height: 480}\nmonitoring: {progress_interval_seconds: 5}", "config.yaml")
    profile = write("video: {crf: 32, max_width: 640}", "profile.yaml")
    environment = {"PYPROCESSOR_CRF": "33", "PYPROCESSOR_VIDEO_HDR": "tonemap"}
    assert crf(load()) == 20
    assert crf(load(None, config)) == 31
    assert crf(load(profile, config)) == 32
    assert crf(load(profile, config, environment=environment)) == 33
    loaded = load(profile, config, environment=environment, crf=34, jobs=2)
    assert crf(loaded) == 34
    video = loaded.profile.video
    assert video is not None
    assert (video.max_width, video.max_height) == (640, 480)
    assert loaded.profile.monitoring.progress_interval_seconds == 5
    assert loaded.profile.name == "profile"


def test_profile_and_config_from_the_environment(write: Write) -> None:
    """PYPROCESSOR_PROFILE and PYPROCESSOR_CONFIG stand in for the options, which win over them."""
    environment = {"PYPROCESSOR_PROFILE": "fast", "PYPROCESSOR_CONFIG": write("scan: {min_age: 2m}")}
    loaded = load(environment=environment)
    assert loaded.profile.name == "fast"
    assert loaded.profile.scan.min_age_seconds == 120
    assert load("proxy", environment=environment).profile.name == "proxy"
    assert error_of(environment={"PYPROCESSOR_PROFILE": "fsat"}).startswith("From PYPROCESSOR_PROFILE: ")


def test_every_override_reaches_its_setting() -> None:
    """Each command line value lands in the record it belongs to."""
    loaded = load(
        encoder="libx265",
        preset="slow",
        tune="grain",
        fps="23.976",
        crf=19,
        no_audio=True,
        damaged="refuse",
        batch_enabled=False,
        batch_size=7,
        max_memory_percent=55.5,
        memory_limit_bytes=1 << 30,
        jobs=3,
        include=("*.mp4",),
        exclude=("b*",),
        min_size_bytes=1,
        max_size_bytes=2,
        min_age_seconds=3.0,
        progress_interval_seconds=4.0,
        max_retries=5,
        cpu_limit_percent=40,
        strict_memory=True,
        disk_reserve_bytes=1 << 30,
        nice=7,
        io_idle=True,
        pressure_polite=True,
        window="22:00-6:00",
        until="05:30",
        overrun="requeue",
        grace_seconds=90.0,
    ).profile
    video = loaded.video
    assert video is not None
    assert (video.encoder, video.preset, video.tune, video.crf) == ("libx265", "slow", "grain", 19)
    assert video.fps == Fraction(24000, 1001)
    assert loaded.audio is None
    assert loaded.damaged is Damaged.REFUSE
    batch = loaded.batch
    assert (batch.enabled, batch.batch_size, batch.max_memory_percent) == (False, 7, 55.5)
    assert (batch.memory_limit_bytes, batch.jobs) == (1 << 30, 3)
    scan = loaded.scan
    assert (scan.include, scan.exclude) == (("*.mp4",), ("b*",))
    assert (scan.min_size_bytes, scan.max_size_bytes, scan.min_age_seconds) == (1, 2, 3)
    assert loaded.monitoring.progress_interval_seconds == 4
    assert loaded.errors.max_retries == 5
    throttling = loaded.throttling
    assert (throttling.cpu_limit_percent, throttling.strict_memory, throttling.disk_reserve_bytes) == (
        40,
        True,
        1 << 30,
    )
    assert (throttling.nice, throttling.io_idle, throttling.pressure_polite) == (7, True, True)
    assert loaded.schedule == ScheduleSettings((time(22), time(6)), time(5, 30), Overrun.REQUEUE, 90)


def test_empty_overrides_change_nothing() -> None:
    """Values that were not given, empty tuples and a false `no_audio` leave the profile alone."""
    assert load("fast", include=(), exclude=(), no_audio=False).profile == load("fast").profile


def test_every_variable_is_named_after_its_key() -> None:
    """Variables follow the rule PYPROCESSOR_<SECTION>_<KEY>, besides some short names."""
    known = variables()
    assert known["PYPROCESSOR_BATCH_PROCESSING_BATCH_SIZE"] == known["PYPROCESSOR_BATCH_SIZE"]
    assert known["PYPROCESSOR_VIDEO_CRF"] == known["PYPROCESSOR_CRF"] == ("video", "crf")
    assert known["PYPROCESSOR_CONTAINER"] == ("container",)
    assert not {"PYPROCESSOR_FFMPEG", "PYPROCESSOR_MEDIA", "PYPROCESSOR_PROFILE", "PYPROCESSOR_INPUT"} & set(known)


def test_variables_of_every_kind() -> None:
    """Numbers, words, lists, switches, sizes and durations are read from their texts."""
    environment = {
        "PYPROCESSOR_CONTAINER": "mkv",
        "PYPROCESSOR_SUBTITLES": "off",
        "PYPROCESSOR_ENCODER": "libsvtav1",
        "PYPROCESSOR_PRESET": "10",
        "PYPROCESSOR_FPS": "30000/1001",
        "PYPROCESSOR_VIDEO_DEINTERLACE": "never",
        "PYPROCESSOR_AUDIO_BITRATE": "96k",
        "PYPROCESSOR_AUDIO_BITRATES": "96k,64k",
        "PYPROCESSOR_SCAN_EXTENSIONS": "mp4, .MKV",
        "PYPROCESSOR_MIN_SIZE": "5M",
        "PYPROCESSOR_MIN_AGE": "1m",
        "PYPROCESSOR_BATCH_ENABLED": "0",
        "PYPROCESSOR_BATCH_SIZE": "auto",
        "PYPROCESSOR_MAX_MEMORY_PERCENT": "62.5",
        "PYPROCESSOR_JOBS": " 2 ",
        "PYPROCESSOR_CRF": "",
    }
    loaded = load(environment=environment)
    profile = loaded.profile
    assert loaded.notices == ()
    assert (profile.container, profile.keep_subtitles) == ("mkv", False)
    assert profile.video is not None
    assert (profile.video.encoder, profile.video.preset) == ("libsvtav1", "10")
    assert profile.video.fps == Fraction(30000, 1001)
    assert profile.video.deinterlace is Deinterlace.NEVER
    assert profile.audio is not None
    assert (profile.audio.bitrate, profile.audio.bitrates) == (96_000, (96_000, 64_000))
    assert profile.scan.extensions == ("mp4", "mkv")
    assert (profile.scan.min_size_bytes, profile.scan.min_age_seconds) == (5 << 20, 60)
    assert (profile.batch.enabled, profile.batch.batch_size, profile.batch.jobs) == (False, None, 2)
    assert profile.batch.max_memory_percent == 62.5


def test_variables_that_are_not_settings() -> None:
    """Reserved and foreign variables are left alone; one that looks like a slip gets a notice and no error."""
    environment = {"PYPROCESSOR_FFMPEG": "system", "PYPROCESSOR_MEDIA": "/m", "PYPROCESSOR_ZZZZ": "1", "OTHER": "1"}
    assert load(environment=environment).notices == ()
    notices = load(environment={"PYPROCESSOR_BATCHSIZE": "3"}).notices
    assert notices == (
        "The environment variable PYPROCESSOR_BATCHSIZE sets nothing; did you mean PYPROCESSOR_BATCH_SIZE?",
    )


def test_two_names_of_one_variable_must_agree() -> None:
    """The long and the short name may both be set, but not to different values."""
    assert crf(load(environment={"PYPROCESSOR_CRF": "9", "PYPROCESSOR_VIDEO_CRF": "9"})) == 9
    message = error_of(environment={"PYPROCESSOR_CRF": "9", "PYPROCESSOR_VIDEO_CRF": "8"})
    assert "PYPROCESSOR_CRF and PYPROCESSOR_VIDEO_CRF set the same thing to different values" in message


# ---------------------------------------------------------------- merging


def test_tables_merge_lists_are_replaced_null_unsets(write: Write) -> None:
    """`extends` lays key over key; lists are taken whole; null gives a key back to its default."""
    write(
        "video: {crf: 15, tune: film, bitrates: {1080p: 8M, 720: 4M}, options: {bf: 3, refs: 4}}\n"
        "scan: {extensions: [a, b], exclude: [x]}\nnaming: {validation_pattern: a}",
        "base.yaml",
    )
    top = write(
        "extends: base.yaml\nvideo: {tune: null, bitrates: {720p: 3M, 480p: 1M}, options: {bf: null}}\n"
        "scan: {extensions: [c]}\nnaming:\n",
    )
    profile = load(top).profile
    video = profile.video
    assert video is not None
    assert (video.crf, video.tune) == (15, None)
    assert video.bitrates == ((1080, 8_000_000), (720, 3_000_000), (480, 1_000_000))
    assert video.options == (("refs", "4"),)
    assert (profile.scan.extensions, profile.scan.exclude) == (("c",), ("x",))
    assert profile.naming.validation_pattern == "a"


def test_extends_is_relative_to_the_file_and_expands_variables(write: Write) -> None:
    """A file may extend another beside it, which may extend a built-in one."""
    write("extends: fast\nvideo: {crf: 29}", "deep/base.yaml")
    top = write("extends: ${WHERE:-deep}/base.yaml\nvideo: {max_height: 720}")
    loaded = load(top)
    assert loaded.profile.video is not None
    assert (loaded.profile.video.preset, loaded.profile.video.crf) == ("veryfast", 29)


def test_extends_in_a_circle_names_the_chain(write: Write) -> None:
    """A circle is told, under whatever spelling of the path."""
    write("extends: ../p.yaml", "sub/b.yaml")
    top = write("extends: sub/b.yaml")
    message = error_of(top)
    assert "in a circle" in message
    assert message.count(" -> ") == 2


def test_extends_has_a_depth(write: Write) -> None:
    """A chain without end is cut."""
    for number in range(12):
        write(f"extends: {number + 1}.yaml", f"{number}.yaml")
    write("video: {crf: 1}", "12.yaml")
    assert "More than 8 profiles extend each other" in error_of(write("extends: 0.yaml"))


def test_extends_that_leads_nowhere(write: Write) -> None:
    """The file and line of the `extends`, and the nearest name, are told."""
    message = error_of(write("container: mp4\nextends: archiv"))
    assert "line 2: `extends` cannot be followed" in message
    assert "Did you mean archive?" in message


def test_a_section_written_again_switches_it_on(write: Write) -> None:
    """`video: false` below is undone by a file that says something of the picture, or by `true`."""
    write("video: false\ncontainer: mkv", "base.yaml")
    assert load(write("extends: base.yaml")).profile.video is None
    assert crf(load(write("extends: base.yaml\nvideo: {crf: 11}"))) == 11
    assert crf(load(write("extends: base.yaml\nvideo: true"))) == 20


def test_another_encoder_drops_what_was_meant_for_the_old_one() -> None:
    """CRF 23 and `veryfast` are x264's words: with SVT-AV1 its own defaults apply, and a notice says so."""
    loaded = load("fast", encoder="libsvtav1")
    assert loaded.profile.video is not None
    assert (loaded.profile.video.preset, loaded.profile.video.crf) == ("8", 28)
    (notice,) = loaded.notices
    assert notice.startswith("--encoder replaces libx264 by libsvtav1")
    assert notice.endswith("no longer apply: preset veryfast, crf 23.")
    same = load("fast", encoder="libx264rgb")
    assert same.notices == ()
    assert crf(same) == 23
    assert load("fast", encoder="libx265", preset="fast", crf=25).notices == ()


def test_container_brings_its_usual_encoders(write: Write) -> None:
    """Where no encoder is named, the container's usual ones are taken; sound alone where it holds no picture."""
    webm = load(write("container: webm")).profile
    assert webm.video is not None
    assert webm.audio is not None
    assert (webm.video.encoder, webm.audio.encoder) == ("libvpx-vp9", "libopus")
    mp3 = load(write("container: .MP3")).profile
    assert (mp3.video, mp3.extension) == (None, "mp3")
    assert load(write("container: matroska")).profile.container == "mkv"
    assert load(write("container: mpegts")).profile.extension == "ts"


def test_hdr_kept_above_drops_eight_bits_from_below(write: Write) -> None:
    """What a base says for SDR is no objection to keeping HDR, but what the layer itself says is."""
    loaded = load(write("extends: default\nvideo: {hdr: keep, encoder: libx265}"))
    assert loaded.profile.video is not None
    assert loaded.profile.video.pixel_format == "yuv420p10le"
    assert any("8-bit pixel format yuv420p no longer applies" in notice for notice in loaded.notices)
    deep = load(write("extends: archive\nvideo: {hdr: keep}")).profile.video
    assert deep is not None
    assert deep.pixel_format == "yuv420p10le"
    assert "10 bits" in error_of(write("extends: default\nvideo: {hdr: keep, pixel_format: yuv420p}"))
    assert "10 bits" in error_of(write("extends: archive\nvideo: {pixel_format: yuv420p}"))


def test_hdr_kept_takes_ten_bits(write: Write) -> None:
    """Keeping HDR without a pixel format chooses one of ten bits; `source` keeps the source's."""
    kept = load(write("video: {encoder: libx265, hdr: keep}")).profile.video
    assert kept is not None
    assert kept.pixel_format == "yuv420p10le"
    source = load(write("video: {hdr: keep, pixel_format: source}")).profile.video
    assert source is not None
    assert source.pixel_format is None


def test_paths_expand_and_start_at_the_file(write: Write, tmp_path: Path) -> None:
    """`input` and `output` take ${VAR} and ${VAR:-default}; a relative path starts at the file."""
    file = write("input: ${IN}/a\noutput: ${OUT:-done}", "sub/p.yaml")
    loaded = load(file, environment={"IN": "/media"})
    assert loaded.input == "/media/a"
    assert loaded.output == str(tmp_path / "sub" / "done")
    assert "line 1: `input` needs the environment variable IN, which is not set" in error_of(file)
    assert load(write("naming: {validation_pattern: '${IN}'}")).profile.naming.validation_pattern == "${IN}"
    for bad in ("${", "${}", "${1}", "${A:b}"):
        assert "`input` holds" in error_of(write(f"input: '{bad}'"))


# ---------------------------------------------------------------- fingerprint


def test_fingerprint_is_of_the_content_alone(write: Write) -> None:
    """Limits and names leave it alone; whatever changes an output changes it."""
    base = load().profile.fingerprint
    same = [
        "batch_processing: {max_memory_percent: 50, jobs: 2}",
        "scan: {min_age: 5}",
        "naming: {validation_pattern: a}",
        "monitoring: {sample_interval_seconds: 1}",
        "monitoring: {ramp_interval_seconds: 0.1}",
        "throttling: {hold_percent: 90, cpu_limit_percent: 50, nice: 10, strict_memory: true, disk_reserve: 1G}",
        "schedule: {window: 22:00-06:00, until: 05:00, overrun: requeue, grace_seconds: 60}",
        "error_handling: {max_retries: 0}",
        "estimation: {max_batch_size: 3}",
        "damaged: refuse",
        "description: x",
        "video: {crf: 20}",
    ]
    for text in same:
        assert load(write(text)).profile.fingerprint == base, text
    other = [
        "video: {crf: 21}",
        "video: {fps: 25}",
        "video: {options: {bf: 2}}",
        "video: {bitrates: {720p: 2M}}",
        "video: false",
        "audio: false",
        "audio: {bitrate: 96k}",
        "subtitles: false",
        "metadata: false",
        "container: mkv",
    ]
    prints = [load(write(text)).profile.fingerprint for text in other]
    assert len({base, *prints}) == len(other) + 1


def test_same_settings_give_the_same_fingerprint_in_any_form(write: Write) -> None:
    """YAML, JSON, order of keys, spelling of values and the way they came in do not matter."""
    yaml = write("video: {fps: 29.97, options: {bf: 2, refs: 3}, bitrates: {720p: 2M, 1080p: 5M}}")
    values = {"video": {"bitrates": {"1080": "5000k", "720": 2_000_000}, "options": {"refs": "3", "bf": 2}}}
    found = load(write(json.dumps(values), "p.json"), environment={"PYPROCESSOR_FPS": "30000/1001"}).profile
    assert found.fingerprint == load(yaml).profile.fingerprint
    assert len(found.fingerprint) == 64


def test_profile_not_found() -> None:
    """An unknown name lists the built-in ones and the nearest."""
    message = error_of("fsat")
    assert "Did you mean fast?" in message
    assert "high_quality" in message
    assert "does not exist" in error_of("./fast")


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`load` reads os.environ where it is not told otherwise; `show` leaves its settings out."""
    monkeypatch.setenv("PYPROCESSOR_CRF", "5")
    assert crf(profiles.load("fast")) == 5
    assert "crf: 23" in profiles.show("fast")
