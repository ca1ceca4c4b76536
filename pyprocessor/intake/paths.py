"""Can the input and output that the user named be used? Checked before anything is begun."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import signal
import stat
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from pyprocessor.errors import InputSilent, OutputUnwritable, UsageError
from pyprocessor.journal.database import FILE_NAME
from pyprocessor.models import display
from pyprocessor.state.state_folder import state_folder

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""What a program may name a file or folder by."""
ANSWER_SECONDS = 30.0
"""How long a file system may take to answer. A disk that was asleep takes ten."""
_SILENT = (
    f"has not answered for {ANSWER_SECONDS:.0f} seconds; is it on a network share whose server is down? Run the same "
    "command again when it is back."
)


def absolute(given: str, option: str) -> bytes:
    """The path as bytes, absolute; raises `UsageError` for an empty one or one that no file system takes."""
    if not given:
        raise UsageError(f"{option} is empty; it needs a path.")
    if "\0" in given:
        raise UsageError(f"{option} holds a zero byte, which no path can.")
    try:
        return os.path.abspath(os.fsencode(given))
    except FileNotFoundError:
        raise UsageError(f"{option} is relative, but the current folder no longer exists; give a full path.") from None


def inputs_and_output(
    inputs: Sequence[str], output: str | None, words: Sequence[str]
) -> tuple[tuple[str, ...], str | None]:
    """The inputs and the output (the last of `words`, unless --output names it); `UsageError` for a single word."""
    if output is None and words:
        if not inputs and len(words) == 1:
            word = shlex.quote(display(os.fsencode(words[0])))
            raise UsageError(
                f"Only one path is named, {word}, but it takes two: what to read and, last, the folder to write to "
                f"(pyprocessor {word} FOLDER)."
            )
        *words, output = words
    return (*inputs, *words), output


def gather(given: Sequence[str], output: bytes, extension: str) -> tuple[list[bytes], list[str]]:
    """The inputs of a run, each once and without the output folder, and sentences about them for the user.

    Raises `UsageError` where one cannot be read, lies in another, or in the output.
    """
    all_exist(given)
    times = Counter(readable_input(path) for path in given)
    notices: list[str] = []
    if len(times) > 1 and times.pop(os.path.realpath(output), 0):
        notices.append(f"{display(output)} is the output folder, and left out as an input.")
    for path, number in times.items():
        if number > 1:
            notices.append(f"The input {display(path)} is named more than once, and read once.")
        for above in map(bytes, PurePosixPath(os.fsdecode(path)).parents):
            if above in times:
                raise UsageError(
                    f"The input {display(path)} lies in the input {display(above)}, which is read with all that is in "
                    "it; leave one of them out."
                )
        keep_apart(path, output, extension)
    return list(times), notices


def readable_input(given: str) -> bytes:
    """The input, known to be a readable file or folder; raises `UsageError`.

    A folder, and that of a file, comes without symbolic links, so that it is the same whichever way it was reached.
    """
    path = absolute(given, "--input")
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            with os.scandir(path):
                pass
        elif stat.S_ISREG(mode):
            with open(path, "rb"):
                pass
        else:
            raise UsageError(f"The input {display(path)} is neither a file nor a folder.")
    except FileNotFoundError:
        raise UsageError(f"The input {display(path)} does not exist; check its path.") from None
    except OSError as error:
        raise UsageError(f"The input {display(path)} cannot be read: {error.strerror}.") from None
    if stat.S_ISDIR(mode):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def output_folder(given: str) -> bytes:
    """The output folder, which need not exist yet; raises `OutputUnwritable` where it cannot be one."""
    path = absolute(given, "--output")
    _ask_output(path, path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return path
    except NotADirectoryError:
        raise OutputUnwritable(f"The output {display(path)} lies below a file; --output takes a folder.") from None
    except OSError as error:
        raise OutputUnwritable(f"The output folder {display(path)} cannot be used: {error.strerror}.") from None
    if not stat.S_ISDIR(mode):
        raise OutputUnwritable(
            f"The output {display(path)} is not a folder; --output, or the last path, names a folder, made where "
            "there is none."
        )
    return path


def output_of_a_run(given: str) -> bytes:
    """The output folder of a run; raises as `output_folder`, and `UsageError` where there was no run."""
    path = output_folder(given)
    folder = state_folder(path).path
    # The folder's stat may be cached from before its server went down; opening the journal is not.
    _ask_output(path, os.path.join(folder, FILE_NAME))
    if not os.path.isdir(folder):
        raise no_journal(path)
    return path


def _ask_output(output: bytes, path: bytes) -> None:
    if _silent([path]) is not None:
        raise OutputUnwritable(f"The output {display(output)} {_SILENT}")


def no_journal(output: bytes) -> UsageError:
    """The error for an output folder in which there was no run."""
    return UsageError(f"{display(output)} holds no journal; name the --output folder of a run.")


def all_exist(given: Sequence[str]) -> bool:
    """Whether there are inputs and all of them exist; raises `InputSilent` where one does not answer."""
    paths = [absolute(path, "--input") for path in given]
    silent = _silent(paths)
    if silent is not None:
        raise InputSilent(f"The input {display(silent)} {_SILENT}")
    return bool(paths) and all(map(os.path.exists, paths))


def _silent(paths: Sequence[bytes]) -> bytes | None:
    """The first path whose file system does not answer, if any.

    A forked child opens them, since a process blocked in a dead file system cannot be killed.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Other threads do not matter to a child that only calls the kernel and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        # A signal's exception would have the child go on as if it were its parent.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        child = os.fork()
    if child == 0:
        try:
            os.closerange(0, 3)  # a reader of our output must not wait for this process
            os.close(reading)
            for path in paths:
                with contextlib.suppress(OSError):
                    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
                os.write(writing, b"!")
        finally:
            os._exit(0)
    os.close(writing)
    answered, ended = 0, False
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        while not ended and select.select([reading], [], [], ANSWER_SECONDS)[0]:
            marks = os.read(reading, 65536)
            answered, ended = answered + len(marks), not marks
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
    if not ended:
        return paths[min(answered, len(paths) - 1)]
    os.waitpid(child, 0)
    return None


def keep_apart(source: bytes, output: bytes, extension: str) -> None:
    """Raise `UsageError` where outputs could take the place of sources: equal folders, or an input inside the output.

    A single file may lie in the output folder as long as its output, which ends in `extension`, cannot have its name.
    """
    real_source, real_output = os.path.realpath(source), os.path.realpath(output)
    if real_source == real_output:
        raise UsageError(f"Input and output are the same folder, {display(output)}; choose another --output.")
    if os.path.commonpath([real_source, real_output]) != real_output:
        return
    place = None
    if os.path.isdir(real_source):
        place = f"inside the output folder {display(output)}, so outputs could take the place of sources"
    elif os.path.splitext(real_source)[1].lower() == os.fsencode(f".{extension}").lower():
        place = f"in the output folder {display(output)}, where its output could take its place"
    if place is not None:
        raise UsageError(f"The input {display(source)} lies {place}; choose another --output.")
