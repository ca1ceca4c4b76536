"""What was each product made from? Receipts beside the outputs, by which a lost journal can be rebuilt.

A receipt is on the disk before the first rename of its grant; it is true exactly when what lies under each final name
has the identity in it. One line of JSON each, one file for each process that writes them.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pyprocessor.models import Source
from pyprocessor.models.os_errors import publish_error
from pyprocessor.models.products import MAIN, Product, Seal
from pyprocessor.publish.durable import sync_folder
from pyprocessor.publish.seals import seal_at

VERSION = 2
"""Of the receipts written; those of version 1 have no version, and are of one file made from one source."""
_SUFFIX = b".jsonl"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one grant published, and what that was made from. `written_at` is in seconds since the epoch.

    `token` (hex) is of the attempt and `node` is its host; both are empty in receipts of version 1.
    """

    products: tuple[tuple[Product, Seal], ...]
    inputs: tuple[Source, ...]
    params_fingerprint: str
    task: str
    token: str = ""
    node: str = field(default_factory=platform.node)
    written_at: float = field(default_factory=time.time)

    @property
    def main(self) -> tuple[Product, Seal]:
        """The main product; the first one where none has that role."""
        return next((entry for entry in self.products if entry[0].role == MAIN), self.products[0])


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
            while line:  # on a disk that is nearly full the first write takes a part, and the next fails
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
    """Yield all receipts in the folder; `on_damaged` gets the path of the file for each line that is no receipt.

    A product that was made twice has two. Raises PublishError where a file cannot be read.
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
    """Return whether all products of the receipt lie under their final names."""
    return all(_lies(product, seal, output_root) for product, seal in receipt.products)


def _lies(product: Product, seal: Seal, output_root: bytes) -> bool:
    path = os.path.join(output_root, product.name)
    try:
        mode = os.lstat(path).st_mode
        return (stat.S_ISDIR(mode) if product.folder else stat.S_ISREG(mode)) and seal_at(path) == seal
    except OSError:
        return False


def _line(receipt: Receipt) -> bytes:
    document = {
        "version": VERSION,
        "products": [
            {
                "role": product.role,
                "name": _text(product.name),
                "folder": product.folder,
                "size": size,
                "digest" if product.folder else "mtime_ns": identity,
            }
            for product, (size, identity) in receipt.products
        ],
        "inputs": [
            {
                "path": _text(source.path),
                "relative": _text(source.relative),
                "size": source.size_bytes,
                "mtime_ns": source.mtime_ns,
            }
            for source in receipt.inputs
        ],
        "params": receipt.params_fingerprint,
        "task": receipt.task,
        "attempt": receipt.token,
        "node": receipt.node,
        "time": receipt.written_at,
    }
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"


def _text(path: bytes) -> str:
    """Return a path as text: bytes that are not UTF-8 become lone surrogates, which JSON escapes."""
    return path.decode("utf-8", "surrogateescape")


def _receipt(line: bytes) -> Receipt | None:
    try:
        found = json.loads(line)
        version = found.get("version", 1)
        if version not in (1, VERSION):
            return None
        return _of_version_1(found) if version == 1 else _of_version_2(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _of_version_2(found: dict[str, Any]) -> Receipt:
    products = []
    for entry in _checked(found["products"], list):
        folder = _checked(entry["folder"], bool)
        identity = _checked(entry["digest" if folder else "mtime_ns"], int)
        product = Product(_path(entry["name"]), _checked(entry["role"], str), folder)
        products.append((product, (_checked(entry["size"], int), identity)))
    if not products:
        raise ValueError
    return Receipt(
        products=tuple(products),
        inputs=tuple(_source(entry, "path", "") for entry in _checked(found["inputs"], list)),
        params_fingerprint=_checked(found["params"], str),
        task=_checked(found["task"], str),
        token=_checked(found["attempt"], str),
        node=_checked(found["node"], str),
        written_at=_checked(found["time"], (int, float)),
    )


def _of_version_1(found: dict[str, Any]) -> Receipt:
    """Return the receipt of one file that was made of one source."""
    seal = _checked(found["size"], int), _checked(found["mtime_ns"], int)
    return Receipt(
        products=((Product(_path(found["output"])), seal),),
        inputs=(_source(found, "source", "source_"),),
        params_fingerprint=_checked(found["profile"], str),
        task=_checked(found["task"], str),
        node="",
        written_at=_checked(found["time"], (int, float)),
    )


def _source(entry: dict[str, Any], path: str, prefix: str) -> Source:
    return Source(
        path=_path(entry[path]),
        relative=_path(entry[f"{prefix}relative"]),
        size_bytes=_checked(entry[f"{prefix}size"], int),
        mtime_ns=_checked(entry[f"{prefix}mtime_ns"], int),
    )


def _path(text: Any) -> bytes:
    """Return the path again that `_text` made a text of."""
    written: str = _checked(text, str)
    return written.encode("utf-8", "surrogateescape")


def _checked(value: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value
