"""What kind of failure an error of the operating system is, and how a process's end is told."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from pyprocessor.engine.worker_crashes import how, may_be_memory
from pyprocessor.errors import FailureKind
from pyprocessor.models.os_errors import classify_os_error

SOURCE = b"/in/a.mov"


@pytest.mark.parametrize(
    ("number", "name", "kind"),
    [
        (errno.ENOSPC, "/out/.pyprocessor/partial/x.mp4", FailureKind.DISK),
        (errno.EDQUOT, None, FailureKind.DISK),
        (errno.EROFS, "/out/.pyprocessor/logs", FailureKind.DISK),
        (errno.EIO, "/out/.pyprocessor/partial/x.mp4", FailureKind.DISK),
        (errno.EIO, "/in/a.mov", FailureKind.UNAVAILABLE),
        (errno.EIO, b"/in/a.mov", FailureKind.UNAVAILABLE),
        (errno.ENOENT, "file:/in/a.mov", FailureKind.UNAVAILABLE),
        (errno.ESTALE, "/in/a.mov", FailureKind.UNAVAILABLE),
        (errno.EACCES, "/in/a.mov", FailureKind.PERMISSION),
        (errno.EMFILE, "/in/a.mov", FailureKind.RESOURCE),
        (errno.ENOMEM, None, FailureKind.RESOURCE),
        (errno.ENOENT, "/out/.pyprocessor/partial/x.mp4", FailureKind.INFRASTRUCTURE),
    ],
)
def test_the_number_and_the_file_tell_the_kind(number: int, name: str | bytes | None, kind: FailureKind) -> None:
    """A disk that fails under the source concerns that file, under the output it concerns the run."""
    found, sentence = classify_os_error(OSError(number, os.strerror(number), name), SOURCE)
    assert found is kind
    assert os.strerror(number) in sentence


@pytest.mark.parametrize(
    ("code", "memory", "told"),
    [
        (-signal.SIGKILL, True, " (SIGKILL)"),
        (-signal.SIGSEGV, False, " (SIGSEGV)"),
        (0, False, " (exit code 0)"),
        (1, False, " (exit code 1)"),
        (255, True, ""),
        (None, True, ""),
        (-64, False, " (SIGRTMAX)"),
        (-99, False, " (signal 99)"),
    ],
)
def test_how_a_process_ended(code: int | None, memory: bool, told: str) -> None:
    """An unknown cause is not named; memory may have been it, as after a SIGKILL."""
    assert (may_be_memory(code), how(code)) == (memory, told)
