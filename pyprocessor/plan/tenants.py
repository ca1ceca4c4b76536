"""Which tenant is next, and which may have no more for now? By its weight and the CPU-seconds that its jobs took.

A tenant is charged what a job is predicted to take when the job is taken from the queue, more while it runs where it
turns out to take more, and what it took once an attempt has ended. The one that was given least by its weight is next.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pyprocessor.errors import UsageError
from pyprocessor.jobs.priorities import Band, Standing, standing
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.models import BatchSettings, TenantSettings, UnknownTenants
from pyprocessor.models.wording import count, one_line

_NO_LIMITS = TenantSettings()
_Place = tuple[Standing, float, str, Band]
"""Where the jobs of one band and tenant stand in the order, with what the tenant was given so far by its weight."""


def named(tenant: str) -> str:
    """The tenant for a sentence."""
    return f"the tenant {one_line(tenant)}" if tenant else "the jobs without a tenant"


def unknown(tenant: str, settings: BatchSettings) -> str | None:
    """A sentence where jobs of this tenant are refused because it is not listed."""
    listed = [name for name, _ in settings.tenants]
    if not listed or settings.unknown_tenants is UnknownTenants.ALLOW or tenant in listed:
        return None
    what = f"its tenant {one_line(tenant)} is not listed" if tenant else "it names no tenant"
    known = ", ".join(one_line(name) or '""' for name in listed[:20])
    return f"{what} in `batch_processing.tenants`, and others are refused; those listed are {known}."


def refuse(tenants: Iterable[str], settings: BatchSettings, waiting: Callable[[str], int]) -> None:
    """Raise UsageError where one of these jobs that are submitted, each given by its tenant, may not be taken in.

    `waiting` says how many jobs of a tenant were submitted before and have not begun.
    """
    for tenant, more in Counter(tenants).items():
        if why := unknown(tenant, settings):
            raise UsageError(f"A job is refused: {why}")
        most = dict(settings.tenants).get(tenant, _NO_LIMITS).max_waiting
        if most is not None and (before := waiting(tenant)) + more > most:
            raise UsageError(
                f"{more:,} more are refused: of {named(tenant)} {most:,} may wait at most (`max_waiting`), and "
                f"{before:,} do; submit them once fewer wait."
            )


@dataclass(slots=True)
class _Account:
    """What one tenant has of its limits."""

    limits: TenantSettings
    jobs: int = 0
    """In hand."""
    claimed: float = 0.0
    """CPU-seconds that these are predicted to take."""
    used: float = 0.0
    """CPU-seconds that attempts took in this run."""

    @property
    def spent(self) -> bool:
        """Whether it has used all that it may in this run."""
        return self.limits.max_cpu_seconds is not None and self.used >= self.limits.max_cpu_seconds


class Tenants:
    """What the tenants of one run have in hand and have used, in whichever queue."""

    def __init__(self, settings: BatchSettings) -> None:
        self._listed = dict(settings.tenants)
        self._accounts: dict[str, _Account] = {}

    def account(self, tenant: str) -> _Account:
        if tenant not in self._accounts:
            self._accounts[tenant] = _Account(self._listed.get(tenant, _NO_LIMITS))
        return self._accounts[tenant]

    def limited(self, tenant: str) -> bool:
        """Whether it has limits that keep jobs from starting."""
        limits = self._listed.get(tenant, _NO_LIMITS)
        return limits.max_jobs is not None or limits.max_cpu_seconds is not None

    def spent(self, tenant: str) -> bool:
        """Whether its jobs are left for another run."""
        return self.limited(tenant) and self.account(tenant).spent

    def shortage(self, tenant: str) -> str:
        """Why no job of a tenant may start now, as the end of a sentence; empty where one may."""
        if not self.limited(tenant):
            return ""
        account, limits = self.account(tenant), self.account(tenant).limits
        if limits.max_jobs is not None and account.jobs >= limits.max_jobs:
            return f"{named(tenant)} may have {limits.max_jobs} in hand at once, and {account.jobs} are"
        most = limits.max_cpu_seconds
        if most is None or account.used + account.claimed < most:
            return ""
        running = f", and {account.claimed:,.0f} more for what is in hand" if account.jobs else ""
        return f"{named(tenant)} may use {most:,.0f} CPU-seconds in a run, and has used {account.used:,.0f}{running}"

    def note(self, tenant: str, left: int) -> str:
        """A sentence about a tenant that has used all it may, and so many jobs of it that wait."""
        account = self.account(tenant)
        return (
            f"Of {named(tenant)} nothing more is started in this run: of {account.limits.max_cpu_seconds or 0:,.0f} "
            f"CPU-seconds {account.used:,.0f} are used, and {count(left, 'job')} wait for the next run."
        )


class _Charged(NamedTuple):
    """What the tenant of a job in hand is charged for it; `excess_before` is that tenant's when the job was taken."""

    tenant: str
    cpu_seconds: float
    excess_before: float


class TenantOrder:
    """In which order the jobs of one queue's bands and tenants stand."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._places: list[_Place] = []
        """In order."""
        self._bands: defaultdict[str, set[Band]] = defaultdict(set)
        """Of the places of each tenant."""
        self._given: dict[str, float] = {}
        """CPU-seconds divided by the weight."""
        self._charged: dict[str, _Charged] = {}
        """By job in hand."""
        self._excess: defaultdict[str, float] = defaultdict(float)
        """By how many CPU-seconds the jobs of each tenant took more than was charged when they were taken."""
        self.period = 0
        self._last_level = 0.0
        """What the tenant had been given that the last job was taken from."""
        self._newcomers: dict[str, float] = {}
        """Tenants that had nothing and began to wait while others had something, with what they were given before."""

    def __iter__(self) -> Iterator[tuple[Band, str]]:
        """The bands and tenants in order, without those that may have no more for now."""
        return ((band, tenant) for _, _, tenant, band in self._places if not self._tenants.shortage(tenant))

    def begin(self, band: Band, tenant: str) -> None:
        """Jobs of this band and tenant begin to wait. A tenant that was idle starts level with the least served one."""
        if not self._bands[tenant]:
            before = self._given.get(tenant, 0.0)
            self._given[tenant] = max(self._level(standing(band, self.period)), before)
            if (self._places or self._charged) and not self._tenants.account(tenant).jobs:
                self._newcomers[tenant] = before
        self._bands[tenant].add(band)
        bisect.insort(self._places, self._place(band, tenant))

    def end(self, band: Band, tenant: str) -> None:
        """No more of this band and tenant wait."""
        del self._places[bisect.bisect_left(self._places, self._place(band, tenant))]
        self._bands[tenant].remove(band)

    @property
    def shared(self) -> bool:
        """Whether jobs of several tenants wait."""
        return len({tenant for _, _, tenant, _ in self._places}) > 1

    @property
    def newcomers(self) -> bool:
        """Whether tenants have come since the last `admit`."""
        return bool(self._newcomers)

    def admit(self) -> None:
        """Set newcomers level again, and first among equals: others were refunded what was taken back from them."""
        newcomers = {name: at for name, at in self._newcomers.items() if not self._tenants.account(name).jobs}
        others = any(tenant not in newcomers for _, _, tenant, _ in self._places)
        for tenant, before in newcomers.items():
            if others and self._bands[tenant]:
                first = min(standing(band, self.period) for band in self._bands[tenant])
                self._set(tenant, max(before, math.nextafter(self._level(first, newcomers), -math.inf)))
        self._newcomers.clear()

    def _level(self, wanted: Standing, without: Container[str] = ()) -> float:
        """Return what the least served tenant was given, of those that stand as wanted, else of those that are next.

        Tenants whose turn has not come, or that are at a limit, do not count: one that began as low as they are would
        be served alone until it had as much as those that it runs beside.
        """
        places = [p for p in self._places if p[2] not in without and not self._tenants.shortage(p[2])]
        beside = [given for at, given, _, _ in places if at == wanted] or [given for _, given, _, _ in places[:1]]
        return min(beside, default=self._last_level)

    def take(self, job: QueuedJob) -> None:
        """Charge a tenant for a job that is taken from the queue."""
        self._charged[job.job_id] = _Charged(job.tenant, job.cpu_seconds, self._excess[job.tenant])
        account = self._tenants.account(job.tenant)
        account.jobs += 1
        account.claimed += job.cpu_seconds
        # One that runs alone is of a tenant that may never have waited here.
        self._last_level = self._given.setdefault(job.tenant, self._last_level)
        self._charge(job.tenant, job.cpu_seconds)

    def excess_since(self, job_id: str) -> float:
        """Return the CPU-seconds that its tenant's jobs took beyond their charges since this one was taken."""
        charged = self._charged.get(job_id)
        return self._excess[charged.tenant] - charged.excess_before if charged is not None else 0.0

    def refund(self, job_id: str) -> None:
        """Charge nothing for a job that was asked back; if it begins all the same, `charge` corrects that."""
        self._change(job_id, 0.0)

    def charge(self, job_id: str, cpu_seconds: float) -> None:
        """Charge for a job in hand what it is expected to take by now; nothing where it is not of this queue."""
        charged = self._charged.get(job_id)
        if charged is not None:
            self._excess[charged.tenant] += cpu_seconds - charged.cpu_seconds
            self._change(job_id, cpu_seconds)

    def _change(self, job_id: str, cpu_seconds: float) -> None:
        charged = self._charged.get(job_id)
        if charged is not None and cpu_seconds != charged.cpu_seconds:
            more = cpu_seconds - charged.cpu_seconds
            self._charged[job_id] = charged._replace(cpu_seconds=cpu_seconds)
            self._tenants.account(charged.tenant).claimed += more
            self._charge(charged.tenant, more)

    def settle(self, job_id: str, cpu_seconds: float) -> str | None:
        """Charge what an attempt took, not what was predicted; returns the tenant, None where nothing was charged.

        A job that was taken and not begun took nothing.
        """
        charged = self._charged.pop(job_id, None)
        if charged is None:
            return None
        account = self._tenants.account(charged.tenant)
        account.jobs -= 1
        account.claimed = account.claimed - charged.cpu_seconds if account.jobs else 0.0
        account.used += cpu_seconds
        if cpu_seconds > 0:
            self._excess[charged.tenant] += cpu_seconds - charged.cpu_seconds
        self._charge(charged.tenant, cpu_seconds - charged.cpu_seconds)
        return charged.tenant

    def _charge(self, tenant: str, cpu_seconds: float) -> None:
        """Note that a tenant was given so much more."""
        weight = self._tenants.account(tenant).limits.weight
        self._set(tenant, self._given.get(tenant, 0.0) + cpu_seconds / weight)

    def _set(self, tenant: str, given: float) -> None:
        """Note what a tenant was given by its weight, and move its places."""
        before = [self._place(band, tenant) for band in self._bands[tenant]]
        self._given[tenant] = given
        for place in before:
            del self._places[bisect.bisect_left(self._places, place)]
            bisect.insort(self._places, (place[0], self._given[tenant], tenant, place[3]))

    def _place(self, band: Band, tenant: str) -> _Place:
        return standing(band, self.period), self._given.get(tenant, 0.0), tenant, band

    def go_on(self, period: int) -> None:
        """Go on to a period, in which jobs that wait since an earlier one have risen (`jobs.priorities`)."""
        if period != self.period:
            self.period = period
            self._places = sorted(self._place(band, tenant) for _, _, tenant, band in self._places)
