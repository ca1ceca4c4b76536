"""CPU time by content: what packets tell of a source, and tables that were fitted to real clips."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.costs.job_prior import cpu_per_pixel, decoding_seconds, detail, filtering_seconds, prior_cost
from pyprocessor.models import CostFeatures

P720 = 1280 * 720
JOB = CostFeatures(
    "transcode", "libx264", "medium", P720, P720, "yuv420p", 300, 10, 2_000_000, source_codec="h264",
    source_bits_per_pixel=0.05,
)  # fmt: skip
ENCODERS = [
    ("libx264", "medium"), ("libx264", "placebo"), ("libx265", "superfast"), ("libsvtav1", "8"), ("libsvtav1", "0"),
    ("libvpx-vp9", None), ("libaom-av1", "4"), ("mpeg4", None), ("prores_ks", None), ("libnew", "fancy"),
]  # fmt: skip


def seconds(job: CostFeatures) -> float:
    """Predicted CPU-seconds with nothing learned."""
    return prior_cost(job, 1).cpu_seconds


@pytest.mark.parametrize(("encoder", "preset"), ENCODERS)
@given(bits=st.lists(st.floats(0, 1e6), min_size=2, max_size=2).map(sorted))
def test_more_bits_never_mean_less_work(encoder: str, preset: str | None, bits: list[float]) -> None:
    """The more the source's encoder had to write, the more there is to encode; absurd figures stay within bounds."""
    job = replace(JOB, encoder=encoder, preset=preset)
    few, many = (seconds(replace(job, source_bits_per_pixel=value)) for value in bits)
    assert 0 < few <= many
    assert many < 20 * few


def test_what_real_clips_took() -> None:
    """Four clips of 720p with one thread: two are met within 30 percent, and the easier a clip is the less it takes."""
    still, talk, traffic, animals = (
        seconds(replace(JOB, frames=frames, source_bits_per_pixel=bits, duration_seconds=frames / 25)) / frames
        for frames, bits in ((250, 0.0001), (1272, 0.0077), (576, 0.0267), (300, 0.0644))
    )
    assert still < talk < traffic < animals
    assert (traffic * 576, animals * 300) == (pytest.approx(11.5, rel=0.3), pytest.approx(9.0, rel=0.3))


def test_a_bit_is_worth_what_its_codec_makes_of_it() -> None:
    """The same number of bits means more in HEVC than in H.264, and far less where all pictures are keyframes."""
    h264, hevc, mjpeg = (detail(replace(JOB, source_codec=name)) for name in ("h264", "hevc", "mjpeg"))
    assert mjpeg < h264 == 1.0 < hevc
    assert detail(replace(JOB, source_keyframes_only=True)) < h264
    assert detail(replace(JOB, source_codec="new", source_keyframes_only=True)) < detail(
        replace(JOB, source_codec="new")
    )


def test_nothing_known_of_a_source_means_typical() -> None:
    """Where its packets tell nothing the pictures count as usual ones, whatever the codec."""
    assert detail(replace(JOB, source_bits_per_pixel=None)) == 1.0
    assert seconds(replace(JOB, source_bits_per_pixel=None)) == seconds(JOB)


def test_decoding_follows_codec_pictures_and_bytes() -> None:
    """HEVC takes more than H.264 and that more than MPEG-2; more bytes and larger pictures take more."""
    by_codec = [decoding_seconds(replace(JOB, source_codec=name)) for name in ("mpeg2video", "h264", "hevc")]
    assert by_codec == sorted(by_codec)
    assert decoding_seconds(replace(JOB, source_bytes=10**8)) > 5 * decoding_seconds(JOB)
    assert decoding_seconds(replace(JOB, source_pixels=4 * P720)) > 2 * decoding_seconds(JOB)


def test_filters_cost_what_they_do() -> None:
    """Tone mapping costs most, then deinterlacing and scaling; a picture that stays as it is costs nothing."""
    scaled = filtering_seconds(replace(JOB, source_pixels=4 * P720))
    deinterlaced = filtering_seconds(replace(JOB, deinterlaced=True))
    mapped = filtering_seconds(replace(JOB, tone_mapped=True))
    assert filtering_seconds(JOB) == 0 < deinterlaced < scaled < mapped


def test_sound_costs_by_its_channels() -> None:
    """A film without sound costs nothing for it, and six channels three times what two do."""
    silent, stereo, surround = (seconds(replace(JOB, audio_channels=n, duration_seconds=1000)) for n in (0, 2, 6))
    assert surround - silent == pytest.approx(3 * (stereo - silent))


def test_a_lower_crf_takes_longer() -> None:
    """x264 at CRF 28 takes 0.74 of what it takes at 20 (median of fifteen clips); unknown ones count as usual."""
    usual, coarse = (cpu_per_pixel("libx264", "medium", P720, 1.0, crf) for crf in (20, 28))
    assert coarse / usual == pytest.approx(0.74, rel=0.05)
    assert cpu_per_pixel("libx264", "medium", P720, 1.0) == usual


@pytest.mark.parametrize(
    ("encoder", "presets"),
    [
        ("libx264", ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")),
        ("libx265", ("ultrafast", "veryfast", "fast", "medium", "slow", "slower", "veryslow", "placebo")),
        ("libsvtav1", ("12", "11", "10", "9", "8", "7", "6", "5", "4", "3", "2")),
        ("libvpx-vp9", ("5", "4", "3", "2", "1", "0")),
    ],
)
def test_slower_presets_are_reckoned_slower(encoder: str, presets: tuple[str, ...]) -> None:
    """Also those that nobody measured, between others and beyond the last."""
    paces = [cpu_per_pixel(encoder, preset, P720, 1.0) for preset in presets]
    assert paces == sorted(paces)


def test_encoders_that_were_not_measured() -> None:
    """A new one counts as a heavy one, a chip's as next to nothing, whatever the pictures show."""
    assert cpu_per_pixel("libnew", "fancy", P720, 1.0) > cpu_per_pixel("libx264", "slow", P720, 1.0)
    assert cpu_per_pixel("h264_nvenc", "p4", P720, 20.0) < cpu_per_pixel("libx264", "ultrafast", P720, 1.0)
