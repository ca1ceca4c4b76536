"""What does a folder of chunks hold? `manifest.json`, which is whole at any moment."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Sequence
from typing import Any

from pyprocessor.chunks.errors import PipelineError
from pyprocessor.chunks.results import ChunkResult
from pyprocessor.models import display
from pyprocessor.publish.durable import new_file
from pyprocessor.tasks.chunk import MAKER, MANIFEST, manifest, segment

EVERY_SECONDS = 1.0
_MOST_NAMES = 5


class Manifest:
    """Written beside and renamed, once a second at most while chunks are made. Raises PipelineError for another's."""

    def __init__(self, folder: bytes, source: bytes) -> None:
        self._path = os.path.join(folder, os.fsencode(MANIFEST))
        self._source = source
        self._written = 0.0
        self._named_before: set[str] = set()
        self._refuse_another()

    def due(self) -> bool:
        """Whether the last one is old enough to write another, so that many short chunks cost little."""
        return time.monotonic() - self._written >= EVERY_SECONDS

    def write(self, results: Sequence[ChunkResult], *, complete: bool, **about: Any) -> None:
        """Write what is known up to now. Raises OutputUnwritable."""
        text = manifest(self._source, [_segment(result) for result in results], complete=complete, **about)
        with new_file(self._path, mode=0o666, replace=True) as stream:
            stream.write(text)
        self._written = time.monotonic()

    def left_behind(self, files: Collection[str]) -> str | None:
        """A sentence about chunks of an earlier call, cut otherwise, that lie beside these `files`."""
        folder = os.path.dirname(self._path)
        left = sorted(
            name for name in self._named_before - set(files) if os.path.lexists(os.path.join(folder, os.fsencode(name)))
        )
        if not left:
            return None
        shown = ", ".join(left[:_MOST_NAMES]) + (", ..." if len(left) > _MOST_NAMES else "")
        return f"Left of an earlier call, and not in {MANIFEST}: {shown}."

    def _refuse_another(self) -> None:
        """Refuse a folder that holds the chunks of another source, or a file of this name that is not ours."""
        try:
            with open(self._path, encoding="utf-8") as stream:
                found = json.load(stream)
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            found = None
        folder = display(os.path.dirname(self._path))
        if not isinstance(found, dict) or found.get("made_by") != MAKER:
            text = (
                f"{folder} holds a {MANIFEST} that is not of a pipeline; choose another output folder, or move it away."
            )
            raise PipelineError(text)
        if found.get("source") != os.fsdecode(self._source):
            other = display(os.fsencode(str(found.get("source"))))
            text = f"{folder} holds the chunks of another source, {other}; choose another output folder."
            raise PipelineError(text)
        segments = found.get("segments")
        names = [one.get("file") for one in segments or () if isinstance(one, dict)]
        self._named_before = {name for name in names if isinstance(name, str) and "/" not in name}


def _segment(result: ChunkResult) -> dict[str, Any]:
    file = os.path.basename(result.output_file) if result.output_file is not None else None
    about = segment(result.sequence, file, result.start_time, result.end_time, failed=not result.success)
    return about | ({} if result.error is None else {"error": result.error}) | dict(result.facts)
