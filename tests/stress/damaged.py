"""Damaged files by the thousand, and published broken media: the whole command over them, and what became of each.

The damage is made by chance from small clips in seven containers; the seed is printed and makes the same files again
(with the same ffmpeg). One file in ten is whole: a neighbour that must get its output whatever lies beside it.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyprocessor.errors import FailureKind
from pyprocessor.ffmpeg.tool import find
from pyprocessor.journal.reader import JournalReader
from pyprocessor.journal.rows import JobRow
from pyprocessor.models import FINAL_STATES, JobState
from tests.benchmarks.command import pyprocessor
from tests.stress.damage import DAMAGES
from tests.stress.figures import Asked, Broken
from tests.stress.traps import Canary, LoopbackListener

WHOLE_PART = 10
"""One file in so many is whole."""
SECONDS_PER_FILE = 3.0
LEAST_SECONDS = 120.0
"""A run that takes longer than this, and so much for every file, hangs."""
MEDIA_VARIABLE = "PYPROCESSOR_MEDIA"
CANARY_TEXT = "CANARY-6f1d"
PUBLISHED_PORT = b"127.0.0.1:9/"
"""Where the published playlists reach: our listener's port takes its place."""

_CODECS: Mapping[str, Sequence[str]] = {
    "mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart"),
    "mkv": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "libopus"),
    "avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "ts": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "flv": ("-c:v", "flv1", "-c:a", "aac"),
    "mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-c:a", "pcm_s16le"),
}


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the command: how long it took, what it printed, and the jobs it left, by relative path."""

    seconds: float
    hung: bool
    exit_code: int
    said: str
    output: Path
    rows: Mapping[str, JobRow]


def make_clips(folder: Path) -> list[Path]:
    """A one-second clip with sound in each container."""
    folder.mkdir(parents=True)
    ffmpeg = find(os.environ).path
    clips = []
    for extension, codecs in _CODECS.items():
        path = folder / f"clip.{extension}"
        pictures = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=1")
        sound = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1")
        command = [ffmpeg, "-nostdin", "-loglevel", "error", *pictures, *sound, *codecs, str(path)]
        subprocess.run(command, check=True)
        clips.append(path)
    return clips


def damage_clips(clips: Sequence[Path], folder: Path, count: int, seed: int) -> tuple[Counter[str], set[str]]:
    """Fill the folder; returns how many files each kind of damage made, and the names of the whole ones."""
    chance = random.Random(seed)
    content = {path: path.read_bytes() for path in clips}
    made: Counter[str] = Counter()
    whole: set[str] = set()
    for number in range(count):
        below = folder / f"{number // 100:02d}"
        below.mkdir(parents=True, exist_ok=True)
        kind = list(DAMAGES)[number % len(DAMAGES)]
        clip, other = chance.sample(clips, 2)
        extension = other.suffix if kind == "wrong extension" else clip.suffix
        name = f"{number:05d} {kind}{extension}"
        (below / name).write_bytes(DAMAGES[kind](content[clip], content[other], chance))
        made[kind] += 1
        if number % WHOLE_PART == 0:
            neighbour = chance.choice(clips)
            name = f"{number:05d} whole{neighbour.suffix}"
            shutil.copyfile(neighbour, below / name)
            whole.add(f"{below.name}/{name}")
    return made, whole


def run_over(inputs: Path, output: Path, files: int, *, cwd: Path, more: Sequence[str | Path] = ()) -> Ran:
    """The command over a folder, with a deadline in proportion to its files."""
    command = pyprocessor("--input", inputs, "--output", output, "--batch-mode", "enabled", "--profile", "fast", *more)
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    hung = False
    try:
        said, _ = process.communicate(timeout=max(LEAST_SECONDS, files * SECONDS_PER_FILE))
    except subprocess.TimeoutExpired:
        hung = True
        process.terminate()
        try:
            said, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    seconds = time.monotonic() - began
    with JournalReader.read_only(os.fsencode(output / ".pyprocessor")) as journal:
        rows = {os.fsdecode(row.source.relative): row for row in journal.jobs()}
    return Ran(seconds, hung, process.returncode, said.decode(errors="backslashreplace"), output, rows)


def breaches(ran: Ran, expected: set[str], whole: set[str]) -> list[str]:
    """What must not be, each in a sentence; nothing where all is well."""
    found = []
    if ran.hung:
        found.append(f"the run took more than {ran.seconds:.0f} s and was ended")
    elif ran.exit_code not in (0, 1):
        found.append(f"the run ended with exit code {ran.exit_code}")
    found += [f"{name} is not in the journal" for name in sorted(expected - ran.rows.keys())]
    for name, row in sorted(ran.rows.items()):
        if row.state not in FINAL_STATES:
            found.append(f"{name} ended in no final state, but {row.state.value}")
        elif row.state is not JobState.SUCCEEDED and not row.reason.strip():
            found.append(f"{name} is {row.state.value} without a reason")
        elif "internal error" in row.reason or "Inspecting failed with" in row.reason:
            found.append(f"{name} met a defect: {row.reason}")
    found += [
        f"the whole neighbour {name} was lost: {ran.rows[name].reason}"
        for name in sorted(whole & ran.rows.keys())
        if ran.rows[name].state is not JobState.SUCCEEDED
    ]
    if "Traceback" in ran.said:
        found.append(f"a traceback was printed:\n{ran.said[-4000:]}")
    found += [f"a traceback is in the log {name}:\n{text[-4000:]}" for name, text in tracebacks(ran.output)]
    return found


def tracebacks(output: Path) -> Iterator[tuple[str, str]]:
    """Logs with a traceback: their names and texts."""
    for log in sorted((output / ".pyprocessor" / "logs").iterdir()):
        text = log.read_text(encoding="utf-8", errors="replace")
        if log.name.startswith("crash-") or "Traceback" in text:
            yield log.name, text


def counts(ran: Ran) -> str:
    """How many files ended how."""
    states = Counter(row.state.value for row in ran.rows.values())
    kinds = Counter(row.failure.value for row in ran.rows.values() if row.failure is not None)
    told = ", ".join(f"{number} {state}" for state, number in states.most_common())
    return f"{told} ({', '.join(f'{number} {kind}' for kind, number in kinds.most_common())})"


def measure(folder: Path, asked: Asked) -> Iterator[str]:
    """The generated damage. Raises `Broken` behind the lines that tell what must not have happened."""
    count, seed = asked.damaged, asked.seed
    yield f"seed {seed}"
    clips = make_clips(folder / "clips")
    inputs = folder / "in"
    made, whole = damage_clips(clips, inputs, count, seed)
    yield f"{count} damaged files ({', '.join(f'{n} {kind}' for kind, n in made.items())}), {len(whole)} whole ones"
    expected = {str(path.relative_to(inputs)) for path in inputs.rglob("*") if path.is_file()}
    ran = run_over(inputs, folder / "out", len(expected), cwd=folder)
    yield f"{ran.seconds:.0f} s: {counts(ran)}"
    found = breaches(ran, expected, whole)
    yield _verdict(ran, found)
    yield from (f"FAILED {text}" for text in found)
    if found:
        raise Broken


def measure_published(folder: Path, asked: Asked) -> Iterator[str]:
    """The broken media in the folder that PYPROCESSOR_MEDIA names. Raises `Broken`."""
    del asked
    named = os.environ.get(MEDIA_VARIABLE)
    if not named:
        yield f"left out: {MEDIA_VARIABLE} names no folder of clips"
        return
    media = Path(named) / "broken"
    if not media.is_dir():
        yield f"left out: {MEDIA_VARIABLE} names {named}, which has no folder `broken`"
        return
    inputs, output = folder / "in", folder / "out"
    with LoopbackListener() as listener:
        canaries = lay_out(media, inputs, listener.port)
        try:
            expected = {str(path.relative_to(inputs)) for path in inputs.rglob("*") if path.suffix == ".mp4"}
            profile = folder / "everything.yaml"
            # Every extension there is, so that nothing is left out for its name.
            extensions = sorted({p.suffix[1:].lower() for p in inputs.rglob("*") if p.suffix and p.suffix != ".txt"})
            profile.write_text(f"extends: fast\nscan: {{extensions: [{', '.join(map(repr, extensions))}]}}\n")
            for canary in canaries:
                canary.opened()
            ran = run_over(
                inputs,
                output,
                len(expected) * 2,
                cwd=inputs / "ssrf",
                more=("--profile", profile, "--max-retries", "1"),
            )
            opened = sum(canary.opened() for canary in canaries)
            spread = [path for canary in canaries for path in canary.found_below(output)]
        finally:
            for canary in canaries:
                canary.close()
    yield f"{len(ran.rows)} files, {ran.seconds:.0f} s: {counts(ran)}"
    found = breaches(ran, expected, set())
    if listener.connections:
        found.append(f"{listener.connections} connections were made")
    if opened:
        found.append(f"the canary was opened {opened} times")
    if spread or CANARY_TEXT in ran.said:
        found.append(f"the canary's text is in {spread or 'what was printed'}")
    yield f"{listener.connections} connections, canary opened {opened} times, its text in {len(spread)} files"
    yield _verdict(ran, found)
    yield from (f"FAILED {text}" for text in found)
    if found:
        raise Broken


def lay_out(broken: Path, inputs: Path, port: int) -> list[Canary]:
    """Copy the broken media, aimed at our port, each a second time as `.mp4`; a canary in every folder."""
    for path in sorted(broken.rglob("*")):
        if not path.is_file() or path.name == "CANARY.txt":
            continue
        content = path.read_bytes().replace(PUBLISHED_PORT, f"127.0.0.1:{port}/".encode())
        copy = inputs / path.relative_to(broken)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        copy.with_name(f"{path.name} again.mp4").write_bytes(content)
    folders = [inputs, *(path for path in inputs.iterdir() if path.is_dir())]
    return [Canary(folder / "CANARY.txt", CANARY_TEXT) for folder in folders]


def _verdict(ran: Ran, found: Sequence[str]) -> str:
    stalled = sum(row.failure is FailureKind.STALL for row in ran.rows.values())
    crashed = sum(row.failure is FailureKind.CRASH for row in ran.rows.values())
    return (
        f"hangs {int(ran.hung)}, ended for want of progress {stalled}, crashed {crashed}, "
        f"tracebacks {sum('traceback' in b or 'defect' in b for b in found)}, "
        f"lost neighbours {sum('neighbour' in b for b in found)}, breaches {len(found)}"
    )
