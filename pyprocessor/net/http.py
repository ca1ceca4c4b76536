"""How is an API asked, and what does it mean that it does not answer as it should?

One request, one answer that is JSON, within a time and a size. Redirects are not followed: the key would go with them.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.extras import check_installed
from pyprocessor.models.wording import duration, one_line, sentence

CONNECT_SECONDS = 20.0
MOST_ANSWER_BYTES = 16 << 20
MOST_ERROR_BYTES = 64 << 10
LONGEST_QUOTE = 200
"""Of what a server says about an error."""
_FORBIDDEN = frozenset({401, 402, 403, 407})
"""The key is missing, wrong, not for this, or its account has no money left."""
_OF_THE_REQUEST = frozenset({400, 413, 414, 415, 422})
_PASSING = frozenset({408, 409, 421, 425, 429})


async def ask(
    url: str,
    *,
    key: str,
    timeout_seconds: float,
    document: Any = None,
    fields: Mapping[str, str] | None = None,
    files: Mapping[str, Any] | None = None,
) -> Any:
    """Post a JSON document, or a form with files, and return the answer, which is JSON.

    Raises JobError: UNAVAILABLE where a later request may be answered, else for good. No message holds the key.
    """
    check_installed("openai", "Asking an API")
    import httpx

    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise JobError(FailureKind.UNSUPPORTED, f"{one_line(url)} is no address of an API: {error}.") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise JobError(FailureKind.UNSUPPORTED, f"{one_line(url)} is no address of an API; it begins with https://.")
    name = address.netloc.decode("ascii", "replace").rpartition("@")[2]
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    limits = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
    trust = _trust() if address.scheme == "https" else False
    try:
        async with (
            asyncio.timeout(timeout_seconds),
            httpx.AsyncClient(timeout=limits, follow_redirects=False, verify=trust) as client,
            client.stream("POST", address, headers=headers, json=document, data=fields, files=files) as response,
        ):
            failed = not response.is_success
            text = await _bounded(response.aiter_bytes(), MOST_ERROR_BYTES if failed else MOST_ANSWER_BYTES, name)
    except (httpx.TimeoutException, TimeoutError) as error:
        within = duration(timeout_seconds)
        raise JobError(FailureKind.UNAVAILABLE, f"{name} did not answer within {within}.") from error
    except httpx.RemoteProtocolError as error:
        raise JobError(FailureKind.UNAVAILABLE, f"{name} broke off its answer: {_plain(error, key)}.") from error
    except httpx.TransportError as error:
        raise JobError(FailureKind.UNAVAILABLE, f"{name} cannot be reached: {_plain(error, key)}.") from error
    except httpx.HTTPError as error:
        raise JobError(FailureKind.UNAVAILABLE, f"{name} gave no answer: {_plain(error, key)}.") from error
    if failed:
        raise refusal(response.status_code, response.headers, name, _said(text, key))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise garbled(name) from error


def failure_of(status: int, *, other: FailureKind) -> FailureKind:
    """Return the kind of failure that a status other than success means; `other` where the status does not tell."""
    if status in _FORBIDDEN:
        return FailureKind.PERMISSION
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FailureKind.UNAVAILABLE
    return FailureKind.BAD_INPUT if status in _OF_THE_REQUEST else other


def refusal(status: int, headers: Mapping[str, str], name: str, said: str = "") -> JobError:
    """Return the error that a status other than success means; `name` is of the server, `said` what it says of it."""
    phrase = f" ({HTTPStatus(status).phrase})" if status in set(HTTPStatus) else ""
    answered = f"{name} answered with status {status}{phrase}"
    kind = failure_of(status, other=FailureKind.UNSUPPORTED)
    if kind is FailureKind.PERMISSION:
        return JobError(kind, f"{answered}; see to the key, and what its account may do.")
    if status == HTTPStatus.NOT_FOUND and not said:
        return JobError(kind, f"{answered}; see to the address and the model.")
    quoted = f"{answered}: {said}" if said else f"{answered}."
    if kind is FailureKind.UNAVAILABLE:
        return JobError(kind, quoted, retry_after_seconds=retry_after(headers))
    if 300 <= status < 400:
        return JobError(kind, f"{answered}, which is not followed; give the address it leads to.")
    return JobError(kind, quoted)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds a server asks to be left alone; None where it does not say."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def garbled(name: str) -> JobError:
    """Return the error of an answer that is not what the protocol says."""
    return JobError(FailureKind.UNAVAILABLE, f"{name} answered with what is no answer of such an API.")


@cache
def _trust() -> ssl.SSLContext:
    """Which certificates are trusted; made once a process, since that takes longer than a request may."""
    import httpx

    return httpx.create_ssl_context()


async def _bounded(chunks: AsyncIterator[bytes], most: int, name: str) -> bytes:
    found = bytearray()
    async for chunk in chunks:
        found += chunk
        if len(found) > most:
            raise JobError(FailureKind.UNAVAILABLE, f"{name} answered with more than {most:,} bytes.")
    return bytes(found)


def _said(text: bytes, key: str) -> str:
    """Return what an answer says about an error, as one line that ends a sentence."""
    try:
        found = json.loads(text)
        error = found.get("error", found.get("detail", found.get("message")))
        message = error.get("message") if isinstance(error, dict) else error
    except (ValueError, RecursionError, AttributeError):
        return ""
    return _shortened(message, key) if isinstance(message, str) and message else ""


def _plain(error: Exception, key: str) -> str:
    return _shortened(str(error) or type(error).__name__, key).rstrip(".")


def _shortened(text: str, key: str) -> str:
    return sentence(text.replace(key, "(the key)") if key else text, LONGEST_QUOTE)
