"""Animations among a folder's files, as users have them: GIF, APNG and WebP are videos where they move."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import av
import pytest

from tests.acceptance.command import assert_plain, call
from tests.waiting import DEADLINE_SECONDS

ODD_SIZE = "testsrc2=s=320x240:r=25:d=1,scale=161:121"
UNEVEN = "setpts='(N*0.04+gte(N,5)*0.5+gte(N,9)*2+gte(N,20)*0.01)/TB'"
KINDS = {
    "gif": ("-final_delay", "150"),
    "apng": ("-f", "apng", "-final_delay", "3/2"),
    "webp": ("-c:v", "libwebp_anim"),
}


def make(ffmpeg_path: str, path: Path, *arguments: str) -> None:
    """One file of test pictures."""
    command = (ffmpeg_path, "-nostdin", "-y", "-v", "error", "-f", "lavfi", "-i", ODD_SIZE, *arguments, str(path))
    subprocess.run(command, check=True, timeout=DEADLINE_SECONDS)


def shown(ffmpeg_path: str, path: Path) -> list[float]:
    """When each picture is shown, and when the last ends, as ffmpeg reads an animation."""
    passed_on = ("-map", "0:v", "-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "framehash", "-")
    command = (ffmpeg_path, "-nostdin", "-v", "error", "-i", str(path), *passed_on)
    said = subprocess.run(command, check=True, timeout=DEADLINE_SECONDS, capture_output=True, text=True).stdout
    unit = re.search(r"^#tb 0: (\d+)/(\d+)$", said, re.MULTILINE)
    assert unit is not None
    pictures = [line.split(",") for line in said.splitlines() if not line.startswith("#")]
    ticks = [int(fields[2]) for fields in pictures] + [int(pictures[-1][2]) + int(pictures[-1][3])]
    return [tick * int(unit[1]) / int(unit[2]) for tick in ticks]


def held(path: Path) -> list[float]:
    """The same of an output, by its packets."""
    with av.open(str(path)) as container:
        film = container.streams.video[0]
        packets = [packet for packet in container.demux(film) if packet.size]
        starts = sorted(float(packet.pts * film.time_base) for packet in packets)
        # An MP4 keeps how long its last picture lasts in the length of the track.
        length = film.duration * film.time_base if film.duration else (container.duration or 0) / av.time_base
        return [*starts, starts[0] + float(length)]


@pytest.fixture(scope="module")
def animations(ffmpeg_path, tmp_path_factory) -> Path:
    """A folder with an animation of each kind, delays of zero among them, and stills beside them."""
    folder = tmp_path_factory.mktemp("animations")
    for kind, options in KINDS.items():
        make(ffmpeg_path, folder / f"{kind}.{kind}", "-vf", UNEVEN, *options)
    hurried = (folder / "gif.gif").read_bytes().replace(b"\x21\xf9\x04\x04\x04\x00", b"\x21\xf9\x04\x04\x00\x00", 3)
    (folder / "hurried.gif").write_bytes(hurried)
    for name in ("still.gif", "still.webp", "still.png"):
        make(ffmpeg_path, folder / name, "-frames:v", "1")
    return folder


@pytest.mark.parametrize("profile", ["fast", "archive"])
def test_every_picture_of_an_animation_comes_out_at_its_time(animations, ffmpeg_path, tmp_path, profile) -> None:
    """With the last shown for as long; stills are no failures, and are not spoken of."""
    result = call("--input", animations, "--output", tmp_path, "--profile", profile)
    assert_plain(result, 0, "Done         4 files")
    assert "still" not in result.stdout + result.stderr
    for source in animations.iterdir():
        if source.stem == "still":
            continue
        (made,) = tmp_path.glob(f"{source.stem}.m*")
        expected, got = shown(ffmpeg_path, source), held(made)
        assert len(got) == len(expected) == 26
        assert got == pytest.approx(expected, abs=0.002)


def test_a_still_that_is_named_is_a_picture(animations, tmp_path) -> None:
    """Whoever names it is told why there is no video of it."""
    for name, kind in (("still.gif", "GIF"), ("still.webp", "WebP"), ("still.png", "PNG")):
        result = call("--input", animations / name, "--output", tmp_path, "--profile", "fast")
        assert_plain(result, 1, f"{name}: The file is a picture ({kind}), not video.")


def test_what_an_animation_loses_is_told(ffmpeg_path, tmp_path) -> None:
    """Transparency, where there is some: what is opaque has lost nothing."""
    folder = tmp_path / "in"
    folder.mkdir()
    clear = "format=yuva444p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255*gte(X,80)'"
    palette = f"{clear},split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse=alpha_threshold=128"
    make(ffmpeg_path, folder / "clear.gif", "-vf", palette)
    make(ffmpeg_path, folder / "opaque.gif")
    make(ffmpeg_path, folder / "opaque.webp", "-c:v", "libwebp_anim")
    make(ffmpeg_path, folder / "clear.webp", "-vf", clear, "-c:v", "libwebp_anim")
    result = call("--input", folder, "--output", tmp_path / "out", "--profile", "fast", "--verbose")
    assert_plain(result, 0, "Losses       2 files: transparency dropped", "    clear.gif\n    clear.webp\n")
    told = call("report", "--output", tmp_path / "out", "--format", "json")
    losses = {entry["name"]: entry["losses"] for entry in json.loads(told.stdout)["files"]}
    dropped = ["transparency dropped"]
    assert losses == {"clear.gif": dropped, "clear.webp": dropped, "opaque.gif": [], "opaque.webp": []}
