"""Jobs as documents: what is taken in, and what is said of one that is wrong."""

from __future__ import annotations

import hashlib
import json
import os
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import UsageError
from pyprocessor.intake.submission import FIELDS, MAX_PROBLEMS, submissions
from pyprocessor.journal.submissions import submissions_from, submissions_text
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import Origin, ProductOf, Source, submitted_id, tenant_folder
from tests.integration.worked import example_tasks

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")


def a_job(**fields: Any) -> dict[str, Any]:
    """The document of a job that has all it needs."""
    return {"task": "ask", "key": "a", **fields}


def read(*jobs: object, folder: Path | str = "", **more: Any) -> tuple[Submission, ...]:
    """The jobs of a document, for one queue."""
    return submissions(list(jobs), queue="q", folder=str(folder), **more)


def problems(*jobs: object, **more: Any) -> list[str]:
    """What is said of a document that is refused."""
    with pytest.raises(UsageError) as refused:
        read(*jobs, **more)
    return str(refused.value).split("\n")


def test_every_field_arrives(tmp_path: Path) -> None:
    """In the words of a job; paths start from the document's folder, and each file is looked at."""
    for name in ("one.mov", "two.mov"):
        (tmp_path / name).write_bytes(b"x" * 7)
    os.utime(tmp_path / "one.mov", ns=(5, 12345))
    everything = a_job(
        params={"b": [1, 2.5, None], "a": "\u00e9"},
        inputs=[{"job": "titles", "role": "srt"}, "one.mov", {"job": "titles"}, str(tmp_path / "two.mov")],
        after=["z", "titles"],
        priority=-3,
        tenant="films",
        metadata={"year": 2024, "who": "me"},
        max_retries=0,
        timeout=90,
        not_before="2026-01-31T22:00:00Z",
        deadline=1_900_000_000.5,
    )
    assert set(everything) == set(FIELDS) - {"name"}
    first = read(everything, a_job(key="titles"), a_job(key="z"), folder=tmp_path)[0]
    job, titles = first.job, submitted_id("q", "titles")
    assert (job.id, job.task, job.origin) == (submitted_id("q", "a", "films"), "ask", Origin.SUBMITTED)
    assert job.source == Source(os.fsencode(tmp_path / "one.mov"), b"a", 7, 12345)
    assert [given if isinstance(given, ProductOf) else given.relative for given in job.inputs] == [
        ProductOf(titles, "srt"),
        ProductOf(titles, "main"),
        b"two.mov",
    ]
    assert job.after == (submitted_id("q", "z"), titles)
    assert (job.priority, job.tenant, job.max_retries, job.timeout_seconds) == (-3, "films", 0, 90.0)
    assert job.metadata == (("year", "2024"), ("who", "me"))
    assert (job.not_before, job.deadline) == (1_769_896_800.0, 1_900_000_000.5)
    assert first.params == r'{"a":"\u00e9","b":[1,2.5,null]}'
    assert job.params_fingerprint == hashlib.sha256(first.params.encode()).hexdigest()


def test_the_same_key_is_the_same_job() -> None:
    """In one queue, whatever else it says; `name` is another word for it, and a job without files is called by it."""
    (one,), (again,) = read(a_job(params={"x": 1, "y": 2})), read({"task": "ask", "name": "a", "priority": 5})
    (order,) = read(a_job(params={"y": 2, "x": 1}))
    (elsewhere,) = submissions([a_job()], queue="other")
    assert one.job.id == again.job.id != elsewhere.job.id
    assert one.job.params_fingerprint == order.job.params_fingerprint != again.job.params_fingerprint
    assert one.job.source == Source(b"", b"a", 0, 0)
    assert submissions({"jobs": [a_job()]}, queue="q")[0].job.id == one.job.id


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("priorty", 1, "is no field of a job; did you mean `priority`?"),
        ("nonsense", 1, "is no field of a job; the fields are task, "),
        ("task", "transcoed", "is not known: There is no task named 'transcoed'"),
        ("task", 7, "must be the name of a task, not 7"),
        ("key", "", "must be a text of 1 to 500 characters"),
        ("key", "\ud800", "must be a text of 1 to 500 characters"),
        ("name", "b", "stands beside `key`"),
        ("params", [1], "must be a mapping, not [1]"),
        ("params", {"x": float("nan")}, "cannot be written as JSON"),
        ("params", {"x": b"bytes"}, "cannot be written as JSON"),
        ("params", {"x": reduce(lambda held, _: [held], range(300), [])}, "nested more than 100 deep"),
        ("inputs", "one.mov", 'must be a list, not "one.mov"'),
        ("inputs", ["missing.mov"], "missing.mov, which cannot be read: No such file or directory"),
        ("inputs", ["/"], "names /, which is no file"),
        ("inputs", [{"role": "main"}], 'takes paths, URLs and products such as {"job": KEY}'),
        ("inputs", [{"job": "a", "rol": "main"}], 'takes paths, URLs and products such as {"job": KEY}'),
        ("inputs", ["https://me:pw@host/x"], "cannot be downloaded: `url` holds the name of a user or a password"),
        ("inputs", ["HTTP://"], "cannot be downloaded: `url` names no host"),
        ("inputs", [{"url": "https://host/x", "job": "a"}], "cannot be downloaded"),
        ("after", "z", "must be a list of keys of other jobs"),
        ("after", [1], "must be a list of keys of other jobs"),
        ("priority", True, "must be a whole number, not true"),
        ("priority", 1 << 64, "must be a whole number"),
        ("max_retries", -1, "must be a whole number of at least 0, not -1"),
        ("timeout", 0, "must be a number of seconds above 0"),
        ("timeout", float("inf"), "must be a number of seconds above 0"),
        ("not_before", "tomorrow", "must be a time such as 2026-01-31T22:00:00Z"),
        ("deadline", [2026], "must be a time such as 2026-01-31T22:00:00Z"),
        ("deadline", 253402300800, "must be a time such as 2026-01-31T22:00:00Z"),
        ("not_before", "0001-01-01T00:00:00", "must be a time such as 2026-01-31T22:00:00Z"),
        ("metadata", {"a": ["b"]}, "must be a mapping of texts or numbers"),
        ("tenant", 5, "must be a text, not 5"),
    ],
)
def test_what_is_wrong_is_named(field: str, value: object, said: str) -> None:
    """Which job, which field, and what is wrong with it: one line."""
    (line,) = [line for line in problems(a_job(key="b"), a_job(**{field: value})) if f"`{field}`" in line]
    assert line.startswith("Job 2")
    assert said in line


def test_a_url_is_fetched_by_one_job_for_all_that_read_it() -> None:
    """Of one tenant; it comes before them, has the first one's priority, and a name that shows no query."""
    url = "https://media.example/a%20talk.mp4?key=secret"
    jobs = read(
        a_job(key="b", inputs=[url, {"url": url, "name": "b.mp4"}], priority=3, tenant="films"),
        a_job(key="c", inputs=[{"url": url}], priority=5, tenant="films"),
        a_job(key="c", inputs=[url], priority=3, tenant="press"),
    )
    one, other, b, c, for_press, of_press = (given.job for given in jobs)
    assert [job.id for job in (one, other)] == [given.job_id for given in b.inputs if isinstance(given, ProductOf)]
    assert c.inputs == (ProductOf(one.id),)
    assert of_press.inputs == (ProductOf(for_press.id),)
    assert (for_press.tenant, for_press.id != one.id) == ("press", True)
    assert [job.source.relative for job in (one, other)] == [b"media.example/a talk.mp4", b"media.example/b.mp4"]
    assert all(
        job.is_fetch and (job.task, job.priority, job.tenant) == ("download", 3, "films") for job in (one, other)
    )
    assert submissions_from(submissions_text(jobs)) == jobs


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Of every job; of very many problems the first ones."""
    lines = problems(a_job(priority="x", tenant=1), "no job", {"task": "ask"})
    assert [line.partition(":")[0] for line in lines] == [
        "Job 1 (a)",
        "Job 1 (a)",
        'Job 2 is "no job"; a job is a mapping of its fields.',
        "Job 3",
    ]
    lines = problems(*(a_job(key=str(number), priority="x") for number in range(MAX_PROBLEMS + 5)))
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[-1] == "... and 5 more"
    for document in ({}, {"job": []}, "text", [], {"jobs": [], "more": 1}):
        with pytest.raises(UsageError):
            submissions(document, queue="q")


def test_what_jobs_say_of_each_other() -> None:
    """A key that stands twice, a job that nobody has, and jobs that wait for each other."""
    assert problems(a_job(), a_job(key="b"), a_job()) == ["Job 3 has the key of job 1, a."]
    waits = a_job(after=["known", "intor"]), a_job(key="intro", inputs=[{"job": "nobody at all"}])
    assert problems(*waits, known=lambda job_id: job_id == submitted_id("q", "known")) == [
        "Job 1 (a): `after` names intor, a job that neither this document nor the journal has; did you mean intro?",
        "Job 2 (intro): `inputs` names nobody at all, a job that neither this document nor the journal has.",
    ]
    circle = a_job(after=["b"]), a_job(key="b", inputs=[{"job": "c"}]), a_job(key="c", after=["a"])
    (line,) = problems(*circle)
    assert line.startswith("These jobs wait for each other, so that none can begin: ")
    assert line.count(" -> ") == 3
    (line,) = problems(a_job(after=["a"]))
    assert line.endswith("a -> a.")


def test_a_key_is_its_tenants() -> None:
    """Two tenants may have the same key. A job finds those of its own tenant, else one that has none; no other's."""
    of_tenants = (a_job(tenant="press", after=["b", "c"]), a_job(tenant="studio"), a_job(key="b", tenant="press"))
    jobs = [given.job for given in read(*of_tenants, a_job(key="b"), a_job(key="c"))]
    assert [job.id for job in jobs] == [
        *(submitted_id("q", "a", "press"), submitted_id("q", "a", "studio"), submitted_id("q", "b", "press")),
        *(submitted_id("q", "b"), submitted_id("q", "c")),
    ]
    assert jobs[0].after == (submitted_id("q", "b", "press"), submitted_id("q", "c"))
    (line,) = problems(a_job(tenant="press", after=["d"]), a_job(key="d", tenant="studio"), known=lambda _: None)
    assert line.endswith("names d, a job that neither this document nor the journal has.")
    theirs = submitted_id("q", "d", "press")
    (waits,) = read(a_job(tenant="press", after=["d"]), known=lambda job_id: job_id == theirs)
    assert waits.job.after == (theirs,)


def test_the_folder_of_a_tenant_is_another_for_each() -> None:
    """Whatever the name, it is one folder below the output, and not a hidden one; no tenant has none."""
    names = ["press", "Press", "a/b", "a%2Fb", "..", ".", ".pyprocessor", "Z\u00fcrich", "a\nb"]
    folders = [tenant_folder(name) for name in names]
    assert folders[:5] == [b"press", b"Press", b"a%2Fb", b"a%252Fb", b"%2E."]
    assert len(set(folders)) == len(names)
    assert not any(b"/" in folder or folder.startswith(b".") for folder in folders)
    assert tenant_folder("") == b""


@pytest.mark.parametrize("more", ["", "?key=secret", "#secret", "/?key=secret#secret"])
def test_what_fetches_an_input_is_called_by_host_and_file_alone(more: str) -> None:
    """What else an address has may be a key, and stands in no name."""
    fetch, _ = read(a_job(inputs=[f"https://media.example{more}"]))
    assert fetch.job.source.relative == b"media.example/download"


def test_jobs_travel_as_they_are(tmp_path: Path) -> None:
    """What is sent to a run is what it takes in, odd names included; nonsense is refused."""
    odd = os.fsencode(tmp_path) + b"/caf\xe9.mov"
    Path(os.fsdecode(odd)).write_bytes(b"x")
    jobs = read(
        a_job(inputs=[os.fsdecode(odd), {"job": "b", "role": "x"}, odd], metadata={"a": "\udcff"}, timeout=1.5),
        a_job(key="b\udcff", after=["a"], params={"p": "\udcff"}),
        a_job(key="b"),
    )
    assert jobs[0].job.source.path == odd
    text = submissions_text(jobs)
    assert text.isascii()
    assert submissions_from(text) == jobs
    sent = json.loads(text)
    for name, value in (("priority", "high"), ("source", {}), ("inputs", "[[1]]"), ("inputs", "7"), ("output", "%")):
        broken = json.dumps([{**sent[0], name: value}])
        with pytest.raises(ValueError, match=r"."):
            submissions_from(broken)
