"""Which job fetches an input that is a URL, or a model? One for all jobs of a tenant that read it, or that need it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pyprocessor.errors import JobError
from pyprocessor.journal.waiting import Submission, params_of
from pyprocessor.models import Cost, Job, Origin, Source, child_id
from pyprocessor.models.urls import host_of
from pyprocessor.tasks.download import Download, Takes
from pyprocessor.tasks.params import params_as

URL = "url"
_SCHEMES = ("http://", "https://")


def is_remote(given: object) -> bool:
    """Whether an input of a document is a URL, or a mapping of the params of a download."""
    if isinstance(given, str):
        return given.lower().startswith(_SCHEMES)
    return isinstance(given, Mapping) and URL in given


def fetching(given: Any, *, priority: int, tenant: str) -> Submission:
    """Return the job that fetches an input. Raises ValueError, with what is wrong."""
    params = {URL: given} if isinstance(given, str) else dict(given)
    try:
        taken: Takes = params_as(Takes, params)
    except JobError as error:
        raise ValueError(str(error)) from None
    name = f"{host_of(re.split('[?#]', taken.url)[0])}/{taken.file_name}"  # what follows may hold a key
    return fetching_job(Download.name, params, name, priority=priority, tenant=tenant)


def fetching_job(
    task: str, params: Mapping[str, Any], name: str = "", *, priority: int, tenant: str = ""
) -> Submission:
    """The job of a task that fetches something for all jobs of a tenant that need it; `name` is what people call it."""
    name = name or " ".join((task, *map(str, params.values())))
    fingerprint, document = params_of(params)
    job = Job(
        id=child_id(tenant, task, 0, fingerprint),
        task=task,
        source=Source(b"", name.encode("utf-8", "surrogateescape"), 0, 0),
        output=b"",
        params_fingerprint=fingerprint,
        cost=Cost(0.0, 0, 0),
        priority=priority,
        tenant=tenant,
        origin=Origin.CHILD,
    )
    return Submission(job, document)


def each_once(given: Iterable[Submission]) -> tuple[Submission, ...]:
    """Return the jobs, each once: what several need has the priority of the most urgent of them."""
    jobs: dict[str, Submission] = {}
    for one in given:
        before = jobs.get(one.job.id)
        if before is None or one.job.priority < before.job.priority:
            jobs[one.job.id] = one
    return tuple(jobs.values())


def asked_for(params: Mapping[str, Any]) -> object:
    """Return how a document names the input that is fetched with these params."""
    return params[URL] if len(params) == 1 else dict(params)
