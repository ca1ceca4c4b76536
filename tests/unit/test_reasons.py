"""Sentences about a file call it by its path below the input, whoever made them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.models import Source, display
from pyprocessor.models.reasons import told

SOURCE = Source(b"/films/2020/a.mov", b"2020/a.mov", 1, 1)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("/films/2020/a.mov: it is damaged.", "2020/a.mov: it is damaged."),
        ("a.mov is empty (0 bytes).", "2020/a.mov is empty (0 bytes)."),
        ("2020/a.mov: it is damaged.", "2020/a.mov: it is damaged."),
        ("ffmpeg could not be started.", "2020/a.mov: ffmpeg could not be started."),
        ("a.movie is something else.", "2020/a.mov: a.movie is something else."),
        ("/out/2020/a.mp4 could not be made.", "2020/a.mov: /out/2020/a.mp4 could not be made."),
    ],
)
def test_the_name_is_the_one_below_the_input(reason: str, said: str) -> None:
    """Full paths and base names become it; where no name stands, it is put in front."""
    assert told(SOURCE, reason) == said


@given(st.text(max_size=40), st.binary(min_size=1, max_size=12).filter(lambda b: b"/" not in b and b"\0" not in b))
def test_it_begins_with_the_name_once(reason: str, name: bytes) -> None:
    """Any reason, any name: the result begins with the name, and saying it again changes nothing."""
    source = Source(b"/in/" + name, name, 1, 1)
    said = told(source, reason)
    assert said.startswith(display(name))
    assert told(source, said) == said
