"""How is a file brought here from a web server?"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from pyprocessor.models import Cost, CostFeatures, InputLimits, Source
from pyprocessor.models.products import Product
from pyprocessor.publish.kept import kept_path, take_kept
from pyprocessor.tasks.base import Call, Done, Made, Plan, Returned, Steps, Work
from pyprocessor.tasks.params import params_as

MOST_BYTES = 20 << 30
Scheme = Literal["https", "http"]
_COST = Cost(0.3, 48 << 20, 0, wait_seconds=30.0)
"""Its process mostly waits; 64 downloads share one."""
_LONGEST_URL, _LONGEST_NAME = 8000, 200
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Takes:
    """What is downloaded, and what is allowed on the way. `name` is the file's; by default the last part of the URL."""

    url: str
    name: str = ""
    checksum: str = ""
    """Hexadecimal: of SHA-256, or of another algorithm as `ALGORITHM:HEX`."""
    max_bytes: int = MOST_BYTES
    schemes: tuple[Scheme, ...] = ("https", "http")
    hosts: tuple[str, ...] = ()
    """Those that may be asked, also after redirects: `example.org`, or `*.example.org`; none named: any."""
    allow_private: bool = False
    """Whether hosts may lead to addresses that are none of the internet, and proxies of the environment are used."""

    def __post_init__(self) -> None:
        check_url(self.url, self.schemes)
        if self.name and (self.name != safe_name(self.name) or len(os.fsencode(self.name)) > _LONGEST_NAME):
            raise ValueError(f"`name` is {self.name!r}, but has to be a plain, visible name of a file")
        if self.max_bytes < 1:
            raise ValueError(f"`max_bytes` is {self.max_bytes}, but has to be 1 or more")
        _checksum(self.checksum)

    @property
    def file_name(self) -> str:
        """What the file is called."""
        return self.name or safe_name(unquote(urlsplit(self.url).path.rpartition("/")[2])) or "download"


class Download:
    """One file, into which an interrupted download is continued."""

    name = "download"
    summary = "Download a file: checked, within limits, continued where it was interrupted"
    takes = Takes
    inputs = (0, 0)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> None:  # noqa: ARG002 - the task's
        params_as(Takes, params)

    def plan(self, params: Any, inputs: tuple[Source, ...], found: None, output: bytes) -> Plan:  # noqa: ARG002
        wanted = params_as(Takes, params)
        product = Product(os.path.join(os.path.dirname(output), os.fsencode(wanted.file_name)))
        # So many bytes may come that there is hardly a limit to the time.
        features = CostFeatures(task=self.name, encoder=self.name, source_bytes=wanted.max_bytes, given=_COST)
        return Plan((product,), features)

    def run(self, work: Work) -> Steps:
        wanted = params_as(Takes, work.params)
        arguments = {
            "url": wanted.url,
            "path": os.fsdecode(kept_path(work.folder, work.job_id)),
            "checksum": _checksum(wanted.checksum),
            "max_bytes": wanted.max_bytes,
            "schemes": wanted.schemes,
            "hosts": wanted.hosts,
            "allow_private": wanted.allow_private,
        }
        returned: Returned = yield Call("pyprocessor.net.download:download", arguments, coroutine=True)
        made = f"{work.name}.file"
        take_kept(work.folder, work.job_id, made)
        return Done(products=(Made(made),), result=returned.value)


def check_url(url: str, schemes: tuple[str, ...] = ("https", "http")) -> None:
    """Raise ValueError, which names the field, for what is no URL of a web server, or holds a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"`url` is no URL: {error}") from error
    if not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        raise ValueError("`url` holds characters that no URL has, or far too many")
    if parts.scheme not in schemes:
        raise ValueError(f"`url` has to begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not parts.hostname or port == 0:
        raise ValueError("`url` names no host")
    if "@" in parts.netloc:
        raise ValueError("`url` holds the name of a user or a password, which would be written down with the job")


def safe_name(text: str) -> str:
    """The text as the name of a file that is visible and lies where it is put; it may be empty."""
    name = "".join(one for one in text if one.isprintable() and one not in "/\\").lstrip(". ").rstrip()
    while len(os.fsencode(name)) > _LONGEST_NAME:
        stem, extension = os.path.splitext(name)
        name = stem[:-1] + extension if len(stem) > 1 else name[:-1]
    return name


def _checksum(text: str) -> str:
    """`ALGORITHM:HEX` of what params say, empty where that is empty. Raises ValueError, which names the field."""
    if not text:
        return ""
    algorithm, _, digest = text.lower().rpartition(":")
    algorithm = algorithm or "sha256"
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        known = sorted(name for name in hashlib.algorithms_guaranteed if not name.startswith("shake"))
        raise ValueError(f"`checksum` names {algorithm!r}, which is none of {', '.join(known)}")
    if not _HEX.fullmatch(digest) or len(digest) != 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise ValueError(f"`checksum` holds no digest of {algorithm}")
    return f"{algorithm}:{digest}"
