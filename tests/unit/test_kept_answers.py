"""Answers that attempts keep for the next one: what they serve, and what a kill leaves of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyprocessor.publish import kept
from pyprocessor.publish.kept import KeptAnswers, answers_path, keeper_of, kept_name, kept_path

JOB = 32 * "a"


def of(folder: Path, params: object = None) -> KeptAnswers:
    """As the next attempt finds them."""
    return KeptAnswers(os.fsencode(folder), JOB, params)


def test_an_answer_serves_its_question_alone(tmp_path: Path) -> None:
    """Asked with the same params, in whatever order these are named; the first answer stays."""
    of(tmp_path, {"a": 1, "b": 2}).add([1, "said"], {"text": "été \ud800"})
    again = of(tmp_path, {"b": 2, "a": 1})
    again.add([1, "said"], "another")
    assert again.get([1, "said"]) == {"text": "été \ud800"}
    assert again.get([2, "said"]) is None
    assert of(tmp_path, {"a": 1}).get([1, "said"]) is None
    (name,) = os.listdir(tmp_path)
    assert name.startswith(kept_name(JOB))
    assert keeper_of(os.fsencode(name)) == JOB


def test_another_version_asks_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may ask for other things, and answer in other words."""
    of(tmp_path).add("question", "answer")
    monkeypatch.setattr(kept, "__version__", "another")
    assert of(tmp_path).get("question") is None


@pytest.mark.parametrize("cut", [1, 2, 20, 60, 109, 110])
def test_a_torn_line_loses_itself_alone(tmp_path: Path, cut: int) -> None:
    """What was on the disk before it, and what is added after it, is there."""
    first = of(tmp_path)
    first.add("one", 1)
    path = Path(os.fsdecode(answers_path(os.fsencode(tmp_path), JOB)))
    before = path.stat().st_size
    first.add("two", {"text": "t" * 20})
    path.write_bytes(path.read_bytes()[: max(before, path.stat().st_size - cut)])
    of(tmp_path).add("three", 3)
    found = of(tmp_path)
    assert (found.get("one"), found.get("three")) == (1, 3)
    assert found.get("two") in (None, {"text": 20 * "t"} if cut == 1 else None)


def test_half_a_download_of_the_job_is_no_answer(tmp_path: Path) -> None:
    """A key may be submitted for another task once what it downloaded has broken off; the bytes stay as they are."""
    half = Path(os.fsdecode(kept_path(os.fsencode(tmp_path), JOB)))
    half.write_bytes(b"5\n[[1], 2]\n")
    of(tmp_path).add("question", "answer")
    assert of(tmp_path).get("question") == "answer"
    assert half.read_bytes() == b"5\n[[1], 2]\n"
