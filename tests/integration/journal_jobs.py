"""Jobs over made-up sources, taken through a journal as an engine does."""

from __future__ import annotations

from pyprocessor.journal.journal import Journal
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import Cost, Job, OutputFacts, ProcessIdentity, Product, ProductOf, Source, job_id

ENGINE = ProcessIdentity(100, 1000.0)
WORKER = ProcessIdentity(200, 2000.0)
FACTS = OutputFacts(500, 600, 1.5, 1, 1, 0, 25, ("a note",))


def a_job(
    name: bytes = b"a.mov", *, output: bytes | None = None, task: str = "transcode", companions: bool = False
) -> Job:
    """A job with something in every field."""
    path = b"/in/" + name
    return Job(
        id=job_id(path, task),
        task=task,
        source=Source(path, name, 1000, 2000),
        output=name + b".mp4" if output is None else output,
        params_fingerprint="profile-1",
        cost=Cost(10.0, 20, 30),
        priority=3,
        tenant="ten\udcffant",
        inputs=(ProductOf("one", "text"), Source(b"/in/\xff", b"\xff", 1, 2)),
        companions=(Product(b"\xff.txt", "text"), Product(b"folder", "all", folder=True)) if companions else (),
        max_retries=5,
        timeout_seconds=6.5,
        not_before=7.0,
        deadline=8.0,
        metadata=(("key", "value"), ("odd", "\udcff")),
    )


def plan(journal: Journal, job: Job, *, forgive: bool = False) -> JobRow:
    """Plans a job whose name is free."""
    row = journal.plan(job, media_seconds=2.5, profile_name="fast", forgive=forgive)
    assert row is not None
    return row


def row_of(journal: Journal, job: Job) -> JobRow:
    """The job's row, which must be there."""
    row = journal.job(job.id)
    assert row is not None
    return row


def begin(journal: Journal, job: Job) -> int:
    """Assigns and starts a pending job; returns the attempt."""
    assert journal.assign([job.id], 1) == (job.id,)
    attempt = journal.start(job.id, WORKER, 1, job.cost)
    assert attempt is not None
    return attempt
