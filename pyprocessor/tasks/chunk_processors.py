"""What can be done with a chunk: by ffmpeg, by our own calls, by functions of others?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pyprocessor.errors import UsageError

FFMPEG, CHECKSUM, DECODE, COMPOSITE = "ffmpeg", "checksum", "simulated_decode", "composite"
GROUP = "pyprocessor.chunk_processors"
"""Entry points by which packages offer processors: each is a `Processor`, or a function."""
_COMPOSED_BY_DEFAULT = (CHECKSUM, DECODE)


@dataclass(frozen=True, slots=True)
class Processor:
    """A function of others, `module:function`, that is called for each chunk in a process of its own.

    It is given by name `source` (a path), `sequence`, `start_time`, `end_time` (seconds of playing time) and `output`,
    the path of the file to write, or None where `extension` is empty. What it returns is JSON and becomes the chunk's
    `value`.
    """

    function: str
    extension: str = ""


OWN = (FFMPEG, CHECKSUM, DECODE)


def processors(name: str) -> dict[str, Processor | None]:
    """The processors of a name, in turn; None stands for our own. Raises UsageError.

    `composite` does several in turn, by default checksum and simulated_decode; `composite:ffmpeg,checksum` names them.
    """
    head, _, rest = name.partition(":")
    if head == COMPOSITE:
        parts = [part.strip() for part in rest.split(",") if part.strip()] if rest else list(_COMPOSED_BY_DEFAULT)
        if any(part.partition(":")[0] == COMPOSITE for part in parts) or len(set(parts)) < len(parts) or not parts:
            raise UsageError(f"{name!r} is made of processors that are no composites, each once.")
        return {part: _processor(part) for part in parts}
    return {name: _processor(name)}


def _processor(name: str) -> Processor | None:
    if name in OWN:
        return None
    offered = entry_points(group=GROUP)
    for entry in offered.select(name=name):
        found = _imported(name, entry.load)
        return found if isinstance(found, Processor) else Processor(entry.value.replace(" ", ""))
    module, _, function = name.partition(":")
    if module == "__main__":
        text = f"The processor {name!r} is called in processes that do not run your script: put it into a module."
        raise UsageError(text)
    if function and all(part.isidentifier() for part in module.split(".")):
        if callable(getattr(_imported(name, partial(import_module, module)), function, None)):
            return Processor(name)
        raise UsageError(f"The module {module!r} has no function {function!r} for a processor.")
    known = ", ".join((*OWN, COMPOSITE, *sorted(entry.name for entry in offered)))
    text = f"There is no processor named {name!r}; known here are {known}, and functions as `module:function`."
    raise UsageError(text)


def _imported(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except (Exception, SystemExit) as error:  # a module of others may raise anything
        reason = str(error) or type(error).__name__
        raise UsageError(f"The processor {name!r} cannot be imported: {reason}.") from error
