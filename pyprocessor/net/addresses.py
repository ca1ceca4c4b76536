"""Which addresses may a host lead to? Its name is looked up once, and what was checked is what is connected to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.wording import one_line

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, for a port."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that was ever given out of IPv6 (RFC 4291)."""
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Where networks of IPv6 alone show the IPv4 internet (RFC 6052)."""


def is_public(address: str) -> bool:
    """Whether an address is one of the internet, and of no private, local, reserved or multicast network.

    An IPv6 address that stands for an IPv4 one is what that one is.
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        stands_for = found.ipv4_mapped or found.sixtofour
        if found in _TRANSLATED:
            stands_for = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if stands_for is not None:
            return is_public(str(stands_for))
        if found not in _GLOBAL_UNICAST:
            return False
    return found.is_global and not found.is_multicast


def refusal(host: str, addresses: Sequence[str]) -> str:
    """Why nothing is asked of a host with these addresses, as a sentence; empty where all of them are public."""
    inner = next((address for address in addresses if not is_public(address)), None)
    if inner is None:
        return ""
    return f"{one_line(host)} leads to {inner}, which is no address of the internet; `allow_private: true` allows that."


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the order in which the system prefers them. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def public_addresses(host: str, port: int, look_up: LookUp = look_up) -> Sequence[str]:
    """Return the addresses of a host. Raises JobError where any is not public, or where there is none."""
    try:
        addresses = await look_up(host, port)
    except UnicodeError as error:
        raise JobError(FailureKind.BAD_INPUT, f"{one_line(host)} is no name of a host.") from error
    except OSError as error:
        raise JobError(FailureKind.UNAVAILABLE, f"The host {one_line(host)} is not known: {error.strerror}.") from error
    if why := refusal(host, addresses):
        raise JobError(FailureKind.PERMISSION, why)
    return addresses


@contextlib.contextmanager
def public_only() -> Iterator[list[str]]:
    """Within it, lookups of this process fail for hosts with other addresses; yields a sentence for each of those.

    For libraries that do their own lookups. They connect to what a lookup returns.
    """
    refused: list[str] = []
    plain: Any = socket.getaddrinfo

    def checked(host: Any, *more: Any, **named: Any) -> Any:
        found = plain(host, *more, **named)
        if why := refusal(str(host), [address[0] for *_, address in found]):
            refused.append(why)
            raise socket.gaierror(socket.EAI_NONAME, why)
        return found

    socket.getaddrinfo = checked
    try:
        yield refused
    finally:
        socket.getaddrinfo = plain
