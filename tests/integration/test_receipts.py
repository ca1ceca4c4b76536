"""What outputs were made from."""

from __future__ import annotations

import errno
import json
import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import Source
from pyprocessor.models.products import Product
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.partials import seal
from pyprocessor.publish.publish import publish
from pyprocessor.publish.receipts import Receipt, ReceiptWriter, matches, read_receipts

ODD = Source(b"/in/\xfe", b"\xfe", 3, 4)


def receipt(number: int, output: bytes = b"out \xff\n.mp4") -> Receipt:
    """A receipt with an odd name."""
    return Receipt(((Product(output), (number, 2)),), (ODD,), "profile", "transcode", "c0ffee", "host", 5.5)


def sizes_in(folder: bytes) -> list[int]:
    """The size of the main product in each receipt."""
    return [found.main[1][0] for found in read_receipts(folder)]


def test_receipts_come_back(tmp_path: Path) -> None:
    """Names that are no text survive; one private file for each process of each run."""
    folder = bytes(tmp_path)
    first, second = ReceiptWriter(folder, 1), ReceiptWriter(folder, 2)
    assert list(read_receipts(folder)) == []
    first.append(receipt(1))
    second.append(receipt(2))
    first.append(receipt(3))
    assert sizes_in(folder) == [1, 3, 2]
    assert next(read_receipts(folder)) == receipt(1)
    first.close()
    second.close()
    first.close()
    assert {path.name for path in tmp_path.iterdir()} == {f"{run}-{os.getpid()}.jsonl" for run in (1, 2)}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_torn_lines_are_passed_over(tmp_path: Path) -> None:
    """A kill or a full disk leaves half a line; what comes after it is still read."""
    folder = bytes(tmp_path)
    writer = ReceiptWriter(folder, 1)
    writer.append(receipt(1))
    writer.close()
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole + whole[:cut])
        again = ReceiptWriter(folder, 1)
        again.append(receipt(2))
        again.close()
        sizes = sizes_in(folder)
        assert sizes in ([1, 2], [1, 1, 2])
        assert len(sizes) == 2 or cut == len(whole) - 1
    path.write_bytes(b'[]\n1\n{}\n\xff\n{"output":1}\n' + whole)
    assert sizes_in(folder) == [1]


VERSION_1 = {
    "output": "a\udcff.mp4",
    "size": 1,
    "mtime_ns": 2,
    "source": "/in/a",
    "source_relative": "a",
    "source_size": 3,
    "source_mtime_ns": 4,
    "profile": "p",
    "task": "t",
    "time": 5.5,
}


def test_receipts_of_earlier_programs_are_read(tmp_path: Path) -> None:
    """One output and one source each, without attempt and host."""
    (tmp_path / "1-1.jsonl").write_text(json.dumps(VERSION_1) + "\n")
    (found,) = read_receipts(bytes(tmp_path))
    source = Source(b"/in/a", b"a", 3, 4)
    assert found == Receipt(((Product(b"a\xff.mp4"), (1, 2)),), (source,), "p", "t", "", "", 5.5)


def test_receipts_of_several_products_come_back(tmp_path: Path) -> None:
    """Roles, folders and inputs, also none; the main product is known wherever it stands."""
    products = ((Product(b"hls", "hls", folder=True), (9, 8)), (Product(b"a.mp4"), (7, 6)))
    for inputs in ((), (ODD,), (ODD, Source(b"/in/b", b"b", 5, 6))):
        told = Receipt(products, inputs, "p", "t", "c0ffee")
        writer = ReceiptWriter(bytes(tmp_path), 1)
        writer.append(told)
        writer.close()
        *_, found = read_receipts(bytes(tmp_path))
        assert found == told
        assert found.main == products[1]
        assert found.node == platform.node()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"version": "2"},
        {"products": []},
        {"products": [{"role": "main", "name": "a", "folder": True, "size": 1, "mtime_ns": 2}]},
        {"products": {}},
        {"inputs": [{}]},
        {"inputs": None},
        {"attempt": None},
        {"node": 1},
        {"params": 1},
    ],
    ids=str,
)
def test_damaged_lines_are_counted(tmp_path: Path, change: dict[str, object]) -> None:
    """What is no receipt of a version that is known is none at all."""
    writer = ReceiptWriter(bytes(tmp_path), 1)
    writer.append(receipt(1))
    writer.close()
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    damaged: list[bytes] = []
    assert list(read_receipts(bytes(tmp_path), damaged.append)) == []
    assert damaged == [bytes(path)]


def test_a_killed_process_leaves_its_receipts(tmp_path: Path) -> None:
    """What was appended is there without the file being closed."""
    script = (
        "import os, signal, sys\n"
        "from pyprocessor.models import Source\n"
        "from pyprocessor.models.products import Product\n"
        "from pyprocessor.publish.receipts import Receipt, ReceiptWriter\n"
        "writer = ReceiptWriter(os.fsencode(sys.argv[1]), 1)\n"
        "for size in range(5):\n"
        "    writer.append(Receipt(((Product(b'o'), (size, 2)),), (Source(b'/i', b'i', 3, 4),), 'p', 't'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert sizes_in(bytes(tmp_path)) == list(range(5))


def test_a_receipt_is_true_exactly_when_the_output_is_there(tmp_path: Path) -> None:
    """Written before the rename it does not match yet; after it does; after any change it does not."""
    output, partial = bytes(tmp_path), os.path.join(bytes(tmp_path), b"partial")
    with open(partial, "wb") as writing:
        writing.write(b"content")
    sealed = seal(partial)
    source = Source(b"/i", b"i", 3, 4)
    told = Receipt(((Product(b"a/f.mp4"), sealed),), (source,), "p", "t")
    assert not matches(told, output)
    publish(partial, os.path.join(output, b"a/f.mp4"), seal=sealed, replace=False, bounds=Bounds(output, source))
    assert matches(told, output)
    os.mkdir(os.path.join(output, b"hls"))
    with open(os.path.join(output, b"hls", b"a.ts"), "wb"):
        pass
    folder = (Product(b"hls", "hls", folder=True), seal(os.path.join(output, b"hls")))
    both = Receipt((*told.products, folder), (), "p", "t")
    assert matches(both, output)
    os.unlink(os.path.join(output, b"hls", b"a.ts"))
    assert not matches(both, output)
    assert matches(told, output)
    os.utime(os.path.join(output, b"a/f.mp4"), ns=(1, 1))
    assert not matches(told, output)


def test_a_receipt_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is then not published: its job fails with the reason."""
    with pytest.raises(PublishError, match="could not take a receipt"):
        ReceiptWriter(bytes(tmp_path / "none"), 1).append(receipt(1))
    place = tmp_path / f"1-{os.getpid()}.jsonl"
    (tmp_path / "elsewhere").touch()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PublishError, match="a symbolic link lies there"):
        ReceiptWriter(bytes(tmp_path), 1).append(receipt(1))
    assert (tmp_path / "elsewhere").read_bytes() == b""
    place.unlink()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PublishError, match="the disk is full") as caught:
        ReceiptWriter(bytes(tmp_path), 1).append(receipt(1))
    assert caught.value.kind is FailureKind.DISK


def test_a_folder_of_receipts_that_is_gone(tmp_path: Path) -> None:
    """It is said, not taken for an empty one."""
    with pytest.raises(PublishError, match="could not be listed"):
        next(read_receipts(bytes(tmp_path / "none")))
