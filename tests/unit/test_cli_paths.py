"""Input and output as named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyprocessor.errors import UsageError
from pyprocessor.intake.paths import gather, inputs_and_output, readable_input


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


@pytest.mark.parametrize(
    ("inputs", "output", "words", "found"),
    [
        ((), None, ["a", "b"], (("a",), "b")),
        ((), None, ["a", "b", "c"], (("a", "b"), "c")),
        ((), "o", ["a", "b"], (("a", "b"), "o")),
        ((), "o", ["a"], (("a",), "o")),
        (("a", "b"), "o", [], (("a", "b"), "o")),
        (("a",), None, ["o"], (("a",), "o")),
        ((), None, [], ((), None)),
    ],
)
def test_the_last_path_is_the_output_unless_an_option_names_it(
    inputs: tuple[str, ...], output: str | None, words: list[str], found: tuple[tuple[str, ...], str | None]
) -> None:
    """As with cp and mv; the options may take the place of either."""
    assert inputs_and_output(inputs, output, words) == found


def test_one_path_alone_is_no_guess(tmp_path: Path) -> None:
    """It could be either; what to type instead is said."""
    with pytest.raises(UsageError, match=r"pyprocessor 'my films' FOLDER"):
        inputs_and_output((), None, ["my films"])


def test_what_is_named_more_than_once_is_read_once(tmp_path: Path) -> None:
    """However it is written, and with a word about it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "a.mov").touch()
    given = [str(tmp_path / "a.mov"), str(tmp_path / "in"), f"{tmp_path}/in/", f"{tmp_path}/./a.mov"]
    paths, told = gather(given, bytes(tmp_path / "out"), "mp4")
    assert paths == [bytes(tmp_path / "a.mov"), bytes(tmp_path / "in")]
    assert [sentence.split(" is ")[0] for sentence in told] == [f"The input {os.fsdecode(path)}" for path in paths]


def test_an_input_in_another_is_refused(tmp_path: Path) -> None:
    """Its files would have two outputs, or one that depends on the order."""
    (tmp_path / "in" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "er" / "a.mov").touch()
    (tmp_path / "inside").mkdir()
    for inner in ("in/deep/er", "in/deep/er/a.mov"):
        with pytest.raises(UsageError, match=f"{inner} lies in the input {tmp_path}/in,"):
            gather([str(tmp_path / inner), str(tmp_path / "in")], bytes(tmp_path / "out"), "mp4")
    assert len(gather([str(tmp_path / "in"), str(tmp_path / "inside")], bytes(tmp_path / "out"), "mp4")[0]) == 2


def test_the_output_among_the_inputs_is_left_out(tmp_path: Path) -> None:
    """A pattern of the shell matches it from the second run on; alone it is refused."""
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    given = [str(tmp_path / "in"), str(tmp_path / "out")]
    assert gather(given, bytes(tmp_path / "out"), "mp4") == (
        [bytes(tmp_path / "in")],
        [f"{tmp_path}/out is the output folder, and left out as an input."],
    )
    with pytest.raises(UsageError, match="the same folder"):
        gather(given[1:], bytes(tmp_path / "out"), "mp4")
