"""How does a job that is submitted travel to the run that takes it in: as a record of JSON, and back?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from pyprocessor.journal.records import decode, encode
from pyprocessor.journal.rows import inputs_from, inputs_text
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import Cost, Job, Origin, Product, Source


@dataclass(frozen=True, slots=True)
class _Sent:
    """A job and its params; its inputs are text, as the journal has them. No media, and no costs: nobody looked yet."""

    id: str
    task: str
    source: Source
    output: bytes
    params_fingerprint: str
    params: str
    inputs: str
    priority: int = 0
    tenant: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    companions: tuple[Product, ...] = ()
    after: tuple[str, ...] = ()
    max_retries: int | None = None
    timeout_seconds: float | None = None
    not_before: float | None = None
    deadline: float | None = None


_ALIKE = {field.name for field in fields(_Sent)} - {"params", "inputs"}


@dataclass(frozen=True, slots=True)
class _Bundle:
    jobs: tuple[_Sent, ...]


def submissions_text(submissions: Sequence[Submission]) -> str:
    """The jobs as JSON, pure ASCII."""
    jobs = (
        _Sent(
            **{name: getattr(given.job, name) for name in _ALIKE},
            params=given.params,
            inputs=inputs_text(given.job.inputs),
        )
        for given in submissions
    )
    return encode(_Bundle(tuple(jobs)))


def submissions_from(text: str) -> tuple[Submission, ...]:
    """The jobs again. Raises ValueError where the text does not describe any."""
    return tuple(_submission(sent) for sent in decode(_Bundle, text).jobs)


def _submission(sent: _Sent) -> Submission:
    try:
        inputs = inputs_from(sent.inputs)
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError("the inputs of a job are not understood") from error
    alike = {name: getattr(sent, name) for name in _ALIKE}
    job = Job(**alike, inputs=inputs, cost=Cost(0.0, 0, 0), origin=Origin.SUBMITTED)
    return Submission(job, sent.params)
