"""May an output go there? Never among the sources, wherever links in the output folder lead."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import InputFolder, Source, display


@dataclass(frozen=True, slots=True)
class Bounds:
    """What must not be replaced by the output of `source`. Paths are absolute."""

    output_root: bytes
    source: Source
    folders: tuple[InputFolder, ...] = ()
    """Those of the run's inputs; the source may be of an earlier run with other inputs."""

    def check(self, final: bytes) -> None:
        """Raise PublishError where `final` is the source itself, lies among the sources, or holds them."""
        folder, sources = os.path.dirname(final), os.path.dirname(self.source.path)
        inputs = [held.path for held in self.folders]
        if not any(_within(self.source.path, held) for held in inputs):
            inputs.append(self.source.root)
        stray = among_sources(folder, sources, output_root=self.output_root, inputs=inputs)
        if stray is not None:
            raise PublishError(FailureKind.PERMISSION, f"{display(final)} was not given its name: {stray}.")
        if _same(final, self.source.path) and _same(folder, sources):
            raise PublishError(
                FailureKind.PERMISSION,
                f"{display(final)} was not given its name: that is the source itself; choose another output folder.",
            )
        if os.path.isdir(final) and not os.path.islink(final):
            real = os.path.realpath(final)
            if any(_within(os.path.realpath(held), real) for held in (self.source.path, *inputs)):
                raise PublishError(
                    FailureKind.PERMISSION,
                    f"{display(final)} was not given its name: a folder of that name lies there and holds the source; "
                    "choose another output folder.",
                )


def among_sources(folder: bytes, sources: bytes, *, output_root: bytes, inputs: Iterable[bytes]) -> str | None:
    """Return why no output may go into `folder`: links in it lead back into an input, or to `sources`."""
    real = os.path.realpath(folder)
    if _within(real, os.path.realpath(output_root)):
        return None
    among = any(_within(real, os.path.realpath(held)) for held in inputs)
    if not among and real != os.path.realpath(sources):
        return None
    return (
        f"{display(folder)} leads to {display(real)}, which is in the input, where it could take the place of a "
        "source; remove that link from the output folder"
    )


def _within(path: bytes, root: bytes) -> bool:
    return os.path.commonpath([path, root]) == root


def _same(one: bytes, other: bytes) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False
