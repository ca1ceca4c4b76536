"""A task of one's own: which subtitles are too fast to be read?

    pip install ./own_task
    pyprocessor tasks show reading-speed
    pyprocessor run Subtitles --task reading-speed --param most=20

Of `talk.srt` it leaves `talk.speed.json` beside it, with the speed of each subtitle in characters a second.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Cost, InputLimits, Source
from pyprocessor.models.products import Product
from pyprocessor.tasks.base import Call, Done, Made, Plan, Steps, Work
from pyprocessor.tasks.params import params_as

CUE = re.compile(
    r"(\d+):(\d\d):(\d\d)[,.](\d{3}) --> (\d+):(\d\d):(\d\d)[,.](\d{3})[^\n]*\n(.+?)(?:\n\s*\n|\Z)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Params:
    """What a job may be asked: how many characters a second are too many."""

    most: float = 17.0

    def __post_init__(self) -> None:
        if self.most <= 0:
            raise ValueError(f"`most` is {self.most:g}, but has to be more than 0")


class ReadingSpeed:
    """One subtitle file in, one report out."""

    name = "reading-speed"
    summary = "Finds subtitles that are too fast to be read"
    takes = Params
    inputs = (1, 1)
    extensions = ("srt",)
    """Of the files that `pyprocessor run` takes; without it, those of video and sound."""

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        """Read what planning needs, in a process of its own."""
        return {"bytes": os.stat(inputs[0].path).st_size}

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        """Say what the job will leave, and what it will take; nothing is read here."""
        return Plan((Product(output + b".speed.json"),), Cost(cpu_seconds=0.1, memory_bytes=40 << 20, disk_bytes=4096))

    def run(self, work: Work) -> Steps:
        """Have the work done by a function in another process, and say what it made."""
        made = f"{work.name}.json"
        arguments = {
            "subtitles": os.fsdecode(work.inputs[0].path),
            "report": os.fsdecode(work.path(made)),
            "most": params_as(Params, work.params).most,
        }
        returned = yield Call("reading_speed:measure", arguments, memory_bytes=256 << 20, timeout_seconds=60)
        return Done(products=(Made(made),), result=returned.value)


def measure(subtitles: str, report: str, most: float) -> dict[str, Any]:
    """Write the report, and return what the queue shows of it. Raises JobError for a file without subtitles."""
    with open(subtitles, encoding="utf-8-sig", errors="replace") as file:
        cues = [_cue(found) for found in CUE.finditer(file.read())]
    if not cues:
        raise JobError(FailureKind.BAD_INPUT, "It has no subtitles that can be read.")
    fast = [cue for cue in cues if cue["speed"] > most]
    with open(report, "w", encoding="utf-8") as file:
        json.dump({"most": most, "fast": len(fast), "subtitles": cues}, file, indent=1)
    warnings = [f"{len(fast)} of {len(cues)} subtitles are too fast."] if fast else []
    return {"quality": {"readable": 100 * (1 - len(fast) / len(cues))}, "warnings": warnings}


def _cue(found: re.Match[str]) -> dict[str, Any]:
    start, end = (_seconds(found.groups()[at : at + 4]) for at in (0, 4))
    text = " ".join(found[9].split())
    return {"start": start, "end": end, "text": text, "speed": round(len(text) / max(end - start, 0.001), 1)}


def _seconds(parts: tuple[str, ...]) -> float:
    hours, minutes, seconds, milliseconds = map(int, parts)
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
