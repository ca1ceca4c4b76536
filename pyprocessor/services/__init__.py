"""How does a program have requests answered in batches, for many tenants? Four processors and their records.

The records alone are imported at once: handlers import them, too, in processes that need nothing of the engine.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyprocessor.workers.requests import BatchRequest, BatchResult

if TYPE_CHECKING:
    from pyprocessor.services.analysis import analyze_batch_performance, generate_performance_report
    from pyprocessor.services.enterprise import EnterpriseBatchProcessor
    from pyprocessor.services.processors import AdvancedBatchProcessor, BatchProcessor, OptimizedBatchProcessor
    from pyprocessor.services.rate_limiter import RateLimiter

__all__ = [
    "AdvancedBatchProcessor",
    "BatchProcessor",
    "BatchRequest",
    "BatchResult",
    "EnterpriseBatchProcessor",
    "OptimizedBatchProcessor",
    "RateLimiter",
    "analyze_batch_performance",
    "generate_performance_report",
]
_LATER = {
    "AdvancedBatchProcessor": "processors",
    "BatchProcessor": "processors",
    "EnterpriseBatchProcessor": "enterprise",
    "OptimizedBatchProcessor": "processors",
    "RateLimiter": "rate_limiter",
    "analyze_batch_performance": "analysis",
    "generate_performance_report": "analysis",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
