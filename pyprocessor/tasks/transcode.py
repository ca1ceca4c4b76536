"""How is one source turned into one output file? Video, or audio alone where the profile has no video."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from pyprocessor.containers.claims import check_claims
from pyprocessor.containers.mp4_headers import edit_headers
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.damage import NO_DAMAGE
from pyprocessor.ffmpeg.diagnosis import check
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.inspect.contract import Contract, contract, refuse_damage
from pyprocessor.inspect.timeline import expand
from pyprocessor.models import CostFeatures, InputLimits, MediaInfo, MediaNote, OutputFacts, Profile, Source
from pyprocessor.models.products import Product
from pyprocessor.recipes.features import features, output_limit_bytes
from pyprocessor.recipes.subtitles import lost_lines
from pyprocessor.recipes.transcode import recipe
from pyprocessor.tasks.base import ChildJob, Done, Ffmpeg, Made, Plan, Step, Steps, Work
from pyprocessor.tasks.joining import Parts, list_file, parts_of
from pyprocessor.tasks.params import params_as, profile_of, values_of
from pyprocessor.tasks.parts import divide, division
from pyprocessor.tasks.side_files import side_files

if TYPE_CHECKING:
    from pyprocessor.inspect.timeline import Timeline

_OF_THE_PARTS = (FailureKind.BAD_INPUT, FailureKind.UNSUPPORTED, FailureKind.INFRASTRUCTURE)
"""Kinds of failure of a join after which the film is encoded whole; after the others that would fail as well."""


@dataclass(frozen=True, slots=True)
class Takes:
    """A profile, by name, by file or as a file would hold it, and settings that go before those of it."""

    profile: str | dict[str, Any] = "default"
    encoder: str | None = None
    preset: str | None = None
    tune: str | None = None
    crf: int | None = None
    fps: int | float | str | None = None
    no_audio: bool | None = None
    damaged: Literal["keep", "refuse"] | None = None


WHOLE_PROFILE = "whole"
"""The param that has all settings of the profile of a job that was submitted, once that was looked up."""


class Transcode:
    """One ffmpeg that encodes the film, or joins its parts, then verification of what it wrote.

    For a file of a folder the params are the run's Profile, and what `inspect` finds is a MediaInfo. A job that was
    submitted has its profile's settings in its params, and is not divided.
    """

    name = "transcode"
    summary = "Convert a film, or sound alone, as a profile says"
    takes = Takes
    inputs = (1, 1)
    reusable = True

    def whole(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        from pyprocessor import profiles  # with PyYAML, and only where a job is submitted

        wanted = params_as(Takes, params)
        above = {one.name: getattr(wanted, one.name) for one in fields(Takes) if one.name != "profile"}
        return {WHOLE_PROFILE: values_of(profiles.load_alone(wanted.profile, profiles.Overrides(**above)).profile)}

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> MediaInfo | dict[str, Any]:
        # Here, so that the engine, which asks for plans only, does without PyAV.
        from pyprocessor.inspect.probe import probe

        profile = _profile(params)
        (source,) = inputs
        media = probe(source.path, size_bytes=source.size_bytes, limits=limits)
        if profile is params:
            return media
        return asdict(_cost(profile, media))

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:  # noqa: ARG002
        profile = _profile(params)
        if profile is not params:
            name = output + b"." + profile.extension.encode("ascii")
            return Plan((Product(name),), CostFeatures(**{**found, "resources": ()}))  # JSON knows no tuples
        cost = _cost(profile, found)
        return Plan((Product(output),), cost, division=division(profile, found, contract(profile, found), cost))

    def divide(
        self, params: Any, inputs: tuple[Source, ...], found: MediaInfo, parts: int, limits: InputLimits
    ) -> tuple[ChildJob, ...]:
        (source,) = inputs
        return divide(_profile(params), source, found, parts, limits)

    def run(self, work: Work) -> Steps:
        profile, (source,) = _profile(work.params), work.inputs
        if profile is not work.params:
            from pyprocessor.inspect.probe import probe

            found = probe(source.path, size_bytes=source.size_bytes, limits=profile.input_limits)
            work = replace(work, params=profile, found=found)
        media, times = _surveyed(source, profile, work.found)
        agreed = contract(profile, media)
        facts: OutputFacts | None = None
        notes: tuple[MediaNote, ...] = ()
        if work.children:
            try:
                facts, notes = yield from _made(work, media, times, agreed, _parts(work, media, times))
            except JobError as error:
                if error.kind not in _OF_THE_PARTS:
                    raise
                notes = (MediaNote(f"It was encoded whole, as its parts could not be joined. {error}"),)
        if facts is None:
            facts, more = yield from _made(work, media, times, agreed)
            notes = (*notes, *more)
        refuse_damage(profile, notes)
        losses = tuple(dict.fromkeys(note.loss for note in notes if note.loss))
        facts = replace(facts, notes=tuple(note.text for note in notes), losses=losses)
        return Done(facts, (Made(output_name(work)),))


def _parts(work: Work, media: MediaInfo, times: Timeline) -> Parts:
    assert media.video is not None  # without pictures it is not divided
    return parts_of(work.children, media.video, times)


def output_name(work: Work) -> str:
    """The temporary name of the output."""
    return f"{work.name}.{work.params.extension}"


def _made(
    work: Work, media: MediaInfo, times: Timeline, agreed: Contract, parts: Parts | None = None
) -> Generator[Step, Any, tuple[OutputFacts, tuple[MediaNote, ...]]]:
    """Make the output, of its parts where they are given, and verify it; return its facts and notes on it."""
    # Here, as in `inspect`.
    from pyprocessor.inspect.damage import damage_note
    from pyprocessor.inspect.verify import lost_projection, verify

    profile: Profile = work.params
    (source,) = work.inputs
    name = output_name(work)
    path = work.path(name)
    with side_files(work, media, agreed) as files, list_file(work, parts) as listed:
        plan = recipe(
            profile,
            media,
            agreed,
            source,
            threads=work.threads,
            output_name=name,
            covers=files.covers,
            subtitles=files.subtitles,
        )
        if parts is not None:
            plan = parts.join(plan, listed)
        limit = output_limit_bytes(profile.input_limits, features(profile, work.found))
        finished: Finished = yield Ffmpeg(plan.invocation, last=parts is None, output_limit_bytes=limit)
    check(finished, source.path)
    if plan.headers is not None:
        edit_headers(path, plan.headers)
    found = finished.damage if parts is None else parts.damage_with(finished.damage)
    damage = damage_note(found, media, times, same_frames=agreed.same_frames)
    progress = finished.progress
    encoded = parts.pictures if parts is not None else progress.frame if progress is not None else None
    facts, notes = verify(
        path,
        agreed,
        encoded_frames=encoded if agreed.films else None,
        damaged=found != NO_DAMAGE or any(note.damage for note in media.notes),
        source=source.path,
        media=media,
        times=times,
    )
    lost = (*lost_lines(finished.stderr_text), *lost_projection(path, agreed, media))
    return facts, (*plan.notes, *damage, *notes, *lost)


def _profile(params: Any) -> Profile:
    """The profile that the params are, or whose settings they have."""
    if isinstance(params, Profile):
        return params
    if isinstance(params, Mapping) and WHOLE_PROFILE in params:
        return profile_of(params[WHOLE_PROFILE])
    raise JobError(FailureKind.BAD_INPUT, "The params of the job have no profile; submit it again.")


def _cost(profile: Profile, media: MediaInfo) -> CostFeatures:
    """What the cost depends on. Raises JobError for what cannot be made."""
    check_claims(media, profile.input_limits)
    contract(profile, media)
    return features(profile, media)


def _surveyed(source: Source, profile: Profile, media: MediaInfo) -> tuple[MediaInfo, Timeline]:
    """The source's contents and timeline by all its packets; small files were surveyed when they were inspected."""
    if media.timeline is not None:
        return media, expand(media.timeline)
    from pyprocessor.inspect.probe import survey_source

    used = [plan.index for plan in contract(profile, media).kept]
    return survey_source(source.path, media, used, profile.input_limits)
