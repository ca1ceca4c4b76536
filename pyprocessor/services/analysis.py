"""What do results say: how many, how fast, what failed, what would help? Pure functions over results."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pyprocessor.models.percentiles import percentile
from pyprocessor.workers.requests import BatchResult

NO_METRICS: Mapping[str, Any] = {
    "total_requests": 0,
    "successful_requests": 0,
    "failed_requests": 0,
    "success_rate": 0.0,
    "total_processing_time": 0.0,
    "average_processing_time": 0.0,
    "wall_seconds": 0.0,
    "requests_per_second": 0.0,
    "chunks": 0,
    "cache_hits": 0,
    "cache_misses": 0,
    "cache_hit_rate": 0.0,
}
"""`performance_metrics` of a processor that has done nothing. Rates are from 0 to 1."""
_FAR = 3.0
"""Standard deviations from the mean."""
_MOST_EXAMPLES = 3
_WORTH_SAYING = 0.05
"""The share of requests from which on a kind of failure is worth a recommendation."""
_ADVICE = {
    "timeout": "a longer `timeout`, or a handler that asks for less at once, would help",
    "memory": "a larger `memory_limit_mb`, or a smaller `max_workers`, would help",
    "connection": "what the handler talks to was not reached; a smaller `max_workers` asks less of it at once",
    "validation": "these requests fail again as they are",
    "profile": "check the names of profiles",
    "crash": "the handler ends its process; the log of the job has its last words",
}


def share(part: float, rest: float) -> float:
    """The part of a whole that consists of it and a rest; 0 of nothing."""
    return part / (part + rest) if part + rest > 0 else 0.0


def add_to_metrics(metrics: dict[str, Any], results: Sequence[BatchResult], seconds: float) -> None:
    """Take results, which took so many seconds of wall time together, into `performance_metrics`."""
    good = sum(result.success for result in results)
    metrics["total_requests"] += len(results)
    metrics["successful_requests"] += good
    metrics["failed_requests"] += len(results) - good
    metrics["total_processing_time"] += sum(result.processing_time for result in results)
    metrics["wall_seconds"] += seconds
    total = metrics["total_requests"]
    metrics["success_rate"] = share(metrics["successful_requests"], metrics["failed_requests"])
    metrics["average_processing_time"] = metrics["total_processing_time"] / total if total else 0.0
    metrics["requests_per_second"] = total / metrics["wall_seconds"] if metrics["wall_seconds"] > 0 else 0.0


def generate_performance_report(
    results: Sequence[BatchResult], metrics: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A report as JSON: `overview`, `performance_metrics`, `error_analysis`, `optimization_recommendations`, and
    `hrv_analysis` of the vectors.

    `metrics` are a processor's; they add rates of the wall clock and of the cache.
    """
    report = analyze_batch_performance(results)
    if metrics is not None:
        report["performance_metrics"] |= metrics
    return report


def analyze_batch_performance(results: Sequence[BatchResult]) -> dict[str, Any]:
    """The same of the results of one batch, by themselves."""
    good = sum(result.success for result in results)
    errors = _errors(results)
    times = _times([result.processing_time for result in results])
    return {
        "overview": {
            "total_requests": len(results),
            "successful_requests": good,
            "failed_requests": len(results) - good,
            "success_rate": share(good, len(results) - good),
            "total_processing_time": math.fsum(result.processing_time for result in results),
        },
        "performance_metrics": times,
        "error_analysis": errors,
        "optimization_recommendations": _recommendations(results, errors, times),
        "hrv_analysis": _vectors([result.hrv_vector for result in results if result.hrv_vector is not None]),
    }


def _times(seconds: Sequence[float]) -> dict[str, float]:
    """Of the handler, in seconds; 0 of nothing. Throughput is that of one worker."""
    ordered = sorted(seconds)
    total = math.fsum(ordered)
    return {
        "mean_time": total / len(ordered) if ordered else 0.0,
        "min_time": ordered[0] if ordered else 0.0,
        "median_time": statistics.median(ordered) if ordered else 0.0,
        "max_time": ordered[-1] if ordered else 0.0,
        **{f"p{percent}_time": percentile(ordered, percent) for percent in (90, 95, 99)},
        "throughput": len(ordered) / total if total > 0 else 0.0,
    }


def _kind(result: BatchResult) -> str:
    return str((result.metadata or {}).get("error_kind", "unknown"))


def _errors(results: Sequence[BatchResult]) -> dict[str, Any]:
    failed = [result for result in results if not result.success]
    kinds = Counter(map(_kind, failed))
    examples: dict[str, list[str]] = {kind: [] for kind in kinds}
    for result in failed:
        said = examples[_kind(result)]
        if len(said) < _MOST_EXAMPLES and result.error and result.error not in said:
            said.append(result.error)
    return {
        "total_errors": len(failed),
        "error_rate": share(len(failed), len(results) - len(failed)),
        "error_types": {
            kind: {"count": count, "share": count / len(failed), "examples": examples[kind]}
            for kind, count in kinds.most_common()
        },
        "most_common_error": kinds.most_common(1)[0][0] if kinds else None,
    }


def _recommendations(
    results: Sequence[BatchResult], errors: Mapping[str, Any], times: Mapping[str, float]
) -> list[str]:
    """Sentences with their numbers; none where there is nothing to say."""
    found = []
    for kind, one in errors["error_types"].items():
        if kind in _ADVICE and one["count"] >= _WORTH_SAYING * len(results):
            found.append(f"{one['count']:,} of {len(results):,} requests failed ({kind}): {_ADVICE[kind]}.")
    slowest = max(results, key=lambda result: result.processing_time, default=None)
    total = math.fsum(result.processing_time for result in results)
    if (
        slowest is not None
        and len(results) >= 4
        and slowest.processing_time > max(total / 3, 10 * times["median_time"])
    ):
        percent = 100 * slowest.processing_time / total
        what = f"The request {slowest.id!r} took {slowest.processing_time:.2f} s, {percent:.0f}% of the time of all"
        found.append(f"{what} {len(results):,}: asked in parts, the others would not wait for it.")
    return found


def _vectors(vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Of the vectors of handlers: of those as long as most, the mean and deviation of each place, and which are far."""
    vectors = [vector for vector in vectors if len(vector) > 0 and all(map(math.isfinite, vector))]
    if not vectors:
        return {"count": 0, "dimensions": 0, "mean": [], "standard_deviation": [], "other_dimensions": 0, "far": 0}
    dimensions = Counter(map(len, vectors)).most_common(1)[0][0]
    alike = [vector for vector in vectors if len(vector) == dimensions]
    columns = list(zip(*alike, strict=True))
    means = [statistics.mean(column) for column in columns]  # whose sums may be beyond what a float holds
    deviations = [statistics.pstdev(column) for column in columns]
    far = sum(
        any(abs(value - mean) > _FAR * wide > 0 for value, mean, wide in zip(vector, means, deviations, strict=True))
        for vector in alike
    )
    return {
        "count": len(vectors),
        "dimensions": dimensions,
        "mean": means,
        "standard_deviation": deviations,
        "other_dimensions": len(vectors) - len(alike),
        "far": far,
    }
