"""What do the values of a table mean, and what is wrong with them, in whole sentences?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyprocessor.profiles.problems import MAX_SHOWN, KeyPath, Origin, listed, nearest, shown, wrong_value
from pyprocessor.profiles.schema import SECTIONS, ProfileFile, Table


def read(
    table: Table,
    values: Mapping[str, Any],
    origin: Callable[[KeyPath], Origin],
    holder: KeyPath = (),
    root: Table | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """What the values under the key `holder` mean, without None, and a sentence for each thing wrong with them."""
    found: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in values.items():
        key, path = table.keys.get(name), (*holder, name)
        if key is None:
            where = origin(path)
            # Finding the nearest key takes long, and those after the first ones are only counted.
            hint = _suggestion(name, table, holder, root or table) if len(problems) < MAX_SHOWN else "."
            problems.append(f"{where.prefix}unknown key {where.subject}{hint}")
        elif value is None:
            continue
        elif isinstance(key.kind, Table):
            if isinstance(value, dict):
                found[name], wrong = read(key.kind, value, origin, path, root or table)
                problems += wrong
            else:
                problems.append(wrong_value(origin(path), value, "must be a table of settings"))
        else:
            try:
                found[name] = key.kind.read(value)
            except ValueError as error:
                problems += [_sentence(origin(path), value, rule) for rule in error.args]
    return found, problems


def _sentence(where: Origin, value: object, rule: str | tuple[str, int, object]) -> str:
    if isinstance(rule, str):
        return wrong_value(where, value, rule)
    rule, number, item = rule
    return f"{where.prefix}item {number} of {where.subject} is {shown(item)}, but {rule}."


def _suggestion(word: str, table: Table, holder: KeyPath, root: Table) -> str:
    """The nearest key of the same table; failing that, the same key in another one."""
    close = nearest(word, table.keys)
    beside = f"; did you mean `{'.'.join((*holder, close))}`?" if close is not None else ""
    if close == word.casefold().replace("-", "_"):
        return beside
    elsewhere = [f"{name}.{word}" for name, section in root.sections.items() if word in section.keys]
    if holder and word in ProfileFile.keys and table in SECTIONS.values():
        elsewhere.insert(0, word)
    if elsewhere:
        return f"; did you mean `{elsewhere[0]}`?"
    return beside or f"; known here are {listed(table.keys, 'and')}."
