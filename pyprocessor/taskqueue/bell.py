"""How does a coroutine wait for what another thread does?"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable


class Bell:
    """Wakes coroutines of any event loop; `ring` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    async def until(self, state: Callable[[], bool]) -> None:
        """Wait until the state holds, which is looked at after each ring."""
        loop = asyncio.get_running_loop()
        while not state():
            woken: asyncio.Future[None] = loop.create_future()
            with self._lock:
                self._waiting.append((loop, woken))
            if state():  # it may have changed between the first look and the entry in the list
                return
            await woken

    def ring(self) -> None:
        """Have all that wait look again."""
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for loop, woken in waiting:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(_wake, woken)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
