"""What was answered in earlier processes? The journal of the output folder keeps it, beside the results of jobs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from pyprocessor.errors import PyprocessorError
from pyprocessor.journal.reader import JournalReader
from pyprocessor.services.cache import Key
from pyprocessor.services.handlers import Handler
from pyprocessor.state.journal_opening import change_without_run
from pyprocessor.state.state_folder import state_folder
from pyprocessor.tasks.base import MOST_RESULT_BYTES
from pyprocessor.workers.requests import BatchResult

_log = logging.getLogger("pyprocessor")
_FIELDS = {"content": (str,), "hrv_vector": (list, type(None)), "metadata": (dict, type(None))}
"""The fields that are kept of an answer, which has succeeded, and the types of each."""


@dataclass(eq=False)
class AnswerStore:
    """The answers of one handler in an output folder, which keeps at most `size` results, those of jobs included."""

    output: bytes
    handler: Handler
    size: int
    expiry_seconds: float
    _used: set[str] = field(default_factory=set)
    """Names of the answers that were used since one was last kept."""
    _asked: str = ""
    """The version of the handler when answers were last looked for, before others were asked for."""

    def get(self, keys: Iterable[Key]) -> dict[Key, tuple[float, BatchResult]]:
        """Return what is kept for these keys, and is not too old, with its age in seconds."""
        found: dict[Key, tuple[float, BatchResult]] = {}
        now, version = time.time(), _version(self.handler)
        self._asked = version
        folder = state_folder(self.output).path
        with contextlib.suppress(PyprocessorError), JournalReader.read_only(folder) as journal:
            for key in keys:
                kept = journal.cached_result(name := _name(key, version), now - self.expiry_seconds)
                answer = None if kept is None else _answer(kept[0])
                if kept is not None and answer is not None:
                    found[key] = max(0.0, now - kept[1]), answer
                    self._used.add(name)
        return found

    def keep(self, answers: Mapping[Key, BatchResult]) -> None:
        """Keep answers that succeeded and are of at most 64 KiB; where that is not possible the user reads why."""
        version = _version(self.handler)
        if version != self._asked:
            return  # its module was changed meanwhile: they may be of either version
        texts = {_name(key, version): _text(answer) for key, answer in answers.items() if answer.success}
        texts = {name: text for name, text in texts.items() if len(text) <= MOST_RESULT_BYTES}
        if not texts:
            return
        try:
            with change_without_run(self.output, _log.warning) as journal, journal.transaction():
                for name in self._used - texts.keys():
                    journal.use_result(name)
                for name, text in texts.items():
                    journal.keep_result(name, text, self.size)
            self._used.clear()
        except PyprocessorError as error:
            _log.warning("Answers are kept in memory only: %s", error)


def _name(key: Key, version: str) -> str:
    return hashlib.sha256(json.dumps(["request", version, *key]).encode()).hexdigest()[:32]


def _version(handler: Handler) -> str:
    """Return a digest of the module that the handler lies in; empty for one that is pickled, or no function."""
    module = sys.modules.get(str(handler.document.get("function", "")).partition(":")[0])
    path = getattr(module, "__file__", None)
    with contextlib.suppress(OSError):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path is not None else ""
    return ""


def _text(answer: BatchResult) -> str:
    return json.dumps({name: getattr(answer, name) for name in _FIELDS})


def _answer(text: str) -> BatchResult | None:
    """Return the answer of a text; None, with a warning, where it is damaged: then the request is asked anew."""
    try:
        values: dict[str, Any] = json.loads(text)
        if values.keys() != _FIELDS.keys() or not all(isinstance(values[name], _FIELDS[name]) for name in _FIELDS):
            raise ValueError("it is no answer to a request")
        if not all(isinstance(number, int | float) and isfinite(number) for number in values["hrv_vector"] or ()):
            raise ValueError("its vector is none")
    except (ValueError, AttributeError, RecursionError) as error:
        _log.warning("An answer that the journal keeps is damaged and is not used (%s).", error)
        return None
    return BatchResult("", True, **values)
