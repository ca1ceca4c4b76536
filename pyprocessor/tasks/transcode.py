"""How is one source turned into one output file? Video, or audio alone where the profile has no video."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from pyprocessor.ffmpeg.damage import NO_DAMAGE
from pyprocessor.ffmpeg.diagnosis import diagnose
from pyprocessor.ffmpeg.run import Finished
from pyprocessor.inspect.contract import contract, refuse_damage
from pyprocessor.inspect.timeline import expand
from pyprocessor.models import CostFeatures, MediaInfo, OutputFacts, Profile
from pyprocessor.recipes.features import features
from pyprocessor.recipes.subtitles import lost_lines
from pyprocessor.recipes.transcode import recipe
from pyprocessor.tasks.base import Step, Work
from pyprocessor.tasks.mp4_headers import edit_headers
from pyprocessor.tasks.side_files import side_files

if TYPE_CHECKING:
    from pyprocessor.inspect.timeline import Timeline


class Transcode:
    """One ffmpeg, then verification of what it wrote."""

    name = "transcode"

    def features(self, profile: Profile, media: MediaInfo) -> CostFeatures:
        return features(profile, media)

    def run(self, work: Work) -> Generator[Step, Finished, OutputFacts]:
        # Here, so that the engine, which asks for features only, does without PyAV.
        from pyprocessor.inspect.damage import damage_note
        from pyprocessor.inspect.verify import lost_projection, verify

        media, times = _surveyed(work)
        agreed = contract(work.profile, media)
        with side_files(work, media, agreed) as files:
            plan = recipe(
                work.profile,
                media,
                agreed,
                work.source,
                threads=work.threads,
                output_name=work.partial,
                covers=files.covers,
                subtitles=files.subtitles,
            )
            finished = yield Step(plan.invocation)
        problem = diagnose(finished, work.source.path)
        if problem is not None:
            raise problem
        if plan.headers is not None:
            edit_headers(work.partial_path, plan.headers)
        damage = damage_note(finished.damage, media, times, same_frames=agreed.same_frames)
        progress = finished.progress
        facts, notes = verify(
            work.partial_path,
            agreed,
            encoded_frames=progress.frame if progress is not None and agreed.films else None,
            damaged=finished.damage != NO_DAMAGE or any(note.damage for note in media.notes),
            source=work.source.path,
            media=media,
            times=times,
        )
        lost = (*lost_lines(finished.stderr_text), *lost_projection(work.partial_path, agreed, media))
        notes = (*plan.notes, *damage, *notes, *lost)
        refuse_damage(work.profile, notes)
        losses = tuple(dict.fromkeys(note.loss for note in notes if note.loss))
        return replace(facts, notes=tuple(note.text for note in notes), losses=losses)


def _surveyed(work: Work) -> tuple[MediaInfo, Timeline]:
    """The source's contents and timeline by all its packets; small files were surveyed when they were inspected."""
    if work.media.timeline is not None:
        return work.media, expand(work.media.timeline)
    from pyprocessor.inspect.probe import survey_source

    used = [plan.index for plan in contract(work.profile, work.media).kept]
    return survey_source(work.source.path, work.media, used, work.profile.input_limits)
