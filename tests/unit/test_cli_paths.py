"""Input and output as named."""

from __future__ import annotations

from pathlib import Path

from pyprocessor.cli.paths import readable_input


def test_an_input_is_the_same_whichever_way_it_is_reached(tmp_path: Path) -> None:
    """Links on the way do not make other files of its files; a file that is a link itself keeps its name."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mov").write_bytes(b"x")
    (tmp_path / "real" / "b.mov").symlink_to("a.mov")
    (tmp_path / "link").symlink_to("real")
    real = tmp_path.resolve() / "real"
    assert readable_input(str(tmp_path / "link")) == bytes(real)
    assert readable_input(str(tmp_path / "link" / "a.mov")) == bytes(real / "a.mov")
    assert readable_input(str(tmp_path / "link" / "b.mov")) == bytes(real / "b.mov")
