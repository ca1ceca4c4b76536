"""How is one source turned into one output file? Video, or audio alone where the profile has no video."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pyprocessor.containers.claims import check_claims
from pyprocessor.errors import FailureKind, JobError
from pyprocessor.ffmpeg.damage import NO_DAMAGE
from pyprocessor.ffmpeg.diagnosis import diagnose
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.inspect.contract import contract, refuse_damage
from pyprocessor.inspect.timeline import expand
from pyprocessor.models import InputLimits, MediaInfo, Profile, Source
from pyprocessor.models.products import Product
from pyprocessor.recipes.features import features, output_limit_bytes
from pyprocessor.recipes.subtitles import lost_lines
from pyprocessor.recipes.transcode import recipe
from pyprocessor.tasks.base import Done, Ffmpeg, Made, Plan, Steps, Work
from pyprocessor.tasks.mp4_headers import edit_headers
from pyprocessor.tasks.side_files import side_files

if TYPE_CHECKING:
    from pyprocessor.inspect.timeline import Timeline


class Transcode:
    """One ffmpeg, then verification of what it wrote."""

    name = "transcode"

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> MediaInfo:
        # Here, so that the engine, which asks for plans only, does without PyAV.
        from pyprocessor.inspect.probe import probe

        _profile(params)
        (source,) = inputs
        return probe(source.path, size_bytes=source.size_bytes, limits=limits)

    def plan(self, params: Any, inputs: tuple[Source, ...], found: MediaInfo, output: bytes) -> Plan:  # noqa: ARG002
        profile = _profile(params)
        check_claims(found, profile.input_limits)
        contract(profile, found)
        return Plan((Product(output),), features(profile, found))

    def run(self, work: Work) -> Steps:
        # Here, as in `inspect`.
        from pyprocessor.inspect.damage import damage_note
        from pyprocessor.inspect.verify import lost_projection, verify

        profile: Profile = work.params
        (source,) = work.inputs
        name = f"{work.name}.{profile.extension}"
        path = work.path(name)
        media, times = _surveyed(source, profile, work.found)
        agreed = contract(profile, media)
        with side_files(work, media, agreed) as files:
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
            limit = output_limit_bytes(profile.input_limits, features(profile, work.found))
            finished: Finished = yield Ffmpeg(plan.invocation, output_limit_bytes=limit)
        problem = diagnose(finished, source.path)
        if problem is not None:
            raise problem
        if plan.headers is not None:
            edit_headers(path, plan.headers)
        damage = damage_note(finished.damage, media, times, same_frames=agreed.same_frames)
        progress = finished.progress
        facts, notes = verify(
            path,
            agreed,
            encoded_frames=progress.frame if progress is not None and agreed.films else None,
            damaged=finished.damage != NO_DAMAGE or any(note.damage for note in media.notes),
            source=source.path,
            media=media,
            times=times,
        )
        lost = (*lost_lines(finished.stderr_text), *lost_projection(path, agreed, media))
        notes = (*plan.notes, *damage, *notes, *lost)
        refuse_damage(profile, notes)
        losses = tuple(dict.fromkeys(note.loss for note in notes if note.loss))
        facts = replace(facts, notes=tuple(note.text for note in notes), losses=losses)
        return Done(facts, (Made(name),))


def _profile(params: Any) -> Profile:
    if isinstance(params, Profile):
        return params
    text = (
        "A transcoding takes its settings from the profile of a run over its folder; it cannot be submitted by itself."
    )
    raise JobError(FailureKind.UNSUPPORTED, text)


def _surveyed(source: Source, profile: Profile, media: MediaInfo) -> tuple[MediaInfo, Timeline]:
    """The source's contents and timeline by all its packets; small files were surveyed when they were inspected."""
    if media.timeline is not None:
        return media, expand(media.timeline)
    from pyprocessor.inspect.probe import survey_source

    used = [plan.index for plan in contract(profile, media).kept]
    return survey_source(source.path, media, used, profile.input_limits)
