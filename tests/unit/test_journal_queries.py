"""The SQL beside the journal's code."""

from __future__ import annotations

import ast
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

import pyprocessor.journal
from pyprocessor.journal.database import QUERIES, SCHEMA
from pyprocessor.journal.rows import Counts
from pyprocessor.models import FINAL_STATES, JobState

FOLDER = Path(pyprocessor.journal.__file__).parent


@pytest.fixture
def schema() -> Iterator[sqlite3.Connection]:
    """An empty journal in memory."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        connection.execute(QUERIES["make_prunable"])  # a table that is there only while jobs are pruned
        yield connection


def strings_in_code() -> set[str]:
    """Every string constant of the journal's modules."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.py"))
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_statement_is_used() -> None:
    """No name in queries.sql is without a caller."""
    assert set(QUERIES) <= strings_in_code()


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_every_statement_fits_the_schema(schema: sqlite3.Connection, name: str) -> None:
    """SQLite can plan each statement against the schema."""
    names = set(re.findall(r":(\w+)", QUERIES[name]))
    schema.execute(f"EXPLAIN {QUERIES[name]}", dict.fromkeys(names))


def test_no_name_stands_twice() -> None:
    """Each name in queries.sql has one statement."""
    assert (FOLDER / "queries.sql").read_text(encoding="utf-8").count("-- name: ") == len(QUERIES)


def states_of(text: str) -> list[set[str]]:
    """The state lists `state IN (...)` of an SQL text."""
    return [set(re.findall(r"'(\w+)'", found)) for found in re.findall(r"state IN \(([^)]*)\)", text)]


def test_the_states_in_sql_are_the_states_in_python() -> None:
    """The states in which a job has no claim to a name are spelt out in SQL as the models have them."""
    begins, gives_up = {"pending", "waiting"}, {str(state) for state in FINAL_STATES - {JobState.SUCCEEDED}}
    assert states_of(SCHEMA) == [gives_up]
    assert set(re.findall(r"'(\w+)'", SCHEMA.split("state NOT IN (")[1].split(")")[0])) == begins
    for text in (SCHEMA, *QUERIES.values()):
        for states in states_of(text):
            assert states <= set(JobState)


def test_counts_has_a_field_for_each_state() -> None:
    """A new state cannot be forgotten in the counts."""
    assert {field.name for field in fields(Counts)} == set(JobState)


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("job", "sqlite_autoindex_jobs_1"),
        ("owner", "PRIMARY KEY"),
        ("claim_below", "PRIMARY KEY"),
        ("is_needed", "dependencies_needs"),
        ("released", "dependencies_needs"),
        ("drop_claims", "claims_job"),
        ("hopeless", "jobs_state"),
        ("jobs_page_in_state", "jobs_state"),
        ("counts", "jobs_state"),
    ],
)
def test_the_lookups_use_their_index(schema: sqlite3.Connection, name: str, index: str) -> None:
    """No lookup that is made for each file walks a whole table."""
    names = set(re.findall(r":(\w+)", QUERIES[name]))
    plan = schema.execute(f"EXPLAIN QUERY PLAN {QUERIES[name]}", dict.fromkeys(names)).fetchall()
    assert any(index in step[3] for step in plan), plan
