"""What may a caller give: settings, a folder, and requests?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyprocessor.errors import UsageError
from pyprocessor.intake.paths import AnyPath, output_folder
from pyprocessor.models.plain_values import MAX_NESTED, is_too_deep
from pyprocessor.services.chunking import bytes_of
from pyprocessor.services.running import MOST_REQUEST_BYTES, result_of
from pyprocessor.taskqueue.creating import check_seconds, check_whole
from pyprocessor.workers.answering import failure
from pyprocessor.workers.requests import BatchRequest, BatchResult

_AROUND = 4
"""Levels of a job's params around the metadata of a request."""


def settings_of(given: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Take the settings that have a default out of what was given. Raises UsageError for values of another kind."""
    found = {name: given.pop(name, default) for name, default in defaults.items()}
    for name, default in defaults.items():
        value = found[name]
        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise UsageError(f"{name} is {value!r}, but has to be True or False.")
        elif isinstance(default, int):
            check_whole(name, value, 0)
        else:
            check_seconds(name, value)
    return found


def folder_of(output: AnyPath | None) -> Path | None:
    """Return the folder that is to keep the journal. Raises UsageError or OutputUnwritable."""
    if output is None:
        return None
    if not isinstance(output, str | bytes | os.PathLike):
        raise UsageError(f"output is {output!r}, but has to be the path of a folder.")
    return Path(os.fsdecode(output_folder(os.fsdecode(output))))


def listed(requests: Iterable[BatchRequest]) -> list[BatchRequest]:
    """Return all requests. Raises TypeError for what is none."""
    found = list(requests)
    for one in found:
        if not isinstance(one, BatchRequest):
            raise TypeError(f"A request is a BatchRequest, and not {type(one).__name__}.")
    return found


def refused(request: BatchRequest) -> BatchResult | None:
    """Return the failure of a request that cannot be sent; None where it can."""
    texts = (request.id, request.prompt, request.tenant, request.profile_name)
    try:
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("`id`, `prompt`, `tenant` and `profile_name` are texts")
        if not isinstance(request.metadata, dict | None):
            raise TypeError("`metadata` is a dictionary, or None")
        if not all(isinstance(key, str) for key in request.metadata or ()):
            raise TypeError("the keys of `metadata` are texts")
        size = bytes_of(request)
        if is_too_deep(request.metadata, MAX_NESTED - _AROUND):
            raise ValueError(f"`metadata` is nested more than {MAX_NESTED - _AROUND} deep")
    except (TypeError, ValueError, RecursionError) as error:
        return result_of(replace(request, metadata=None), failure("validation", f"The request is not sent: {error}"))
    if size > MOST_REQUEST_BYTES:
        what = f"The request has {size:,} bytes, of {MOST_REQUEST_BYTES:,} that are allowed; give a path in its place"
        return result_of(request, failure("validation", what))
    return None
