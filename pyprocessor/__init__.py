"""pyprocessor: a multiprocessing video batch engine that drives ffmpeg. Programs call `run`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyprocessor.api import RunResult, run

__version__ = "0.1.0"
__all__ = ["RunResult", "run"]


def __getattr__(name: str) -> Any:
    # Imported at the first use: the command and its processes import this package, too.
    if name in __all__:
        from pyprocessor import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
