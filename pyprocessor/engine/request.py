"""What is a run asked to do, from the inputs, the output and the profile that a user or a program names?"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Sequence
from dataclasses import replace

from pyprocessor.errors import JournalError, NoJournal, UsageError
from pyprocessor.ffmpeg import tool
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.intake.paths import all_exist, gather, output_folder
from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import Mode, PriorityRule, Profile, display
from pyprocessor.models.run import RunRequest
from pyprocessor.models.wording import one_line
from pyprocessor.state.state_folder import state_folder

WATCHED_MIN_AGE_SECONDS = 10.0
"""How long a file that comes into a watched folder has to stay as it is, where nothing else is asked for."""


def _has_submitted(output: bytes) -> bool:
    """Whether jobs were submitted to an output folder, so that a run over it needs no input."""
    with contextlib.suppress(JournalError, NoJournal), JournalReader.read_only(state_folder(output).path) as journal:
        return journal.has_submitted()
    return False


def check_list(profile: Profile) -> None:
    """Raise UsageError where files are to be done in the order of a list that cannot be read."""
    rule, name = profile.batch.priority_rule
    if profile.batch.mode is not Mode.PRIORITY or rule is not PriorityRule.LIST:
        return
    all_exist([name])
    path = one_line(name)
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise UsageError(f"The list of priorities {path} is no regular file, and is read twice; write it to one.")
        with open(name, "rb") as file:
            file.read(1)
    except OSError as error:
        raise UsageError(f"The list of priorities {path} cannot be read: {error.strerror}.") from None


def run_request(
    inputs: Sequence[str],
    output: str,
    profile: Profile,
    *,
    arguments: str = "",
    limit: int | None = None,
    retry_failed: bool = False,
    overwrite: bool = False,
    watch: bool = False,
    min_age_given: bool = False,
) -> tuple[RunRequest, list[str]]:
    """Return the request, and sentences about its inputs for the user; `arguments` is the command, for the journal.

    Nothing is begun. Raises UsageError, InputSilent, OutputUnwritable or FfmpegUnusable.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit is {limit}, but must be 1 or more.")
    folder = output_folder(output)
    if not inputs and (watch or not _has_submitted(folder)):
        raise UsageError("No input is named; give --input PATH, a video file or a folder of videos.")
    paths, notices = gather(inputs, folder, profile.extension)
    if watch and len(paths) > 1:
        raise UsageError(f"--watch watches one folder, and {len(paths)} inputs are named; start a run for each.")
    if watch and not os.path.isdir(paths[0]):
        raise UsageError(f"--watch watches a folder, and the input {display(paths[0])} is a file; name its folder.")
    check_list(profile)
    found = tool.find(os.environ)
    tool.require(found, profile)
    tool.require_working(found, profile)
    if watch and not min_age_given and profile.scan.min_age_seconds == 0:
        profile = replace(profile, scan=replace(profile.scan, min_age_seconds=WATCHED_MIN_AGE_SECONDS))
    request = RunRequest(
        inputs=inputs_of(paths),
        output=folder,
        profile=profile,
        tool_path=found.path,
        # The journal holds text: bytes that are not UTF-8 come out escaped.
        arguments=arguments.encode("utf-8", "backslashreplace").decode("utf-8"),
        limit=limit,
        retry_failed=retry_failed,
        overwrite=overwrite,
        watch=watch,
    )
    return request, notices
