"""Which parts of a source need a file for ffmpeg: covers, and subtitles of an MP4 that are not UTF-8?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyprocessor.ffmpeg.invocation import Attachment
from pyprocessor.inspect.contract import Contract
from pyprocessor.models import MediaInfo
from pyprocessor.models.os_errors import publish_error
from pyprocessor.publish.partials import discard
from pyprocessor.speech.subtitles import timestamp
from pyprocessor.tasks.base import Work

if TYPE_CHECKING:
    from pyprocessor.inspect.subtitles import Line


@dataclass(frozen=True, slots=True)
class SideFiles:
    """Files beside a partial output: covers in the contract's order, and subtitles by the index of their track."""

    covers: tuple[Attachment, ...]
    subtitles: Mapping[int, bytes]


@contextmanager
def removed_afterwards(work: Work, *names: str) -> Iterator[None]:
    """Remove these files of the work's folder in the end, whether or not they are there."""
    try:
        yield
    finally:
        for name in names:
            discard(work.path(name))


@contextmanager
def side_files(work: Work, media: MediaInfo, contract: Contract) -> Iterator[SideFiles]:
    """Write the files that `contract` needs beside the partial output, and remove them afterwards. Raises JobError."""
    # Here, so that the engine does without PyAV.
    from pyprocessor.inspect.reader import read_covers
    from pyprocessor.inspect.subtitles import read_lines

    written: list[bytes] = []

    def write(name: str, content: bytes) -> bytes:
        path = work.path(name)
        written.append(path)
        try:
            with open(path, "wb") as file:
                file.write(content)
        except OSError as error:
            raise publish_error(error, path, "could not be written") from error
        return path

    streams = {stream.index: stream for stream in media.streams}
    wanted = [plan.index for plan in contract.kept if plan.attached]
    try:
        covers = []
        for number, cover in enumerate(read_covers(work.inputs[0].path, media, wanted) if wanted else ()):
            name = f"{work.name}.cover{number}"
            write(name, cover.content)
            codec = streams[wanted[number]].codec or ""  # mjpeg, png, gif or tiff
            extension = "jpg" if codec == "mjpeg" else codec
            # Players look for `cover` where the source names no file.
            usual = f"cover{number + 1 if number else ''}.{extension}"
            covers.append(Attachment(name, cover.file_name or usual, f"image/{'jpeg' if codec == 'mjpeg' else codec}"))
        subtitles = {}
        for stream in (streams[plan.index] for plan in contract.kept):
            if stream.codec == "mov_text" and stream.charset is not None:
                lines = read_lines(work.inputs[0].path, stream.index)
                text = "".join(_subrip(number, line, stream.charset) for number, line in enumerate(lines, start=1))
                subtitles[stream.index] = write(f"{work.name}.subtitles{stream.index}", text.encode())
        yield SideFiles(tuple(covers), subtitles)
    finally:
        for path in written:
            discard(path)


def _subrip(number: int, line: Line, charset: str) -> str:
    try:
        text = line.text.decode("utf-8")
    except UnicodeDecodeError:
        text = line.text.decode(charset, errors="replace")
    # An empty line would end the entry.
    text = "\n".join(part for part in text.replace("\0", "").splitlines() if part.strip())
    return f"{number}\n{timestamp(line.start)} --> {timestamp(line.end)}\n{text}\n\n" if text else ""
