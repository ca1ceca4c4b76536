"""Tenants of a real run: limits, refusals, and what is left for the next run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode, UsageError
from pyprocessor.models import Profile, TenantSettings, UnknownTenants
from pyprocessor.taskqueue import create_batch_processor
from tests.integration.worked import example_tasks
from tests.process.queues import Queue, ask

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")


def profile(**tenants: TenantSettings) -> Profile:
    """A profile that lists these tenants, and refuses others."""
    plain = Profile("test", "f")
    listed = replace(plain.batch, tenants=tuple(tenants.items()), unknown_tenants=UnknownTenants.REFUSE)
    return replace(plain, batch=listed)


def test_what_a_tenant_may_not_use_and_who_is_not_listed(tmp_path: Path) -> None:
    """A run leaves what is beyond the CPU-seconds of a tenant to the next one, and refuses tenants it does not know."""
    queue = Queue(tmp_path)
    cost = {"cpu_seconds": 0.6, "memory_bytes": 16 << 20, "disk_bytes": 0}
    asked = [ask(f"small {number}") for number in range(3)]
    for document in asked:
        document["tenant"] = "small"
        document["params"] = {"function": "noop", "arguments": {}, "cost": cost}
    queue.submit(*asked, {**ask("strange"), "tenant": "strange"}, {**ask("other"), "tenant": "other"})
    shares = {"other": TenantSettings()}
    assert queue.run(profile=profile(small=TenantSettings(max_cpu_seconds=0.0001), **shares)) == ExitCode.TRY_AGAIN
    rows = queue.rows()
    assert rows["other"].state == "succeeded"
    assert rows["strange"].reason.startswith(
        "It is refused: its tenant strange is not listed in `batch_processing.tenants`"
    )
    assert [rows[f"small {number}"].state for number in range(3)].count("pending") == 2
    (said,) = (text for _, text in queue.listener.notices if "tenant small" in text)
    assert "2 jobs wait for the next run" in said
    assert queue.run(profile=profile(small=TenantSettings(), **shares)) == ExitCode.SOME_FAILED
    assert sorted(queue.states().values()) == ["failed", *["succeeded"] * 4]


def test_a_queue_in_a_program_refuses_before_it_takes_in(tmp_path: Path) -> None:
    """A tenant that is not listed, one that has too many waiting, and settings that make no sense."""
    with pytest.raises(UsageError, match="'a': weight must be from"):
        create_batch_processor(output=tmp_path, tenants={"a": {"weight": -1}})
    processor = create_batch_processor(
        output=tmp_path, tenants={"press": {"max_waiting": 1}}, refuse_unknown_tenants=True
    )

    async def add(tenant: str | None, key: str) -> str:
        return await processor.add_task("ask", {"function": "noop"}, tenant=tenant, key=key)

    async def all_of_it() -> None:
        first = await add("press", "first")
        assert await add("press", "first") == first
        with pytest.raises(UsageError, match="of the tenant press 1 may wait at most"):
            await add("press", "second")
        with pytest.raises(UsageError, match="its tenant prees is not listed"):
            await add("prees", "third")
        with pytest.raises(UsageError, match="it names no tenant"):
            await add(None, "fourth")

    asyncio.run(all_of_it())
    processor.close()
