"""Exit codes, failure kinds and the exception hierarchy.

Every exception that may reach a user carries the exit code the command ends with and, where it is about one file,
the kind of failure. Messages are whole sentences: which file, what is wrong, what to do.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class ExitCode(IntEnum):
    """What the command returns to the shell; 3 as service scripts have it, 69 to 75 as sysexits.h, 129 to 143 are 128 +
    signal."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    FFMPEG_UNUSABLE = 69
    INTERNAL = 70
    OUTPUT_UNWRITABLE = 74
    TRY_AGAIN = 75
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class FailureKind(StrEnum):
    """Why a job failed, which decides whether trying again can help."""

    BAD_INPUT = "bad_input"
    """The source is damaged, empty, truncated or not media."""
    UNSUPPORTED = "unsupported"
    """The source is whole, but this ffmpeg or this profile cannot handle it."""
    NOT_INSTALLED = "not_installed"
    """A library that the task needs is not there."""
    RESOURCE = "resource"
    """Memory or processes ran out."""
    STALL = "stall"
    """No progress for too long, or over the wall time limit."""
    CRASH = "crash"
    """A process died of a signal or an internal error."""
    DISK = "disk"
    """No space left, a quota, or an input/output error on the output."""
    PERMISSION = "permission"
    """A file or folder may not be read or written."""
    UNAVAILABLE = "unavailable"
    """The source, or the server that a call talks to, cannot be reached: moved away, or it does not answer."""
    INFRASTRUCTURE = "infrastructure"
    """Our own machinery failed: a pipe broke, a process could not be started."""


class PyprocessorError(Exception):
    """Base of all errors meant for the user; `str(error)` is the sentence to show."""

    exit_code: ExitCode = ExitCode.INTERNAL


class UsageError(PyprocessorError):
    """The command line or the arguments of a call make no sense."""

    exit_code = ExitCode.USAGE


class ProfileError(UsageError):
    """A profile or configuration file cannot be used."""


class FfmpegUnusable(PyprocessorError):
    """No ffmpeg was found, it does not start, or it lacks what the profile asks for."""

    exit_code = ExitCode.FFMPEG_UNUSABLE


class OutputUnwritable(PyprocessorError):
    """The output folder cannot be created or written, or its disk is full."""

    exit_code = ExitCode.OUTPUT_UNWRITABLE


class OutputBusy(PyprocessorError):
    """Another run holds this output folder."""

    exit_code = ExitCode.TRY_AGAIN


class JournalError(PyprocessorError):
    """The journal cannot be opened or is damaged."""

    exit_code = ExitCode.OUTPUT_UNWRITABLE


class NoJournal(JournalError):
    """There is no journal, or an empty one that no run has written to."""

    exit_code = ExitCode.USAGE


class JournalDamaged(JournalError):
    """The file is no journal, or a damaged one; it can only be rebuilt."""


class JournalOutdated(JournalDamaged):
    """The file was written by an older program, whose journals are not kept; it can only be rebuilt."""


class InputSilent(PyprocessorError):
    """The input's file system does not answer, as a network share does whose server is gone."""

    exit_code = ExitCode.TRY_AGAIN


class ChildUnstartable(PyprocessorError):
    """No process can be started, or each ends before it sends a message."""

    exit_code = ExitCode.TRY_AGAIN


class JobError(PyprocessorError):
    """One file cannot be done; the others go on."""

    exit_code = ExitCode.SOME_FAILED

    def __init__(self, kind: FailureKind, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds
        """How long a server asked to be left alone, where it did."""


class InspectError(JobError):
    """A source cannot be inspected."""


class VerifyError(JobError):
    """An output is not what it should be; it is never published."""


class PublishError(JobError):
    """A verified output could not be given its final name."""
