"""`pyprocessor run FOLDER --task NAME`, with a task of another package, as a user types it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.journal.reader import JournalReader
from tests.acceptance.command import assert_plain, begin, call, call_here
from tests.installed import install_package
from tests.process.runs import published
from tests.process.steered import standing
from tests.waiting import DEADLINE_SECONDS, until

OWN_TASK = Path(__file__).parents[2] / "docs" / "examples" / "own_task"
SLOW = "1\n00:00:01,000 --> 00:00:05,000\nTo be or not to be\n"
FAST = "1\n00:00:01,000 --> 00:00:01,500\nTo be or not to be, that is the question\n"
TASK = ("--task", "reading-speed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files that the task takes, and one that it does not."""
    install_package(OWN_TASK, tmp_path / "site", monkeypatch)
    made = tmp_path / "Subtitles"
    (made / "deep").mkdir(parents=True)
    (made / "slow.srt").write_text(SLOW)
    (made / "deep" / "fast.srt").write_text(FAST)
    (made / "notes.txt").write_text("none")
    return made


def attempts(output: Path) -> dict[str, int]:
    """How often each job was begun, by the journal."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return {row.name: len(journal.attempts_of(row.id)) for row in journal.jobs()}


def summary(*arguments: str | Path) -> dict[str, Any]:
    """What the command says of its run as JSON."""
    found: dict[str, Any] = json.loads(call("run", *arguments, "--json").stdout)
    return found


SOURCES = {"slow.srt", "deep/fast.srt", "notes.txt"}
REPORTS = {"slow.speed.json", "deep/fast.speed.json"}


def test_products_lie_beside_their_sources(folder: Path) -> None:
    """The same command again has nothing to do, and takes no product for a source."""
    assert_plain(call("run", folder, *TASK), ExitCode.OK, "Done", "2 files")
    assert published(folder) == SOURCES | REPORTS
    assert json.loads((folder / "deep" / "fast.speed.json").read_text())["fast"] == 1
    assert_plain(call("run", folder, *TASK, "--include", "*.json"), ExitCode.OK, "left out as no source")
    assert_plain(call("run", folder, *TASK), ExitCode.OK, "Nothing to do: all 2 files are already done")
    assert attempts(folder) == {"slow": 1, "deep/fast": 1}


def test_products_lie_below_an_output(folder: Path, tmp_path: Path) -> None:
    """Which mirrors the folder; nothing is written to that. Params and options arrive."""
    output = tmp_path / "Reports"
    more = ("--param", "most=100", "--workers", "1", "--memory-limit", "512", "--cpu-limit", "90", "--priority", "5")
    assert_plain(call("run", folder, *TASK, "--output", output, *more), ExitCode.OK)
    assert (published(folder), published(output)) == (SOURCES, REPORTS)
    assert not (folder / ".pyprocessor").exists()
    assert json.loads((output / "deep" / "fast.speed.json").read_text())["most"] == 100
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        assert {row.priority for row in journal.jobs()} == {5}


def test_what_is_missing_new_or_changed_is_done(folder: Path) -> None:
    """And other params begin anew; the rest stays."""
    assert call("run", folder, *TASK).returncode == ExitCode.OK
    (folder / "slow.speed.json").unlink()
    (folder / "new.srt").write_text(SLOW)
    assert summary(folder, *TASK)["counts"]["succeeded"] == 2
    (folder / "new.srt").write_text(SLOW + FAST)
    assert summary(folder, *TASK)["counts"]["succeeded"] == 1
    assert attempts(folder) == {"slow": 2, "deep/fast": 1, "new": 2}
    counts = summary(folder, *TASK, "--param", "most=20", "--exclude", "deep")["counts"]
    assert (counts["succeeded"], counts["done_before"]) == (2, 0)


def test_what_failed(folder: Path) -> None:
    """Counts until it is tried again on request, or its source changes, or is gone."""
    broken = folder / "broken.srt"
    broken.write_text("no subtitles")
    first = call("run", folder, *TASK)
    assert_plain(first, ExitCode.SOME_FAILED, "broken: It has no subtitles", "Failed")
    assert_plain(call("run", folder, *TASK), ExitCode.SOME_FAILED, "1 file failed in an earlier run")
    assert_plain(call("run", folder, *TASK, "--retry-failed"), ExitCode.SOME_FAILED, "It has no subtitles")
    broken.write_text(SLOW)
    assert_plain(call("run", folder, *TASK), ExitCode.OK, "1 file")
    broken.write_text("no subtitles again")
    assert call("run", folder, *TASK, "--quiet").returncode == ExitCode.SOME_FAILED
    broken.unlink()
    assert call("run", folder, *TASK, "--quiet").returncode == ExitCode.OK
    assert_plain(call("run", folder, *TASK), ExitCode.OK, "Nothing to do")


def test_what_failed_of_another_task(folder: Path) -> None:
    """It is neither a failure of this call nor tried again by it, also where every run of its own would try it."""
    wrong = ("--task", "checksum", "--include", "*.txt", "--param", f"expect={'0' * 64}")
    refused = ("--task", "enhance", "--exclude", "deep", "--param", "key_from=env:NOT_SET_AT_ALL")
    for failing in (wrong, refused):
        assert call("run", folder, *failing).returncode == ExitCode.SOME_FAILED
    done = call("run", folder, *TASK)
    assert_plain(done, ExitCode.OK, "2 files")
    assert "Failed" not in done.stdout
    assert_plain(call("run", folder, *TASK), ExitCode.OK, "Nothing to do: all 2 files are already done")
    assert_plain(call("run", folder, *wrong), ExitCode.SOME_FAILED, "failed in an earlier run")


def test_what_is_not_installed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command does what failed for that once the library is there."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "pyproject.toml").write_text(PROJECT)
    check = 'from pyprocessor.models.extras import check_installed; check_installed("later", "This", library="arrives")'
    (package / "waits.py").write_text(WAITS.replace("return None", check).replace('path + ".go"', "path"))
    install_package(package, tmp_path / "site", monkeypatch)
    command = ("run", folder, "--task", "waits")
    for _ in range(2):
        said = "slow: This needs arrives, which is not installed; pip install 'pyprocessor[later]'."
        assert_plain(call(*command), ExitCode.SOME_FAILED, said, "(not installed)")
    (tmp_path / "site" / "arrives.py").write_text("")
    assert_plain(call(*command), ExitCode.OK, "2 files")


def test_one_file(folder: Path) -> None:
    """Its state lies in its folder."""
    assert_plain(call("run", folder / "deep" / "fast.srt", *TASK), ExitCode.OK)
    assert published(folder) == SOURCES | {"deep/fast.speed.json"}
    assert (folder / "deep" / ".pyprocessor").is_dir()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--task", "nothing"), "no task named 'nothing'; the tasks known here are"),
        (("--task", "process-chunk"), "is made by other jobs only"),
        (("--task", "call"), "The task call reads no files"),
        ((), "Missing option '--task'"),
        ((*TASK, "--param", "most"), "has no value; write NAME=VALUE"),
        ((*TASK, "--param", "mst=1"), "`mst` is no field of this task; did you mean `most`?"),
        ((*TASK, "--param", "most=many"), "`most`: expected `float`, got `str`"),
        ((*TASK, "--param", "most=0"), "`most` is 0, but has to be more than 0"),
        ((*TASK, "--model", "large"), "`model` is no field of this task"),
        ((*TASK, "--enhance"), "goes with --task transcribe"),
        ((*TASK, "--workers", "0"), "--workers"),
        ((*TASK, "--memory-limit", "much"), "--memory-limit"),
        ((*TASK, "--cpu-limit", "101"), "--cpu-limit"),
        ((*TASK, "--quiet", "--verbose"), "contradict"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(arguments: tuple[str, ...], said: str, folder: Path) -> None:
    """Nothing is begun."""
    result = call_here("run", folder, *arguments)
    assert_plain(result, ExitCode.USAGE, said)
    assert len(result.stderr.splitlines()) == 1
    assert not (folder / ".pyprocessor").exists()


def test_what_is_no_folder(tmp_path: Path, folder: Path) -> None:
    """A name that is not there; and a folder without such files is no failure."""
    assert_plain(call_here("run", tmp_path / "nowhere", *TASK), ExitCode.USAGE, "does not exist")
    (tmp_path / "empty").mkdir()
    assert_plain(call("run", tmp_path / "empty", *TASK), ExitCode.OK, "has no file with an extension", "Nothing to do")


WAITS = """
import time, os
from pyprocessor.models import Cost
from pyprocessor.tasks.base import Call, Done, Plan


class Waits:
    name, summary, inputs, extensions = "waits", "Waits for a file", (1, 1), ("srt",)

    def inspect(self, inputs, params, limits):
        return None

    def plan(self, params, inputs, found, output):
        return Plan((), Cost(0.1, 16 << 20, 0))

    def run(self, work):
        yield Call("waits:wait", {"path": os.fsdecode(work.inputs[0].path)})
        return Done(result="it came")


def wait(path):
    while not os.path.exists(path + ".go"):
        time.sleep(0.05)
"""
PROJECT = (
    '[project]\nname = "waits"\nversion = "1"\n[project.entry-points."pyprocessor.tasks"]\nwaits = "waits:Waits"\n'
)


@pytest.fixture
def waits(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A task that waits for a file beside its source, which what is returned makes."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "pyproject.toml").write_text(PROJECT)
    (package / "waits.py").write_text(WAITS)
    install_package(package, tmp_path / "site", monkeypatch)
    return lambda name: (folder / f"{name}.go").touch()


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_run_is_steered_and_gone_on_with(folder: Path, waits: Callable[[str], None], way: str) -> None:
    """As any other: reached, stopped, killed; what was done is not done again."""
    waits("slow.srt")
    process = begin("run", folder, "--task", "waits", "--workers", "2")
    try:
        until(lambda: standing(folder).get("snapshot", {}).get("succeeded") == 1, "the first one")
        until(lambda: standing(folder)["files"], "the other one")
        if way == "stop":
            assert call("stop", "--output", folder, "--now").returncode == ExitCode.OK
            assert process.wait(DEADLINE_SECONDS) == ExitCode.INTERRUPTED
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(DEADLINE_SECONDS)
    finally:
        process.kill()
        process.communicate()
    waits("deep/fast.srt")
    again = summary(folder, "--task", "waits")
    assert (again["counts"]["succeeded"], again["counts"]["done_before"], again["run"]["exit_code"]) == (1, 1, 0)
    assert attempts(folder) == {"slow": 1, "deep/fast": 2}
