"""Which job is each chunk: what does its task have to know, and under which id does the journal keep it?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pyprocessor.chunks.chunker import Chunk, Chunker, CutChunk
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.inspect.chunk_reading import SEEK_BACK_SECONDS
from pyprocessor.inspect.contract import contract
from pyprocessor.journal.waiting import Submission, params_of
from pyprocessor.models import Cost, Job, Origin, Profile, Source, submitted_id
from pyprocessor.recipes.chunk import copied_container
from pyprocessor.tasks.chunk_processing import ProcessChunk, chunk_profile, profile_values
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
    def streams(self) -> tuple[int, ...]:
        """Those that are copied: the film, or the only sound, and the sound beside it."""
        return (self.chunker.index.stream, *self.chunker.index.sound)

    @property
    def extension(self) -> str:
        """Of the files of the chunks; empty where there are none."""
        if FFMPEG in self.processors:
            if self.profile is not None:
                return self.profile.extension
            return copied_container(self.chunker.index.media, self.streams)
        return next((given.extension for given in self.processors.values() if given and given.extension), "")

    @property
    def left_out(self) -> list[str]:
        """The kinds of streams that no chunk file holds."""
        used = self.streams
        return sorted({stream.kind.value for stream in self.chunker.index.media.streams if stream.index not in used})

    def check(self) -> None:
        """Raise JobError where the film cannot be copied, or not be encoded as asked."""
        main = next(found for found in self.chunker.index.media.streams if found.index == self.chunker.index.stream)
        if self.at_keyframes and main.decoder is not None:
            text = "ffmpeg does not know the codec of its pictures, so they cannot be copied."
            raise JobError(FailureKind.UNSUPPORTED, text)
        if self.at_keyframes and self.chunker.index.needs_hidden:
            text = "Its last pictures are decoded from one that an edit list hides, which a copy would show; make exact"
            raise JobError(FailureKind.UNSUPPORTED, f"{text} chunks of it.")
        if self.profile is not None:
            contract(chunk_profile(profile_values(self.profile)), self.chunker.index.media)

    def job(self, cut: CutChunk) -> ChunkJob:
        """The job of a chunk."""
        path, extension = self.chunker.path, self.extension
        size, mtime = self.chunker.index.size_bytes, os.stat(path).st_mtime_ns
        name = f"chunk_{cut.chunk.sequence:04}"
        file = f"{name}.{extension}" if extension else ""
        params = self._params(cut, file)
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

    def _params(self, cut: CutChunk, file: str) -> dict[str, Any]:
        index, chunk = self.chunker.index, cut.chunk
        media = index.media
        low = cut.first.before if cut.first is not None else None
        high = cut.end.before if cut.end is not None else None
        begin, end = (float("-inf") if low is None else low), (float("inf") if high is None else high)
        packets, size = index.packets_between(begin, end)
        main = next(stream for stream in media.streams if stream.index == index.stream)
        first = cut.first.time if cut.first is not None else None
        reached = None if first is None else min(index.keyframe_for(first), first)
        at_least = min(index.origin, index.packets.start_seconds)
        seek = None if reached is None or reached <= SEEK_BACK_SECONDS else index.origin + reached - SEEK_BACK_SECONDS
        shown = {
            "low": None if low is None else low + index.origin,
            "high": None if high is None else high + index.origin,
            "seek": seek,
        }
        return {
            "source": os.fsdecode(self.chunker.path),
            "inode": os.stat(self.chunker.path).st_ino if self.grows else 0,
            "source_bytes": 0 if self.grows else index.size_bytes,
            "sequence": chunk.sequence,
            "start_time": chunk.start_time,
            "end_time": chunk.end_time,
            "file": file,
            "container": self.extension,
            "processors": {name: given and asdict(given) for name, given in self.processors.items()},
            "profile": None if self.profile is None else profile_values(self.profile),
            "codec": main.codec or "",
            "pixels": main.video.pixels if main.video is not None else 0,
            "opened": {
                "container": media.container,
                "deep": media.deep,
                "forward": media.forward,
                "skipped_bytes": media.skipped_bytes,
            },
            "streams": [
                {"index": stream.index, "kind": stream.kind.value, "codec": stream.codec}
                for stream in sorted(media.streams, key=lambda stream: stream.index != index.stream)
                if stream.index in self.streams
            ],
            "range": {
                **shown,
                "zero": at_least if first is None else index.origin + first,
                "file_start": index.packets.start_seconds,
                "film_ends": index.hidden_from if high is None else None,
            },
            "chunk": {
                **shown,
                "stream": index.stream,
                "packets": packets,
                "bytes": size,
                "frames": index.pictures(begin, end),
                "times": index.times_shown(begin, end),
                "fields": main.video is not None and main.video.interlaced,
                "leading": index.packets_between(begin, 0.0)[0] if low is None else 0,
            },
        }
