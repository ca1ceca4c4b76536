"""Does the harness of kills cover every write of the journal?"""

from __future__ import annotations

from tests.stress.transitions import MORE, WRITES, cases, written_by_the_journal


def test_every_write_of_the_journal_is_killed_at() -> None:
    """A new statement must say where it is met; one that is gone must go from the list."""
    assert set(WRITES) - {"schema"} == written_by_the_journal()
    assert {case.statement for case in cases()} == {*WRITES, "worker"}
    assert {statement for statement, _ in MORE} <= set(WRITES)


def test_the_test_of_coverage_would_notice() -> None:
    """What counts as a write is read from the statements themselves, comments or not."""
    written = written_by_the_journal()
    assert {"grant_job", "replan_job", "insert_run", "prune_readings"} <= written
    assert not {"job", "made", "transitions"} & written
