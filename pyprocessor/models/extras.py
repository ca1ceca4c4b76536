"""Which libraries does not every installation have, which extra brings each, and is it there?"""

from __future__ import annotations

from importlib.util import find_spec

from pyprocessor.errors import FailureKind, JobError

LIBRARIES = {
    "httpx": (("download", "openai"), "downloads and servers that transcribe"),
    "yt-dlp": (("youtube",), "pages of videos"),
    "faster-whisper": (("faster-whisper",), "transcription on this machine"),
    "pocketsphinx": (("pocketsphinx",), "small transcription on this machine"),
    "jiwer": (("openai", "faster-whisper", "pocketsphinx"), "word error rates"),
    "numpy": (("frames",), "frames as arrays and analyses of them"),
    "cloudpickle": (("services",), "handlers that are no functions of a module"),
}
"""Each with the extras that bring it, and what it is for. Tasks cannot do without the first one of their extra."""


def is_installed(extra: str) -> bool:
    """Whether the library is there that an extra is for."""
    return _is_there(_library_of(extra))


def check_installed(extra: str, what: str, *, library: str = "") -> None:
    """Raise JobError, with how to install it, where `what` needs a library that is not there; by default the first."""
    library = library or _library_of(extra)
    if not _is_there(library):
        text = f"{what} needs {library}, which is not installed; pip install 'pyprocessor[{extra}]'."
        raise JobError(FailureKind.NOT_INSTALLED, text)


def _library_of(extra: str) -> str:
    return next(library for library, (extras, _) in LIBRARIES.items() if extra in extras)


def _is_there(library: str) -> bool:
    return find_spec(library.replace("-", "_")) is not None
