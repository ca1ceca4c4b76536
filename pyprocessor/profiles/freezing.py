"""Makes the frozen Profile of merged settings, fills the defaults in, and checks what concerns several keys at once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from enum import Enum
from fractions import Fraction

from pyprocessor.models import (
    AudioSettings,
    Damaged,
    Deinterlace,
    HdrPolicy,
    NamingSettings,
    Profile,
    UnsafeArguments,
    VideoSettings,
)
from pyprocessor.models.encoders import (
    CONTAINERS,
    EIGHT_BIT_FORMATS,
    VIDEO_ENCODERS,
    Container,
    audio_encoder,
    video_encoder,
)
from pyprocessor.profiles.documents import KeyPath
from pyprocessor.profiles.layers import Merged
from pyprocessor.profiles.limits import Limits, said_or
from pyprocessor.profiles.options import option_problem
from pyprocessor.profiles.problems import listed, nearest, wrong_value
from pyprocessor.profiles.schema import (
    Audio,
    BatchProcessing,
    ErrorHandling,
    Estimation,
    Hooks,
    InputLimitsTable,
    Monitoring,
    Naming,
    ProfileFile,
    Scan,
    Schedule,
    Throttling,
    Unsafe,
    Video,
    Watch,
)

_CONTENT = (
    "container",
    "extension",
    "video",
    "audio",
    "keep_subtitles",
    "keep_attachments",
    "keep_chapters",
    "keep_metadata",
)
"""The fields of a Profile that decide what an output holds; names and limits do not."""

SOURCE_PIXEL_FORMAT = "source"


class Freezer:
    """Builds the records of a profile from merged settings; `problems` gathers what does not go together."""

    def __init__(self, merged: Merged, *, allow_unsafe: bool = False) -> None:
        self._merged = merged
        self._allow_unsafe = allow_unsafe
        self._said = ProfileFile.model_validate(merged.values)
        self.problems: list[str] = []
        self.notices: list[str] = []

    def profile(self, name: str) -> Profile:
        """The frozen profile; it may only be used where `problems` is empty afterwards."""
        said = self._said
        container = said.container or "mp4"
        facts = CONTAINERS[container]
        video = self._video(said.video or Video(), container, facts)
        audio = self._audio(said.audio or Audio(), container, facts)
        if video is None and audio is None:
            self.problems.append("The settings leave neither picture nor sound; switch one of them on.")
        limits = Limits(self._merged)
        profile = Profile(
            name=name,
            fingerprint="",
            container=container,
            extension=facts.extension,
            video=video,
            audio=audio,
            keep_subtitles=said_or(said.subtitles, True),
            keep_attachments=said_or(said.attachments, True),
            keep_chapters=said_or(said.chapters, True),
            keep_metadata=said_or(said.metadata, True),
            damaged=Damaged(said.damaged or Damaged.KEEP),
            strip_location=said_or(said.strip_location, False),
            naming=_naming(said.naming or Naming()),
            scan=limits.scan(said.scan or Scan()),
            batch=limits.batch(said.batch_processing or BatchProcessing()),
            estimation=limits.estimation(said.estimation or Estimation()),
            monitoring=limits.monitoring(said.monitoring or Monitoring()),
            throttling=limits.throttling(said.throttling or Throttling()),
            schedule=limits.schedule(said.schedule or Schedule()),
            errors=limits.errors(said.error_handling or ErrorHandling()),
            watch=limits.watch(said.watch or Watch()),
            input_limits=limits.input(said.input_limits or InputLimitsTable()),
            hooks=limits.hooks(said.hooks or Hooks()),
            unsafe=self._unsafe(said.unsafe or Unsafe()),
        )
        self.problems += limits.problems
        self.notices += limits.notices
        return replace(profile, fingerprint=_fingerprint(profile))

    def _wrong(self, path: KeyPath, value: object, rule: str) -> None:
        self.problems.append(wrong_value(self._merged.origin(path), value, rule))

    def _without_effect(self, section: str, what: str) -> None:
        """Options for a switched-off section are an error, variables (which may be set for all runs) a notice."""
        for path, origin in self._merged.origins.items():
            if len(path) < 2 or path[0] != section or path[1] == "enabled" or origin.place:
                continue
            if origin.key.startswith("--"):
                self.problems.append(f"{origin.key} has no effect, because the profile makes no {what}; leave it out.")
            else:
                self.notices.append(f"{origin.key} has no effect, because the profile makes no {what}.")

    def _unsafe(self, said: Unsafe) -> UnsafeArguments:
        """Words that no list was held against: an error, unless the user allows them by an option of the command."""
        words = UnsafeArguments(tuple(said.input or ()), tuple(said.output or ()))
        if (words.input or words.output) and not self._allow_unsafe:
            origin = self._merged.origin(("unsafe",))
            self.problems.append(
                f"{origin.prefix}{origin.subject} hands words to ffmpeg that are not checked and could read, write or "
                "send any file; if you trust them, give --allow-unsafe-args on the command line, else remove the table."
            )
        return words

    # ------------------------------------------------------------ picture

    def _video(self, said: Video, container: str, facts: Container) -> VideoSettings | None:
        if not said_or(said.enabled, facts.default_video is not None):
            self._without_effect("video", "picture")
            return None
        if facts.default_video is None:
            self._wrong(("container",), container, "must be one that holds a picture; or write `video: false`")
            return None
        encoder = said.encoder or facts.default_video
        codec = video_encoder(encoder).codec
        if audio_encoder(encoder).codec is not None and codec is None:
            self._wrong(
                ("video", "encoder"),
                encoder,
                "must be an encoder of pictures; `audio.encoder` in a profile sets that of sound",
            )
        elif codec is not None and facts.video is not None and codec not in facts.video:
            fitting = [name for name, known in VIDEO_ENCODERS.items() if known.family and known.codec in facts.video]
            self._wrong(
                ("video", "encoder"), encoder, f"must make a codec that {container} holds: choose {listed(fitting)}"
            )
        hdr = HdrPolicy(said.hdr or HdrPolicy.TONEMAP)
        options = tuple(sorted((said.options or {}).items()))
        for name, value in options:
            problem = option_problem(name, value, encoder)
            if problem is not None:
                origin = self._merged.origin(("video", "options", name))
                self.problems.append(f"{origin.prefix}{origin.subject} {problem}.")
        return VideoSettings(
            encoder=encoder,
            preset=self._preset(said, encoder),
            tune=self._tune(said, encoder),
            crf=self._crf(said, encoder),
            bitrates=tuple(sorted((said.bitrates or {}).items(), reverse=True)),
            pixel_format=self._pixel_format(said, hdr),
            max_width=said.max_width,
            max_height=said.max_height,
            fps=said.fps,
            hdr=hdr,
            deinterlace=Deinterlace(said.deinterlace or Deinterlace.AUTO),
            keyframe_seconds=said.keyframe_seconds,
            all_tracks=said_or(said.all_tracks, False),
            options=options,
        )

    def _preset(self, said: Video, encoder: str) -> str | None:
        facts = video_encoder(encoder)
        if facts.family is None:
            return said.preset
        if said.preset is None:
            return facts.default_preset if facts.presets else None
        if not facts.presets:
            self._wrong(("video", "preset"), said.preset, f"must be left out: {encoder} has no presets")
        elif said.preset not in facts.presets:
            choice = "a number from 0 to 13" if facts.presets[0].isdigit() else f"one of {listed(facts.presets)}"
            close = nearest(said.preset, facts.presets) if not facts.presets[0].isdigit() else None
            hint = f"; did you mean {close}" if close else ""
            self._wrong(("video", "preset"), said.preset, f"must be {choice} for {encoder}{hint}")
        return said.preset

    def _tune(self, said: Video, encoder: str) -> str | None:
        facts = video_encoder(encoder)
        if facts.family is None or said.tune is None:
            return said.tune
        if not facts.tunes:
            where = "; put tune=0 into `options: {svtav1-params: ...}`" if facts.family == "svt-av1" else ""
            self._wrong(("video", "tune"), said.tune, f"must be left out: {encoder} has no such option{where}")
        elif not set(said.tune.split(",")) <= set(facts.tunes):
            self._wrong(("video", "tune"), said.tune, f"must be one of {listed(facts.tunes)} for {encoder}")
        return said.tune

    def _crf(self, said: Video, encoder: str) -> int | None:
        facts = video_encoder(encoder)
        if facts.family is None:
            return said.crf
        if said.crf is None:
            return facts.default_crf
        if facts.crf is None:
            self._wrong(("video", "crf"), said.crf, f"must be left out: {encoder} has no CRF")
        elif not facts.crf[0] <= said.crf <= facts.crf[1]:
            self._wrong(("video", "crf"), said.crf, f"must be from {facts.crf[0]} to {facts.crf[1]} for {encoder}")
        return said.crf

    def _pixel_format(self, said: Video, hdr: HdrPolicy) -> str | None:
        if said.pixel_format is None:
            return "yuv420p10le" if hdr is HdrPolicy.KEEP else "yuv420p"
        if said.pixel_format == SOURCE_PIXEL_FORMAT:
            return None
        if hdr is HdrPolicy.KEEP and EIGHT_BIT_FORMATS.fullmatch(said.pixel_format):
            rule = f"must have 10 bits or more, such as yuv420p10le, because {self._merged.origin(('video', 'hdr'))}"
            self._wrong(("video", "pixel_format"), said.pixel_format, f"{rule} keeps HDR")
        return said.pixel_format

    # ------------------------------------------------------------ sound

    def _audio(self, said: Audio, container: str, facts: Container) -> AudioSettings | None:
        if not said_or(said.enabled, True):
            self._without_effect("audio", "sound")
            return None
        encoder = said.encoder or facts.default_audio
        known = audio_encoder(encoder)
        codec, rates = known.codec, known.sample_rates
        if codec is None and video_encoder(encoder).codec is not None:
            self._wrong(
                ("audio", "encoder"), encoder, "must be an encoder of sound; `video.encoder` sets that of pictures"
            )
        elif codec is not None and facts.audio is not None and codec not in facts.audio:
            self._wrong(
                ("audio", "encoder"),
                encoder,
                f"must make a codec that {container} holds: {listed(facts.audio)}; its usual encoder is "
                f"{facts.default_audio}",
            )
        if said.sample_rate is not None and rates and said.sample_rate not in rates:
            self._wrong(
                ("audio", "sample_rate"), said.sample_rate, f"must be {listed(map(str, rates))} Hz for {encoder}"
            )
        if said.channels is not None and codec in ("mp3", "mp2") and said.channels > 2:
            self._wrong(("audio", "channels"), said.channels, f"must be 1 or 2 for {encoder}")
        bitrates = tuple(sorted(set(said.bitrates or ()), reverse=True))
        highest = bitrates[0] if bitrates else None
        return AudioSettings(
            encoder=encoder,
            bitrate=said.bitrate or highest or known.default_bitrate,
            bitrates=bitrates,
            channels=said.channels,
            sample_rate=said.sample_rate,
            all_tracks=said_or(said.all_tracks, True),
            copy_if_compatible=said_or(said.copy_if_compatible, False),
        )


def _naming(said: Naming) -> NamingSettings:
    return NamingSettings(said.rename_pattern, said.validation_pattern, said.organization_pattern)


def _fingerprint(profile: Profile) -> str:
    """SHA-256, hex, over canonical JSON of what decides the content of an output."""
    settings = asdict(profile)
    content = {name: settings[name] for name in _CONTENT}
    # What few profiles use is left out of the others' fingerprints, so that these are what they were before it came.
    if profile.unsafe != UnsafeArguments():
        content["unsafe"] = settings["unsafe"]
    if profile.strip_location:
        content["strip_location"] = True
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_canonical)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: object) -> str:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    assert isinstance(value, Enum), value
    return str(value.value)
