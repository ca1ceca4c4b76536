"""An input that is gone, told from a file that is, where a run has several."""

from __future__ import annotations

from pathlib import Path

from pyprocessor.models import InputFolder
from pyprocessor.system.absent_input import absent


def test_it_is_the_input_that_a_file_lies_in_that_counts(tmp_path: Path) -> None:
    """Whether others are there says nothing; the folder above them is none."""
    here, gone, emptied = tmp_path / "here", tmp_path / "gone", tmp_path / "here" / "emptied"
    emptied.mkdir(parents=True)
    device = tmp_path.stat().st_dev
    folders = (
        InputFolder(bytes(here), device),
        InputFolder(bytes(gone), device),
        InputFolder(bytes(emptied), device + 1),
    )
    assert absent(bytes(here / "a.mov"), folders) is None
    assert absent(bytes(gone / "a.mov"), folders) == f"The input {gone} is no longer there."
    assert absent(bytes(emptied / "a.mov"), folders) == (
        f"The input {emptied} has become empty, as if something were not mounted."
    )
    assert absent(bytes(here / "never" / "a.mov"), folders) is None


def test_a_file_of_no_input_is_judged_by_its_own_folder(tmp_path: Path) -> None:
    """Such as one that an earlier run was given."""
    assert absent(bytes(tmp_path / "a.mov"), ()) is None
    assert absent(bytes(tmp_path / "gone" / "a.mov"), ()) == f"The input {tmp_path}/gone is no longer there."
