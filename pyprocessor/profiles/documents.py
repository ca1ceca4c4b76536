"""What does a profile, JSON with comments or YAML, hold, and where exactly is it wrong?"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from pyprocessor.errors import ProfileError
from pyprocessor.models import display
from pyprocessor.profiles.problems import KeyPath, Origin, shortened
from pyprocessor.profiles.schema import KNOWN_AT_TOP

MAX_FILE_BYTES = 1 << 20
_MAX_VALUES = 20_000
"""With YAML aliases written out. PyYAML reads some 20,000 nodes a second."""
_MAX_DEPTH = 24
_MAX_NUMBER_LENGTH = 100
"""A number in base 60 takes half a minute to read where it fills the file."""
_MAX_NUMBER = 1 << 63

_JSON_SUFFIXES = (".json", ".jsonc", ".json5")
_YAML_SUFFIXES = (".yaml", ".yml")
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_JSON_STRING = r"""(?P<string>"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?)"""
"""One that is not closed goes on to the end."""
_JSON_COMMENT = re.compile(rf"{_JSON_STRING}|//[^\n]*|/\*(?:.*?\*/|.*)", re.DOTALL)
_JSON_COLON = re.compile(rf"{_JSON_STRING}|(?<!\s)\s*+:\s?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f]")
_RARE = re.compile(r"[\x7f-\x9f\u2028\u2029]")
"""Characters of strings that YAML folds or refuses."""
_QUOTED = re.compile(r"""\\.|\"""", re.DOTALL)
_REQUOTED = {"\\'": "'", '"': '\\"'}
_MERGE_TAG = "tag:yaml.org,2002:merge"
_NO_JSON_NUMBER = re.compile(r"[+-]?0\d|.*_")
"""Octal to YAML, or with marks between digits."""
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_UNREADABLE = (ValueError, ArithmeticError, LookupError, AttributeError)
"""What PyYAML raises where a tag such as `!!bool` stands before a text that is none, or a month is the 13th."""

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_CONTENT_FOUND = re.compile(r", but (?:found|got) (?!'<[a-z ]+>'$).*", re.DOTALL)
_CONTENT_QUOTED = re.compile(r"""\s*(['"]).*\1""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """One file; relative paths in it start from `folder`.

    `name` is what messages call it, `identity` is the same for the same file under any name. `values` holds only dicts
    with text keys, lists, texts, ints, finite floats, booleans and None. `lines` gives the line of each key, from 1.
    """

    name: str
    identity: str
    folder: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """Where this key stands in the file."""
        return Origin(self.name, ".".join(path), self.lines.get(path))


def _builtin_folder() -> Traversable:
    try:
        return resources.files("pyprocessor.builtin_profiles")
    except ModuleNotFoundError:
        # A checkout run in place, without an install that maps the folder to its package name.
        return Path(__file__).parents[2] / "profiles"


@cache
def builtin_names() -> tuple[str, ...]:
    """Names of the profiles that come with pyprocessor, `default` first and then by alphabet."""
    names = (entry.name.removesuffix(".yaml") for entry in _builtin_folder().iterdir() if entry.name.endswith(".yaml"))
    return tuple(sorted(names, key=lambda name: (name != "default", name)))


def read_builtin(name: str) -> Document:
    """The built-in profile of this name, which must be one of `builtin_names`."""
    content = _builtin_folder().joinpath(f"{name}.yaml").read_bytes()
    called = f"built-in profile {name}"
    return parse_document(content, name=called, identity=called, folder="", suffix=".yaml")


def read_document(path: str, *, named_by_file: bool = False) -> Document:
    """The content of the file; raises ProfileError, with line and column where known.

    A pipe or a device is read where the user named it, and refused where another file did: it may never end, and some
    devices act on being opened.
    """
    name = display(os.fsencode(path))
    try:
        if named_by_file and not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            raise ProfileError(f"{name} is no regular file, and no other may be named by a profile.")
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ProfileError(f"The profile file {name} does not exist.") from None
    except IsADirectoryError:
        raise ProfileError(f"{name} is a folder; name a profile file in it.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ProfileError(f"The profile file {name} cannot be read: {reason}.") from None
    folder, suffix = os.path.dirname(path), os.path.splitext(path)[1]
    return parse_document(content, name=name, identity=os.path.realpath(path), folder=folder, suffix=suffix)


def parse_document(content: bytes, *, name: str, identity: str, folder: str, suffix: str) -> Document:
    """A Document from the bytes of a file, in the format of its `suffix` or else of its content."""
    values, lines = parse_values(content, name=name, suffix=suffix)
    if not isinstance(values, dict):
        held = "a list" if isinstance(values, list) else "nothing" if values is None else "a single value"
        raise ProfileError(f"{name} must hold settings as `key: value`, but holds {held}.")
    return Document(name=name, identity=identity, folder=folder, values=values, lines=lines)


def parse_values(content: bytes, *, name: str, suffix: str, kind: str = "a profile") -> tuple[Any, dict[KeyPath, int]]:
    """What a file holds, in plain values, and the line of each key; `kind` is what it is to be, for messages."""
    if len(content) > MAX_FILE_BYTES:
        raise ProfileError(f"{name} is larger than {MAX_FILE_BYTES // 1024} KiB; it cannot be {kind}.")
    if content.startswith(_BYTE_ORDER_MARKS):
        raise ProfileError(f"{name} begins with a byte order mark; save it as UTF-8 without one.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProfileError(f"{name}, line {line}: the text is not UTF-8; save the file as UTF-8.") from None
    if not text.strip():
        raise ProfileError(f"{name} is empty; {kind} needs at least one setting.")
    suffix = suffix.lower() if suffix.lower() in _JSON_SUFFIXES + _YAML_SUFFIXES else ""
    is_json = suffix in _JSON_SUFFIXES if suffix else text.lstrip().startswith(("{", "//", "/*"))
    kind = "JSON" if is_json else "YAML"
    try:
        if is_json:
            text = _JSON_COLON.sub(_colon, _JSON_COMMENT.sub(_as_yaml, text)).replace("\t", " ")
        reader = _Reader(text, name, is_json=is_json, kind=kind)
        root = reader.get_single_node()
        values = None if root is None else reader.value(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        parts = [_without_content(error.problem or "it cannot be read")]
        if parts[0].startswith("but") and error.context:
            parts.insert(0, error.context)
        raise ProfileError(f"{name}{place}: not valid {kind}: {', '.join(parts)}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        character = f"the character U+{error.character:04X}"
        raise ProfileError(f"{name}, line {line}: {character} may not stand in {kind}.") from None
    except RecursionError:
        raise ProfileError(f"{name} is nested too deeply for {kind}.") from None
    return values, reader.lines


def _as_yaml(token: re.Match[str]) -> str:
    """A string of JSON as YAML writes it, or blanks for a comment, in the same lines. Raises yaml.MarkedYAMLError."""
    mark = token[0]
    if token["string"] is None:
        return re.sub(r"[^\n]", " ", mark)
    if _CONTROL.search(mark):
        line, start = token.string.count("\n", 0, token.start()), token.string.rfind("\n", 0, token.start()) + 1
        place = yaml.Mark("", 0, line, token.start() - start, None, 0)
        raise yaml.MarkedYAMLError(
            problem="a string goes on over a line break or another control character", problem_mark=place
        )
    mark = _RARE.sub(lambda found: f"\\u{ord(found[0]):04x}", mark)
    if mark.startswith("'"):
        return f'"{_QUOTED.sub(lambda found: _REQUOTED.get(found[0], found[0]), mark[1:-1])}"'
    return mark


def _colon(token: re.Match[str]) -> str:
    """A colon beside its key, where YAML wants it, and line breaks after it; strings as they are."""
    return token[0] if token["string"] is not None else ": " + "\n" * token[0].count("\n")


def _called(path: KeyPath, otherwise: str, noun: str = "") -> str:
    """A key as messages quote it; `otherwise` where it may be a line of a file that is no profile at all."""
    return f"{noun}`{shortened('.'.join(path))}`" if path and path[0] in KNOWN_AT_TOP else otherwise


def _without_content(problem: str) -> str:
    """What PyYAML says is wrong, without what it quotes: the file may be any file of the user's."""
    problem = _CONTENT_FOUND.sub("", problem)
    return problem if problem.startswith(("expected", "could not find expected")) else _CONTENT_QUOTED.sub("", problem)


class _Reader(yaml.SafeLoader):
    """Makes plain values of nodes; PyYAML itself accepts keys that stand twice and does not bound aliases."""

    def __init__(self, text: str, file: str, *, is_json: bool, kind: str) -> None:
        super().__init__(text)
        self._kind = kind
        self.lines: dict[KeyPath, int] = {}
        self._file = file
        self._is_json = is_json
        self._nodes = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._nodes += 1
        if self._nodes > 2 * _MAX_VALUES:  # keys are nodes, too
            raise ProfileError(f"{self._file} holds more than {_MAX_VALUES} values, too many for {self._kind}.")
        return super().compose_node(parent, index)

    def _fail(self, node: yaml.Node, text: str) -> ProfileError:
        return ProfileError(f"{self._file}, line {node.start_mark.line + 1}: {text}")

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        """What the node at this path holds."""
        self._values += 1
        if self._values > _MAX_VALUES:
            raise self._fail(node, f"the file holds more than {_MAX_VALUES} values once its aliases are written out.")
        if len(path) > _MAX_DEPTH:
            raise self._fail(node, "the file is nested too deeply, or an alias holds itself.")
        if self._is_json and isinstance(node, yaml.CollectionNode) and not node.flow_style:
            raise self._fail(node, "not valid JSON: a bracket is missing.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, str(number))) for number, item in enumerate(node.value, 1)]
        assert isinstance(node, yaml.ScalarNode)
        called = _called(path, "a value")
        value = self._scalar(node, called)
        if value is not None and not isinstance(value, str | int | float):
            raise self._fail(node, f"{called} reads as {type(value).__name__} in YAML; put it in quotes.")
        if isinstance(value, float) and not math.isfinite(value):
            raise self._fail(node, f"{called} must be a finite number.")
        if isinstance(value, int) and abs(value) > _MAX_NUMBER:  # Python refuses to write thousands of digits
            raise self._fail(node, f"{called} is a number larger than any setting may be.")
        return value

    def _scalar(self, node: yaml.ScalarNode, called: str, *, is_key: bool = False) -> Any:
        is_number = node.tag in _NUMBER_TAGS
        if is_number and len(node.value) > _MAX_NUMBER_LENGTH:
            raise self._fail(node, f"{called} is a number of {len(node.value):,} characters; no setting is so large.")
        if is_number and self._is_json and _NO_JSON_NUMBER.match(node.value):
            raise self._fail(node, f"{called} is {node.value}, which is no number in JSON.")
        try:
            bare = self._is_json and not (is_key or is_number or node.style)
            value = json.loads(node.value) if bare else self.construct_object(node)
        except json.JSONDecodeError:
            place = f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
            raise ProfileError(f"{self._file}, {place}: not valid JSON: a value was expected.") from None
        except _UNREADABLE:
            raise self._fail(node, f"{called} is not a value that can be read; put it in quotes.") from None
        if not isinstance(value, str) or value.isascii():
            return value
        # JSON writes rare characters as two halves. A single half no file name, terminal or process can be given.
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if _HALF_CHARACTER.search(value):
            raise self._fail(node, f"{'a key' if is_key else called} holds an escape that is no character.")
        return value

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    found = self.value(source, path)
                    if not isinstance(found, dict):
                        raise self._fail(source, "only a mapping can be merged with `<<`.")
                    merged = found | merged
                continue
            key = self._key(key_node, path)
            here = (*path, key)
            if key in own:
                called = _called(here, "a key", "the key ")
                raise self._fail(key_node, f"{called} stands twice, first in line {self.lines[here]}; remove one.")
            self.lines[here] = key_node.start_mark.line + 1
            own[key] = self.value(value_node, here)
        return merged | own

    def _key(self, node: yaml.Node, path: KeyPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._fail(node, "a key must be a text.")
        called = _called((*path, node.value), "a key", "the key ")
        value = self._scalar(node, called, is_key=True)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(node.value)
        if not isinstance(value, str):
            raise self._fail(node, f"{called} reads as {type(value).__name__} in YAML; put it in quotes.")
        return value
