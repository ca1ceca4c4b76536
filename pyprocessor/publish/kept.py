"""What do a job's attempts keep among the partials for the next one, so that it goes on where they were?"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from pyprocessor import __version__
from pyprocessor.models.os_errors import publish_error
from pyprocessor.publish.partials import discard

_KEPT = re.compile(rb"([0-9a-f]{32})\.kept(?:\..*)?", re.DOTALL)


def kept_name(job_id: str) -> str:
    """Return with what the names begin of what a job's attempts leave for the next one to go on with."""
    return f"{job_id}.kept"


def kept_path(folder: bytes, job_id: str) -> bytes:
    """Return the path of the file of this very name among the partials."""
    return os.path.join(folder, kept_name(job_id).encode("ascii"))


def answers_path(folder: bytes, job_id: str) -> bytes:
    """Return the path of a job's `KeptAnswers`: no task that its key had before can have left something else there."""
    return kept_path(folder, job_id) + b".answers"


def keeper_of(name: bytes) -> str | None:
    """Return the id of the job whose attempts left what has this name among the partials; None: it is none of these."""
    match = _KEPT.fullmatch(name)
    return match[1].decode("ascii") if match else None


def take_kept(folder: bytes, job_id: str, name: str) -> None:
    """Give the finished file of what a job's attempts have kept the name `name`, and remove the rest of that.

    Raises PublishError.
    """
    path = os.path.join(folder, name.encode("ascii"))
    try:
        os.rename(kept_path(folder, job_id), path)
        for other in os.listdir(folder):
            if keeper_of(other) == job_id:
                discard(os.path.join(folder, other))
    except OSError as error:
        raise publish_error(error, path, "could not be taken over") from error


class KeptAnswers:
    """The answers that a job's attempts were given, each on the disk before the next one is asked for.

    They serve questions that are the same, asked with the same params, by the same version of this program. A line of
    JSON each; one that a kill has torn is passed over. Raises PublishError.
    """

    def __init__(self, folder: bytes, job_id: str, params: Any) -> None:
        self._path = answers_path(folder, job_id)
        self._params = params
        self._answers: dict[str, Any] = {}
        try:
            with open(self._path, "rb") as lines:
                for line in lines:
                    self._take(line)
        except FileNotFoundError:
            return
        except OSError as error:
            raise publish_error(error, self._path, "could not be read") from error

    def get(self, question: Any) -> Any:
        """Return what was answered to a question, which is JSON; None where nothing was."""
        return self._answers.get(self._key(question))

    def add(self, question: Any, answer: Any) -> None:
        """Keep an answer, which is JSON; one that is known already stays as it is."""
        key = self._key(question)
        if key in self._answers:
            return
        # The line break before it ends what a kill, or a full disk, may have torn.
        line = f"\n{json.dumps([key, answer])}\n".encode("ascii")
        try:
            with open(self._path, "ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise publish_error(error, self._path, "could not take what was answered") from error
        self._answers[key] = answer

    def _key(self, question: Any) -> str:
        asked = json.dumps([__version__, self._params, question], sort_keys=True)
        return hashlib.sha256(asked.encode("ascii")).hexdigest()

    def _take(self, line: bytes) -> None:
        try:
            key, answer = json.loads(line)
        except ValueError:
            return
        self._answers[key] = answer
