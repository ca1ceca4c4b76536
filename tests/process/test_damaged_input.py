"""The short form of the stress over damaged files; `python -m tests.stress damaged` is the long one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.stress import damaged
from tests.stress.damage import DAMAGES
from tests.stress.figures import Asked

FILES = 36
"""Three of each kind of damage."""
SEED = 20_260


def test_damaged_files_fail_or_succeed_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No hang, no traceback, no neighbour lost, and nothing without a final state."""
    monkeypatch.setattr(damaged, "LEAST_SECONDS", 240.0)  # how long is a hang is a figure of the harness
    lines = list(damaged.measure(tmp_path, Asked(SEED, damaged=FILES)))
    assert lines[0] == f"seed {SEED}"
    assert lines[-1].endswith("breaches 0"), lines


def test_every_kind_of_damage_changes_the_file_and_is_told_by_its_seed(tmp_path: Path) -> None:
    """But for the wrong extension; the same seed makes the same files."""
    clips = damaged.make_clips(tmp_path / "clips")
    for folder in ("one", "other"):
        made, whole = damaged.damage_clips(clips, tmp_path / folder, FILES, SEED)
        assert made.keys() == DAMAGES.keys()
        assert len(whole) == 4
    one, other = (
        {path.relative_to(tmp_path / folder): path.read_bytes() for path in sorted((tmp_path / folder).rglob("*.*"))}
        for folder in ("one", "other")
    )
    assert one == other
    originals = {path.read_bytes() for path in clips}
    same = {path.name for path, content in one.items() if content in originals}
    assert all("whole" in name or "wrong extension" in name for name in same)


def test_what_must_not_happen_is_noticed(tmp_path: Path) -> None:
    """A run that hung, lost a neighbour, left a file out or wrote a traceback is a breach; else nothing could fail."""
    clips = damaged.make_clips(tmp_path / "clips")
    inputs = tmp_path / "in"
    inputs.mkdir()
    (inputs / "whole.mp4").write_bytes(b"nothing of the kind")
    (inputs / "film.mkv").write_bytes(clips[1].read_bytes())
    ran = damaged.run_over(inputs, tmp_path / "out", 2, cwd=tmp_path)
    assert damaged.breaches(ran, {"whole.mp4", "film.mkv"}, set()) == []
    found = damaged.breaches(ran, {"whole.mp4", "film.mkv", "other.mp4"}, {"whole.mp4"})
    assert len(found) == 2
    assert "other.mp4 is not in the journal" in found[0]
    assert "neighbour whole.mp4 was lost" in found[1]
    (tmp_path / "out" / ".pyprocessor" / "logs" / "crash-1.log").write_text("Traceback (most recent call last):\n")
    assert len(damaged.breaches(ran, set(), set())) == 1


@pytest.mark.media
def test_published_broken_media(tmp_path: Path, media_folder: Path) -> None:
    """All of it ends in a stated outcome; nothing connects, and the canary is neither opened nor copied."""
    assert os.fspath(media_folder) == os.environ[damaged.MEDIA_VARIABLE]
    lines = list(damaged.measure_published(tmp_path))
    assert lines[-1].endswith("breaches 0"), lines
