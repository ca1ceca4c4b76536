"""How are batches of many tenants answered: within limits and rates, audited and watched?"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyprocessor.errors import OutputUnwritable
from pyprocessor.models.wording import utc
from pyprocessor.services.given import listed, settings_of
from pyprocessor.services.processors import OptimizedBatchProcessor
from pyprocessor.services.rate_limiter import RateLimiter
from pyprocessor.workers.requests import BatchRequest, BatchResult

MOST_EVENTS = 10_000
"""Of the audit trail, in memory."""
ENTERPRISE = {
    "max_requests_per_batch": 10_000,
    "max_requests_per_tenant": 5_000,
    "enable_rate_limiting": True,
    "rate_limit_requests": 1000,
    "rate_limit_window": 60.0,
    "enable_tenant_isolation": True,
    "enable_audit_logging": True,
    "enable_monitoring": True,
}


class EnterpriseBatchProcessor(OptimizedBatchProcessor):
    """With limits of batches and tenants, a rate, an audit trail, and counts of each tenant.

    `audit_log` has the last 10,000 events; with `output` all are appended to `audit.jsonl` there, too.
    """

    def __init__(self, **settings: Any) -> None:
        """`settings` are keywords of OptimizedBatchProcessor and of `enterprise_config`.

        Raises UsageError or OutputUnwritable, and ValueError for a rate of 0.
        """
        self.enterprise_config = settings_of(settings, ENTERPRISE)
        super().__init__(**settings)
        config = self.enterprise_config
        self.rate_limiter = RateLimiter(config["rate_limit_requests"], config["rate_limit_window"])
        self.audit_log: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        self.monitoring_data: dict[str, Any] = {
            "batches": 0,
            "refused_batches": 0,
            "requests": 0,
            "failed": 0,
            "rate_limit_waits": 0,
            "rate_limit_wait_seconds": 0.0,
            "by_tenant": {},
        }

    def process_batch_enterprise(self, requests: Iterable[BatchRequest]) -> list[BatchResult]:
        """In their order. Raises ValueError, with the numbers, where a limit is passed: then nothing is done.

        Where the rate allows no more, this waits.
        """
        requests = listed(requests)
        try:
            self._check_limits(requests)
        except ValueError as error:
            self._watch("refused_batches", 1)
            self._audit([{"event": "refused", "requests": len(requests), "reason": str(error)}])
            raise
        self._audit([{"event": "begun", "requests": len(requests)}] if requests else [])
        results = []
        for part in self._admitted(requests):
            answered = self.process_batch_optimized(part)
            self._audit([_event(*one) for one in zip(part, answered, strict=True)])
            self._count(part, answered)
            results += answered
        self._watch("batches", 1)
        return results

    def _check_limits(self, requests: Sequence[BatchRequest]) -> None:
        most = self.enterprise_config["max_requests_per_batch"]
        if len(requests) > most:
            raise ValueError(f"The batch has {len(requests):,} requests, of {most:,} that are allowed.")
        most = self.enterprise_config["max_requests_per_tenant"]
        for tenant, count in Counter(str(request.tenant) for request in requests).items():
            if count > most:
                raise ValueError(f"The tenant {tenant!r} has {count:,} requests in it, of {most:,} that are allowed.")

    def _admitted(self, requests: Sequence[BatchRequest]) -> Iterator[Sequence[BatchRequest]]:
        """Yield the requests in as many parts as the rate asks for, each when it may begin."""
        if not self.enterprise_config["enable_rate_limiting"]:
            yield requests
            return
        limiter = self.rate_limiter
        for start in range(0, len(requests), limiter.max_requests):
            part = requests[start : start + limiter.max_requests]
            while not limiter.can_process(len(part)):
                seconds = limiter.get_wait_time(len(part))
                self._watch("rate_limit_waits", 1)
                self._watch("rate_limit_wait_seconds", seconds)
                time.sleep(seconds)
            yield part

    def _group(self, request: BatchRequest) -> Hashable:
        tenant = request.tenant if self.enterprise_config["enable_tenant_isolation"] else ""
        return tenant, super()._group(request)

    # ------------------------------------------------------------ what was done

    def _audit(self, events: Sequence[Mapping[str, Any]]) -> None:
        if not self.enterprise_config["enable_audit_logging"] or not events:
            return
        now = utc(time.time(), "milliseconds")
        whole = [{"time": now, **event} for event in events]
        with self._lock:
            self.audit_log.extend(whole)
            if (folder := self._runner.output) is None:
                return
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with open(folder / "audit.jsonl", "a", encoding="ascii", opener=_private) as file:
                    file.writelines(f"{json.dumps(event)}\n" for event in whole)
            except OSError as error:
                raise OutputUnwritable(f"The audit trail cannot be written to {folder}: {error.strerror}.") from error

    def _watch(self, name: str, more: float) -> None:
        if self.enterprise_config["enable_monitoring"]:
            with self._lock:
                self.monitoring_data[name] += more

    def _count(self, requests: Sequence[BatchRequest], results: Sequence[BatchResult]) -> None:
        if not self.enterprise_config["enable_monitoring"]:
            return
        with self._lock:
            for request, result in zip(requests, results, strict=True):
                none = {"requests": 0, "failed": 0, "processing_time": 0.0}
                tenant = self.monitoring_data["by_tenant"].setdefault(str(request.tenant), none)
                tenant["requests"] += 1
                tenant["failed"] += not result.success
                tenant["processing_time"] += result.processing_time
                self.monitoring_data["requests"] += 1
                self.monitoring_data["failed"] += not result.success


def _event(request: BatchRequest, result: BatchResult) -> dict[str, Any]:
    """What the audit trail has of a request: digests of what was asked and answered, and no texts."""
    metadata = result.metadata or {}
    return {
        "event": "answered" if result.success else "failed",
        "id": str(request.id),
        "tenant": str(request.tenant),
        "profile_name": str(request.profile_name),
        "prompt_sha256": _digest(request.prompt),
        "content_sha256": _digest(result.content),
        "error_kind": metadata.get("error_kind"),
        "cached": bool(metadata.get("cached")),
        "processing_time": result.processing_time,
    }


def _digest(text: str | None) -> str | None:
    return None if text is None else hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
