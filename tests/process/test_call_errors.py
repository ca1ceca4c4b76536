"""Calls that meet errors of the network and of disks, through the whole engine."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode, FailureKind
from pyprocessor.models import ErrorSettings, Profile
from tests.integration.worked import example_tasks
from tests.process.queues import Queue, ask

__all__ = ["example_tasks"]

pytestmark = pytest.mark.usefixtures("example_tasks")

ONCE_MORE = replace(Profile("test", "f"), errors=ErrorSettings(max_retries=1, retry_delay_seconds=0.01))


def test_the_run_goes_on_where_calls_meet_what_is_not_the_output(tmp_path: Path) -> None:
    """A server that is gone, and a full disk elsewhere, are tried again, then failures of those jobs."""
    queue = Queue(tmp_path)
    queue.submit(
        ask("reset", function="lose_connection"),
        ask("nobody", function="ask_nobody", port=1),
        ask("full elsewhere", function="break_off", number=errno.ENOSPC, path="/elsewhere/file"),
        ask("full", function="break_off", number=errno.ENOSPC),
        ask("broken", function="break_off", number=errno.EIO),
        *(ask(f"good {number}") for number in range(5)),
    )
    assert queue.run(profile=ONCE_MORE) == ExitCode.SOME_FAILED
    rows = queue.rows()
    failures = {name: (row.failure, row.attempts) for name, row in rows.items() if not name.startswith("good")}
    gone, other = (FailureKind.UNAVAILABLE, 2), (FailureKind.INFRASTRUCTURE, 2)
    assert failures == {"reset": gone, "nobody": gone, "full elsewhere": other, "full": other, "broken": other}
    assert all(row.state.value == "succeeded" for name, row in rows.items() if name.startswith("good"))


def test_a_call_that_finds_the_output_full_ends_the_run(tmp_path: Path) -> None:
    """Its job is queued again and charged nothing, as any other's is."""
    queue = Queue(tmp_path)
    queue.submit(ask("full", function="break_off", number=errno.ENOSPC, path=str(queue.output / "file")))
    assert queue.run(profile=ONCE_MORE) == ExitCode.OUTPUT_UNWRITABLE
    assert queue.states() == {"full": "pending"}
