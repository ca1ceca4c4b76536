"""What statements take of records, by the names they give it: the other way round from `rows`. Pure."""

from __future__ import annotations

import json

from pyprocessor.journal.rows import Made, facts_text
from pyprocessor.models import Batch, Job, Outcome, OutputFacts, Usage

Values = dict[str, object]


def job_values(job: Job, media_seconds: float | None, profile_name: str) -> Values:
    """All that is planned of a job."""
    return {
        "id": job.id,
        "task": job.task,
        "source_path": job.source.path,
        "relative": job.source.relative,
        "size": job.source.size_bytes,
        "mtime_ns": job.source.mtime_ns,
        "output": job.output,
        "profile_fingerprint": job.profile_fingerprint,
        "profile_name": storable(profile_name),
        "priority": job.priority,
        "tenant": storable(job.tenant),
        "dependencies": json.dumps(job.dependencies),
        "metadata": json.dumps(job.metadata),
        "cpu_seconds": job.cost.cpu_seconds,
        "memory_bytes": job.cost.memory_bytes,
        "disk_bytes": job.cost.disk_bytes,
        "media_seconds": media_seconds,
    }


def batch_values(batch: Batch) -> Values:
    """All of a batch that is known before a process has it."""
    return {
        "id": batch.id,
        "jobs": len(batch.job_ids),
        "slots": batch.slots,
        "threads": batch.threads,
        "memory_budget_bytes": batch.memory_budget_bytes,
    }


def made_values(made: Made) -> Values:
    """A row of the table of outputs."""
    source = made.source
    return {
        "output": made.output,
        "source_path": source.path,
        "relative": source.relative,
        "source_size": source.size_bytes,
        "source_mtime_ns": source.mtime_ns,
        "profile_fingerprint": made.profile_fingerprint,
        "task": made.task,
        **facts_values(made.facts),
    }


def facts_values(facts: OutputFacts) -> Values:
    """The three columns that hold the facts of an output."""
    return {"size": facts.size_bytes, "mtime_ns": facts.mtime_ns, "facts": facts_text(facts)}


def ending_values(outcome: Outcome) -> Values:
    """Why something ended; what it ended as is not part of it."""
    return {"failure": outcome.failure, "reason": storable(outcome.reason)}


def usage_values(usage: Usage | None) -> Values:
    """What an attempt took, None where nobody measured it."""
    return {
        "wall_seconds": None if usage is None else usage.wall_seconds,
        "cpu_seconds": None if usage is None else usage.cpu_seconds,
        "peak_memory_bytes": None if usage is None else usage.peak_memory_bytes,
    }


def storable(text: str) -> str:
    """SQLite takes no lone surrogates, which text with an odd file name can hold: they come out escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
