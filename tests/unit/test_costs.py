"""The cost model: priors that follow what was measured, and corrections that follow what is measured."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.model import UNKNOWN_SPREAD, CostModel, class_of, thread_growth, wall_seconds
from pyprocessor.models import Cost, CostFeatures

MIB = 1 << 20
TINY, P360, P720, P1080, P2160 = 160 * 90, 640 * 360, 1280 * 720, 1920 * 1080, 3840 * 2160


def features(
    encoder: str = "libx264",
    preset: str | None = "medium",
    pixels: int = P720,
    *,
    source_pixels: int | None = None,
    pixel_format: str = "yuv420p",
    frames: float = 300,
    seconds: float = 10,
    source_bytes: int = 2_000_000,
    bit_rate: int | None = None,
) -> CostFeatures:
    """Features of a ten-second clip."""
    source = pixels if source_pixels is None else source_pixels
    return CostFeatures(
        "transcode", encoder, preset, pixels, source, pixel_format, frames, seconds, source_bytes, bit_rate
    )


def prior(job: CostFeatures, threads: int = 1) -> Cost:
    """What the model says before it has seen anything."""
    return CostModel().predict(job, threads)


@pytest.mark.parametrize(
    ("encoder", "preset", "pixels", "measured_mib"),
    [
        ("libx264", "ultrafast", TINY, 38),
        ("libx264", "medium", TINY, 44),
        ("libx264", "ultrafast", P720, 72),
        ("libx264", "veryfast", P720, 130),
        ("libx264", "medium", P360, 93),
        ("libx264", "medium", P720, 226),
        ("libx264", "medium", P1080, 428),
        ("libx265", "fast", P720, 230),
        ("libsvtav1", "10", P720, 214),
        ("libsvtav1", "10", P1080, 366),
    ],
)
def test_memory_prior_meets_whole_transcodes(encoder: str, preset: str, pixels: int, measured_mib: float) -> None:
    """Peaks of transcodes of H.264 clips, measured apart from the table, are met within 15 percent."""
    assert prior(features(encoder, preset, pixels)).memory_bytes == pytest.approx(measured_mib * MIB, rel=0.15)


@pytest.mark.parametrize(
    ("job", "measured_mib"),
    [
        (features(pixels=P360, source_pixels=P1080), 116),
        (features(pixel_format="yuv420p10le"), 359),
        (features("libvpx-vp9", "4"), 204),
    ],
)
def test_memory_prior_of_other_cases(job: CostFeatures, measured_mib: float) -> None:
    """Scaling down, ten bits and VP9 were measured too."""
    assert prior(job).memory_bytes == pytest.approx(measured_mib * MIB, rel=0.15)


def test_memory_does_not_follow_file_size() -> None:
    """A 1080p film takes the same memory whatever its size and length."""
    short = prior(features(pixels=P1080, frames=90, source_bytes=10**6))
    film = prior(features(pixels=P1080, frames=200_000, seconds=7200, source_bytes=10**10))
    assert film.memory_bytes == short.memory_bytes
    assert film.cpu_seconds > 1000 * short.cpu_seconds


def test_few_frames_fill_less_of_the_look_ahead() -> None:
    """A clip of ten frames takes less memory than one of a hundred."""
    assert prior(features(frames=10)).memory_bytes < 0.7 * prior(features(frames=100)).memory_bytes


@pytest.mark.parametrize("encoder", ["libx264", "libx265"])
def test_slower_presets_take_no_less(encoder: str) -> None:
    """Presets nobody measured lie between their neighbours, and on beyond the last."""
    presets = "ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split()
    costs = [prior(features(encoder, preset, P1080)) for preset in presets]
    assert [c.memory_bytes for c in costs] == sorted(c.memory_bytes for c in costs)
    assert [c.cpu_seconds for c in costs] == sorted(c.cpu_seconds for c in costs)


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "nobody_knows"])
@pytest.mark.parametrize("preset", [None, "medium", "8", "unheard-of"])
def test_larger_pictures_take_more(encoder: str, preset: str | None) -> None:
    """Memory and CPU rise with the picture for every encoder and preset, known or not."""
    costs = [prior(features(encoder, preset, p, frames=100)) for p in (TINY, P360, P720, P1080, P2160, 4 * P2160)]
    assert [c.memory_bytes for c in costs] == sorted({c.memory_bytes for c in costs})
    assert [c.cpu_seconds for c in costs] == sorted({c.cpu_seconds for c in costs})


def test_unknown_encoder_is_taken_for_a_heavy_one() -> None:
    """Until it was measured, an unknown encoder is expected to take more than x264."""
    unknown, x264 = prior(features("libnew", None, P1080)), prior(features("libx264", "medium", P1080))
    assert unknown.memory_bytes > x264.memory_bytes
    assert unknown.cpu_seconds > x264.cpu_seconds


def test_copy_and_audio_are_small() -> None:
    """A stream copy and an audio encode take little of everything."""
    copy = prior(features("copy", None, source_bytes=50 * MIB))
    audio = prior(features("aac", None, 0, frames=0, seconds=60))
    assert copy.memory_bytes < 60 * MIB
    assert copy.cpu_seconds < 1
    assert copy.disk_bytes >= 50 * MIB
    assert audio.memory_bytes < 60 * MIB
    assert 0.1 < audio.cpu_seconds < 2


def test_disk_follows_the_target_rate_and_otherwise_the_source() -> None:
    """A target bit rate is believed; without one an output many times its source is not expected."""
    assert prior(features(bit_rate=8_000_000)).disk_bytes == pytest.approx(11_300_000, rel=0.1)
    assert prior(features(source_bytes=100_000)).disk_bytes < 1_000_000


def test_threads_take_memory_and_save_time() -> None:
    """More threads: more memory, less wall time; the planner's factor agrees with the model."""
    one, four = prior(features(pixels=P1080)), prior(features(pixels=P1080), 4)
    assert one.memory_bytes < four.memory_bytes
    assert wall_seconds(one.cpu_seconds, 4) < wall_seconds(one.cpu_seconds, 1) / 2.5
    factor = thread_growth(class_of(features(pixels=P1080), 1), 4)
    assert one.memory_bytes * factor == pytest.approx(four.memory_bytes, rel=0.1)
    assert thread_growth(class_of(features("copy", None), 1), 4) == 1.0


def test_class_of_names_the_nearest_usual_picture() -> None:
    """Classes are told apart by what decides the cost and not by exact size or length."""
    assert class_of(features(pixels=720 * 576), 1).pixels == "480p"
    assert class_of(features(pixels=1440 * 1080), 1) == class_of(features(pixels=P1080, frames=5), 1)
    assert class_of(features(), 1) != class_of(features(), 2)
    assert class_of(features("aac", None, 0), 1).pixels == "none"


def test_twenty_files_bring_the_median_error_below_fifteen_percent() -> None:
    """A class that takes 40 percent more than its prior is learned, outliers or not."""
    rng = random.Random(7)
    model = CostModel()
    errors = []
    for number in range(60):
        job = features(frames=rng.uniform(60, 5000))
        expected = prior(job)
        factor = 30.0 if number % 9 == 5 else rng.gauss(1.4, 0.05)
        measured = Cost(expected.cpu_seconds * factor * 0.2, round(expected.memory_bytes * factor), 0)
        if number >= 20 and number % 9 != 5:
            predicted = model.predict(job, 1)
            errors.append(abs(predicted.memory_bytes / measured.memory_bytes - 1))
            errors.append(abs(predicted.cpu_seconds / measured.cpu_seconds - 1))
        model = model.observe(job, 1, measured)
    assert statistics.median(errors) < 0.15
    assert model.measured_count(class_of(features(), 1)) == 60


def test_observe_leaves_the_old_snapshot_alone() -> None:
    """A model is a value: what was planned with it stays reproducible."""
    model = CostModel()
    later = model.observe(features(), 1, Cost(100.0, 10**9, 10**6))
    assert model.predict(features(), 1) == prior(features())
    assert later.predict(features(), 1).memory_bytes > model.predict(features(), 1).memory_bytes
    assert model.measured_count(class_of(features(), 1)) == 0


def test_what_was_not_measured_changes_nothing() -> None:
    """Zeros mean "not measured"; they are no evidence of a small job."""
    model = CostModel().observe(features(), 1, Cost(0.0, 0, 0))
    assert model.predict(features(), 1) == prior(features())


def test_relatives_lend_their_speed_but_only_warn_of_memory() -> None:
    """A slow machine shows in classes never measured; small pictures that took little do not lower a 4K prediction."""
    model = CostModel()
    job, large = features(pixels=TINY), features(pixels=P2160)
    for _ in range(30):
        expected = prior(job)
        model = model.observe(job, 1, Cost(expected.cpu_seconds * 3, expected.memory_bytes // 2, 0))
    assert model.predict(large, 1).cpu_seconds > 2 * prior(large).cpu_seconds
    assert model.predict(large, 1).memory_bytes == prior(large).memory_bytes


def test_margin_and_spread_shrink_with_knowledge() -> None:
    """What was never measured gets the whole margin and a wide range; what is known well gets little."""
    model, job = CostModel(), features()
    cost_class = class_of(job, 1)
    assert model.memory_margin(cost_class, 1.15) == pytest.approx(1.15)
    assert model.factors(cost_class, 1.15).spread == pytest.approx(UNKNOWN_SPREAD)
    for _ in range(20):
        model = model.observe(job, 1, prior(job))
    assert 1.0 < model.memory_margin(cost_class, 1.15) < 1.05
    assert 1.0 < model.factors(cost_class, 1.15).spread < 1.3


@given(
    st.lists(st.tuples(st.floats(1e-6, 1e9), st.integers(1, 1 << 50), st.integers(1, 1 << 50)), min_size=1, max_size=80)
)
def test_predictions_stay_sane_whatever_is_measured(measured: list[tuple[float, int, int]]) -> None:
    """No measurement moves a prediction by more than fifty times, and the history stays bounded."""
    model = CostModel()
    for cpu, memory, disk in measured:
        model = model.observe(features(), 1, Cost(cpu, memory, disk))
    predicted, expected = model.predict(features(), 1), prior(features())
    assert expected.memory_bytes / 51 < predicted.memory_bytes < expected.memory_bytes * 51
    assert expected.cpu_seconds / 51 < predicted.cpu_seconds < expected.cpu_seconds * 51
    assert all(len(h.memory) <= 64 for h in model.classes.values())


def with_memory(model: CostModel, job: CostFeatures, factor: float, times: int) -> CostModel:
    """The model after so many attempts that took `factor` of their prior's memory."""
    known = prior(job)
    for _ in range(times):
        taken = Cost(known.cpu_seconds, round(known.memory_bytes * factor), known.disk_bytes)
        model = model.observe(job, 1, taken)
    return model


def test_a_long_history_of_less_memory_does_not_outweigh_what_the_latest_attempts_took() -> None:
    """A model that learned the wrong thing twenty times is right again after three attempts."""
    job = features(pixels=P1080)
    model = with_memory(with_memory(CostModel(), job, 0.25, 20), job, 1.0, 3)
    assert model.predict(job, 1).memory_bytes == pytest.approx(prior(job).memory_bytes, rel=0.1)


def test_one_odd_attempt_among_the_latest_moves_nothing() -> None:
    """A single file that took four times as much is an outlier, also when it is the newest."""
    job = features(pixels=P1080)
    model = with_memory(with_memory(CostModel(), job, 1.0, 10), job, 4.0, 1)
    assert model.predict(job, 1).memory_bytes == pytest.approx(prior(job).memory_bytes, rel=0.02)


def test_a_running_file_that_outgrew_its_prediction_is_believed_at_once() -> None:
    """Others of its size are predicted to take at least as much, at any number of threads; other sizes are not."""
    job, other = features(pixels=P1080), features(pixels=P720)
    wrong = with_memory(CostModel(), job, 0.25, 20)
    taken = prior(job).memory_bytes
    model = wrong.glimpse(job, 1, taken, settled=False)
    assert model.predict(job, 1).memory_bytes == pytest.approx(taken, rel=0.01)
    assert model.predict(job, 4).memory_bytes == pytest.approx(prior(job, 4).memory_bytes, rel=0.01)
    assert model.predict(other, 1) == wrong.predict(other, 1)


def test_a_running_file_below_its_prediction_teaches_nothing_until_it_has_settled() -> None:
    """One that still grows may take all that was predicted; one that does not is believed, and its margin is less."""
    job = features(pixels=P1080)
    cost_class, known = class_of(job, 1), prior(job).memory_bytes
    growing = CostModel().glimpse(job, 1, known // 2, settled=False)
    assert growing.predict(job, 1).memory_bytes == known
    assert growing.factors(cost_class, 1.5) == CostModel().factors(cost_class, 1.5)
    settled = growing.glimpse(job, 1, known * 3 // 4, settled=True)
    assert settled.predict(job, 1).memory_bytes == pytest.approx(known * 0.75, rel=0.01)
    assert settled.factors(cost_class, 1.5).memory < 0.75 * 1.5


def test_what_is_no_news_is_the_same_model() -> None:
    """A file that takes what was seen before leaves nothing to re-price."""
    job = features(pixels=P1080)
    model = CostModel().glimpse(job, 1, 600 * MIB, settled=True)
    assert model.glimpse(job, 1, 500 * MIB, settled=True) is model


def test_glimpses_give_way_to_what_attempts_took() -> None:
    """A running file that took far more than others is forgotten once enough others have ended."""
    job = features(pixels=P1080)
    model = CostModel().glimpse(job, 1, 4 * prior(job).memory_bytes, settled=False)
    assert with_memory(model, job, 1.0, 2).predict(job, 1).memory_bytes > 3 * prior(job).memory_bytes
    later = with_memory(model, job, 1.0, 3)
    assert later.running == {}
    assert later.predict(job, 1).memory_bytes == pytest.approx(prior(job).memory_bytes, rel=0.01)
