"""Real clips, where a folder of them is named: each is made and verified, or fails with a reason."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pyprocessor.errors import JobError
from pyprocessor.ffmpeg.invocation import argv, environment
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.probe import probe, survey_source
from pyprocessor.inspect.verify import verify
from pyprocessor.models import AudioSettings, HdrPolicy, InputLimits, Profile, Source, VideoSettings
from pyprocessor.recipes.features import features
from pyprocessor.recipes.transcode import recipe
from pyprocessor.tasks.base import Work
from pyprocessor.tasks.side_files import side_files
from tests.integration.encoder_profiles import COARSE as EVERYWHERE

KEEPING = replace(
    EVERYWHERE,
    container="mkv",
    extension="mkv",
    video=VideoSettings("libsvtav1", preset="12", crf=50, pixel_format="yuv420p10le", hdr=HdrPolicy.KEEP),
    audio=AudioSettings("libopus", bitrate=64_000),
)

pytestmark = [pytest.mark.media, pytest.mark.timeout(3600)]


def attempt(path: Path, profile: Profile, ffmpeg_path: str, folder: Path) -> str | None:
    """Make and verify one file: None for a success, else the sentence it failed with."""
    name = f"output.{profile.extension}"
    source = Source(os.fsencode(path), os.fsencode(path.name), path.stat().st_size, 0)
    try:
        media = probe(source.path, size_bytes=source.size_bytes)
        media, times = survey_source(
            source.path, media, [plan.index for plan in contract(profile, media).kept], InputLimits()
        )
        agreed = contract(profile, media)
        assert features(profile, media).duration_seconds >= 0
        with side_files(Work("j", profile, (source,), media, 1, os.fsencode(folder), "output"), media, agreed) as files:
            made = recipe(profile, media, agreed, source, threads=1, output_name=name, covers=files.covers)
            done = subprocess.run(
                argv(made.invocation, ffmpeg_path),
                cwd=folder,
                env=environment(os.environ),
                capture_output=True,
                timeout=600,
                check=False,
            )
        if done.returncode != 0:
            return f"ffmpeg: {done.stderr[-300:].decode(errors='replace')}"
        counts = re.findall(rb"^frame=(\d+)$", done.stdout, re.MULTILINE)
        verify(
            os.fsencode(folder / name),
            agreed,
            encoded_frames=int(counts[-1]) if counts else None,
            damaged=False,
            source=source.path,
            media=media,
            times=times,
        )
    except JobError as error:
        return str(error)
    return None


@pytest.mark.parametrize("profile", [EVERYWHERE, KEEPING], ids=lambda p: p.name)
def test_every_clip_succeeds_or_says_why_not(media_folder, ffmpeg_path, tmp_path, profile: Profile) -> None:
    """No exception of another kind, no failure of ffmpeg that probing should have told, most files done."""
    clips = media_folder / "clips" if (media_folder / "clips").is_dir() else media_folder
    files = sorted(path for path in clips.iterdir() if path.is_file())
    if not files:
        pytest.skip(f"{clips} holds no files")
    failed = {path.name: reason for path in files if (reason := attempt(path, profile, ffmpeg_path, tmp_path))}
    print(*(f"{name}: {reason}" for name, reason in failed.items()), sep="\n")
    assert not [name for name, reason in failed.items() if reason.startswith("ffmpeg:")], failed
    assert len(failed) <= len(files) // 2
