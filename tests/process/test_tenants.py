"""Tenants of a real run: limits, refusals, and what is left for the next run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.errors import ExitCode, UsageError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import Profile, TenantSettings, UnknownTenants
from pyprocessor.taskqueue import TaskOutcome, create_batch_processor
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


def test_calls_that_take_far_longer_than_said_do_not_keep_others_from_their_share(tmp_path: Path) -> None:
    """Thirty are given ahead on their word, a millisecond each; what the first took is noticed after a second."""
    queue, plain = Queue(tmp_path), Profile("test", "f")

    def calls(tenant: str, count: int, seconds: float, **task: str) -> list[dict[str, object]]:
        documents = [ask(f"{tenant} {number:02}", **task, seconds=seconds) for number in range(count)]
        return [document | {"tenant": tenant} for document in documents]

    queue.submit(*calls("first", 30, 0.1, function="burn"))
    # Of another task, so that what the one was measured to take says nothing of the other.
    named = calls("second", 50, 0.03, function="pyprocessor_example:burn")
    queue.submit(*(document | {"task": "call"} for document in named))
    shares = (("second", TenantSettings(weight=3)),)
    assert queue.run(profile=replace(plain, batch=replace(plain.batch, tenants=shares, most_jobs=1))) == ExitCode.OK
    with JournalReader.read_only(queue.folder.path) as journal:
        tenants = {row.id: row.tenant for row in journal.jobs()}
        begun = [tenants[attempt.job_id] for attempt in journal.attempts()]
    half = [place for place, tenant in enumerate(begun) if tenant == "second"][25]
    assert begun[:half].count("first") <= 20


def test_a_queue_in_a_program_refuses_before_it_takes_in(tmp_path: Path) -> None:
    """A tenant that is not listed, one that has too many waiting, and settings that make no sense."""
    with pytest.raises(UsageError, match="'a': weight must be from"):
        create_batch_processor(output=tmp_path, tenants={"a": {"weight": -1}})
    for nonsense in ({"a": 3}, ["a"]):
        with pytest.raises(UsageError, match=r"^tenants is .*, but must (be|give the tenant 'a') a table"):
            create_batch_processor(output=tmp_path, tenants=nonsense)  # type: ignore[arg-type]
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


def test_what_tenants_call_alike_is_each_ones_own(tmp_path: Path) -> None:
    """The same key and file, for two tenants and for none: three jobs with their products, and each sees its own."""
    (words := tmp_path / "words.txt").write_text("a b a")
    queue, tenants = Queue(tmp_path), ("press", "studio", None)
    processor = create_batch_processor(name="q", output=queue.output)

    async def all_of_it() -> dict[str | None, list[TaskOutcome]]:
        ids = {
            tenant: await processor.add_task("words", {"file_path": words}, tenant=tenant, key="same")
            for tenant in tenants
        }
        assert len(set(ids.values())) == 3
        with pytest.raises(UsageError, match="waits for a job that nobody knows"):
            await processor.add_task("ask", {"function": "noop"}, tenant="press", after=[ids["studio"]])
        unwanted = await processor.add_task("ask", {"function": "noop"}, tenant="studio", key="unwanted")
        processor.cancel(unwanted, tenant="press")
        broken = {"function": "fail", "arguments": {"text": "It is odd."}}
        await processor.add_task("ask", broken, tenant="press", max_retries=0)
        ended = await processor.start()
        assert [failure.tenant for failure in ended.failures] == ["press"]
        return {tenant: [one async for one in processor.results(tenant=tenant)] for tenant in ("press", "studio", None)}

    found = asyncio.run(all_of_it())
    assert {one.tenant for one in found["press"]} == {"press"}
    assert sorted(one.state for one in found["press"]) == ["failed", "succeeded"]
    assert [one.state for one in found["studio"]] == ["succeeded", "succeeded"]
    assert len(found[None]) == 5
    made = {one.tenant: one.products["main"] for one in found[None] if one.products}
    folders = {"press": queue.output / "press", "studio": queue.output / "studio", "": queue.output}
    assert made == {tenant: folder / "words" for tenant, folder in folders.items()}
    assert all(path.read_text() == "A B A" for path in made.values())
