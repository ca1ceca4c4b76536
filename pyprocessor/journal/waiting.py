"""Which jobs are taken in, which names do they claim, and what waits for what?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pyprocessor.errors import UsageError
from pyprocessor.journal.rows import JobRow, inputs_text, products_text
from pyprocessor.journal.writer import JournalWriter, values_of
from pyprocessor.models import IN_HAND, Job, JobState, Origin, ProductOf, display

_SUBMITTED = {"state": JobState.PENDING, "profile_name": "", "media_seconds": None, "forgive": False, "again": False}
"""What of a job's row does not follow from the job, where nothing else is known of it."""
CANCELLED = "It was cancelled by the user."
NEEDED_NO_MORE = "It is not needed any more."
"""Why the parts of a job are cancelled that is over, and chunks that are asked for otherwise now."""
_ENDED_AS = {
    JobState.FAILED: "failed",
    JobState.QUARANTINED: "was set aside",
    JobState.CANCELLED: "was cancelled",
    JobState.SKIPPED: "was skipped",
}
"""How a job ended that others waited for in vain, as the end of a sentence."""


def params_of(params: object) -> tuple[str, str]:
    """The fingerprint of what jobs are asked to do, and all of it as JSON. Raises TypeError or ValueError."""
    document = json.dumps(params, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(document.encode()).hexdigest()[:32], document


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to take in that no folder holds; `params` is what it is asked to do, as JSON."""

    job: Job
    params: str


class WaitingJobs(JournalWriter):
    """The part of the journal that takes jobs in; each method is a transaction of its own unless it is inside one."""

    def plan(
        self, job: Job, *, media_seconds: float | None, profile_name: str = "", forgive: bool = False
    ) -> JobRow | None:
        """Take a job in, to be done now: as PENDING, or WAITING for others, unless it is in hand; returns its row.

        Where neither inputs nor params changed, one that had ended goes on counting the runs in which it failed, and a
        PENDING one all that is charged to it, unless `forgive` is set. `media_seconds` is the source's duration, None
        if unknown. Returns None, with nothing written, where another job owns the name of one of its products, or a
        folder that it lies in, or something in it; an empty name is no name.
        """
        with self.transaction():
            known = self.job(job.id)
            if known is not None and known.state in IN_HAND:
                return known
            if self.claimed(job) is not None:
                return None
            change = None if known is None else known.change(job.source, job.params_fingerprint)
            anew = known is not None and (change is not None or known.final)
            if known is not None:
                self._write("drop_claims", id=job.id)
            self._enter(
                "insert_job" if known is None else "replan_job" if anew else "refresh_job",
                job,
                state=JobState.WAITING if known is not None and known.state is JobState.WAITING else JobState.PENDING,
                profile_name=profile_name,
                media_seconds=media_seconds,
                forgive=forgive or change is not None,
                again=known is not None and change is None and known.state is JobState.SUCCEEDED,
            )
            for product in job.products:
                self._write("claim_name", id=job.id, name=product.name)
            if known is not None and change is not None:
                text = f"The {change} changed; a job that was {known.state} begins anew."
                self.add_event("replanned", text, job.id)
            elif anew:
                self.add_event("reset", "It is done again.", job.id)
            if anew:
                self._reset_dependents(job.id)
            return self.job(job.id)

    def _enter(self, statement: str, job: Job, **more: object) -> None:
        """Write what a job is to its row, and `more` that differs from what holds of one that is submitted."""
        texts = {
            "inputs": inputs_text(job.inputs),
            "companions": products_text(job.companions),
            "metadata": json.dumps(job.metadata) if job.metadata else "[]",
        }
        values = values_of(job) | values_of(job.source) | values_of(job.cost) | texts
        self._write(statement, **(values | _SUBMITTED | more))

    def predict(self, job: Job) -> bool:
        """Note what a PENDING job is predicted to take; False where it has moved on."""
        return self._hit("predict_job", id=job.id, **values_of(job.cost))

    def remember_found(self, job_id: str, found: str) -> None:
        """Keep what inspecting found in the inputs of a PENDING job of no folder, as JSON."""
        self._write("remember_found", id=job_id, found=found)

    def claimed(self, job: Job) -> bytes | None:
        """The name of another job that stands in the way of one of this job's names."""
        for name in (product.name for product in job.products):
            parts = name.split(b"/")
            above = (b"/".join(parts[:length]) for length in range(len(parts), 0, -1))
            for taken in above:
                owner = self.owner(taken)
                if owner is not None and owner.id != job.id:
                    return taken
            below = self._database.rows("claim_below", {"low": name + b"/", "high": name + b"0", "id": job.id})
            if below:
                return bytes(below[0][0])
        return None

    def submit(self, submissions: Sequence[Submission], again: Collection[str] = ()) -> tuple[str, ...]:
        """Take in jobs that no folder holds, all or none; returns the ids of those that are to be done.

        One that is known and has not changed stays as it is, done, failed or in hand, unless its id is in `again`, or
        it reads what one of these that is to be done makes. Raises UsageError where a job waits for itself by way of
        others, or for one that is neither among these nor in the journal.
        """
        jobs = {given.job.id: given.job for given in submissions}
        edges = {job.id: job.needs for job in jobs.values()}
        with self._database.all_or_none():
            order = list(jobs)
            if any(edges.values()):
                self._add_known_edges(edges, jobs)
                try:
                    order = [found for found in TopologicalSorter(edges).static_order() if found in jobs]
                except CycleError as error:
                    circle = " -> ".join(self._named(found, jobs) for found in error.args[1])
                    raise UsageError(f"These jobs wait for each other, so that none can begin: {circle}.") from None
            for fingerprint, document in {given.job.params_fingerprint: given.params for given in submissions}.items():
                self._write("insert_params", fingerprint=fingerprint, document=document)
            taken: dict[str, None] = {}
            for found in order:
                reads = {given.job_id for given in jobs[found].inputs if isinstance(given, ProductOf)}
                reads -= {needed for needed in reads if needed in jobs and jobs[needed].is_fetch}
                taken |= dict.fromkeys(self._take_in(jobs[found], again=found in again or not reads.isdisjoint(taken)))
            if any(self._database.rows("waits_in_vain", {"id": found}) for found in taken if edges[found]):
                self._cancel_hopeless()
            return tuple(taken)

    def _add_known_edges(self, edges: dict[str, tuple[str, ...]], jobs: dict[str, Job]) -> None:
        """Add what the jobs of the journal that are reached from these wait for. Raises UsageError.

        Where no known job waits for more than before, none can come to wait for itself by way of others.
        """
        to_do = [(job_id, needed) for job_id, needs in edges.items() for needed in needs if needed not in edges]
        if all(self.job(job_id) is None or set(edges[job_id]) <= set(self.needs(job_id)) for job_id in jobs):
            for job_id, needed in to_do:
                self._check_known(job_id, needed, jobs)
            return
        while to_do:
            job_id, needed = to_do.pop()
            if needed in edges:
                continue
            if job_id in jobs:
                self._check_known(job_id, needed, jobs)
            edges[needed] = self.needs(needed)
            to_do += [(needed, further) for further in edges[needed]]

    def _check_known(self, job_id: str, needed: str, jobs: dict[str, Job]) -> None:
        known, job = self.job(needed), jobs[job_id]
        if known is None or (job.tenant and known.tenant not in ("", job.tenant)):
            raise UsageError(f"{self._named(job_id, jobs)} waits for a job that nobody knows: {needed}.")

    def _named(self, job_id: str, jobs: dict[str, Job]) -> str:
        if job_id in jobs:
            return display(jobs[job_id].source.relative)
        row = self.job(job_id)
        return row.name if row is not None else job_id

    def _take_in(self, job: Job, *, again: bool) -> list[str]:
        """Take in a job if it is to be done; returns its id then, and those of jobs that fetch its inputs again."""
        known = self.job(job.id)
        if known is None and not job.products:
            self._enter("insert_job", job)
            fetched = self._fetch_again(self._gone(job.needs))
            if job.needs:
                self.wait_for(job.id, job.needs)
            return [*fetched, job.id]
        same = (
            known is not None
            and known.change(job.source, job.params_fingerprint) is None
            and known.inputs == job.inputs
        )
        if known is not None and same:
            # Children are only taken in again where all that they are made for begins anew: what they left is gone.
            stays = known.final and (job.origin is not Origin.CHILD or job.is_fetch) and not again
            if known.state in IN_HAND or stays or (job.is_fetch and known.priority <= job.priority):
                return []
        elif known is not None and (
            known.state in IN_HAND or any(child.state in IN_HAND for child in self.children(job.id))
        ):
            raise UsageError(f"{known.name} is being worked on as it was; submit it again when that is over.")
        fetched = self._fetch_again(self._gone(job.needs))
        if self.plan(job, media_seconds=None) is None:
            raise UsageError(f"{display(job.source.relative)}: {self.taken(job)}")
        self._write("clear_dependencies", id=job.id, all=not same or (known is not None and known.final))
        if job.needs or (known is not None and known.state is JobState.WAITING):
            self.wait_for(job.id, job.needs)
        return [*fetched, job.id]

    def _gone(self, needs: Iterable[str]) -> list[JobRow]:
        """Return the fetches among these jobs that failed, or left what is gone since all that read it were done."""
        fetches = (row for row in filter(None, map(self.job, needs)) if row.is_fetch and row.final)
        return [row for row in fetches if row.state is not JobState.SUCCEEDED or not self.is_wanted(row.id)]

    def _fetch_again(self, gone: Iterable[JobRow]) -> list[str]:
        """Have inputs fetched again; returns the ids of the jobs that do."""
        return [row.id for row in gone if self.plan(row.job, media_seconds=None, forgive=True) is not None]

    def fetch_for(self, job_id: str, fetch: str) -> list[str]:
        """Have an input fetched again that is gone, and a job wait for that; returns the ids of what is to be done."""
        with self.transaction():
            again = self._fetch_again(filter(None, [self.job(fetch)]))
            self.wait_for(job_id, again, any_end=True)
        return again

    def taken(self, job: Job) -> str:
        """A sentence about the name that another job has, for which `plan` refused this one."""
        name = self.claimed(job)
        assert name is not None
        owner = self.owner(name)
        shown = owner is not None and owner.tenant in ("", job.tenant)
        return f"{display(name)} belongs to {owner.name if owner is not None and shown else 'another job'}."

    def cancel(self, job_id: str, reason: str = CANCELLED) -> bool:
        """Cancel a job that nobody works on, by default for the user; what waits for it is to follow."""
        outcome = {"state": JobState.CANCELLED, "failure": None, "reason": reason}
        return self._hit("finish_waiting_job", id=job_id, already_right=False, failed=False, **outcome)

    def retry(self, job_id: str, *, forgive: bool = True) -> bool:
        """Do a job again that ended without success; with `forgive` also the runs in which it failed are forgotten."""
        with self.transaction():
            gone = self._gone(needs := self.needs(job_id))
            if not self._hit("retry_job", id=job_id, forgive=forgive):
                return False
            self._reset_dependents(job_id)
            for child in self.children(job_id):
                if child.id in needs:
                    self.retry(child.id, forgive=forgive)
            self._fetch_again(gone)
            if self._database.rows("lacks", {"id": job_id}):
                self._write("hold_job", id=job_id)
                self._cancel_hopeless()
        return True

    # ------------------------------------------------------------ what waits for what

    def wait_for(self, job_id: str, needs: Iterable[str], *, any_end: bool = False) -> None:
        """Have a job wait for others: WAITING until all of them have succeeded, or ended `any_end` way.

        Every one of them is in the journal.
        """
        with self.transaction():
            for needed in needs:
                self._write("insert_dependency", id=job_id, needs=needed, any_end=any_end)
            self._write("hold_job", id=job_id)
            if not self._database.rows("lacks", {"id": job_id}):
                self._hit("release_job", id=job_id)

    def undivide(self, job_id: str) -> None:
        """Have a folder's job wait no more for those that it was made of."""
        with self.transaction():
            self._write("clear_dependencies", id=job_id, all=True)
            self._hit("release_job", id=job_id)

    def follow(self, job_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """After a job has ended: release what waited for it, or cancel that; returns the ids of both."""
        if not self._database.rows("is_needed", {"id": job_id}):
            return (), ()
        with self.transaction():
            row = self.job(job_id)
            assert row is not None
            cancelled: list[str] = []
            if row.state in _ENDED_AS and not (row.state is JobState.SKIPPED and row.already_right):
                cancelled = [str(found) for (found,) in self._database.rows("waiting_below", {"id": job_id})]
                self._cancel_for(row, cancelled)
            released: dict[str, None] = {}
            for ended in (job_id, *cancelled):
                for (dependent,) in self._database.rows("released", {"id": ended}):
                    if self._hit("release_job", id=dependent):
                        released[dependent] = None
        return tuple(released), tuple(cancelled)

    def _reset_dependents(self, job_id: str) -> None:
        """What was cancelled for a job waits again, unless it waits for another one that failed, too."""
        if self._write("reset_dependents", id=job_id).rowcount:
            self._cancel_hopeless()

    def _cancel_hopeless(self) -> None:
        while found := self._database.rows("hopeless", {}):
            dependent, needed, root = found[0]
            cause = self.job(root or needed)
            assert cause is not None
            self._cancel_for(cause, [dependent])

    def _cancel_for(self, cause: JobRow, dependents: Iterable[str]) -> None:
        reason = f"It waited for {cause.name}, which {_ENDED_AS[cause.state]}."
        for dependent in dependents:
            self._write("cancel_dependent", id=dependent, cause=cause.id, reason=reason)
