"""Profiles that others made, or that are none: a run ends with a sentence, whatever they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.command import assert_plain, call, call_here
from tests.long import long_after

ENDLESS = r"^(\w+\w+)+="


@pytest.fixture
def inputs(tmp_path: Path, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """A clip whose name keeps a bad expression busy for ever, and one that it matches at once."""
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / f"{'a' * 60}.mp4")
    make_clip(folder / "bb=.mp4")
    return folder


def endless(tmp_path: Path, pattern: str = ENDLESS) -> Path:
    profile = tmp_path / "endless.yaml"
    profile.write_text(f"extends: fast\nnaming: {{validation_pattern: {json.dumps(pattern)}}}\n")
    return profile


@long_after(1, "form", [[], ["--plan"]])
def test_an_endless_pattern_fails_the_name_it_takes_too_long_on(tmp_path: Path, inputs: Path, form: list[str]) -> None:
    """The sentence names file, key and pattern, and the other file is done; no word of a slow network."""
    output = tmp_path / "out"
    result = call("--input", inputs, "--output", output, "--profile", endless(tmp_path), "--json", *form)
    assert_plain(result, 0 if form else 1)
    document = json.loads(result.stdout)
    said = json.dumps(document, ensure_ascii=False)
    assert "It cannot be decided on: the pattern" in said
    assert f"{'a' * 60}.mp4" in said
    assert f"{json.dumps(ENDLESS)[1:-1]}" in said
    assert "of `naming.validation_pattern` takes more than 0.5 s on this name" in said
    assert "network" not in result.stdout + result.stderr
    assert (output / "bb=.mp4").exists() is not bool(form)


@pytest.mark.long
def test_a_mended_pattern_has_the_file_done(tmp_path: Path, inputs: Path) -> None:
    """What failed for the pattern's sake did not fail for its own: it needs no --retry-failed."""
    output = tmp_path / "out"
    assert_plain(call("--input", inputs, "--output", output, "--profile", endless(tmp_path)), 1)
    assert_plain(call("--input", inputs, "--output", output, "--profile", endless(tmp_path, r"^\w+=?")), 0)
    assert len(list(output.glob("*.mp4"))) == 2


def test_a_file_that_is_no_profile_is_not_shown(tmp_path: Path, inputs: Path) -> None:
    """Neither named on the command line nor by another profile does a file of the user's come to the screen."""
    other = tmp_path / "shadow"
    other.write_text("root: $6$secret\nsecret: 1\nsecret: 2\n")
    naming = tmp_path / "extends.yaml"
    naming.write_text("extends: shadow\n")
    log = tmp_path / "app.log"
    log.write_text("secret: 1\nother: 2\n")
    for option, file in (("--profile", other), ("--config", other), ("--profile", naming), ("--config", log)):
        result = call_here("--input", inputs, "--output", tmp_path / "out", option, file)
        assert_plain(result, 2)
        assert "secret" not in result.stdout + result.stderr
    assert_plain(call_here("profiles", "validate", log), 2, "is not a profile")


def test_very_many_errors_are_a_screenful(tmp_path: Path) -> None:
    """A file of thousands of wrong keys is told in twenty lines and a number."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"container": "mp4", **{f"wrong_{number}": number for number in range(15_000)}}))
    result = call_here("profiles", "validate", wrong)
    assert_plain(result, 2, "The settings have 15000 errors:", "... and 14980 more")
    assert len(result.stderr.splitlines()) == 22
