"""What do receipts say was made, where the journal is missing or behind?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import groupby

from pyprocessor.journal.rows import CachedMedia, JobRow, Made
from pyprocessor.models import OutputFacts
from pyprocessor.publish.receipts import Receipt, matches, read_receipts
from pyprocessor.state.state_folder import StateFolder


class Receipts:
    """The newest receipt of each output, if possible one that matches what lies there. Raises PublishError.

    It can stand in for a journal that knows no jobs.
    """

    def __init__(self, folder: StateFolder) -> None:
        damaged: list[bytes] = []
        self._root = os.path.dirname(folder.path)
        self._by_output: dict[bytes, Receipt] = {}
        receipts = read_receipts(folder.receipts, damaged.append) if os.path.isdir(folder.receipts) else ()
        known = [receipt for receipt in receipts if receipt.inputs]  # the journal has one source for each output
        for output, group in groupby(sorted(known, key=lambda r: (_output(r), -r.written_at)), _output):
            newest, *older = group
            if older:
                newest = next((receipt for receipt in (newest, *older) if matches(receipt, self._root)), newest)
            self._by_output[output] = newest
        self.damaged_lines = len(damaged)

    def outputs(self) -> Iterable[Made]:
        return map(_made, self._by_output.values())

    def standing(self) -> Iterable[Made]:
        """Return those that lie under their names as their receipts say."""
        return (_made(receipt) for receipt in self._by_output.values() if matches(receipt, self._root))

    def job(self, _: str) -> JobRow | None:
        return None

    def owner(self, _: bytes) -> JobRow | None:
        return None

    def made(self, output: bytes) -> Made | None:
        receipt = self._by_output.get(output)
        return None if receipt is None else _made(receipt)

    def media(self, _: bytes, __: int, ___: int) -> CachedMedia | None:
        return None


def _output(receipt: Receipt) -> bytes:
    return receipt.main[0].name


def _made(receipt: Receipt) -> Made:
    product, seal = receipt.main
    facts = OutputFacts(*seal, None, 0, 0, 0, None)
    return Made(product.name, facts, receipt.inputs[0], receipt.params_fingerprint, receipt.task)
