"""What was made according to the receipts, where the journal is missing or behind?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import groupby

from pyprocessor.journal.rows import CachedMedia, JobRow, Made
from pyprocessor.models import OutputFacts, Source
from pyprocessor.models.products import Product, Seal
from pyprocessor.publish.receipts import Receipt, matches, read_receipts
from pyprocessor.state.state_folder import StateFolder


class Receipts:
    """The newest receipt of each product, if possible one that matches what lies there. Raises PublishError.

    It can stand in for a journal that knows no jobs.
    """

    def __init__(self, folder: StateFolder) -> None:
        damaged: list[bytes] = []
        self._root = os.path.dirname(folder.path)
        self._by_output: dict[bytes, tuple[Receipt, Product, Seal]] = {}
        receipts = read_receipts(folder.receipts, damaged.append) if os.path.isdir(folder.receipts) else ()
        found = [(receipt, product, seal) for receipt in receipts for product, seal in receipt.products]
        for name, group in groupby(sorted(found, key=lambda e: (e[1].name, -e[0].written_at)), lambda e: e[1].name):
            newest, *older = group
            if older:
                newest = next((entry for entry in (newest, *older) if matches(entry[0], self._root)), newest)
            self._by_output[name] = newest
        self.damaged_lines = len(damaged)

    def outputs(self) -> Iterable[Made]:
        return (_made(*entry) for entry in self._by_output.values())

    def standing(self) -> Iterable[Made]:
        """Return those that lie under their names as when their receipts were written."""
        return (_made(*entry) for entry in self._by_output.values() if matches(entry[0], self._root))

    def job(self, _: str) -> JobRow | None:
        return None

    def owner(self, _: bytes) -> JobRow | None:
        return None

    def made(self, output: bytes) -> Made | None:
        entry = self._by_output.get(output)
        return None if entry is None else _made(*entry)

    def media(self, _: bytes, __: int, ___: int) -> CachedMedia | None:
        return None

    def content(self, _: bytes, __: int, ___: int) -> str:
        return ""


def _made(receipt: Receipt, product: Product, seal: Seal) -> Made:
    source = receipt.inputs[0] if receipt.inputs else Source(b"", b"", 0, 0)
    return Made(product.name, OutputFacts(*seal), source, receipt.params_fingerprint, receipt.task)
