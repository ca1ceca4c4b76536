"""How is one film divided into parts, and how is each made: some of its pictures, or all of its sound?

What is found while the film is divided goes with each part's params, so that a part needs no look at the whole file.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pyprocessor.costs.job_prior import COPY, prior_cost
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.damage import NO_DAMAGE, Damage, StreamDamage
from pyprocessor.ffmpeg.diagnosis import check
from pyprocessor.inspect.contract import Contract, contract
from pyprocessor.models import (
    WHOLE,
    Chunking,
    CostFeatures,
    Division,
    InputLimits,
    MediaInfo,
    Profile,
    Source,
    StreamInfo,
)
from pyprocessor.models.encoders import video_encoder
from pyprocessor.models.products import Product
from pyprocessor.recipes.features import features, output_limit_bytes, sound_features
from pyprocessor.recipes.parts import (
    PART_EXTENSION,
    Span,
    clock_of,
    encoded_sound,
    film_part,
    film_recipe,
    sound_part,
    why_whole,
)
from pyprocessor.tasks.base import ChildJob, Done, Ffmpeg, Made, Plan, Steps, Work

if TYPE_CHECKING:
    from pyprocessor.inspect.cuts import Film, Stretch

FILM_PART, SOUND_PART = "film-part", "sound-part"
"""The tasks that make parts, which are also their roles."""
_USUAL_RATE = 24
_PART_SECONDS, _PART_PICTURES = 0.03, 10
"""What a part takes beside its share, in CPU-seconds and in pictures: starting ffmpeg, a keyframe, and pictures of its
neighbour that are decoded before it ends (x264 veryfast and slow, real clips of 432 to 720 lines)."""
_LAST_PICTURE_SECONDS = 0.1
_NO_TIME = 1e-6
"""Sums of floats may miss the last bits of it."""


def division(profile: Profile, media: MediaInfo, agreed: Contract, cost: CostFeatures) -> Division:
    """Whether a film may be encoded in parts, by what is known of it before all of its packets are read."""
    if profile.chunking is Chunking.OFF or profile.video is None:
        return WHOLE
    why = why_whole(profile, media, agreed)
    least = _least_seconds(least_part_seconds(profile), cost.frames, cost.duration_seconds)
    parts = int(cost.duration_seconds // least)
    if not why and parts < 2:
        why = f"It is too short for two parts of {least:g} s."
    if why:
        return Division(why_whole=why)
    whole = prior_cost(cost, 1)
    join = prior_cost(replace(cost, encoder=COPY, source_bytes=whole.disk_bytes, own_factor=1.0), 1)
    beside = _PART_SECONDS + _PART_PICTURES * whole.cpu_seconds / max(cost.frames, 1.0)
    return Division(parts, part_seconds=beside, join=join)


def divide(
    profile: Profile,
    source: Source,
    media: MediaInfo,
    parts: int,
    limits: InputLimits,
    least_seconds: float | None = None,
) -> tuple[ChildJob, ...]:
    """The jobs that make the parts of a film, `parts` or fewer. Raises JobError with why it is to be made whole.

    `least_seconds` is how long each has to be where it is not to depend on the encoder.
    """
    # Here, so that the engine, which asks for plans only, does without PyAV.
    from pyprocessor.inspect.cuts import read_film

    agreed = contract(profile, media)
    _refuse(why_whole(profile, media, agreed))
    (wanted,) = agreed.films
    film = read_film(source.path, media, wanted.index, [plan.index for plan in agreed.kept], limits)
    agreed = contract(profile, film.media)
    _refuse(why_whole(profile, film.media, agreed))
    cost = replace(features(profile, film.media), audio_channels=0.0)
    nothing = prior_cost(replace(cost, frames=0.0, source_bytes=0), 1).cpu_seconds
    costs = [prior_cost(_cost_of(cost, [stretch]), 1).cpu_seconds - nothing for stretch in film.stretches]
    seconds = [stretch.seconds for stretch in film.stretches]
    usual = least_part_seconds(profile) if least_seconds is None else least_seconds
    least = _least_seconds(usual, sum(stretch.pictures for stretch in film.stretches), sum(seconds))
    begins = evenly(costs, seconds, parts, least)
    if len(begins) < 2:
        _refuse("It has too few keyframes to cut it at.")
    stream = next(stream for stream in film.media.streams if stream.index == wanted.index)
    clock = clock_of(film_recipe(profile, film.media, source, threads=1, output_name="part"), film.unit)
    shared = {"profile": profile.fingerprint, "start": film.start_seconds}
    jobs = [
        (FILM_PART, _film_params(film, film.stretches[begin:until], stream, clock, cost))
        for begin, until in itertools.pairwise([*begins, len(film.stretches)])
    ]
    if encoded_sound(agreed):
        jobs.append((SOUND_PART, {"cost": asdict(sound_features(profile, film.media))}))
    return tuple(ChildJob(name, name, {**shared, **params}, (source,)) for name, params in jobs)


def least_part_seconds(profile: Profile) -> float:
    """How long a part has to be of a film of the usual rate, or a higher one, for the profile's encoder."""
    assert profile.video is not None
    return video_encoder(profile.video.encoder).least_piece_seconds


def _least_seconds(usual: float, pictures: float, seconds: float) -> float:
    """How long a part of a film has to be, of so many pictures in so many seconds."""
    return usual * max(1.0, _USUAL_RATE * seconds / pictures if pictures > 0 else 1.0)


def evenly(costs: Sequence[float], seconds: Sequence[float], parts: int, least_seconds: float) -> list[int]:
    """Return with which stretches the parts begin, of near equal cost and each of `least_seconds` or more.

    `costs` and `seconds` are of the stretches in order. There are `parts` parts, or fewer. The time of a film's last
    picture is in no stretch, and may be lacking.
    """
    spent, passed = ([0.0, *itertools.accumulate(each)] for each in (costs, seconds))
    least = least_seconds - _LAST_PICTURE_SECONDS
    most = min(parts, int(passed[-1] / least))
    begins = next(found for number in range(most, -1, -1) if (found := _begins(spent, passed, number, least)))
    ends = [*begins[1:], len(costs)]
    for _ in begins:  # Each part takes from its neighbour, or gives to it, until all are about even.
        so_far = list(begins)
        for number in range(1, len(begins)):
            before, after = begins[number - 1], ends[number]
            middle = (spent[before] + spent[after]) / 2
            begins[number] = ends[number - 1] = _nearest(spent, _places(passed, before, after, least, least), middle)
        if begins == so_far:
            break
    return begins


def _begins(spent: Sequence[float], passed: Sequence[float], parts: int, least: float) -> list[int]:
    """With which stretches so many parts begin, each at least so long; none where they cannot."""
    begins = [0]
    for number in range(1, parts):
        wanted = spent[-1] * number / parts
        places = _places(passed, begins[-1], len(spent) - 1, least, least * (parts - number))
        if not places:
            return []
        begins.append(_nearest(spent, places, wanted))
    return begins


def _nearest(spent: Sequence[float], places: range, wanted: float) -> int:
    """The place of these before which the costs come nearest to what is wanted."""
    place = bisect.bisect_left(spent, wanted, places.start, places.stop - 1)
    return min(range(max(places.start, place - 1), place + 1), key=lambda one: abs(spent[one] - wanted))


def _places(passed: Sequence[float], begin: int, end: int, before: float, after: float) -> range:
    """The stretches so many seconds behind the one at `begin` and before the one at `end`."""
    first = bisect.bisect_left(passed, passed[begin] + before - _NO_TIME)
    return range(first, bisect.bisect_right(passed, passed[end] - after + _NO_TIME))


def _film_params(
    film: Film, stretches: Sequence[Stretch], stream: StreamInfo, clock: Fraction, cost: CostFeatures
) -> dict[str, Any]:
    """The params of one part of the pictures."""
    begin, start = stretches[0].begin, Fraction(film.start_seconds).limit_denominator(1_000_000)
    at = begin * film.unit
    first = stretches[0] is film.stretches[0]
    seek = None if first or float(at) - film.start_seconds < 2.0 else float(at)
    return {
        "begin": begin,
        "end": stretches[-1].end,
        "seek": seek,
        "at": float(round((at - start) / clock) * clock),
        "clock": str(clock),
        "pictures": sum(stretch.pictures for stretch in stretches),
        "film": _facts(stream),
        "cost": asdict(_cost_of(cost, stretches)),
    }


def _cost_of(whole: CostFeatures, stretches: Sequence[Stretch]) -> CostFeatures:
    """What the cost of encoding these stretches depends on."""
    pictures = sum(stretch.pictures for stretch in stretches)
    size = sum(stretch.bytes for stretch in stretches)
    between = pictures - sum(stretch.keyframes for stretch in stretches)
    bits = 8 * (size - sum(stretch.keyframe_bytes for stretch in stretches) if between > 0 else size)
    coded = (between if between > 0 else pictures) * whole.source_pixels
    return replace(
        whole,
        frames=float(pictures),
        duration_seconds=sum(stretch.seconds for stretch in stretches),
        source_bytes=size,
        source_bits_per_pixel=bits / coded if coded > 0 else None,
    )


def _facts(film: StreamInfo) -> dict[str, Any]:
    """What the recipe depends on and only all packets of the file show, as JSON."""
    video = film.video
    assert video is not None
    rates = (video.frame_rate, video.clock_rate)
    return {
        "start": film.start_seconds,
        "rates": [str(rate) if rate is not None else None for rate in rates],
        "variable": video.variable_frame_rate,
        "captions": video.captions,
    }


def _with_facts(media: MediaInfo, facts: Mapping[str, Any]) -> MediaInfo:
    """`media`, as its header describes it, with the facts about its film."""
    film = media.video
    assert film is not None
    assert film.video is not None
    rate, clock = (Fraction(text) if text is not None else None for text in facts["rates"])
    video = replace(
        film.video,
        frame_rate=rate,
        clock_rate=clock,
        variable_frame_rate=facts["variable"],
        captions=facts["captions"],
    )
    known = replace(film, video=video, start_seconds=facts["start"])
    return replace(media, streams=tuple(known if stream is film else stream for stream in media.streams))


def _refuse(why: str) -> None:
    if why:
        raise JobError(FailureKind.UNSUPPORTED, why)


@dataclass(frozen=True, slots=True)
class PartEnd:
    """What a part says of itself in its result; from `at_seconds` on only of pictures."""

    start_seconds: float
    damage: Damage
    at_seconds: float = 0.0
    clock: str = "1"
    pictures: int = 0
    headers: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> PartEnd:
        """The same of its JSON."""
        told = dict(result["damage"])
        streams = tuple(StreamDamage(**stream) for stream in told.pop("streams"))
        return cls(**{**result, "damage": Damage(streams, **told)})


class _Part:
    """A job that makes a part of a film; the film's own job makes it."""

    name: str

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> None:  # noqa: ARG002
        _profile(params)

    def plan(self, params: Any, inputs: tuple[Source, ...], found: None, output: bytes) -> Plan:  # noqa: ARG002
        _profile(params)
        return Plan((Product(output),), _features_of(params))


class FilmPart(_Part):
    """A part of a film's pictures, without anything else."""

    name = FILM_PART

    def run(self, work: Work) -> Steps:
        from pyprocessor.inspect.probe import probe
        from pyprocessor.inspect.verify import encoded_part

        profile, params, (source,) = _profile(work.params), work.params, work.inputs
        media = probe(source.path, size_bytes=source.size_bytes, limits=profile.input_limits)
        media = _with_facts(media, params["film"])
        name = f"{work.name}.{PART_EXTENSION}"
        film = film_recipe(profile, media, source, threads=work.threads, output_name=name)
        part = film_part(film, Span(params["begin"], params["end"], params["seek"]))
        finished = yield Ffmpeg(part, output_limit_bytes=_limit(profile, params))
        check(finished, source.path)
        made = encoded_part(work.path(name))
        missing = params["pictures"] - made.pictures
        if missing < 0 or (missing and finished.damage == NO_DAMAGE):
            text = f"A part holds {made.pictures:,} pictures where it should have {params['pictures']:,}."
            raise JobError(FailureKind.UNSUPPORTED, text)
        place = (params["at"], params["clock"])
        end = PartEnd(params["start"], finished.damage, *place, made.pictures, made.headers)
        return Done(products=(Made(name),), result=end.as_json())


class SoundPart(_Part):
    """All sound of a film that is encoded, at its times in the output."""

    name = SOUND_PART

    def run(self, work: Work) -> Steps:
        from pyprocessor.inspect.probe import probe, survey_source
        from pyprocessor.inspect.verify import sound_tracks

        profile, params, (source,) = _profile(work.params), work.params, work.inputs
        media = probe(source.path, size_bytes=source.size_bytes, limits=profile.input_limits)
        used = [plan.index for plan in contract(profile, media).kept]
        media, _ = survey_source(source.path, media, used, profile.input_limits)
        name = f"{work.name}.{profile.extension}"
        sound = sound_part(
            profile, media, source, start_seconds=params["start"], threads=work.threads, output_name=name
        )
        finished = yield Ffmpeg(sound, output_limit_bytes=_limit(profile, params))
        check(finished, source.path)
        if sound_tracks(work.path(name)) != len(encoded_sound(contract(profile, media))):
            raise JobError(FailureKind.UNSUPPORTED, "None of the sound of a track could be decoded.")
        return Done(products=(Made(name),), result=PartEnd(params["start"], finished.damage).as_json())


def _limit(profile: Profile, params: Mapping[str, Any]) -> int:
    return output_limit_bytes(profile.input_limits, _features_of(params))


def _profile(params: Any) -> Profile:
    profile = params.get("profile") if isinstance(params, Mapping) else None
    if isinstance(profile, Profile):
        return profile
    text = "A part of a film is made for the film's own job; it cannot be submitted by itself."
    raise JobError(FailureKind.UNSUPPORTED, text)


def _features_of(params: Any) -> CostFeatures:
    """What the cost of a part is predicted from; parts hold no resources, and JSON knows no tuples."""
    return CostFeatures(**{**params["cost"], "resources": ()})
