"""Which server does a URL lead to, and may it be written down?"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"https?://[^/@?#\s]+(/[^@?#\s]*)?")


def is_plain_url(url: str) -> bool:
    """Return whether it is an address of the web without a user, a password and a query, which may hold keys."""
    return _PLAIN.fullmatch(url) is not None


def host_of(url: str) -> str:
    """Return the host, and the port where there is one."""
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]
