"""Settings that are refused: every message names key, value, rule and place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyprocessor import profiles
from pyprocessor.errors import ProfileError
from pyprocessor.models import Overrun
from pyprocessor.profiles import Overrides
from pyprocessor.profiles.options import option_problem


def error_of(
    tmp_path: Path, text: str, environment: dict[str, str] | None = None, overrides: Overrides | None = None
) -> str:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    with pytest.raises(ProfileError) as caught:
        profiles.load(str(file), environment=environment or {}, overrides=overrides or Overrides())
    return str(caught.value).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crff: 1\ncontainer: mp4", "p.yaml, line 1: unknown key `crff`"),
        ("video:\n  crff: 1", "p.yaml, line 2: unknown key `video.crff`; did you mean `video.crf`?"),
        ("crf: 1", "unknown key `crf`; did you mean `video.crf`?"),
        ("audio: {crf: 1}", "unknown key `audio.crf`; did you mean `video.crf`?"),
        ("video: {container: mp4}", "unknown key `video.container`; did you mean `container`?"),
        (
            "auto_rename_files: true\nffmpeg_params: {batch_size: 1}",
            "unknown key `ffmpeg_params.batch_size`; did you mean `batch_processing.batch_size`?",
        ),
        ("batch-processing: {}", "unknown key `batch-processing`; did you mean `batch_processing`?"),
        ("zzz: 1\ncontainer: mp4", "unknown key `zzz`; known here are description, extends,"),
        ("video: 5", "`video` is 5, but must be a table of settings"),
        ("subtitles: maybe", '`subtitles` is "maybe", but must be true or false'),
        ("video: {crf: 20.5}", "`video.crf` is 20.5, but must be a whole number"),
        ("video: {crf: '20'}", '`video.crf` is "20", but must be a whole number'),
        ("video: {crf: true}", "`video.crf` is true, but must be a whole number"),
        ("video: {crf: 52}", "`video.crf` is 52, but must be from 0 to 51 for libx264"),
        ("video: {encoder: libsvtav1, crf: 64}", "must be from 0 to 63"),
        ("video: {encoder: ffv1, crf: 3}\ncontainer: mkv", "must be left out: ffv1 has no CRF"),
        ("video: {preset: meduim}", "for libx264; did you mean medium"),
        ("video: {encoder: libsvtav1, preset: slow}", "must be a number from 0 to 13 for libsvtav1"),
        ("video: {encoder: libsvtav1, preset: -1}", "must be a number from 0 to 13 for libsvtav1"),
        ("video: {encoder: libaom-av1, preset: slow}", "must be left out: libaom-av1 has no presets"),
        ("video: {preset: [a]}", "must be a preset's name or number"),
        ("video: {tune: movie}", "must be one of film, animation, grain"),
        ("video: {encoder: libsvtav1, tune: film}", "has no such option; put tune=0 into"),
        ("video: {encoder: 'lib x264'}", "must be a name as ffmpeg lists it"),
        ("video: {encoder: copy}", "`copy` is not one"),
        ("video: {encoder: aac}", "must be an encoder of pictures"),
        ("audio: {encoder: libx264}", "must be an encoder of sound"),
        ("video: {hdr: yes}", "`video.hdr` is true, but must be 'tonemap' or 'keep'"),
        ("video: {hdr: keep, pixel_format: yuv420p}", "must have 10 bits or more"),
        ("video: {pixel_format: 'yuv 420'}", "must be a pixel format"),
        ("video: {max_height: 541}", "must be an even number: write 540"),
        ("video: {max_width: 8}", "must be from 16 to 16,384 pixels"),
        ("video: {fps: 0}", "must be a frame rate from 0.1 to 240"),
        ("video: {fps: 0.001}", "must be a frame rate from 0.1 to 240"),
        ("video: {bitrates: 5M}", "must be a table of heights and bit rates"),
        ("video: {bitrates: {tall: 5M}}", "does not fit at 'tall': it must name a height"),
        ("video: {bitrates: {1080p: fast}}", "does not fit at '1080p': it must be a bit rate"),
        ("video: {bitrates: {1080p: 5000}}", "write 5000k for 5000 kbit/s"),
        ("video: {bitrates: {1080p: 5M, 1080: 4M}}", "names the height 1080p twice"),
        ("video: {options: [bf]}", "must be a table of encoder options"),
        ("video: {options: {bf: [1]}}", "must give 'bf' a text or a number"),
        ("audio: {bitrate: 128}", "must be from 6,000 to 10,000,000 bits per second; write 128k"),
        ("audio: {bitrates: [128k, x]}", 'item 2 of `audio.bitrates` is "x"'),
        ("audio: {channels: 9}", "must be from 1 to 8 channels"),
        ("audio: {encoder: libopus, sample_rate: 44100}", "or 48000 Hz for libopus"),
        ("container: mp3\naudio: {channels: 6}", "must be 1 or 2 for libmp3lame"),
        ("container: mkw", "did you mean mkv"),
        ("container: webm\nvideo: {encoder: libx264}", "must make a codec that webm holds: choose libsvtav1"),
        ("container: webm\naudio: {encoder: aac}", "opus or vorbis; its usual encoder is libopus"),
        ("container: webm\nvideo: {encoder: h264_nvenc}", "must make a codec that webm holds"),
        ("container: m4a\nvideo: {crf: 20}", "must be one that holds a picture; or write `video: false`"),
        ("video: false\naudio: false", "leave neither picture nor sound"),
        ("naming: {rename_pattern: '('}", "must be a regular expression: missing )"),
        ("naming: {rename_pattern: a}", "must have a group in round brackets"),
        ("naming: {organization_pattern: a}", "must have a group in round brackets"),
        ("naming: {validation_pattern: '*'}", "must be a regular expression: nothing to repeat"),
        ("scan: {extensions: mp4}", "must be a list, written [a, b]"),
        ("scan: {extensions: []}", "must not be empty"),
        ("scan: {extensions: [a/b]}", "must be a file extension such as mp4"),
        (f"naming: {{validation_pattern: {'a' * 1001}}}", "must be a regular expression of at most 1,000 characters"),
        ("scan: {include: ['']}", "must not be empty"),
        (f"input: '{'${' * 200}'", "`input` holds '" + "${" * 50 + "...'; write ${NAME}"),
        (f"extends: {'a' * 5000}", "must be at most 4,096 characters long"),
        (f"scan: {{exclude: [{'a' * 4097}]}}", "but must be at most 4,096 characters long"),
        ("video: {options: {" + ", ".join(f"a{n}: 1" for n in range(201)) + "}}", "at most 200 encoder options"),
        ("vidoe: {crf: 1}", "p.yaml, line 1: unknown key `vidoe`; did you mean `video`?"),
        (f"container: mp4\n{'k' * 900}: 1", f"unknown key `{'k' * 100}...`; known here are"),
        ("scan: {min_size: 5X}", "must be a size"),
        ("scan: {min_size: 5M, max_size: 4M}", "must not be below `scan.min_size` in p.yaml, which is 5242880 bytes"),
        ("scan: {min_age: soon}", "must be a duration"),
        ("batch_processing: {batch_size: 0}", "must be `auto` or a whole number from 1"),
        ("batch_processing: {batch_size: many}", "must be `auto` or a whole number from 1"),
        ("batch_processing: {max_memory_percent: 0}", "must be from 1 to 100 percent"),
        ("batch_processing: {max_memory_percent: 0.8}", "write 80 for four fifths of the memory"),
        ("batch_processing: {max_memory_percent: 101}", "must be from 1 to 100 percent"),
        ("batch_processing: {max_memory_percent: 80%}", "must be a number"),
        ("batch_processing: {memory_limit: 6}", "write 6G for 6 GiB"),
        ("batch_processing: {jobs: 0}", "must be from 1 to 1,024 batches"),
        ("estimation: {min_batch_size: 9, max_batch_size: 3}", "must not be below `estimation.min_batch_size`"),
        ("estimation: {memory_safety_factor: 0.5}", "must be from 1 to 10"),
        ("monitoring: {sample_interval_seconds: 0}", "must be from 0.05 to 60 seconds"),
        ("monitoring: {ramp_interval_seconds: 1}", "must not be above `monitoring.sample_interval_seconds`"),
        ("monitoring: {ramp_interval_seconds: 0}", "must be from 0.01 to 60 seconds"),
        ("throttling: {hold_percent: 0}", "must be from 1 to 100 percent; write 90 for nine tenths of the memory"),
        ("throttling: {hold_percent: 1}", "must be above 1 percent"),
        ("throttling: {hold_percent: 80, release_percent: 80}", "which is 80 percent"),
        ("throttling: {release_percent: 96}", "must be below `throttling.hold_percent`, which is 95 percent"),
        ("throttling: {release_readings: 0}", "must be from 1 to 10,000 readings"),
        ("throttling: {wall_percent: 101}", "must be from 1 to 100 percent"),
        ("throttling: {reaction_seconds: 0}", "must be from 0.05 to 60 seconds"),
        ("throttling: {pressure_full_percent: 0.2}", "write 20 for a fifth of the time"),
        ("throttling: {max_sheds: 0}", "must be from 1 to 100 times"),
        ("throttling: {strict_memory: 1}", "must be true or false"),
        ("throttling: {cpu_limit_percent: 0.5}", "must be from 1 to 100 percent; write 50 for half of all cores"),
        ("throttling: {disk_reserve: lots}", "must be a size"),
        ("throttling: {nice: 20}", "must be from 0 to 19"),
        ("throttling: {nice: -5}", "must be from 0 to 19"),
        ("throttling: {window: '22:00-06:00'}", "did you mean `schedule.window`?"),
        ("schedule: {window: '22:00'}", "must be two times of day from 00:00 to 24:00 with a dash between them"),
        ("schedule: {window: 22:00-25:00}", "must be two times of day from 00:00 to 24:00"),
        ("schedule: {window: 22:00-22:00}", "start and end must differ"),
        ("schedule: {window: 00:00-24:00}", "start and end must differ"),
        (
            "schedule: {until: 22:30}",
            "`schedule.until` is 1350, but must be a time of day from 00:00 to 24:00 as a text",
        ),
        ("schedule: {until: '7'}", "must be a time of day"),
        ("schedule: {until: '07:60'}", "must be a time of day"),
        ("schedule: {until: '24:01'}", "must be a time of day"),
        ("schedule: {overrun: kill}", "must be 'finish' or 'requeue'"),
        (
            "schedule: {window: 22:00-06:00, until: 07:00}",
            '`schedule.until` is "07:00", but must lie within `schedule.window` in p.yaml, which is 22:00-06:00',
        ),
        ("schedule: {window: 22:00-06:00, until: '22:00'}", "must lie within `schedule.window`"),
        ("schedule: {window: 08:00-17:00, until: '20:00'}", "must lie within `schedule.window`"),
        ("error_handling: {max_retries: -1}", "must be from 0 to 100 retries"),
        ("description: ''\nextends: ''", '`extends` is "", but must not be empty'),
    ],
)
def test_a_wrong_setting_names_itself_and_its_rule(tmp_path: Path, text: str, expected: str) -> None:
    """One thing wrong gives one line that says where it is, what it is and what is allowed."""
    message = error_of(tmp_path, text)
    assert expected in message
    assert "\n" not in message


def test_all_errors_are_listed_one_to_a_line(tmp_path: Path) -> None:
    """Errors of the file, the environment and the command line come in one message."""
    message = error_of(
        tmp_path,
        "video: {crff: 1, fps: x}\nnaming: 5",
        {"PYPROCESSOR_JOBS": "x"},
        Overrides(max_memory_percent=0, batch_size=-1),
    )
    lines = message.splitlines()
    assert lines[0] == "The settings have 6 errors:"
    assert len(lines) == 7
    assert all(line.startswith("  ") and line.endswith((".", "?")) for line in lines[1:])
    assert '  PYPROCESSOR_JOBS is "x", but must be a whole number.' in lines
    assert any(line.startswith("  --max-memory is 0, but must be from 1 to 100 percent") for line in lines)
    assert any(line.startswith("  --batch-size is -1, but must be `auto` or a whole number") for line in lines)


def test_of_very_many_errors_the_first_are_told(tmp_path: Path) -> None:
    """A screenful tells what is wrong with a file; how many more there are is a number."""
    many = "".join(f"unknown_{number}: 1\n" for number in range(9000))
    lines = error_of(tmp_path, f"container: mp4\n{many}", {"PYPROCESSOR_JOBS": "x"}).splitlines()
    assert lines[0] == "The settings have 9001 errors:"
    assert lines[1].startswith("  p.yaml, line 2: unknown key `unknown_0`; known here are description")
    assert lines[20].startswith("  p.yaml, line 21: unknown key `unknown_19`")
    assert lines[21:] == ["  ... and 8981 more"]


@pytest.mark.parametrize(
    "text",
    [
        "root: $6$salt$hash\ndaemon: '*'",
        '{"name": "secret", "version": "1"}',
        "".join(f"line{number}: secret\n" for number in range(9000)),
    ],
)
def test_a_file_that_is_no_profile_is_not_quoted(tmp_path: Path, text: str) -> None:
    """A file with none of a profile's keys is called what it is, named directly or by another profile."""
    (tmp_path / "other.yaml").write_text(text)
    said = (
        "other.yaml is not a profile: it has none of a profile's keys. `pyprocessor profiles show default` prints one"
    )
    with pytest.raises(ProfileError) as caught:
        profiles.load(str(tmp_path / "other.yaml"), environment={})
    assert str(caught.value) == f"{tmp_path}/{said} to start from."
    assert error_of(tmp_path, "extends: other.yaml") == f"{said} to start from."


def test_of_a_file_without_a_profiles_keys_slips_are_told(tmp_path: Path) -> None:
    """A misspelt key keeps its hint where it is the only one there; what is unlike any key is counted, not quoted."""
    lines = error_of(tmp_path, "vidoe: {crf: 20}\nsecret_1: 1\nsecret_2: 2").splitlines()
    assert lines[1:] == [
        "  p.yaml, line 1: unknown key `vidoe`; did you mean `video`?",
        "  p.yaml: 2 more of its keys are none that a profile has.",
    ]


def test_a_profile_may_not_name_a_pipe(tmp_path: Path) -> None:
    """A pipe that nobody writes to would be waited for until the end of days; the user may name one."""
    os.mkfifo(tmp_path / "pipe.yaml")
    assert error_of(tmp_path, "extends: pipe.yaml") == (
        "p.yaml, line 1: `extends` cannot be followed: pipe.yaml is no regular file, and no other may be named by a "
        "profile."
    )
    assert "cannot be followed: /dev/null is no regular file" in error_of(tmp_path, "extends: /dev/null")
    read, write = os.pipe()
    os.write(write, b"video: {crf: 30}")
    os.close(write)
    try:
        video = profiles.load(f"/dev/fd/{read}", environment={}).profile.video
    finally:
        os.close(read)
    assert video is not None
    assert video.crf == 30


def test_a_value_is_blamed_on_who_set_it(tmp_path: Path) -> None:
    """A value that only the whole makes wrong names the option or variable it came from."""
    assert error_of(tmp_path, "container: mp4", {"PYPROCESSOR_CRF": "60"}).startswith("PYPROCESSOR_CRF is 60, but")
    assert error_of(tmp_path, "container: mp4", None, Overrides(crf=60)).startswith("--crf is 60, but must be from 0")
    message = error_of(tmp_path, "extends: default", None, Overrides(preset="quick"))
    assert message.startswith('--preset is "quick", but must be one of ultrafast')
    assert "built-in profile default, line" in error_of(tmp_path, "extends: default\ncontainer: webm")


def test_options_for_a_picture_that_is_not_made(tmp_path: Path) -> None:
    """`--crf` with a profile of sound alone is an error; a variable set for all runs is only a notice."""
    assert error_of(tmp_path, "extends: audio", None, Overrides(crf=20)) == (
        "--crf has no effect, because the profile makes no picture; leave it out."
    )
    loaded = profiles.load("audio", environment={"PYPROCESSOR_CRF": "20"})
    assert loaded.notices == ("PYPROCESSOR_CRF has no effect, because the profile makes no picture.",)


def test_an_overrun_of_no_time(tmp_path: Path) -> None:
    """`--overrun` without an end of the time is an error, a variable gets a notice, and a file may say it."""
    assert error_of(tmp_path, "container: mp4", None, Overrides(overrun="requeue")) == (
        "--overrun has no effect, because nothing says when the time is up; give --window or --until as well, or leave "
        "it out."
    )
    loaded = profiles.load("fast", environment={"PYPROCESSOR_OVERRUN": "requeue"})
    assert loaded.notices == ("PYPROCESSOR_OVERRUN has no effect, because nothing says when the time is up.",)
    file = tmp_path / "p.yaml"
    file.write_text("schedule: {overrun: requeue}")
    assert profiles.load(str(file), environment={}).notices == ()
    with_end = profiles.load(str(file), environment={}, overrides=Overrides(until="7:00", overrun="finish"))
    assert with_end.profile.schedule.overrun is Overrun.FINISH


@pytest.mark.parametrize(
    ("name", "value", "encoder"),
    [
        ("bf", "2", "libx264"),
        ("level", "4.1", "libx264"),
        ("psy-rd", "1.0:0.1", "libx264"),
        ("x264-params", "aq-mode=3:no-mbtree=1:psy_rd=1.0,0.2", "libx264"),
        ("x265-params", "no-sao=1:aq-mode=3", "libx265"),
        ("svtav1-params", "tune=0:film-grain=8", "libsvtav1"),
        ("cpu-used", "4", "libvpx-vp9"),
        ("row-mt", "1", "libaom-av1"),
        ("rc-lookahead", "32", "hevc_nvenc"),
    ],
)
def test_allowed_options(name: str, value: str, encoder: str) -> None:
    """Options that only change how pictures are coded pass."""
    assert option_problem(name, value, encoder) is None


@pytest.mark.parametrize(
    ("name", "value", "encoder", "expected"),
    [
        ("passlogfile", "x", "libx264", "not among the options allowed"),
        ("stats", "x", "libx264", "not among the options allowed"),
        ("x264opts", "stats=x", "libx264", "did you mean"),
        ("threads", "8", "libx264", "shares the processor's cores out"),
        ("x265-params", "no-sao=1", "libx264", "not among the options allowed"),
        ("bf", "2 -y /etc/passwd", "libx264", "must be a word or a number"),
        ("bf", "", "libx264", "must be a word or a number"),
        ("x264-params", "stats=/tmp/x", "libx264", "contains 'stats'"),
        ("x264-params", "aq-mode=1:dump_yuv=x", "libx264", "contains 'dump_yuv'"),
        ("x264-params", "qpfile=x", "libx264", "contains 'qpfile'"),
        ("x264-params", "pass=1", "libx264", "sets itself"),
        ("x264-params", "threads=8", "libx264", "sets itself"),
        ("x264-params", "cqm=/etc/passwd", "libx264", "contains 'cqm'"),
        ("x264-params", "aq-mode=/etc/passwd", "libx264", "gives aq-mode the value"),
        ("x264-params", "aq-mode=1\\:stats=x", "libx264", "gives aq-mode the value"),
        ("x264-params", "aq-mode='1:stats=x'", "libx264", "gives aq-mode the value"),
        ("x264-params", "aq-mode", "libx264", "write aq-mode=1"),
        ("x264-params", "", "libx264", "must be a text key=value"),
        ("x265-params", "csv=x", "libx265", "contains 'csv'"),
        ("x265-params", "analysis-save=x", "libx265", "contains 'analysis-save'"),
        ("x265-params", "recon=x", "libx265", "contains 'recon'"),
        ("x265-params", "pools=8", "libx265", "sets itself"),
        ("svtav1-params", "stat-file=x", "libsvtav1", "contains 'stat-file'"),
        ("svtav1-params", "fgs-table=x", "libsvtav1", "contains 'fgs-table'"),
        ("svtav1-params", "lp=8", "libsvtav1", "sets itself"),
        ("svtav1-params", "mastering-display=1", "libsvtav1", "sets itself"),
    ],
)
def test_refused_options(name: str, value: str, encoder: str, expected: str) -> None:
    """Options that could name a file, take threads over, or break out of the text are refused."""
    problem = option_problem(name, value, encoder)
    assert problem is not None
    assert expected in problem


def test_an_unknown_encoder_is_left_to_ffmpeg(tmp_path: Path) -> None:
    """Encoders that are not known here get general checks only."""
    file = tmp_path / "p.yaml"
    file.write_text("video: {encoder: hevc_nvenc, preset: p5, tune: hq, crf: 30, options: {rc: vbr}}")
    video = profiles.load(str(file), environment={}).profile.video
    assert video is not None
    assert (video.encoder, video.preset, video.tune, video.crf) == ("hevc_nvenc", "p5", "hq", 30)
