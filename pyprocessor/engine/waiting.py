"""Jobs that wait for a batch process: those that are ready, those that are tried again later, those to be run alone."""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass

from pyprocessor.plan.ready import Entry, Ready


@dataclass(frozen=True, slots=True)
class Again:
    """The job goes to the queue after so many seconds.

    `alone` says that it is then run in a process of its own with nothing beside it: it may have killed its process or
    the run, or memory was short for it again and again.
    """

    entry: Entry
    delay_seconds: float = 0.0
    alone: bool = False


class Waiting:
    """`len` counts all jobs that wait, whether they could start now or not."""

    def __init__(self) -> None:
        self.ready = Ready()
        self._late: list[Again] = []
        self._retries: list[tuple[float, str, Again]] = []
        self._alone: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self.ready) + len(self._alone) + len(self._retries) + len(self._late)

    @property
    def late(self) -> int:
        """How many of them would not be done in time, and are left for another run."""
        return len(self._late)

    def set_aside(self, entry: Entry, *, alone: bool = False) -> None:
        """Leave a job for another run: it would not be done in time."""
        self._late.append(Again(entry, alone=alone))

    def reconsider(self) -> None:
        """Queue again what was set aside: predictions have changed."""
        for again in self._late:
            if again.alone:
                self._alone.append(again.entry)
            else:
                self.ready.put_back(again.entry)
        self._late.clear()

    @property
    def next_due(self) -> float:
        """Monotonic time at which the next retry is due; infinity without one."""
        return self._retries[0][0] if self._retries else math.inf

    def take_in(self, again: Again) -> None:
        """Take a job in that was found."""
        if again.alone:
            self._alone.append(again.entry)
        else:
            self.ready.add(again.entry)

    def put_back(self, again: Again | None, now: float) -> None:
        """Take a job in again; None is a job that is not to come back."""
        if again is None:
            return
        if again.delay_seconds > 0:
            heapq.heappush(self._retries, (now + again.delay_seconds, again.entry.job_id, again))
        elif again.alone:
            self._alone.append(again.entry)
        else:
            self.ready.put_back(again.entry)

    def take_up_retries(self, now: float) -> None:
        """Queue the retries that are due."""
        while self._retries and self._retries[0][0] <= now:
            again = heapq.heappop(self._retries)[2]
            if again.alone:
                self._alone.append(again.entry)
            else:
                self.ready.put_back(again.entry)

    def take_alone(self) -> Entry | None:
        """The next job that is to run alone."""
        return self._alone.popleft() if self._alone else None
