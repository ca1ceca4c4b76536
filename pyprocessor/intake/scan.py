"""Which files are in the input? Walks it lazily, in an order that does not depend on the file system.

Within a folder first its files by name, then its folders by name. A folder's names are read at once (output names
depend on siblings), its files are looked at one by one. The order allows going on after a given file.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.inspect.animation import is_still
from pyprocessor.intake.file_names import (
    PICTURE_EXTENSIONS,
    UNFINISHED_EXTENSIONS,
    FilePriorities,
    UnknownFiles,
    extension,
    extensions_of,
    is_passed_over,
)
from pyprocessor.intake.messages import Candidate, PassedOver, Remark, ScanPlan
from pyprocessor.models import Input, Source, display
from pyprocessor.models.products import Seal
from pyprocessor.plan.matching import Expression, TookTooLong
from pyprocessor.plan.naming import NamePatterns, order_key, output_names
from pyprocessor.publish.bounds import among_sources
from pyprocessor.publish.receipts import read_receipts
from pyprocessor.state.state_folder import NAME as STATE_FOLDER
from pyprocessor.state.state_folder import state_folder

CLOCKS_APART_SECONDS = 24 * 3600.0
"""A time stamp further ahead than clocks may differ says nothing."""
YOUNG = "was changed a moment ago and is left for the next run"
"""Why a file that is younger than `min_age` is passed over."""
Stills = dict[bytes, tuple[Seal, bool]]
"""Pictures that were opened: size and mtime_ns, and whether it does not move, by path below the input."""


def walk(
    plan: ScanPlan, alive: Callable[[], None], stills: Stills | None = None
) -> Iterator[Candidate | PassedOver | Remark | None]:
    """Yield files to take, what is passed over with a reason for the user, and last remarks about the walk.

    None stands for a file that was opened without a result. `alive` is called while slow expressions hold it up.
    `stills` remembers from one walk to the next which pictures move.
    """
    yield from _Walk(plan, alive, {} if stills is None else stills).run()


class _Walk:
    def __init__(self, plan: ScanPlan, alive: Callable[[], None], stills: Stills) -> None:
        self._plan = plan
        self._stills = stills
        self._unknown = UnknownFiles()
        self._inputs = tuple(given.path if given.is_file else os.path.join(given.path, b"") for given in plan.inputs)
        self._own = b""
        """Prefix of relative paths in the input being walked."""
        self._for_a_task = plan.extensions is not None
        self._extensions = extensions_of(plan.profile) if plan.extensions is None else plan.extensions
        self._pictures = frozenset() if self._for_a_task else PICTURE_EXTENSIONS
        self._names = NamePatterns(plan.profile.naming, alive)
        self._include = [Glob(pattern, "scan.include", alive) for pattern in plan.profile.scan.include]
        self._exclude = [Glob(pattern, "scan.exclude", alive) for pattern in plan.profile.scan.exclude]
        self._priorities = FilePriorities(plan.profile.batch)
        self._made: set[bytes] = set()
        self._left_out: list[bytes] = []
        self._strays: dict[bytes, str | None] = {}
        self._resume_after = order_key(plan.resume_after) if plan.resume_after is not None else None
        # A folder met twice, by links, is walked once, and the output not at all unless it is an input.
        self._visited = {_identity(plan.output_root)} - {_identity(given.path) for given in plan.inputs}

    def run(self) -> Iterator[Candidate | PassedOver | Remark | None]:
        for (prefix, are_files), inputs in groupby(self._plan.inputs, key=_settled_together):
            if are_files:
                self._own = prefix
                paths = {os.path.basename(given.path): given.path for given in inputs}
                yield from self._files(prefix, paths, by_name=True)
            else:
                for given in inputs:
                    self._own = prefix
                    yield from self._folder(given.path, prefix)
        if self._resume_after is None:  # else an earlier walk has seen a part of it
            yield from self._remarks()

    def _folder(self, root: bytes, own: bytes) -> Iterator[Candidate | PassedOver | None]:
        """Yield what is in a folder, and None for each below it; `own` is what precedes the path below it."""
        pending = [b""]
        while pending:
            below = pending.pop()
            path = os.path.join(root, below) if below else root
            relative = own + below if below else own.rstrip(b"/")
            try:
                status = os.stat(path)
                identity = status.st_dev, status.st_ino
                if identity in self._visited:
                    continue
                self._visited.add(identity)
                if below:
                    yield None  # what was found is reported before a folder that takes long
                files, folders, unknown = self._list(path, relative)
            except OSError as error:
                yield PassedOver(relative or b".", f"cannot be listed: {_why(error)}", FailureKind.PERMISSION)
                continue
            prefix = relative + b"/" if relative else b""
            self._left_out += [prefix + name for name in (*files, *folders) if prefix + name in self._made]
            names = [name for name in files if prefix + name not in self._made]
            yield from self._files(prefix, {name: os.path.join(path, name) for name in names})
            for name in unknown:
                if not self._excludes(prefix + name) and self._unknown.look(os.path.join(path, name), prefix + name):
                    yield None
            pending.extend(os.path.join(below, name) for name in reversed(folders) if prefix + name not in self._made)

    def _remarks(self) -> Iterator[Remark]:
        if self._left_out:
            count, example = len(self._left_out), display(self._left_out[0])
            what = f"{example} was" if count == 1 else f"{count} outputs, {example} among them, were"
            yield Remark(f"{what} made by earlier runs from files of this input, and left out as no source.")
        unknown = self._unknown.sentence()
        if unknown is not None:
            yield Remark(unknown, closing=True)
        for sentence in self._priorities.sentences():
            yield Remark(sentence)
        for option, globs in (("include", self._include), ("exclude", self._exclude)):
            for glob in globs:
                if not glob.matched:
                    yield Remark(f'The pattern "{glob.pattern}" of {option} matches no file in the input.')

    def _includes(self, relative: bytes) -> bool:
        try:
            return _matching(self._include, relative.removeprefix(self._own))
        except TookTooLong:
            return True  # the pattern is reported when the file itself is matched

    def _excludes(self, relative: bytes) -> bool:
        try:
            return _matching(self._exclude, relative.removeprefix(self._own))
        except TookTooLong:
            return True

    def _remember_made(self, path: bytes, relative: bytes) -> None:
        """Note what was made of this input, and is no source, by the receipts in an output folder."""
        taken: set[bytes] = set()
        try:
            for receipt in read_receipts(state_folder(path).receipts):
                names = [os.path.join(relative, product.name) for product, _ in receipt.products]
                if receipt.task in self._plan.products_of:
                    # One of several formats is enough, unless the user says which.
                    main = [os.path.join(relative, receipt.main[0].name)]
                    taken.update(filter(self._includes, names) if self._include else main)
                elif not any(source.path.startswith(self._inputs) for source in receipt.inputs):
                    continue
                self._made.update(names)
        except PublishError:
            return
        finally:
            self._made -= taken

    def _list(self, path: bytes, relative: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """Return the names of a folder's files with known extensions, of its folders, and of files to look into."""
        files: list[bytes] = []
        folders: list[bytes] = []
        unknown: list[bytes] = []
        chosen = bool(self._plan.profile.scan.extensions or self._include)
        opens = self._plan.opens_unknown and not chosen and self._resume_after is None
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.name == STATE_FOLDER:
                    self._remember_made(path, relative)
                if entry.name.startswith(b"."):
                    continue
                try:
                    is_folder = entry.is_dir()
                except OSError:
                    is_folder = False
                if is_folder:
                    if not is_passed_over(entry.name):
                        folders.append(entry.name)
                elif self._takes(entry.name):
                    files.append(entry.name)
                elif opens and self._unknown.wants(entry.name):
                    unknown.append(entry.name)
        return sorted(files), sorted(folders), sorted(unknown)

    def _takes(self, name: bytes) -> bool:
        if name.endswith(self._plan.except_endings):
            return False
        if self._for_a_task and not self._extensions:
            return extension(name) not in UNFINISHED_EXTENSIONS
        return extension(name) in self._extensions

    def _files(
        self, prefix: bytes, paths: Mapping[bytes, bytes], *, by_name: bool = False
    ) -> Iterator[Candidate | PassedOver | None]:
        """Yield files whose outputs go into one folder. Output names are chosen over all of them, before any filter.

        Films' names do not depend on pictures, which may not move. Stills are passed over silently, unless the user
        named the file (`by_name`). For a task that is not transcoding names have no extension.
        """
        suffix = "" if self._for_a_task else self._plan.profile.extension
        films = [name for name in paths if extension(name) not in self._pictures]
        naming = output_names(films, suffix, self._names)
        with_pictures = output_names(list(paths), suffix, self._names) if len(films) < len(paths) else naming
        for name, path in paths.items():
            relative = prefix + name
            if self._resume_after is not None and order_key(relative) <= self._resume_after:
                continue
            is_picture = extension(name) in self._pictures
            chosen = with_pictures if is_picture else naming
            taken: Candidate | PassedOver | None
            if name in chosen.names:
                taken = self._look(path, relative, prefix + chosen.names[name])
            elif name in chosen.refused:
                taken = PassedOver(relative, chosen.refused[name])
            else:
                taken = PassedOver(relative, chosen.unsettled[name], FailureKind.UNSUPPORTED)
            if taken is not None:
                yield None if is_picture and not by_name and self._is_still(path, relative) else taken

    def _is_still(self, path: bytes, relative: bytes) -> bool:
        """Return whether a picture does not move; False where it cannot be read, which inspecting explains."""
        try:
            status = os.stat(path)
            now = (status.st_size, status.st_mtime_ns)
            known, still = self._stills.get(relative, (None, False))
            if known != now:
                still = stat.S_ISREG(status.st_mode) and is_still(path)
                self._stills[relative] = (now, still)
        except OSError:
            return False
        return still

    def _look(self, path: bytes, relative: bytes, output: bytes) -> Candidate | PassedOver | None:
        try:
            below = relative.removeprefix(self._own)
            included = _matching(self._include, below) or not self._include
            if _matching(self._exclude, below) or not included:
                return None
        except TookTooLong as error:
            return PassedOver(relative, str(error), FailureKind.UNSUPPORTED)
        try:
            status = os.stat(path)
        except OSError as error:
            what = "is a link that leads nowhere" if os.path.islink(path) else f"cannot be read: {_why(error)}"
            return PassedOver(relative, what, FailureKind.PERMISSION)
        if not stat.S_ISREG(status.st_mode):
            return PassedOver(relative, "is not a regular file")
        source = Source(path, relative, status.st_size, status.st_mtime_ns)
        settings = self._plan.profile.scan
        if status.st_size < settings.min_size_bytes:
            return PassedOver(relative, f"is smaller than {settings.min_size_bytes} bytes")
        if settings.max_size_bytes is not None and status.st_size > settings.max_size_bytes:
            return PassedOver(relative, f"is larger than {settings.max_size_bytes} bytes")
        least = settings.min_age_seconds
        if least > 0 and age_seconds(status, self._plan.ages_from_ns) < least:
            return PassedOver(relative, YOUNG)
        if status.st_size == 0 and not self._for_a_task:
            return PassedOver(relative, "is empty", FailureKind.BAD_INPUT, source)
        stray = self._stray(os.path.dirname(os.path.join(self._plan.output_root, output)), os.path.dirname(path))
        if stray is not None:
            return PassedOver(relative, f"cannot be done: {stray}", FailureKind.PERMISSION)
        existing = existing_output(os.path.join(self._plan.output_root, output))
        return Candidate(source, output, existing, self._priorities.of(path, relative))

    def _stray(self, folder: bytes, sources: bytes) -> str | None:
        """Return why the output may not go into its folder; checked once a folder."""
        if folder not in self._strays:
            inputs = dict.fromkeys(given.folder.path for given in self._plan.inputs)
            self._strays[folder] = among_sources(folder, sources, output_root=self._plan.output_root, inputs=inputs)
        return self._strays[folder]


def _settled_together(given: Input) -> tuple[bytes, bool]:
    """Return what precedes the paths below an input, and whether it is a file."""
    name = os.path.dirname(given.name) if given.is_file else given.name
    return (name + b"/" if name else b""), given.is_file


def age_seconds(status: os.stat_result, now_ns: int) -> float:
    """Return the age by the later of mtime and ctime (copying sets mtime); one ahead counts only alone."""
    ages = [(now_ns - stamp) / 1e9 for stamp in (status.st_mtime_ns, status.st_ctime_ns)]
    ages = [age for age in ages if age > -CLOCKS_APART_SECONDS] or [CLOCKS_APART_SECONDS]
    return min([age for age in ages if age >= 0] or ages)


def existing_output(path: bytes) -> tuple[int, int] | None:
    """Return (size, mtime_ns) of what lies there, a link counting as itself; None for nothing."""
    with suppress(OSError):
        status = os.lstat(path)
        return status.st_size, status.st_mtime_ns
    return None


def _identity(path: bytes) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


class Glob:
    """A pattern of `include` or `exclude` (`key`, as in a profile), and whether it has matched anything.

    Without a slash it is about a name in any folder, with one about the path below the input, to which a leading `./`
    or `/` anchors it. It matches a file, or a folder with all in it. `*` matches slashes, `**/` also nothing.
    """

    def __init__(self, pattern: str, key: str, alive: Callable[[], None]) -> None:
        self.pattern = pattern
        self.matched = False
        bare = pattern.strip()
        while bare.startswith("./"):
            bare = bare[2:]
        anchored = "/" in bare.rstrip("/") or bare != pattern.strip()
        parts = (fnmatch.translate(part)[len("(?s:") : -_END_LENGTH] for part in bare.strip("/").split("**/"))
        expression = "(?:.*/)?".join(parts)
        anywhere = "" if anchored else "(?:.*/)?"
        self._expression = Expression(
            key, pattern, os.fsencode(rf"(?s:{anywhere}{expression}(?:/.*)?)"), alive, "fullmatch"
        )

    def matches(self, relative: bytes) -> bool:
        """Return whether a file's path below the input matches; raises TookTooLong."""
        try:
            found = self._expression.find(relative) is not None
        except TookTooLong:
            self.matched = True  # perhaps
            raise
        self.matched = self.matched or found
        return found


_END_LENGTH = len(fnmatch.translate("")) - len("(?s:")
"""Length of what `fnmatch.translate` appends, which differs between versions of Python."""


def _matching(globs: Sequence[Glob], relative: bytes) -> bool:
    """Return whether any matches; all are tried, so that each one's `matched` is set."""
    return bool([glob for glob in globs if glob.matches(relative)])


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
