"""The one builder of ffmpeg command lines.

Recipes describe what ffmpeg is to do as an `Invocation`; `argv` is the only function that turns one into arguments.
So the safety options (no stdin, protocol and demuxer whitelists, bounded threads) stand in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Options = tuple[tuple[str, str], ...]
"""ffmpeg options as (name without the dash, value); an option without a value has the value ``""``. May repeat."""


class Trust(StrEnum):
    """Who wrote an input: a user (no playlists, scripts, patterns, network) or we ourselves (concat joins, our HLS)."""

    UNTRUSTED = "untrusted"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Input:
    """`path` is absolute, as bytes. `options` stand before `-i`, for instance `("ss", "3.5")` or `("c:v", "libdav1d")`."""

    path: bytes
    trust: Trust = Trust.UNTRUSTED
    options: Options = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter of a chain: `Filter("scale", ("1280", "-2"), (("flags", "bicubic"),))`. Values are unescaped."""

    name: str
    arguments: tuple[str, ...] = ()
    options: Options = ()


@dataclass(frozen=True, slots=True)
class MappedStream:
    """One stream of an output, in output order.

    `source` is (input number, stream index in that input). `encoder` is an ffmpeg encoder name or `"copy"`.
    `options` belong to this output stream alone and are written with its specifier, for instance `("crf", "20")`
    becomes `-crf:0 20` for output stream 0. `kind` is `"v"`, `"a"`, `"s"`, `"d"` or `"t"`.
    """

    source: tuple[int, int]
    kind: str
    encoder: str
    filters: tuple[Filter, ...] = ()
    options: Options = ()
    preset: str | None = None
    """Kept apart because encoders take threads in their own language beside it."""
    metadata: Options = ()


@dataclass(frozen=True, slots=True)
class Output:
    """`name` is a short temporary name, relative to the working directory; `muxer` is given with `-f`."""

    name: str
    muxer: str
    streams: tuple[MappedStream, ...]
    options: Options = ()


@dataclass(frozen=True, slots=True)
class Invocation:
    """What one ffmpeg process is to do. `threads` bounds decoder, filters and encoder, each in its own way."""

    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    threads: int = 1
    options: Options = ()
    """Global options."""
