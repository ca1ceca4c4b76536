"""Which ffmpeg is used, what can it do, and do the profile's encoders work with it?

The default is the build inside the `imageio-ffmpeg` wheel: costs were measured on it, and every machine then makes the
same files. IMAGEIO_FFMPEG_EXE is ignored: it is set for other programs and would silently change the outputs here.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyprocessor.errors import FfmpegUnusable, ProfileError
from pyprocessor.ffmpeg.diagnosis import cause_of
from pyprocessor.ffmpeg.invocation import environment, trial_encode_argv
from pyprocessor.ffmpeg.run import FfmpegRun
from pyprocessor.models import Profile
from pyprocessor.models.encoders import (
    AUDIO_ENCODERS,
    VIDEO_ENCODERS,
    audio_encoder,
    encoders_for,
    is_hardware,
    muxer,
    video_encoder,
)

_MINIMUM_LIBAVCODEC = (59, 37)
"""Of FFmpeg 5.1, the first with `-svtav1-params` and `-fps_mode`. Builds from git have no version number but this."""
_ANSWER_SECONDS = 30.0
"""A cold start from a slow disk takes a second or two; what does not answer by then is not ffmpeg."""
_TRIAL_SECONDS = 30.0
"""Drivers of some cards take seconds to start."""
_NOT_HELD = re.compile(r"Could not write header .*incorrect codec parameters")
"""FFmpeg's message, after the muxer's own, where a container does not hold a codec."""
_ADVICE = "Set PYPROCESSOR_FFMPEG to the path of a working ffmpeg, or to `system`, or leave it unset."


@dataclass(frozen=True, slots=True)
class Tool:
    """One ffmpeg: its absolute path, its version and that of its libavcodec, and the names of what it has."""

    path: str
    version: str
    libavcodec: str
    video_encoders: frozenset[str]
    audio_encoders: frozenset[str]
    subtitle_encoders: frozenset[str]
    muxers: frozenset[str]

    @property
    def encoders(self) -> frozenset[str]:
        return self.video_encoders | self.audio_encoders | self.subtitle_encoders


def find(variables: Mapping[str, str] = os.environ) -> Tool:
    """The ffmpeg to use, as the environment `variables` say; raises FfmpegUnusable."""
    wanted = variables.get("PYPROCESSOR_FFMPEG", "")
    if not wanted:
        path, source = _bundled(), "The ffmpeg inside the imageio-ffmpeg package"
    elif wanted == "system":
        path, source = _on_path(variables.get("PATH")), "The ffmpeg on PATH, which PYPROCESSOR_FFMPEG=system asks for"
    else:
        path, source = os.path.abspath(os.path.expanduser(wanted)), "The ffmpeg that PYPROCESSOR_FFMPEG names"
    name = f"{source} ({path})"
    try:
        status = os.stat(path)
    except OSError as error:
        raise FfmpegUnusable(f"{name} cannot be read: {error.strerror}. {_ADVICE}") from error
    if os.path.isdir(path):
        raise FfmpegUnusable(f"{name} is a folder; name the program inside it.")
    memory = _memory_file(path, status.st_size, status.st_mtime_ns)
    known = _remembered(memory)
    if known is not None and not wanted:
        return known
    # A dynamically linked ffmpeg changes with its libraries while its own file stays the same: ask its version anew.
    version, libavcodec = _version(path, name)
    if known is not None and (known.version, known.libavcodec) == (version, libavcodec):
        return known
    tool = _ask(path, name, version, libavcodec)
    _remember(memory, tool)
    return tool


def _bundled() -> str:
    # The package itself is not imported: only the place of its files is asked for.
    spec = importlib.util.find_spec("imageio_ffmpeg")
    if spec is None or spec.origin is None:
        raise FfmpegUnusable(
            "The package imageio-ffmpeg, which brings ffmpeg along, is not installed. "
            "Run `pip install imageio-ffmpeg`, or set PYPROCESSOR_FFMPEG to the path of an ffmpeg, or to `system`."
        )
    folder = Path(spec.origin).parent / "binaries"
    programs = sorted(folder.glob("ffmpeg-*"))
    if not programs:
        raise FfmpegUnusable(
            f"The installed package imageio-ffmpeg holds no ffmpeg for this kind of machine (looked in {folder}). "
            "Install ffmpeg and set PYPROCESSOR_FFMPEG to its path, or to `system`."
        )
    return str(programs[-1])


def _on_path(search: str | None) -> str:
    found = shutil.which("ffmpeg", path=search)
    if found is None:
        raise FfmpegUnusable(
            "PYPROCESSOR_FFMPEG is `system`, but no folder on PATH holds an ffmpeg. "
            "Install one, or leave PYPROCESSOR_FFMPEG unset to use the one that comes with pyprocessor."
        )
    return os.path.abspath(found)


def _answer(path: str, name: str, option: str) -> str:
    """What the ffmpeg at `path` prints for `option`."""
    try:
        process = subprocess.Popen(
            [path, "-hide_banner", option],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(os.environ),
            encoding="utf-8",
            errors="replace",
            # A session of its own, so that what a wrapper script has started can be ended along with it.
            start_new_session=True,
        )
    except OSError as error:
        reasons = {
            errno.ENOEXEC: "it is not a program for this machine's architecture",
            errno.EACCES: "it is not executable, or lies on a file system mounted without exec",
            errno.ENOENT: "the loader or interpreter it needs is not installed",
        }
        why = reasons.get(error.errno or 0) or error.strerror or str(error)
        raise FfmpegUnusable(f"{name} does not start: {why}. {_ADVICE}") from error
    try:
        text, _ = process.communicate(timeout=_ANSWER_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise FfmpegUnusable(f"{name} did not answer within {_ANSWER_SECONDS:.0f} seconds. {_ADVICE}") from error
    finally:
        _end(process)
    if process.returncode != 0:
        how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        raise FfmpegUnusable(f"{name} ended with {how} when asked what it can do. {_ADVICE}")
    return text


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process that has not answered, with all that it started; wait for it for a limited time."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()
    # One that sits in a system call, on a dead network folder for instance, cannot even be killed.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2.0)


def _version(path: str, name: str) -> tuple[str, str]:
    text = _answer(path, name, "-version")
    version = re.match(r"ffmpeg version (\S+)", text)
    library = re.search(r"^libavcodec\s.*/\s*(\d+)\.\s*(\d+)\.", text, re.MULTILINE)
    if version is None or library is None:
        raise FfmpegUnusable(f"{name} is not an ffmpeg. {_ADVICE}")
    if (int(library[1]), int(library[2])) < _MINIMUM_LIBAVCODEC:
        raise FfmpegUnusable(
            f"{name} is version {version[1]}, but 5.1 or newer is needed: older ones "
            "have no option for how many threads SVT-AV1 may use, nor for how to keep the frames' timing. "
            "Update it, or leave PYPROCESSOR_FFMPEG unset to use the one that comes with pyprocessor."
        )
    return version[1], f"{library[1]}.{library[2]}"


_LEGEND_END = re.compile(r"^ *-{2,}$", re.MULTILINE)
_CODEC_LINE = re.compile(r"^ ([VAS])[A-Z.]{5} (\S+)", re.MULTILINE)
_FORMAT_LINE = re.compile(r"^ [D ][E ][d ]? *(\S+)", re.MULTILINE)


def _ask(path: str, name: str, version: str, libavcodec: str) -> Tool:
    # The legend above the line of dashes looks much like the list below it.
    encoders, muxers = (_LEGEND_END.split(_answer(path, name, option))[-1] for option in ("-encoders", "-muxers"))
    names = _CODEC_LINE.findall(encoders)
    video, audio, subtitles = (frozenset(encoder for kind, encoder in names if kind == wanted) for wanted in "VAS")
    aliases = (alias for muxer_names in _FORMAT_LINE.findall(muxers) for alias in muxer_names.split(","))
    return Tool(path, version, libavcodec, video, audio, subtitles, frozenset(aliases))


def _memory_file(path: str, size_bytes: int, mtime_ns: int) -> str:
    """The file, in the user's cache folder, with what this very program answered."""
    import platformdirs

    key = hashlib.sha256(repr((Tool.__slots__, path, size_bytes, mtime_ns)).encode()).hexdigest()[:16]
    return os.path.join(platformdirs.user_cache_dir("pyprocessor", appauthor=False), f"ffmpeg-{key}.json")


def _remembered(file: str) -> Tool | None:
    """What was remembered in `file`; None where it is missing or damaged."""
    try:
        values: dict[str, Any] = json.loads(Path(file).read_text(encoding="utf-8"))
        names = {name: frozenset(value) for name, value in values.items() if isinstance(value, list)}
        return Tool(**values | names)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _remember(file: str, tool: Tool) -> None:
    text = json.dumps({name: sorted(v) if isinstance(v, frozenset) else v for name, v in asdict(tool).items()})
    # Without a writable cache folder the next start asks ffmpeg again, which costs 50 ms and changes nothing else.
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(file), exist_ok=True)
        Path(file).write_text(text, encoding="utf-8")


def require(tool: Tool, profile: Profile) -> None:
    """Check that this ffmpeg has the encoders and the muxer that the profile names; raises ProfileError."""
    if profile.video is not None:
        _require_encoder(tool, profile, profile.video.encoder, "video", tool.video_encoders)
    if profile.audio is not None:
        _require_encoder(tool, profile, profile.audio.encoder, "audio", tool.audio_encoders)
    if muxer(profile.container) not in tool.muxers:
        raise ProfileError(
            f"The profile {profile.name} asks for the container {profile.container!r}, which this ffmpeg "
            f"({tool.version}) cannot write.{_nearest(profile.container, tool.muxers)}"
        )


def _require_encoder(tool: Tool, profile: Profile, name: str, kind: str, known: frozenset[str]) -> None:
    experimental = audio_encoder(name).experimental and "-strict" not in profile.unsafe.output
    if (name in known and not experimental) or name == "copy":
        return
    lacks = "will not use, since it is experimental" if experimental else "does not have"
    other = " (it is an encoder, but of another kind of stream)" if name in tool.encoders else ""
    meant = next((encoder for encoder in encoders_for(name)[experimental:] if encoder in known), None)
    elsewhere = next((encoder for encoder in encoders_for(name) if encoder in tool.encoders), None)
    if meant is not None:
        hint = f" Did you mean {meant}?"
    elif elsewhere is not None and not other:
        hint = f" {elsewhere}, which may be meant, is an encoder of another kind of stream."
    else:
        hint = _nearest(name, known)
    table = VIDEO_ENCODERS if kind == "video" else AUDIO_ENCODERS
    examples = [encoder for encoder, facts in table.items() if facts.usual and encoder in known]
    having = f" Among the {kind} encoders it has are {', '.join(examples)}." if examples else ""
    raise ProfileError(
        f"The profile {profile.name} asks for the {kind} encoder {name!r}, which this ffmpeg ({tool.version}) "
        f"{lacks}{other}.{hint}{having}"
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=3)
    return f" Nearest: {', '.join(near)}." if near else ""


def require_working(tool: Tool, profile: Profile) -> None:
    """Try each unusual encoder on one frame: its device may be missing, or the container may not hold it.

    Raises ProfileError; other failures mean nothing, as some encoders take only the sizes or rates of their standard.
    """
    if profile.video is not None and not video_encoder(profile.video.encoder).usual:
        _require_trial(tool, profile, profile.video.encoder, "video")
    if profile.audio is not None and not audio_encoder(profile.audio.encoder).usual:
        _require_trial(tool, profile, profile.audio.encoder, "audio")


def _require_trial(tool: Tool, profile: Profile, encoder: str, kind: str) -> None:
    if encoder == "copy":
        return
    command = trial_encode_argv(tool.path, encoder, kind[0], profile.container)
    finished = FfmpegRun(command, env=environment(os.environ), wall_limit_seconds=_TRIAL_SECONDS).wait()
    if _NOT_HELD.search(finished.stderr_text):
        raise ProfileError(
            f"The profile {profile.name} asks for the {kind} encoder {encoder!r} in the container "
            f"{profile.container!r}, which does not hold what that makes; choose another encoder, or the container mkv."
        )
    cause = cause_of(finished, b"the trial")
    if cause is not None and is_hardware(encoder):
        said = f" ({cause.quote})" if cause.quote else ""
        raise ProfileError(
            f"The profile {profile.name} asks for the {kind} encoder {encoder!r}, which this ffmpeg ({tool.version}) "
            f"has, but which does not work on this machine{said}. See that its device is "
            "there, its driver installed and this user allowed to use it, or choose a software encoder such as libx264."
        )
