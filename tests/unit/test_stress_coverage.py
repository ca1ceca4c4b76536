"""The harness of kills knows every write of the journal."""

from __future__ import annotations

import ast

from tests.stress.transitions import MORE, NO_CALLER, WRITES, cases, written_by_the_journal
from tests.unit.test_house_rules import modules


def test_every_write_of_the_journal_is_killed_at() -> None:
    """A new statement must say where it is met; one that is gone must go from the list."""
    assert set(WRITES) - {"schema"} | NO_CALLER == written_by_the_journal()
    assert {case.statement for case in cases()} == {*WRITES, "worker"}
    assert {statement for statement, _ in MORE} <= set(WRITES)


def test_the_test_of_coverage_would_notice() -> None:
    """What counts as a write is read from the statements themselves, comments or not."""
    written = written_by_the_journal()
    assert {"grant_job", "replan_job", "insert_run", "prune_readings"} <= written
    assert not {"job", "made", "transitions"} & written


def test_what_is_said_to_have_no_caller_has_none() -> None:
    """`Journal.reset` is there for commands to come; the day one calls it, its kill has to be tried."""
    assert frozenset({"reset_job"}) == NO_CALLER
    called = [
        module.path
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reset"
    ]
    assert called == []
