"""What is asked of a service, and what is answered? The records of `pyprocessor.services`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One request. `metadata` is JSON; nothing has to be unique, not even `id`."""

    id: str
    prompt: str
    tenant: str = "default"
    profile_name: str = "neutral_professional"
    metadata: Mapping[str, Any] | None = None

    @property
    def fields(self) -> tuple[str, str, str, str, Mapping[str, Any] | None]:
        """All of it, in order."""
        return self.id, self.prompt, self.tenant, self.profile_name, self.metadata


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request.

    `metadata` is the request's, with what the handler adds; of a failed one also `error_kind`.
    """

    id: str
    success: bool
    content: str | None = None
    hrv_vector: list[float] | None = None
    error: str | None = None
    """A sentence."""
    processing_time: float = 0.0
    """Seconds that the handler took; 0 of an answer from the cache."""
    metadata: Mapping[str, Any] | None = None
