"""How is one recording worked on in chunks? The door for programs: `Pipeline(source, ...).run()`."""

from pyprocessor.chunks.chunker import Chunker
from pyprocessor.chunks.errors import PipelineError
from pyprocessor.chunks.pipeline import Pipeline
from pyprocessor.chunks.results import ChunkResult, PipelineResult, ResultCollector
from pyprocessor.tasks.chunk_cutting import Chunk

__all__ = ["Chunk", "ChunkResult", "Chunker", "Pipeline", "PipelineError", "PipelineResult", "ResultCollector"]
