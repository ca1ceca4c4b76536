"""The examples of docs/examples run as they are shown: a task of one's own, a pipeline as a file and in Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pyprocessor.errors import ExitCode
from tests.acceptance.command import assert_plain, call
from tests.conftest import ClipMaker
from tests.installed import install_package
from tests.integration import api_server, file_server
from tests.process.runs import published
from tests.waiting import DEADLINE_SECONDS

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
KEY = "sk-of-this-test"
SPOKEN = "good morning to all of you and thank you for coming"


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A few words, said by a machine."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    said = tmp_path_factory.mktemp("speech") / "interview.wav"
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "120", "-w", str(said), SPOKEN], check=True)
    return said.read_bytes()


@pytest.fixture
def web(speech: bytes) -> Iterator[file_server.FileServer]:
    """A server that has the recording."""
    with file_server.serving(speech) as server:
        yield server


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[api_server.ApiServer]:
    """A server that improves texts for those who have the key."""
    monkeypatch.setenv("DEEPSEEK_API_KEY", KEY)
    with api_server.api_server(key=KEY) as server:
        yield server


def address(web: file_server.FileServer) -> str:
    """Where the recording is."""
    return f"http://127.0.0.1:{web.port}/interview.wav"


def with_servers_of_the_test(text: str, web: file_server.FileServer, api: api_server.ApiServer) -> list[dict[str, Any]]:
    """The jobs of the example, asked of servers on this machine."""
    jobs: list[dict[str, Any]] = yaml.safe_load(text)["jobs"]
    by_task = {job["task"]: job for job in jobs}
    by_task["download"]["params"] |= {"url": address(web), "allow_private": True}
    by_task["enhance"]["params"]["url"] = api.url
    return jobs


def test_the_pipeline_as_a_file(web: file_server.FileServer, api: api_server.ApiServer, tmp_path: Path) -> None:
    """From the download to the improved text; the key is in nothing that is kept, and again there is nothing to do."""
    jobs, output = tmp_path / "pipeline.json", tmp_path / "Texts"
    jobs.write_text(json.dumps(with_servers_of_the_test((EXAMPLES / "pipeline.yaml").read_text(), web, api)))
    shown = call("submit", jobs, "--output", output, "--dry-run")
    assert_plain(shown, ExitCode.OK, "makes interview.wav", "interview.text.txt", "not before 2026-01-01T00:00:00Z")
    order = [line.split()[2] for line in shown.stdout.splitlines()[:-1] if not line.startswith(" ")]
    assert order == ["interview", "interview.sound", "interview.text", "interview.improved"]
    assert_plain(call("submit", jobs, "--output", output), ExitCode.OK, "4 jobs taken in")
    assert_plain(call("--output", output), ExitCode.OK, "Done")
    written = (output / "interview.text.txt").read_text()
    assert set(SPOKEN.split()) & set(written.split()), "a machine's voice is hard to understand, but not all of it"
    (improved,) = [name for name in published(output) if "enhanced" in name or "improved" in name]
    assert (output / improved).read_text().strip()[0].isupper()
    assert len(api.requests) == 1
    assert_plain(call("--output", output), ExitCode.OK, "Nothing to do")
    kept = b"".join(path.read_bytes() for path in (output / ".pyprocessor").rglob("*") if path.is_file())
    assert KEY.encode() not in kept


def test_the_pipeline_in_python(web: file_server.FileServer, api: api_server.ApiServer, tmp_path: Path) -> None:
    """The same in a program; its results are there and its numbers printed."""
    output = tmp_path / "Texts"
    done = subprocess.run(
        [sys.executable, EXAMPLES / "pipeline.py", address(web), output, api.url],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 tasks done" in done.stdout
    assert "content_preserved" in done.stdout
    assert any("enhanced" in name for name in published(output))


def test_the_task_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitted as a job; what it found is in its result."""
    install_package(EXAMPLES / "own_task", tmp_path / "site", monkeypatch)
    (tmp_path / "talk.srt").write_text("1\n00:00:01,000 --> 00:00:01,500\nTo be or not to be, that is the question\n")
    (tmp_path / "jobs.yaml").write_text("- {task: reading-speed, key: talk, inputs: [talk.srt], params: {most: 20}}")
    output = tmp_path / "Reports"
    assert_plain(call("submit", tmp_path / "jobs.yaml", "--output", output), ExitCode.OK, "1 job")
    assert_plain(call("--output", output), ExitCode.OK)
    shown = json.loads(call("jobs", "show", "talk", "--output", output, "--json").stdout)
    assert shown["result"] == {"quality": {"readable": 0.0}, "warnings": ["1 of 1 subtitles are too fast."]}
    assert json.loads((output / "talk.speed.json").read_text())["subtitles"][0]["speed"] == 80.0


def test_the_python_of_the_readme(make_clip: ClipMaker, tmp_path: Path) -> None:
    """All of it runs as it is shown, over one clip."""
    (shown,) = re.findall(r"```python\n(.*?)```", (EXAMPLES.parents[1] / "README.md").read_text(), re.DOTALL)
    program = tmp_path / "program.py"
    program.write_text(f"{shown}\nimport asyncio\n\nasyncio.run(transcribe())\n")
    make_clip(tmp_path / "talk.mp4", seconds=2.0, audio="aac")
    ran = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert all(text in ran.stdout for text in ("'HELLO'", "'BYE'", "chunk_0000.mp4", "(1.0, ", "success_count=2"))
    assert {"talk.16k.wav", "talk.txt", "talk.srt"} <= set(published(tmp_path / "Talks"))
