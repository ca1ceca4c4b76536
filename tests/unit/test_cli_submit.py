"""`submit`: which files of jobs are read, and what is said of those that cannot be."""

from __future__ import annotations

import io
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from pyprocessor.cli import submit as room
from pyprocessor.cli.main import main
from pyprocessor.errors import ExitCode
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState
from pyprocessor.state.journal_opening import hold_lock
from tests.installed import install_package
from tests.integration.worked import example_tasks

__all__ = ["example_tasks"]
pytestmark = pytest.mark.usefixtures("example_tasks")

OWN_TASK = Path(__file__).parents[2] / "docs" / "examples" / "own_task"
Captured = pytest.CaptureFixture[str]
JOBS = [{"task": "ask", "key": "a", "inputs": ["a.mov"]}, {"task": "ask", "key": "b", "after": ["a"]}]
YAML = "- {task: ask, key: a, inputs: [a.mov]}\n- task: ask\n  key: b\n  after: [a]\n"
LINES = "".join(json.dumps(job) + "\n\n" for job in JOBS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a source, which is not the current one."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mov").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


def states(output: Path) -> dict[str, JobState]:
    """The state of each job by its name."""
    with JournalReader.read_only(bytes(output / ".pyprocessor")) as journal:
        return {row.name: row.state for row in journal.jobs()}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jobs.yaml", YAML),
        ("jobs.yaml", "jobs:\n" + YAML),
        ("jobs", YAML),
        ("jobs.json", json.dumps(JOBS, indent=2)),
        ("jobs.json", json.dumps({"jobs": JOBS})),
        ("jobs", json.dumps(JOBS)),
        ("jobs.jsonl", LINES),
        ("jobs", LINES),
    ],
)
def test_files_of_jobs(name: str, text: str, folder: Path, tmp_path: Path, capsys: Captured) -> None:
    """YAML, JSON and JSON lines, known by name or content. The output need not be there; paths start at the file."""
    (folder / name).write_text(text)
    command = ["submit", str(folder / name), "--output", str(tmp_path / "out")]
    assert main([*command, "--dry-run"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=2)[1:] for line in lines[:-1] if not line.startswith(" ")] == [
        ["ask", "a (1 file)"],
        ["ask", "b (waits for a)"],
    ]
    assert lines[-1] == "2 jobs would be taken in."
    assert not (tmp_path / "out").exists()
    assert main(command) == ExitCode.OK
    assert capsys.readouterr().out == "2 jobs taken in; the next run does what is left to do.\n"
    assert states(tmp_path / "out") == {"a": JobState.PENDING, "b": JobState.WAITING}
    assert main(command) == ExitCode.OK
    assert "2 jobs taken in" in capsys.readouterr().out, "what still waits takes today's words"
    assert len(states(tmp_path / "out")) == 2
    assert main([*command, "--queue", "other"]) == ExitCode.OK
    with JournalReader.read_only(bytes(tmp_path / "out" / ".pyprocessor")) as journal:
        assert sum(1 for _ in journal.jobs()) == 4


PIPELINE = """
- {task: reading-speed, key: again, inputs: [{job: talk}], not_before: "2030-01-01T00:00:00Z", deadline: 1900000000}
- {task: reading-speed, key: talk, inputs: [talk.srt]}
- {task: reading-speed, key: first, inputs: [talk.srt], priority: -1}
- {task: reading-speed, key: wrong, inputs: [{job: talk, role: words}]}
- {task: reading-speed, key: last, inputs: [{job: wrong}], after: [talk, first, again]}
- {task: transcode, key: film, inputs: [a.mov]}
"""


def test_a_dry_run_shows_the_pipeline(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order, what each waits for and makes, when it may begin, and what is wrong that can be told before."""
    install_package(OWN_TASK, tmp_path / "site", monkeypatch)
    (folder / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    (folder / "jobs.yaml").write_text(PIPELINE)
    assert main(["submit", str(folder / "jobs.yaml"), "--output", str(tmp_path / "out"), "--dry-run"]) == ExitCode.OK
    *lines, _, chance = capsys.readouterr().out.splitlines()
    assert " is 0%: " in chance, "two of them are known to fail"
    assert "film (and 1 more) would fail: The file is text, not video." in chance
    assert sum(line.startswith("    takes about ") for line in lines) == 2, "of those whose files are there"
    lines = [line if line[0] == " " else line[14:] for line in lines if not line.startswith("    takes about ")]
    problem = lines.pop(5)  # that the film is none, or is not transcoded so
    assert problem.startswith("    ")
    assert not problem.startswith("    makes")
    assert lines == [
        "reading-speed  first (1 file)",
        "    makes first.speed.json",
        "reading-speed  talk (1 file)",
        "    makes talk.speed.json",
        "transcode     film (1 file)",
        "reading-speed  again (waits for talk)",
        "    makes again.speed.json",
        "    not before 2030-01-01T00:00:00Z, deadline 2030-03-17T17:46:40Z",
        "reading-speed  wrong (waits for talk)",
        "    It reads a product 'words' of a job that makes: main.",
        "reading-speed  last (waits for talk, first, again, wrong)",
        "    makes last.speed.json",
    ]
    assert not (tmp_path / "out").exists()


NAMED_BY_CONTENT = """
from pyprocessor.models import Cost
from pyprocessor.models.products import Product
from pyprocessor.tasks.base import Plan


class Typed:
    name, inputs = "typed", (1, 1)

    def inspect(self, inputs, params, limits):
        return {"kind": "txt", "seconds": 2}

    def plan(self, params, inputs, found, output):
        kind = found["kind"] if params.get("by_content") else "log"
        return Plan((Product(output + f".{kind}".encode()),), Cost(found["seconds"] * 0.5, 16 << 20, 0))
"""
PROJECT = (
    '[project]\nname = "typed"\nversion = "1"\n[project.entry-points."pyprocessor.tasks"]\ntyped = "typed:Typed"\n'
)
TYPED = """
- {task: typed, key: a, inputs: [a.mov], params: {by_content: true}}
- {task: typed, key: b, inputs: [{job: a}], params: {by_content: true}}
- {task: typed, key: c, inputs: [{job: b}]}
"""


def test_a_dry_run_names_the_services_that_would_be_asked(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    """In their order, as `status` calls them; of a task without any there is no line."""
    (folder / "talk.txt").write_text("words")
    services = [{"name": "near", "url": "http://127.0.0.1:1/v1", "key_from": ""}, {"url": "https://api.example/v1"}]
    improve = {"task": "enhance", "key": "talk", "inputs": ["talk.txt"], "params": {"backends": services}}
    sums = {"task": "checksum", "key": "sums", "inputs": ["talk.txt"]}
    (folder / "jobs.json").write_text(json.dumps([improve, sums]))
    assert main(["submit", str(folder / "jobs.json"), "--output", str(tmp_path / "out"), "--dry-run"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["    makes talk.enhanced.txt", "    asks near, else api.example"]
    assert sum("asks" in line for line in lines) == 1


def test_a_dry_run_tells_names_that_lie_elsewhere(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    """As the job would be refused with when it is planned."""
    keys = {"../b": "is no path below the output folder", ".pyprocessor/b": "lies in the folder of the state"}
    jobs = [{"task": "checksum", "key": key, "inputs": ["a.mov"], "params": {"write": True}} for key in keys]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    assert main(["submit", str(folder / "jobs.json"), "--output", str(tmp_path / "out"), "--dry-run"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert all(said in shown for said in keys.values())


def test_a_dry_run_says_what_cannot_be_known_yet(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names that depend on the content of files which other jobs make; other names are told all the same."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "typed.py").write_text(NAMED_BY_CONTENT)
    (tmp_path / "package" / "pyproject.toml").write_text(PROJECT)
    install_package(tmp_path / "package", tmp_path / "site", monkeypatch)
    (folder / "jobs.yaml").write_text(TYPED)
    assert main(["submit", str(folder / "jobs.yaml"), "--output", str(tmp_path / "out"), "--dry-run"]) == ExitCode.OK
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("    takes about ")]
    assert lines[1::2] == [
        "    makes a.txt",
        "    what it makes is known once its inputs are there",
        "    makes c.log",
    ]


def test_standard_input(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its paths start from the current folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(LINES.encode())))
    assert main(["submit", "-", "--output", str(tmp_path / "out")]) == ExitCode.OK
    with JournalReader.read_only(bytes(tmp_path / "out" / ".pyprocessor")) as journal:
        assert next(journal.jobs()).source.path == bytes(folder / "a.mov")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.json", "[{]", "jobs.json, line 1, column 3: not valid JSON"),
        ("jobs.json", '[{"key": 1, "key": 2}]', "jobs.json: not valid JSON: the key key stands twice."),
        ("jobs.json", '[{"timeout": NaN}]', "NaN is no number in JSON"),
        ("jobs.json", "[" * 100_000, "nested too deeply"),
        ("jobs.jsonl", '{"task": "ask", "key": "a"}\nnonsense\n', "jobs.jsonl, line 2, column 1: not valid JSON"),
        ("jobs.json", LINES, "not valid JSON: Extra data."),
        ("jobs.yaml", "- a: [", "jobs.yaml, line 1"),
        ("jobs.yaml", "- task: a\n  task: b\n", "stands twice"),
        ("jobs.yaml", "", "jobs.yaml is empty"),
        ("jobs.yaml", "just text", "A document of jobs is a list of jobs; this one is not."),
        ("jobs.jsonl", "\n", "The document has no jobs."),
        ("jobs.yaml", "- {task: ask, key: a, after: [nobody]}", "`after` names nobody, a job that neither"),
        ("jobs.yaml", "- {task: ask, key: a, inputs: [b.mov]}", "in/b.mov, which cannot be read"),
        ("jobs.yaml", "- {task: ask, key: a, after: [a]}", "These jobs wait for each other"),
    ],
)
def test_what_is_no_file_of_jobs(
    name: str, text: str, said: str, folder: Path, tmp_path: Path, capsys: Captured
) -> None:
    """One sentence, with the place; nothing is made."""
    (folder / name).write_text(text)
    for more in ([], ["--dry-run"]):
        assert main(["submit", str(folder / name), "--output", str(tmp_path / "out"), *more]) == ExitCode.USAGE
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert said in lines[0]
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None there, a folder, one that is too large, and bytes that are no text."""
    (folder / "latin.json").write_bytes(b'["caf\xe9"]')
    (folder / "large.json").write_bytes(b" " * 200)
    monkeypatch.setattr(room, "MAX_FILE_BYTES", 100)
    for name, said in (
        ("none.json", "cannot be read: No such file"),
        (".", "cannot be read: Is a directory"),
        ("latin.json", "line 1: the text is not UTF-8"),
        ("large.json", "submit its jobs in parts"),
    ):
        assert main(["submit", str(folder / name), "--output", str(tmp_path / "out")]) == ExitCode.USAGE
        assert said in capsys.readouterr().err


def test_all_or_none(folder: Path, tmp_path: Path, capsys: Captured) -> None:
    """While another process holds the output nothing is taken in; a job that others know may be waited for."""
    (folder / "one.json").write_text(json.dumps(JOBS[:1]))
    (folder / "two.json").write_text(json.dumps([{"task": "ask", "key": "c", "after": ["a"]}]))
    out = tmp_path / "out"
    assert main(["submit", str(folder / "one.json"), "--output", str(out)]) == ExitCode.OK
    with hold_lock(bytes(out / ".pyprocessor"), bytes(out)):
        assert main(["submit", str(folder / "two.json"), "--output", str(out)]) == ExitCode.TRY_AGAIN
    assert list(states(out)) == ["a"]
    assert main(["submit", str(folder / "two.json"), "--output", str(out)]) == ExitCode.OK
    assert states(out) == {"a": JobState.PENDING, "c": JobState.WAITING}
    assert os.stat(out / ".pyprocessor").st_mode & 0o077 == 0
    capsys.readouterr()
    assert main(["status", "--output", str(out)]) == ExitCode.NOT_RUNNING
    assert "no run is remembered" in capsys.readouterr().out


def submit(folder: Path, *options: str, jobs: str = "[{task: reading-speed, key: a, inputs: [talk.srt]}]") -> int:
    """Submit the jobs of a file beside a subtitle."""
    (folder / "talk.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    (folder / "jobs.yaml").write_text(jobs)
    return main(["submit", str(folder / "jobs.yaml"), "--output", str(folder.parent / "out"), *options])


def test_a_deadline_that_is_likely_to_be_kept(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs have it, and the chance is told; those that wait already count in the next."""
    install_package(OWN_TASK, tmp_path / "site", monkeypatch)
    assert submit(folder, "--deadline", "2999-01-01T00:00:00Z", "--refuse-below", "0.8") == ExitCode.OK
    taken, told = capsys.readouterr().out.splitlines()
    assert taken == "1 job taken in; the next run does what is left to do."
    assert told.startswith("If a run begins now, the chance that all is done in time (by 2999-01-01T00:00:00Z, in ")
    assert " is 100%: it is predicted to take " in told
    with JournalReader.read_only(bytes(tmp_path / "out" / ".pyprocessor")) as journal:
        assert [row.deadline for row in journal.jobs()] == [32472144000.0]
    more = "[{task: reading-speed, key: b, inputs: [talk.srt], deadline: 40000000000}]"
    assert submit(folder, jobs=more) == ExitCode.OK
    assert capsys.readouterr().out.endswith(" Also counted: 1 job submitted before.\n")


def test_a_deadline_that_cannot_be_kept_is_refused_by_choice(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the numbers, and nothing is taken in; without the option it is, and the chance told."""
    install_package(OWN_TASK, tmp_path / "site", monkeypatch)
    soon = ("--deadline", datetime.fromtimestamp(time.time() + 0.01 + 2.0, UTC).isoformat())
    monkeypatch.setattr("pyprocessor.engine.dry_run.time.time", lambda: time.time_ns() / 1e9 + 3.0)
    assert submit(folder, *soon, "--refuse-below", "0.8") == ExitCode.USAGE
    assert capsys.readouterr().err.endswith("That is less than 80%, so nothing is taken in.\n")
    assert not (tmp_path / "out").exists()
    assert submit(folder, *soon) == ExitCode.OK
    assert " is 0%: it is predicted to take " in capsys.readouterr().out


def test_a_dry_run_as_a_document(
    folder: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job with the band of its prediction, and what is not known before."""
    install_package(OWN_TASK, tmp_path / "site", monkeypatch)
    jobs = (
        "[{task: reading-speed, key: a, inputs: [talk.srt]}, {task: reading-speed, key: b, inputs: [{job: a}]},"
        " {task: ask, key: c, params: {function: noop}}]"
    )
    assert submit(folder, "--dry-run", "--json", "--deadline", "2999-01-01T00:00:00Z", jobs=jobs) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    by_name = {job["name"]: job for job in document["jobs"]}
    assert by_name["a"]["seconds_low"] <= by_name["a"]["seconds"] <= by_name["a"]["seconds_high"]
    assert by_name["a"]["seconds_high"] > 0
    assert (by_name["b"]["seconds"], by_name["b"]["waits_for"]) == (None, ["a"])
    assert (document["chance"], document["not_counted"], document["waiting"]) == (1.0, 1, 0)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--deadline", "soon"], "--deadline is soon; write 07:00"),
        (["--deadline", "9999-12-31T23:59:59-12:00"], "write 07:00"),
        (["--deadline", "07:00", "--refuse-below", "nan"], "--refuse-below is nan, but has to be"),
        (["--deadline", "2001-01-01T00:00:00Z"], "2001-01-01T00:00:00Z, which has passed"),
        (["--refuse-below", "0.5"], "--refuse-below needs a time"),
        (["--json"], "add --dry-run"),
        (["--refuse-below", "80"], "80"),
    ],
)
def test_deadlines_that_make_no_sense(options: list[str], named: str, folder: Path, capsys: Captured) -> None:
    """Each with what to do."""
    jobs = "[{task: ask, key: a, inputs: [talk.srt]}]"
    assert submit(folder, *options, jobs=jobs) == ExitCode.USAGE
    assert named in capsys.readouterr().err
