"""What does an error of the operating system mean: which sentence for the user, which kind of failure?"""

from __future__ import annotations

import errno
import os

from pyprocessor.errors import FailureKind, OutputUnwritable, PublishError
from pyprocessor.errors.errnos import FORBIDDEN, MEANINGS, UNREACHABLE, WRITE_REFUSED
from pyprocessor.models import display


def publish_error(error: OSError, path: bytes, wish: str) -> PublishError:
    """The error of one file. `wish` is what was tried, as in "could not be given its name"."""
    kind, sentence = _sentence(error, path, wish)
    return PublishError(kind, sentence)


def unwritable(error: OSError, path: bytes, wish: str) -> OutputUnwritable:
    """The error of the output as a whole."""
    return OutputUnwritable(_sentence(error, path, wish)[1])


def _sentence(error: OSError, path: bytes, wish: str) -> tuple[FailureKind, str]:
    subject = f"{display(path)} {wish}"
    meaning = MEANINGS.get(error.errno or 0)
    if meaning is None:
        return FailureKind.INFRASTRUCTURE, f"{subject}: the operating system says {error.strerror or error}."
    folder = os.fsencode(error.filename) if isinstance(error.filename, (str, bytes)) else b""
    culprit = f" ({display(folder)})" if folder and path.startswith(folder + b"/") else ""
    return meaning.kind, f"{subject}: {meaning.why}{culprit}; {meaning.advice}."


def classify_os_error(error: OSError, source: bytes) -> tuple[FailureKind, str]:
    """The kind and sentence of an error met while working on `source`: reading it, or writing its product."""
    sentence = f"The operating system refused: {error}."
    number = error.errno or 0
    # FFmpeg's libraries put a protocol before a path.
    about_source = (
        isinstance(error.filename, (str, bytes)) and os.fsencode(error.filename).removeprefix(b"file:") == source
    )
    meaning = MEANINGS.get(number)
    if meaning is not None and (number in WRITE_REFUSED | FORBIDDEN or meaning.kind is FailureKind.RESOURCE):
        return meaning.kind, sentence
    if about_source:
        return FailureKind.UNAVAILABLE, sentence
    on_disk = number == errno.EIO or number in UNREACHABLE
    return FailureKind.DISK if on_disk else FailureKind.INFRASTRUCTURE, sentence
