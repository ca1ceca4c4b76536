"""Which jobs does a document ask for, and what is wrong with it, job by job and field by field?

    {"task": "transcode", "key": "intro", "params": {...}, "inputs": ["intro.mov", {"job": "titles", "role": "main"}]}

Beside these a job may have `after`, `priority`, `tenant`, `metadata`, `max_retries`, `timeout`, `not_before` and
`deadline`. Its key is unique in its queue and for its tenant: the same key is the same job, whenever it is submitted.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeGuard

from pyprocessor.errors import UsageError
from pyprocessor.intake.paths import all_exist
from pyprocessor.intake.remote_inputs import each_once, fetching, fetching_job, is_remote
from pyprocessor.journal.waiting import Submission
from pyprocessor.models import MAIN, Cost, Job, JobInput, Origin, ProductOf, Source, display, submitted_id
from pyprocessor.models.plain_values import MAX_NESTED, is_number, is_text, is_too_deep, shown, time_of
from pyprocessor.models.wording import one_line
from pyprocessor.tasks.call import CALL, lies_in
from pyprocessor.tasks.registry import fetches, offered, problems, whole_params

FIELDS = (
    *("task", "key", "name", "params", "inputs", "after", "priority", "tenant", "metadata"),
    *("max_retries", "timeout", "not_before", "deadline"),
)
MAX_PROBLEMS = 20
"""So many are listed."""
MAX_KEY_CHARACTERS = 500
_MAX_WHOLE = 1 << 53
"""Whole numbers beyond it are not the same in every reader of JSON."""


def submissions(
    document: object,
    *,
    queue: str,
    folder: str = "",
    known: Callable[[str], object] | None = None,
    calls: Collection[str] | None = None,
) -> tuple[Submission, ...]:
    """The jobs of a document: a list of them, or a mapping whose `jobs` is one.

    Paths of inputs start from `folder`; each file is looked at. `known` says whether the journal has a job of an id;
    without it the journal decides whether a job waits for one that nobody knows. `calls` are the packages whose
    functions the document may have called (None: any). Raises UsageError with one line for each problem, and
    InputSilent where a file system does not answer.
    """
    if isinstance(document, Mapping):
        if set(document) != {"jobs"}:
            raise UsageError('A document of jobs is a list of jobs, or a mapping with one key, "jobs", that has them.')
        document = document["jobs"]
    if not isinstance(document, list | tuple):
        raise UsageError("A document of jobs is a list of jobs; this one is not.")
    if not document:
        raise UsageError("The document has no jobs.")
    entries = [_Entry(number, found, queue, folder, calls) for number, found in enumerate(document, 1)]
    for entry in entries:
        entry.read_identity()
    ids = {entry.id for entry in entries}
    for entry in entries:
        entry.has_job = lambda job_id: job_id in ids or bool(known is not None and known(job_id))
        entry.read()
    _look_at_files(entries)
    problems = [*(what for entry in entries for what in entry.problems), *_problems_between(entries, ids, known)]
    if problems:
        more = len(problems) - MAX_PROBLEMS
        raise UsageError("\n".join(problems[:MAX_PROBLEMS] + ([f"... and {more} more"] if more > 0 else [])))
    return each_once(given for entry in entries for given in entry.submissions())


def one_submission(document: Mapping[str, object], *, queue: str) -> tuple[Submission, ...]:
    """The job of a document that names jobs in `after`, and in its inputs, by their ids; before it what it fetches.

    Whether its files answer is left to the caller, who may wait for that in another thread. Raises UsageError.
    """
    entry = _Entry(0, document, queue, "", by_id=True)
    entry.read_identity()
    entry.read()
    entry.look_at_files()
    if entry.problems:
        raise UsageError("\n".join(entry.problems))
    return entry.submissions()


@dataclass(eq=False)
class _Entry:
    """One job of a document while it is read; `problems` are sentences that name it and the field."""

    number: int
    """Its place in the document; 0 where it stands alone."""
    given: object
    queue: str
    folder: str
    calls: Collection[str] | None = None
    by_id: bool = False
    """Other jobs are named by their ids, and not by their keys."""
    problems: list[str] = field(default_factory=list)
    has_job: Callable[[str], bool] = lambda _: False
    """Whether the document or the journal has a job of an id."""
    fields: dict[Any, Any] = field(default_factory=dict)
    """All fields that are given."""
    key: str = ""
    tenant: str = ""
    params: str = "{}"
    inputs: list[JobInput | str] = field(default_factory=list)
    """A path is one that was not looked at yet."""
    needs: dict[str, str] = field(default_factory=dict)
    """Keys of other jobs, and the field that names each."""
    remote: list[Submission] = field(default_factory=list)
    """The jobs that fetch what it needs."""
    rest: dict[str, Any] = field(default_factory=dict)
    """Fields of `Job` as they are."""

    @property
    def id(self) -> str:
        return submitted_id(self.queue, self.key, self.tenant)

    @property
    def label(self) -> str:
        """How problems name it; one that stands alone they do not."""
        return f"Job {self.number}" + (f" ({one_line(self.key)})" if self.key else "") + ": " if self.number else ""

    def id_of(self, other: str) -> str:
        """Return the id of the job that a key names: one of the same tenant, or else one without a tenant."""
        if self.by_id:
            return other
        own, shared = submitted_id(self.queue, other, self.tenant), submitted_id(self.queue, other)
        return shared if not self.has_job(own) and self.has_job(shared) else own

    def wrong(self, name: str, what: str) -> None:
        """Note what is wrong with a field."""
        self.problems.append(f"{self.label}`{one_line(name)}` {what}.")

    def read_identity(self) -> None:
        """Take over key and tenant, or note what is wrong with them."""
        if not isinstance(self.given, Mapping):
            self.problems.append(f"Job {self.number} is {shown(self.given)}; a job is a mapping of its fields.")
            return
        self.fields = given = {name: value for name, value in self.given.items() if value is not None}
        self._read_key(given)
        tenant = given.get("tenant", "")
        if is_text(tenant):
            self.tenant = tenant
        else:
            self.wrong("tenant", f"must be a text, not {shown(tenant)}")

    def read(self) -> None:
        """Take over all other fields, or note what is wrong with them."""
        if not isinstance(self.given, Mapping):
            return
        given = self.fields
        for name in given:
            if name not in FIELDS:
                close = get_close_matches(str(name), FIELDS, n=1)
                hint = f"did you mean `{close[0]}`?" if close else f"the fields are {', '.join(FIELDS)}"
                self.wrong(str(name), f"is no field of a job; {hint}")
        self._read_task(given.get("task"))
        self._read_params(given.get("params", {}))
        self.rest["priority"] = self._whole(given, "priority", -_MAX_WHOLE) or 0
        self._read_inputs(given.get("inputs", []))
        self._read_after(given.get("after", []))
        self.rest |= {
            "metadata": self._metadata(given.get("metadata", {})),
            "max_retries": self._whole(given, "max_retries", 0),
            "timeout_seconds": self._seconds(given, "timeout"),
            "not_before": self._time(given, "not_before"),
            "deadline": self._time(given, "deadline"),
        }
        begin, end = self.rest["not_before"], self.rest["deadline"]
        if begin is not None and end is not None and end < begin:
            self.wrong("deadline", "is before `not_before`, so that the job could never begin")
        if not self.problems:
            self._check_with_task(self.rest["task"], given.get("params", {}))

    def _check_with_task(self, name: str, params: Mapping[str, Any]) -> None:
        """Note what its task finds wrong, and take over the params with all that they name in its place."""
        self.problems += (self.label + what for what in problems(name, params, len(self.inputs)))
        if self.problems:
            return
        if name == CALL and self.calls is not None and not lies_in(params["function"], self.calls):
            module = params["function"].partition(":")[0]
            text = "is called only where the command line allows that"
            self.problems.append(f"{self.label}`function`: {module} {text}: --allow-calls {module.partition('.')[0]}.")
            return
        try:
            whole = whole_params(name, params)
        except UsageError as error:
            self.problems += (f"{self.label}`params`: {line}" for line in str(error).split("\n"))
        else:
            if whole is not params:
                self._read_params(whole)
            for task, needed in fetches(name, whole):
                made = fetching_job(task, needed, priority=self.rest["priority"])  # whoever it is for
                self.remote.append(made)
                self.rest["after"] += (made.job.id,)

    def _read_key(self, given: dict[Any, Any]) -> None:
        if "key" in given and "name" in given:
            self.wrong("name", "stands beside `key`; give one of them, which is both")
        name = "name" if "name" in given else "key"
        key = given.get(name)
        if _is_key(key):
            self.key = key
        elif key is None:
            self.wrong("key", "is missing; it names the job in its queue")
        else:
            self.wrong(name, f"must be a text of 1 to {MAX_KEY_CHARACTERS} characters, not {shown(key)}")

    def _read_task(self, name: object) -> None:
        if not isinstance(name, str) or not name:
            self.wrong("task", "is missing" if name is None else f"must be the name of a task, not {shown(name)}")
            return
        self.rest["task"] = name
        if (problem := _unknown_task(name, self.by_id)) is not None:
            self.wrong("task", f"is not known: {problem.rstrip('.')}")

    def _read_params(self, params: object) -> None:
        if not isinstance(params, Mapping) or not all(isinstance(name, str) for name in params):
            self.wrong("params", f"must be a mapping, not {shown(params)}")
            return
        try:
            self.params = json.dumps(params, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            self.wrong("params", f"cannot be written as JSON: {error}")
            return
        if is_too_deep(params):
            self.wrong("params", f"holds values that are nested more than {MAX_NESTED} deep")

    def _read_inputs(self, inputs: object) -> None:
        if not isinstance(inputs, list | tuple):
            self.wrong("inputs", f"must be a list, not {shown(inputs)}")
            return
        for given in inputs:
            if is_remote(given):
                self._read_remote(given)
                continue
            path = os.fsdecode(given) if isinstance(given, str | bytes | os.PathLike) else ""
            if path and "\0" not in path:
                self.inputs.append(os.path.abspath(os.path.join(self.folder, path)))
            elif (
                isinstance(given, Mapping)
                and set(given) <= {"job", "role"}
                and _is_key(key := given.get("job"))
                and _is_key(role := given.get("role", MAIN))
            ):
                self.needs.setdefault(key, "inputs")
                self.inputs.append(ProductOf(self.id_of(key), role))
            else:
                self.wrong("inputs", f'takes paths, URLs and products such as {{"job": KEY}}, not {shown(given)}')

    def _read_remote(self, given: object) -> None:
        try:
            made = fetching(given, priority=self.rest["priority"], tenant=self.tenant)
        except ValueError as error:
            self.wrong("inputs", f"names an address that cannot be downloaded: {str(error).rstrip('.')}")
        else:
            self.remote.append(made)
            self.inputs.append(ProductOf(made.job.id))

    def _read_after(self, after: object) -> None:
        if not isinstance(after, list | tuple) or not all(map(_is_key, after)):
            self.wrong("after", f"must be a list of keys of other jobs, not {shown(after)}")
            return
        self.needs |= {key: "after" for key in after if key not in self.needs}
        self.rest["after"] = tuple(self.id_of(key) for key in dict.fromkeys(after))

    def _metadata(self, value: object) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, Mapping) or not all(
            isinstance(key, str) and isinstance(item, str | int | float) for key, item in value.items()
        ):
            self.wrong("metadata", f"must be a mapping of texts or numbers, not {shown(value)}")
            return ()
        return tuple((key, item if isinstance(item, str) else json.dumps(item)) for key, item in value.items())

    def _whole(self, given: dict[Any, Any], name: str, least: int) -> int | None:
        value = given.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MAX_WHOLE):
            return value
        self.wrong(name, f"must be a whole number{' of at least 0' if least == 0 else ''}, not {shown(value)}")
        return None

    def _seconds(self, given: dict[Any, Any], name: str) -> float | None:
        value = given.get(name)
        if value is None or (is_number(value) and value > 0):
            return None if value is None else float(value)
        self.wrong(name, f"must be a number of seconds above 0, not {shown(value)}")
        return None

    def _time(self, given: dict[Any, Any], name: str) -> float | None:
        value = given.get(name)
        if value is None:
            return None
        with suppress(ValueError):
            return time_of(value)
        self.wrong(name, f"must be a time such as 2026-01-31T22:00:00Z, or seconds since 1970, not {shown(value)}")
        return None

    def look_at_files(self) -> None:
        """Replace the paths among the inputs by the files that lie there."""
        looked = (self._look_at_file(given) if isinstance(given, str) else given for given in self.inputs)
        self.inputs = [given for given in looked if given is not None]

    def _look_at_file(self, path: str) -> Source | None:
        """The file as an input; None, with the problem noted, where there is none."""
        try:
            found = os.stat(path)
        except OSError as error:
            self.wrong("inputs", f"names {display(os.fsencode(path))}, which cannot be read: {error.strerror}")
            return None
        if not stat.S_ISREG(found.st_mode):
            self.wrong("inputs", f"names {display(os.fsencode(path))}, which is no file")
            return None
        name = os.path.basename(path)
        return Source(os.fsencode(path), os.fsencode(name), found.st_size, found.st_mtime_ns)

    def submissions(self) -> tuple[Submission, ...]:
        """The job, behind those that fetch its inputs; there are no problems.

        Its first file is its source, which is called by the job's key.
        """
        inputs = [given for given in self.inputs if not isinstance(given, str)]
        first = next((given for given in inputs if isinstance(given, Source)), None)
        if first is not None:
            inputs.remove(first)
        job = Job(
            id=self.id,
            source=replace(first or Source(b"", b"", 0, 0), relative=self.key.encode("utf-8", "surrogateescape")),
            output=b"",
            params_fingerprint=hashlib.sha256(self.params.encode("ascii")).hexdigest(),
            cost=Cost(0.0, 0, 0),
            origin=Origin.SUBMITTED,
            inputs=tuple(inputs),
            tenant=self.tenant,
            **self.rest,
        )
        return (*self.remote, Submission(job, self.params))


def _look_at_files(entries: Sequence[_Entry]) -> None:
    """Replace the paths among the inputs by the files that lie there."""
    paths = list(dict.fromkeys(given for entry in entries for given in entry.inputs if isinstance(given, str)))
    if paths:
        all_exist(paths)  # each file system is to answer before it can hold up this process
    for entry in entries:
        entry.look_at_files()


def _problems_between(
    entries: Sequence[_Entry], ids: Collection[str], known: Callable[[str], object] | None
) -> list[str]:
    """What is wrong between jobs: a key that stands twice, one that nobody has, jobs that wait for each other."""
    by_id: dict[str, _Entry] = {}
    twice = [entry for entry in entries if entry.key and by_id.setdefault(entry.id, entry) is not entry]
    problems = [
        f"Job {entry.number} has the key of job {by_id[entry.id].number}, {one_line(entry.key)}." for entry in twice
    ]
    for entry in by_id.values():
        for key, name in entry.needs.items():
            if (needed := entry.id_of(key)) not in ids and known is not None and not known(needed):
                keys = [other.key for other in by_id.values() if other.tenant in ("", entry.tenant)]
                close = get_close_matches(key, keys, n=1) if len(problems) < MAX_PROBLEMS else []
                hint = f"; did you mean {one_line(close[0])}?" if close else "."
                problems.append(
                    f"Job {entry.number} ({one_line(entry.key)}): `{name}` names {one_line(key)}, a job that neither "
                    f"this document nor the journal has{hint}"
                )
    try:
        TopologicalSorter({found: list(map(entry.id_of, entry.needs)) for found, entry in by_id.items()}).prepare()
    except CycleError as error:
        circle = " -> ".join(one_line(by_id[found].key) for found in error.args[1])
        problems.append(f"These jobs wait for each other, so that none can begin: {circle}.")
    return problems


def _is_key(value: object) -> TypeGuard[str]:
    return is_text(value) and 0 < len(value) <= MAX_KEY_CHARACTERS


@cache
def _unknown_task(name: str, to_programs: bool) -> str | None:
    try:
        offered(name, to_programs=to_programs)
    except UsageError as error:
        return str(error)
    return None
