"""Walks the input, lazily, in an order that does not depend on the file system.

Within a folder first its files by name, then its folders by name. A folder's names are read at once (output names
depend on siblings), but its files are looked at one by one, so work can start long before the listing ends. The order
makes it possible to go on after a given file when the process that walked has died.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from pyprocessor.engine.messages import Candidate, PassedOver
from pyprocessor.errors import FailureKind
from pyprocessor.models import Profile, ScanSettings, Source
from pyprocessor.plan.naming import output_names

VIDEO_EXTENSIONS = frozenset(
    "264 265 3g2 3gp amv asf av1 avi bik divx dv dvr-ms f4v flv h264 h265 hevc ivf m1v m2p m2t m2ts m2v m4v mjpeg mjpg "
    "mk3d mkv mod mov mp4 mpe mpeg mpg mpv mts mxf nsv nut obu ogm ogv ogx qt rm rmvb roq tod trp ts vob vro webm wmv "
    "wtv y4m".split()
)
AUDIO_EXTENSIONS = frozenset(
    "aac ac3 aif aifc aiff amr ape au caf dts eac3 flac m4a m4b mka mp2 mp3 oga ogg opus ra spx tta wav wma wv".split()
)
_PathKey = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """What to walk. `root` is absolute; `output_root` is never entered; `ages_from_ns` is wall clock time."""

    root: bytes
    output_root: bytes
    profile: Profile
    ages_from_ns: int
    resume_after: bytes | None = None

    @property
    def settings(self) -> ScanSettings:
        return self.profile.scan


def extensions_of(profile: Profile) -> frozenset[bytes]:
    """Lower-case extensions to look at: the profile's own list, or all known ones that suit it."""
    if profile.scan.extensions:
        return frozenset(os.fsencode(e) for e in profile.scan.extensions)
    known = VIDEO_EXTENSIONS if profile.video is not None else VIDEO_EXTENSIONS | AUDIO_EXTENSIONS
    return frozenset(e.encode() for e in known)


def order_key(relative: bytes) -> _PathKey:
    """Sort key of a file's path below the root: the order in which `walk` meets it."""
    *folders, name = relative.split(b"/")
    return (*((1, folder) for folder in folders), (0, name))


def walk(plan: ScanPlan) -> Iterator[Candidate | PassedOver]:
    """Every file worth taking, and everything that is passed over for a reason the user should hear."""
    if stat.S_ISDIR(os.stat(plan.root).st_mode):
        yield from _Walk(plan).run()
    else:
        name = os.path.basename(plan.root)
        yield from _Walk(plan).files(os.path.dirname(plan.root), b"", [name])


class _Walk:
    def __init__(self, plan: ScanPlan) -> None:
        self._plan = plan
        self._extensions = extensions_of(plan.profile)
        self._include = _globs(plan.settings.include)
        self._exclude = _globs(plan.settings.exclude)
        self._resume_after = order_key(plan.resume_after) if plan.resume_after is not None else None
        # A folder met twice (a loop of links, or two links to one place) is walked once.
        self._visited: set[tuple[int, int]] = set()
        output = _identity(plan.output_root)
        if output is not None and output != _identity(plan.root):
            self._visited.add(output)

    def run(self) -> Iterator[Candidate | PassedOver]:
        pending = [b""]
        while pending:
            relative = pending.pop()
            path = os.path.join(self._plan.root, relative) if relative else self._plan.root
            try:
                status = os.stat(path)
                if (status.st_dev, status.st_ino) in self._visited:
                    continue
                self._visited.add((status.st_dev, status.st_ino))
                files, folders = self._list(path)
            except OSError as error:
                yield PassedOver(relative or b".", f"cannot be listed: {_why(error)}", FailureKind.PERMISSION)
                continue
            prefix = relative + b"/" if relative else b""
            yield from self.files(path, prefix, files)
            pending.extend(prefix + name for name in reversed(folders))

    def _list(self, path: bytes) -> tuple[list[bytes], list[bytes]]:
        files: list[bytes] = []
        folders: list[bytes] = []
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name.startswith(b"."):
                    continue
                try:
                    is_folder = entry.is_dir()
                except OSError:
                    is_folder = False
                if is_folder:
                    folders.append(entry.name)
                elif _extension(entry.name) in self._extensions:
                    files.append(entry.name)
        return sorted(files), sorted(folders)

    def files(self, folder: bytes, prefix: bytes, names: list[bytes]) -> Iterator[Candidate | PassedOver]:
        """The files of one folder. Output names are settled over all of them, before any filter that may change."""
        naming = output_names(names, self._plan.profile.extension, self._plan.profile.naming)
        for name in names:
            relative = prefix + name
            if self._resume_after is not None and order_key(relative) <= self._resume_after:
                continue
            if name in naming.refused:
                yield PassedOver(relative, naming.refused[name])
                continue
            taken = self._look(os.path.join(folder, name), relative, prefix + naming.names[name])
            if taken is not None:
                yield taken

    def _look(self, path: bytes, relative: bytes, output: bytes) -> Candidate | PassedOver | None:
        if self._include and not any(glob.fullmatch(relative) for glob in self._include):
            return None
        if any(glob.fullmatch(relative) for glob in self._exclude):
            return None
        try:
            status = os.stat(path)
        except OSError as error:
            what = "is a link that leads nowhere" if os.path.islink(path) else f"cannot be read: {_why(error)}"
            return PassedOver(relative, what, FailureKind.PERMISSION)
        if not stat.S_ISREG(status.st_mode):
            return PassedOver(relative, "is not a regular file")
        source = Source(path, relative, status.st_size, status.st_mtime_ns)
        settings = self._plan.settings
        if status.st_size < settings.min_size_bytes:
            return PassedOver(relative, f"is smaller than {settings.min_size_bytes} bytes")
        if settings.max_size_bytes is not None and status.st_size > settings.max_size_bytes:
            return PassedOver(relative, f"is larger than {settings.max_size_bytes} bytes")
        # A copy that keeps the original's mtime still moves the ctime with every write.
        age_ns = self._plan.ages_from_ns - max(status.st_mtime_ns, status.st_ctime_ns)
        if settings.min_age_seconds > 0 and age_ns < settings.min_age_seconds * 1e9:
            return PassedOver(relative, "was changed a moment ago and is left for the next run")
        if status.st_size == 0:
            return PassedOver(relative, "is empty", FailureKind.BAD_INPUT, source)
        return Candidate(source, output, existing_output(os.path.join(self._plan.output_root, output)))


def existing_output(path: bytes) -> tuple[int, int] | None:
    """(size, mtime_ns) of what lies there, a link counting as itself; None for nothing."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _extension(name: bytes) -> bytes:
    return os.path.splitext(name)[1][1:].lower()


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _globs(patterns: tuple[str, ...]) -> list[re.Pattern[bytes]]:
    """A pattern without a slash is about the name, in whatever folder; one with a slash about the whole path."""
    compiled = []
    for pattern in patterns:
        expression = fnmatch.translate(pattern)
        if "/" not in pattern:
            expression = rf"(?s:(?:.*/)?){expression}"
        compiled.append(re.compile(os.fsencode(expression)))
    return compiled


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
