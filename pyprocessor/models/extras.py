"""Is a library there that not every installation has?"""

from __future__ import annotations

from importlib.util import find_spec

from pyprocessor.errors import FailureKind, JobError


def check_installed(library: str, what: str, extra: str) -> None:
    """Raise JobError, with how to install it, where `what` needs a library that is not there."""
    if find_spec(library.replace("-", "_")) is None:
        text = f"{what} needs {library}, which is not installed; pip install 'pyprocessor[{extra}]'."
        raise JobError(FailureKind.NOT_INSTALLED, text)
