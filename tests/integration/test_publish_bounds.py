"""No output among the sources, wherever links lead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import InputFolder, Source
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.partials import seal
from pyprocessor.publish.publish import publish


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """`in/sub/x.mp4` is a source, `out` the output, `part` is verified."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "x.mp4").write_bytes(b"the source")
    (tmp_path / "out").mkdir()
    (tmp_path / "part").write_bytes(b"the output")
    return tmp_path


def give(tree: Path, final: str, *, relative: str = "sub/x.mp4", output: str = "out") -> None:
    """Publish `part`, made from a source in `in`, with leave to replace."""
    partial = os.fsencode(tree / "part")
    source = Source(os.fsencode(tree / "in" / relative), os.fsencode(relative), 10, 1)
    bounds = Bounds(os.fsencode(tree / output), source)
    publish(partial, os.fsencode(tree / final), seal=seal(partial), replace=True, bounds=bounds)


@pytest.mark.parametrize("target", ["../in/sub", "../in", "../in/new"])
def test_a_link_back_into_the_input_is_refused(tree: Path, target: str) -> None:
    """Also with leave to replace: the source stays what it was, and nothing comes to lie beside it."""
    (tree / "out" / "sub").symlink_to(target)
    before = sorted((tree / "in").rglob("*"))
    with pytest.raises(PublishError, match="remove that link") as caught:
        give(tree, "out/sub/x.mp4")
    assert caught.value.kind is FailureKind.PERMISSION
    assert (tree / "in" / "sub" / "x.mp4").read_bytes() == b"the source"
    assert sorted((tree / "in").rglob("*")) == before


def test_a_link_to_where_a_linked_source_really_lies_is_refused(tree: Path) -> None:
    """The input may itself lead elsewhere; its files are sources there too."""
    (tree / "card").mkdir()
    (tree / "card" / "x.mp4").write_bytes(b"the source")
    (tree / "in" / "cam").symlink_to("../card")
    (tree / "out" / "cam").symlink_to("../card")
    with pytest.raises(PublishError, match="remove that link"):
        give(tree, "out/cam/x.mp4", relative="cam/x.mp4")
    assert (tree / "card" / "x.mp4").read_bytes() == b"the source"


def test_the_source_itself_is_never_replaced(tree: Path) -> None:
    """Where the source's own folder is the output folder, its name is refused and others are not."""
    with pytest.raises(PublishError, match="the source itself"):
        give(tree, "in/sub/x.mp4", output="in/sub")
    assert (tree / "in" / "sub" / "x.mp4").read_bytes() == b"the source"
    give(tree, "in/sub/x.mkv", output="in/sub")
    assert (tree / "in" / "sub" / "x.mkv").read_bytes() == b"the output"


def test_links_that_lead_elsewhere_are_followed(tree: Path) -> None:
    """A folder of the output may lie on another disk."""
    (tree / "disk").mkdir()
    (tree / "out" / "sub").symlink_to("../disk")
    give(tree, "out/sub/x.mp4")
    assert (tree / "disk" / "x.mp4").read_bytes() == b"the output"


def test_an_output_inside_the_input_is_fine(tree: Path) -> None:
    """What is refused is the way out of the output folder, and not the folder."""
    give(tree, "in/made/sub/x.mp4", output="in/made")
    assert (tree / "in" / "made" / "sub" / "x.mp4").read_bytes() == b"the output"
    (tree / "in" / "made" / "back").symlink_to("../sub")
    (tree / "part").write_bytes(b"the output")
    with pytest.raises(PublishError, match="remove that link"):
        give(tree, "in/made/back/x.mp4", output="in/made")


def test_a_name_linked_to_the_source_is_only_a_name(tree: Path) -> None:
    """Replacing a hard or symbolic link in the output takes nothing from the source."""
    for make in (os.link, os.symlink):
        make(tree / "in" / "sub" / "x.mp4", tree / "out" / "x.mp4")
        (tree / "part").write_bytes(b"the output")
        give(tree, "out/x.mp4")
        assert (tree / "out" / "x.mp4").read_bytes() == b"the output"
        assert (tree / "in" / "sub" / "x.mp4").read_bytes() == b"the source"
        (tree / "out" / "x.mp4").unlink()


def test_no_output_among_the_files_of_another_input(tree: Path) -> None:
    """A run of several inputs writes into none of them; the folder above them is no input."""
    (tree / "other").mkdir()
    (tree / "elsewhere").mkdir()
    source = Source(bytes(tree / "in" / "sub" / "x.mp4"), b"in/sub/x.mp4", 10, 1)
    folders = (InputFolder(bytes(tree / "in")), InputFolder(bytes(tree / "other")))
    bounds = Bounds(bytes(tree / "out"), source, folders)
    (tree / "out" / "in").symlink_to("../other")
    with pytest.raises(PublishError, match="remove that link"):
        bounds.check(bytes(tree / "out" / "in" / "x.mp4"))
    (tree / "out" / "in").unlink()
    (tree / "out" / "in").symlink_to("../elsewhere")
    bounds.check(bytes(tree / "out" / "in" / "x.mp4"))
    strangers = Bounds(bytes(tree / "out"), source, folders[1:])
    with pytest.raises(PublishError, match="remove that link"):
        strangers.check(bytes(tree / "out" / "in" / "x.mp4"))
