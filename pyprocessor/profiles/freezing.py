"""Do the merged settings fit together, and which frozen Profile do they make?"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from datetime import time
from enum import Enum
from fractions import Fraction
from typing import Any

from pyprocessor import models
from pyprocessor.models import Profile, encoders
from pyprocessor.models.encoders import Container, audio_encoder, video_encoder
from pyprocessor.profiles.layers import Layer
from pyprocessor.profiles.options import option_problem
from pyprocessor.profiles.problems import KeyPath, Origin, listed, nearest, wrong_value
from pyprocessor.profiles.quantities import hours_text
from pyprocessor.profiles.schema import PROFILE_FIELDS, SECTIONS, ProfileFile
from pyprocessor.profiles.validation import read

_CONTENT = "container extension video audio keep_subtitles keep_attachments keep_chapters keep_metadata".split()
"""The fields of a Profile that decide what an output holds; names and limits do not."""
_FLAGS = ("subtitles", "attachments", "chapters", "metadata", "damaged", "chunking", "strip_location")
_PAIRS = (
    ("scan", "min_size", "max_size", " bytes"),
    ("estimation", "min_batch_size", "max_batch_size", ""),
    ("error_handling", "retry_delay_seconds", "max_retry_delay_seconds", " seconds"),
)
_MINUTES_A_DAY = 24 * 60

SOURCE_PIXEL_FORMAT = "source"

Table = dict[str, Any]
"""The keys of a section that were said, with their values."""


class Freezer:
    """Builds the records of a profile from merged settings; `problems` gathers what does not fit together."""

    def __init__(self, merged: Layer, *, allow_unsafe: bool = False) -> None:
        self._merged = merged
        self._allow_unsafe = allow_unsafe
        self._said, self.problems = read(ProfileFile, merged.values, merged.origin)
        self._tables: dict[str, Table] = {name: self._said.get(name, {}) for name in SECTIONS}
        self.notices: list[str] = []

    def profile(self, name: str) -> Profile:
        """The frozen profile; it may only be used where `problems` is empty afterwards."""
        container = self._said.get("container", "mp4")
        facts = encoders.CONTAINERS[container]
        video = self._video(self._tables["video"], container, facts)
        audio = self._audio(self._tables["audio"], container, facts)
        if video is None and audio is None:
            self.problems.append("The settings leave neither picture nor sound; switch one of them on.")
        self._check_pairs()
        self._fill_release_percent(self._tables["throttling"])
        self._mode(self._tables["batch_processing"])
        self._schedule(self._tables["schedule"])
        self._unsafe(self._tables["unsafe"])
        records = {
            PROFILE_FIELDS.get(section, section): model.record(
                **{model.record_fields[key]: value for key, value in self._tables[section].items()}
            )
            for section, model in SECTIONS.items()
            if model.record is not None
        }
        flags = {PROFILE_FIELDS.get(flag, flag): self._said[flag] for flag in _FLAGS if flag in self._said}
        settings = {"container": container, "extension": facts.extension, "video": video, "audio": audio}
        profile = Profile(name=name, fingerprint="", **settings, **flags, **records)
        return replace(profile, fingerprint=_fingerprint(profile))

    def _wrong(self, path: KeyPath, value: object, rule: str) -> None:
        self.problems.append(wrong_value(self._merged.origin(path), value, rule))

    def _report_switched_off(self, section: str, what: str) -> None:
        """Report options and variables for a section that is switched off."""
        for path, origin in self._merged.origins.items():
            if len(path) > 1 and path[0] == section and path[1] != "enabled":
                self._report_unused(origin, f"the profile makes no {what}", "leave it out")

    def _report_unused(self, origin: Origin, why: str, cure: str) -> None:
        """Report an option (an error) or a variable (a notice); files may be meant for other runs, too."""
        if origin.key.startswith("--"):
            self.problems.append(f"{origin.key} has no effect, because {why}; {cure}.")
        elif not origin.place:
            self.notices.append(f"{origin.key} has no effect, because {why}.")

    # ------------------------------------------------------------ limits

    def _check_pairs(self) -> None:
        """Check pairs of keys that bound each other; a default moves along with the other key of its pair."""
        for section, low, high, unit in _PAIRS:
            table, model = self._tables[section], SECTIONS[section]
            usual_low, usual_high = (getattr(model.record(), model.record_fields[key]) for key in (low, high))
            least = table.get(low, usual_low)
            if high in table and table[high] < least:
                self._against(section, high, "not be below", low, least, unit)
            elif usual_high is not None:
                table.setdefault(high, max(usual_high, least))
        table, usual = self._tables["monitoring"], models.MonitoringSettings()
        interval = table.get("sample_interval_seconds", usual.sample_interval_seconds)
        if table.get("ramp_interval_seconds", 0) > interval:
            rule = ("not be above", "sample_interval_seconds", interval, " seconds")
            self._against("monitoring", "ramp_interval_seconds", *rule)

    def _against(self, section: str, key: str, rule: str, other: str, value: float, unit: str) -> None:
        """Report a key that breaks its rule towards another, with where the other was set."""
        table, path = self._tables[section], (section, other)
        named = str(self._merged.origin(path)) if other in table else f"`{section}.{other}`"
        shown = f"{value:g}" if isinstance(value, float) else value
        self._wrong((section, key), table[key], f"must {rule} {named}, which is {shown}{unit}")

    def _fill_release_percent(self, table: Table) -> None:
        """Fill in `release_percent`, which must be below `hold_percent`."""
        default = models.ThrottlingSettings()
        hold, said = table.get("hold_percent", default.hold_percent), table.get("release_percent")
        # Where only `hold_percent` is lowered the distance between them stays, as far as there is room.
        distance = default.hold_percent - default.release_percent
        release = table.setdefault("release_percent", max(1.0, min(default.release_percent, hold - distance)))
        if release >= hold and said is not None:
            self._against("throttling", "release_percent", "be below", "hold_percent", hold, " percent")
        elif release >= hold:
            self._wrong(("throttling", "hold_percent"), hold, "must be above 1 percent")

    def _mode(self, table: Table) -> None:
        """Have `enabled` and `mode` say the same: one of them says it for both."""
        one_by_one = models.Mode.SEQUENTIAL
        if table.get("enabled") is False:
            table.setdefault("mode", one_by_one)
        mode = table.get("mode", models.Mode.AUTO)
        if table.setdefault("enabled", mode is not one_by_one) is (mode is one_by_one):
            path = ("batch_processing", "enabled")
            rule = f"be {one_by_one} where" if mode is not one_by_one else f"not be {one_by_one} where"
            shown = str(table["enabled"]).lower()
            self._wrong(("batch_processing", "mode"), mode, f"must {rule} {self._merged.origin(path)} is {shown}")
        by = ("batch_processing", "priority_by")
        if "priority_by" in table and mode is not models.Mode.PRIORITY:
            self._report_unused(self._merged.origin(by), f"the mode is {mode}", "leave it out, or add --mode priority")

    def _schedule(self, table: Table) -> None:
        window, until = table.get("window"), table.get("until")
        if window is not None and until is not None and not _ends_within(window, until):
            other = self._merged.origin(("schedule", "window"))
            rule = f"must lie within {other}, which is {hours_text(window)}"
            self._wrong(("schedule", "until"), hours_text(until), rule)
        if "overrun" in table and window is None and until is None:
            cure = "give --window or --until as well, or leave it out"
            self._report_unused(self._merged.origin(("schedule", "overrun")), "nothing says when the time is up", cure)

    def _unsafe(self, table: Table) -> None:
        """Refuse unchecked words for ffmpeg unless the command line allows them."""
        if any(table.values()) and not self._allow_unsafe:
            origin = self._merged.origin(("unsafe",))
            self.problems.append(
                f"{origin.prefix}{origin.subject} hands words to ffmpeg that are not checked and could read, write or "
                "send any file; if you trust them, give --allow-unsafe-args on the command line, else remove the table."
            )

    # ------------------------------------------------------------ picture

    def _video(self, said: Table, container: str, facts: Container) -> models.VideoSettings | None:
        if not said.get("enabled", facts.default_video is not None):
            self._report_switched_off("video", "picture")
            return None
        if facts.default_video is None:
            self._wrong(("container",), container, "must be one that holds a picture; or write `video: false`")
            return None
        encoder = said.get("encoder") or facts.default_video
        known = video_encoder(encoder)
        codec, path = known.codec, ("video", "encoder")
        if audio_encoder(encoder).codec is not None and codec is None:
            rule = "must be an encoder of pictures; `audio.encoder` in a profile sets that of sound"
            self._wrong(path, encoder, rule)
        elif codec is not None and facts.video is not None and codec not in facts.video:
            fitting = [
                name for name, each in encoders.VIDEO_ENCODERS.items() if each.family and each.codec in facts.video
            ]
            self._wrong(path, encoder, f"must make a codec that {container} holds: choose {listed(fitting)}")
        for name, value in said.get("options", ()):
            problem = option_problem(name, value, encoder)
            if problem is not None:
                origin = self._merged.origin(("video", "options", name))
                self.problems.append(f"{origin.prefix}{origin.subject} {problem}.")
        chosen = {name: value for name, value in said.items() if name != "enabled"}
        chosen |= {"encoder": encoder, "pixel_format": self._pixel_format(said)}
        if known.family is not None:
            self._encoder_terms(said, encoder, known)
            chosen.setdefault("preset", known.default_preset if known.presets else None)
            chosen.setdefault("crf", known.default_crf)
        return models.VideoSettings(**chosen)

    def _encoder_terms(self, said: Table, encoder: str, facts: encoders.VideoEncoder) -> None:
        """Check preset, tune and CRF, which each encoder reads in its own way."""
        preset, tune, crf = (said.get(key) for key in ("preset", "tune", "crf"))
        if preset is not None and not facts.presets:
            self._wrong(("video", "preset"), preset, f"must be left out: {encoder} has no presets")
        elif preset is not None and preset not in facts.presets:
            numbered = facts.presets[0].isdigit()
            choice = "a number from 0 to 13" if numbered else f"one of {listed(facts.presets)}"
            close = None if numbered else nearest(preset, facts.presets)
            hint = f"; did you mean {close}" if close else ""
            self._wrong(("video", "preset"), preset, f"must be {choice} for {encoder}{hint}")
        if tune is not None and not facts.tunes:
            where = "; put tune=0 into `options: {svtav1-params: ...}`" if facts.family == "svt-av1" else ""
            self._wrong(("video", "tune"), tune, f"must be left out: {encoder} has no such option{where}")
        elif tune is not None and not set(tune.split(",")) <= set(facts.tunes):
            self._wrong(("video", "tune"), tune, f"must be one of {listed(facts.tunes)} for {encoder}")
        if crf is not None and facts.crf is None:
            self._wrong(("video", "crf"), crf, f"must be left out: {encoder} has no CRF")
        elif crf is not None and facts.crf is not None and not facts.crf[0] <= crf <= facts.crf[1]:
            self._wrong(("video", "crf"), crf, f"must be from {facts.crf[0]} to {facts.crf[1]} for {encoder}")

    def _pixel_format(self, said: Table) -> str | None:
        written, keep_hdr = said.get("pixel_format"), said.get("hdr") is models.HdrPolicy.KEEP
        if written is None:
            return "yuv420p10le" if keep_hdr else "yuv420p"
        if written == SOURCE_PIXEL_FORMAT:
            return None
        if keep_hdr and encoders.EIGHT_BIT_FORMATS.fullmatch(written):
            rule = f"must have 10 bits or more, such as yuv420p10le, because {self._merged.origin(('video', 'hdr'))}"
            self._wrong(("video", "pixel_format"), written, f"{rule} keeps HDR")
        return str(written)

    # ------------------------------------------------------------ sound

    def _audio(self, said: Table, container: str, facts: Container) -> models.AudioSettings | None:
        if not said.get("enabled", True):
            self._report_switched_off("audio", "sound")
            return None
        encoder = said.get("encoder") or facts.default_audio
        known = audio_encoder(encoder)
        codec, rates, path = known.codec, known.sample_rates, ("audio", "encoder")
        if codec is None and video_encoder(encoder).codec is not None:
            self._wrong(path, encoder, "must be an encoder of sound; `video.encoder` sets that of pictures")
        elif codec is not None and facts.audio is not None and codec not in facts.audio:
            rule = f"must make a codec that {container} holds: {listed(facts.audio)}"
            self._wrong(path, encoder, f"{rule}; its usual encoder is {facts.default_audio}")
        if rates and said.get("sample_rate", rates[0]) not in rates:
            rule = f"must be {listed(map(str, rates))} Hz for {encoder}"
            self._wrong(("audio", "sample_rate"), said["sample_rate"], rule)
        if codec in ("mp3", "mp2") and said.get("channels", 2) > 2:
            self._wrong(("audio", "channels"), said["channels"], f"must be 1 or 2 for {encoder}")
        bitrates = tuple(sorted(said.get("bitrates", ()), reverse=True))
        chosen = {name: value for name, value in said.items() if name != "enabled"}
        chosen.setdefault("bitrate", max(bitrates, default=known.default_bitrate))
        return models.AudioSettings(**chosen | {"encoder": encoder, "bitrates": bitrates})


def _ends_within(window: tuple[time, time], until: time) -> bool:
    """Whether a run in the window can end at this time: after its start, and at its end at the latest."""
    start, end, last = (moment.hour * 60 + moment.minute for moment in (*window, until))
    return 0 < (last - start) % _MINUTES_A_DAY <= (end - start) % _MINUTES_A_DAY


def _fingerprint(profile: Profile) -> str:
    """SHA-256, hex, over canonical JSON of what decides the content of an output."""
    settings = asdict(profile)
    content = {name: settings[name] for name in _CONTENT}
    # What few profiles use is left out of the others' fingerprints, so that these are what they were before it came.
    if profile.unsafe != models.UnsafeArguments():
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
