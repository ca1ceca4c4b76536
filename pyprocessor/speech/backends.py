"""Who may transcribe: which back ends, called by which function, with which settings, and what does each take?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pyprocessor.models import Backend, Cost
from pyprocessor.models.extras import check_installed
from pyprocessor.models.urls import host_of, is_plain_url
from pyprocessor.speech import pocketsphinx_backend, whisper_backend

OPENAI, WHISPER, POCKETSPHINX = "openai", "faster-whisper", "pocketsphinx"
_FUNCTIONS = {
    OPENAI: "pyprocessor.net.transcription:transcribe",
    WHISPER: "pyprocessor.speech.whisper_backend:transcribe",
    POCKETSPHINX: "pyprocessor.speech.pocketsphinx_backend:transcribe",
}
_MODELS = {OPENAI: "whisper-1", WHISPER: "small", POCKETSPHINX: "en-us"}
_MEMORY_BYTES = 64 << 20
"""An ffmpeg that decodes sound, or a process that talks to a server."""
_CPU_SECONDS = 0.2
_DECODING_CPU_SECONDS = 0.005
"""For a second of sound, with what of a film has to be read past."""
_ANSWER_SECONDS, _ANSWER_SHARE = 5.0, 0.1
"""How long a server takes, and for each second of sound."""


@dataclass(frozen=True, slots=True)
class BackendParams:
    """One back end with its settings; what it does not need is ignored."""

    backend: Literal["openai", "faster-whisper", "pocketsphinx"] = "openai"
    name: str = ""
    """What it is called in `status` and in the journal; by default the server, else what it is."""
    model: str = ""
    """By default `whisper-1`, `small`, `en-us`."""
    url: str = "https://api.openai.com/v1"
    key_from: str = "env:OPENAI_API_KEY"
    timeout_seconds: float = 600.0
    """Of one request to a server."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    batch_size: int = 1
    allow_download: bool = False
    per_minute: float | None = None
    """Requests that the server takes in a minute, and how many of them at once after a pause."""
    burst: int = 1

    def __post_init__(self) -> None:
        for field, least in (("batch_size", 1), ("burst", 1)):
            if getattr(self, field) < least:
                raise ValueError(f"`{field}` is {getattr(self, field)}, but has to be {least} or more")
        if self.timeout_seconds <= 0:
            raise ValueError(f"`timeout_seconds` is {self.timeout_seconds:g}, but has to be more than 0")
        if self.per_minute is not None and self.per_minute <= 0:
            raise ValueError(f"`per_minute` is {self.per_minute:g}, but has to be more than 0")
        if self.key_from and not self.key_from.startswith(("env:", "file:")):
            raise ValueError("`key_from` has to be env:NAME or file:PATH: keys themselves stand in no job")
        if self.backend == OPENAI and not is_plain_url(self.url):
            raise ValueError(
                "`url` has to be an address such as https://api.openai.com/v1, without a name or key in it"
            )
        if self.backend == POCKETSPHINX and self.model not in ("", _MODELS[POCKETSPHINX]):
            raise ValueError(f"`model` is {self.model!r}, but pocketsphinx has the model en-us alone")

    @property
    def known_as(self) -> str:
        return self.name or (host_of(self.url) if self.backend == OPENAI else self.backend)

    @property
    def used_model(self) -> str:
        return self.model or _MODELS[self.backend]

    @property
    def affinity(self) -> str:
        """What calls that may share a process have in common: a model stays loaded there."""
        return " ".join((self.backend, self.used_model, *([self.device] if self.backend == WHISPER else ())))

    @property
    def model_to_fetch(self) -> str:
        """The name of a model that is fetched where it is not on this machine; empty where none is."""
        wanted = self.backend == WHISPER and self.allow_download and whisper_backend.is_name(self.used_model)
        return self.used_model if wanted else ""

    @property
    def limits(self) -> Backend:
        """What the engine has to know of it."""
        return Backend(self.known_as, self.per_minute, self.burst)

    def call(self, threads: int) -> dict[str, Any]:
        """The function to call, as arguments of a `Call`; its own arguments but the files are among them."""
        settings: dict[str, Any] = {}
        if self.backend == OPENAI:
            settings = {"url": self.url, "key_from": self.key_from, "timeout_seconds": self.timeout_seconds}
            settings["model"] = self.used_model
        elif self.backend == WHISPER:
            settings = {"model": self.used_model, "device": self.device, "threads": threads}
            settings |= {"batch_size": self.batch_size, "allow_download": self.allow_download}
        return {
            "function": _FUNCTIONS[self.backend],
            "arguments": settings,
            "affinity": self.affinity,
            "coroutine": self.backend == OPENAI,
        }

    def check(self) -> int:
        """Return how large its model is on disk, 0 where that does not matter.

        Raises JobError where its library or its model is not there.
        """
        check_installed(self.backend, f"The back end {self.backend}")
        return whisper_backend.model_bytes(self.used_model) if self.backend == WHISPER else 0

    def cost(self, seconds: float, model_bytes: int, disk_bytes: int) -> Cost:
        """What transcribing so many seconds of sound takes, with a model of this size."""
        cpu_seconds, memory = _CPU_SECONDS + _DECODING_CPU_SECONDS * seconds, _MEMORY_BYTES
        if self.backend == OPENAI:
            # More than ten times the work of this machine, so that it takes no core.
            return Cost(cpu_seconds, memory, disk_bytes, wait_seconds=_ANSWER_SECONDS + _ANSWER_SHARE * seconds)
        if self.backend == WHISPER:
            more, memory = whisper_backend.cost(model_bytes, seconds, self.batch_size)
        else:
            more = 1.0 + pocketsphinx_backend.REAL_TIME_FACTOR * seconds
            memory = pocketsphinx_backend.MEMORY_BYTES
        return Cost(cpu_seconds + more, memory, disk_bytes)
