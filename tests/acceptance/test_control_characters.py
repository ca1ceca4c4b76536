"""No way out of the command hands control characters of others on: names, tags and ffmpeg's words come out escaped."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from tests.acceptance.command import COMMAND, call, call_here
from tests.long import long_after
from tests.waiting import DEADLINE_SECONDS

ESCAPE = "\x1b[31m\x1b]0;owned\x07"
TURNED = "\u202egpj.\u2066"
"""Turns what follows around, so that a name can end in what looks like another extension."""
EVIL = f"x{ESCAPE}\n{TURNED}\x9b1m\r\u2028y"


def assert_harmless(text: str, where: str) -> None:
    """Nothing but printable characters, line ends and tabs."""
    for line in text.split("\n"):
        bad = [c for c in line if not c.isprintable() and c != "\t"]
        named = [unicodedata.name(c, f"U+{ord(c):04X}") for c in bad]
        assert not bad, f"{where}: {named} in {line[:300]!a}"


@pytest.fixture(scope="module")
def folders(make_clip, ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:  # type: ignore[no-untyped-def]
    """An input whose names and tags are full of control characters, good and bad, and an output made from it."""
    base = tmp_path_factory.mktemp("control")
    inputs, output = base / "in", base / "out"
    clip = make_clip(base / "clip.mkv")
    good = inputs / f"good {EVIL}.mkv"
    good.parent.mkdir()
    tags = ("-metadata", f"title=t{EVIL}", "-metadata:s:v", f"title=v{EVIL}", "-metadata:s:a", f"language=l{ESCAPE}")
    subprocess.run([ffmpeg_path, "-loglevel", "error", "-i", clip, "-c", "copy", *tags, good], check=True)
    whole = clip.read_bytes()
    (inputs / f"cut {EVIL}.mkv").write_bytes(whole[: len(whole) // 2])
    (inputs / f"text {EVIL}.mp4").write_text("words")
    (inputs / f"zero {EVIL}.mp4").touch()
    (inputs / f"below {EVIL}").mkdir()
    noise = bytearray(whole)
    noise[2000:] = bytes(255 - byte for byte in noise[2000:])
    (inputs / f"below {EVIL}" / f"noise {EVIL}.mkv").write_bytes(noise)
    return inputs, output


@long_after(2, "more", [("--verbose",), ("--plan",), (), ("--json",), ("--log-format", "json")])
def test_runs_say_nothing_raw(more: tuple[str, ...], folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Text and JSON, on both streams and in every log, and in the report afterwards."""
    inputs, _ = folders
    output = tmp_path / f"out {ESCAPE}"
    result = call("--input", inputs, "--output", output, "--profile", "fast", *more)
    assert result.returncode == (0 if "--plan" in more else 1), ascii(result.stderr)
    assert_harmless(result.stdout, "standard output")
    assert_harmless(result.stderr, "standard error")
    if "--plan" in more:
        return
    logs = sorted((output / ".pyprocessor" / "logs").iterdir())
    assert logs
    for log in logs:
        assert_harmless(log.read_text(), log.name)
        assert log.stat().st_mode & 0o077 == 0
    for form in ("text", "json"):
        told = call_here("report", "--output", output, "--format", form)
        assert_harmless(told.stdout + told.stderr, f"report as {form}")


def test_bars_say_nothing_raw(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """A terminal gets the bars' own escapes and nobody else's."""
    inputs, _ = folders
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--input", inputs, "--output", tmp_path / "out", "--profile", "fast"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        said += data
    os.close(ours)
    assert process.wait(DEADLINE_SECONDS) == 1, said
    assert b"zero x" in said
    for raw in ("\x1b[31m", "\x1b]0;", "\x07", "\u202e", "\u2066", "\u2028", "\x9b"):
        assert raw.encode() not in said, ascii(raw)


def test_commands_about_one_file_say_nothing_raw(folders: tuple[Path, Path]) -> None:
    """`probe` of a good file, as text and JSON, and of bad ones; `doctor` where the folder's name is evil."""
    inputs, _ = folders
    for path in inputs.iterdir():
        for more in ((), ("--json",)):
            told = call_here("probe", path, *more)
            assert_harmless(told.stdout + told.stderr, path.name)
    below = next(path for path in inputs.iterdir() if path.is_dir())
    told = call("doctor", cwd=below)
    assert_harmless(told.stdout + told.stderr, "doctor")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--input", f"no{EVIL}where", "--output", "out"),
        ("--input", f"no{EVIL}where", "--output", "out", "--log-format", "json", "--json"),
        ("--input", ".", "--output", "out", "--profile", f"p{EVIL}"),
        ("--input", ".", "--output", "out", "--profile", f"./p{EVIL}.yaml"),
        ("--input", ".", "--output", "out", "--encoder", f"e{EVIL}"),
        ("--input", ".", "--output", "out", "--preset", f"e{EVIL}"),
        ("--input", ".", "--output", "out", "--until", f"e{EVIL}"),
        ("--input", ".", "--output", "out", "--min-size", f"e{EVIL}"),
        ("--input", ".", "--output", "out", "--batch-size", f"e{EVIL}"),
        ("--input", ".", "--output", "out", "--crf", f"e{EVIL}"),
        ("--input", ".", "--output", "out", "--include", f"e{EVIL}"),
        ("--input", ".", "--output", "out", f"--op{EVIL}"),
        (f"command{EVIL}",),
        ("probe", f"no{EVIL}where"),
        ("report", "--output", f"no{EVIL}where"),
        ("profiles", "show", f"no{EVIL}where"),
        ("profiles", "validate", f"no{EVIL}where"),
    ],
)
def test_mistakes_are_told_without_repeating_escapes(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was typed is shown escaped: a command line may come from a script that was handed a file's name."""
    monkeypatch.chdir(tmp_path)
    told = call_here(*arguments)
    assert "Traceback" not in told.stderr
    assert_harmless(told.stdout + told.stderr, "the sentence")


def test_profiles_with_escapes_are_told_without_them(tmp_path: Path) -> None:
    """Keys and values of a file that somebody else wrote."""
    for number, text in enumerate(
        (
            '"vi\\e[31mdeo": {crf: 20}',
            'video: {encoder: "lib\\e[31mx264"}',
            'video: {options: {"b\\e[31mf": 2}}',
            'video: {options: {x264-params: "st\\e[31mats=x"}}',
            'description: "d\\e[31m\\u202e"\nvideo: {crf: 99}',
            'description: "d\\e[31m\\u202e"',
            'hooks: {on_end: ["d\\e[31m\\u202e"]}',
            'extends: "no\\e[31mwhere"',
            'scan: {extensions: ["\\e[31m/"]}',
            'naming: {rename_pattern: "(\\e[31m"}',
            'unsafe: {input: ["\\e[31m"]}',
            "video: \x1b[31m",
        )
    ):
        profile = tmp_path / f"p{number}.yaml"
        profile.write_text(text)
        for command in ("show", "validate"):
            told = call_here("profiles", command, profile)
            assert "Traceback" not in told.stderr
            assert_harmless(told.stdout + told.stderr, f"{command} of {text!r}")


if sys.platform == "win32":  # names there hold no control characters
    pytest.skip("names hold no control characters there", allow_module_level=True)
