"""What the files of several inputs are called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.intake.inputs import inputs_of


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ((b"/v/a",), {b"/v/a": b""}),
        ((b"/v/a", b"/w/b"), {b"/v/a": b"a", b"/w/b": b"b"}),
        ((b"/1/DCIM", b"/2/DCIM", b"/3/x"), {b"/1/DCIM": b"1/DCIM", b"/2/DCIM": b"2/DCIM", b"/3/x": b"x"}),
        ((b"/1/DCIM", b"/2/dcim"), {b"/1/DCIM": b"1/DCIM", b"/2/dcim": b"2/dcim"}),
        ((b"/c/a/x", b"/c/b/x", b"/d/a"), {b"/c/a/x": b"c/a/x", b"/c/b/x": b"b/x", b"/d/a": b"d/a"}),
    ],
)
def test_inputs_keep_their_names_and_what_tells_them_apart(paths: tuple[bytes, ...], names: dict[bytes, bytes]) -> None:
    """As `cp -r` would, but that two of one name do not end up in one folder."""
    assert {found.path: found.name for found in inputs_of(paths)} == names


def test_a_file_keeps_its_name_and_lies_in_a_folder(tmp_path: Path) -> None:
    """Alone, and beside others."""
    (tmp_path / "a.mov").touch()
    (tmp_path / "in").mkdir()
    (alone,) = inputs_of([bytes(tmp_path / "a.mov")])
    assert (alone.name, alone.folder.path, alone.is_file) == (b"a.mov", bytes(tmp_path), True)
    assert alone.folder.device == tmp_path.stat().st_dev
    file, folder = inputs_of([bytes(tmp_path / "in"), bytes(tmp_path / "a.mov")])
    assert file == alone
    assert (folder.name, folder.is_file) == (b"in", False)


PARTS = st.sampled_from([b"a", b"b", b"A", b"x.mov"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: b"/nowhere/" + b"/".join(parts))


@given(st.sets(PATHS, min_size=2, max_size=8))
def test_no_name_equals_another_or_leads_to_it(paths: set[bytes]) -> None:
    """So that a relative path belongs to one input. Inputs that lie in each other are refused before."""
    apart = [path for path in paths if not any(path.startswith(other + b"/") for other in paths)]
    found = inputs_of(apart)
    if len(found) == 1:
        return
    for one in found:
        assert (b"/" + one.path).endswith(b"/" + one.name)
        for other in found:
            assert one is other or not (one.name + b"/").startswith(other.name + b"/")
