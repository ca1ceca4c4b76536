"""How is a video analysed? One call decodes it once, and writes what was found as JSON and a contact sheet."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import MAIN, Cost, CostFeatures, InputLimits, MediaInfo, Product, Source
from pyprocessor.models.analysis import AnalysisSettings
from pyprocessor.models.extras import check_installed
from pyprocessor.models.wording import count
from pyprocessor.tasks.base import Call, Done, Made, Plan, Returned, Steps, Work
from pyprocessor.tasks.params import params_as

if TYPE_CHECKING:
    from pyprocessor.frames import Analysis

SHEET = "sheet"
"""Role of the contact sheet."""
_SHEET_WIDTH, _SHEET_HEIGHT = 320, 640
"""Pixels of each picture in it, at most."""
_GREATEST_RATE = 60.0
_MOST_PICTURES = 100
"""In one column they are as high as a JPEG can be."""
# Measured over 60 real clips at one thread: medians of 0.0025 and 0.006 s, most of memory 17 and 36 bytes a pixel;
# twice that at four threads.
_CPU_SECONDS_PER_MEGAPIXEL = {1: 0.003, 2: 0.007}
"""By bytes of a sample: 1, or 2 where it has more than 8 bits."""
_MEMORY_PER_PIXEL = {1: 24, 2: 48}
_CPU_SECONDS_PER_SECOND_OF_SOUND = 0.003
_START_CPU_SECONDS = 0.1
_BASE_MEMORY_BYTES = 64 << 20
_USUAL_RATE = 25
"""Pictures a second of a film that does not say so."""
_MOST_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class AnalyzeParams(AnalysisSettings):
    """Thresholds, how often brightness and sharpness are measured, and the contact sheet."""

    rate: float = 2.0
    """Measurements of brightness and sharpness a second."""
    sheet: bool = True
    """Whether a contact sheet is made of the film."""
    pictures: int = 16
    """In the sheet."""
    columns: int = 4

    def __post_init__(self) -> None:
        AnalysisSettings.__post_init__(self)
        if not 0 < self.rate <= _GREATEST_RATE:
            raise ValueError(f"`rate` is {self.rate:g}, but has to be above 0 and at most {_GREATEST_RATE:g}")
        for name in ("pictures", "columns"):
            if not 1 <= getattr(self, name) <= _MOST_PICTURES:
                raise ValueError(f"`{name}` is {getattr(self, name)}, but has to be from 1 to {_MOST_PICTURES}")

    @property
    def settings(self) -> dict[str, Any]:
        """The thresholds alone, by name."""
        return {field.name: getattr(self, field.name) for field in fields(AnalysisSettings)}


class Analyze:
    """One call of `pyprocessor.frames`."""

    name = "analyze"
    summary = "Find black, frozen and silent spans, cuts and near-duplicates; write JSON and a contact sheet"
    takes = AnalyzeParams
    inputs = (1, 1)
    reusable = True

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        # Here, so that the engine, which asks for plans only, does without PyAV.
        from pyprocessor.inspect.probe import probe

        params_as(AnalyzeParams, params)
        check_installed("frames", "The task analyze")
        (source,) = inputs
        media = probe(source.path, size_bytes=source.size_bytes, limits=limits)
        if media.video is None and not media.audio:
            raise JobError(FailureKind.BAD_INPUT, "It has neither pictures nor sound to analyse.")
        return {**_claims(media), "damage": [note.text for note in media.notes if note.damage][:_MOST_WARNINGS]}

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:  # noqa: ARG002 - the task's
        taken = params_as(AnalyzeParams, params)
        products = [Product(output + b".analysis.json")]
        pixels, sheet_bytes = found["pixels"], 0
        if pixels and taken.sheet:
            products.append(Product(output + b".sheet.jpg", SHEET))
            sheet_bytes = 3 * taken.pictures * math.prod(found["sheet_size"])
        decoding = found["pictures"] * pixels / 1e6 * _CPU_SECONDS_PER_MEGAPIXEL[found["sample_bytes"]]
        cost = Cost(
            _START_CPU_SECONDS + decoding + _CPU_SECONDS_PER_SECOND_OF_SOUND * found["seconds"],
            _BASE_MEMORY_BYTES + _MEMORY_PER_PIXEL[found["sample_bytes"]] * pixels + 2 * sheet_bytes,
            sheet_bytes + (1 << 20),
        )
        return Plan(tuple(products), CostFeatures(self.name, self.name, given=cost))

    def run(self, work: Work) -> Steps:
        taken, (source,) = params_as(AnalyzeParams, work.params), work.inputs
        made = {product.role: f"{work.name}.{place}" for place, product in enumerate(work.products)}
        paths = {role: os.fsdecode(work.path(name)) for role, name in made.items()}
        arguments = {
            "source": os.fsdecode(source.path),
            "products": paths,
            "params": asdict(taken),
            "threads": work.threads,
            "seconds": work.found["seconds"],
            "width": work.found["sheet_size"][0],
        }
        returned: Returned = yield Call(f"{__name__}:analyse_file", arguments)
        result = returned.value
        result["warnings"] = [*work.found["damage"], *result["warnings"]]
        return Done(products=tuple(Made(name, role) for role, name in made.items()), result=result)


def _claims(media: MediaInfo) -> dict[str, Any]:
    """What decoding is predicted from; without a film `pixels` is 0."""
    seconds, film = media.playing_seconds or 0.0, media.video
    if film is None or film.video is None or not film.video.pixels:
        return {"seconds": seconds, "pictures": 0, "pixels": 0, "sheet_size": (0, 0), "sample_bytes": 1}
    pictures = film.frames or seconds * float(film.video.frame_rate or _USUAL_RATE)
    aspect = film.video.width * film.video.sample_aspect_ratio / film.video.height
    if film.video.rotation % 180:
        aspect = 1 / aspect
    width = max(2, min(_SHEET_WIDTH, 2 * round(_SHEET_HEIGHT * aspect / 2)))
    return {
        "seconds": seconds,
        "pictures": pictures,
        "pixels": film.video.pixels,
        "sheet_size": (width, round(width / aspect)),
        "sample_bytes": 2 if film.video.bit_depth > 8 else 1,
    }


def analyse_file(
    source: str, products: dict[str, str], params: dict[str, Any], threads: int, seconds: float, width: int
) -> dict[str, Any]:
    """Analyse a file of about so many seconds, write the products, paths by role, and return the job's result.

    `width` is that of each picture in the contact sheet.
    """
    # NumPy would start a thread for each core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from pyprocessor.frames import analyse, contact_sheet
    from pyprocessor.workers.call_main import progress

    taken = params_as(AnalyzeParams, params)
    sheet = products.get(SHEET)
    found = analyse(
        source,
        rate=taken.rate,
        threads=threads,
        settings=AnalysisSettings(**taken.settings),
        pictures=taken.pictures if sheet is not None else 0,
        picture_width=width or _SHEET_WIDTH,
        progress=lambda done: progress(min(done, seconds), seconds or None),
    )
    if sheet is not None:
        if not found.shown:
            raise JobError(
                FailureKind.BAD_INPUT, "None of its pictures can be decoded; with `sheet: false` its sound is analysed."
            )
        contact_sheet(sheet, found.shown, columns=taken.columns)
    with open(products[MAIN], "w", encoding="utf-8") as file:
        json.dump(found.document(), file, indent=1, allow_nan=False)
        file.write("\n")
    return _result(found)


def _result(found: Analysis) -> dict[str, Any]:
    """The small answer, of which the summary of a run is made."""
    seconds = {"black": _total(found.black), "frozen": _total(found.freeze)}
    if found.silence is not None:
        seconds["silent"] = _total(found.silence)
    quality: dict[str, float | bool] = {name: total > 0 for name, total in seconds.items()}
    if found.brightness is not None:
        quality["brightness"] = round(found.brightness[0], 4)
    if found.sharpness is not None:
        quality["sharpness"] = round(found.sharpness[0], 4)
    warnings = []
    if found.failures:
        warnings.append(f"{count(found.failures, 'packet')} of it could not be decoded; what they held is missing.")
    return {
        "duration_seconds": round(found.duration, 3),
        "pictures": found.pictures,
        **{f"{name}_seconds": total for name, total in seconds.items()},
        "cuts": len(found.cuts),
        "hashes": [f"{value:016x}" for value in found.hashes],
        "quality": quality,
        "warnings": warnings,
    }


def _total(spans: Iterable[tuple[float, float]]) -> float:
    return round(sum((end - start for start, end in spans), 0.0), 3)
