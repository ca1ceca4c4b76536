"""How do several pictures of a film become one, a contact sheet?"""

from __future__ import annotations

from collections.abc import Sequence

from pyprocessor.frames.reading import Frame


def contact_sheet(path: str | bytes, frames: Sequence[Frame], *, columns: int = 4, gap: int = 4) -> None:
    """Write the frames, of equal size, as a JPEG: row by row, `gap` pixels between them. Raises OSError, UsageError."""
    raise NotImplementedError
