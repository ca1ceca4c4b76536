"""How does a job get a copy of what another one made of the same content? The worker decides whether it may.

Larger sources are compared byte by byte, as only samples of them are known; products have to lie there as they were
made. Whatever is in the way is a failure of this attempt, after which the job is done as if there were nothing to copy.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Reusable, display
from pyprocessor.publish.seals import seal_at
from pyprocessor.tasks.base import Call, Done, Made, Returned, Steps, Work
from pyprocessor.workers.content import WHOLE_BYTES, is_sampled, same_bytes

COPY = "copy"
"""The affinity of such jobs: one process does them one after the other."""
_AT_ONCE_BYTES = 1 << 30
_OF_THE_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_Pair = tuple[str, str, tuple[int, int]]
"""The paths of an old file and of a new one, and the seal of the old one."""


def copied(reused: Reusable, work: Work, output_root: bytes) -> Steps:
    """Yield the steps of a job that gets a copy. Raises JobError where the result cannot be copied."""
    compared = [
        (os.fsdecode(old.path), os.fsdecode(new.path), (old.size_bytes, old.mtime_ns))
        for old, new in zip(reused.sources, work.inputs, strict=True)
        if is_sampled(new)
    ]
    made = {product.role: (product, seal) for product, seal in reused.products}
    copies, products = [], []
    for place, product in enumerate(work.products):
        old, seal = made[product.role]
        name = f"{work.name}.{place}"
        copies.append((os.fsdecode(os.path.join(output_root, old.name)), os.fsdecode(work.path(name)), seal))
        products.append(Made(name, product.role))
    arguments: dict[str, Any] = {"sources": compared, "products": copies}
    if compared or sum(size for _, _, (size, _) in copies) > WHOLE_BYTES:
        returned: Returned = yield Call(f"{__name__}:copy", arguments, affinity=COPY)
        problem = returned.value
    else:  # takes less than a call
        problem = copy(**arguments)
    if problem:
        raise JobError(FailureKind.INFRASTRUCTURE, problem)
    facts = reused.facts
    if facts is not None:
        facts = replace(facts, notes=(*facts.notes, f"Copied from what was made of {reused.name}, the same content."))
    return Done(facts, tuple(products), json.loads(reused.result) if reused.result is not None else None)


def copy(sources: Sequence[_Pair], products: Sequence[_Pair]) -> str:
    """Copy products, the old file of each pair to the new one, if the two sources of each pair hold the same bytes.

    Each old file has to have its seal. Returns a sentence that says why nothing is copied, else an empty text. Copies
    share blocks with the old files at most where the file system copies these on a write.
    """
    try:
        for old, new, seal in sources:
            found = os.stat(old)
            if (found.st_size, found.st_mtime_ns) != tuple(seal):
                return f"{display(os.fsencode(old))} is not as it was."
            if not same_bytes(old, new):
                return f"{display(os.fsencode(old))} differs from it in places of which no sample is taken."
        for old, new, seal in products:
            if seal_at(os.fsencode(old)) != tuple(seal):
                return f"{display(os.fsencode(old))} is not as it was made."
            _copy_file(old, new)
            if seal_at(os.fsencode(old)) != tuple(seal) or not same_bytes(old, new):
                return f"{display(os.fsencode(old))} changed while it was copied."
    except OSError as error:
        if error.errno in _OF_THE_DISK:
            raise
        return f"What is to be compared or copied cannot be read ({error.strerror})."
    return ""


def _copy_file(old: str, new: str) -> None:
    """Copy a file; blocks are shared where the file system can do that."""
    with open(old, "rb") as reading, open(new, "xb") as writing:
        try:
            while os.copy_file_range(reading.fileno(), writing.fileno(), _AT_ONCE_BYTES):
                pass
        except (OSError, AttributeError) as error:  # as some file systems, and macOS, have no such thing
            if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
                raise
            shutil.copyfileobj(reading, writing, 1 << 20)  # goes on where that ended
