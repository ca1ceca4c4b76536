"""Who answers requests: a function by its name, one that is sent as it is, a task, or a chat API?"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from pyprocessor.errors import JobError, UsageError
from pyprocessor.models.extras import check_installed
from pyprocessor.tasks.enhance import ChatBackend, Enhancing
from pyprocessor.tasks.params import params_as
from pyprocessor.tasks.registry import offered
from pyprocessor.workers.call_main import named
from pyprocessor.workers.requests import BatchRequest

_CHAT = (*(field.name for field in fields(ChatBackend)), "backends", "temperature", "timeout_seconds")
"""The fields of a chat API, as the task `enhance` has them."""
MOST_PICKLED_BYTES = 256 << 10
HandlerGiven = Callable[[BatchRequest], Any] | str | Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler as a job takes it."""

    name: str
    """Tells handlers apart: no two that answer differently have one."""
    document: Mapping[str, Any]
    """For `workers/answering`; empty where it is a task."""
    task: str = ""
    most_requests: int | None = None
    """Of a chunk: those that a chat API with a limit takes at once; None for any number."""


def handler_of(given: HandlerGiven) -> Handler:
    """Return the handler that a caller names. Raises UsageError.

    A function, its name as `module:function`, the name of a task, or the fields of a chat API (None: all as `enhance`
    has them by default).
    """
    if given is None or isinstance(given, Mapping):
        return _chat(given or {})
    if isinstance(given, str):
        if ":" in given:
            _named(given)
            return Handler(given, {"function": given})
        offered(given)
        return Handler(given, {}, given)
    if not callable(given):
        raise UsageError(f"handler is {given!r}, but has to be a function, a name, or the fields of a chat API.")
    name = f"{getattr(given, '__module__', '')}:{getattr(given, '__qualname__', '')}"
    by_name = not name.startswith(("__main__:", ":", "None:")) and "<" not in name and not name.endswith(":")
    if by_name and _named(name) is given:
        return Handler(name, {"function": name})
    return _pickled(given, name)


def _named(name: str) -> Any:
    if name.startswith("__main__:"):
        raise UsageError(
            f"The handler {name} lies in your script, which other processes do not run; give the function."
        )
    try:
        found = named(name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UsageError(f"The handler {name} cannot be found: {str(error).rstrip('.')}.") from error
    except Exception as error:
        raise UsageError(f"The handler {name} cannot be loaded: its module raises {error!r}.") from error
    if not callable(found):
        raise UsageError(f"The handler {name} is no function.")
    return found


def _pickled(given: Callable[[BatchRequest], Any], name: str) -> Handler:
    try:
        check_installed("services", f"The handler {name} cannot be imported by its name; to send it as it is")
    except JobError as error:
        raise UsageError(str(error)) from None
    import hashlib
    import pickle

    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(given)
    except (pickle.PicklingError, TypeError) as error:
        raise UsageError(f"The handler {name} cannot be sent to another process: {error}.") from error
    if len(data) > MOST_PICKLED_BYTES:
        what = f"The handler {name} holds {len(data):,} bytes, of {MOST_PICKLED_BYTES:,} that can be sent"
        raise UsageError(f"{what}; let it read its data from a file, and put it into a module.")
    digest = hashlib.sha256(data).hexdigest()
    return Handler(f"{name} {digest[:16]}", {"pickled": base64.b64encode(data).decode("ascii")})


def _chat(given: Mapping[str, Any]) -> Handler:
    for name in given:
        if name not in _CHAT:
            raise UsageError(f"handler: a chat API has no field `{name}`; it has {', '.join(_CHAT)}.")
    try:
        asked = params_as(Enhancing, given)
    except JobError as error:
        raise UsageError(f"handler: {error}") from None
    common = {"temperature": asked.temperature, "timeout_seconds": asked.timeout_seconds}
    services = [
        {"name": one.called, "url": one.url, "model": one.model, "key_from": one.key_from} for one in asked.services
    ]
    limits = [[one.called, one.per_minute, one.burst] for one in asked.services]
    bursts = [one.burst for one in asked.services if one.per_minute is not None]
    name = json.dumps([services, common], sort_keys=True)
    document = {"chat": [{**one, **common} for one in services], "limits": limits}
    return Handler(name, document, most_requests=min(bursts, default=None))
