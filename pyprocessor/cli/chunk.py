"""`pyprocessor chunk`: one film is cut into chunks, or read or decoded in chunks, by the engine's workers."""

from __future__ import annotations

import gc
import json
import os
from contextlib import closing
from dataclasses import asdict

import click

from pyprocessor.cli.run import Stuck, screen_for
from pyprocessor.cli.session import Session, print_result
from pyprocessor.errors import ExitCode, UsageError
from pyprocessor.models.wording import clock, count, display
from pyprocessor.tasks.chunk_processors import FFMPEG

PROGRESS_SECONDS = 10.0


@click.command(epilog="Exit code: 0 all done; 1 some chunks failed, or the source cannot be cut; else as of a run.")
@click.argument("source")
@click.option("--output", metavar="DIR", help="The folder for chunks, manifest.json and what a killed call had done.")
@click.option("--chunk-duration", default=10.0, metavar="S", help="Seconds of a chunk.  [default: 10]")
@click.option(
    "--workers", default=4, metavar="N", help="Chunks at once, at most: cores and memory allow.  [default: 4]"
)
@click.option("--processor", default=FFMPEG, metavar="NAME", help="What is done with a chunk.  [default: ffmpeg]")
@click.option("--start", type=float, metavar="S", help="From this second of playing time on.")
@click.option("--end", type=float, metavar="S", help="Up to this second of playing time.")
@click.option("--exact", is_flag=True, help="Encode, so that chunks begin and end at the very times.")
@click.option("--profile", metavar="NAME|FILE", help="How --exact encodes.  [default: default]")
@click.option("--follow", is_flag=True, help="Go on with a recording that grows, until it has settled.")
@click.option("--settle", default=10.0, metavar="S", help="How long it stands still until then.  [default: 10]")
@click.option("--max-retries", default=3, metavar="N", help="Tries after a failure that may pass.  [default: 3]")
@click.option("--quiet", is_flag=True, help="Show failures and errors only.")
@click.option("--verbose", is_flag=True, help="Show the start and end of every chunk, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="json: each line is an object.")
@click.pass_obj
def chunk(
    session: Session,
    source: str,
    output: str | None,
    chunk_duration: float,
    workers: int,
    processor: str,
    start: float | None,
    end: float | None,
    exact: bool,
    profile: str | None,
    follow: bool,
    settle: float,
    max_retries: int,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    log_format: str,
) -> ExitCode:
    """Cut one film into chunks of a fixed duration, side by side.

    The processor ffmpeg writes chunk_0000.mp4, chunk_0001.mp4, ... and manifest.json: copies that begin at keyframes,
    or with --exact encodings. checksum sums up the packets of each chunk, simulated_decode decodes its pictures,
    composite:A,B does several in turn. The same command does what is missing. See docs/chunks.md.
    """
    del log_format  # the session has read it
    from pyprocessor.chunks import Pipeline

    if profile is not None and not exact:
        raise UsageError("--profile says how --exact encodes; give --exact as well, or leave it out.")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other; give one of them.")
    gc.enable()
    gc.freeze()
    with closing(screen_for({"quiet": quiet, "verbose": verbose}, session, PROGRESS_SECONDS)) as screen:
        result = Pipeline(
            source,
            chunk_duration,
            workers,
            max_retries,
            processor,
            output_dir=output,
            start_time=start,
            end_time=end,
            exact=exact,
            profile=profile or "default",
            follow=follow,
            settle_seconds=settle,
        ).run(listener=screen, emergency=Stuck(screen, session))
    if as_json:
        session.answered = True
        document = {"version": 1, **asdict(result), "exit_code": int(result.exit_code)}
        print_result(json.dumps(document, indent=1) + "\n")
    elif not quiet:
        done = result.processed - result.failed
        text = f"{count(done, 'chunk')} of {result.total_chunks} done, {result.failed} failed"
        text += f", in {clock(result.elapsed_time)} ({result.throughput_mbps:.1f} MiB/s)."
        if output is not None and result.total_chunks:
            text += f" See {display(os.path.join(os.fsencode(output), b'manifest.json'))}."
        print_result(text + "\n")
    return result.exit_code
