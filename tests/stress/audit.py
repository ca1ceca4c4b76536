"""What must hold after runs were killed: compared with an undisturbed run, file by file and frame by frame."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Self

from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import AttemptRow, JobRow
from pyprocessor.models import FINAL_STATES, OutcomeKind, display
from tests.stress.figures import Figures

STATE = b".pyprocessor"
TEMPORARY_PREFIX = b".pyprocessor-"
POLL_SECONDS = 0.1
DECODERS = 2
TRACEBACK = "Traceback (most recent call last)"

LOST = "lost files"
DUPLICATES = "duplicates and strangers in the output"
DAMAGED = "outputs that do not decode to the reference's frames"
REDONE = "verified outputs redone"
PROCESSES = "processes left after 5 s"
TEMPORARY = "temporary files left"
TRACEBACKS = "tracebacks"
UNFINAL = "jobs, attempts or batches left open"
EXITS = "unexplained exit codes"
HUNG = "runs that hung"
ALL = (LOST, DUPLICATES, DAMAGED, REDONE, PROCESSES, TEMPORARY, TRACEBACKS, UNFINAL, EXITS, HUNG)

Signature = tuple[int, int, int]
"""Inode, mtime in ns, size."""


def outputs(folder: Path) -> dict[bytes, Signature]:
    """Every file in an output folder but for the state folder's, by its relative path."""
    root = os.fsencode(folder)
    found: dict[bytes, Signature] = {}
    for path, folders, names in os.walk(root):
        if path == root and STATE in folders:
            folders.remove(STATE)
        for name in names:
            full = os.path.join(path, name)
            try:
                status = os.lstat(full)
            except FileNotFoundError:
                continue  # a temporary name that just became a final one
            found[os.path.relpath(full, root)] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


class Watch:
    """Looks at an output folder again and again while runs come and go: a file that bears a final name must stay what
    it was when it got it. Context: the watching ends with it, and `changed` tells."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._first: dict[bytes, Signature] = {}
        self.changed: dict[bytes, tuple[Signature, Signature | None]] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.look()

    def look(self) -> None:
        """Compare with what was seen before."""
        with self._lock:
            now = {p: s for p, s in outputs(self._folder).items() if not _is_temporary(p)}
            for path, signature in self._first.items():
                if now.get(path) != signature and path not in self.changed:
                    self.changed[path] = (signature, now.get(path))
            self._first = {**now, **self._first}


def frames(path: bytes, ffmpeg: str) -> str:
    """A digest of every decoded frame and sample with its time, or what the decoder complained of."""
    call: list[str | bytes] = [ffmpeg, "-nostdin", "-v", "error", "-xerror", "-i", b"file:" + path, "-map", "0"]
    call += ["-f", "framemd5", "-"]
    done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode or done.stderr:
        return f"exit code {done.returncode}: {done.stderr.decode(errors='replace').strip()[-300:]}"
    return sha256(done.stdout).hexdigest()


def all_frames(folder: Path, ffmpeg: str) -> dict[bytes, str]:
    """The digests of all outputs in a folder."""
    names = sorted(outputs(folder))
    root = os.fsencode(folder)
    with ThreadPoolExecutor(DECODERS) as pool:
        digests = pool.map(lambda name: frames(os.path.join(root, name), ffmpeg), names)
        return dict(zip(names, digests, strict=True))


def compare(figures: Figures, folder: Path, reference: Mapping[bytes, Container[str]], ffmpeg: str, told: str) -> None:
    """Every output of the reference is there, decodes to one of its digests, and there is nothing else."""
    found = all_frames(folder, ffmpeg)
    for name in reference.keys() - found.keys():
        figures.add(LOST, f"{told}: {display(name)}")
    for name in found.keys() - reference.keys():
        figures.add(TEMPORARY if _is_temporary(name) else DUPLICATES, f"{told}: {display(name)}")
    for name in reference.keys() & found.keys():
        if found[name] not in reference[name]:
            figures.add(DAMAGED, f"{told}: {display(name)}: {found[name]}")


def inspect_state(figures: Figures, folder: Path, told: str, *, since_run: int = 0) -> None:
    """The journal is at rest, no job succeeded twice in the runs from `since_run` on, nothing half-made lies about, and
    no log tells of a defect."""
    state = folder / ".pyprocessor"
    for name in os.listdir(state / "partial"):
        figures.add(TEMPORARY, f"{told}: partial {name}")
    for log in (state / "logs").iterdir():
        look_for_traceback(figures, log, told)
    with JournalReader.read_only(os.fsencode(state)) as journal:
        ended = [a.job_id for a in journal.attempts() if a.run_id >= since_run and a.outcome is OutcomeKind.SUCCEEDED]
        succeeded = Counter(ended)
        for row in journal.jobs():
            name = display(row.source.relative)
            if row.state not in FINAL_STATES:
                figures.add(UNFINAL, f"{told}: {name} is {row.state}")
            times = succeeded[row.id]
            if times > 1:
                figures.add(REDONE, f"{told}: {name} succeeded {times} times")
        for attempt in (a for a in journal.attempts() if a.ended_at is None):
            figures.add(UNFINAL, f"{told}: attempt {attempt.id} is open")
        for worker in journal.open_workers():
            figures.add(UNFINAL, f"{told}: the batch of process {worker.pid} is open")


def look_for_traceback(figures: Figures, path: Path, told: str) -> None:
    """A defect of ours, told where nobody but the user would read it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if TRACEBACK in text:
        figures.add(TRACEBACKS, f"{told}: {path.name}: ...{text[text.index(TRACEBACK) :][-300:]!r}")


def jobs_and_attempts(folder: Path) -> list[tuple[JobRow, list[AttemptRow]]]:
    """All that the journal tells of every job."""
    with JournalReader.read_only(os.fsencode(folder / ".pyprocessor")) as journal:
        made: defaultdict[str, list[AttemptRow]] = defaultdict(list)
        for attempt in journal.attempts():
            made[attempt.job_id].append(attempt)
        return [(row, made[row.id]) for row in journal.jobs()]


def last_run(folder: Path) -> int:
    """The number of the newest run."""
    with JournalReader.read_only(os.fsencode(folder / ".pyprocessor")) as journal:
        row = journal.last_run()
        assert row is not None
        return row.id


def _is_temporary(path: bytes) -> bool:
    return os.path.basename(path).startswith(TEMPORARY_PREFIX)
