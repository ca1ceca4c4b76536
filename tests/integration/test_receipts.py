"""What outputs were made from."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import Source
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.partials import seal
from pyprocessor.publish.publish import publish
from pyprocessor.publish.receipts import Receipt, ReceiptWriter, matches, read_receipts


def receipt(number: int, output: bytes = b"out \xff\n.mp4") -> Receipt:
    """A receipt with an odd name."""
    return Receipt(output, number, 2, Source(b"/in/\xfe", b"\xfe", 3, 4), "profile", "transcode", 5.5)


def test_receipts_come_back(tmp_path: Path) -> None:
    """Names that are no text survive; one private file for each process of each run."""
    folder = bytes(tmp_path)
    first, second = ReceiptWriter(folder, 1), ReceiptWriter(folder, 2)
    assert list(read_receipts(folder)) == []
    first.append(receipt(1))
    second.append(receipt(2))
    first.append(receipt(3))
    assert [found.size_bytes for found in read_receipts(folder)] == [1, 3, 2]
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
        sizes = [found.size_bytes for found in read_receipts(folder)]
        assert sizes in ([1, 2], [1, 1, 2])
        assert len(sizes) == 2 or cut == len(whole) - 1
    path.write_bytes(b'[]\n1\n{}\n\xff\n{"output":1}\n' + whole)
    assert [found.size_bytes for found in read_receipts(folder)] == [1]


def test_a_killed_process_leaves_its_receipts(tmp_path: Path) -> None:
    """What was appended is there without the file being closed."""
    script = (
        "import os, signal, sys\n"
        "from pyprocessor.models import Source\n"
        "from pyprocessor.publish.receipts import Receipt, ReceiptWriter\n"
        "writer = ReceiptWriter(os.fsencode(sys.argv[1]), 1)\n"
        "for size in range(5):\n"
        "    writer.append(Receipt(b'o', size, 2, Source(b'/i', b'i', 3, 4), 'p', 't'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert [found.size_bytes for found in read_receipts(bytes(tmp_path))] == list(range(5))


def test_a_receipt_is_true_exactly_when_the_output_is_there(tmp_path: Path) -> None:
    """Written before the rename it does not match yet; after it does; after any change it does not."""
    output, partial = bytes(tmp_path), os.path.join(bytes(tmp_path), b"partial")
    with open(partial, "wb") as writing:
        writing.write(b"content")
    sealed = seal(partial)
    told = Receipt(b"a/f.mp4", *sealed, Source(b"/i", b"i", 3, 4), "p", "t")
    assert not matches(told, output)
    publish(partial, os.path.join(output, b"a/f.mp4"), seal=sealed, replace=False, bounds=Bounds(output, told.source))
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
