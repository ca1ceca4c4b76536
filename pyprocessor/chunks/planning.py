"""Which job is each chunk: what does its task have to know, and under which id does the journal keep it?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pyprocessor.chunks.chunker import Chunker
from pyprocessor.journal.rows import JobRow
from pyprocessor.journal.waiting import Submission, params_of
from pyprocessor.models import Cost, Job, Origin, Profile, Source, submitted_id
from pyprocessor.recipes.chunk import copied_container
from pyprocessor.tasks.chunk_cutting import Chunk, CutChunk, check_writable, chunk_params, copied_streams
from pyprocessor.tasks.chunk_processing import ProcessChunk
from pyprocessor.tasks.chunk_processors import FFMPEG, Processor

QUEUE = "chunks"
"""Of all chunks: an output folder holds those of one source."""
_NO_COST = Cost(0.0, 0, 0)


@dataclass(frozen=True, slots=True)
class ChunkJob:
    """A chunk as a job to submit; `source_bytes` are those of the packets in it, and `file` is "" where it has none."""

    chunk: Chunk
    submission: Submission
    source_bytes: int
    file: str

    @property
    def id(self) -> str:
        return self.submission.job.id

    def is_as_in(self, row: JobRow) -> bool:
        """Whether the journal has it with the same source and params."""
        return row.change(self.submission.job.source, self.submission.job.params_fingerprint) is None


@dataclass(frozen=True, slots=True)
class Planning:
    """Makes jobs of the chunks of one source."""

    chunker: Chunker
    processors: Mapping[str, Processor | None]
    profile: Profile | None
    """How chunks are encoded; None: they are copied."""
    max_retries: int
    grows: bool
    """Whether the source grows, so that a chunk of it does not begin anew where its size changed."""

    @property
    def at_keyframes(self) -> bool:
        """Whether chunks begin and end where the source can be cut without encoding."""
        return FFMPEG in self.processors and self.profile is None

    @property
    def extension(self) -> str:
        """Of the files of the chunks; empty where there are none."""
        if FFMPEG in self.processors:
            if self.profile is not None:
                return self.profile.extension
            return copied_container(self.chunker.index.media, copied_streams(self.chunker.index))
        return next((given.extension for given in self.processors.values() if given and given.extension), "")

    @property
    def left_out(self) -> list[str]:
        """The kinds of streams that no chunk file holds."""
        used = copied_streams(self.chunker.index)
        return sorted({stream.kind.value for stream in self.chunker.index.media.streams if stream.index not in used})

    def check(self) -> None:
        """Raise JobError where the film cannot be copied, or not be encoded as asked."""
        if self.at_keyframes or self.profile is not None:
            check_writable(self.chunker.index, self.profile)

    def job(self, cut: CutChunk) -> ChunkJob:
        """The job of a chunk."""
        path, extension = self.chunker.path, self.extension
        size, mtime = self.chunker.index.size_bytes, os.stat(path).st_mtime_ns
        name = f"chunk_{cut.chunk.sequence:04}"
        file = f"{name}.{extension}" if extension else ""
        params = chunk_params(
            self.chunker.index,
            path,
            cut,
            file=file,
            container=extension,
            processors=self.processors,
            profile=self.profile,
            grows=self.grows,
        )
        fingerprint, document = params_of(params)
        job = Job(
            id=submitted_id(QUEUE, name),
            task=ProcessChunk.name,
            source=Source(b"", name.encode(), 0, 0) if self.grows else Source(path, name.encode(), size, mtime),
            output=b"",
            params_fingerprint=fingerprint,
            cost=_NO_COST,
            origin=Origin.SUBMITTED,
            max_retries=self.max_retries,
        )
        return ChunkJob(cut.chunk, Submission(job, document), params["chunk"]["bytes"], file)
