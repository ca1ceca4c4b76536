"""Which jobs a folder makes for a task: files, names, documents."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pyprocessor.intake import task_jobs as room
from pyprocessor.intake.submission import submissions
from pyprocessor.intake.task_jobs import TaskFile, documents, extensions_taken, listing
from pyprocessor.models import ProductOf, Profile, submitted_id

SOUND = frozenset({b"mp3", b"wav"})


def names(folder: Path, extensions: frozenset[bytes] = SOUND, known: Callable[[str], bytes | None] = lambda _: None):  # type: ignore[no-untyped-def]
    """The names of the jobs of a folder, by its files."""
    files, _ = listing(bytes(folder), bytes(folder), Profile("test", "f"), extensions, known)
    return {os.path.relpath(os.fsdecode(file.path), folder): file.name for file in files}


def touch(folder: Path, *files: str) -> Path:
    """Make files that are empty."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_files_are_taken_by_their_extension(tmp_path: Path) -> None:
    """Also empty ones, of whose fate the task decides; hidden ones and the state are not entered."""
    touch(tmp_path, "a.mp3", "sub/b.WAV", "c.txt", ".d.mp3", ".pyprocessor/e.mp3", "f.mp3.part")
    assert names(tmp_path) == {"a.mp3": "a", "sub/b.WAV": "sub/b"}


def test_a_task_may_take_files_of_any_name(tmp_path: Path) -> None:
    """All but those that are not whole yet; pictures that do not move, too."""
    touch(tmp_path, "a.iso", "b", "c.png", "d.part")
    assert set(names(tmp_path, frozenset())) == {"a.iso", "b", "c.png"}


def test_names_are_told_apart(tmp_path: Path) -> None:
    """Siblings that would have one name keep their extensions; a file keeps the name that its job had."""
    touch(tmp_path, "a.mp3", "a.wav", "b.mp3")
    assert names(tmp_path) == {"a.mp3": "a.mp3", "a.wav": "a.wav", "b.mp3": "b"}
    before = {"a": bytes(tmp_path / "a.mp3"), "b.mp3": bytes(tmp_path / "b.mp3")}
    assert names(tmp_path, known=before.get) == {"a.mp3": "a", "a.wav": "a.wav", "b.mp3": "b.mp3"}


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """A link that leads nowhere counts as a failure, and so does a path that is too long for a name."""
    (tmp_path / "lost.mp3").symlink_to("nowhere")
    deep = touch(tmp_path, "/".join(["d" * 100] * 5) + "/a.mp3")
    files, remarks = listing(bytes(deep), bytes(deep), Profile("test", "f"), SOUND, lambda _: None)
    assert files == []
    assert sorted((remark.serious, "leads nowhere" in remark.text) for remark in remarks) == [
        (True, False),
        (True, True),
    ]


def test_one_file(tmp_path: Path) -> None:
    """Whatever its extension is."""
    file = touch(tmp_path, "a.txt") / "a.txt"
    files, _ = listing(bytes(file), bytes(tmp_path), Profile("test", "f"), SOUND, lambda _: None)
    assert files == [TaskFile(bytes(file), "a")]


class OfSubtitles:
    """A task that names what it takes."""

    extensions = ("srt", "vtt")


class OfAnything:
    """A task that takes all files."""

    extensions = ()


@pytest.mark.parametrize(
    ("kind", "include", "there", "missing"),
    [
        (OfSubtitles, (), {b"srt", b"vtt"}, {b"mp4"}),
        (OfSubtitles, ("*.txt", "talks/*", "*.s?t"), {b"srt", b"txt"}, {b"s?t", b""}),
        (object, (), {b"mp4", b"mp3"}, {b"srt"}),
    ],
)
def test_what_a_task_takes(
    kind: type, include: tuple[str, ...], there: set[bytes], missing: set[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says, what is named besides; else video and sound."""
    monkeypatch.setattr(room, "task", lambda _: kind())
    taken = extensions_taken("any", include)
    assert there <= taken
    assert missing.isdisjoint(taken)


def test_a_task_that_takes_all_is_not_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a pattern that names an extension; the pattern itself does that."""
    monkeypatch.setattr(room, "task", lambda _: OfAnything())
    assert extensions_taken("any", ("*.iso",)) == frozenset()


def test_one_job_for_each_file() -> None:
    """With the params, the path and the priority."""
    files = [TaskFile(b"/in/a.mp3", "a"), TaskFile(b"/in/b.mp3", "b")]
    assert list(documents(files, "transcribe", {"language": "en"}, priority=3)) == [
        {"task": "transcribe", "key": "a", "inputs": [b"/in/a.mp3"], "params": {"language": "en"}, "priority": 3},
        {"task": "transcribe", "key": "b", "inputs": [b"/in/b.mp3"], "params": {"language": "en"}, "priority": 3},
    ]


def test_two_jobs_where_texts_are_improved(tmp_path: Path) -> None:
    """The second waits for the first one, reads what it makes, and has params of its own."""
    files = [TaskFile(bytes(touch(tmp_path, "a.mp3") / "a.mp3"), "a")]
    first, second = submissions(list(documents(files, "transcribe", {}, enhance={"model": "m"})), queue="q")
    assert second.job.needs == (first.job.id,) == (submitted_id("q", "a"),)
    assert second.job.inputs == (ProductOf(first.job.id, "main"),)
    assert (second.job.source.relative, second.params) == (b"a.enhanced", '{"model":"m"}')
