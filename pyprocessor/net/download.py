"""How does a file come from a web server onto the disk: checked, bounded, and gone on with where it was broken off?"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.extras import check_installed
from pyprocessor.models.wording import one_line, size
from pyprocessor.net import addresses
from pyprocessor.net.http import failure_of, retry_after
from pyprocessor.net.resuming import SYNC_BYTES, Kept
from pyprocessor.workers.call_main import progress

if TYPE_CHECKING:
    import httpx

SCHEMES = ("https", "http")
MOST_BYTES = 20 << 30
MOST_REDIRECTS = 5
CONNECT_SECONDS, SILENT_SECONDS = 30.0, 60.0
LEAST_BYTES_A_MINUTE = 64 << 10
"""A server that sends less is given up on for this attempt."""
WORTH_GOING_ON_BYTES = 1 << 20
"""After an answer that brought as much and broke off, the rest is asked for at once; otherwise by the next attempt."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(?:(\d{1,18})|\*)")
_LONGEST_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be asked for: which schemes, which hosts (none named: any), addresses of which kind, how many bytes."""

    schemes: Sequence[str] = SCHEMES
    hosts: Sequence[str] = ()
    allow_private: bool = False
    max_bytes: int = MOST_BYTES

    def check(self, url: httpx.URL) -> None:
        """Raise JobError where nothing is to be asked at this URL."""
        if url.scheme not in self.schemes:
            text = f"{shown(url)} is no address of {' or '.join(self.schemes)}, which alone are allowed."
            raise JobError(FailureKind.PERMISSION, text)
        if not url.host or url.userinfo:
            raise JobError(FailureKind.PERMISSION, f"{shown(url)} names no host, or a user.")
        if self.hosts and not any(_is_of(url.host, host) for host in self.hosts):
            raise JobError(FailureKind.PERMISSION, f"{one_line(url.host)} is none of the `hosts` that are allowed.")


def _is_of(host: str, allowed: str) -> bool:
    """Whether a host is the one that is allowed, or lies below it where that is written `*.example.org`."""
    host, allowed = host.lower().rstrip("."), allowed.lower()
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed


async def download(
    url: str,
    path: str,
    *,
    checksum: str = "",
    max_bytes: int = MOST_BYTES,
    schemes: Sequence[str] = SCHEMES,
    hosts: Sequence[str] = (),
    allow_private: bool = False,
    look_up: addresses.LookUp = addresses.look_up,
) -> dict[str, Any]:
    """Bring what lies at `url` into the file at `path`, going on with what is there. Raises JobError and OSError.

    `checksum` is `ALGORITHM:HEX`. Returns the address that it came from in the end, bytes, the server's word for its
    type, the checksum where one was asked for, and warnings.
    """
    check_installed("download", "Downloading")
    import httpx

    rules = Rules(schemes, hosts, allow_private, max_bytes)
    # No connection is used twice: one that was made to a host would stand for another one at the same address. Proxies
    # are not used unless private addresses are allowed, since a proxy does its own lookups.
    client = httpx.AsyncClient(
        trust_env=allow_private,
        verify=httpx.create_ssl_context(),
        timeout=httpx.Timeout(CONNECT_SECONDS, read=SILENT_SECONDS),
        limits=httpx.Limits(max_keepalive_connections=0),
        headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "pyprocessor"},
    )
    with Kept(path, url) as kept:
        async with client:
            seen = await _all(_Asking(client, rules, look_up), kept)
        await kept.sync()
        found = await _checked(kept, checksum) if checksum else ""
    result: dict[str, Any] = {"url": shown(seen.url), "bytes": kept.arrived, "content_type": seen.content_type}
    if found:
        result["checksum"] = found
    if not seen.length_known:
        text = "The server does not say how long the file is, so it is not known whether its end is there."
        result["warnings"] = [text]
    return result


@dataclass(frozen=True, slots=True)
class _Asking:
    """How servers are asked in one download."""

    client: httpx.AsyncClient
    rules: Rules
    look_up: addresses.LookUp

    async def answer(self, url: str, headers: Mapping[str, str]) -> tuple[httpx.URL, httpx.Response]:
        """Return the answer to a GET, its body not yet read, and the address that redirects led to."""
        import httpx

        try:
            target = httpx.URL(url)
            for _ in range(MOST_REDIRECTS + 1):
                response = await self._send(target, headers)
                if response.status_code not in _REDIRECTS:
                    return target, response
                await response.aclose()
                target = target.join(response.headers.get("location", ""))
        except httpx.InvalidURL as error:
            raise JobError(FailureKind.BAD_INPUT, f"{one_line(url)} leads to what is no URL: {error}.") from error
        raise JobError(FailureKind.BAD_INPUT, f"{shown(target)} redirects more than {MOST_REDIRECTS} times.")

    async def _send(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        """Send one request, to an address that was checked where that is asked for."""
        import httpx

        self.rules.check(url)
        if self.rules.allow_private:
            return await self.client.send(self.client.build_request("GET", url, headers=headers), stream=True)
        host, port = url.raw_host.decode("ascii"), url.port or {"https": 443}.get(url.scheme, 80)
        failure: httpx.TransportError | None = None
        for address in await addresses.public_addresses(host, port, self.look_up):
            request = self.client.build_request(
                "GET",
                url.copy_with(host=address),
                headers={**headers, "Host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": host},
            )
            try:
                return await self.client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        assert failure is not None  # a lookup that succeeds has an address
        raise failure


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the last answer said."""

    url: httpx.URL
    content_type: str
    length_known: bool


async def _all(asking: _Asking, kept: Kept) -> _Seen:
    """Ask until all is there. Raises JobError."""
    import httpx

    while True:
        before = kept.arrived
        try:
            seen = await _take(asking, kept)
        except httpx.HTTPError as error:
            why = one_line(str(error) or type(error).__name__).rstrip(".")
        else:
            if seen is None:
                continue  # nothing is kept now, so that this comes once
            if kept.total is None or kept.complete:
                return seen
            why = f"the answer ended at {kept.arrived:,} of {kept.total:,} bytes"
        await kept.sync()
        if not kept.resumable or kept.arrived - before < WORTH_GOING_ON_BYTES:
            text = f"{shown(httpx.URL(kept.url))} could not be read to its end: {why}."
            raise JobError(FailureKind.UNAVAILABLE, text)


async def _take(asking: _Asking, kept: Kept) -> _Seen | None:
    """Take in one answer; None where it shows that what was kept is of no use, and it was thrown away."""
    headers = {"Range": f"bytes={kept.arrived}-", "If-Range": kept.validator} if kept.resumable else {}
    url, response = await asking.answer(kept.url, headers)
    try:
        status = response.status_code
        begin, total = _range(response)
        goes_on = status == 206 and bool(headers)
        if (status == 416 and headers and total != kept.arrived) or (
            goes_on and (begin != kept.arrived or kept.total not in (None, total))
        ):
            kept.restart("", None)
            return None
        if status == 416 and headers:
            kept.total = total
            return _Seen(url, "", length_known=True)
        if status != 200 and not goes_on:
            raise _refused(url, response)
        if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            text = f"{shown(url)} sends a compressed file although it was asked for the file as it is."
            raise JobError(FailureKind.UNSUPPORTED, text)
        if not goes_on:
            kept.restart(_validator(response), total)
        _check_length(url, kept, asking.rules)
        await _body(url, response, kept, asking.rules)
        return _Seen(url, one_line(response.headers.get("content-type", "")), length_known=total is not None)
    finally:
        await response.aclose()


def _range(response: httpx.Response) -> tuple[int, int | None]:
    """Where the body begins in the file, and how long that is; None where that is not said."""
    if response.status_code in (206, 416):
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        return (int(match[1] or 0), int(match[2]) if match[2] else None) if match else (-1, None)
    length = response.headers.get("content-length", "")
    return 0, int(length) if length.isascii() and length.isdigit() else None


def _validator(response: httpx.Response) -> str:
    """The server's word for this very content; weak ones do not tell apart what differs in single bytes."""
    etag: str = response.headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    return "" if etag else str(response.headers.get("last-modified", ""))


def _check_length(url: httpx.URL, kept: Kept, rules: Rules) -> None:
    """Raise JobError where the file is too large, or finds no room."""
    if kept.total is None:
        return
    if kept.total > rules.max_bytes:
        raise JobError(FailureKind.BAD_INPUT, f"{shown(url)} is {size(kept.total)} long; {_allowed(rules)}.")
    folder = os.statvfs(os.path.dirname(kept.path))
    free = folder.f_bavail * folder.f_frsize
    if kept.total - kept.arrived > free:
        text = f"{shown(url)} is {size(kept.total)} long, and only {size(free)} are free where it is to lie."
        raise JobError(FailureKind.UNAVAILABLE, text)


def _allowed(rules: Rules) -> str:
    return f"`max_bytes` allows {size(rules.max_bytes)}"


async def _body(url: httpx.URL, response: httpx.Response, kept: Kept, rules: Rules) -> None:
    """Write what comes. Raises JobError where it is too much or too slow, and httpx.HTTPError where it breaks off."""
    kept.answers += 1
    minute, at_minute = time.monotonic(), kept.arrived
    async for data in response.aiter_raw():
        if kept.arrived + len(data) > rules.max_bytes:
            kept.restart("", None)
            raise JobError(FailureKind.BAD_INPUT, f"{shown(url)} sends more and more; {_allowed(rules)}.")
        kept.write(data)
        await kept.sync(least=SYNC_BYTES)
        progress(kept.arrived, kept.total)
        if (now := time.monotonic()) - minute >= 60:
            if kept.arrived - at_minute < LEAST_BYTES_A_MINUTE:
                await kept.sync()
                text = f"{shown(url)} sent {kept.arrived - at_minute:,} bytes in a minute and was given up on."
                raise JobError(FailureKind.UNAVAILABLE, text)
            minute, at_minute = now, kept.arrived


async def _checked(kept: Kept, checksum: str) -> str:
    """Return the checksum of what is there. Raises JobError where that is another one.

    What came in one answer is what the server has, so that trying again is no use; what was put together may be wrong.
    """
    algorithm, _, wanted = checksum.partition(":")
    found = await asyncio.to_thread(_digest, kept.path, algorithm)
    if found == wanted:
        return f"{algorithm}:{found}"
    kind = FailureKind.BAD_INPUT if kept.answers <= 1 else FailureKind.UNAVAILABLE
    kept.restart("", None)
    raise JobError(kind, f"The {algorithm} of what was downloaded is {found}, and not {wanted}.")


def _digest(path: str, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _refused(url: httpx.URL, response: httpx.Response) -> JobError:
    """The failure that the status of an answer means."""
    status = response.status_code
    text = f"{shown(url)} answers with status {status} {one_line(response.reason_phrase)}".rstrip() + "."
    kind = failure_of(status, other=FailureKind.BAD_INPUT)
    after = retry_after(response.headers) if kind is FailureKind.UNAVAILABLE else None
    return JobError(kind, text, retry_after_seconds=after)


def shown(url: httpx.URL) -> str:
    """A URL for people, without what may be a secret."""
    return one_line(str(url.copy_with(userinfo=b"", query=None, fragment=None)))[:_LONGEST_SHOWN]
