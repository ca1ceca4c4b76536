"""What identifies a file's bytes, what is copied of it, and what is in the key of a result."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.engine import reuse
from pyprocessor.engine.reuse import key_of
from pyprocessor.models import BatchSettings, Cost, Job, Product, Source
from pyprocessor.workers.content import WHOLE_BYTES, digest, is_sampled, same_bytes
from pyprocessor.workers.copying import copy


def source(path: Path) -> Source:
    found = path.stat()
    return Source(os.fsencode(path), os.fsencode(path.name), found.st_size, found.st_mtime_ns)


def file(path: Path, size: int, *, at: int | None = None) -> Path:
    """A file of zeros, but for one byte at a place."""
    path.write_bytes(bytes(size))
    if at is not None:
        with path.open("r+b") as changed:
            changed.seek(at)
            changed.write(b"x")
    return path


@pytest.mark.parametrize("size", [0, 1, WHOLE_BYTES, WHOLE_BYTES + 1, 3 * WHOLE_BYTES])
def test_a_digest_is_of_all_bytes_or_of_samples(tmp_path: Path, size: int) -> None:
    """Of larger files the start, the end, places between them and the size; equal files have equal ones."""
    one = source(file(tmp_path / "one", size))
    assert digest(one) == digest(source(file(tmp_path / "same", size))) != ""
    assert digest(one) != digest(source(file(tmp_path / "longer", size + 1)))
    assert is_sampled(one) == (size > WHOLE_BYTES)
    places = {0, 1, size // 2, size - 1} if size else set()
    noticed = {at for at in places if digest(source(file(tmp_path / "other", size, at=at))) != digest(one)}
    assert noticed == (places - {size // 2} if is_sampled(one) else places)


def test_a_file_that_changed_or_is_gone_has_no_digest(tmp_path: Path) -> None:
    """It is not what was inspected."""
    one = source(file(tmp_path / "one", 10))
    assert digest(replace(one, mtime_ns=1)) == ""
    assert digest(replace(one, path=one.path + b" not there")) == ""


def test_bytes_are_compared_to_the_end(tmp_path: Path) -> None:
    """Beyond one block, and where one file is the start of the other."""
    size = (2 << 20) + 5
    one, same = str(file(tmp_path / "one", size)), str(file(tmp_path / "same", size))
    assert same_bytes(one, same)
    assert same_bytes(one, one)
    assert not same_bytes(one, str(file(tmp_path / "last", size, at=size - 1)))
    assert not same_bytes(one, str(file(tmp_path / "longer", size + 1)))


def test_a_copy_is_a_file_of_its_own(tmp_path: Path) -> None:
    """Of what lies there as it was made, or there is none, and a sentence that says why."""
    made, new = tmp_path / "made", tmp_path / "new"
    made.write_bytes(b"a product" * 1000)
    seal = (made.stat().st_size, made.stat().st_mtime_ns)
    assert copy([], [(str(made), str(new), seal)]) == ""
    assert new.read_bytes() == made.read_bytes()
    assert new.stat().st_ino != made.stat().st_ino
    assert "is not as it was made" in copy([], [(str(made), str(tmp_path / "b"), (seal[0], 1))])
    assert "is not as it was made" in copy([], [(str(tmp_path / "gone"), str(tmp_path / "b"), seal)])
    assert "cannot be read" in copy([], [(str(made), str(tmp_path / "no folder" / "b"), seal)])
    other = str(file(tmp_path / "other", seal[0]))
    assert "differs" in copy([(str(made), other, seal)], [])
    assert "is not as it was." in copy([(str(made), other, (1, 1))], [])


def test_another_version_of_the_program_makes_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it makes may differ."""
    job = Job("j", "t", Source(b"/a", b"a", 1, 1), b"a.mp4", "params", Cost(0.0, 0, 0))
    key = key_of(BatchSettings(), job, "keep", "found", ["c"])
    monkeypatch.setattr(reuse, "__version__", "another")
    assert key_of(BatchSettings(), job, "keep", "found", ["c"]) != key


def test_all_that_decides_a_result_is_in_its_key() -> None:
    """Of a tenant, unless results are shared; without a name, and without a key where a content is not known."""
    job = Job("j", "t", Source(b"/a", b"a", 1, 1), b"a.mp4", "params", Cost(0.0, 0, 0), tenant="x")
    settings = BatchSettings()
    key = key_of(settings, job, "keep", "found", ["c"])
    renamed = replace(job, id="k", source=Source(b"/b", b"b", 1, 2), output=b"b.mp4")
    assert key_of(settings, renamed, "keep", "found", ["c"]) == key
    others = {
        key_of(settings, replace(job, tenant="y"), "keep", "found", ["c"]),
        key_of(settings, replace(job, task="u"), "keep", "found", ["c"]),
        key_of(settings, replace(job, params_fingerprint="p"), "keep", "found", ["c"]),
        key_of(settings, replace(job, companions=(Product(b"x", "sheet"),)), "keep", "found", ["c"]),
        key_of(settings, job, "refuse", "found", ["c"]),
        key_of(settings, job, "keep", None, ["c"]),
        key_of(settings, job, "keep", "found", ["c", "d"]),
    }
    assert len(others | {key}) == 8
    shared = replace(settings, share_results=True)
    assert key_of(shared, job, "", None, ["c"]) == key_of(shared, replace(job, tenant="y"), "", None, ["c"])
    assert key_of(settings, job, "keep", "found", ["c", ""]) == key_of(settings, job, "keep", "found", []) == ""
    assert key_of(settings, replace(job, output_is_folder=True), "keep", "found", ["c"]) == ""
