"""How is a progress function called that may be a coroutine, may fail, and may never return?"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable

from pyprocessor.taskqueue.records import BatchProgress

_log = logging.getLogger("pyprocessor")
ProgressCallback = Callable[[BatchProgress], Awaitable[object] | object]


class Telling:
    """Calls it while other coroutines go on, once at a time. At the end it has `patience_seconds` to return."""

    def __init__(self, callback: ProgressCallback | None, patience_seconds: float) -> None:
        self._callback = callback
        self._patience_seconds = patience_seconds
        self._call: asyncio.Future[None] | None = None

    def begin(self, progress: BatchProgress) -> None:
        """Call it, unless it has not returned from the call before."""
        _log.info("%s", progress)
        if self._callback is not None and (self._call is None or self._call.done()):
            self._call = asyncio.ensure_future(_called(self._callback, progress))

    async def finish(self, progress: BatchProgress) -> None:
        """Call it a last time."""
        await self._returned()
        self.begin(progress)
        await self._returned()

    def close(self) -> None:
        """Cancel the call that is on."""
        if self._call is not None:
            self._call.cancel()

    async def _returned(self) -> None:
        if self._call is not None:
            await asyncio.wait([self._call], timeout=self._patience_seconds)
            self._call.cancel()
            await asyncio.wait([self._call], timeout=self._patience_seconds)


async def _called(callback: ProgressCallback, progress: BatchProgress) -> None:
    try:
        answer = callback(progress)
        if inspect.isawaitable(answer):
            await answer
    except Exception:  # noqa: BLE001 - a caller's function must not end the run
        _log.exception("The function given as progress_callback failed; the queue goes on.")
