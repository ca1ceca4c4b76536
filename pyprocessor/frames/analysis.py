"""What is in a film: black, frozen and silent spans, cuts, brightness, sharpness, hashes? One pass over the file."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import av

from pyprocessor.errors import FailureKind, InspectError, UsageError
from pyprocessor.frames.decoding import Clock, PathName, Source, opened
from pyprocessor.frames.hashes import Shots, perceptual_hash
from pyprocessor.frames.pictures import (
    MEASURED,
    NOTHING,
    BlackSpans,
    Cuts,
    FrozenSpans,
    Span,
    Spread,
    difference,
    luma,
    sharpness,
)
from pyprocessor.frames.reading import Array, Conversion, Frame, Rate
from pyprocessor.frames.sound import Silence
from pyprocessor.models.analysis import AnalysisSettings

VERSION = 1
"""Of the document; it grows when a field changes its meaning or goes."""
_MOST_SHARPNESSES = 4096
"""The median of more samples is that of so many, evenly spread."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found. Times are seconds; the film's first picture is shown at 0 (without a film: the first sound)."""

    duration: float
    """From the first picture, or sound, to the end of the last."""
    pictures: int
    """Decoded: all of the film."""
    samples: int
    """Of these, how many were measured for brightness and sharpness."""
    failures: int
    """Packets of pictures and sound that could not be decoded."""
    width: int
    height: int
    """Of the upright pictures, in pixels; 0 without a film."""
    black: tuple[Span, ...]
    freeze: tuple[Span, ...]
    silence: tuple[Span, ...] | None
    """None where there is no sound."""
    cuts: tuple[float, ...]
    """When the first picture of each new shot is shown."""
    left_out: int
    """Spans and cuts beyond the 10,000 of each kind that are kept."""
    brightness: tuple[float, float, float] | None
    """Mean, smallest and largest mean luma of the samples, from 0 (black) to 1 (white); None without pictures."""
    sharpness: tuple[float, float, float] | None
    """Median, smallest, and the time of the smallest: the variance of the Laplacian of each sample, blurred is low."""
    hashes: tuple[int, ...]
    """64-bit perceptual hashes of pictures, for `near_duplicates`; pictures without structure have none."""
    shown: tuple[Frame, ...]
    """The pictures that were asked for, spread evenly over the film."""
    settings: AnalysisSettings

    def document(self) -> dict[str, Any]:
        """Return all but `shown` as JSON of the shape in docs/frames.md."""

        def spans(found: tuple[Span, ...]) -> list[dict[str, float]]:
            return [{"start": round(span.start, 6), "end": round(span.end, 6)} for span in found]

        return {
            "version": VERSION,
            "duration_seconds": round(self.duration, 6),
            "width": self.width,
            "height": self.height,
            "pictures": self.pictures,
            "samples": self.samples,
            "decode_failures": self.failures,
            "black": spans(self.black),
            "freeze": spans(self.freeze),
            "silence": spans(self.silence) if self.silence is not None else None,
            "cuts": [round(time, 6) for time in self.cuts],
            "left_out": self.left_out,
            "brightness": _named(self.brightness, "mean", "min", "max"),
            "sharpness": _named(self.sharpness, "median", "worst", "worst_time"),
            "hashes": [f"{each:016x}" for each in self.hashes],
            "settings": asdict(self.settings),
        }


def _named(values: tuple[float, ...] | None, *names: str) -> dict[str, float] | None:
    return None if values is None else {name: round(value, 6) for name, value in zip(names, values, strict=True)}


class _Film:
    """What is found in the pictures."""

    def __init__(self, source: Source, rate: float, settings: AnalysisSettings, pictures: int, width: int) -> None:
        self.black = BlackSpans(settings.black_seconds, settings.black_pixel, settings.black_share)
        self.freeze = FrozenSpans(settings.freeze_seconds, settings.freeze_db)
        self.cuts = Cuts(settings.cut_score)
        self.clock = source.film_clock()
        self.origin: float | None = None
        self._last = NOTHING
        self.pictures = self.samples = 0
        self.size = (0, 0)
        self.hashes: Spread[int] = Spread(settings.hashes)
        self.shots = Shots(settings.hashes)
        self.shown: Spread[tuple[float, Array]] = Spread(pictures)
        self._convert = Conversion(source.media.video, "rgb24", width=width)
        self._measured = Conversion(source.media.video, "gray", size=MEASURED)
        self._rate = Rate(rate)
        self._sharpnesses: Spread[float] = Spread(_MOST_SHARPNESSES)
        self._worst = (float("inf"), 0.0)
        self._brightness = (0.0, float("inf"), float("-inf"))

    def take(self, picture: av.VideoFrame) -> float:
        """Look at the next picture; return when it is shown."""
        moment = self.clock.time(picture)
        if self.origin is None:
            self.origin = moment
            self.size = self._convert.upright(picture)
        time = moment - self.origin
        self.pictures += 1
        points = luma(picture)
        moved = difference(self._last, points)
        self._last = points
        self.black.take(time, points)
        self.freeze.take(time, points, moved)
        if self.cuts.take(time, points, moved):
            self.shots.begin(time)
        sampled, known = self._rate.takes(time), self.shots.wants(time)
        if sampled or known:
            grey = self._measured(picture)
            if known:
                self.shots.keep(perceptual_hash(grey))
            if sampled:
                self._measure(time, picture, grey)
        return time

    def _measure(self, time: float, picture: av.VideoFrame, grey: Array) -> None:
        self.samples += 1
        mean = float(grey.mean()) / 255
        total, darkest, brightest = self._brightness
        self._brightness = total + mean, min(darkest, mean), max(brightest, mean)
        sharp = sharpness(grey)
        self._worst = min(self._worst, (sharp, time))
        if self._sharpnesses.wants():
            self._sharpnesses.keep(sharp)
        if self.hashes.wants() and (found := perceptual_hash(grey)) is not None:
            self.hashes.keep(found)
        if self.shown.wants():
            self.shown.keep((time, self._convert(picture)))

    def end(self) -> float:
        """Close what is open; return how long the film lasts."""
        end = self.clock.end - self.origin if self.origin is not None else 0.0
        for spans in (self.black.spans, self.freeze.spans):
            spans.end(end)
        self.shots.end(end)
        return end

    @property
    def brightness(self) -> tuple[float, float, float] | None:
        total, darkest, brightest = self._brightness
        return (total / self.samples, darkest, brightest) if self.samples else None

    @property
    def sharpness(self) -> tuple[float, float, float] | None:
        return (statistics.median(self._sharpnesses.kept()), *self._worst) if self.samples else None


class _Sound:
    """What is found in the sound."""

    def __init__(self, clock: Clock, settings: AnalysisSettings) -> None:
        self.silence = Silence(settings.silence_seconds, settings.silence_db)
        self.clock = clock
        self.origin: float | None = None

    def take(self, frame: av.AudioFrame) -> float:
        """Look at the next frame; return when it is heard, from the first sound on."""
        time = self.clock.time(frame)
        self.origin = time if self.origin is None else self.origin
        self.silence.take(time, frame)
        return time - self.origin

    def spans(self, origin: float) -> tuple[Span, ...]:
        """Close what is open and return the spans, as far as they lie behind `origin`."""
        self.silence.spans.end(self.clock.end)
        shifted = (Span(max(0.0, start - origin), end - origin) for start, end in self.silence.spans.found)
        return tuple(span for span in shifted if span.end - span.start >= self.silence.spans.shortest)


def analyse(
    path: PathName,
    *,
    rate: float = 2.0,
    threads: int = 0,
    settings: AnalysisSettings = AnalysisSettings(),  # noqa: B008 - frozen
    pictures: int = 0,
    picture_width: int = 320,
    progress: Callable[[float], None] | None = None,
) -> Analysis:
    """Analyse the film and the first sound of a file, decoded once from beginning to end.

    Black and frozen spans, silence and cuts are exact to the picture or the sample of sound; brightness and sharpness
    are measured `rate` times a second. `pictures` of those samples are kept in `Analysis.shown`, `picture_width` pixels
    wide (a contact sheet). `progress` is called with the seconds of playing time that were analysed, at most once for
    each. Memory does not grow with the film. Raises InspectError, UsageError.
    """
    if not 0 < rate < float("inf"):
        raise UsageError(f"The rate of samples is {rate}; it has to be above 0.")
    if pictures < 0 or picture_width < 1:
        raise UsageError("The number of pictures cannot be below 0, nor a picture's width below 1.")
    with opened(path, sound=True, threads=threads) as source:
        film = _Film(source, rate, settings, pictures, picture_width)
        sound = _Sound(source.sound_clock(), settings)
        told = 0
        for frame in source.frames():
            time = sound.take(frame) if isinstance(frame, av.AudioFrame) else film.take(frame)
            if progress is not None and time >= told + 1 and (film.pictures == 0 or isinstance(frame, av.VideoFrame)):
                told = int(time)
                progress(time)
    return _found(source, film, sound, settings)


def _found(source: Source, film: _Film, sound: _Sound, settings: AnalysisSettings) -> Analysis:
    origin = film.origin if film.origin is not None else sound.origin
    if origin is None:
        text = "Nothing of its pictures and sound can be decoded: it is damaged."
        raise InspectError(FailureKind.BAD_INPUT, text)
    end = film.end()
    black, freeze = film.black.spans, film.freeze.spans
    return Analysis(
        duration=max(end, sound.clock.end - origin) if sound.origin is not None else end,
        pictures=film.pictures,
        samples=film.samples,
        failures=source.failures,
        width=film.size[0],
        height=film.size[1],
        black=tuple(black.found),
        freeze=tuple(freeze.found),
        silence=sound.spans(origin) if sound.origin is not None else None,
        cuts=tuple(film.cuts.found),
        left_out=black.left_out + freeze.left_out + sound.silence.spans.left_out + film.cuts.left_out,
        brightness=film.brightness,
        sharpness=film.sharpness,
        hashes=(*film.hashes.kept(), *film.shots.kept()),
        shown=tuple(Frame(time, index, array) for index, (time, array) in enumerate(film.shown.kept())),
        settings=settings,
    )
