"""`pyprocessor run FOLDER --task transcribe`, then `--task enhance`, by a server on loopback, as a user types them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pyprocessor.errors import ExitCode
from tests.acceptance.command import assert_plain, call
from tests.integration import voices
from tests.integration.api_server import ApiServer, api_server, corrected
from tests.process.runs import published

FORMATS = {"talk.txt", "talk.srt", "talk.vtt", "talk.json"}


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """One that answers."""
    with api_server() as opened:
        yield opened


def closing(result: CompletedProcess[str]) -> str:
    """The closing text as one line."""
    assert_plain(result, ExitCode.OK)
    return " ".join(result.stdout.split())


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """A folder with a recording, and what is said in it."""
    folder = tmp_path / "Talks"
    folder.mkdir()
    voices.write(folder / "talk.wav", voices.voice(3.0))
    (folder / "talk.ref.txt").write_text("Hello there, old general!")
    return folder


def run(folder: Path, task: str, server: ApiServer, *more: str | Path) -> CompletedProcess[str]:
    """Do the task with the folder."""
    params = ("--param", f"url={server.url}", "--param", "key_from=")
    return call("run", folder, "--task", task, *params, *more)


def made(folder: Path) -> set[str]:
    """What lies there besides the recording and its reference."""
    return published(folder) - {"talk.wav", "talk.ref.txt"}


def test_transcripts_that_runs_made_are_improved(talks: Path, server: ApiServer) -> None:
    """One of the formats for each recording, once; neither the reference nor what was improved is taken."""
    assert_plain(run(talks, "transcribe", server), ExitCode.OK)
    assert made(talks) == FORMATS
    assert_plain(run(talks, "enhance", server), ExitCode.OK, " 1 file\n")
    assert made(talks) == FORMATS | {"talk.enhanced.txt"}
    assert_plain(run(talks, "enhance", server), ExitCode.OK, "the only file is already done")
    assert len(server.requests) == 2


def test_what_was_improved_at_once_is_left_alone(talks: Path, server: ApiServer) -> None:
    """By the second job of `--task transcribe --enhance`; with a word, and without a request. Another format is not."""
    further = ("--enhance", "--param", f"enhance.url={server.url}", "--param", "enhance.key_from=")
    assert_plain(run(talks, "transcribe", server, *further), ExitCode.OK)
    said = "1 transcript left out, which --task transcribe --enhance improves."
    assert_plain(run(talks, "enhance", server), ExitCode.OK, said)
    assert len(server.requests) == 2
    assert_plain(run(talks, "enhance", server, "--include", "*.srt"), ExitCode.OK)
    assert made(talks) == FORMATS | {"talk.enhanced.txt", "talk.enhanced.srt"}


def test_the_format_that_is_named_is_improved(talks: Path, server: ApiServer, tmp_path: Path) -> None:
    """Also where transcripts lie in a folder of their own."""
    texts = tmp_path / "Texts"
    assert_plain(run(talks, "transcribe", server, "--output", texts), ExitCode.OK)
    assert_plain(run(texts, "enhance", server, "--include", "*.srt"), ExitCode.OK)
    assert made(texts) == FORMATS | {"talk.enhanced.srt"}


def test_transcripts_of_others_are_improved(talks: Path, server: ApiServer) -> None:
    """All that lie there, as ever; a reference only where it is named itself."""
    (talks / "old.srt").write_text("1\n00:00:01,000 --> 00:00:02,500\nhello there\n")
    assert_plain(run(talks, "enhance", server), ExitCode.OK, " 1 file\n")
    assert made(talks) == {"old.srt", "old.enhanced.srt"}
    assert_plain(run(talks / "talk.ref.txt", "enhance", server), ExitCode.OK, " 1 file\n")


def test_the_closing_text_says_how_good_it_is(talks: Path, server: ApiServer) -> None:
    """On the average over what was done: the words that are right where a reference is, and the time it took."""
    said = closing(run(talks, "transcribe", server))
    words = r"Transcribed 1 recording: 75\.0% of the words right \(1 with a reference\), \d[\d.]* of real time "
    assert re.search(words, said), said
    for name in ("more", "most"):
        voices.write(talks / f"{name}.wav", voices.voice(2.0))
    (talks / "more.ref.txt").write_text("hello there general")
    said = closing(run(talks, "transcribe", server))
    assert "Transcribed 2 recordings: 100.0% of the words right (1 with a reference), " in said


def test_the_closing_text_says_how_much_was_improved(talks: Path) -> None:
    """And how many pieces were left as they were, since their content would have changed."""
    (talks / "other.txt").write_text("it was cold\n")
    (talks / "third.txt").write_text("it was at 9\n")
    with api_server(improve=lambda text: corrected(text).replace("9", "10")) as server:
        said = closing(run(talks, "enhance", server))
    assert "Improved 2 transcripts: 33.3% of the words changed, 1 of 2 pieces left as they were " in said
    assert not list(talks.glob(".pyprocessor/partial/*"))
