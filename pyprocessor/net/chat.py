"""How is a text written by a server that speaks OpenAI's protocol of chats, as DeepSeek's does?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.urls import host_of
from pyprocessor.net.http import ask, garbled
from pyprocessor.net.keys import key

_WHY = {
    "length": "broke off its answer where that was as long as it may be",
    "content_filter": "refuses to write of what the text is about",
}


class NoAnswer(JobError):
    """The server works, and so does the model, but not for what this request says."""


async def complete(
    messages: Sequence[tuple[str, str]],
    *,
    url: str,
    model: str,
    key_from: str,
    timeout_seconds: float,
    temperature: float | None = None,
) -> str:
    """Return what a model answers to the messages, each a role ("system", "user") and a text. Raises JobError."""
    document: dict[str, Any] = {
        "model": model,
        "messages": [{"role": role, "content": text} for role, text in messages],
        "stream": False,
    }
    if temperature is not None:
        document["temperature"] = temperature
    address = f"{url.rstrip('/')}/chat/completions"
    answer = await ask(address, key=key(key_from), timeout_seconds=timeout_seconds, document=document)
    try:
        choice = answer["choices"][0]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
    except (LookupError, TypeError, AttributeError) as error:
        raise garbled(host_of(url)) from error
    if reason == "insufficient_system_resource":
        raise JobError(FailureKind.UNAVAILABLE, f"{host_of(url)} broke off its answer, since it is busy.")
    why = _WHY.get(str(reason)) or (None if isinstance(text, str) and text.strip() else "answered with no text")
    if why:
        raise NoAnswer(FailureKind.UNSUPPORTED, f"{host_of(url)} {why}.")
    return str(text)
