"""How do arrays become one, and the results of a batch those of its items?"""

from __future__ import annotations

import math
import sys
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

try:
    import numpy as np
except ImportError as error:
    text = "pyprocessor.microbatch needs NumPy, which is not installed; pip install 'pyprocessor[frames]'."
    raise ImportError(text) from error

Array = np.ndarray[Any, np.dtype[Any]]
_MOST_BUFFERS = 8
"""That are kept: one for each shape and dtype that came last."""
_OWN_REFERENCES = 3
"""To a buffer that nobody uses, while they are counted: the dictionary's, a variable, an argument."""


def kind_of(item: Any) -> Hashable:
    """What arrays of one batch have in common; None of what goes alone.

    That is all but NumPy's own arrays: of a subclass (a masked array) stacking would lose what it adds.
    """
    return (item.shape, item.dtype) if type(item) is np.ndarray else None


def row_kind_of(item: Any) -> Hashable:
    """The same where each array is several rows; one without a first axis goes alone."""
    return (item.shape[1:], item.dtype) if type(item) is np.ndarray and item.ndim else None


class Stacker:
    """Puts the arrays of a batch into one, in a buffer that the next batch of the kind is put into, too."""

    def __init__(self, *, reuse: bool, rows: bool) -> None:
        self._buffers: OrderedDict[Hashable, Array] | None = OrderedDict() if reuse else None
        self._rows = rows

    def stack(self, items: Sequence[Array], kind: Hashable, count: int) -> Array:
        """Return one array of `count` rows. It may be a view of the buffer, valid until the next call."""
        shape, dtype = items[0].shape[1:] if self._rows else items[0].shape, items[0].dtype
        whole = self._buffer(kind, count, shape, dtype)[:count]
        if self._rows:
            np.concatenate(items, out=whole)
        elif shape:
            # Along the first axis of the items, which lies the same in memory and is a single call.
            np.concatenate(items, out=whole.reshape(count * shape[0], *shape[1:]))
        else:
            whole[:] = items
        return whole

    def let_go(self, kind: Hashable) -> None:
        """Do not use the buffer of a kind again if anything refers to it: a result may, in ways nobody can look for."""
        buffer = self._buffers.get(kind) if self._buffers is not None else None
        if self._buffers is not None and sys.getrefcount(buffer) > _OWN_REFERENCES:
            self._buffers.pop(kind, None)

    def _buffer(self, kind: Hashable, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        if self._buffers is None:
            return np.empty((count, *shape), dtype)
        buffer = self._buffers.get(kind)
        if buffer is None or len(buffer) < count:
            buffer = self._buffers[kind] = np.empty((count, *shape), dtype)
            while len(self._buffers) > _MOST_BUFFERS:
                self._buffers.popitem(last=False)
        self._buffers.move_to_end(kind)
        return buffer


def row_bytes(item: Any, *, rows: bool) -> int:
    """Bytes of what an array adds to a batch, of one row where it is several; 1 for what is no array."""
    if type(item) is not np.ndarray:
        return 1
    return max(1, math.prod(item.shape[1:]) * item.itemsize if rows else item.nbytes)


def results_of(returned: Any, batch: Array, rows: Sequence[int] | None) -> list[Any]:
    """Return the result of each item of a batch, none of which shares memory with the array that the batch was.

    `rows` are the numbers of rows of the items where each is several: then an item's result is a slice.
    Raises TypeError, ValueError where `returned` is no sequence of as many results as the batch has rows.
    """
    if not isinstance(returned, list | tuple | np.ndarray) or (isinstance(returned, np.ndarray) and not returned.ndim):
        raise TypeError(
            f"process_func has to return a list, a tuple or an array; it returned {type(returned).__name__}."
        )
    if len(returned) != len(batch):
        raise ValueError(f"process_func returned {len(returned)} results for {len(batch)} items.")
    own = _apart(returned, batch)
    if rows is None:
        return list(own)
    ends = np.cumsum(rows).tolist()
    return [own[end - count : end] for end, count in zip(ends, rows, strict=True)]


def _apart(value: Any, batch: Array) -> Any:
    """Return a value, with arrays in it copied where they may share memory with the batch."""
    if isinstance(value, np.ndarray):
        return value.copy() if np.may_share_memory(value, batch) else value
    if type(value) in (list, tuple):
        return type(value)(_all_apart(value, batch))
    if type(value) is dict:
        return dict(zip(value, _all_apart(value.values(), batch), strict=True))
    return value


def _all_apart(values: Iterable[Any], batch: Array) -> Iterable[Any]:
    return [_apart(value, batch) if isinstance(value, np.ndarray | list | tuple | dict) else value for value in values]
