"""How does a program have requests answered in batches, for many tenants? Four processors and their records."""

from pyprocessor.models.requests import BatchRequest, BatchResult
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
