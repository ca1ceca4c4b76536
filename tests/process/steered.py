"""A run that was begun as a command, asked over its socket without the cost of a process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import psutil

from pyprocessor.models import JobState
from tests.process.runs import rows
from tests.waiting import DEADLINE_SECONDS, until


def ask(output: Path | bytes, do: str = "status", **more: object) -> dict[str, Any] | None:
    """What the run says over its socket, without the cost of a process; None where nobody is there."""
    folder = os.open(os.path.join(os.fsencode(output), b".pyprocessor"), os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(DEADLINE_SECONDS)
            connection.connect(f"/proc/self/fd/{folder}/control.sock")
            connection.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            said = b""
            while data := connection.recv(1 << 16):
                said += data
    except OSError:
        return None
    finally:
        os.close(folder)
    answer: dict[str, Any] = json.loads(said)
    return answer


def standing(output: Path | bytes) -> dict[str, Any]:
    """Where the run stands; empty where it does not answer (yet)."""
    try:
        answer = ask(output)
    except FileNotFoundError:
        return {}
    return answer["standing"] if answer is not None else {}


def state(output: Path | bytes) -> str | None:
    """What the run is at."""
    found = standing(output)
    return found["snapshot"].get("state", "running") if found else None


def slow_ffmpeg(folder: Path, ffmpeg_path: str, rate: float) -> str:
    """An ffmpeg that reads `rate` seconds of media a second while it encodes, whatever the machine can do."""
    folder.mkdir()
    wrapper = folder / "ffmpeg"
    slow = f'case "$*" in *-progress*) set -- -readrate {rate} "$@";; esac'
    wrapper.write_text(f'#!/bin/sh\n{slow}\nexec "{ffmpeg_path}" "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


def below(pid: int, name: str) -> list[psutil.Process]:
    """Processes below a process with this in their names; those that end meanwhile are left out."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if name in process.name():
                    found.append(process)
    return found


def ffmpegs(pid: int) -> list[psutil.Process]:
    """ffmpegs below a process."""
    return below(pid, "ffmpeg")


def encoding(process: subprocess.Popen[str], output: Path) -> list[psutil.Process]:
    """Wait until a file is being encoded, as the run itself tells; returns its ffmpeg."""

    def found() -> list[psutil.Process]:
        assert process.poll() is None, process.communicate()
        running = any(row.state is JobState.RUNNING for row in rows(output).values()) if standing(output) else False
        return ffmpegs(process.pid) if running and standing(output).get("files") else []

    found_ones: list[psutil.Process] = until(found, "a file to be encoded")
    return found_ones


def gone(process: psutil.Process) -> bool:
    """Whether the process has ended, waited for or not."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
