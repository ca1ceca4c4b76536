"""What is ffmpeg to do to decode all of a film's pictures and sound, and write nothing?"""

from __future__ import annotations

from pyprocessor.ffmpeg.invocation import Input, Invocation, MappedStream, Output, opening
from pyprocessor.models import MediaInfo


def decoded(path: bytes, media: MediaInfo, *, threads: int, output_name: str) -> Invocation:
    """Decode every film and sound track. No file of the output's name is made."""
    options = opening(media)
    streams = []
    for stream in media.streams:
        if stream.decoder is not None:
            options += ((f"c:{stream.index}", stream.decoder),)
        if stream.is_film:
            # Each picture as it comes: none is dropped or doubled for a rate.
            one = MappedStream((0, stream.index), "v", "wrapped_avframe", options=(("fps_mode", "passthrough"),))
            streams.append(one)
        elif stream.audio is not None:
            streams.append(MappedStream((0, stream.index), "a", "pcm_s16le"))
    source = Input(path, options=options)
    return Invocation((source,), Output(output_name, "null", tuple(streams)), threads)
