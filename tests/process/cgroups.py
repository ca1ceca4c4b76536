"""A memory control group of a test's own, version 1 or 2, in which the kernel kills what goes over the limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import until

MIB = 1 << 20
SAMPLES_PER_SECOND = 20
_V1_NO_LIMIT = 1 << 62


MEMORY_PROFILE = (
    "container: mp4\nvideo:\n  encoder: libx264\n  preset: medium\n  crf: 23\n  pixel_format: yuv420p\naudio: false\n"
)
"""A profile by which the encode of a 720p clip fills some 210 MiB."""


class NoMemoryGroup(Exception):
    """No control group can be made here; the text is a sentence that says why."""


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """One control group. Memory is in bytes."""

    folder: Path
    version: int
    limit_bytes: int

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that enters the group and then becomes `argv`, so that all its children are inside too."""
        return ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.folder / "cgroup.procs"), *argv]

    def oom_kills(self) -> int:
        """How many processes the kernel has killed because the group was full."""
        return _entry(self.folder / ("memory.events" if self.version == 2 else "memory.oom_control"), "oom_kill")

    def anonymous_bytes(self) -> int:
        """What the processes hold that the kernel cannot drop."""
        return _entry(self.folder / "memory.stat", "anon" if self.version == 2 else "total_rss")

    def used_bytes(self) -> int:
        """All that is charged to the group, less the file pages that the kernel drops first."""
        name = "memory.current" if self.version == 2 else "memory.usage_in_bytes"
        dropped = _entry(self.folder / "memory.stat", "inactive_file" if self.version == 2 else "total_inactive_file")
        return int((self.folder / name).read_text()) - dropped

    def processes(self) -> list[int]:
        """Pids of what is in it."""
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup]:
    """A group with this limit and no swap. At the end what is still in it is killed, and the group is removed.

    It lies below the innermost group with a limit that we are in ourselves, so that no outer limit is escaped. Raises
    NoMemoryGroup where the system has no memory control groups or does not let us make one.
    """
    version, parent = _parent()
    folder = parent / f"pyprocessor-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        if version == 2:
            (parent / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
    except OSError as error:
        raise NoMemoryGroup(f"no control group may be made in {parent}: {error.strerror}") from None
    group = MemoryGroup(folder, version, limit_bytes)
    try:
        _set_limit(group)
        yield group
    finally:
        _remove(group)


def _parent() -> tuple[int, Path]:
    """The version and the folder to make a group in."""
    if sys.platform != "linux":
        raise NoMemoryGroup("control groups exist on Linux alone")
    own = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    v1 = next((path for names, path in own.items() if "memory" in names.split(",")), None)
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if v1 is not None and kind == "cgroup" and "memory" in options.split(","):
            return 1, _innermost_limited(Path(point), v1, "memory.limit_in_bytes")
        if v1 is None and kind == "cgroup2" and "memory" in (Path(point) / "cgroup.controllers").read_text().split():
            return 2, _innermost_limited(Path(point), own.get("", "/"), "memory.max")
    raise NoMemoryGroup("no control groups with the memory controller are mounted")


def _innermost_limited(mount: Path, own: str, limit: str) -> Path:
    folder = mount / own.lstrip("/")
    for level in (folder, *folder.parents):
        if level == mount or mount not in level.parents:
            break
        text = (level / limit).read_text().strip() if (level / limit).exists() else "max"
        if text != "max" and int(text) < _V1_NO_LIMIT:
            return level
    return mount


def _set_limit(group: MemoryGroup) -> None:
    limit = str(group.limit_bytes)
    if group.version == 2:
        names = ["memory.max"]
        swap = group.folder / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
    else:
        names = ["memory.limit_in_bytes"]
        if (group.folder / "memory.memsw.limit_in_bytes").exists():
            names.append("memory.memsw.limit_in_bytes")
    for name in names:
        (group.folder / name).write_text(limit)


def _remove(group: MemoryGroup) -> None:
    def removed() -> bool:
        for pid in group.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            group.folder.rmdir()
        return not group.folder.exists()

    until(removed, f"the end of all processes in {group.folder}")


def _entry(path: Path, key: str) -> int:
    """The number behind `key` in a file of lines "key number"."""
    for line in path.read_text().splitlines():
        name, number = line.split()
        if name == key:
            return int(number)
    raise KeyError(f"{key} in {path}")


# ---------------------------------------------------------------- running something inside


class Watch:
    """Samples a group's anonymous memory from a thread of its own while the block runs."""

    def __init__(self, group: MemoryGroup) -> None:
        self.peak_anonymous_bytes = 0
        self._group = group
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(1 / SAMPLES_PER_SECOND):
            self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, self._group.anonymous_bytes())


@dataclass(frozen=True, slots=True)
class Contained:
    """What came of a command inside a group; `output` is both of its streams."""

    returncode: int
    seconds: float
    output: str
    peak_anonymous_bytes: int
    oom_kills: int


def run_inside(group: MemoryGroup, argv: Sequence[str], *, cwd: Path | None = None) -> Contained:
    """Run a command to its end in the group, whatever its exit code."""
    before = group.oom_kills()
    began = time.monotonic()
    with Watch(group) as watch:
        done = subprocess.run(
            group.command(argv),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    seconds = time.monotonic() - began
    return Contained(done.returncode, seconds, done.stdout, watch.peak_anonymous_bytes, group.oom_kills() - before)
