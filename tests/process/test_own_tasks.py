"""The kinds of work that come along, as submitted jobs through the whole engine."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import ExitCode
from pyprocessor.inspect.probe import probe
from tests.acceptance.command import begin, call
from tests.conftest import ClipMaker
from tests.integration.file_server import Answer, serving
from tests.integration.worked import example_tasks
from tests.process.queues import Queue
from tests.process.runs import partials
from tests.waiting import until

__all__ = ["example_tasks"]


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    """No jobs yet."""
    return Queue(tmp_path)


def result(queue: Queue, key: str) -> Any:
    """The result of a job that succeeded."""
    row = queue.rows()[key]
    assert row.state.value == "succeeded", row.reason
    assert row.result is not None
    return json.loads(row.result)


def reason(queue: Queue, key: str) -> tuple[str, str]:
    """The kind of a failure, and its sentence."""
    row = queue.rows()[key]
    assert row.failure is not None
    return row.failure.value, row.reason


# ---------------------------------------------------------------- download


def download(key: str, url: str, **params: Any) -> dict[str, Any]:
    """The document of a job that downloads from loopback."""
    return {"task": "download", "key": key, "params": {"url": url, "allow_private": True, **params}}


def test_downloads(queue: Queue) -> None:
    """Named after their addresses beside what the key says, published whole; nothing else stays."""
    content = random.Random(2).randbytes(300_000)
    digest = hashlib.sha256(content).hexdigest()
    with serving(content, Answer(503), Answer(503)) as files:
        queue.submit(
            download("a", f"{files.url}/film%20one.mp4?x=1", checksum=digest),
            download("talks/b", f"{files.url}/x", name="film.mp4"),
            download("c", f"{files.url}/none.mp4", checksum=64 * "0"),
        )
        assert queue.run() == ExitCode.SOME_FAILED
    assert (queue.output / "film one.mp4").read_bytes() == content
    assert (queue.output / "talks" / "film.mp4").read_bytes() == content
    assert result(queue, "a")["checksum"] == f"sha256:{digest}"
    assert reason(queue, "c")[0] == "bad_input"
    assert partials(queue.output) == [f"{queue.rows()['c'].id}.kept", f"{queue.rows()['c'].id}.kept.notes"]
    assert queue.run() == ExitCode.SOME_FAILED
    assert partials(queue.output) == []


def test_a_download_goes_on_after_a_kill(queue: Queue) -> None:
    """The next run asks for the rest alone, and nothing of it stays besides the product."""
    content, hold = random.Random(3).randbytes(40_000_000), threading.Event()
    with serving(content, Answer(cut_at=36_000_000, hold=hold)) as files:
        queue.submit(download("film", f"{files.url}/film.mp4"))
        notes = queue.output / ".pyprocessor" / "partial" / f"{queue.rows()['film'].id}.kept.notes"
        process = begin("--output", queue.output)
        try:
            until(lambda: notes.exists() and '"bytes"' in notes.read_text(), "bytes on the disk")
        finally:
            process.kill()
            process.communicate()
        assert call("--output", queue.output).returncode == ExitCode.OK
        hold.set()
        assert "range" not in files.asked[0]
        begun = int(files.asked[1]["range"].removeprefix("bytes=").removesuffix("-"))
        assert begun >= 32 << 20
    assert (queue.output / "film.mp4").read_bytes() == content
    assert partials(queue.output) == []


def test_what_a_cancelled_download_kept_is_removed(queue: Queue) -> None:
    """The next run removes it."""
    with serving(bytes(5_000_000), Answer(cut_at=3_000_000), *[Answer(404)] * 9) as files:
        queue.submit(download("film", f"{files.url}/film.mp4"))
        assert queue.run() == ExitCode.SOME_FAILED
    assert len(partials(queue.output)) == 2
    queue.run()
    assert partials(queue.output) == []
    assert not any("no unfinished output" in text for _, text in queue.listener.notices)


# ---------------------------------------------------------------- youtube


def test_pages(queue: Queue, tmp_path: Path, make_clip: ClipMaker) -> None:
    """What is said of them, and their film in a container that is asked for."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=1.0)

    def page(key: str, url: str, **params: Any) -> dict[str, Any]:
        return {"task": "youtube", "key": key, "params": {"url": url, "allow_private": True, **params}}

    with serving(clip.read_bytes()) as files:
        queue.submit(
            page("said", f"{files.url}/clip.mp4"),
            page("film", f"{files.url}/clip.mp4", download=True, container="mkv"),
            page("inner", f"{files.url}/clip.mp4", allow_private=False),
        )
        assert queue.run() == ExitCode.SOME_FAILED
    assert result(queue, "said")["title"] == "clip"
    assert result(queue, "film")["files"] == 1
    assert reason(queue, "inner")[0] == "permission"
    made = {path.name for path in queue.output.iterdir() if path.is_file()}
    assert made == {"said.info.json", "film.mkv", "film.info.json"}
    media = probe(bytes(queue.output / "film.mkv"), size_bytes=(queue.output / "film.mkv").stat().st_size)
    assert [stream.kind.value for stream in media.streams] == ["video", "audio"]
    assert partials(queue.output) == []


# ---------------------------------------------------------------- checksum


def test_checksums(queue: Queue, tmp_path: Path, make_clip: ClipMaker) -> None:
    """Of a file, as other programs read them, and of packets, which stay the same in another container."""
    clip = make_clip(tmp_path / "a.mp4", seconds=1.0)
    copied = tmp_path / "b.mkv"
    ffmpeg = queue_ffmpeg()
    subprocess.run([ffmpeg, "-loglevel", "error", "-i", clip, "-c", "copy", copied], check=True)
    wanted = hashlib.sha256(clip.read_bytes()).hexdigest()

    def checksum(key: str, path: Path, **params: Any) -> dict[str, Any]:
        return {"task": "checksum", "key": key, "inputs": [str(path)], "params": params}

    queue.submit(
        checksum("a", clip, algorithms=["sha256", "md5"], write=True, expect=wanted.upper()),
        checksum("wrong", clip, expect=64 * "0"),
        checksum("p1", clip, of="packets"),
        checksum("p2", copied, of="packets"),
        checksum("text", Path(__file__), of="packets"),
    )
    assert queue.run() == ExitCode.SOME_FAILED
    assert (queue.output / "a.sha256").read_text() == f"{wanted}  a.mp4\n"
    assert (queue.output / "a.md5").read_text().endswith("  a.mp4\n")
    assert result(queue, "a")["digests"]["sha256"] == wanted
    assert reason(queue, "wrong") == ("bad_input", f"Its sha256 is {wanted}, and not {64 * '0'}.")
    sound = [
        [one["digests"] for one in result(queue, key)["streams"] if one["kind"] == "audio"] for key in ("p1", "p2")
    ]
    assert sound[0] == sound[1]
    assert reason(queue, "text")[0] == "bad_input"


def queue_ffmpeg() -> str:
    """The ffmpeg under test."""
    from pyprocessor.ffmpeg.tool import find

    return find().path


# ---------------------------------------------------------------- call


@pytest.mark.usefixtures("example_tasks")
def test_calls_of_functions(queue: Queue) -> None:
    """What they return is the result; coroutines wait at once; what cannot be called is one sentence."""
    home = "pyprocessor_example"
    jobs: dict[str, dict[str, Any]] = {
        "sum": {"function": f"{home}:add", "arguments": {"number": 4}},
        "nap": {"function": f"{home}:nap", "arguments": {"seconds": 0}, "coroutine": True},
        "none": {"function": f"{home}:missing"},
        "raises": {"function": f"{home}:fail", "arguments": {"text": "no"}},
        "grows": {"function": f"{home}:grow", "arguments": {"megabytes": 600}, "memory_mb": 200},
    }
    queue.submit(*({"task": "call", "key": key, "params": params, "max_retries": 0} for key, params in jobs.items()))
    assert queue.run() == ExitCode.SOME_FAILED
    assert result(queue, "sum") == 4
    assert isinstance(result(queue, "nap"), int)
    assert "cannot be found" in reason(queue, "none")[1]
    assert "raised ValueError: no" in reason(queue, "raises")[1]
    assert reason(queue, "grows")[0] == "resource"


def test_a_file_of_jobs_calls_only_what_is_allowed(tmp_path: Path) -> None:
    """By package or module, named on the command line; a name that only begins alike is another one."""
    jobs, output = tmp_path / "jobs.yaml", tmp_path / "out"
    jobs.write_text('- {task: call, key: a, params: {function: "json.decoder:JSONDecoder"}}\n')
    refused = call("submit", jobs, "--output", output, "--allow-calls", "js", "--allow-calls", "json.encoder")
    assert refused.returncode == ExitCode.USAGE
    assert "`function`: json.decoder is called only where the command line allows that: --allow-calls json." in (
        refused.stderr
    )
    for package in ("json", "json.decoder"):
        taken = call("submit", jobs, "--output", output, "--allow-calls", package)
        assert taken.returncode == ExitCode.OK, taken


# ---------------------------------------------------------------- verify


def test_verifying_films(queue: Queue, tmp_path: Path, make_clip: ClipMaker) -> None:
    """A whole one, a damaged one, one that is compared with what it was made of, and what is no film."""
    whole = make_clip(tmp_path / "whole.mp4", seconds=4.0)
    other = make_clip(tmp_path / "other.mp4", seconds=2.0)
    damaged = tmp_path / "damaged.mp4"
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    damaged.write_bytes(content)

    def verify(key: str, *paths: Path, **params: Any) -> dict[str, Any]:
        return {"task": "verify", "key": key, "inputs": list(map(str, paths)), "params": params}

    queue.submit(
        verify("whole", whole),
        verify("damaged", damaged),
        verify("strict", damaged, strict=True),
        verify("same", whole, whole),
        verify("shorter", other, whole),
        verify("text", Path(__file__)),
    )
    assert queue.run() == ExitCode.SOME_FAILED
    assert result(queue, "whole") == {
        "ok": True,
        "pictures": 100,
        "seconds": pytest.approx(4.0, abs=0.1),
        "notes": [],
        "quality": {"verified": True},
        "warnings": [],
    }
    found = result(queue, "damaged")
    assert (found["ok"], found["quality"]) == (False, {"verified": False})
    assert found["warnings"]
    assert reason(queue, "strict") == ("bad_input", found["warnings"][0])
    assert result(queue, "same")["ok"] is True
    assert result(queue, "shorter")["ok"] is False
    assert reason(queue, "text")[0] == "bad_input"
    assert {path.name for path in queue.output.iterdir()} == {".pyprocessor"}
    assert partials(queue.output) == []


# ---------------------------------------------------------------- transcode


def test_transcoding_by_submitted_jobs(queue: Queue, tmp_path: Path, make_clip: ClipMaker) -> None:
    """By the name of a profile, by a mapping as its file would hold it, with settings beside; without any profile."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=1.0)
    small = {"extends": "fast", "container": "mkv", "video": {"max_height": 44}, "audio": False}

    def transcode(key: str, **params: Any) -> dict[str, Any]:
        return {"task": "transcode", "key": key, "inputs": [str(clip)], "params": params}

    queue.submit(
        transcode("named", profile="fast", crf=30, fps="12.5"),
        transcode("mapped", profile=small),
        transcode("usual"),
        transcode("sound", profile="audio"),
    )
    assert queue.run() == ExitCode.OK
    made = {path.name for path in queue.output.iterdir() if path.is_file()}
    assert made == {"named.mp4", "mapped.mkv", "usual.mp4", "sound.m4a"}
    media = probe(bytes(queue.output / "mapped.mkv"), size_bytes=(queue.output / "mapped.mkv").stat().st_size)
    assert media.audio == ()
    assert media.video is not None
    assert media.video.video is not None
    assert media.video.video.height == 44
    assert queue.run() == ExitCode.OK
    assert {row.attempts for row in queue.rows().values()} == {1}


def test_a_profile_that_is_wrong_is_refused_when_it_is_submitted(tmp_path: Path, make_clip: ClipMaker) -> None:
    """Each mistake by its key; words for ffmpeg that nobody checked are refused as well."""
    make_clip(tmp_path / "clip.mp4", seconds=1.0)
    jobs = tmp_path / "jobs.json"
    for params, said in (
        ({"profile": "fats"}, "no built-in profile"),
        ({"profile": {"video": {"crf": 99}}}, "`video.crf` is 99"),
        ({"crf": 99}, "--crf is 99"),
        ({"crf": "x"}, "`crf`: expected"),
        ({"profile": {"unsafe": {"output": ["-x"]}}}, "not checked"),
        ({"whole": {}}, "`whole` is no field"),
    ):
        jobs.write_text(json.dumps([{"task": "transcode", "key": "a", "inputs": ["clip.mp4"], "params": params}]))
        refused = call("submit", jobs, "--output", tmp_path / "out")
        assert refused.returncode == ExitCode.USAGE, refused
        assert said in refused.stderr


# ---------------------------------------------------------------- chunk


def test_a_film_in_chunks(queue: Queue, tmp_path: Path, make_clip: ClipMaker) -> None:
    """Copied at keyframes, or encoded at the very times, in a folder with a manifest; each picture is in one chunk."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=5.0, extra=["-g", "25", "-sc_threshold", "0"])

    def chunk(key: str, path: Path = clip, **params: Any) -> dict[str, Any]:
        return {"task": "chunk", "key": key, "inputs": [str(path)], "params": params}

    queue.submit(
        chunk("copied", chunk_duration=1.0),
        chunk(
            "exact", chunk_duration=1.5, start=0.5, end=4.5, exact=True, profile={"extends": "fast", "container": "mkv"}
        ),
        chunk("text", Path(__file__)),
        chunk("many", chunk_duration=0.00001),
    )
    assert queue.run() == ExitCode.SOME_FAILED
    for key, extension, starts, pictures in (
        ("copied", "mp4", [0.0, 1.0, 2.0, 3.0, 4.0], [25] * 5),
        ("exact", "mkv", [0.5, 2.0, 3.5], [37, 38, 25]),
    ):
        folder = queue.output / f"{key}.chunks"
        manifest = json.loads((folder / "manifest.json").read_text())
        segments = manifest["segments"]
        assert [segment["start"] for segment in segments] == pytest.approx(starts)
        assert [segment["frames"] for segment in segments] == pictures
        names = [segment["file"] for segment in segments]
        assert names == [f"chunk_{number:04}.{extension}" for number in range(len(starts))]
        assert {path.name for path in folder.iterdir()} == {*names, "manifest.json"}
        for name in names:
            assert probe(bytes(folder / name), size_bytes=(folder / name).stat().st_size).video is not None
        assert result(queue, key) == {"chunks": len(starts), "left_out": []}
    assert reason(queue, "text")[0] == "bad_input"
    assert "longer chunk_duration" in reason(queue, "many")[1]
    assert list((queue.output / ".pyprocessor" / "intermediate").iterdir()) == []
    assert queue.run() == ExitCode.SOME_FAILED
    assert queue.rows()["copied"].attempts == 1
