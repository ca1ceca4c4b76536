"""What is the key of an API? Looked up where it is used, so it stands in no params, journal, log or command line."""

from __future__ import annotations

import os
import stat

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.wording import one_line

MOST_KEY_BYTES = 4096
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def key(key_from: str) -> str:
    """Return the key that lies in an environment variable, "env:NAME", or a file, "file:PATH"; "" needs none.

    Raises JobError where there is none, where others may read the file, or where it is no key. No message quotes it.
    """
    kind, _, where = key_from.partition(":")
    if not key_from:
        return ""
    if kind == "env" and where:
        found = os.environ.get(where, "").strip()
        if not found:
            raise _wrong(
                f"The key of the API is to be in the environment variable {one_line(where)}, which is not set."
            )
    elif kind == "file" and where:
        found = _read(os.path.expanduser(where))
    else:
        raise _wrong('`key_from` must be "env:NAME" or "file:PATH", or empty where no key is needed.')
    if not found.isascii() or not found.isprintable() or " " in found:
        raise _wrong(f"What {one_line(key_from)} has is no key: it may hold printable ASCII characters without spaces.")
    return found


def _read(path: str) -> str:
    name = one_line(path)
    try:
        with open(path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise _wrong(f"The key of the API is to be in {name}, which is no file.")
            if found.st_mode & _OF_OTHERS:
                raise _wrong(f"Others may read the key of the API in {name}; `chmod 600` it.")
            text = file.read(MOST_KEY_BYTES + 1)
    except OSError as error:
        raise _wrong(f"The key of the API is to be in {name}, which cannot be read: {error.strerror}.") from error
    if not text.strip() or len(text) > MOST_KEY_BYTES:
        raise _wrong(f"The key of the API is to be in {name}, which is {'too large' if text.strip() else 'empty'}.")
    return text.decode("latin-1").strip()


def _wrong(sentence: str) -> JobError:
    return JobError(FailureKind.PERMISSION, sentence)
