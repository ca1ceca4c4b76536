"""The transcode task driven to its end by a real ffmpeg, as a batch process drives it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av

from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.ffmpeg.run import FfmpegRun, Finished
from pyprocessor.inspect.probe import probe
from pyprocessor.models import OutputFacts, Profile, Source
from pyprocessor.tasks.base import Done, Ffmpeg, Steps, Work
from pyprocessor.tasks.transcode import Transcode
from tests.waiting import DEADLINE_SECONDS


def transcode(path: Path, profile: Profile, folder: Path, ffmpeg_path: str) -> OutputFacts:
    """Make `output.<extension>` in `folder` of the source at `path`; raises the JobError of a source that fails."""
    work = work_on(path, profile, folder)
    facts = steps_done(Transcode().run(work), folder, ffmpeg_path).facts
    assert facts is not None
    return facts


def work_on(path: Path, profile: Profile, folder: Path) -> Work:
    """The transcode of the source at `path`, as a batch process gets it."""
    size = path.stat().st_size
    source = Source(os.fsencode(path), os.fsencode(path.name), size, path.stat().st_mtime_ns)
    return Work("j", profile, (source,), probe(source.path, size_bytes=size), 1, os.fsencode(folder), "output")


def steps_done(
    steps: Steps, folder: Path, ffmpeg_path: str, taken: Callable[[Finished], object] = lambda finished: None
) -> Done:
    """Run the ffmpegs that a task asks for, each of which is `taken`; return what the task answers."""
    step = next(steps)
    while True:
        assert isinstance(step, Ffmpeg)
        finished = _finished(argv(step.invocation, ffmpeg_path), folder)
        taken(finished)
        try:
            step = steps.send(finished)
        except StopIteration as end:
            done: Done = end.value
            return done


@dataclass(frozen=True)
class Made:
    """A finished output and what was said of it."""

    path: Path
    facts: OutputFacts


def output_of(source: Path, profile: Profile, ffmpeg_path: str, folder: Path) -> Made:
    """The output that `profile` makes of `source` in `folder`, which is made. Raises JobError as the task does."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = transcode(source, profile, folder, ffmpeg_path)
    return Made(folder / f"output.{profile.extension}", facts)


def run_ffmpeg(ffmpeg_path: str, *arguments: str | Path, cwd: Path | None = None) -> None:
    """Run ffmpeg on inputs that a test makes for itself."""
    command = [ffmpeg_path, "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def _finished(arguments: list[bytes | str], folder: Path) -> Finished:
    limit = DEADLINE_SECONDS
    return FfmpegRun(arguments, cwd=os.fsencode(folder), env=environment(os.environ), wall_limit_seconds=limit).wait()


def shown(path: Path) -> list[float]:
    """When the pictures of a file are shown, ascending, in seconds."""
    with av.open(str(path)) as container:
        film = container.streams.video[0]
        return sorted(float(p.pts * p.time_base) for p in container.demux(film) if p.size and p.pts is not None)


def flashes(path: Path) -> list[float]:
    """When the picture turns white, of clips that are black besides."""
    found, bright = [], False
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane = bytes(frame.reformat(format="gray").planes[0])
            mean = sum(plane[::97]) / len(plane[::97])
            if mean > 150 and not bright:
                found.append(round(frame.time, 2))
            bright = mean > 100 if bright else mean > 150
    return found


def beeps(path: Path) -> list[float]:
    """When the first sound track turns loud, of clips that are silent besides, to a hundredth of a second."""
    found, quiet = [], 1.0
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=8000)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                samples = memoryview(bytes(piece.planes[0])[: piece.samples * 2]).cast("h")
                for start in range(0, len(samples), 80):
                    loud = max(map(abs, samples[start : start + 80]), default=0) > 1600
                    if loud and quiet > 0.05:
                        found.append(round(piece.time + start / 8000, 2))
                    quiet = 0.0 if loud else quiet + 0.01
    return found
