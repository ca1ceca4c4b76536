"""Subtitles as files: those of an MP4 that are not UTF-8, which ffmpeg cannot convert where they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyprocessor.inspect.contract import Contract
from pyprocessor.models import MediaInfo
from pyprocessor.models.os_errors import refusal
from pyprocessor.publish.partials import discard
from pyprocessor.tasks.base import Work


@contextmanager
def subtitle_files(work: Work, media: MediaInfo, contract: Contract) -> Iterator[Mapping[int, bytes]]:
    """SubRip files beside the partial output, by the index of the track that each replaces; gone afterwards.

    Raises JobError where the source cannot be read or a file not be written.
    """
    # Here, so that the engine does without PyAV.
    from pyprocessor.inspect.subtitles import read_lines

    kept = {plan.index for plan in contract.kept}
    wanted = [s for s in media.streams if s.index in kept and s.codec == "mov_text" and s.charset is not None]
    written: dict[int, bytes] = {}
    try:
        for stream in wanted:
            path = work.partials + b"/" + f"{work.partial}.subtitles{stream.index}".encode("ascii")
            written[stream.index] = path
            lines = read_lines(work.source.path, stream.index)
            try:
                with open(path, "w", encoding="utf-8", newline="\n") as file:
                    for number, line in enumerate(lines, start=1):
                        text = _decoded(line.text, stream.charset or "utf-8").replace("\0", "")
                        # An empty line would end the subtitle.
                        text = "\n".join(part for part in text.splitlines() if part.strip())
                        if text:
                            file.write(f"{number}\n{_clock(line.start)} --> {_clock(line.end)}\n{text}\n\n")
            except OSError as error:
                raise refusal(error, path, "could not be written") from error
        yield written
    finally:
        for path in written.values():
            discard(path)


def _decoded(text: bytes, charset: str) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode(charset, errors="replace")


def _clock(seconds: float) -> str:
    milliseconds = max(0, round(seconds * 1000))
    return (
        f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds // 1000 % 60:02d},"
        f"{milliseconds % 1000:03d}"
    )
