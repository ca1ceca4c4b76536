"""Reading profile files: formats, limits, and errors that name file and line."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyprocessor.errors import ProfileError
from pyprocessor.profiles.documents import MAX_FILE_BYTES, Document, parse_document, read_document


def parse(text: str | bytes, suffix: str = ".yaml") -> Document:
    content = text.encode() if isinstance(text, str) else text
    return parse_document(content, name="p", identity="p", folder="", suffix=suffix)


def error_of(text: str | bytes, suffix: str = ".yaml") -> str:
    with pytest.raises(ProfileError) as caught:
        parse(text, suffix)
    return str(caught.value)


def test_json_with_comments_trailing_commas_and_lines() -> None:
    """Comments of both kinds are skipped, and every key has its line."""
    text = '// first\n{"video": { /* : { */\n  "crf": 20, // why\n},\n scan: {extensions: ["a", {b: 1}]}}'
    document = parse(text, ".json")
    assert document.values == {"video": {"crf": 20}, "scan": {"extensions": ["a", {"b": 1}]}}
    assert document.lines == {
        ("video",): 2,
        ("video", "crf"): 3,
        ("scan",): 5,
        ("scan", "extensions"): 5,
        ("scan", "extensions", "2", "b"): 5,
    }


def test_json_values_are_what_json_says() -> None:
    """Numbers with exponents, escapes, halves of a character and quotes of both kinds are read as JSON has them."""
    text = (
        r"""{"a": 1e3, b: -1.5E+2, 'c': 'it\'s \\ "q"', "d": "\ud83d\ude00\/\u00e9", e: [true, null], f:0x1F, g: .5}"""
    )
    expected = {"a": 1000.0, "b": -150.0, "c": 'it\'s \\ "q"', "d": "\U0001f600/\u00e9", "e": [True, None]}
    assert parse(text, ".json").values == expected | {"f": 31, "g": 0.5}


def test_yaml_with_lines_anchors_and_merge() -> None:
    """Anchors and `<<` work; a key of the mapping itself wins over a merged one."""
    document = parse("base: &b {crf: 20, preset: slow}\nvideo:\n  <<: *b\n  crf: 18\n")
    assert document.values["video"] == {"crf": 18, "preset": "slow"}
    assert document.lines["video", "crf"] == 4


def test_unknown_suffix_is_told_by_content() -> None:
    """Without a known suffix, an opening brace or a comment means JSON."""
    assert parse('{"a": 1} // x', "").values == {"a": 1}
    assert parse("// x\n{a: 1}", ".conf").values == {"a": 1}
    assert parse("a: 1", ".conf").values == {"a": 1}


def test_duplicate_keys_name_key_and_line() -> None:
    """A key that stands twice is an error in both formats, never the last one silently."""
    assert "line 4: the key `video.crf` stands twice, first in line 2" in error_of(
        "video:\n  crf: 1\n  tune: film\n  crf: 2"
    )
    assert "line 3: the key `video.crf` stands twice" in error_of('{"video": {\n"crf": 1,\n"crf": 2}}', ".json")
    assert "line 2: the key `video` stands twice" in error_of("{video: 1, // comment\n video: 2,}", ".json")
    assert "the key `scan` stands twice" in error_of('{"scan": 1, "\\u0073can": 2}', ".json")


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("", ".yaml", "p is empty"),
        (" \n\t", ".json", "p is empty"),
        ("# only a comment", ".yaml", "holds nothing"),
        ("- a", ".yaml", "holds a list"),
        ("[1]", ".json", "holds a list"),
        ('"x"', ".json", "holds a single value"),
        (b"\xef\xbb\xbfa: 1", ".yaml", "byte order mark"),
        ("video: 1".encode("utf-16"), ".yaml", "byte order mark"),
        (b"a: 1\nb: \xff", ".yaml", "line 2: the text is not UTF-8"),
        ("video: [1", ".yaml", "line 1, column 10: not valid YAML"),
        ("video: 1\n\tb: 2", ".yaml", "line 2, column 1: not valid YAML"),
        ("video: 1\n---\nb: 1", ".yaml", "expected a single document"),
        ("video: \x01", ".yaml", "line 1: the character U+0001 may not stand in YAML"),
        ("video: !!python/name:os.system x", ".yaml", "line 1, column 8: not valid YAML"),
        ("video: !!binary aGk=", ".yaml", "`video` reads as bytes"),
        ("video: 2020-01-01", ".yaml", "`video` reads as date"),
        ("video: 2020-99-01", ".yaml", "`video` is not a value that can be read"),
        ("video: .nan", ".yaml", "`video` must be a finite number"),
        ('{"video": NaN}', ".json", "`video` must be a finite number"),
        ("{video: [1, -Infinity]}", ".json", "`video.2` must be a finite number"),
        ("on: 1", ".yaml", "a key reads as bool in YAML; put it in quotes"),
        ("video: {on: 1}", ".yaml", "the key `video.on` reads as bool in YAML; put it in quotes"),
        ("[a]: 1", ".yaml", "a key must be a text"),
        ("<<: 5", ".yaml", "only a mapping can be merged"),
        ("video: *b", ".yaml", "undefined alias"),
        ('{"a": }', ".json", "line 1, column 6: not valid JSON: a value was expected"),
        ('{"a": 1, "b"}', ".json", "line 1, column 13: not valid JSON: a value was expected"),
        ("{a: [1 2]}", ".json", "line 1, column 6: not valid JSON: a value was expected"),
        ('{"a": 1,\n"b": 1 "c": 2}', ".json", "line 2, column 11: not valid JSON: expected ',' or '}'"),
        ("video: 1", ".json", "line 1: not valid JSON: a bracket is missing"),
        ('{"a": 1', ".json", "not valid JSON: expected ',' or '}', but got '<stream end>'"),
        ('{"a": ' + "9" * 5000 + "}", ".json", "a value is a number of 5,000 characters"),
        ("video: " + "9" * 5000, ".yaml", "`video` is a number of 5,000 characters"),
        ("video: 1" + ":10" * 300_000, ".yaml", "`video` is a number of 900,001 characters"),
        ("video: 1" + ":10" * 400 + ".5", ".yaml", "`video` is a number of 1,203 characters"),
        ("video: 0x" + "f" * 90, ".yaml", "`video` is a number larger than any setting may be"),
        ("{video: 0x" + "f" * 9000 + "}", ".json", "`video` is a number of 9,002 characters"),
        ("video: !!bool maybe", ".yaml", "`video` is not a value that can be read"),
        ("video: !!int ''", ".yaml", "`video` is not a value that can be read"),
        ("video: !!float ''", ".yaml", "`video` is not a value that can be read"),
        ("video: !!timestamp soon", ".yaml", "`video` is not a value that can be read"),
        ("!!bool maybe: 1", ".yaml", "a key is not a value that can be read"),
        ("[" * 5000, ".yaml", "nested too deeply"),
        ("[" * 5000, ".json", "nested too deeply"),
        ("[" * 200 + "]" * 200, ".json", "nested too deeply"),
        ("video: &a [*a]", ".yaml", "nested too deeply, or an alias holds itself"),
        ("video: &a {<<: *a}", ".yaml", "nested too deeply|more than"),
        ('{"video": "\\ud800"}', ".json", "`video` holds an escape that is no character"),
        ('{"\\ud800": 1}', ".json", "a key holds an escape that is no character"),
        ('video: "\\uD800"', ".yaml", "`video` holds an escape that is no character"),
        ('"\\uD800": 1', ".yaml", "a key holds an escape that is no character"),
        ("[" + "1," * 20_000 + "1]", ".yaml", "more than 20000 values"),
        ("[" + "1," * 20_000 + "1]", ".json", "more than 20000 values"),
        ("[" + "1," * 40_001 + "] //", ".json", "more than 20000 values"),
        ("//" + "x" * 300_000, ".json", "holds nothing"),
        ('{"a":1,"\\u0061":2}' + '"\\' * 500_000, ".json", "not valid JSON: found unknown escape character"),
        ('{"a":1,"\\u0061":2}' + "/*" * 500_000, ".json", "not valid JSON: expected"),
        (b"#" * (MAX_FILE_BYTES + 1), ".yaml", "larger than 1024 KiB"),
    ],
)
def test_bad_content_gets_one_clear_sentence(text: str | bytes, suffix: str, expected: str) -> None:
    """Each way a file can be wrong is told with its place, and never as a traceback."""
    message = error_of(text, suffix)
    assert any(part in message for part in expected.split("|")), message
    assert "\n" not in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ("secret: 1\nsecret: 2", ".yaml"),
        ("secret: 2020-01-01", ".yaml"),
        ("secret: 2020-99-01", ".yaml"),
        ("secret: .nan", ".yaml"),
        ("secret: " + "9" * 500, ".yaml"),
        ("!!bool secret: 1", ".yaml"),
        ("2020-01-01: secret\nx: *secret", ".yaml"),
        ("a: *secret", ".yaml"),
        ("a: &secret 1\nb: &secret 2\n", ".yaml"),
        ("a: !secret 1", ".yaml"),
        ("a: !secret!x 1", ".yaml"),
        ("%TAG !secret! x\n%TAG !secret! x\n--- 1", ".yaml"),
        ("a: [1 'secret'", ".yaml"),
        ("secret\n---\nsecret", ".yaml"),
        ('a: "\\secret"', ".yaml"),
        ("a: `secret`", ".yaml"),
        ("a: |secret\n b", ".yaml"),
        ("%secret", ".yaml"),
        ("secret:x:0:0\nsecret:x:1", ".yaml"),
        ('{"secret": 1, "secret": 2}', ".json"),
        ('{"secret": NaN}', ".json"),
        ('{"a": secret}', ".json"),
        ("secret", ".json"),
        ("{'a': 'secret", ".json"),
    ],
)
def test_an_error_quotes_nothing_of_a_file_that_may_be_any(text: str, suffix: str) -> None:
    """Only its place is told: the file may be one that a profile names and its user would not show."""
    message = error_of(text, suffix)
    assert "secret" not in message


def test_alias_bombs_end_at_a_bound() -> None:
    """Nested aliases that would write out to billions of values are refused."""
    names = "abcdefghij"
    rows = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
    rows += [f"{new}: &{new} [{','.join(['*' + old] * 10)}]" for old, new in itertools.pairwise(names)]
    assert "more than 20000 values" in error_of("\n".join(rows))
    rows = ["a: &a {k: 1}"]
    rows += [f"{new}: &{new} {{<<: [{','.join(['*' + old] * 10)}]}}" for old, new in itertools.pairwise(names)]
    assert "more than 20000 values" in error_of("\n".join(rows))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing files, folders and unreadable files each have their own sentence."""
    with pytest.raises(ProfileError, match="does not exist"):
        read_document(str(tmp_path / "none.yaml"))
    with pytest.raises(ProfileError, match="is a folder"):
        read_document(str(tmp_path))
    with pytest.raises(ProfileError, match="cannot be read"):
        read_document("a\0b")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ProfileError, match="cannot be read"):
        read_document(str(tmp_path / "loop"))
    if os.geteuid() == 0:
        return  # root reads everything
    locked = tmp_path / "locked.yaml"
    locked.write_text("a: 1")
    locked.chmod(0)
    with pytest.raises(ProfileError, match="cannot be read"):
        read_document(str(locked))


def test_a_name_that_is_not_utf8_is_printable(tmp_path: Path) -> None:
    """Bytes that are no text come out escaped."""
    path = os.fsencode(tmp_path) + b"/\xff.yaml"
    with open(path, "wb") as file:
        file.write(b"- x")
    with pytest.raises(ProfileError, match=r"\\xff\.yaml"):
        read_document(os.fsdecode(path))


@pytest.mark.parametrize("colon", [":", "\n:", " // why\n : ", "\t:\n", " " * 2000 + ":"])
def test_a_colon_may_stand_anywhere_in_json(colon: str) -> None:
    """YAML wants it in its key's line."""
    document = parse(f'{{"video"{colon}{{"crf": 23}},\n"audio": false}}', ".json")
    assert document.values == {"video": {"crf": 23}, "audio": False}
    assert document.lines[("audio",)] == 2 + colon.count("\n")


def test_strings_of_json_are_taken_as_they_are() -> None:
    """Characters that YAML would fold or refuse stay; a line break in one is an error."""
    assert parse('{"input": "a\u2028 b\x85c\x7f // d: e"}', ".json").values == {"input": "a\u2028 b\x85c\x7f // d: e"}
    with pytest.raises(ProfileError, match="line 2, column 12: not valid JSON: a string goes on over a line break"):
        parse('{\n  "input": "a\n b"}', ".json")


@pytest.mark.parametrize("number", ["010", "-010", "1_0"])
def test_json_has_no_numbers_that_only_yaml_has(number: str) -> None:
    """YAML would read 010 as 8."""
    with pytest.raises(ProfileError, match="no number in JSON"):
        parse(f'{{"video": {{"crf": {number}}}}}', ".json")


@example(text="[:,", suffix=".json")
@given(text=st.text(alphabet="{}[]:,-&*<\"'#/ \n\tab1.!|?~%", max_size=60), suffix=st.sampled_from([".yaml", ".json"]))
def test_no_text_escapes_the_error_class(text: str, suffix: str) -> None:
    """Whatever stands in the file, the outcome is a Document or a ProfileError."""
    with contextlib.suppress(ProfileError):
        assert isinstance(parse(text, suffix).values, dict)
