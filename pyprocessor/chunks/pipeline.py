"""How is a source done in chunks, from its packets to the result?

    Chunker -> bounded queue -> workers -> collector in order -> result

Queue and workers are the engine's: a chunk is a job, journaled in the output folder, and governed as any other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pyprocessor import profiles
from pyprocessor.chunks.chunker import Chunker
from pyprocessor.chunks.errors import PipelineError
from pyprocessor.chunks.events import MIB, ChunkListener, EventCallback, Events
from pyprocessor.chunks.following import Growth
from pyprocessor.chunks.manifest import Manifest
from pyprocessor.chunks.planning import ChunkJob, Planning
from pyprocessor.chunks.results import PipelineResult, ResultCollector
from pyprocessor.control.stall_responder import Emergency
from pyprocessor.engine.engine import execute
from pyprocessor.errors import ExitCode, JobError, PyprocessorError
from pyprocessor.ffmpeg import tool
from pyprocessor.intake.paths import AnyPath, output_folder
from pyprocessor.models import Profile
from pyprocessor.models.run import Listener, RunRequest
from pyprocessor.state.state_folder import prepare_state_folder
from pyprocessor.tasks.chunk_processing import WORKER
from pyprocessor.tasks.chunk_processors import FFMPEG, processors


@dataclass(slots=True)
class _Totals:
    """What the rounds of one call came to; there are several only of a recording that grows."""

    began: float = field(default_factory=time.monotonic)
    retries: int = 0
    bytes_done: int = 0
    stats: dict[str, dict[str, float]] = field(default_factory=dict)
    exit_code: ExitCode = ExitCode.OK
    stopped_by: int | None = None

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def speed(self) -> float:
        return self.bytes_done / MIB / self.elapsed if self.elapsed > 0 else 0.0


class Pipeline:
    """One source, done in chunks. All that is wrong is raised by `run`, as PipelineError.

    `exact` encodes chunks by `profile` so that they begin and end at the very times; else they are copied, and do so
    at keyframes. `follow` goes on with a recording that grows until it has stood still for `settle_seconds`.
    """

    def __init__(
        self,
        source: AnyPath,
        chunk_duration: float = 10.0,
        num_workers: int = 4,
        max_retries: int = 3,
        processor_type: str = "checksum",
        queue_size: int = 10,
        event_callback: EventCallback | None = None,
        output_dir: AnyPath | None = None,
        start_time: float | None = None,
        end_time: float | None = None,
        *,
        exact: bool = False,
        profile: str | None = "default",
        follow: bool = False,
        settle_seconds: float = 10.0,
    ) -> None:
        self._source = source
        self._chunk_duration = chunk_duration
        self._numbers = {
            "num_workers": (num_workers, 1),
            "max_retries": (max_retries, 0),
            "queue_size": (queue_size, 1),
        }
        self._processor_type = processor_type
        self._events = Events(event_callback)
        self._output_dir = output_dir
        self._between = (start_time, end_time)
        self._exact = exact
        self._profile_name = profile
        self._follow = follow
        self._settle_seconds = settle_seconds

    def run(self, *, listener: Listener | None = None, emergency: Emergency | None = None) -> PipelineResult:
        """Do all chunks that are not done yet. Raises PipelineError where that cannot be begun, or not be gone on with.

        Chunks that fail are no error. `listener` and `emergency` are the command's, as for `engine.execute`.
        """
        self._events.send(
            "pipeline_start",
            source=os.fsdecode(self._source),
            chunk_duration=self._chunk_duration,
            num_workers=self._numbers["num_workers"][0],
            processor_type=self._processor_type,
        )
        try:
            with self._output() as output:
                result, stopped_by = _Call(self, output, listener, emergency).go()
        except PyprocessorError as error:
            self._events.send("pipeline_error", error=str(error))
            if isinstance(error, PipelineError):
                raise
            raise PipelineError(str(error), error.exit_code) from error
        self._events.send(
            "pipeline_complete",
            total_chunks=result.total_chunks,
            processed=result.processed,
            failed=result.failed,
            elapsed=result.elapsed_time,
            throughput_mbps=result.throughput_mbps,
        )
        if stopped_by is not None and listener is None and threading.current_thread() is threading.main_thread():
            signal.raise_signal(stopped_by)
        return result

    @contextlib.contextmanager
    def _output(self) -> Iterator[bytes]:
        """The folder that holds state and chunks; without one that was named, a temporary one."""
        if self._output_dir is not None:
            yield output_folder(os.fsdecode(self._output_dir))
            return
        with tempfile.TemporaryDirectory(prefix="pyprocessor-chunks-", ignore_cleanup_errors=True) as folder:
            yield os.fsencode(folder)


class _Call:
    """One call of `Pipeline.run`."""

    def __init__(self, asked: Pipeline, output: bytes, listener: Listener | None, emergency: Emergency | None) -> None:
        self._asked = asked
        self._output = output
        self._listener = listener
        self._emergency = emergency
        self._totals = _Totals()
        self._numbers = {name: _whole(name, *given) for name, given in asked._numbers.items()}
        if not isinstance(asked._processor_type, str):
            raise PipelineError(f"processor_type is {asked._processor_type!r}, but has to be a name.")
        self._processors = processors(asked._processor_type)
        self._profile = self._loaded()
        self._tool = tool.find(os.environ)
        self._keeps = asked._output_dir is not None
        writes = FFMPEG in self._processors or any(given and given.extension for given in self._processors.values())
        if writes and not self._keeps:
            raise PipelineError(
                f"The processor {asked._processor_type!r} writes files; name their folder (output_dir, or --output)."
            )
        if asked._exact:
            tool.require(self._tool, self._profile)
            tool.require_working(self._tool, self._profile)
        self._manifest: Manifest | None = None
        self._was_read = False
        self._said: set[str] = set()

    def _loaded(self) -> Profile:
        given = {"max_retries": self._numbers["max_retries"]}
        overrides = profiles.overrides_of(given, called=lambda name: name)
        profile = profiles.load(self._asked._profile_name, overrides=overrides).profile
        if self._asked._exact and FFMPEG not in self._processors:
            raise PipelineError("Exact chunks are encoded, so they need the processor ffmpeg.")
        if self._asked._exact and (profile.video is None or profile.video.fps is not None):
            text = f"The profile {profile.name!r} does not make one picture of each picture, as exact chunks need."
            raise PipelineError(text)
        # Cores and memory bound the chunks at once anyway.
        resources = (*profile.batch.resources, (WORKER, self._numbers["num_workers"]))
        return replace(profile, batch=replace(profile.batch, resources=resources))

    def go(self) -> tuple[PipelineResult, int | None]:
        """Do one round, or several while the source grows, each of which ends when it is to be read again."""
        if not self._asked._follow:
            jobs, planning = self._planned(settled=True)
            return self._result(self._round(jobs, planning, None), len(jobs)), self._totals.stopped_by
        with Growth(self._asked._source, self._asked._settle_seconds) as growth:
            while True:
                settled = growth.begin_reading()
                jobs, planning = self._planned(settled=settled)
                growth.end_reading()
                collector = self._round(jobs, planning, None if settled else growth)
                if settled or self._totals.exit_code > ExitCode.SOME_FAILED:
                    return self._result(collector, len(jobs)), self._totals.stopped_by

    def _planned(self, *, settled: bool) -> tuple[list[ChunkJob], Planning | None]:
        """The jobs of the chunks that there are by now; no planning where a source that grows cannot be read yet."""
        asked = self._asked
        try:
            chunker = Chunker(asked._source, asked._chunk_duration, *asked._between, limits=self._profile.input_limits)
            self._was_read = True
        except PipelineError as error:
            if not settled and error.exit_code is ExitCode.SOME_FAILED:
                return [], None
            if self._was_read and error.exit_code is ExitCode.USAGE:
                text = "What is made of it stays; run the same command again when it is back."
                error = PipelineError(f"The recording is no longer there. {text}", ExitCode.TRY_AGAIN)
            self._events.send("producer_error", error=str(error))
            raise error
        planning = Planning(
            chunker,
            self._processors,
            self._profile if asked._exact else None,
            self._numbers["max_retries"],
            asked._follow,
        )
        try:
            planning.check()
            cuts = chunker.cutting.chunks(at_keyframes=planning.at_keyframes, settled=settled)
            jobs = [planning.job(cut) for cut in cuts]
        except (JobError, OSError) as error:
            self._events.send("producer_error", error=str(error))
            raise PipelineError(str(error), ExitCode.SOME_FAILED) from error
        return jobs, planning

    @property
    def _events(self) -> Events:
        return self._asked._events

    def _round(self, jobs: list[ChunkJob], planning: Planning | None, growth: Growth | None) -> ResultCollector:
        """Have the engine do what is not done yet of these chunks, and wait until there are more to be found."""
        if planning is None:  # what there is of a recording cannot be read yet
            collector = ResultCollector(0)
            self._execute(self._listener_of([], collector, lambda: None), growth)
            return collector
        chunker, asked, complete = planning.chunker, self._asked, growth is None
        info = {"file_size": chunker.file_size, "source_duration": chunker.source_duration}
        self._events.send("pipeline_info", **info, total_chunks=len(jobs))
        collector = ResultCollector(len(jobs))
        if self._keeps and self._manifest is None and (jobs or complete):
            prepare_state_folder(self._output)
            self._manifest = Manifest(self._output, chunker.path)

        def write(*, whole: bool) -> None:
            if self._manifest is None or not (whole or self._manifest.due()):
                return
            results, totals = collector.results, self._totals
            self._manifest.write(
                results,
                complete=whole and complete and collector.is_complete,
                processor_type=asked._processor_type,
                source_duration=chunker.source_duration,
                chunk_duration=chunker.chunk_duration,
                total_chunks=len(jobs),
                processed=len(results),
                failed=sum(not result.success for result in results),
                elapsed_time=totals.elapsed,
                throughput_mbps=totals.speed,
            )

        if jobs or growth is not None:
            listener = self._listener_of(jobs, collector, partial(write, whole=False))
            if jobs:
                self._say(planning, listener)
            self._execute(listener, growth)
        write(whole=True)
        if self._manifest is not None and complete:
            left = self._manifest.left_behind({job.file for job in jobs})
            if left is not None:
                (self._listener or Listener()).notice("warning", left)
        return collector

    def _listener_of(
        self, jobs: list[ChunkJob], collector: ResultCollector, collected: Callable[[], None]
    ) -> ChunkListener:
        folder = Path(os.fsdecode(self._output))
        return ChunkListener(jobs, collector, self._events, folder, shown=self._listener, collected=collected)

    def _say(self, planning: Planning, listener: ChunkListener) -> None:
        """Say once what is not as the user may expect."""
        kinds, damage = ", ".join(planning.left_out), planning.chunker.index.damage
        left_out = f"The chunks hold the film and its sound; left out are other streams ({kinds})."
        other = "MP4 does not hold the codecs of this source as they are: its chunks are MKV files."
        damaged = f"The source is damaged ({damage}); chunks are made of what is there."
        for level, applies, text in (
            ("info", planning.extension and kinds, left_out),
            ("info", planning.at_keyframes and planning.extension != "mp4", other),
            ("warning", damage is not None, damaged),
        ):
            if applies and text not in self._said:
                self._said.add(text)
                listener.notice(level, text)

    def _execute(self, listener: ChunkListener, growth: Growth | None) -> None:
        arguments = f"chunk {os.fsdecode(self._asked._source)!a}"
        request = RunRequest((), self._output, self._profile, self._tool.path, arguments=arguments)
        make = partial(listener.feed, self._numbers["queue_size"], self._output, growth)
        ended = execute(request, listener, emergency=self._emergency, source=make)
        totals = self._totals
        totals.retries += listener.retries
        totals.bytes_done += listener.bytes_done
        for worker, own in listener.stats.items():
            known = totals.stats.setdefault(worker, dict.fromkeys(own, 0.0))
            totals.stats[worker] = {name: known[name] + value for name, value in own.items()}
        totals.exit_code, totals.stopped_by = ended.exit_code, ended.stopped_by
        if ended.told_to_stop is not None and growth is not None:  # though all is done that there was of the recording
            totals.exit_code = max(totals.exit_code, ended.told_to_stop)

    def _result(self, collector: ResultCollector, total: int) -> PipelineResult:
        results, totals = collector.results, self._totals
        failed = [result for result in results if not result.success]
        return PipelineResult(
            total_chunks=total,
            processed=len(results),
            failed=len(failed),
            retries=totals.retries,
            elapsed_time=totals.elapsed,
            throughput_mbps=totals.speed,
            worker_stats=totals.stats,
            errors=[f"chunk {result.sequence}: {result.error}" for result in failed],
            chunks_in_order=collector.buffered_count == 0,
            output_dir=os.fsdecode(self._output) if self._keeps else None,
            chunk_files=[result.output_file for result in results if result.output_file is not None],
            results=results,
            exit_code=ExitCode.SOME_FAILED if failed and totals.exit_code is ExitCode.OK else totals.exit_code,
        )


def _whole(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PipelineError(f"{name} is {value!r}, but has to be a whole number of {least} or more.")
    return value
