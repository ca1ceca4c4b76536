"""The ffmpeg calls that the command would make for a folder of clips, to be run without it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pyprocessor.ffmpeg.invocation import argv
from pyprocessor.ffmpeg.tool import find
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.probe import probe
from pyprocessor.models import Profile, Source
from pyprocessor.recipes.transcode import recipe

Call = list[bytes]
"""One command line, ffmpeg's path first. It writes a name relative to its working directory, which is the clip's."""

_THREAD_OPTIONS = (b"-filter_threads", b"-filter_complex_threads")
_PARAMETER_LISTS = (b"-x265-params", b"-svtav1-params", b"-x264-params")
_THREAD_PARAMETERS = (b"pools=", b"frame-threads=", b"lp=", b"threads=")


def bare_calls(clips: Path, profile: Profile) -> dict[str, Call]:
    """By name of the clip the very call the command would make of it, with one thread."""
    ffmpeg = find(os.environ).path
    calls = {}
    for clip in sorted(clips.iterdir()):
        status = clip.stat()
        source = Source(os.fsencode(clip), os.fsencode(clip.name), status.st_size, status.st_mtime_ns)
        media = probe(source.path, size_bytes=source.size_bytes)
        plan = recipe(profile, media, contract(profile, media), source, threads=1, output_name=clip.name)
        calls[clip.name] = [os.fsencode(part) for part in argv(plan.invocation, ffmpeg)]
    return calls


def with_default_threads(call: Call) -> Call:
    """The same call with everything taken out that bounds threads, in whichever encoder's language."""
    result: Call = []
    words = iter(call)
    for word in words:
        name = word.partition(b":")[0]
        if name == b"-threads" or word in _THREAD_OPTIONS:
            next(words)
        elif name in _PARAMETER_LISTS:
            kept = [part for part in next(words).split(b":") if not part.startswith(_THREAD_PARAMETERS)]
            result += [word, b":".join(kept)] if kept else []
        else:
            result.append(word)
    return result


def xargs(calls: Sequence[Call], listing: Path, at_once: int) -> list[str]:
    """The command line that runs all calls, `at_once` at a time, in this order; `listing` is a file it may write.

    xargs goes on after a call that failed or was killed with a signal it can pass on, and then exits 123 or 125.
    """
    (width,) = {len(call) for call in calls}
    listing.write_bytes(b"".join(part + b"\0" for call in calls for part in call[1:]))
    (ffmpeg,) = {call[0] for call in calls}
    return ["xargs", "-0", "-a", str(listing), "-P", str(at_once), "-n", str(width - 1), os.fsdecode(ffmpeg)]
