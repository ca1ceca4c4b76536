"""What belongs to one attempt at a job: the task's steps, the process of the step that runs, and what was made."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

from pyprocessor.errors import FailureKind, JobError, PublishError, UsageError
from pyprocessor.errors.errnos import UNREACHABLE
from pyprocessor.models import OutputFacts, Source, Usage, display
from pyprocessor.models.os_errors import classify_os_error
from pyprocessor.models.products import MAIN, Intent, Product, Seal
from pyprocessor.models.run import RunRequest
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.grants import discard_displaced, publish_all
from pyprocessor.publish.kept import answers_path
from pyprocessor.publish.partials import Anchor, discard, discard_attempts, persist_intent, seal
from pyprocessor.publish.publish import naming
from pyprocessor.publish.receipts import Receipt, ReceiptWriter
from pyprocessor.publish.seals import seal_at
from pyprocessor.state.state_folder import write_refused
from pyprocessor.system.child_process import ChildProcess
from pyprocessor.tasks.base import MOST_RESULT_BYTES, Done, Made, Step, Steps, Work
from pyprocessor.tasks.registry import task
from pyprocessor.workers.copying import copied
from pyprocessor.workers.lease import Lease
from pyprocessor.workers.messages import Params, WorkerSetup, WorkItem

_NO_SOURCE = Source(b"/", b"/", 0, 0)
"""Stands for the source of a job without inputs: its products stay in the output folder, wherever links lead."""


@dataclass(slots=True, eq=False)
class Attempt:
    """One job being done. `facts` are of its main product once it is sealed, `anchor` is the partials folder."""

    item: WorkItem
    anchor: Anchor
    steps: Steps
    began: float
    step: Step | None = None
    run: ChildProcess[Any] | None = None
    """The process of its step: an ffmpeg of its own, or one that makes calls, maybe of others at the same time."""
    alone: bool = False
    """Whether its call is made by a process of its own, since one that it shared has died."""
    thrown: Exception | None = None
    """The error of its last call that failed, as it was raised in the task."""
    reported: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    facts: OutputFacts | None = None
    intents: tuple[Intent, ...] = ()
    result: str = "null"
    """JSON."""
    killed: bool = False
    shed: bool = False
    """Its step was killed to free memory."""
    kept: bool = False
    """Whether what it made stays among the partials, for the next run to publish."""
    transcript: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, item: WorkItem, request: RunRequest, anchor: Anchor) -> Attempt:
        """Begin an attempt at the item, in a run that was asked for so."""
        work = Work(
            item.job_id,
            request.profile if item.params is Params.OF_THE_RUN else item.params,
            item.inputs,
            item.found,
            item.threads,
            anchor.path,
            item.partial,
            item.products,
            item.children,
            item.backend,
        )
        made = _steps(item.task, work) if item.reused is None else copied(item.reused, work, request.output)
        return cls(item, anchor, made, time.monotonic())

    @property
    def name(self) -> str:
        """What it is called where people read of it."""
        if self.item.inputs:
            return display(self.item.inputs[0].relative)
        return display(self.item.products[0].name) if self.item.products else f"{self.item.task} {self.item.job_id}"

    @property
    def source(self) -> Source:
        return self.item.inputs[0] if self.item.inputs else _NO_SOURCE

    def step_ended(self, cpu_seconds: float, peak_memory_bytes: int, printed: str) -> None:
        """Add what a step took, and keep what it printed."""
        self.run = None
        self.cpu_seconds += cpu_seconds
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory_bytes)
        self.transcript.append(printed)

    def usage(self) -> Usage:
        return Usage(time.monotonic() - self.began, self.cpu_seconds, self.peak_memory_bytes)

    @property
    def seconds_left(self) -> float:
        """How long its next step may take."""
        limits = self.item.limits
        left = self.began + limits.attempt_seconds - time.monotonic()
        return max(0.0, min(limits.wall_limit_seconds, left))

    def inputs_unchanged(self, *, where_gone: bool) -> bool:
        """Return whether all inputs are still what was planned; `where_gone` stands for one that cannot be read."""
        for source in self.item.inputs:
            try:
                now = os.stat(source.path)
            except OSError:
                if not where_gone:
                    return False
            else:
                if (now.st_size, now.st_mtime_ns) != (source.size_bytes, source.mtime_ns):
                    return False
        return True

    def finish(self, done: object, output_root: bytes) -> None:
        """Check what the task answered (raises JobError) and bring its products to the disk, not yet named."""
        if not isinstance(done, Done):
            raise self._wrong(f"returned {type(done).__name__} where a Done was expected")
        self.result = self._as_json(done.result)
        planned = {product.role: product for product in self.item.products}
        claimed = [(made, self._claimed(made, planned)) for made in done.products]
        if MAIN in planned or (claimed and all(product.role != MAIN for _, product in claimed)):
            raise self._wrong("ended without its main product")
        self.intents = tuple(
            Intent(product, made.temporary, seal(self._path(made.temporary)), _before(output_root, product))
            for made, product in claimed
        )
        main = next((intent for intent in self.intents if intent.product.role == MAIN), None)
        if main is not None:
            facts = done.facts or OutputFacts(*main.seal)
            self.facts = replace(facts, size_bytes=main.seal[0], mtime_ns=main.seal[1])

    def publish(
        self, setup: WorkerSetup, receipts: ReceiptWriter, lease: Lease, allowed: frozenset[bytes]
    ) -> tuple[OutputFacts, bool]:
        """Give the sealed products their names, once intent and receipt are on the disk.

        What lies under the `allowed` names may be replaced. Returns the facts of the main product, and whether anything
        that was replaced is to be discarded once the journal has that all was published. Raises LeaseOver, and
        publishes nothing, where the engine may have given the job to another worker.
        """
        facts, item = self.facts, self.item
        assert facts is not None
        self.anchor.check()
        persist_intent(setup.journal_log)
        bounds = Bounds(setup.request.output, self.source, setup.request.folders)
        products = tuple((intent.product, intent.seal) for intent in self.intents)
        receipts.append(Receipt(products, item.inputs, item.fingerprint, item.task, item.token))
        lease.check()
        placed = publish_all(self.intents, partials=self.anchor.path, bounds=bounds, allowed=allowed)
        with contextlib.suppress(PublishError):  # the next run tries again
            discard(answers_path(self.anchor.path, item.job_id))
        size_bytes, mtime_ns = placed[-1].seal
        displaced = any(product.displaced for product in placed)
        return replace(facts, size_bytes=size_bytes, mtime_ns=mtime_ns), displaced

    def failure_of(self, error: OSError, setup: WorkerSetup) -> tuple[FailureKind, str]:
        """Return the kind and sentence of the failure that an error of the operating system means.

        A call may work anywhere, so a disk ends the run only where the error of a call names a file in the output, or
        nothing can be written there now. What a call looks for elsewhere, and is not there, is missing for good.
        """
        if error is not self.thrown:
            return classify_os_error(error, self.source.path)
        name = os.fsencode(error.filename) if isinstance(error.filename, (str, bytes)) else None
        kind, sentence = classify_os_error(error, next((one.path for one in self.item.inputs if one.path == name), b""))
        folders = (setup.folder.partials, setup.request.output)
        within = name is not None and any(name == folder or name.startswith(folder + b"/") for folder in folders)
        if error.errno == errno.ENOENT and kind is FailureKind.INFRASTRUCTURE and not within:
            return FailureKind.BAD_INPUT, sentence
        if within or kind is not FailureKind.DISK:
            return kind, sentence
        refused = write_refused(*folders)
        if refused is not None:
            return kind, refused
        return FailureKind.UNAVAILABLE if error.errno in UNREACHABLE else FailureKind.INFRASTRUCTURE, sentence

    def discard_displaced(self, output_root: bytes) -> None:
        """Remove what its products replaced; where that is refused, the next run tries again."""
        with contextlib.suppress(PublishError):
            discard_displaced(self.intents, partials=self.anchor.path, output_root=output_root)

    def discard(self) -> None:
        """Remove what it made so far; where that is refused, the next run tries again."""
        with contextlib.suppress(PublishError):
            self.anchor.check()
            discard_attempts(self.anchor.path, (self.item.partial,))

    def _path(self, temporary: str) -> bytes:
        return self.anchor.path + b"/" + temporary.encode("ascii")

    def _as_json(self, result: object) -> str:
        try:
            text = json.dumps(result, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._wrong(f"returned a result that is no JSON ({error})") from error
        if len(text) > MOST_RESULT_BYTES:
            raise self._wrong(f"returned a result of {len(text):,} bytes, of {MOST_RESULT_BYTES:,} that are allowed")
        return text

    def _claimed(self, made: object, planned: dict[str, Product]) -> Product:
        """Return the planned product that this is, and take it out of `planned`."""
        if not isinstance(made, Made) or not isinstance(made.temporary, str):
            raise self._wrong(f"claims {made!r} as a product")
        product = planned.pop(made.role, None)
        if product is None:
            raise self._wrong(f"claims a product {made.role!r} that was not planned, or claims it twice")
        own = made.temporary == self.item.partial or made.temporary.startswith(self.item.partial + ".")
        if not own or "/" in made.temporary or not made.temporary.isascii() or not made.temporary.isprintable():
            raise self._wrong(f"claims {made.temporary!r} as a product, which is not in its folder under its name")
        try:
            mode = os.lstat(self._path(made.temporary)).st_mode
        except FileNotFoundError:
            raise self._wrong(f"claims a product {made.role!r} that it did not make") from None
        if not (stat.S_ISDIR(mode) if product.folder else stat.S_ISREG(mode)):
            raise self._wrong(f"made a product {made.role!r} that is no {'folder' if product.folder else 'file'}")
        return product

    def _wrong(self, what: str) -> JobError:
        return wrong(self.item.task, what)


def wrong(name: str, what: str) -> JobError:
    """The failure of a job whose task breaks the rules of `tasks.base`."""
    return JobError(FailureKind.UNSUPPORTED, f"The task {name!r} {what}; the task has to be mended.")


def _steps(name: str, work: Work) -> Steps:
    """The steps of a task, which is found at the first of them, so that a bad one fails its job alone."""
    try:
        found = task(name)
    except UsageError as error:
        raise JobError(FailureKind.UNSUPPORTED, str(error)) from error
    steps = found.run(work)
    if not isinstance(steps, Generator):
        raise wrong(name, f"has a `run` that returns {type(steps).__name__} and yields nothing")
    return (yield from steps)


def _before(output_root: bytes, product: Product) -> Seal | None:
    """Return the identity of what lies under the product's name now, if anything. Raises PublishError."""
    path = os.path.join(output_root, product.name)
    with naming(path, "could not be looked at"):
        return seal_at(path)
