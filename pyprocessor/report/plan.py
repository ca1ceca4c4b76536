"""What would a run do, batch by batch, and why is each other file left alone: as text and as JSON?"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from pyprocessor.models import Mode, PlannedBatch, PlannedFile, PlanReport, SkippedFile
from pyprocessor.models.wording import count, display, duration, memory_size, one_line, size
from pyprocessor.report.wording import about, aligned, grid, path_entry, shortened, wrapped

DOCUMENT_VERSION = 1
NARROWEST_NAME = 16
FIXED_COLUMNS = 54
"""What the number columns of a file's row take beside its two names."""
NARROWEST_CHART = 24
MOST_LANES = 64
"""A chart of more lanes cannot be read at a glance, and is left out."""
_MARKS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def plan_text(plan: PlanReport, *, width: int = 80) -> str:
    """The plan as text that fits `width` columns (file names are shortened to fit)."""
    files = sum(bool(file.output) for batch in plan.batches for file in batch.files)  # parts of a file have none
    peak, budget = memory_size(plan.peak_memory_bytes), memory_size(plan.memory_budget_bytes)
    lines = ["Nothing to do."]
    if files:
        lines = aligned(
            [
                *([("Mode", plan.mode)] if plan.mode != Mode.AUTO else []),
                ("To do", f"{count(files, 'file')} in {count(len(plan.batches), 'batch', 'batches')}"),
                ("At once", count(plan.processes, "batch process", "batch processes")),
                ("Peak memory", f"{peak} of {budget} allowed"),
                ("Disk", f"about {size(plan.disk_bytes)} for the outputs"),
                ("Time", _between(plan.seconds_low, plan.seconds_high)),
            ],
            width,
        )
        lines += ["", *_chart(plan, width)]
    for batch in plan.batches:
        lines += ["", *wrapped(_batch_line(batch), width, indent="  "), *_file_lines(batch, width)]
    if plan.skipped:
        lines += ["", f"Left alone: {count(len(plan.skipped), 'file')}"]
        for skipped in plan.skipped:
            reason = about(display(skipped.name), one_line(skipped.reason))
            lines += wrapped(reason, width, margin="  ", indent="  ")
    if plan.notes:
        lines += ["", *(line for note in plan.notes for line in wrapped(one_line(note), width))]
    return "\n".join(lines) + "\n"


def _batch_line(batch: PlannedBatch) -> str:
    until_then = f"; until then it waits because {batch.waits_because}" if batch.waits_because else ""
    return (
        f"Batch {batch.number}: {count(len(batch.files), 'file')}, {batch.slots} at once, "
        f"{count(batch.threads, 'thread')} each, "
        f"{memory_size(batch.memory_bytes)}, {_between(batch.seconds_low, batch.seconds_high)}, "
        f"from {duration(batch.start_seconds)} to {duration(batch.end_seconds)}{until_then}"
    )


def _chart(plan: PlanReport, width: int) -> list[str]:
    """What runs beside what: a line for each lane, time from left to right, each file drawn by its batch's mark."""
    lanes = max(file.lane for batch in plan.batches for file in batch.files)
    end = max(batch.end_seconds for batch in plan.batches)
    if end <= 0 or lanes > MOST_LANES:
        return []
    label = len(str(lanes)) + len("lane ") + 1
    room = max(NARROWEST_CHART, width - label)
    rows = [["."] * room for _ in range(lanes)]
    for batch in plan.batches:
        mark = _MARKS[(batch.number - 1) % len(_MARKS)]
        for file in batch.files:
            first = min(room - 1, int(file.start_seconds / end * room))
            # The end of one file and the start of the next share a column: the later one is drawn over it.
            last = max(first + 1, min(room, round(file.end_seconds / end * room)))
            rows[file.lane - 1][first:last] = mark * (last - first)
    whole = duration(end)
    lines = [f"lane {number:>{label - 6}} " + "".join(row) for number, row in enumerate(rows, 1)]
    scale = " " * label + "0" + " " * max(1, room - 1 - len(whole)) + whole
    return [*lines, scale, *wrapped("Each character is a batch by its number, then by letters (10 is a).", width)]


def _file_lines(batch: PlannedBatch, width: int) -> list[str]:
    room = max(NARROWEST_NAME, (width - FIXED_COLUMNS) // 2)
    rows = [
        (
            shortened(display(file.name), room),
            shortened(display(file.output), room),
            _band(file),
            memory_size(file.cost.memory_bytes),
            str(file.lane),
            f"{duration(file.start_seconds)} - {duration(file.end_seconds)}",
        )
        for file in batch.files
    ]
    head = ("file", "output", "takes", "memory", "lane", "time")
    return ["  " + line for line in grid(head, rows, right=(2, 3, 4, 5))]


def _band(file: PlannedFile) -> str:
    """How long a file is predicted to take, in seconds: `8-31 s`."""
    digits = 1 if file.seconds_high < 10 else 0
    return f"{file.seconds_low:.{digits}f}-{file.seconds_high:.{digits}f} s"


def _between(low: float, high: float) -> str:
    shortest, longest = duration(low), duration(high)
    return f"about {shortest}" if shortest == longest else f"{shortest} to {longest}"


def plan_json(plan: PlanReport) -> str:
    """The plan as one JSON document; names that are not UTF-8 come escaped and as `<key>_bytes_base64`."""
    return json.dumps({"version": DOCUMENT_VERSION, **_entry(plan)}, indent=2) + "\n"


def _entry(record: PlanReport | PlannedBatch | PlannedFile | SkippedFile) -> dict[str, Any]:
    """A record's fields for JSON, lists last: paths as text, seconds rounded, a file's cost among its own fields."""
    entry: dict[str, Any] = {}
    lists: dict[str, Any] = {}
    for field in fields(record):
        match getattr(record, field.name):
            case bytes() as path:
                entry |= path_entry(field.name, path)
            case float() as seconds:
                entry[field.name] = round(seconds, 3)
            case tuple() as items:
                lists[field.name] = [item if isinstance(item, str) else _entry(item) for item in items]
            case "":
                entry[field.name] = None
            case int() | str() as plain:
                entry[field.name] = plain
            case cost:
                entry |= _entry(cost)
    return entry | lists
