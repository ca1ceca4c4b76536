"""How are the checksums of a file taken, written beside it, or compared?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Cost, CostFeatures, InputLimits, Source
from pyprocessor.models.products import MAIN, Product
from pyprocessor.tasks.base import Call, Done, Made, Plan, Returned, Steps, Work
from pyprocessor.tasks.params import params_as

Algorithm = Literal["sha256", "sha512", "sha1", "md5", "blake2b", "sha3_256"]
_BYTES_PER_SECOND = 300e6
"""Of one algorithm on one core."""
_MEMORY_BYTES = {"file": 32 << 20, "packets": 96 << 20}


@dataclass(frozen=True, slots=True)
class Takes:
    """Which checksums, and of what: of the whole file, or of the packets of a media file, in whatever container."""

    algorithms: tuple[Algorithm, ...] = ("sha256",)
    of: Literal["file", "packets"] = "file"
    write: bool = False
    """Whether each is written to a file, as sha256sum and its like write and check it."""
    expect: str = ""
    """The first algorithm's digest; the job fails where it is another one."""

    def __post_init__(self) -> None:
        if not self.algorithms or len(set(self.algorithms)) < len(self.algorithms):
            raise ValueError("`algorithms` has to name one or more, each once")
        if self.write and self.of == "packets":
            raise ValueError("`write` is for checksums of files: no program could check one of packets")


class Checksum:
    """Digests of one file, read once."""

    name = "checksum"
    summary = "Take checksums of a file, or of the packets in a media file; write or compare them"
    takes = Takes
    inputs = (1, 1)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> None:  # noqa: ARG002 - the task's
        params_as(Takes, params)

    def plan(self, params: Any, inputs: tuple[Source, ...], found: None, output: bytes) -> Plan:  # noqa: ARG002
        wanted, (source,) = params_as(Takes, params), inputs
        products: tuple[Product, ...] = ()
        if wanted.write:
            products = tuple(
                Product(output + b"." + name.encode("ascii"), MAIN if place == 0 else name)
                for place, name in enumerate(wanted.algorithms)
            )
        seconds = 0.005 + len(wanted.algorithms) * source.size_bytes / _BYTES_PER_SECOND
        cost = Cost(seconds, _MEMORY_BYTES[wanted.of], 0)
        return Plan(products, CostFeatures(self.name, wanted.of, source_bytes=source.size_bytes, given=cost))

    def run(self, work: Work) -> Steps:
        wanted, (source,) = params_as(Takes, work.params), work.inputs
        arguments: dict[str, Any] = {"source": os.fsdecode(source.path), "algorithms": wanted.algorithms}
        made = [Made(f"{work.name}.{place}", product.role) for place, product in enumerate(work.products)]
        if wanted.of == "file":
            paths = [os.fsdecode(work.path(one.temporary)) for one in made]
            arguments["listed"] = dict(zip(wanted.algorithms, paths, strict=False))
        returned: Returned = yield Call(f"pyprocessor.inspect.digests:of_{wanted.of}", arguments)
        first = wanted.algorithms[0]
        digest = returned.value["digests"][first]
        if wanted.expect and digest != wanted.expect.lower():
            raise JobError(FailureKind.BAD_INPUT, f"Its {first} is {digest}, and not {wanted.expect}.")
        return Done(products=tuple(made), result=returned.value)
