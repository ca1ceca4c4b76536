"""The rules of the house, read from the syntax trees of the package: who may import what, and who may touch what."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import pyprocessor

PACKAGE = Path(pyprocessor.__file__).parent
LINES_AT_MOST = 400
MODULES_AT_MOST = 20
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "shared"}

LIBRARY = ["models", "errors"]
MEDIA = ["recipes", "inspect", "containers", "ffmpeg"]
WORK = ["tasks", "frames", "net", "speech", *MEDIA, "publish", "state", "system", "journal", "jobs", "costs"]
BELOW_ENGINE = ["intake", "workers", "control", "governor", "plan", "profiles", "builtin_profiles", *WORK, *LIBRARY]
DOORS = ["api", "taskqueue", "chunks", "cluster"]
MAY_IMPORT: dict[str, list[str]] = {
    "__init__": ["api"],
    "__main__": ["cli"],
    "errors": [],
    "models": ["errors"],
    "profiles": [*LIBRARY, "builtin_profiles"],
    "ffmpeg": ["system", *LIBRARY],
    "containers": LIBRARY,
    "inspect": ["containers", "ffmpeg", *LIBRARY],
    "microbatch": ["system", *LIBRARY],
    "frames": ["microbatch", "inspect", "containers", "ffmpeg", *LIBRARY],
    "recipes": ["inspect", "containers", "ffmpeg", *LIBRARY],
    "publish": LIBRARY,
    "costs": LIBRARY,
    "net": ["workers", *LIBRARY],
    "system": LIBRARY,
    "jobs": ["costs", *LIBRARY],
    "plan": ["costs", "jobs", *LIBRARY],
    "governor": ["jobs", *LIBRARY],
    "journal": ["jobs", *LIBRARY],
    "state": ["journal", "publish", "system", *LIBRARY],
    "control": ["journal", "state", "publish", "system", *LIBRARY],
    "speech": LIBRARY,
    "tasks": [
        "workers",
        *MEDIA,
        "frames",
        "net",
        "speech",
        "publish",
        "costs",
        "profiles",
        "builtin_profiles",
        *LIBRARY,
    ],
    "workers": ["tasks", *MEDIA, "frames", "net", "speech", "publish", "state", "system", "jobs", *LIBRARY],
    "intake": ["workers", "plan", *WORK, *LIBRARY],
    "engine": BELOW_ENGINE,
    "report": ["journal", "frames", *LIBRARY],
    "cli": [*BELOW_ENGINE, "engine", "report", *DOORS],
    **{door: [*BELOW_ENGINE, "engine"] for door in DOORS},
    "services": ["taskqueue", *BELOW_ENGINE, "engine"],
}
"""The table of the design. A room may import itself, and anyone may ask the package for its version."""

ONLY_IN: dict[str, list[str]] = {
    "sqlite3": ["journal/"],
    "click": ["cli/"],
    "tqdm": ["report/progress.py"],
    "msgspec": ["journal/records.py", "tasks/params.py"],
    "wcwidth": ["report/wording.py"],
    "yaml": ["profiles/"],
    "psutil": ["system/"],
    "av": ["inspect/", "containers/", "frames/", "cli/doctor.py"],  # the last only tells whether it loads
    "numpy": ["microbatch/", "frames/", "speech/whisper_backend.py"],
    "cloudpickle": ["services/handlers.py"],
    "charset_normalizer": ["containers/charsets.py"],
    "httpx": ["net/"],
    "yt_dlp": ["net/youtube.py", "cli/doctor.py"],  # the last only asks what it may use
    "imageio_ffmpeg": ["ffmpeg/"],
    "watchfiles": ["intake/file_events.py"],
    "jiwer": ["speech/scoring.py"],
    "pocketsphinx": ["speech/pocketsphinx_backend.py"],
    "faster_whisper": ["speech/whisper_backend.py"],
    "ctranslate2": ["speech/whisper_backend.py"],
}
"""Which modules may import a library. A folder ends with a slash."""

HEAVY = {"av", "httpx", "yt_dlp", "msgspec", "yaml", "tqdm", "psutil", "ffmpeg", "imageio_ffmpeg", "numpy", "dask"}

FILE_CALLS = {
    "os": {
        "rename", "renames", "replace", "link", "symlink", "unlink", "remove", "removedirs", "rmdir", "truncate",
    },
    "shutil": {"rmtree", "move"},
    "Path": {"rename", "unlink", "rmdir", "hardlink_to", "symlink_to"},
}  # fmt: skip
"""Calls that take a name away or give one. `Path.replace` is missing: strings have a method of that name."""

MAY_CATCH_ALL = [
    "workers/worker.py",
    "workers/attempts.py",
    "workers/call_main.py",
    "workers/answering.py",
    "intake/inspector.py",
    "intake/details.py",
    "intake/submission_preview.py",
    "cli/main.py",
    "cli/console.py",
    "api.py",
    "chunks/events.py",
    "services/handlers.py",
    "frames/reading.py",
    "taskqueue/processor.py",
    "taskqueue/telling.py",
    "tasks/chunk_processors.py",
    "tasks/registry.py",
    "microbatch/batches.py",
    "microbatch/lanes.py",
    "microbatch/recording.py",
]
KERNEL_FILES = {"system/": ("/proc/", "/sys/")}
"""Where they may be read, and which; a folder ends with a slash."""


@dataclass(frozen=True)
class Module:
    """One file of the package, by its path below it."""

    path: str
    tree: ast.Module
    lines: int

    @property
    def room(self) -> str:
        """The folder it lies in, or its own name at the top."""
        first = self.path.split("/", maxsplit=1)[0]
        return first.removesuffix(".py")

    def lies_in(self, places: list[str]) -> bool:
        """Whether it is one of these files or lies in one of these folders."""
        return any(self.path == place or (place.endswith("/") and self.path.startswith(place)) for place in places)


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found.append(Module(path.relative_to(PACKAGE).as_posix(), ast.parse(text), len(text.splitlines())))
    return tuple(found)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, wherever in the file it does."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}:{node.lineno} imports relatively"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def dotted(node: ast.expr) -> str:
    """`os.path.join` of the expression that names it; empty where it is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def broken_imports(table: dict[str, list[str]]) -> Iterator[str]:
    """Imports between rooms that the table does not have."""
    rooms = {module.room for module in modules()} | set(table) | {"builtin_profiles"}
    for module in modules():
        for line, name in imports(module):
            package, _, inside = name.partition(".")
            room = inside.partition(".")[0]
            if package != "pyprocessor" or room == module.room or room not in rooms:
                continue
            if room not in table.get(module.room, []):
                yield f"{module.path}:{line} imports {name}"


def test_every_room_is_in_the_table() -> None:
    """A new room has to say what it may import."""
    assert {module.room for module in modules()} <= set(MAY_IMPORT)


def test_rooms_import_only_what_they_may() -> None:
    """The import table of the design holds, inside functions and type checking too."""
    assert list(broken_imports(MAY_IMPORT)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also inside functions and for type checking."""
    names = {dotted_name(module): module for module in modules()}
    needs = {
        name: {
            found for _, wanted in imports(module) for found in (wanted, wanted.rpartition(".")[0]) if found in names
        }
        - {name}
        for name, module in names.items()
        if not module.path.endswith("__init__.py")
    }
    TopologicalSorter(needs).prepare()  # raises CycleError with the circle


def dotted_name(module: Module) -> str:
    return "pyprocessor." + module.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_the_import_test_would_notice() -> None:
    """With the engine's row emptied its imports are found."""
    assert any(line.startswith("journal/") for line in broken_imports({**MAY_IMPORT, "journal": []}))


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_by_its_room(library: str) -> None:
    """One room imports each library, so that it can be replaced there."""
    broken = [
        f"{module.path}:{line} imports {name}"
        for module in modules()
        for line, name in imports(module)
        if name.partition(".")[0] == library and not module.lies_in(ONLY_IN[library])
    ]
    assert broken == []


def test_the_records_need_no_library() -> None:
    """`models` and `errors` stand on the standard library alone."""
    for module in modules():
        if module.room in ("models", "errors", "__init__"):
            assert {name.partition(".")[0] for _, name in imports(module)}.isdisjoint(HEAVY)


DOCUMENTS = ("README.md", "docs/api.md", "docs/design.md", "docs/usage.md", "docs/batches.md", "docs/profiles.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_modules_that_documents_name_exist(document: str) -> None:
    """Also the names in them: `room/module`, `room/module.name` or `room/module.py`."""
    for path, name in re.findall(r"`(\w+/\w+)(?:\.(\w+)[\w.]*)?`", (PACKAGE.parent / document).read_text()):
        folder, file = PACKAGE / path, PACKAGE / f"{path}.py"
        if path.partition("/")[0] in MAY_IMPORT:
            assert folder.is_dir() or file.is_file(), path
            assert name in ("", "py") or re.search(rf"\b{name}\b", file.read_text()), f"{path}.{name}"


def file_calls(module: Module) -> Iterator[tuple[int, str]]:
    """Calls, or mere mentions, of functions that rename, link or remove files."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            owner, _, _ = dotted(node).rpartition(".")
            if owner in ("os", "shutil") and node.attr in FILE_CALLS[owner]:
                yield node.lineno, f"{owner}.{node.attr}"
            elif owner not in ("os", "shutil") and node.attr in FILE_CALLS["Path"]:
                yield node.lineno, f"Path.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            names = (alias.name for alias in node.names)
            yield from ((node.lineno, f"{node.module}.{name}") for name in names if name in FILE_CALLS[node.module])


OWN_FILES = ["costs/calibration.py", "state/"]
"""These name and remove files of our own, in state folders; no product is concerned."""


def test_only_publish_renames_and_removes() -> None:
    """Names of files are given and taken in one room."""
    broken = []
    for module in modules():
        if module.room == "publish" or module.lies_in(OWN_FILES):
            continue
        broken += [f"{module.path}:{line} uses {call}" for line, call in file_calls(module)]
    assert broken == []


def docstrings(tree: ast.Module) -> set[int]:
    """The nodes, by identity, that are strings standing alone: docstrings of whatever they follow."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def test_only_the_system_room_reads_the_kernels_files() -> None:
    """/proc and /sys are read in one place."""
    broken = []
    for module in modules():
        allowed = tuple(start for place in KERNEL_FILES if module.lies_in([place]) for start in KERNEL_FILES[place])
        spoken = docstrings(module.tree)
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Constant) or id(node) in spoken:
                continue
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(text, str) and text.startswith(("/proc/", "/sys/")) and not text.startswith(allowed):
                broken.append(f"{module.path}:{node.lineno} reads {text}")
    assert broken == []


def catches_all(handler: ast.ExceptHandler) -> bool:
    """Whether it catches every exception and does not let it go on."""
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {"" if one is None else dotted(one) for one in caught}
    last = handler.body[-1]
    goes_on = isinstance(last, ast.Raise) and last.exc is None
    return bool(names & {"", "Exception", "BaseException"}) and not goes_on


def test_only_the_boundaries_catch_everything() -> None:
    """Elsewhere an error that nobody expected must come out."""
    broken = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and catches_all(node) and not module.lies_in(MAY_CATCH_ALL)
    ]
    assert broken == []


def test_modules_are_short() -> None:
    """A module of more than 400 lines is about more than one question."""
    assert [f"{module.path}: {module.lines}" for module in modules() if module.lines > LINES_AT_MOST] == []


def test_rooms_are_small() -> None:
    """A room has at most 20 modules."""
    rooms = Counter(module.room for module in modules() if not module.path.endswith("__init__.py"))
    assert [f"{room}: {count}" for room, count in rooms.items() if count > MODULES_AT_MOST] == []


def test_names_say_something() -> None:
    """A module is named after what it is about."""
    for module in modules():
        words = set(module.path.removesuffix(".py").replace("/", "_").split("_"))
        assert words.isdisjoint(NAMES_THAT_SAY_NOTHING), module.path


def test_the_journal_is_not_known_to_the_worker() -> None:
    """A batch process and the inspector touch neither the journal nor the terminal."""
    for module in modules():
        if module.path in ("workers/worker.py", "workers/attempts.py", "workers/attempt.py", "intake/inspector.py"):
            names = {name for _, name in imports(module)}
            assert not any(name.startswith(("pyprocessor.journal", "pyprocessor.report")) for name in names)


def test_every_package_is_installed() -> None:
    """A folder of modules that pyproject.toml does not list would be missing from the wheel."""
    project = PACKAGE.parent / "pyproject.toml"
    if not project.exists():
        pytest.skip("the package was not loaded from a checkout")
    listed = set(tomllib.loads(project.read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    folders = {".".join(path.parent.relative_to(PACKAGE.parent).parts) for path in PACKAGE.rglob("__init__.py")}
    assert listed == folders | {"pyprocessor.builtin_profiles"}
