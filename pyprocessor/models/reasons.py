"""What is said of a file, always under the same name: its path below the input."""

from __future__ import annotations

import os
import re

from pyprocessor.models import Source, display


def told(source: Source, reason: str) -> str:
    """The reason as a sentence that begins with the source's relative name, whatever it called the source before.

    Rooms that know no more of a source than its path call it by that, or by its base name alone, which others may bear.
    """
    name = display(source.relative)
    for known in (display(source.path), name, display(os.path.basename(source.path))):
        if re.match(rf"{re.escape(known)}(?!\w)", reason):
            return name + reason[len(known) :]
    return f"{name}: {reason}"
