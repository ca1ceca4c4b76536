"""How does a file of ours, outside of the output, get its name? Once, when it is whole and on the disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TextIO

from pyprocessor.errors import UsageError
from pyprocessor.models import display
from pyprocessor.models.os_errors import unwritable
from pyprocessor.publish.durable import sync_folder, temporary_beside
from pyprocessor.publish.renames import rename_exclusive


@contextlib.contextmanager
def new_file(path: bytes) -> Iterator[TextIO]:
    """Write a text that has this name once the block is left, and no name where an exception leaves it.

    Raises OutputUnwritable, and UsageError where the name is taken: nothing is ever replaced.
    """
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        rename_exclusive(temporary, path)
        sync_folder(os.path.dirname(path))
    except FileExistsError:
        raise UsageError(f"{display(path)} exists already; name a file that does not.") from None
    except OSError as error:
        raise unwritable(error, path, "cannot be written") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def replace_file(path: bytes, text: str) -> None:
    """Write a text of ours under a name that an older one may have. Raises OutputUnwritable."""
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        sync_folder(os.path.dirname(path))
    except OSError as error:
        raise unwritable(error, path, "cannot be written") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
