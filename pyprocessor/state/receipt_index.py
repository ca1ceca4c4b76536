"""What receipts still tell where the journal is missing or behind: which outputs were made, and of what."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from pyprocessor.journal.rows import CachedMedia, JobRow, Made
from pyprocessor.models import OutputFacts
from pyprocessor.publish.receipts import Receipt, matches, read_receipts
from pyprocessor.state.state_folder import StateFolder


def recalled(folder: StateFolder) -> Receipts:
    """All receipts of an output folder. Raises PublishError where they cannot be read."""
    damaged: list[bytes] = []
    root = os.path.dirname(folder.path)
    told = read_receipts(folder.receipts, damaged.append) if os.path.isdir(folder.receipts) else ()
    found = Receipts(told, lies=lambda receipt: matches(receipt, root))
    found.damaged_lines = len(damaged)
    return found


class Receipts:
    """A memory of outputs alone: it knows no jobs. Of several receipts for one output the newest counts whose output
    `lies` under its name, else the newest: the rename that a receipt was written for may never have come."""

    def __init__(self, receipts: Iterable[Receipt], lies: Callable[[Receipt], bool]) -> None:
        self.damaged_lines = 0
        """How many lines among them told nothing."""
        self._newest: dict[bytes, Receipt] = {}
        replaced: dict[bytes, list[Receipt]] = {}
        for receipt in receipts:
            known = self._newest.setdefault(receipt.output, receipt)
            if known is not receipt:
                older, newer = sorted((known, receipt), key=_age)
                self._newest[receipt.output] = newer
                replaced.setdefault(receipt.output, []).append(older)
        for output, older_ones in replaced.items():
            candidates = (self._newest[output], *sorted(older_ones, key=_age, reverse=True))
            self._newest[output] = next(filter(lies, candidates), candidates[0])

    def __len__(self) -> int:
        return len(self._newest)

    def outputs(self) -> Iterable[Made]:
        """All outputs that there are receipts for."""
        return map(_made, self._newest.values())

    def standing(self, output_root: bytes) -> Iterable[Made]:
        """Those that lie under their names as their receipts tell."""
        return (_made(receipt) for receipt in self._newest.values() if matches(receipt, output_root))

    def job(self, _: str) -> JobRow | None:
        return None

    def owner(self, _: bytes) -> JobRow | None:
        return None

    def made(self, output: bytes) -> Made | None:
        receipt = self._newest.get(output)
        return None if receipt is None else _made(receipt)

    def media(self, _: bytes, __: int, ___: int) -> CachedMedia | None:
        return None


def _age(receipt: Receipt) -> float:
    return receipt.written_at


def _made(receipt: Receipt) -> Made:
    """What a receipt tells; what was in the output it does not."""
    facts = OutputFacts(receipt.size_bytes, receipt.mtime_ns, None, 0, 0, 0, None)
    return Made(receipt.output, facts, receipt.source, receipt.profile_fingerprint, receipt.task)
