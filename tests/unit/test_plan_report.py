"""The plan as people and scripts read it: the timeline with its lanes."""

from __future__ import annotations

import json

from pyprocessor.models import Cost, PlannedBatch, PlannedFile, PlanReport
from pyprocessor.report.plan import plan_json, plan_text
from pyprocessor.report.wording import columns

COST = Cost(10.0, 10**8, 10**6)


def planned(lanes: int) -> PlanReport:
    """A batch of one file in each lane, then one of a single file, each of 10 seconds."""
    first = tuple(PlannedFile(b"%d.mov" % n, b"%d.mp4" % n, COST, n, 0.0, 10.0) for n in range(1, lanes + 1))
    last = (PlannedFile(b"last.mov", b"last.mp4", COST, 1, 10.0, 20.0),)
    batches = (
        PlannedBatch(1, first, lanes, 1, 10**8, 5.0, 20.0, 0.0, 10.0),
        PlannedBatch(2, last, 1, 1, 10**8, 5.0, 20.0, 10.0, 20.0, "as many files run as may at once (1)"),
    )
    return PlanReport(batches, (), 2 * 10**8, 10**9, 10**6, 10.0, 40.0, 2)


def test_the_timeline_shows_what_runs_beside_what() -> None:
    """A line for each lane: both halves of the first are busy, the second is idle in its second half."""
    lines = plan_text(planned(2), width=47).splitlines()
    assert "lane 1 " + "1" * 20 + "2" * 20 in lines
    assert "lane 2 " + "1" * 20 + "." * 20 in lines
    assert any(line.split() == ["0", "20", "s"] for line in lines)


def test_the_timeline_keeps_to_the_width() -> None:
    """Whatever the terminal, no line of the chart is longer; a machine of very many lanes gets none."""
    for width in (40, 80, 200):
        lines = plan_text(planned(12), width=width).splitlines()
        assert all(columns(line) <= width for line in lines if line.startswith("lane "))
        assert sum(line.startswith("lane ") for line in lines) == 12
    assert not any(line.startswith("lane ") for line in plan_text(planned(300), width=80).splitlines())


def test_every_file_tells_its_lane_and_time() -> None:
    """In the text beside its costs, in JSON as numbers."""
    assert "10 s - 20 s" in plan_text(planned(2), width=100)
    document = json.loads(plan_json(planned(2)))
    assert document["batches"][1]["end_seconds"] == 20.0
    file = document["batches"][1]["files"][0]
    assert (file["lane"], file["start_seconds"], file["end_seconds"]) == (1, 10.0, 20.0)


def test_a_batch_that_starts_later_says_why() -> None:
    """In the text and in JSON; one that starts at once has no reason."""
    text = " ".join(plan_text(planned(2), width=100).split())
    assert "from 10 s to 20 s; until then it waits because as many files run as may at once (1)" in text
    reasons = [batch["waits_because"] for batch in json.loads(plan_json(planned(2)))["batches"]]
    assert reasons == [None, "as many files run as may at once (1)"]
