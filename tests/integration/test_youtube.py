"""Pages read by yt-dlp, from a web server on loopback, and what its errors mean."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yt_dlp
from yt_dlp.networking.exceptions import TransportError
from yt_dlp.utils import ExtractorError, GeoRestrictedError

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.net import addresses
from pyprocessor.net import youtube as room
from tests.conftest import ClipMaker
from tests.integration.file_server import Answer, FileServer, serving


@pytest.fixture
def clip(tmp_path: Path, make_clip: ClipMaker) -> bytes:
    """A film."""
    return make_clip(tmp_path / "clip.mp4", seconds=1.0).read_bytes()


@pytest.fixture
def server(clip: bytes) -> Iterator[FileServer]:
    """A server that has it."""
    with serving(clip) as files:
        yield files


def fetch(server: FileServer, folder: Path, where: str = "/clip.mp4", **more: Any) -> dict[str, Any]:
    """What is found at this server."""
    return room.fetch(server.url + where, str(folder / "info"), **{"allow_private": True, **more})


def test_what_a_page_says(server: FileServer, tmp_path: Path) -> None:
    """Some of it is returned, all is written; nothing is downloaded."""
    told = fetch(server, tmp_path)
    assert (told["title"], told["extractor_key"], told["files"]) == ("clip", "Generic", 0)
    written = json.loads((tmp_path / "info").read_text())
    assert written["url"] == f"{server.url}/clip.mp4"
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "info"}


def test_what_is_downloaded(server: FileServer, tmp_path: Path, clip: bytes) -> None:
    """Under the name that is given."""
    told = fetch(server, tmp_path, path=str(tmp_path / "part"), max_bytes=10_000_000)
    assert told["files"] == 1
    assert (tmp_path / "part0").read_bytes() == clip


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_is_too_large(server: FileServer, tmp_path: Path) -> None:
    """It ends when that shows."""
    with pytest.raises(JobError, match=r"`max_bytes` allows 1\.0 kB") as raised:
        fetch(server, tmp_path, path=str(tmp_path / "part"), max_bytes=1000)
    assert raised.value.kind is FailureKind.BAD_INPUT
    # yt-dlp leaves a download that was broken off to the garbage collector, which would find it in another test.
    del raised
    gc.collect()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, FailureKind.BAD_INPUT), (403, FailureKind.PERMISSION), (503, FailureKind.UNAVAILABLE)],
)
def test_statuses(server: FileServer, tmp_path: Path, status: int, kind: FailureKind) -> None:
    """As for downloads of files."""
    server.answers = [Answer(status) for _ in range(20)]
    with pytest.raises(JobError, match=str(status)) as raised:
        fetch(server, tmp_path)
    assert raised.value.kind is kind


def test_a_page_without_a_film(tmp_path: Path) -> None:
    """One sentence."""
    page = Answer(headers={"Content-Type": "text/html"})
    with serving(b"<html><title>Nothing</title></html>", *[page] * 9) as files, pytest.raises(JobError) as raised:
        fetch(files, tmp_path, "/page")
    assert raised.value.kind is FailureKind.BAD_INPUT
    assert "Unsupported URL" in str(raised.value)


def test_a_server_that_is_not_there(server: FileServer, tmp_path: Path) -> None:
    """It may be there later."""
    with serving(b"") as gone:
        pass
    with pytest.raises(JobError) as raised:
        fetch(gone, tmp_path)
    assert raised.value.kind is FailureKind.UNAVAILABLE


def test_private_addresses_are_refused(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the page, and of what it redirects to; proxies of the environment are not asked."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.port}")
    with pytest.raises(JobError, match=r"127\.0\.0\.1 leads to 127\.0\.0\.1, which is no address") as raised:
        fetch(server, tmp_path, allow_private=False)
    assert raised.value.kind is FailureKind.PERMISSION
    assert server.asked == []
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")
    server.answers = [Answer(302, {"Location": f"http://127.0.0.2:{server.port}/"})] * 3
    with pytest.raises(JobError, match=r"127\.0\.0\.2 leads to") as raised:
        fetch(server, tmp_path, allow_private=False)
    assert raised.value.kind is FailureKind.PERMISSION


FILM = {"protocol": "https", "url": "https://a.example/a", "filesize": 10}


@pytest.mark.parametrize(
    ("found", "kind", "said"),
    [
        ({"_type": "playlist", "entries": [1, 2]}, FailureKind.UNSUPPORTED, "a list of videos"),
        ({**FILM, "is_live": True}, FailureKind.UNSUPPORTED, "goes on live"),
        ({**FILM, "protocol": "rtmp"}, FailureKind.UNSUPPORTED, "comes by rtmp"),
        ({"requested_formats": [FILM, {**FILM, "protocol": "rtsp"}]}, FailureKind.UNSUPPORTED, "comes by rtsp"),
        ({"requested_formats": [FILM, FILM]}, FailureKind.BAD_INPUT, "20 B long or more; `max_bytes` allows 15 B"),
    ],
)
def test_what_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], kind: FailureKind, said: str
) -> None:
    """Known before the first byte is asked for."""
    monkeypatch.setattr(yt_dlp.YoutubeDL, "extract_info", lambda *_, **__: dict(found))
    with pytest.raises(JobError, match=said) as raised:
        room.fetch("https://a.example/", str(tmp_path / "info"), path=str(tmp_path / "part"), max_bytes=15)
    assert raised.value.kind is kind


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (ExtractorError("Private video", expected=True), FailureKind.BAD_INPUT, "Private video."),
        (ExtractorError("Sign in to confirm you are no robot", expected=True), FailureKind.PERMISSION, "Sign in"),
        (GeoRestrictedError("Not in your country"), FailureKind.PERMISSION, "Not in your country"),
        (ExtractorError("No player"), FailureKind.UNSUPPORTED, "No player. A newer yt-dlp may know the page"),
        (ExtractorError("x", cause=TransportError("timed out")), FailureKind.UNAVAILABLE, "timed out"),
    ],
)
def test_errors_of_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: FailureKind, said: str
) -> None:
    """Which of them pass, and what is to be done; without yt-dlp's wish for reports."""

    def fail(*_: object, **__: object) -> None:
        raise yt_dlp.utils.DownloadError(f"ERROR: {error}", (type(error), error, None))

    monkeypatch.setattr(yt_dlp.YoutubeDL, "extract_info", fail)
    with pytest.raises(JobError, match=said) as raised:
        room.fetch("https://a.example/", str(tmp_path / "info"))
    assert raised.value.kind is kind
    assert "report this issue" not in str(raised.value)


def test_a_page_that_says_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lists are left out first."""
    found = {"id": "a", "title": "A", "formats": ["x" * 1000] * 10, "description": "y" * 100}
    monkeypatch.setattr(yt_dlp.YoutubeDL, "extract_info", lambda *_, **__: dict(found))
    monkeypatch.setattr(room, "MOST_INFO_BYTES", 2000)
    room.fetch("https://a.example/", str(tmp_path / "info"))
    assert "formats" not in json.loads((tmp_path / "info").read_text())
    monkeypatch.setattr(room, "MOST_INFO_BYTES", 50)
    with pytest.raises(JobError, match="What the page says of itself"):
        room.fetch("https://a.example/", str(tmp_path / "info"))
