"""Covers that a task puts beside its partial output, for ffmpeg to attach."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pyprocessor.errors import JobError
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.probe import probe
from pyprocessor.inspect.reader import read_covers
from pyprocessor.models import Profile, Source, VideoSettings
from pyprocessor.tasks.base import Work
from pyprocessor.tasks.side_files import side_files
from pyprocessor.tasks.transcode import Transcode
from tests.waiting import DEADLINE_SECONDS

MKV = Profile("keep", "f", container="mkv", extension="mkv", video=VideoSettings(preset="ultrafast"))


@pytest.fixture
def work(ffmpeg_path, make_clip, tmp_path) -> Work:
    """A film with two covers, of which one has a file name, and the job of keeping them."""
    make_clip(tmp_path / "a.mp4")
    for command in (
        ["-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1", "front.png"],
        ["-f", "lavfi", "-i", "color=blue:size=48x32", "-frames:v", "1", "back.jpg"],
        [
            *("-i", "a.mp4", "-i", "front.png", "-i", "back.jpg", "-map", "0", "-map", "1", "-map", "2", "-c", "copy"),
            *("-disposition:v:1", "attached_pic", "-disposition:v:2", "attached_pic", "covers.mp4"),
        ],
    ):
        subprocess.run(
            [ffmpeg_path, "-loglevel", "error", "-y", *command], cwd=tmp_path, check=True, timeout=DEADLINE_SECONDS
        )
    path = tmp_path / "covers.mp4"
    partials = tmp_path / "partial"
    partials.mkdir()
    source = Source(os.fsencode(path), b"covers.mp4", path.stat().st_size, 0)
    media = probe(source.path, size_bytes=source.size_bytes)
    return Work("job", MKV, (source,), media, 1, os.fsencode(partials), "job-1")


def files(work: Work) -> list[bytes]:
    """What lies in the folder of unfinished outputs."""
    return sorted(os.listdir(work.folder))


def test_covers_are_there_while_ffmpeg_runs_and_gone_with_the_attempt(work, tmp_path) -> None:
    """Also where the attempt is given up midway."""
    steps = Transcode().run(work)
    output = next(steps).invocation.output
    assert [(file.file_name, file.media_type) for file in output.attachments] == [
        ("cover.png", "image/png"),
        ("cover2.jpg", "image/jpeg"),
    ]
    assert files(work) == [b"job-1.cover0", b"job-1.cover1"]
    assert (Path(os.fsdecode(work.folder)) / "job-1.cover0").read_bytes() == (tmp_path / "front.png").read_bytes()
    steps.close()
    assert files(work) == []


def test_a_cover_that_cannot_be_written_is_the_failure_of_one_file(work) -> None:
    """A sentence, and nothing left behind."""
    agreed = contract(MKV, work.found)
    os.mkdir(work.folder + b"/job-1.cover1")
    with pytest.raises(JobError, match="could not be written"), side_files(work, work.found, agreed):
        pass
    assert files(work) == []


def test_a_stream_without_a_picture_is_no_cover(work) -> None:
    """The source may have changed since it was looked at."""
    with pytest.raises(JobError, match="stream 7"):
        read_covers(work.inputs[0].path, work.found, [7])
