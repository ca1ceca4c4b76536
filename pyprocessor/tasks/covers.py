"""Cover pictures as files: Matroska holds them as attachments, which ffmpeg takes from files alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyprocessor.ffmpeg.invocation import Attachment
from pyprocessor.inspect.contract import Contract
from pyprocessor.models.os_errors import refusal
from pyprocessor.publish.partials import discard
from pyprocessor.tasks.base import Work

_FORMATS = {
    "mjpeg": ("jpg", "image/jpeg"),
    "png": ("png", "image/png"),
    "gif": ("gif", "image/gif"),
    "tiff": ("tiff", "image/tiff"),
}
"""File extension and media type by codec, of all that a contract has attached."""


@contextmanager
def cover_files(work: Work, contract: Contract) -> Iterator[tuple[Attachment, ...]]:
    """The covers that `contract` wants attached, as files beside the partial output; they are gone afterwards.

    Raises JobError where a cover cannot be read from the source, or a file cannot be written.
    """
    # Here, so that the engine does without PyAV.
    from pyprocessor.inspect.covers import read_covers

    wanted = [plan.index for plan in contract.kept if plan.attached]
    codecs = {stream.index: stream.codec or "" for stream in work.media.streams}
    covers = read_covers(work.source.path, work.media, wanted) if wanted else []
    written: list[bytes] = []
    attachments = []
    try:
        for number, (index, cover) in enumerate(zip(wanted, covers, strict=True)):
            name = f"{work.partial}.cover{number}"
            path = work.partials + b"/" + name.encode("ascii")
            written.append(path)
            try:
                with open(path, "wb") as file:
                    file.write(cover.content)
            except OSError as error:
                raise refusal(error, path, "could not be written") from error
            extension, media_type = _FORMATS[codecs[index]]
            # Players look for `cover` where the source names no file.
            usual = f"cover{number + 1 if number else ''}.{extension}"
            attachments.append(Attachment(name, cover.file_name or usual, media_type))
        yield tuple(attachments)
    finally:
        for path in written:
            discard(path)
