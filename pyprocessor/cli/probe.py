"""`pyprocessor probe`: what is in one file?"""

from __future__ import annotations

import os
import stat

import click

from pyprocessor.cli.session import print_result
from pyprocessor.errors import InspectError, UsageError
from pyprocessor.inspect.probe import probe as inspect_file
from pyprocessor.intake.paths import absolute
from pyprocessor.models import display
from pyprocessor.report.media import media_json, media_text


@click.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def probe(file: str, as_json: bool) -> None:
    """Show what is in a video file: container, streams, duration, HDR, rotation."""
    path = absolute(file, "FILE")
    try:
        status = os.stat(path)
    except OSError as error:
        raise UsageError(f"{display(path)} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{display(path)} is not a file.")
    try:
        media = inspect_file(path, size_bytes=status.st_size)
    except InspectError as error:
        raise InspectError(error.kind, f"{display(path)}: {error}") from None
    print_result(media_json(path, media) if as_json else media_text(path, media))
