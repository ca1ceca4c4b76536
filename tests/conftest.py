"""Fixtures every test may use: the ffmpeg under test, clips made by it, and an environment nobody else shares."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings

from tests.waiting import DEADLINE_SECONDS

KEPT_VARIABLES = {"PYPROCESSOR_MEDIA", "PYPROCESSOR_FFMPEG"}

# How long an example takes, or is made, tells how busy the machine is and nothing of the code.
settings.register_profile("any machine", settings.default, deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("any machine")

# The int8 products of oneDNN overflow on CPUs without VNNI where weights are as extreme as those of the tests' tiny
# Whisper model (its confidence is 0.13 there, and 0.9999 with MKL or in float32), so that all CPUs get those of MKL.
if platform.machine() == "x86_64":
    os.environ["CT2_USE_MKL"] = "1"

# A shell that starts the tests in the background, or nohup, has signals ignored; the runs under test inherit that.
for _name, _default in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), _default)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests of whole runs first, since most of them wait: the short ones then fill the gaps to the end."""
    items.sort(key=lambda item: "process" not in item.path.parts)


@dataclass(frozen=True)
class ClipMaker:
    """Makes clips from ffmpeg's own test sources; equal ones are encoded once a session, then copied and marked."""

    ffmpeg_path: str
    folder: Path

    def __call__(
        self,
        path: str | os.PathLike[str],
        *,
        seconds: float = 1.0,
        size: str = "160x90",
        rate: int = 25,
        video: str | None = "libx264",
        audio: str | None = "aac",
        extra: Sequence[str] = (),
    ) -> Path:
        target = Path(path)
        key = repr((target.suffix, seconds, size, rate, video, audio, tuple(extra)))
        cached = self.folder / (hashlib.sha256(key.encode()).hexdigest()[:16] + target.suffix)
        if not cached.exists():
            argv = [self.ffmpeg_path, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
            if video is not None:
                argv += ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]
            if audio is not None:
                argv += ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"]
            if video is not None:
                argv += ["-c:v", video, "-threads", "1"]
                if video == "libx264":
                    argv += ["-preset", "ultrafast", "-pix_fmt", "yuv420p"]
            if audio is not None:
                argv += ["-c:a", audio]
            partial = cached.with_name(f"partial-{os.getpid()}-{cached.name}")
            done = subprocess.run(
                [*argv, *extra, str(partial)], capture_output=True, timeout=DEADLINE_SECONDS, check=False
            )
            assert done.returncode == 0, f"ffmpeg could not make {target.name}: {done.stderr.decode(errors='replace')}"
            partial.replace(cached)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached, target)
        with target.open("ab") as file:
            file.write(_mark(target))
        return target


def _mark(clip: Path) -> bytes:
    """What may follow a clip's end and means nothing, by its path: else clips would be of the same content."""
    name = hashlib.sha256(os.fsencode(clip)).digest()[:16]
    if clip.suffix in (".mp4", ".mov", ".m4v", ".m4a"):
        return (8 + len(name)).to_bytes(4, "big") + b"free" + name
    return b"\xec" + bytes([0x80 | len(name)]) + name if clip.suffix in (".mkv", ".webm") else b""


@pytest.fixture(scope="session")
def ffmpeg_path() -> str:
    """The absolute path of the ffmpeg the product itself would use."""
    from pyprocessor.ffmpeg import tool

    return tool.find(os.environ).path


@pytest.fixture(scope="session")
def make_clip(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory) -> ClipMaker:
    """A factory of clips: `make_clip(path, seconds=1.0, size="160x90", rate=25, video=..., audio=..., extra=[...])`."""
    # The workers of one session share what they make: the folder above their own is the session's.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "clips"
    folder.mkdir(exist_ok=True)
    return ClipMaker(ffmpeg_path, folder)


@pytest.fixture
def standin_ffmpeg(ffmpeg_path: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of an ffmpeg that misbehaves on request (see its docstring) and else hands over to the real one."""
    monkeypatch.setenv("STANDIN_FFMPEG", ffmpeg_path)
    monkeypatch.setenv("STANDIN_MARKS", str(tmp_path_factory.mktemp("marks")))
    return str(Path(__file__).parent / "standin" / "ffmpeg")


@pytest.fixture(scope="session")
def media_folder() -> Path:
    """The folder of real clips that PYPROCESSOR_MEDIA names; the test is skipped where it names none."""
    named = os.environ.get("PYPROCESSOR_MEDIA")
    if not named:
        pytest.skip("PYPROCESSOR_MEDIA does not name a folder of real clips")
    folder = Path(named)
    if not folder.is_dir():
        pytest.skip(f"PYPROCESSOR_MEDIA names {named}, which is not a folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def private_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point the user's folders into the session's own folder and drop settings inherited from the shell."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(home / name.lower()))
        for name in [n for n in os.environ if n.startswith("PYPROCESSOR_") and n not in KEPT_VARIABLES]:
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test state and configuration folders of its own; the cache, which holds no results, is shared."""
    home = tmp_path_factory.mktemp("home", numbered=True)
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))


@pytest.fixture(autouse=True)
def signals_unchanged() -> Iterator[None]:
    """Fail a test that leaves signals handled in another way than before: it would change those that follow."""
    before = _signals()
    yield
    assert _signals() == before


def _signals() -> dict[int, object]:
    of_pytest_timeout = {signal.SIGALRM}
    return {number: signal.getsignal(number) for number in signal.valid_signals() - of_pytest_timeout}


def _is_multiprocessing_service(process: psutil.Process) -> bool:
    """Whether this is Python's forkserver or resource tracker, which end by themselves when pytest does. What the
    forkserver forked has its command line, but is no child of ours."""
    try:
        line = " ".join(process.cmdline())
        if process.ppid() != os.getpid():
            return False
    except psutil.Error:
        return False
    return "multiprocessing.forkserver" in line or "multiprocessing.resource_tracker" in line


def _children() -> list[psutil.Process]:
    return [c for c in psutil.Process().children(recursive=True) if not _is_multiprocessing_service(c)]


def _describe(process: psutil.Process) -> str:
    try:
        return f"{process.pid} ({process.status()}): {' '.join(process.cmdline()) or process.name()}"
    except psutil.Error:
        return str(process.pid)


@pytest.fixture(scope="session", autouse=True)
def no_child_left() -> Iterator[None]:
    """Fail the session if a process started by any test still runs at its end."""
    yield
    deadline = time.monotonic() + DEADLINE_SECONDS
    left = _children()
    while left and time.monotonic() < deadline:
        _, left = psutil.wait_procs(left, timeout=0.5)
        left = _children()
    names = [_describe(process) for process in left]
    for process in left:
        process.kill()
    assert not names, f"processes left running: {names}"
