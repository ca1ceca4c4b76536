"""Chunks of real files through the whole engine: frames, kills, failures, growing and shrinking recordings."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.chunks import Chunker, Pipeline, PipelineError, PipelineResult
from pyprocessor.chunks.following import Growth
from pyprocessor.errors import ExitCode, NoJournal
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import JobState
from tests.acceptance.command import begin, call
from tests.process.steered import standing
from tests.waiting import DEADLINE_SECONDS, until

PROCESSOR = """
import os, time
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.tasks.chunk_processors import Processor


def number(source, sequence, start_time, end_time, output):
    return {"number": sequence, "seconds": end_time - start_time}


def odd_fail(source, sequence, start_time, end_time, output):
    if sequence % 2:
        raise JobError(FailureKind.BAD_INPUT, "Odd chunks are not liked.")


def once(source, sequence, start_time, end_time, output, kind=FailureKind.UNAVAILABLE):
    marker = os.path.dirname(source) + f"/markers/{sequence}"
    if not os.path.exists(marker):
        open(marker, "w").close()
        raise JobError(kind, "It was away.")


def wrong_once(source, sequence, start_time, end_time, output):
    once(source, sequence, start_time, end_time, output, FailureKind.BAD_INPUT)


def patient(source, sequence, start_time, end_time, output):
    with open(output, "w") as file:
        file.write(str(sequence))
    for token in range(3):
        try:
            os.mkdir(os.path.dirname(source) + f"/markers/token-{token}")
            return
        except FileExistsError:
            pass
    while not os.path.exists(os.path.dirname(source) + "/markers/go"):
        time.sleep(0.02)


def alone(source, sequence, start_time, end_time, output):
    busy = os.path.dirname(source) + "/markers/busy"
    os.mkdir(busy)  # fails where another chunk is being done
    time.sleep(0.1)
    os.rmdir(busy)


WRITER = Processor("chunk_example:patient", "txt")
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of others with processors, one of them as an entry point; returns the folder for its markers."""
    site, markers = tmp_path / "site", tmp_path / "markers"
    info = site / "chunk_example-1.0.dist-info"
    info.mkdir(parents=True)
    markers.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chunk_example\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyprocessor.chunk_processors]\nwriter = chunk_example:WRITER\n")
    (site / "chunk_example.py").write_text(PROCESSOR)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    return markers


def frames(ffmpeg: str, *paths: Path | str, whole: bool = True) -> list[str]:
    """A hash of each picture that decodes of the first films of these files; those that are `whole` decode well."""
    found = []
    for path in paths:
        argv = [ffmpeg, "-nostdin", "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
        done = subprocess.run([*argv, "-f", "framemd5", "-"], capture_output=True, text=True, check=whole)
        found += [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]
    return found


def tries(output: Path) -> dict[str, int]:
    """How often each chunk was begun, by the journal."""
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        return {row.name: len(journal.attempts_of(row.id)) for row in journal.jobs()}


def running(output: Path) -> set[str]:
    """The chunks in hand, by the journal."""
    try:
        with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
            return {row.name for row in journal.jobs(state=JobState.RUNNING)}
    except NoJournal:
        return set()


def manifest(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "manifest.json").read_text())
    return found


NEGATIVE = ["-output_ts_offset", "-0.5", "-avoid_negative_ts", "disabled"]
VFR = "select='not(eq(mod(n,7),3))',setpts=PTS+0.01*mod(N\\,3)/TB"
CLIPS: dict[str, tuple[str, list[str]]] = {
    "pyramid": ("a.mp4", ["-g", "25", "-bf", "4", "-preset", "medium", "-x264-params", "b-pyramid=normal"]),
    "open": ("a.mp4", ["-g", "25", "-bf", "3", "-preset", "medium", "-x264-params", "open-gop=1:scenecut=0"]),
    "one keyframe": ("a.mkv", ["-g", "9999", "-x264-params", "scenecut=0"]),
    "vfr": ("a.mkv", ["-vf", VFR, "-fps_mode", "vfr", "-g", "20", "-bf", "2", "-preset", "medium"]),
    "hidden start": ("a.mov", ["-g", "25", *NEGATIVE]),
    "late": ("a.ts", ["-g", "25", "-bf", "2", "-preset", "medium", "-output_ts_offset", "5"]),
    "mpeg2": ("a.ts", ["-c:v", "mpeg2video", "-g", "12", "-bf", "2"]),
    "vp9": ("a.webm", ["-c:v", "libvpx", "-deadline", "realtime", "-g", "30", "-c:a", "libopus"]),
}


@pytest.fixture(params=sorted(CLIPS))
def clip(request: pytest.FixtureRequest, make_clip: Any, tmp_path: Path) -> Path:
    """Six seconds, each in another way that makes cutting hard."""
    name, extra = CLIPS[request.param]
    made: Path = make_clip(tmp_path / name, seconds=6.0, extra=extra)
    return made


def test_copied_chunks_have_each_picture_once(clip: Path, tmp_path: Path, ffmpeg_path: str) -> None:
    """The very pictures of the source, in their order; the manifest says when they are shown."""
    output = tmp_path / "out"
    result = Pipeline(clip, 1.5, processor_type="ffmpeg", output_dir=output).run()
    assert (result.failed, result.exit_code) == (0, ExitCode.OK), result.errors
    assert frames(ffmpeg_path, *result.chunk_files) == frames(ffmpeg_path, clip)
    segments = manifest(output)["segments"]
    assert [output / segment["file"] for segment in segments] == [Path(file) for file in result.chunk_files]
    assert sum(segment["frames"] for segment in segments) == len(frames(ffmpeg_path, clip))
    assert all(a["end"] == b["start"] for a, b in itertools.pairwise(segments))


def test_copies_are_not_cut_where_a_decoder_only_recovers(make_clip: Any, tmp_path: Path, ffmpeg_path: str) -> None:
    """A film that is refreshed bit by bit has keyframes by its container, from which not all pictures decode."""
    refreshed = ["-g", "25", "-x264-params", "intra-refresh=1:bframes=0"]
    clip = make_clip(tmp_path / "a.ts", seconds=6.0, extra=refreshed)
    chunker = Chunker(clip, 1.5)
    assert len(chunker.index.packets.keys) > 3
    assert [cut.time for cut in chunker.index.safe_cuts] == [0.0]
    result = Pipeline(clip, 1.5, processor_type="ffmpeg", output_dir=tmp_path / "out").run()
    assert (result.total_chunks, result.failed) == (1, 0), result.errors
    assert frames(ffmpeg_path, *result.chunk_files) == frames(ffmpeg_path, clip)


def test_exact_chunks_have_each_picture_once(clip: Path, tmp_path: Path, ffmpeg_path: str) -> None:
    """As many as the source, in four chunks, whether or not it has keyframes there."""
    output = tmp_path / "out"
    result = Pipeline(clip, 1.5, processor_type="ffmpeg", output_dir=output, exact=True, profile="fast").run()
    assert (result.total_chunks, result.failed) == (4, 0), result.errors
    counts = [len(frames(ffmpeg_path, file)) for file in result.chunk_files]
    assert sum(counts) == len(frames(ffmpeg_path, clip))
    assert [segment["frames"] for segment in manifest(output)["segments"]] == counts


def test_packets_and_pictures_are_counted_once(clip: Path, ffmpeg_path: str) -> None:
    """By checksum and by decoding; without an output folder nothing is left."""
    result = Pipeline(clip, 1.9, processor_type="composite").run()
    assert (result.failed, result.output_dir) == (0, None), result.errors
    assert sum(found.facts["frames"] for found in result.results) == len(frames(ffmpeg_path, clip))
    assert len({found.facts["digest"] for found in result.results}) == result.total_chunks == len(result.results)


def test_a_checksum_is_of_the_content(make_clip: Any, tmp_path: Path) -> None:
    """The same chunks again have the same digests, another film's others."""
    clip = make_clip(tmp_path / "a.mp4", seconds=2.0, extra=("-g", "25"))
    once, again = (Pipeline(clip, 1.0).run() for _ in range(2))
    assert [found.facts for found in once.results] == [found.facts for found in again.results]
    other = Pipeline(make_clip(tmp_path / "b.mp4", seconds=2.0, size="162x90", extra=("-g", "25")), 1.0).run()
    assert {found.facts["digest"] for found in other.results}.isdisjoint(f.facts["digest"] for f in once.results)


def test_a_part_of_a_source(make_clip: Any, tmp_path: Path, ffmpeg_path: str) -> None:
    """From one time to another, exactly; behind the end there is nothing to do."""
    clip = make_clip(tmp_path / "a.mp4", seconds=6.0)
    asked = {"processor_type": "ffmpeg", "exact": True, "profile": "fast", "output_dir": tmp_path / "out"}
    result = Pipeline(clip, 1.0, start_time=1.2, end_time=3.8, **asked).run()
    assert [len(frames(ffmpeg_path, file)) for file in result.chunk_files] == [25, 25, 15]
    events: list[tuple[str, dict[str, Any]]] = []
    nothing = Pipeline(clip, start_time=7.0, event_callback=lambda name, data: events.append((name, data))).run()
    assert (nothing.total_chunks, nothing.processed, nothing.exit_code) == (0, 0, ExitCode.OK)
    assert events[-1][0] == "pipeline_complete"
    assert events[-1][1]["total_chunks"] == 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"chunk_duration": 0}, "more than 0"),
        ({"chunk_duration": float("nan")}, "number of seconds"),
        ({"num_workers": 0}, "num_workers"),
        ({"max_retries": -1}, "max_retries"),
        ({"queue_size": 0}, "queue_size"),
        ({"processor_type": "nothing"}, "no processor named"),
        ({"processor_type": None}, "has to be a name"),
        ({"follow": True, "settle_seconds": "soon"}, "settle_seconds"),
        ({"processor_type": "ffmpeg"}, "output_dir"),
        ({"start_time": 2.0, "end_time": 1.0}, "not behind"),
        ({"start_time": -1.0}, "start_time"),
        ({"exact": True}, "ffmpeg"),
        ({"source": "nothing.mp4"}, "does not exist"),
        ({"source": "."}, "no file"),
        ({"source": __file__}, "text"),
        ({"processor_type": "ffmpeg", "output_dir": "/proc/none"}, "cannot be used as output"),
    ],
)
def test_what_is_wrong_is_one_sentence(make_clip: Any, tmp_path: Path, wrong: dict[str, Any], words: str) -> None:
    """As PipelineError, after an event."""
    clip = make_clip(tmp_path / "a.mp4")
    events: list[str] = []
    with pytest.raises(PipelineError, match=words) as raised:
        Pipeline(**{"source": clip, "event_callback": lambda name, _: events.append(name), **wrong}).run()
    assert "\n" not in str(raised.value)
    assert (events[0], events[-1]) == ("pipeline_start", "pipeline_error")


def test_a_clock_that_jumps_is_refused(make_clip: Any, tmp_path: Path) -> None:
    """Its pictures could not be found again by their times."""
    first, second = (make_clip(tmp_path / name, seconds=3.0) for name in ("a.ts", "b.ts"))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(PipelineError, match="clock jumps"):
        Chunker(joined)


@pytest.mark.parametrize(("name", "extra"), [("a.mkv", NEGATIVE), ("a.h264", ["-bf", "2"]), ("a.avi", ["-bf", "2"])])
def test_pictures_without_times_are_refused(make_clip: Any, tmp_path: Path, name: str, extra: list[str]) -> None:
    """Matroska of negative times, a raw stream, reordered pictures in AVI."""
    audio = None if name.endswith("h264") else "aac"
    clip = make_clip(tmp_path / name, seconds=2.0, audio=audio, extra=[*extra, "-preset", "medium"])
    with pytest.raises(PipelineError, match="times of some of its pictures are not known"):
        Chunker(clip)


def test_events(make_clip: Any, tmp_path: Path) -> None:
    """Their names and fields, in an order that makes sense; one that raises ends nothing."""
    events: list[tuple[str, dict[str, Any]]] = []

    def note(name: str, data: dict[str, Any]) -> None:
        events.append((name, data))
        raise RuntimeError("a mistake of the caller's")

    clip = make_clip(tmp_path / "a.mp4", seconds=4.0)
    result = Pipeline(clip, 0.5, queue_size=2, event_callback=note).run()
    assert (result.total_chunks, result.processed, result.failed) == (8, 8, 0)
    names = [name for name, _ in events]
    assert (names[0], names[1], names[-1]) == ("pipeline_start", "pipeline_info", "pipeline_complete")
    fields = {name: set(data) for name, data in events}
    assert fields["pipeline_start"] == {"source", "chunk_duration", "num_workers", "processor_type"}
    assert fields["pipeline_info"] == {"file_size", "source_duration", "total_chunks"}
    assert fields["chunk_queued"] == {"sequence", "start_time", "end_time", "duration", "queue_size"}
    assert fields["chunk_collected"] == {"sequence", "success", "buffered", "emitted"}
    assert fields["pipeline_progress"] == {"elapsed", "throughput_mbps"}
    assert fields["pipeline_complete"] == {"total_chunks", "processed", "failed", "elapsed", "throughput_mbps"}
    assert max(data["queue_size"] for name, data in events if name == "chunk_queued") <= 2
    workers = {data["worker"] for name, data in events if name in ("chunk_started", "chunk_done")}
    assert {str(worker) for worker in workers} == set(result.worker_stats)
    assert sum(own["chunks"] for own in result.worker_stats.values()) == 8


def test_a_processor_of_others_that_fails_for_good(example: Path, make_clip: Any, tmp_path: Path) -> None:
    """Its chunks are marked; the others are done, and the same call tries only the failed ones again."""
    clip, output = make_clip(tmp_path / "a.mp4", seconds=4.0), tmp_path / "out"
    good = Pipeline(clip, 1.0, processor_type="chunk_example:number").run()
    assert [found.facts["value"]["number"] for found in good.results] == [0, 1, 2, 3]
    for attempts in (1, 2):
        result = Pipeline(clip, 1.0, processor_type="chunk_example:odd_fail", output_dir=output).run()
        assert (result.processed, result.failed, result.exit_code) == (4, 2, ExitCode.SOME_FAILED)
        assert result.errors == [f"chunk {number}: Odd chunks are not liked." for number in (1, 3)]
        assert [segment["failed"] for segment in manifest(output)["segments"]] == [False, True, False, True]
        assert [count for _, count in sorted(tries(output).items())] == [1, attempts, 1, attempts]


def test_one_worker_does_one_chunk_at_a_time(example: Path, make_clip: Any, tmp_path: Path) -> None:
    """However many cores there are."""
    clip = make_clip(tmp_path / "a.mp4", seconds=6.0)
    result = Pipeline(clip, 1.0, num_workers=1, max_retries=0, processor_type="chunk_example:alone").run()
    assert (result.processed, result.failed) == (6, 0), result.errors


def test_what_may_pass_is_tried_again(example: Path, make_clip: Any, tmp_path: Path) -> None:
    """As often as the call allows."""
    clip = make_clip(tmp_path / "a.mp4", seconds=2.0)
    names: list[str] = []
    asked = {"processor_type": "chunk_example:once", "event_callback": lambda name, _: names.append(name)}
    result = Pipeline(clip, 1.0, max_retries=0, **asked).run()
    assert (result.failed, result.retries, names.count("chunk_failed")) == (2, 0, 2)
    for marker in example.iterdir():
        marker.unlink()
    result = Pipeline(clip, 1.0, max_retries=1, **asked).run()
    assert (result.failed, result.retries, names.count("chunk_retried")) == (0, 2, 2)


def test_chunks_that_failed_before_and_are_done_now_leave_no_failure(
    example: Path, make_clip: Any, tmp_path: Path
) -> None:
    """The exit code of the call is that of its own chunks."""
    clip = make_clip(tmp_path / "a.mp4", seconds=2.0)
    asked = {"processor_type": "chunk_example:wrong_once", "output_dir": tmp_path / "out"}
    assert Pipeline(clip, 1.0, **asked).run().exit_code is ExitCode.SOME_FAILED
    again = Pipeline(clip, 1.0, **asked).run()
    assert (again.failed, again.exit_code) == (0, ExitCode.OK)


@pytest.mark.parametrize("others", [False, True])
def test_a_kill_costs_only_the_chunks_in_hand(example: Path, make_clip: Any, tmp_path: Path, others: bool) -> None:
    """The same call again makes none of the finished ones anew; one with other settings does not do what was left."""
    clip, output = make_clip(tmp_path / "a.mp4", seconds=8.0), tmp_path / "out"
    script = (
        "from pyprocessor.chunks import Pipeline\n"
        f"print(Pipeline({str(clip)!r}, 1.0, processor_type='writer', output_dir={str(output)!r}).run().processed)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        until(lambda: len(list(output.glob("chunk_*.txt"))) == 3, "three chunks")
        until((output / "manifest.json").exists, "a manifest")
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()
    finished = {path: path.stat().st_mtime_ns for path in output.glob("chunk_*.txt")}
    assert len(finished) == 3
    assert len(manifest(output)["segments"]) <= 3
    if others:
        other = Pipeline(clip, 4.0, processor_type="checksum", output_dir=output).run()
        assert (other.total_chunks, other.processed, other.failed) == (2, 2, 0)
        assert len(finished) == 3
        return
    (example / "go").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=DEADLINE_SECONDS
    )
    assert done.stdout.strip() == "8"
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    begun = tries(output)
    assert [begun[path.stem] for path in finished] == [1, 1, 1]
    assert [path.read_text() for path in sorted(output.glob("chunk_*.txt"))] == list("01234567")
    assert (len(manifest(output)["segments"]), manifest(output)["complete"]) == (8, True)


def test_other_settings_begin_anew(make_clip: Any, tmp_path: Path, ffmpeg_path: str) -> None:
    """A chunk that was removed is made again; another division replaces all, and names what it leaves."""
    clip, output = make_clip(tmp_path / "a.mp4", seconds=6.0, extra=["-g", "25"]), tmp_path / "out"
    asked = {"processor_type": "ffmpeg", "output_dir": output}
    first = Pipeline(clip, 1.0, **asked).run()
    (output / "chunk_0002.mp4").unlink()
    again = Pipeline(clip, 1.0, **asked).run()
    assert again.chunk_files == first.chunk_files
    assert [count for _, count in sorted(tries(output).items())] == [1, 1, 2, 1, 1, 1]
    longer = Pipeline(clip, 2.0, **asked).run()
    assert frames(ffmpeg_path, *longer.chunk_files) == frames(ffmpeg_path, clip)
    assert [segment["file"] for segment in manifest(output)["segments"]] == [f"chunk_000{n}.mp4" for n in range(3)]


def test_a_pipeline_in_a_thread(make_clip: Any, tmp_path: Path) -> None:
    """As in a notebook: signals are the main thread's."""
    clip = make_clip(tmp_path / "a.mp4", seconds=2.0)
    results: list[PipelineResult] = []
    thread = threading.Thread(target=lambda: results.append(Pipeline(clip, 1.0).run()))
    thread.start()
    thread.join(DEADLINE_SECONDS)
    assert [result.processed for result in results] == [2]


def grow(path: Path, pieces: Sequence[bytes], until_there: Sequence[Path]) -> None:
    """Write a recording piece by piece, each once the chunk before it is there."""
    with path.open("wb") as file:
        for piece, there in zip(pieces, [None, *until_there], strict=True):
            if there is not None:
                until(there.exists, str(there))
            file.write(piece)
            file.flush()


@pytest.mark.parametrize("exact", [False, True])
def test_a_recording_that_grows(make_clip: Any, tmp_path: Path, ffmpeg_path: str, exact: bool) -> None:
    """Chunks are made while it does, none of them twice, until it has settled."""
    whole = make_clip(tmp_path / "whole.ts", seconds=12.0, extra=["-g", "25"])
    clip, output = tmp_path / "growing.ts", tmp_path / "out"
    data = whole.read_bytes()
    pieces = [data[: len(data) * 2 // 3], data[len(data) * 2 // 3 :]]
    writing = threading.Thread(target=grow, args=(clip, pieces, [output / "chunk_0001.mp4"]))
    writing.start()
    until(clip.exists, "the recording")
    asked: dict[str, Any] = {"processor_type": "ffmpeg", "output_dir": output, "exact": exact, "profile": "fast"}
    result = Pipeline(clip, 2.0, follow=True, settle_seconds=3.0, **asked).run()
    writing.join(DEADLINE_SECONDS)
    assert (result.total_chunks, result.failed) == (6, 0), result.errors
    assert set(tries(output).values()) == {1}
    made, wanted = frames(ffmpeg_path, *result.chunk_files), frames(ffmpeg_path, whole)
    assert len(made) == len(wanted) if exact else made == wanted
    assert manifest(output)["complete"] is True


@pytest.mark.parametrize("way", ["signal", "command"])
def test_a_recording_that_is_not_followed_to_its_end(example: Path, make_clip: Any, tmp_path: Path, way: str) -> None:
    """Asked to stop it ends, as stopped, although the only chunk that there was by then is done."""
    clip, output = make_clip(tmp_path / "a.ts", seconds=10.0, extra=["-g", "25"]), tmp_path / "out"
    for token in range(3):
        (example / f"token-{token}").mkdir()
    asked = ("--chunk-duration", "6", "--processor", "writer", "--follow", "--settle", "3600")
    process = begin("chunk", clip, "--output", output, *asked)
    try:
        until(lambda: "chunk_0000" in running(output), "the only chunk of the first look")
        if way == "command":
            assert call("stop", "--output", output).returncode == ExitCode.OK
        else:
            process.send_signal(signal.SIGINT)
        until(lambda: "stop" in call("status", "--output", output).stdout.casefold(), "the order to stop")
        (example / "go").write_text("")
        said, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert (manifest(output)["total_chunks"], manifest(output)["complete"]) == (1, False)


@pytest.mark.parametrize("readable", [True, False])
def test_a_recording_that_stands_still_is_reached_and_stopped(make_clip: Any, tmp_path: Path, readable: bool) -> None:
    """Between two looks, and before there is anything that can be read."""
    clip, output = tmp_path / "a.ts", tmp_path / "out"
    if readable:
        make_clip(clip, seconds=10.0, extra=["-g", "25"])
    else:
        clip.write_bytes(b"no film yet")
    asked = ("--chunk-duration", "6", "--processor", "checksum", "--follow", "--settle", "3600")
    process = begin("chunk", clip, "--output", output, *asked)
    try:
        if readable:
            until(lambda: output.exists() and standing(output).get("snapshot", {}).get("succeeded") == 1, "a chunk")
        until(lambda: output.exists() and (now := standing(output)) and not now.get("files"), "a run that waits")
        assert call("status", "--output", output).returncode == ExitCode.OK
        assert call("stop", "--output", output).returncode == ExitCode.OK
        said, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED, said


def test_a_recording_is_read_again_only_where_it_has_changed(tmp_path: Path) -> None:
    """Or has stood still for as long as was asked for, which the last reading is told."""
    clip = tmp_path / "a.ts"
    clip.write_bytes(b"x")
    with Growth(clip, 3600.0) as growth:
        assert not growth.begin_reading()
        growth.end_reading()
        assert not growth.is_due()
        clip.write_bytes(b"xx")
        until(growth.is_due, "the change")
        assert not growth.begin_reading()
        growth.end_reading()
        assert not growth.is_due()
    with Growth(clip, 0.5) as growth:
        until(growth.begin_reading, "the end")
        assert growth.is_due()


def test_a_recording_that_is_removed(make_clip: Any, tmp_path: Path) -> None:
    """It is said, and not that the path was wrong; what was made of it stays."""
    clip, output = make_clip(tmp_path / "a.ts", seconds=10.0, extra=["-g", "25"]), tmp_path / "out"

    def remove() -> None:
        until((output / "manifest.json").exists, "a chunk")
        clip.unlink()

    removing = threading.Thread(target=remove)
    removing.start()
    with pytest.raises(PipelineError, match="no longer there") as raised:
        Pipeline(clip, 6.0, processor_type="ffmpeg", output_dir=output, follow=True, settle_seconds=3600.0).run()
    removing.join(DEADLINE_SECONDS)
    assert raised.value.exit_code is ExitCode.TRY_AGAIN
    assert (output / "chunk_0000.mp4").exists()


def test_a_source_that_shrinks_under_way(example: Path, make_clip: Any, tmp_path: Path) -> None:
    """The chunks that it takes away fail with a sentence; those before it stand."""
    clip, output = make_clip(tmp_path / "a.ts", seconds=8.0, extra=["-g", "25"]), tmp_path / "out"
    data = clip.read_bytes()

    def shrink(name: str, data_of_event: dict[str, Any]) -> None:
        if name == "pipeline_info":
            clip.write_bytes(data[: len(data) // 2])

    asked = {"processor_type": "ffmpeg", "output_dir": output, "max_retries": 0}
    result = Pipeline(clip, 1.0, event_callback=shrink, **asked).run()
    assert result.failed > 0
    assert all(error.partition(": ")[2] for error in result.errors)
    assert sum(segment["failed"] for segment in manifest(output)["segments"]) == result.failed
    assert not list((output / ".pyprocessor" / "partial").iterdir())


def test_a_folder_is_of_one_source(make_clip: Any, tmp_path: Path) -> None:
    """The chunks of another are not replaced."""
    one, other = (make_clip(tmp_path / name, seconds=1.0) for name in ("a.mp4", "b.mp4"))
    asked = {"processor_type": "ffmpeg", "output_dir": tmp_path / "out"}
    Pipeline(one, **asked).run()
    with pytest.raises(PipelineError, match="another source"):
        Pipeline(other, **asked).run()


@pytest.mark.media
@pytest.mark.long
@pytest.mark.parametrize("exact", [False, True])
def test_real_clips(media_folder: Path, tmp_path: Path, ffmpeg_path: str, exact: bool) -> None:
    """Each is cut with every picture once, or refused with a sentence that says why; prints what was refused."""
    for number, clip in enumerate(sorted(path for path in (media_folder / "clips").iterdir() if path.is_file())):
        output = tmp_path / str(number)
        asked: dict[str, Any] = {"processor_type": "ffmpeg", "output_dir": output, "exact": exact, "profile": "fast"}
        try:
            seconds = max(Chunker(clip).source_duration / 3.3, 0.01)
            result = Pipeline(clip, seconds, max_retries=0, **asked).run()
        except PipelineError as error:
            print(f"{clip.name}: {error}")
            continue
        if result.failed:
            print(f"{clip.name}: {result.errors}")
            continue
        made, wanted = (frames(ffmpeg_path, *files, whole=False) for files in (result.chunk_files, [clip]))
        if not exact:
            assert made == wanted, clip.name
        elif clip.name != "declares-90min.mkv":  # which shows several pictures at one time
            assert len(made) == len(wanted), clip.name
