"""How well CPU time is predicted for real clips: with nothing learned, and once the same files were done before.

The clips are those of the folder that PYPROCESSOR_MEDIA names. Every encoder runs over all of them twice, into two
folders, with learned costs of its own; what the command predicted when it began a file stands in its journal.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyprocessor.journal.reader import JournalReader
from pyprocessor.models import OutcomeKind
from pyprocessor.state.state_folder import state_folder
from tests.benchmarks.command import measured, pyprocessor
from tests.benchmarks.makespan import Contest, write_profile

MEDIA_VARIABLE = "PYPROCESSOR_MEDIA"
MOST_COLD_PERCENT, MOST_COLD_TENTH_PERCENT, MOST_WARM_PERCENT = 25.0, 80.0, 10.0
CONTESTS = (
    Contest("x264", "libx264", "medium", 20, rounds=1),
    Contest("SVT-AV1", "libsvtav1", "8", 28, rounds=1),
)
SOME_FAILED = 1
"""Exit code of a run of which some files failed: real clips hold some that nobody can convert."""


def media_folder() -> Path | None:
    """The folder of real clips, or None where none is named."""
    named = os.environ.get(MEDIA_VARIABLE)
    return Path(named) if named else None


def measure(folder: Path) -> Iterator[str]:
    """Errors of predicted CPU-seconds, cold and warm, an encoder at a time."""
    clips = media_folder()
    if clips is None:
        yield f"not measured: {MEDIA_VARIABLE} names no folder of real clips"
        return
    for contest in CONTESTS:
        home = folder / contest.name
        home.mkdir()
        profile = write_profile(home / "profile.yaml", contest)
        for turn, (what, figure) in enumerate(
            (
                ("cold", f"at most {MOST_COLD_PERCENT:.0f} % and {MOST_COLD_TENTH_PERCENT:.0f} %"),
                ("the same files again", f"at most {MOST_WARM_PERCENT:.0f} %"),
            )
        ):
            output = home / f"output-{turn}"
            command = pyprocessor("--input", clips, "--output", output, "--profile", profile)
            measured(["env", f"XDG_STATE_HOME={home}", *command], accepted=(0, SOME_FAILED))
            yield f"{contest.name} {contest.preset}, {what}: {_line(errors(os.fsencode(output)))} (figure: {figure})"


def errors(output: bytes) -> list[float]:
    """|predicted - measured| / measured CPU-seconds, in percent, of every file that the run made."""
    with JournalReader.read_only(state_folder(output).path) as journal:
        return [
            100 * abs(attempt.predicted.cpu_seconds - attempt.usage.cpu_seconds) / attempt.usage.cpu_seconds
            for attempt in journal.attempts()
            if attempt.outcome is OutcomeKind.SUCCEEDED
            and attempt.predicted is not None
            and attempt.usage is not None
            and attempt.usage.cpu_seconds > 0
        ]


def _line(percents: Sequence[float]) -> str:
    tenth = statistics.quantiles(percents, n=10)[-1]
    return f"{len(percents)} files off by {statistics.median(percents):.0f} % (median), {tenth:.0f} % (nine of ten)"
