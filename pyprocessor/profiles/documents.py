"""What does a profile file, JSON with comments or YAML, hold, and where exactly is it wrong?"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from dataclasses import dataclass, field
from typing import Any

import yaml

from pyprocessor.errors import ProfileError
from pyprocessor.models import display
from pyprocessor.profiles.problems import KeyPath, Origin, shortened
from pyprocessor.profiles.schema import KNOWN_AT_TOP

MAX_FILE_BYTES = 1 << 20
"""A profile is a page of text; a film given by mistake must not be read to its end."""
_MAX_JSON5_BYTES = 1 << 18
"""Of JSON with comments, for which there is only a slow parser: two seconds for so much."""
_MAX_VALUES = 20_000
"""With YAML aliases written out, so that nested aliases cannot fill the memory. The parsers of YAML and of JSON with
comments are slow: a file of 1 MiB that is full of values would take them a minute."""
_MAX_DEPTH = 24
_MAX_NUMBER_LENGTH = 100
"""Of a number as written in YAML, which in base 60 takes half a minute to read where it fills the file."""
_MAX_NUMBER = 1 << 63
"""No setting comes near, and Python refuses to write numbers of thousands of digits into a message."""

_JSON_SUFFIXES = (".json", ".jsonc", ".json5")
_YAML_SUFFIXES = (".yaml", ".yml")
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_JSON5_PLACE = re.compile(r"^<string>:(?P<line>\d+) (?P<text>.*?)(?: at column (?P<column>\d+))?$", re.DOTALL)
_JSON_TOKEN = re.compile(
    r"""//[^\n]*|/\*(?:.*?\*/|.*)|"(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|[{}\[\]:,]|[^\s{}\[\]:,"'/]+""", re.DOTALL
)
"""What is not closed goes on to the end: begun anew at each mark in it, reading would take hours."""
_MERGE_TAG = "tag:yaml.org,2002:merge"
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_UNREADABLE = (ValueError, ArithmeticError, LookupError, AttributeError)
"""What PyYAML raises where a tag such as `!!bool` stands before a text that is none, or a month is the 13th."""

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_CONTENT_FOUND = re.compile(r", but (?:found|got) (?!'<[a-z ]+>'$).*", re.DOTALL)
_CONTENT_QUOTED = re.compile(r"""\s*(['"]).*\1""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """One file; relative paths in it start from `folder`.

    `name` is what messages call it, `identity` is the same for the same file under any name.
    `values` holds only dicts with text keys, lists, texts, ints, finite floats, booleans and None. `lines` gives the
    line of a key, from 1, where the format tells.
    """

    name: str
    identity: str
    folder: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """Where this key stands in the file."""
        return Origin(self.name, ".".join(path), self.lines.get(path))


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
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ProfileError(f"The profile file {name} cannot be read: {reason}.") from None
    return parse_document(
        content,
        name=name,
        identity=os.path.realpath(path),
        folder=os.path.dirname(path),
        suffix=os.path.splitext(path)[1],
    )


def parse_document(content: bytes, *, name: str, identity: str, folder: str, suffix: str) -> Document:
    """A Document from the bytes of a file, in the format of its `suffix` or else of its content."""
    if len(content) > MAX_FILE_BYTES:
        raise ProfileError(f"{name} is larger than {MAX_FILE_BYTES // 1024} KiB; it cannot be a profile.")
    if content.startswith(_BYTE_ORDER_MARKS):
        raise ProfileError(f"{name} begins with a byte order mark; save it as UTF-8 without one.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ProfileError(f"{name}, line {line}: the text is not UTF-8; save the file as UTF-8.") from None
    if not text.strip():
        raise ProfileError(f"{name} is empty; a profile needs at least one setting.")
    lines: dict[KeyPath, int] = {}
    try:
        if _is_json(text, suffix.lower()):
            lines = _json_lines(text, name)
            values = _parse_json(text, name)
            _check_plain(values, name)
        else:
            values = _YamlReader(text, name, lines).read()
    except RecursionError:
        raise ProfileError(f"{name} is nested too deeply for a profile.") from None
    if not isinstance(values, dict):
        raise ProfileError(f"{name} must hold settings as `key: value`, but holds {_kind(values)}.")
    return Document(name=name, identity=identity, folder=folder, values=values, lines=lines)


def _is_json(text: str, suffix: str) -> bool:
    if suffix in _JSON_SUFFIXES + _YAML_SUFFIXES:
        return suffix in _JSON_SUFFIXES
    return text.lstrip().startswith(("{", "//", "/*"))


def _called(path: KeyPath, otherwise: str) -> str:
    """A key as messages quote it; `otherwise` where it may be a line of a file that is no profile at all."""
    return f"`{shortened('.'.join(path))}`" if path and path[0] in KNOWN_AT_TOP else otherwise


def _key_called(path: KeyPath) -> str:
    quoted = _called(path, "")
    return f"the key {quoted}" if quoted else "a key"


def _too_many(name: str) -> ProfileError:
    return ProfileError(f"{name} holds more than {_MAX_VALUES} values, too many for a profile.")


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    return "nothing" if value is None else "a single value"


# ---------------------------------------------------------------- JSON


def _parse_json(text: str, name: str) -> object:
    try:
        # Most files are plain JSON, which the standard parser reads a hundred times faster than the json5 one.
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    except ValueError:
        raise _too_long_number(name) from None
    import json5  # the slow and rarely needed one

    if len(text.encode()) > _MAX_JSON5_BYTES:
        raise ProfileError(
            f"{name} is larger than {_MAX_JSON5_BYTES // 1024} KiB and no plain JSON, as larger files have to be; "
            "it may hold comments, keys without quotes, or a mistake."
        )
    if sum(token[0] in ",:" for token in _JSON_TOKEN.finditer(text)) > 2 * _MAX_VALUES:
        raise _too_many(name)
    try:
        return json5.loads(text)
    except ValueError as error:
        found = _JSON5_PLACE.match(str(error))
        if found is None:
            raise _too_long_number(name) from None
        place = f"line {found['line']}" + (f", column {found['column']}" if found["column"] else "")
        what = "end of input" if "end of input" in found["text"] else "character"
        raise ProfileError(f"{name}, {place}: not valid JSON: unexpected {what}.") from None


def _too_long_number(name: str) -> ProfileError:
    """The only error that parsers give no place for: Python reads no whole number of thousands of digits."""
    return ProfileError(f"{name} is not valid JSON: a number in it has too many digits.")


def _json_lines(text: str, name: str) -> dict[KeyPath, int]:
    """The line of every key of a JSON text; raises ProfileError for a key that stands twice."""
    lines: dict[KeyPath, int] = {}
    path: list[str] = []
    in_list: list[bool] = []
    word, line, position = "", 1, 0
    for token in _JSON_TOKEN.finditer(text):
        line += text.count("\n", position, token.start())
        position = token.start()
        mark = token[0]
        if mark in ("{", "["):
            in_list.append(mark == "[")
            path.append("1" if mark == "[" else "")
            if len(path) > _MAX_DEPTH:
                break
        elif mark in ("}", "]"):
            if not path:
                break  # a text that is cut short here is refused by its parser
            in_list.pop()
            path.pop()
        elif mark == "," and in_list and in_list[-1]:
            path[-1] = str(int(path[-1]) + 1)
        elif mark == ":" and path:
            path[-1] = _json_word(word)
            here = tuple(path)
            if here in lines:
                raise ProfileError(f"{name}, line {line}: {_key_called(here)} stands twice; remove one.")
            lines[here] = line
        elif not mark.startswith(("//", "/*")):
            word = mark
    return lines


def _json_word(token: str) -> str:
    """The key that this token writes, with or without quotes."""
    if token[:1] not in ("'", '"'):
        return token
    written = token[1:-1]
    if "\\" not in written:
        return written
    try:
        plain = written.replace("\\'", "'") if token[0] == "'" else written
        return str(json.loads(f'"{plain}"'))
    except ValueError:
        return written


def _check_plain(whole: object, name: str) -> None:
    """Raise ProfileError where a JSON value holds what no profile can."""
    pending: list[tuple[KeyPath, object]] = [((), whole)]
    seen = 0
    while pending:
        path, value = pending.pop()
        seen += 1
        if seen > _MAX_VALUES:
            raise _too_many(name)
        if len(path) > _MAX_DEPTH:
            raise ProfileError(f"{name} is nested too deeply for a profile.")
        problem = None
        if isinstance(value, dict):
            problem = next(filter(None, map(_text_problem, value)), None)
            pending += [((*path, key), item) for key, item in reversed(value.items())]  # so that the first comes next
        elif isinstance(value, list):
            pending += [((*path, str(number)), item) for number, item in reversed([*enumerate(value, 1)])]
        else:
            problem = _value_problem(value)
        if problem is not None:
            raise ProfileError(f"{name}: {_called(path, 'a value')} {problem}.")


def _value_problem(value: object) -> str | None:
    """Why no profile may hold this, as the end of a sentence."""
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if isinstance(value, int) and abs(value) > _MAX_NUMBER:
        return "is a number larger than any setting may be"
    return _text_problem(value) if isinstance(value, str) else None


def _text_problem(text: str) -> str | None:
    # Escapes can write half of a pair of UTF-16, which no file name, terminal or other process can be given.
    return None if text.isascii() or not _HALF_CHARACTER.search(text) else "holds an escape that is no character"


# ---------------------------------------------------------------- YAML


class _Loader(yaml.SafeLoader):
    """Stops at a number of nodes, since PyYAML reads some 20,000 of them a second."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self._name = name
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._nodes += 1
        if self._nodes > 2 * _MAX_VALUES:  # keys are nodes, too
            raise _too_many(self._name)
        return super().compose_node(parent, index)


def _without_content(problem: str) -> str:
    """What PyYAML says is wrong, without what it quotes: the file may be any file of the user's."""
    problem = _CONTENT_FOUND.sub("", problem)
    return problem if problem.startswith(("expected", "could not find expected")) else _CONTENT_QUOTED.sub("", problem)


class _YamlReader:
    """Makes plain values of YAML nodes; PyYAML itself accepts duplicate keys and does not bound aliases."""

    def __init__(self, text: str, name: str, lines: dict[KeyPath, int]) -> None:
        self._text = text
        self._name = name
        self._lines = lines
        self._values = 0

    def read(self) -> object:
        try:
            self._loader = _Loader(self._text, self._name)
            root = self._loader.get_single_node()
            return None if root is None else self._value(root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            parts = [_without_content(error.problem or "it cannot be read")]
            if parts[0].startswith("but") and error.context:
                parts.insert(0, error.context)
            reason = ", ".join(parts)
            raise ProfileError(f"{self._name}{place}: not valid YAML: {reason}.") from None
        except yaml.reader.ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            raise ProfileError(
                f"{self._name}, line {line}: the character U+{error.character:04X} may not stand in YAML."
            ) from None

    def _fail(self, node: yaml.Node, text: str) -> ProfileError:
        return ProfileError(f"{self._name}, line {node.start_mark.line + 1}: {text}")

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._values += 1
        if self._values > _MAX_VALUES:
            raise self._fail(node, f"the file holds more than {_MAX_VALUES} values once its aliases are written out.")
        if len(path) > _MAX_DEPTH:
            raise self._fail(node, "the file is nested too deeply, or an alias holds itself.")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, str(number))) for number, item in enumerate(node.value, 1)]
        called = _called(path, "a value")
        value = self._scalar(node, called)
        if value is not None and not isinstance(value, str | int | float):
            raise self._fail(node, f"{called} reads as {type(value).__name__} in YAML; put it in quotes.")
        problem = _value_problem(value)
        if problem is not None:
            raise self._fail(node, f"{called} {problem}.")
        return value

    def _scalar(self, node: yaml.Node, called: str) -> Any:
        if node.tag in _NUMBER_TAGS and len(node.value) > _MAX_NUMBER_LENGTH:
            raise self._fail(node, f"{called} is a number of {len(node.value):,} characters; no setting is so large.")
        try:
            return self._loader.construct_object(node)
        except _UNREADABLE:
            raise self._fail(node, f"{called} is not a value that can be read; put it in quotes.") from None

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    found = self._value(source, path)
                    if not isinstance(found, dict):
                        raise self._fail(source, "only a mapping can be merged with `<<`.")
                    for name, value in found.items():
                        merged.setdefault(name, value)
                continue
            key = self._key(key_node, path)
            if key in own:
                first = self._lines[(*path, key)]
                called = _key_called((*path, key))
                raise self._fail(key_node, f"{called} stands twice, first in line {first}; remove one.")
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            own[key] = self._value(value_node, (*path, key))
        return {**merged, **own}

    def _key(self, node: yaml.Node, path: KeyPath) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._fail(node, "a key must be a text.")
        called = _key_called((*path, node.value))
        value = self._scalar(node, called)
        if isinstance(value, str):
            problem = _text_problem(value)
            if problem is not None:
                raise self._fail(node, f"a key {problem}.")
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(node.value)
        raise self._fail(node, f"{called} reads as {type(value).__name__} in YAML; put it in quotes.")
