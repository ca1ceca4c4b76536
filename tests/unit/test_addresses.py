"""Which addresses are of the internet, and that what is connected to is what was looked up and checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.net import addresses


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1"),
        *("172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::127.0.0.1", "::8.8.8.8", "100::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%lo", "fec0::1"),
        *("ff02::1", "2001:db8::1", "2001:0:53aa:64c:0:7fff:f7f7:f7f7", "4000::1", "64:ff9b:1::8.8.8.8"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254"),
        *("2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:1::1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1"),
    ],
)
def test_addresses_that_are_not_of_the_internet(address: str) -> None:
    """Private, local, reserved and multicast ones, and what stands for one of these in IPv6."""
    assert not addresses.is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "93.184.216.34", "172.32.0.1", "100.63.255.255", "2606:2800:220:1::1", "2a00:1450::1"),
        *("::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::808:808"),
    ],
)
def test_addresses_of_the_internet(address: str) -> None:
    """Also where IPv6 stands for IPv4."""
    assert addresses.is_public(address)


def answering(*found: str) -> addresses.LookUp:
    """A lookup that finds these."""

    async def look_up(host: str, port: int) -> Sequence[str]:
        return found

    return look_up


def test_a_host_with_any_inner_address_is_refused() -> None:
    """Whichever of them would be connected to."""
    with pytest.raises(JobError, match=r"media\.example leads to 10\.0\.0\.1, which is no address of") as raised:
        asyncio.run(addresses.public_addresses("media.example", 80, answering("8.8.8.8", "10.0.0.1")))
    assert raised.value.kind is FailureKind.PERMISSION
    assert asyncio.run(addresses.public_addresses("media.example", 80, answering("8.8.8.8"))) == ("8.8.8.8",)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "::1", "::ffff:127.0.0.1"])
def test_ways_to_write_this_machine(host: str) -> None:
    """The system reads more spellings than one; what they mean is looked at."""
    with pytest.raises(JobError) as raised:
        asyncio.run(addresses.public_addresses(host, 80))
    assert raised.value.kind in (FailureKind.PERMISSION, FailureKind.UNAVAILABLE)  # the latter: no IPv6 here


def test_hosts_that_are_not_known() -> None:
    """The name may be known later; what cannot be a name is bad input."""

    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(JobError, match="is not known: Name or service") as raised:
        asyncio.run(addresses.public_addresses("nobody.example", 80, unknown))
    assert raised.value.kind is FailureKind.UNAVAILABLE
    with pytest.raises(JobError, match="is no name of a host") as raised:
        asyncio.run(addresses.public_addresses("a" * 64 + ".example", 80))
    assert raised.value.kind is FailureKind.BAD_INPUT


def test_libraries_that_look_up_by_themselves() -> None:
    """They find no host with an inner address, and the refusal is told; afterwards all is as before."""
    before = socket.getaddrinfo
    with addresses.public_only() as refused:
        assert socket.getaddrinfo("8.8.8.8", 80)
        with pytest.raises(OSError, match="leads to"):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
    assert [why.partition(",")[0] for why in refused] == ["127.0.0.1 leads to 127.0.0.1"]
    assert socket.getaddrinfo is before
