"""Tasks that say themselves what their jobs take: their word is the prior, and what is measured corrects it."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from pyprocessor.costs.calibration import FileHistory
from pyprocessor.costs.job_prior import prior_cost
from pyprocessor.costs.model import HISTORY, CostModel, class_of, thread_growth
from pyprocessor.engine.learning import ONE_IN, Calibration
from pyprocessor.jobs.queued_job import QueuedJob
from pyprocessor.jobs.timeouts import LOAD_FACTOR, SHORTEST_LIMIT_SECONDS, timeouts
from pyprocessor.models import Cost, CostFeatures, ErrorSettings, EstimationSettings, Job, Source, Usage
from pyprocessor.plan.eta import Pace, estimate, share_done
from tests.unit.running_jobs import running_job

MIB = 1 << 20
SAID = Cost(2.0, 300 * MIB, 10_000, wait_seconds=1.5, resources=(("gpu", 1),))
GIVEN = CostFeatures(task="transcribe", encoder="whisper-small", given=SAID)
MEDIA = CostFeatures("transcode", "libx264", "medium", 640 * 360, 640 * 360, "yuv420p", 250, 10, 10**6)
SOURCE = Source(b"/a", b"a", 1, 1)


def test_what_a_task_says_is_what_is_predicted_until_it_is_measured() -> None:
    """Whatever other tasks and encodes were measured to take; waiting and resources are passed on as they are."""
    model = CostModel()
    for other in (MEDIA, replace(GIVEN, encoder="whisper-large"), replace(GIVEN, task="translate")):
        prior = prior_cost(other, 1)
        for _ in range(30):
            model = model.observe(other, 1, Cost(5 * prior.cpu_seconds, 3 * prior.memory_bytes, 9 * prior.disk_bytes))
    assert prior_cost(GIVEN, 1) == SAID
    assert model.predict(GIVEN, 1) == SAID


def test_what_is_measured_corrects_the_word_of_the_task_and_nothing_else() -> None:
    """Thirty attempts that took three times as much make that the prediction; encodes are predicted as before."""
    model = CostModel()
    for _ in range(30):
        model = model.observe(GIVEN, 1, Cost(6.0, 600 * MIB, 20_000))
    found = model.predict(GIVEN, 1)
    assert 4.5 < found.cpu_seconds < 6.1
    assert 550 * MIB < found.memory_bytes < 610 * MIB
    assert (found.wait_seconds, found.resources) == (SAID.wait_seconds, SAID.resources)
    assert model.predict(MEDIA, 1) == CostModel().predict(MEDIA, 1)
    assert model.measured_count(class_of(GIVEN, 1)) == 30


def test_a_word_that_is_far_off_is_corrected_by_the_first_attempts() -> None:
    """Nothing else is known of such jobs, and what is given ahead goes by the prediction."""
    model, said = CostModel(), replace(GIVEN, given=replace(SAID, cpu_seconds=0.001))
    for least in (0.06, 0.13, 0.17):
        model = model.observe(said, 1, Cost(0.25, 0, 0))
        assert least < model.predict(said, 1).cpu_seconds < 0.25


def test_a_class_of_its_own_for_each_task_and_affinity() -> None:
    """Jobs of a task whose words differ are of one class all the same; more threads take no more memory."""
    kind = class_of(GIVEN, 1)
    assert (kind.task, kind.encoder, kind.given) == ("transcribe", "whisper-small", True)
    assert class_of(replace(GIVEN, given=Cost(9.0, 1, 1)), 1) is kind
    assert class_of(replace(GIVEN, encoder="whisper-large"), 1) != kind
    assert not class_of(MEDIA, 1).given
    assert thread_growth(kind, 8) == 1.0


def test_such_a_job_is_no_file_in_the_history_of_files() -> None:
    """All that have no source would share one entry there."""
    files = FileHistory()
    files.remember(SOURCE, GIVEN, 1, SAID, Cost(9.0, 1, 1))
    assert files.known == {}
    files.remember(SOURCE, MEDIA, 1, SAID, Cost(9.0, 1, 1))
    assert files.factor(SOURCE, GIVEN, CostModel()) == 1.0


def test_timeouts_without_media() -> None:
    """A call may say nothing before its end, and has the least time that any job has."""
    errors = ErrorSettings()
    for said in (Cost(0.0, 0, 0), Cost(0.001, 1, 0)):
        found = timeouts(errors, said, CostFeatures("noop", "", given=said))
        assert (found.stall_seconds, found.wall_limit_seconds) == (errors.stall_seconds, SHORTEST_LIMIT_SECONDS)
    slow = Cost(10.0, 1, 0, wait_seconds=600.0)
    found = timeouts(errors, slow, CostFeatures("ask", "api", given=slow))
    assert found.stall_seconds == LOAD_FACTOR * 610.0
    assert found.wall_limit_seconds == errors.time_limit_factor * 610.0


def queued(said: Cost) -> QueuedJob:
    """The job of that cost as it waits."""
    kind = class_of(replace(GIVEN, given=said), 1)
    return QueuedJob.of(
        Job("id", "transcribe", SOURCE, b"", "", said), kind, CostModel(), EstimationSettings(memory_safety_factor=1.0)
    )


def test_progress_and_end_of_a_job_without_media() -> None:
    """Nothing is divided by a duration that it does not have, even where it takes nothing at all."""
    for said in (Cost(0.0, 0, 0), SAID):
        job = running_job(kind=class_of(GIVEN, 1), started_seconds=10.0)
        job.queued, job.features = queued(said), replace(GIVEN, given=said)
        assert (job.frames_done, job.share_done) == (0.0, 0.0)
        assert job.seconds_left(10.0) == said.cpu_seconds + said.wait_seconds
        job.cores = 0
        for now in (10.0, 11.0, 1e6):
            assert 0.0 <= share_done(job, Pace().rate, now) < 1.0
            found = estimate(Pace(), 2.0, [], [job], now)
            assert found.seconds is not None
            assert 0.0 <= found.seconds < math.inf


def test_what_mostly_waits() -> None:
    """Ten times longer than it computes, by the word of its task; one that computes nothing and waits does, too."""
    assert not queued(SAID).waits
    assert not queued(Cost(1.0, 1, 0, wait_seconds=9.9)).waits
    assert queued(Cost(1.0, 1, 0, wait_seconds=10.0)).waits
    assert queued(Cost(0.0, 1, 0, wait_seconds=0.1)).waits
    assert not queued(Cost(0.0, 1, 0)).waits


def test_of_many_short_calls_only_some_are_learned_from() -> None:
    """Until a kind is known every one counts; a kind that changes is still noticed, and long calls all count."""
    calibration = Calibration(CostModel(), FileHistory(), None)
    noop = replace(GIVEN, encoder="noop", given=Cost(0.001, MIB, 0))
    for taken, times in ((0.001, HISTORY), (0.004, 40 * ONE_IN)):
        for _ in range(times):
            calibration.observe(noop, SOURCE, 1, Usage(taken, taken, MIB), 0)
    seen = calibration.model.measured_count(class_of(noop, 1))
    assert seen == HISTORY + 40
    assert calibration.predict(noop, 1).cpu_seconds > 0.0035
    for _ in range(HISTORY + 40):
        calibration.observe(GIVEN, SOURCE, 1, Usage(2.0, 2.0, MIB), 0)
    assert calibration.model.measured_count(class_of(GIVEN, 1)) == HISTORY + 40


def test_factors_are_those_of_a_model_made_anew() -> None:
    """What a model keeps from the one before it is what it would work out itself."""
    model = CostModel()
    rng = random.Random(7)
    kinds = [MEDIA, replace(MEDIA, preset="fast"), GIVEN, replace(GIVEN, encoder="other")]
    for _ in range(60):
        seen = rng.choice(kinds)
        prior = prior_cost(seen, 1)
        off = rng.uniform(0.3, 3.0)
        model = model.observe(seen, 1, Cost(prior.cpu_seconds * off, round(prior.memory_bytes * off), 0))
        anew = CostModel(model.classes, model.groups, model.running)
        assert [model.factors(class_of(kind, 1), 1.2) for kind in kinds] == [
            anew.factors(class_of(kind, 1), 1.2) for kind in kinds
        ]
