"""`pyprocessor.run` as programs call it: scripts, threads, the examples of docs/api.md."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import pyprocessor
from pyprocessor.errors import ExitCode, OutputBusy, ProfileError, UsageError
from pyprocessor.models import JobState, events
from tests.acceptance.command import assert_plain, call
from tests.long import long_after
from tests.process.runs import published
from tests.process.steered import slow_ffmpeg
from tests.waiting import DEADLINE_SECONDS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"```python\n(import pyprocessor\n.*?)```", PAGE, re.DOTALL)
TASK, ENTRY_POINTS, JOBS = (
    re.search(rf"```{kind}\n({begin}.*?)```", PAGE, re.DOTALL)[1]  # type: ignore[index]
    for kind, begin in (("python", "import json"), ("toml", ""), ("yaml", ""))
)


@pytest.fixture
def videos(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    """A folder of two videos and one file that is none."""
    make_clip(tmp_path / "Videos" / "a.mov")
    make_clip(tmp_path / "Videos" / "sub" / "b.mov")
    (tmp_path / "Videos" / "bad.mp4").write_text("no video")
    return tmp_path / "Videos"


def script(folder: Path, text: str) -> subprocess.Popen[str]:
    """A script, without a guard for its main module, that is run in this folder."""
    (folder / "script.py").write_text(text)
    return subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_it_does_the_main_job_and_says_what_became_of_each_file(videos: Path, tmp_path: Path) -> None:
    """Counts, outcomes and exit code; a second call finds nothing to do."""
    result = pyprocessor.run(videos, tmp_path / "out", profile="fast", crf=30)
    assert (result.exit_code, result.counts.succeeded, result.counts.failed) == (ExitCode.SOME_FAILED, 2, 1)
    assert result.journal.is_file()
    found = {file.source.name: file for file in result.outcomes()}
    assert found["a.mov"].output == tmp_path / "out" / "a.mp4"
    assert found["b.mov"].output == tmp_path / "out" / "sub" / "b.mp4"
    assert (found["bad.mp4"].state, found["bad.mp4"].output) == (JobState.FAILED, None)
    assert found["bad.mp4"].reason
    again = pyprocessor.run(str(videos), bytes(tmp_path / "out"), profile="fast", crf=30)
    assert (again.exit_code, again.counts.total, again.done_before, again.failed_before) == (1, 0, 2, 1)
    assert list(again.outcomes()) == []


def test_events_are_versioned_and_in_order(videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each started file ends once; failures are logged, too."""
    seen: list[events.Event] = []
    pyprocessor.run([videos / "a.mov", videos / "bad.mp4"], tmp_path / "out", profile="fast", on_event=seen.append)
    assert {event.version for event in seen} == {events.VERSION}
    started = [event.name for event in seen if isinstance(event, events.Started)]
    ended = {event.name: event.outcome.value for event in seen if isinstance(event, events.Ended)}
    assert started == ["a.mov"]
    assert ended == {"a.mov": "succeeded", "bad.mp4": "failed"}
    assert isinstance(seen[-1], events.Tick)
    assert any(record.name == "pyprocessor" and "bad.mp4" in record.getMessage() for record in caplog.records)


def test_a_function_that_fails_ends_nothing(videos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its traceback is logged, and all is done."""

    def fail(event: events.Event) -> None:
        raise RuntimeError("not today")

    with caplog.at_level(logging.ERROR, logger="pyprocessor"):
        assert pyprocessor.run(videos / "a.mov", tmp_path / "out", profile="fast", on_event=fail).exit_code == 0
    assert "not today" in caplog.text


def test_mistakes_are_raised_before_anything_is_begun(videos: Path, tmp_path: Path) -> None:
    """As the sentences of the command; nothing is made."""
    for error, words, arguments in (
        (ProfileError, "nosuch", {"profile": "nosuch"}),
        (ProfileError, "crf", {"crf": 99}),
        (UsageError, "did you mean `preset`", {"presset": "slow"}),
        (UsageError, "limit", {"limit": 0}),
        (ProfileError, "memory_limit", {"memory_limit_bytes": "much"}),
    ):
        with pytest.raises(error, match=words):
            pyprocessor.run(videos, tmp_path / "out", **arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not exist"):
        pyprocessor.run(tmp_path / "nothing", tmp_path / "out")
    with pytest.raises(UsageError, match="No input is named"):
        pyprocessor.run([], tmp_path / "out", watch=True)
    assert not (tmp_path / "out").exists()


def test_runs_in_threads(videos: Path, tmp_path: Path) -> None:
    """Two at once over two outputs; a second one over the same output is refused."""
    results: dict[str, pyprocessor.RunResult] = {}
    begun, go_on = threading.Event(), threading.Event()

    def hold(event: events.Event) -> None:
        begun.set()
        assert go_on.wait(DEADLINE_SECONDS)

    def convert(name: str, **more: object) -> None:
        results[name] = pyprocessor.run(videos, tmp_path / name, profile="fast", **more)

    threads = [
        threading.Thread(target=convert, args=("one",), kwargs={"on_event": hold}),
        threading.Thread(target=convert, args=("two",)),
    ]
    for thread in threads:
        thread.start()
    assert begun.wait(DEADLINE_SECONDS)
    try:
        with pytest.raises(OutputBusy):
            pyprocessor.run(videos, tmp_path / "one", profile="fast")
    finally:
        go_on.set()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
    assert {name: result.counts.succeeded for name, result in results.items()} == {"one": 2, "two": 2}
    assert published(tmp_path / "one") == published(tmp_path / "two") == {"a.mp4", "sub/b.mp4"}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str, videos: Path, tmp_path: Path) -> None:
    """As scripts, in a folder that has `Videos`."""
    said, errors = script(tmp_path, example).communicate(timeout=DEADLINE_SECONDS)
    assert "a.mov" in said
    assert "Traceback" not in errors
    assert published(tmp_path / "Converted") == {"a.mp4", "sub/b.mp4"}


@long_after(1, ("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_signal_stops_the_run_and_then_the_script(  # type: ignore[no-untyped-def]
    number: signal.Signals, status: int, tmp_path: Path, make_clip, ffmpeg_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs is finished first, nothing new starts, and the script does not go on with its next call."""
    for name in ("a.mov", "b.mov", "c.mov"):
        make_clip(tmp_path / "Videos" / name, seconds=4.0, audio=None)
    monkeypatch.setenv("PYPROCESSOR_FFMPEG", slow_ffmpeg(tmp_path / "slow", ffmpeg_path, 0.5))
    process = script(
        tmp_path,
        "import pyprocessor\n"
        "from pyprocessor.models import events\n"
        "def show(event):\n"
        "    if isinstance(event, events.Started):\n"
        "        print('started', flush=True)\n"
        "settings = {'batch_enabled': False, 'grace_seconds': 600}\n"
        "pyprocessor.run('Videos', 'Converted', profile='fast', on_event=show, **settings)\n"
        "print('went on')\n",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    said, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert "went on" not in said
    assert process.returncode == status, errors
    assert errors.count("KeyboardInterrupt") == (number is signal.SIGINT)
    assert len(published(tmp_path / "Converted")) == 1
    monkeypatch.delenv("PYPROCESSOR_FFMPEG")
    result = pyprocessor.run(tmp_path / "Videos", tmp_path / "Converted", profile="fast")
    assert (result.exit_code, result.counts.succeeded, result.done_before) == (0, 2, 1)


def test_importing_the_package_is_light() -> None:
    """What `run` needs is imported at its first use."""
    code = "import sys, pyprocessor; print(sorted({'yaml', 'psutil', 'av', 'sqlite3'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_task_of_the_page_does_what_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed as a package with that entry point, submitted and run by the commands."""
    site, info = tmp_path / "site", tmp_path / "site" / "captions-1.dist-info"
    info.mkdir(parents=True)
    (site / "captions.py").write_text(TASK)
    group = tomllib.loads(ENTRY_POINTS)["project"]["entry-points"]["pyprocessor.tasks"]
    lines = (f"{name} = {place}" for name, place in group.items())
    (info / "entry_points.txt").write_text("\n".join(("[pyprocessor.tasks]", *lines)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: captions\nVersion: 1\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    (tmp_path / "jobs.yaml").write_text(JOBS)
    (tmp_path / "talk.txt").write_text("to be\nor not to be\n")
    output = tmp_path / "Converted"
    assert_plain(call("submit", tmp_path / "jobs.yaml", "--output", output), ExitCode.OK, "1 job")
    assert_plain(call("--output", output), ExitCode.OK)
    assert json.loads((output / "talk.json").read_text()) == ["be", "not", "or", "to"]
    assert (output / "talk.srt").read_text().count(" --> ") == 2
    shown = json.loads(call("jobs", "show", "talk", "--output", output, "--json").stdout)
    assert shown["result"] == {"lines": 2}
