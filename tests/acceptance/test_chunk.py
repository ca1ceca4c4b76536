"""`pyprocessor chunk` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ExitCode
from tests.acceptance.command import assert_plain, begin, call
from tests.waiting import DEADLINE_SECONDS, until


def test_a_film_is_cut_and_the_same_command_has_nothing_to_do(make_clip: Any, tmp_path: Path) -> None:
    """Chunks, manifest and a closing sentence; then the sentence alone."""
    clip, output = make_clip(tmp_path / "a b.mp4", seconds=4.0, extra=["-g", "25"]), tmp_path / "Chunks"
    arguments = ("chunk", clip, "--output", output, "--chunk-duration", "1")
    for _ in range(2):
        assert_plain(call(*arguments), ExitCode.OK, "4 chunks of 4 done, 0 failed", "manifest.json")
    names = sorted(path.name for path in output.iterdir() if not path.name.startswith("."))
    assert names == [*(f"chunk_000{number}.mp4" for number in range(4)), "manifest.json"]
    assert json.loads((output / "manifest.json").read_text())["complete"] is True


def test_the_result_is_one_json_document(make_clip: Any, tmp_path: Path) -> None:
    """Also without an output folder."""
    clip = make_clip(tmp_path / "a.mp4", seconds=2.0)
    done = call("chunk", clip, "--processor", "checksum", "--chunk-duration", "1", "--workers", "1", "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    document = json.loads(done.stdout)
    assert (document["version"], document["total_chunks"], document["failed"]) == (1, 2, 0)
    assert all(len(result["facts"]["digest"]) == 64 for result in document["results"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), ExitCode.USAGE, "--output"),
        (("--output", "x", "--chunk-duration", "0"), ExitCode.USAGE, "more than 0"),
        (("--output", "x", "--chunk-duration", "many"), ExitCode.USAGE, "not a valid float"),
        (("--output", "x", "--processor", "nothing"), ExitCode.USAGE, "no processor named"),
        (("--output", "x", "--profile", "fast"), ExitCode.USAGE, "--exact"),
        (("--output", "x", "--exact", "--profile", "none.yaml"), ExitCode.USAGE, "none.yaml"),
        (("--output", "x", "--start", "3", "--end", "2"), ExitCode.USAGE, "not behind"),
        (("--processor", "checksum", "--start", "99"), ExitCode.OK, "0 chunks of 0 done"),
    ],
)
def test_what_makes_no_sense(
    make_clip: Any, tmp_path: Path, arguments: tuple[str, ...], code: ExitCode, words: str
) -> None:
    """One sentence, and nothing is made."""
    clip = make_clip(tmp_path / "a.mp4")
    assert_plain(call("chunk", clip, *arguments, cwd=tmp_path), code, words)
    assert not list(tmp_path.glob("x/chunk*"))


def test_sources_that_are_none(tmp_path: Path) -> None:
    """Missing, text, a folder."""
    text = tmp_path / "text.mp4"
    text.write_text("hello " * 100)
    for source, code in (
        (tmp_path / "none.mp4", ExitCode.USAGE),
        (text, ExitCode.SOME_FAILED),
        (tmp_path, ExitCode.USAGE),
    ):
        done = call("chunk", source, "--output", tmp_path / "x")
        assert_plain(done, code, source.name)
        assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_finishes_what_runs_and_the_same_command_goes_on(make_clip: Any, tmp_path: Path) -> None:
    """The exit code is that of the signal; what was finished stays."""
    clip, output = make_clip(tmp_path / "a.mp4", seconds=40.0, size="640x360"), tmp_path / "out"
    arguments = ("chunk", clip, "--output", output, "--chunk-duration", "2", "--exact", "--profile", "high_quality")
    process = begin(*arguments)
    try:
        until(lambda: (output / "manifest.json").exists() or process.poll() is not None, "the first chunk")
        process.send_signal(2)
        assert process.wait(DEADLINE_SECONDS) == ExitCode.INTERRUPTED, process.stdout and process.stdout.read()
    finally:
        process.kill()
        process.communicate()
    finished = {path: path.stat().st_mtime_ns for path in output.glob("chunk_*")}
    assert 0 < len(finished) < 20
    assert_plain(call(*arguments), ExitCode.OK, "20 chunks of 20 done")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
