"""The text and the JSON of a plan: what a run would do, batch by batch, and why each file left alone is."""

from __future__ import annotations

import json

from pyprocessor.models import PlannedBatch, PlanReport, display
from pyprocessor.report.table import aligned, grid, wrapped
from pyprocessor.report.wording import about, count, duration, one_line, path_entry, shortened, size

DOCUMENT_VERSION = 1
NARROWEST_NAME = 16
FIXED_COLUMNS = 54
"""What the number columns of a file's row take beside its two names."""
NARROWEST_CHART = 24
MOST_LANES = 64
"""More lanes than a machine's cores are not drawn: a chart is to be read at a glance."""
_MARKS = "123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_IDLE = "."


def plan_text(plan: PlanReport, *, width: int = 80) -> str:
    """The plan as text that fits `width` columns (file names are shortened to fit)."""
    files = sum(len(batch.files) for batch in plan.batches)
    if files == 0:
        lines = ["Nothing to do."]
    else:
        lines = aligned(
            [
                ("To do", f"{count(files, 'file')} in {count(len(plan.batches), 'batch', 'batches')}"),
                ("At once", count(plan.processes, "batch process", "batch processes")),
                ("Peak memory", f"{size(plan.peak_memory_bytes)} of {size(plan.memory_budget_bytes)} allowed"),
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
            told = about(display(skipped.name), one_line(skipped.reason))
            lines += ["  " + line for line in wrapped(told, width - 2, indent="  ")]
    if plan.notes:
        lines.append("")
        for note in plan.notes:
            lines += wrapped(one_line(note), width)
    return "\n".join(lines) + "\n"


def _batch_line(batch: PlannedBatch) -> str:
    threads = "1 thread each" if batch.threads == 1 else f"{batch.threads} threads each"
    until_then = f"; until then it waits because {batch.waits_because}" if batch.waits_because else ""
    return (
        f"Batch {batch.number}: {count(len(batch.files), 'file')}, {batch.slots} at once, {threads}, "
        f"{size(batch.memory_bytes)}, {_between(batch.seconds_low, batch.seconds_high)}, "
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
    rows = [[_IDLE] * room for _ in range(lanes)]
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
            f"{file.cost.cpu_seconds:.1f} s",
            size(file.cost.memory_bytes),
            str(file.lane),
            f"{duration(file.start_seconds)} - {duration(file.end_seconds)}",
        )
        for file in batch.files
    ]
    head = ("file", "output", "CPU", "memory", "lane", "time")
    return ["  " + line for line in grid(head, rows, right=(2, 3, 4, 5))]


def _between(low: float, high: float) -> str:
    shortest, longest = duration(low), duration(high)
    return f"about {shortest}" if shortest == longest else f"{shortest} to {longest}"


def plan_json(plan: PlanReport) -> str:
    """The plan as one JSON document; names that are not UTF-8 come escaped and as `<key>_bytes_base64`."""
    document = {
        "version": DOCUMENT_VERSION,
        "processes": plan.processes,
        "peak_memory_bytes": plan.peak_memory_bytes,
        "memory_budget_bytes": plan.memory_budget_bytes,
        "disk_bytes": plan.disk_bytes,
        "seconds_low": round(plan.seconds_low, 3),
        "seconds_high": round(plan.seconds_high, 3),
        "notes": list(plan.notes),
        "batches": [
            {
                "number": batch.number,
                "slots": batch.slots,
                "threads": batch.threads,
                "memory_bytes": batch.memory_bytes,
                "seconds_low": round(batch.seconds_low, 3),
                "seconds_high": round(batch.seconds_high, 3),
                "start_seconds": round(batch.start_seconds, 3),
                "end_seconds": round(batch.end_seconds, 3),
                "waits_because": batch.waits_because or None,
                "files": [
                    {
                        **path_entry("name", file.name),
                        **path_entry("output", file.output),
                        "cpu_seconds": round(file.cost.cpu_seconds, 3),
                        "memory_bytes": file.cost.memory_bytes,
                        "disk_bytes": file.cost.disk_bytes,
                        "lane": file.lane,
                        "start_seconds": round(file.start_seconds, 3),
                        "end_seconds": round(file.end_seconds, 3),
                    }
                    for file in batch.files
                ],
            }
            for batch in plan.batches
        ],
        "skipped": [{**path_entry("name", s.name), "reason": s.reason} for s in plan.skipped],
    }
    return json.dumps(document, indent=2) + "\n"
