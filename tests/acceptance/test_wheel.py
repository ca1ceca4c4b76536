"""The built wheel, installed into an empty virtual environment, has all it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an empty environment into which the wheel was installed.

    Its dependencies are this environment's own, so that the test needs no network; the project's own editable install
    does not come with them, since `.pth` files are read only in the environment's own folder.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy, because a build leaves its own folders beside what it builds.
    for name in ("pyprocessor", "profiles"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    built = subprocess.run(build, capture_output=True, text=True, cwd=folder, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    (library,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (library / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"


def output_of(command: list[str | Path], cwd: Path) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, "PATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the layout of environments differs")
def test_the_wheel_is_imported_and_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    """Otherwise the other tests here would prove nothing."""
    where = output_of([installed / "python", "-c", "import pyprocessor; print(pyprocessor.__file__)"], tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_built_in_profiles_come_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    """They lie outside the package in the checkout, so this is where they would get lost."""
    said = output_of([installed / "pyprocessor", "profiles", "list"], tmp_path)
    for name in ("default", "fast", "high_quality", "archive", "proxy", "audio"):
        assert name in said


def test_the_wheel_does_the_main_job(installed: Path, tmp_path: Path, make_clip) -> None:  # type: ignore[no-untyped-def]
    """SQL, cost priors and built-in profiles are all found: a real file comes out."""
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in" / "a.mkv")
    command = [installed / "pyprocessor", "--input", tmp_path / "in", "--output", tmp_path / "out"]
    output_of([*command, "--batch-mode", "enabled"], tmp_path)
    assert (tmp_path / "out" / "a.mp4").stat().st_size > 0
