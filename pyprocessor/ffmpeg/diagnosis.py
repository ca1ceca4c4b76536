"""Why did an ffmpeg fail? Derived from how it ended and what it printed; pure.

The patterns were taken from real failures of FFmpeg 9.0.2. Its exit code is the low byte of its error number and says
little by itself; some failures end with exit code 0.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import NamedTuple

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.models.wording import one_line
from pyprocessor.system.child_process import EndedBy

_DEADLY = (signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGKILL, signal.SIGSEGV)
_SHELL_KILLED, _SIGNALLED = 128, 255
"""What shells add to a signal to make an exit code; ffmpeg's after SIGTERM or SIGINT, or one error of its own."""
_SHORTEST_RULE = 14
"""Characters of the shortest words that a storage rule looks for; shorter pieces of a path cannot hold them."""


class Cause(NamedTuple):
    """Why an ffmpeg failed: the sentence has no full stop; `quote` is what ffmpeg says, where that adds anything."""

    kind: FailureKind
    sentence: str
    quote: str = ""


def diagnose(finished: Finished, source: bytes) -> JobError | None:
    """Why `finished`, which worked on the file `source`, failed; None is no proof of a good output."""
    cause = cause_of(finished, source)
    if cause is None:
        return None
    return JobError(cause.kind, cause.sentence + (f" (ffmpeg says: {cause.quote})." if cause.quote else "."))


def check(finished: Finished, source: bytes) -> None:
    """Raise the JobError of `diagnose`, if there is one."""
    if (problem := diagnose(finished, source)) is not None:
        raise problem


def cause_of(finished: Finished, source: bytes) -> Cause | None:
    """Why it failed, in parts; None as in `diagnose`."""
    lines = _without(source, finished.stderr_text).splitlines()
    if finished.ended_by is not None:
        return _ended(finished, finished.ended_by, lines)
    if finished.returncode < 0:
        return _killed(-finished.returncode, lines)
    # A script around ffmpeg reports its death as shells do. ffmpeg's own exit codes come with a line that says why.
    if finished.returncode - _SHELL_KILLED in _DEADLY and _cause(lines) is None:
        return _killed(finished.returncode - _SHELL_KILLED, lines)
    storage = next((rule for rule in _STORAGE_RULES if rule.search(lines) is not None), None)
    if storage is not None:
        return Cause(storage.kind, storage.sentence)
    if finished.returncode == 0:
        return None
    if finished.returncode == _SIGNALLED and not any(line.endswith("Operation not permitted") for line in lines):
        return Cause(FailureKind.INFRASTRUCTURE, f"ffmpeg was ended {_BY}")
    for rule in _RULES:
        line = rule.search(lines)
        if line is not None:
            return Cause(rule.kind, rule.sentence, _quoted(_cause(lines) or line) if rule.quote else "")
    # Without a line that says more, damage in the file is by far the likeliest reason; trying again will not help.
    sentence = f"ffmpeg could not process it (exit code {finished.returncode})"
    return Cause(FailureKind.BAD_INPUT, sentence, _quoted(_cause(lines)))


def _without(source: bytes, text: str) -> str:
    """`text` without the source's path: a file's name may hold the words that a rule looks for."""
    for piece in re.split(rb"[\r\n]", source):  # each begins a line of its own
        known = piece.decode("utf-8", "backslashreplace").rstrip()
        if len(known) >= _SHORTEST_RULE:
            text = text.replace(known, "...")
    return text


def _ended(finished: Finished, ended_by: EndedBy, lines: list[str]) -> Cause:
    progress = finished.progress
    reached = f" at {progress.out_time_seconds:.1f} s of the output" if progress is not None else " before its start"
    kind, sentence = _ENDED[ended_by]
    quote = _quoted(_cause(lines)) if ended_by is EndedBy.STALL else ""
    return Cause(kind, sentence.format(reached=reached, seconds=finished.wall_seconds), quote)


def _killed(number: int, lines: list[str]) -> Cause:
    name = next((known.name for known in signal.Signals if known == number), f"signal {number}")
    # Several encoders abort or crash where memory is refused to them.
    short = next((rule for rule in _SHORTAGE_RULES if rule.search(lines) is not None), None)
    if short is not None and name not in ("SIGXFSZ", "SIGXCPU"):
        return Cause(short.kind, short.sentence)
    if name not in _KILLED:
        return Cause(FailureKind.CRASH, f"ffmpeg crashed ({name})", _quoted(_cause(lines)))
    kind, sentence = _KILLED[name]
    return Cause(kind, sentence.format(name=name))


_BY = "by another program or by the system"
_TOO_LARGE = (
    "Its output grew far larger than a file of its size should give, so ffmpeg was ended{reached}. If it is sound,"
    " raise `input_limits.max_output_growth` in the profile and run with --retry-failed"
)
_ENDED = {
    EndedBy.STALL: (FailureKind.STALL, "ffmpeg made no progress for too long{reached} and was ended"),
    EndedBy.WALL: (FailureKind.STALL, "ffmpeg took longer than it may ({seconds:.0f} s) and was ended{reached}"),
    EndedBy.SIZE: (FailureKind.BAD_INPUT, _TOO_LARGE),
    EndedBy.STOP: (FailureKind.INFRASTRUCTURE, "ffmpeg was stopped before it was done"),
}
_KILLED = {
    "SIGXFSZ": (FailureKind.DISK, "The output grew larger than this system's limit on file sizes"),
    "SIGXCPU": (FailureKind.RESOURCE, "ffmpeg used up the CPU time that this system allows a process"),
    "SIGKILL": (FailureKind.CRASH, f"ffmpeg was killed {_BY} ({{name}})"),
    # These came before ffmpeg had its handlers, which make an exit code of them.
    **dict.fromkeys(
        ("SIGTERM", "SIGHUP", "SIGINT"), (FailureKind.INFRASTRUCTURE, f"ffmpeg was ended {_BY} ({{name}})")
    ),
}


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: FailureKind
    pattern: re.Pattern[str]
    sentence: str
    quote: bool
    """Whether ffmpeg's own words add anything to the sentence."""

    def search(self, lines: list[str]) -> str | None:
        return next((line for line in lines if self.pattern.search(line)), None)


def _rule(kind: str, pattern: str, sentence: str, *, quote: bool = True) -> _Rule:
    return _Rule(FailureKind(kind), re.compile(pattern), sentence, quote)


_AWAY = (
    r"(?:Input/output error|Remote I/O error|Stale file handle|Transport endpoint is not connected|No such device"
    r"|No such device or address|Host is down|No route to host|Connection timed out|Socket not connected)"
)
_ON_OUTPUT = r"^\[out#\d.*: "
_ON_INPUT = "Error opening input"
_DENIED = rf"{_ON_OUTPUT}(?:Permission denied|Operation not permitted)$"
_REMOVED = rf"Unable to re-open |{_ON_OUTPUT}No such file or directory$"
_NOT_OPENED = rf"{_ON_OUTPUT}(?:Too many open files(?: in system)?|Device or resource busy|File name too long)$"
_NO_STREAMS = r"Output file does not contain any stream|matches no streams"
_UNSAFE = r"[Ff]ormat not on whitelist|[Pp]rotocol '?\w+'? not on whitelist|Not detecting m3u8"
_NO_MEMORY = r"Cannot allocate memory|malloc of size \d+ failed|insufficient resources|[Oo]ut of memory|std::bad_alloc"
_NO_DECODER = r"no decoder found for|Decoder not found|Decoder \(codec [^)]*\) not found|Unknown decoder"
_NO_ENCODER = r"Unknown encoder|Encoder not found|Automatic encoder selection failed"
_NO_OPTION = (
    r"Requested output format .* is not known|Unrecognized option|Option not found|Error parsing options"
    r"|Error applying option"
)
_NO_HARDWARE = (
    r"Cannot load lib|No VA display|Device creation failed|MFX session|hardware device context"
    r"|DLL .* failed to open|No device available|No capable devices found|Driver does not support"
)
_NOT_HELD = (
    r"codec not currently supported in container|Could not find tag for codec|Only .* supported in|does not support"
    r" .*attach|Could not write header"
)
_NO_MEDIA = (
    rf"{_ON_INPUT}|Error while opening decoder|[Cc]ould not find codec parameters|Cannot determine format of input"
)

_STORAGE_RULES = (
    _rule("disk", r"No space left on device\)?$", "The disk of the output is full"),
    _rule("disk", r"Disk quota exceeded\)?$", "The disk quota of the output is used up"),
    _rule("disk", r"File too large\)?$", "The output is larger than its file system or a limit allows"),
    _rule("disk", r"Read-only file system\)?$", "The file system of the output is read-only"),
    _rule("disk", rf"{_ON_OUTPUT}{_AWAY}$", "The disk of the output does not take what is written"),
)
"""Looked for whatever the exit code. They are always about an output: reading ends with none of them."""

_SHORTAGE_RULES = (
    _rule("resource", _NO_MEMORY, "ffmpeg ran out of memory; fewer jobs at once or a faster preset need less"),
    _rule(
        "resource",
        r"Resource temporarily unavailable|pthread_create.*failed",
        "ffmpeg could not start a thread: memory, or what this system allows in processes, is used up",
    ),
)

_RULES = (
    _rule("permission", _DENIED, "The folder of the output may not be written to", quote=False),
    _rule("infrastructure", _REMOVED, "Its unfinished output, or the folder of that, was removed", quote=False),
    _rule("infrastructure", _NOT_OPENED, "Its output could not be opened"),
    _rule("permission", rf"{_ON_INPUT}: Permission denied$", "It may not be read", quote=False),
    _rule("unavailable", rf"{_ON_INPUT}: No such file or directory$", "It is no longer there", quote=False),
    _rule("unavailable", rf"(?:{_ON_INPUT}|Error during demuxing): {_AWAY}$", "It cannot be read from its disk"),
    _rule("bad_input", rf"{_ON_INPUT}: Is a directory", "It is a folder and not a file", quote=False),
    _rule(
        "bad_input",
        _UNSAFE,
        "It is no video that is accepted, but a playlist, a script, a picture or the like, which may read other files",
        quote=False,
    ),
    # A damaged header may claim any size; memory that is truly short fails later, in an encoder or a filter.
    _rule(
        "bad_input",
        rf"{_ON_INPUT}: Cannot allocate memory",
        "It is damaged: its header asks for more memory than there is",
    ),
    *_SHORTAGE_RULES,
    _rule("unsupported", _NO_DECODER, "This ffmpeg has no decoder for one of its streams"),
    _rule("bad_input", _NO_STREAMS, "It does not hold the streams it should"),
    _rule("unsupported", _NO_ENCODER, "This ffmpeg does not have the encoder that the profile asks for"),
    _rule(
        "unsupported", r"No such filter|Filter not found", "This ffmpeg does not have a filter that is needed for it"
    ),
    _rule("unsupported", _NO_OPTION, "This ffmpeg does not know an option that was given to it"),
    _rule("unsupported", _NO_HARDWARE, "The hardware encoder does not work here"),
    _rule("unsupported", _NOT_HELD, "The output's container cannot hold one of its streams"),
    _rule("unsupported", r"Impossible to convert between the formats", "Its pictures cannot be converted"),
    _rule("bad_input", r"moov atom not found", "It is cut off, damaged or no media at all: it has no index"),
    _rule("bad_input", r"Decode error rate", "Most of it cannot be decoded: it is damaged or encrypted"),
    _rule("unsupported", r"patches welcome|not (yet )?implemented", "It uses something that ffmpeg does not support"),
    _rule("bad_input", _NO_MEDIA, "It is damaged or not media"),
    _rule("unsupported", r"Error while opening encoder", "The encoder does not take these settings for it"),
    _rule("bad_input", r"Invalid data found when processing input", "It is damaged"),
)
"""The first rule that any line matches decides, so the surest signs stand first."""


_CONTEXT = re.compile(r"^(?:\[[^\]]* @ (?:0x)?[0-9a-fA-F]+\] *)+")
_LEVEL = re.compile(r"^\[(?:error|fatal|panic)\] *")
_ADDRESS = re.compile(r" @ (?:0x)?[0-9a-fA-F]{6,}|\b0x[0-9a-f]{9,}\b")
_OUTPUT_NAME = re.compile(r"(?<=muxer for )\S+(?=:)|(?<=opening output )\S+(?=:)")
"""A temporary name, which no reader knows."""

_CONSEQUENCE = re.compile(
    r"Error opening (?:in|out)put files?\b|Error opening output|Terminating thread|Task finished|Nothing was written"
    r"|Could not open encoder before EOF|Error sending frames|Error while opening (?:en|de)coder|Error closing file"
    r"|Error splitting the argument list|Error parsing (?:global )?options|Conversion failed"
    r"|Error submitting (?:a )?(?:packet|video frame|audio frame)|Error encoding a frame|Decode error rate"
    r"|^\[in#\d+[^\]]*\] \[error\] Error opening input: |error reading header|does not contain any stream"
)
"""Messages that follow from an earlier one, which says more."""

_LONGEST_QUOTE = 200
_LEVELLED = re.compile(r"\[(?:error|fatal|panic)\]|^(?:x26[45]|Svt)\s?\[error\]")


def _cause(lines: list[str]) -> str | None:
    """The line that most likely says why: the first error that is not the consequence of another."""
    errors = [line for line in lines if _LEVELLED.search(line)]
    return next((line for line in errors if not _CONSEQUENCE.search(line)), errors[0] if errors else None)


def _quoted(line: str | None) -> str:
    """`line` without addresses and levels; empty where there is none."""
    if line is None:
        return ""
    text = _LEVEL.sub("", _CONTEXT.sub("", line))
    text = _OUTPUT_NAME.sub("the output", _ADDRESS.sub("", text)).strip().rstrip(".")
    if len(text := one_line(text)) > _LONGEST_QUOTE:
        text = text[:_LONGEST_QUOTE] + "..."
    return text
