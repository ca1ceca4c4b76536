"""How does a job that is submitted travel to the run that takes it in: as a record of JSON, and back?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, fields, make_dataclass
from typing import Any, get_type_hints

from pyprocessor.journal.records import decode, encode
from pyprocessor.journal.rows import inputs_from, inputs_text
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import Cost, Job, Origin

_FIELDS = [one for one in fields(Job) if one.name not in ("media", "cost", "parent", "output_is_folder")]
"""What of a job is known before anybody has looked at its inputs."""
_HINTS = get_type_hints(Job) | {"inputs": str}
_Sent: Any = make_dataclass(
    "_Sent", [("params", str), *((one.name, _HINTS[one.name], field(default=one.default)) for one in _FIELDS)]
)
"""A job and its params; its inputs are text, as the journal has them."""
_SENT_JOBS: Any = tuple[_Sent, ...]


def submissions_text(submissions: Sequence[Submission]) -> str:
    """The jobs as JSON, pure ASCII."""
    return encode(tuple(_Sent(given.params, **_values(given.job, inputs_text)) for given in submissions))


def submissions_from(text: str) -> tuple[Submission, ...]:
    """The jobs again. Raises ValueError where the text does not describe any."""
    try:
        sent_jobs = decode(_SENT_JOBS, text)
        if any(sent.origin is Origin.FOLDER for sent in sent_jobs):
            raise ValueError("a folder's file is no job that is submitted")
        return tuple(
            Submission(Job(**_values(sent, inputs_from), cost=Cost(0.0, 0, 0)), sent.params) for sent in sent_jobs
        )
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError("the inputs of a job are not understood") from error


def _values(record: Any, convert: Any) -> dict[str, Any]:
    """The fields that job and message have in common, the inputs converted."""
    return {one.name: getattr(record, one.name) for one in _FIELDS} | {"inputs": convert(record.inputs)}
