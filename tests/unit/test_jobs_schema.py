"""`docs/jobs.schema.json` says what a file of jobs may hold, as the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pyprocessor.errors import UsageError
from pyprocessor.intake.submission import FIELDS, submissions
from pyprocessor.profiles.documents import parse_values
from tests.integration.worked import example_tasks

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")

HOME = Path(__file__).parents[2]
SCHEMA = json.loads((HOME / "docs" / "jobs.schema.json").read_text())
EXAMPLE = (HOME / "docs" / "examples" / "pipeline.yaml").read_text()


def a_job(**fields: Any) -> dict[str, Any]:
    """A job that both take."""
    return {"task": "ask", "key": "a", **fields}


def fits(document: object) -> bool:
    """Whether the schema takes it."""
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(document))


def test_it_is_a_schema_with_every_field() -> None:
    """No more and no fewer than are read."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["$defs"]["job"]["properties"]) == set(FIELDS)


def test_what_is_shown_fits() -> None:
    """The page and the example."""
    (shown,) = re.findall(r"```yaml\n(.*?)```", (HOME / "docs" / "jobs.md").read_text(), re.DOTALL)
    for text in (shown, EXAMPLE):
        document = parse_values(text.encode(), name="jobs.yaml", suffix=".yaml")[0]
        jsonschema.validate(document, SCHEMA, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "document",
    [
        [a_job()],
        {"jobs": [a_job()]},
        [{"task": "ask", "name": "a"}],
        [a_job(params=None, inputs=None, after=None, priority=None, timeout=None, not_before=None, metadata=None)],
        [a_job(params={"x": [1, {"y": None}]}, inputs=[{"job": "b"}, {"job": "b", "role": "text"}], after=["b"])],
        [a_job(inputs=["https://host/a", {"url": "http://host/b", "name": "b", "max_bytes": 9, "hosts": ["host"]}])],
        [a_job(priority=-5, tenant="", metadata={"a": "b", "c": 1.5, "d": True}, max_retries=0, timeout=0.5)],
        [a_job(not_before="2026-01-31", deadline="2026-02-01T06:00:00Z"), a_job(key="b", deadline=1_900_000_000)],
    ],
)
def test_both_take_what_is_right(document: object) -> None:
    """The schema and the code."""
    wanted = [{"task": "ask", "key": "b"}]
    jobs = document["jobs"] if isinstance(document, dict) else document
    assert fits(document)
    assert submissions([*jobs, *(wanted if all(job.get("key") != "b" for job in jobs) else [])], queue="q")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        "jobs",
        {"jobs": []},
        {"jobs": [a_job()], "more": 1},
        [7],
        [{"key": "a"}],
        [{"task": "ask"}],
        [a_job(task=7)],
        [a_job(task="")],
        [a_job(name="b")],
        [a_job(key="")],
        [a_job(key="x" * 501)],
        [a_job(key="a\0")],
        [a_job(nonsense=1)],
        [a_job(params=[1])],
        [a_job(inputs="a.mov")],
        [a_job(inputs=[""])],
        [a_job(inputs=[{"role": "main"}])],
        [a_job(inputs=[{"url": "file:///a"}])],
        [a_job(inputs=[{"url": "https://host/a", "job": "b"}])],
        [a_job(inputs=[{"job": "b", "rol": "main"}])],
        [a_job(after="b")],
        [a_job(after=[""])],
        [a_job(priority="high")],
        [a_job(priority=1.5)],
        [a_job(tenant=1)],
        [a_job(metadata={"a": []})],
        [a_job(max_retries=-1)],
        [a_job(timeout=0)],
        [a_job(timeout="1h")],
        [a_job(not_before="soon")],
        [a_job(deadline=[])],
    ],
)
def test_both_refuse_what_is_wrong(document: object) -> None:
    """The schema and the code."""
    assert not fits(document)
    with pytest.raises(UsageError):
        submissions(document, queue="q")
