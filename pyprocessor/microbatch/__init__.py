"""How are arrays gathered into adaptive batches, with a future for each? (extra `frames`)

    with BatchProcessor(BatchProcessorConfig(max_batch_size=64)) as processor:
        processor.start(model)                    # gets an array (n, ...), returns n results
        future = processor.enqueue_predict(array)

See docs/microbatch.md.
"""

from pyprocessor.microbatch.items import PrioritizedItem
from pyprocessor.microbatch.processor import BatchProcessor
from pyprocessor.microbatch.recording import MetricsCollector
from pyprocessor.microbatch.settings import BatchPriority, BatchProcessingStrategy, BatchProcessorConfig
from pyprocessor.microbatch.stats import BatchStats

__all__ = [
    "BatchPriority",
    "BatchProcessingStrategy",
    "BatchProcessor",
    "BatchProcessorConfig",
    "BatchStats",
    "MetricsCollector",
    "PrioritizedItem",
]
