"""What was each output made from? Receipts beside the outputs, by which a lost journal can be rebuilt.

A receipt is on the disk before the rename; it is true exactly when what lies under the final name has its size and
mtime. One line of JSON each, one file for each process that writes them.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pyprocessor.models import Source
from pyprocessor.models.os_errors import publish_error
from pyprocessor.publish.durable import sync_folder

_SUFFIX = b".jsonl"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one output was made from. `output` is below the output root, `written_at` seconds since the epoch."""

    output: bytes
    size_bytes: int
    mtime_ns: int
    source: Source
    params_fingerprint: str
    task: str
    written_at: float = field(default_factory=time.time)


class ReceiptWriter:
    """This process's file of receipts, which is made at the first one."""

    def __init__(self, folder: bytes, run_id: int) -> None:
        self._path = os.path.join(folder, f"{run_id}-{os.getpid()}".encode("ascii") + _SUFFIX)
        self._descriptor: int | None = None

    def append(self, receipt: Receipt) -> None:
        """Bring one receipt to the disk, so that no power cut leaves an output without one. Raises PublishError."""
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            line = _line(receipt)
            while line:  # on a disk that is nearly full the first write takes a part, and the next says so
                line = line[os.write(self._descriptor, line) :]
            os.fsync(self._descriptor)
        except OSError as error:
            self.close()  # opened anew, the file gets a line break after what was written of this one
            raise publish_error(error, self._path, "could not take a receipt") from error

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        if os.fstat(descriptor).st_size:
            os.write(descriptor, b"\n")  # a kill or a full disk may have torn the last line
        else:
            sync_folder(os.path.dirname(self._path))
        return descriptor


def read_receipts(folder: bytes, on_damaged: Callable[[bytes], None] | None = None) -> Iterator[Receipt]:
    """Yield all receipts in the folder; `on_damaged` gets the path of the file for each line that is none.

    An output that was made twice has two. Raises PublishError where a file cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))
    except OSError as error:
        raise publish_error(error, folder, "could not be listed") from error
    for name in names:
        path = os.path.join(folder, name)
        try:
            with open(path, "rb", opener=_opened_if_a_file) as lines:
                for line in lines:
                    receipt = _receipt(line)
                    if receipt is not None:
                        yield receipt
                    elif on_damaged is not None and line.strip():
                        on_damaged(path)
        except OSError as error:
            raise publish_error(error, path, "could not be read") from error


def _opened_if_a_file(path: str | bytes, flags: int) -> int:
    """Open a file, refusing links and pipes: an output folder among the sources may be another user's."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file", path)
    return descriptor


def latest_run(folder: bytes) -> int:
    """Return the highest number of a run that there are receipts of; 0 where there are none."""
    try:
        names = os.listdir(folder)
    except OSError:
        return 0
    runs = (name.partition(b"-")[0] for name in names if name.endswith(_SUFFIX))
    return max((int(run) for run in runs if run.isdigit()), default=0)


def matches(receipt: Receipt, output_root: bytes) -> bool:
    """Return whether the output of the receipt lies under its final name."""
    try:
        found = os.lstat(os.path.join(output_root, receipt.output))
    except OSError:
        return False
    same = (found.st_size, found.st_mtime_ns) == (receipt.size_bytes, receipt.mtime_ns)
    return same and stat.S_ISREG(found.st_mode)


def _line(receipt: Receipt) -> bytes:
    source = receipt.source
    document = {
        "output": _text(receipt.output),
        "size": receipt.size_bytes,
        "mtime_ns": receipt.mtime_ns,
        "source": _text(source.path),
        "source_relative": _text(source.relative),
        "source_size": source.size_bytes,
        "source_mtime_ns": source.mtime_ns,
        "profile": receipt.params_fingerprint,
        "task": receipt.task,
        "time": receipt.written_at,
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"


def _text(path: bytes) -> str:
    """Return a path as text: bytes that are not UTF-8 become lone surrogates, which JSON escapes."""
    return path.decode("utf-8", "surrogateescape")


def _receipt(line: bytes) -> Receipt | None:
    try:
        found = json.loads(line)
        return Receipt(
            output=_path(found["output"]),
            size_bytes=_checked(found["size"], int),
            mtime_ns=_checked(found["mtime_ns"], int),
            source=Source(
                path=_path(found["source"]),
                relative=_path(found["source_relative"]),
                size_bytes=_checked(found["source_size"], int),
                mtime_ns=_checked(found["source_mtime_ns"], int),
            ),
            params_fingerprint=_checked(found["profile"], str),
            task=_checked(found["task"], str),
            written_at=_checked(found["time"], (int, float)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _path(text: Any) -> bytes:
    """Return the path again that `_text` made a text of."""
    written: str = _checked(text, str)
    return written.encode("utf-8", "surrogateescape")


def _checked(value: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value
