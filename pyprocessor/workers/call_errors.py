"""What does an error of the operating system mean that a call has met: is it about the output, an input, or neither?"""

from __future__ import annotations

import os
from collections.abc import Sequence

from pyprocessor.errors import FailureKind
from pyprocessor.errors.errnos import UNREACHABLE
from pyprocessor.models import Source
from pyprocessor.models.os_errors import classify_os_error
from pyprocessor.state.state_folder import write_refused


def failure_of_call(
    error: OSError, inputs: Sequence[Source], output: bytes, partials: bytes
) -> tuple[FailureKind, str]:
    """Return the kind and sentence of the job's failure.

    A call may work anywhere, so a disk ends the run only where the error names a file in the output, or nothing can be
    written there now.
    """
    name = os.fsencode(error.filename) if isinstance(error.filename, (str, bytes)) else None
    kind, sentence = classify_os_error(error, next((one.path for one in inputs if one.path == name), b""))
    if kind is not FailureKind.DISK:
        return kind, sentence
    if name is not None and any(name == folder or name.startswith(folder + b"/") for folder in (output, partials)):
        return kind, sentence
    refused = write_refused(partials, output)
    if refused is not None:
        return kind, refused
    return FailureKind.UNAVAILABLE if error.errno in UNREACHABLE else FailureKind.INFRASTRUCTURE, sentence
