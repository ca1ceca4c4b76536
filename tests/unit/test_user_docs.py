"""The README and the pages it links: links lead somewhere, and what docs/batches.md says is what the planner does."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import click
import pytest

from pyprocessor import profiles
from pyprocessor.cli import main as command
from pyprocessor.costs.model import CostClass
from pyprocessor.intake import submission
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, Cost, EstimationSettings, JobState, Reading
from pyprocessor.plan.admission import Wait
from pyprocessor.plan.planner import RunningBatch, next_batch, shape
from pyprocessor.plan.queue import ReadyQueue
from pyprocessor.profiles.documents import parse_values
from pyprocessor.profiles.schema import SECTIONS
from pyprocessor.tasks import registry

HOME = Path(__file__).parents[2]
PAGES = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]
BATCHES = (HOME / "docs" / "batches.md").read_text()
CLASS = CostClass("transcode", "libx264", "medium", "1080p", "yuv420p", 1)
SECONDS = {"s": 1, "min": 60}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files and headings that a page links exist."""
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, heading = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not heading or heading in anchors(linked), target


def test_the_readme_is_short_and_links_every_page() -> None:
    """A page of text, with the rest one link away."""
    readme = PAGES[0].read_text()
    assert len(readme.splitlines()) <= 120
    assert all(f"](docs/{page.name})" in readme for page in PAGES[1:])


@pytest.mark.parametrize(
    "section", ["batch_processing", "estimation", "throttling", "monitoring", "error_handling", "schedule"]
)
def test_every_advanced_option_has_its_table_named(section: str) -> None:
    """The page on batches names each key of these tables in a row of that table."""
    rows = [line for line in BATCHES.splitlines() if line.startswith("|") and f"| `{section}` |" in line]
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row.rsplit(" | ", 1)[-1])}
    assert named == set(SECTIONS[section].keys)


def test_the_example_is_a_profile(tmp_path: Path) -> None:
    """The settings shown can be used."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", BATCHES, re.DOTALL)
    file = tmp_path / "careful.yaml"
    file.write_text(shown)
    assert profiles.validate(str(file)) == []


JOBS = (HOME / "docs" / "jobs.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "docs/jobs.md", "docs/usage.md"])
def test_commands_are_understood(page: str) -> None:
    """Each command that is shown exists, with each of its options."""
    text = (HOME / page).read_text()
    names = "|".join(command.pyprocessor.list_commands(click.Context(command.pyprocessor)))
    shown = re.findall(rf"^(?:    )?pyprocessor ((?:{names}) [^#<>\n]*)", text, re.MULTILINE)
    assert len(shown) >= 4
    for words in map(shlex.split, shown):
        group: click.Command = command.pyprocessor
        context = click.Context(group)
        while isinstance(group, click.Group) and words:
            found = group.get_command(context, words.pop(0))
            assert found is not None, shown
            group = found
        group.make_context("shown", words)


def test_the_jobs_shown_can_be_submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the files and the tasks there, and every field is shown and explained."""
    monkeypatch.setattr(registry, "task", lambda name: name)
    monkeypatch.setattr(submission, "whole_params", lambda _, params: params)
    (shown,) = re.findall(r"```yaml\n(.*?)```", JOBS, re.DOTALL)
    (tmp_path / "talks").mkdir()
    for name in ("titles", "film"):
        (tmp_path / "talks" / f"{name}.mov").touch()
    document = parse_values(shown.encode(), name="jobs.yaml", suffix=".yaml")[0]
    jobs = submission.submissions(document, queue="q", folder=str(tmp_path), known=lambda _: False)
    assert [given.job.task for given in jobs] == ["caption", "burn-in", "check"]
    table = JOBS.split("| field | what it is |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| (.*?) \|", table, re.MULTILINE)) > {"`task`"}
    for field in submission.FIELDS:
        assert f"`{field}`" in table
        assert re.search(rf"\b{field}:", shown), field
    for state in JobState:
        assert f"`{state}`" in JOBS


def rows_of_sizes() -> list[list[str]]:
    """The table of computed sizes; a row without a machine is of the one above."""
    table = BATCHES.split("files in the first batch |\n")[1].split("\n\n")[0].splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    for above, row in itertools.pairwise(rows):
        row[0] = row[0] or above[0]
    return rows


@pytest.mark.parametrize("row", rows_of_sizes(), ids=" ".join)
def test_sizes_are_as_the_page_says(row: list[str]) -> None:
    """The planner forms these batches for these machines and files."""
    machine, files, each, processes, at_once, first = row
    cores, gibibytes = (int(number) for number in re.findall(r"\d+", machine))
    count, (amount, unit) = int(files.replace(",", "")), each.split()
    cost = Cost(float(amount) * SECONDS[unit], 300 << 20, 0)
    ready = ReadyQueue()
    for number in range(count):
        ready.add(QueuedJob(f"{number:05}", cost.cpu_seconds, cost.memory_bytes, CLASS))
    reading = Reading(0.0, cores, gibibytes << 30, 1 << 30, 0, 0.0, 1 << 40)
    how = shape(reading, BatchSettings(), jobs_known=count, typical=cost, more_to_come=False)
    batches, running = [], []
    settings = BatchSettings(), EstimationSettings()
    while not isinstance(formed := next_batch(ready, how, *settings, batch_id=len(batches) + 1, running=running), Wait):
        batches.append(formed)
        batch = formed.batch
        running.append(RunningBatch(batch.slots, batch.memory_budget_bytes, batch.cores, formed.slot_seconds[-1]))
    threads = re.search(r"(\d+) threads", at_once)
    assert len(batches) == int(processes)
    assert sum(batch.batch.slots for batch in batches) == int(at_once.partition(",")[0])
    assert batches[0].batch.threads == (int(threads[1]) if threads else 1)
    assert len(batches[0].jobs) == int(first)
