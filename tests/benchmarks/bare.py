"""The ffmpeg calls that the command would make for a folder of clips, to be run without it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from pyprocessor.errors import JobError
from pyprocessor.ffmpeg.invocation import argv
from pyprocessor.ffmpeg.tool import find
from pyprocessor.inspect.contract import contract
from pyprocessor.inspect.probe import probe
from pyprocessor.models import Profile, Source
from pyprocessor.recipes.transcode import recipe

Call = list[str]
"""One command line, ffmpeg's path first. It writes a name relative to its working directory, which is the clip's."""

_THREAD_OPTIONS = ("-threads", "-filter_threads", "-filter_complex_threads")
_PARAMETER_LISTS = ("-x264-params", "-x265-params", "-svtav1-params")
_THREAD_PARAMETERS = ("threads=", "pools=", "frame-threads=", "lp=")


def bare_calls(clips: Path, profile: Profile) -> dict[str, Call]:
    """By name of the clip the very call the command would make of it, with one thread, where it would make one."""
    ffmpeg = find(os.environ).path
    calls = {}
    for clip in sorted(clips.iterdir()):
        status = clip.stat()
        source = Source(os.fsencode(clip), os.fsencode(clip.name), status.st_size, status.st_mtime_ns)
        try:
            media = probe(source.path, size_bytes=source.size_bytes)
            promised = contract(profile, media)
        except JobError:
            continue
        plan = recipe(profile, media, promised, source, threads=1, output_name=clip.name)
        calls[clip.name] = [os.fsdecode(part) for part in argv(plan.invocation, ffmpeg)]
    return calls


def with_default_threads(call: Call) -> Call:
    """The same call with everything taken out that bounds threads, in whichever encoder's language."""
    result: Call = []
    words = iter(call)
    for word in words:
        name = word.partition(":")[0]
        if name in _THREAD_OPTIONS:
            next(words)
        elif name in _PARAMETER_LISTS:
            kept = [part for part in next(words).split(":") if not part.startswith(_THREAD_PARAMETERS)]
            result += [word, ":".join(kept)] if kept else []
        else:
            result.append(word)
    return result


def xargs(calls: Sequence[Call], listing: Path, at_once: int) -> Call:
    """The command line that runs all calls, `at_once` at a time, in this order; `listing` is a file it may write.

    xargs starts nothing more once a call was killed by a signal, and then exits 125.
    """
    lines = (shlex.join(os.fsdecode(part) for part in ("exec", *call)) for call in calls)
    listing.write_bytes(b"".join(os.fsencode(line) + b"\0" for line in lines))
    return ["xargs", "-0", "-a", str(listing), "-P", str(at_once), "-n", "1", "sh", "-c"]
