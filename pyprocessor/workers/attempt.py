"""What belongs to one attempt at a job: the task's steps, its ffmpeg while there is one, and its output."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace

from pyprocessor.errors import PublishError
from pyprocessor.ffmpeg.run import FfmpegRun, Finished
from pyprocessor.models import OutputFacts, Usage
from pyprocessor.models.products import Product
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.partials import Anchor, discard, persist_intent, seal, seal_of
from pyprocessor.publish.publish import publish
from pyprocessor.publish.receipts import Receipt, ReceiptWriter
from pyprocessor.recipes.features import output_limit_bytes
from pyprocessor.tasks.base import Step, Work
from pyprocessor.tasks.registry import task
from pyprocessor.workers.messages import WorkerSetup, WorkItem


@dataclass(slots=True)
class Attempt:
    """One job being done. `facts` are those of the verified output, `anchor` is the partials folder it is made in."""

    item: WorkItem
    anchor: Anchor
    work: Work
    steps: Generator[Step, Finished, OutputFacts]
    began: float
    step: Step | None = None
    run: FfmpegRun | None = None
    reported: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    facts: OutputFacts | None = None
    killed: bool = False
    shed: bool = False
    """Its ffmpeg was killed to free memory."""
    kept: bool = False
    """Whether the output stays among the partials, for the next run to publish."""
    transcript: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, item: WorkItem, setup: WorkerSetup, anchor: Anchor) -> Attempt:
        profile, partials = setup.request.profile, setup.folder.partials
        work = Work(item.job_id, item.source, item.media, profile, item.threads, partials, item.partial)
        return cls(item, anchor, work, task(item.task).run(work), time.monotonic())

    def ffmpeg_ended(self, finished: Finished) -> None:
        """Add what its ffmpeg took, and keep what it printed."""
        self.run = None
        self.cpu_seconds += finished.cpu_seconds
        self.peak_memory_bytes = max(self.peak_memory_bytes, finished.peak_memory_bytes)
        self.transcript.append(finished.stderr_text)

    def usage(self) -> Usage:
        return Usage(time.monotonic() - self.began, self.cpu_seconds, self.peak_memory_bytes)

    def output_limit_bytes(self) -> int:
        profile = self.work.profile
        return output_limit_bytes(profile.input_limits, task(self.item.task).features(profile, self.work.media))

    def source_unchanged(self, *, where_gone: bool) -> bool:
        """Return whether the source is still what was planned, or `where_gone` where it cannot be read."""
        source = self.item.source
        try:
            now = os.stat(source.path)
        except OSError:
            return where_gone
        return (now.st_size, now.st_mtime_ns) == (source.size_bytes, source.mtime_ns)

    def seal(self, facts: OutputFacts) -> OutputFacts:
        """Bring the verified output to the disk under its temporary name; returns its facts."""
        size_bytes, mtime_ns = seal(self.work.partial_path)
        self.facts = replace(facts, size_bytes=size_bytes, mtime_ns=mtime_ns)
        return self.facts

    def publish(self, setup: WorkerSetup, receipts: ReceiptWriter, *, may_replace: bool) -> OutputFacts:
        """Give the sealed output its name, once intent and receipt are on the disk; returns its facts."""
        facts, item = self.facts, self.item
        assert facts is not None
        self.anchor.check()
        persist_intent(setup.journal_log)
        fingerprint = setup.request.profile.fingerprint
        receipts.append(Receipt(((Product(item.output), seal_of(facts)),), (item.source,), fingerprint, item.task))
        size_bytes, mtime_ns = publish(
            self.work.partial_path,
            os.path.join(setup.request.output, item.output),
            seal=seal_of(facts),
            replace=may_replace,
            bounds=Bounds(setup.request.output, item.source, setup.request.folders),
        )
        return replace(facts, size_bytes=size_bytes, mtime_ns=mtime_ns)

    def discard(self) -> None:
        """Remove what it made so far; where that is refused, the next run tries again."""
        with contextlib.suppress(PublishError):
            self.anchor.check()
            discard(self.work.partial_path)
