"""What is at the address of a video page, by yt-dlp, and how do its film and sound get onto the disk?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.extras import check_installed
from pyprocessor.models.wording import one_line, sentence, size
from pyprocessor.net.addresses import public_only
from pyprocessor.net.http import failure_of
from pyprocessor.workers.call_main import progress

MOST_INFO_BYTES = 8 << 20
"""Of what is written of a page; the lists of what could be downloaded are left out before that is too much."""
_LISTS = ("formats", "automatic_captions", "subtitles", "heatmap", "thumbnails", "comments", "entries")
_MOST_ENTRIES, _MOST_WARNINGS, _LONGEST_TEXT = 1000, 20, 400
_TOLD = ("id", "title", "duration", "extractor_key", "uploader", "upload_date", "live_status", "webpage_url")
_PROTOCOLS = frozenset({"http", "https", "m3u8", "m3u8_native", "http_dash_segments"})
"""What yt-dlp downloads by itself; for others it starts programs, which do lookups of their own."""
_HIDDEN = ("curl_cffi",)
"""What yt-dlp would use for some pages, and does lookups where they cannot be checked."""
_NO_ROBOTS = ("Sign in to confirm", "login required", "log in", "cookies")


def fetch(
    url: str,
    info: str,
    *,
    path: str = "",
    wanted: str = "",
    max_bytes: int = 0,
    allow_private: bool = False,
) -> dict[str, Any]:
    """Write what yt-dlp says of a page as JSON to the file `info`, and download it where a `path` is given.

    `wanted` is what of it, in yt-dlp's words for formats; each file of it has a number behind `path`. Returns some of
    what the page says, how many files there are, and warnings. Raises JobError.
    """
    if not allow_private:
        sys.modules.update({name: None for name in _HIDDEN if name not in sys.modules})  # type: ignore[misc]
    check_installed("youtube", "This")
    import yt_dlp
    from yt_dlp.downloader import FFmpegFD

    FFmpegFD.available = FFmpegFD.can_download = classmethod(lambda *_, **__: False)
    said = _Said()
    options: dict[str, Any] = {
        "logger": said,
        "color": "no_color",
        "noprogress": True,
        "noplaylist": True,
        "extract_flat": "in_playlist",
        "playlistend": _MOST_ENTRIES,
        "cachedir": False,
        "socket_timeout": 60,
        "format": wanted or None,
        "ignore_no_formats_error": not path,
        "external_downloader": "native",
        "updatetime": False,
        "overwrites": True,
        "nopart": True,
        "js_runtimes": {"deno": {}, "node": {}, "bun": {}, "quickjs": {}},
        "progress_hooks": [partial(_look, {}, max_bytes)],
        **({} if allow_private else {"proxy": ""}),
    }
    lookups: AbstractContextManager[list[str]] = nullcontext([]) if allow_private else public_only()
    with lookups as refused:
        try:
            with yt_dlp.YoutubeDL(options) as loader:
                found = loader.extract_info(url, download=False)
                _write(loader.sanitize_info(found, remove_private_keys=True), info)
                files = _download(loader, found, path, max_bytes) if path else 0
        except (yt_dlp.utils.YoutubeDLError, OSError) as error:
            raise _failure(error, refused) from error
    told = {name: found[name] for name in _TOLD if found.get(name) is not None}
    entries = {"entries": len(found["entries"])} if found.get("_type") == "playlist" else {}
    return {**told, **entries, "files": files, "warnings": said.warnings}


class _Said:
    """Takes what yt-dlp says for the job's log, and keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def debug(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")

    def warning(self, text: str) -> None:
        self.debug(text)
        if len(self.warnings) < _MOST_WARNINGS:
            self.warnings.append(_plain(text))

    error = debug


def _look(arrived: dict[str, int], max_bytes: int, status: dict[str, Any]) -> None:
    """Report how far a download is, and end one that becomes too large; `arrived` has the bytes of each file."""
    name = status["filename"]
    arrived[name] = status.get("downloaded_bytes") or 0
    progress(arrived[name], status.get("total_bytes") or status.get("total_bytes_estimate"))
    _check_size(sum(arrived.values()), max_bytes)


def _check_size(found: int, max_bytes: int) -> None:
    if found > max_bytes:
        text = f"It is {size(found)} long or more; `max_bytes` allows {size(max_bytes)}."
        raise JobError(FailureKind.BAD_INPUT, text)


def _write(found: dict[str, Any], path: str) -> None:
    text = json.dumps(found)
    for name in _LISTS:
        if len(text) > MOST_INFO_BYTES and name in found:
            del found[name]
            text = json.dumps(found)
    if len(text) > MOST_INFO_BYTES:
        raise JobError(FailureKind.UNSUPPORTED, f"What the page says of itself is {size(len(text))} long.")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _download(loader: Any, found: dict[str, Any], path: str, max_bytes: int) -> int:
    """Download the formats that were chosen, each to a file of its own; returns how many there are."""
    if found.get("_type", "video") != "video":
        raise JobError(FailureKind.UNSUPPORTED, "It is a list of videos, and no video; submit each of them.")
    if found.get("is_live"):
        raise JobError(FailureKind.UNSUPPORTED, "It goes on live; it can be downloaded once it has ended.")
    chosen = found.get("requested_formats") or [found]
    for one in chosen:
        if one.get("protocol") not in _PROTOCOLS:
            text = (
                f"It comes by {one_line(str(one.get('protocol')))}, which is not downloaded; choose another `format`."
            )
            raise JobError(FailureKind.UNSUPPORTED, text)
    _check_size(sum(one.get("filesize") or 0 for one in chosen), max_bytes)
    for number, one in enumerate(chosen):
        whole = {name: value for name, value in found.items() if name != "requested_formats"}
        done, _ = loader.dl(f"{path}{number}", {**whole, **one})
        if not done:
            raise JobError(FailureKind.UNAVAILABLE, "yt-dlp did not download it to its end.")
    return len(chosen)


def _failure(error: BaseException, refused: list[str]) -> JobError:
    """What an error of yt-dlp means."""
    from yt_dlp.networking.exceptions import HTTPError, TransportError
    from yt_dlp.utils import ExtractorError, GeoRestrictedError, UnsupportedError

    if refused:
        return JobError(FailureKind.PERMISSION, refused[0])
    text, causes = _plain(str(error)), list(_causes(error))
    answered = [cause for cause in causes if isinstance(cause, HTTPError)]
    for answer in answered:
        answer.close()
    extraction = next((cause for cause in causes if isinstance(cause, ExtractorError)), None)
    if answered:
        return JobError(failure_of(int(answered[0].status), other=FailureKind.BAD_INPUT), text)
    if any(isinstance(cause, TransportError | OSError) for cause in causes):
        return JobError(FailureKind.UNAVAILABLE, text)
    if any(words in text for words in _NO_ROBOTS) or isinstance(extraction, GeoRestrictedError):
        return JobError(FailureKind.PERMISSION, text)
    if isinstance(extraction, UnsupportedError) or (extraction is not None and extraction.expected):
        return JobError(FailureKind.BAD_INPUT, text)
    return JobError(FailureKind.UNSUPPORTED, f"{text} A newer yt-dlp may know the page: pip install --upgrade yt-dlp.")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it was made of."""
    seen: list[BaseException] = []
    left = [error]
    while left:
        one = left.pop(0)
        if one is None or one in seen:
            continue
        seen.append(one)
        yield one
        within = getattr(one, "exc_info", None)
        left += [getattr(one, "cause", None), within[1] if within else None, one.__cause__, one.__context__]


def _plain(text: str) -> str:
    """A message of yt-dlp, without its mark and its wish for reports."""
    return sentence(text.removeprefix("ERROR: ").partition("; please report this issue")[0], _LONGEST_TEXT)
