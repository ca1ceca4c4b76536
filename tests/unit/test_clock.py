"""The mended clock: jumps are taken out as ffmpeg takes them out, pauses are left."""

from __future__ import annotations

import pytest

from pyprocessor.inspect.clock import USUAL_THRESHOLD, Clock, gaps_in, jitter_seconds, threshold_for

VIDEO, SOUND = 0, 1


def mended(packets: list[tuple[int, float]], length: float = 0.04, threshold: float = USUAL_THRESHOLD) -> list[float]:
    """The times of these packets (stream, time) once they are mended."""
    clock = Clock(threshold)
    return [round(time + clock.advance(stream, time, length), 3) for stream, time in packets]


@pytest.mark.parametrize("jump", [-0.5, -7.0, -3600.0, 20.0, 95_000.0])
def test_a_jump_of_the_clock_is_taken_out(jump: float) -> None:
    """Whichever way it goes, the next packet follows on the last, and so do those of the other stream."""
    before = [(VIDEO, 1.0), (SOUND, 1.0), (VIDEO, 1.04), (SOUND, 1.04)]
    after = [(VIDEO, 1.08 + jump), (SOUND, 1.08 + jump), (VIDEO, 1.12 + jump)]
    assert mended(before + after) == [1.0, 1.0, 1.04, 1.04, 1.08, 1.08, 1.12]


def test_a_short_gap_stays() -> None:
    """Six seconds without a packet are six seconds."""
    assert mended([(VIDEO, 0.0), (VIDEO, 6.0)]) == [0.0, 6.0]


def test_a_packet_without_a_time_moves_nothing() -> None:
    """It takes the time after the one before it."""
    clock = Clock()
    clock.advance(VIDEO, 0.0, 5.0)
    assert clock.advance(VIDEO, None, 5.0) == 0.0
    assert clock.advance(VIDEO, 9.0, 5.0) == 0.0
    assert clock.advance(VIDEO, 9.0 - 0.2, 5.0) != 0.0


def lecture(pause: float) -> list[tuple[int, float, float]]:
    """Pictures that pause for a while in the middle, while the sound goes on."""
    sound = [(SOUND, n * 0.02, 0.02) for n in range(int((pause + 4) / 0.02))]
    shown = [0.04 * n for n in range(50)] + [2 + pause + 0.04 * n for n in range(50)]
    packets = sound + [(VIDEO, at, 0.04) for at in shown]
    return sorted(packets, key=lambda packet: packet[1])


def test_a_pause_that_the_sound_covers_is_no_jump() -> None:
    """ffmpeg's limit is raised beyond it, and everything keeps its time."""
    packets = lecture(30.0)
    pauses, jumps = gaps_in(packets, {VIDEO: 0.04, SOUND: 0.02})
    assert (len(pauses), jumps) == (1, [])
    threshold = threshold_for(pauses, jumps)
    assert threshold > 30
    clock = Clock(threshold)
    assert not any(clock.advance(*packet) for packet in packets)


def test_a_jump_of_all_streams_is_no_pause() -> None:
    """Nothing goes on meanwhile: the limit stays, and the hole is closed."""
    both = [(stream, n * 0.04 + (40.0 if n > 50 else 0.0), 0.04) for n in range(100) for stream in (VIDEO, SOUND)]
    pauses, jumps = gaps_in(both, {VIDEO: 0.04, SOUND: 0.04})
    assert (pauses, len(jumps)) == ([], 2)
    assert threshold_for(pauses, jumps) == USUAL_THRESHOLD


def test_slides_alone_are_no_jumps() -> None:
    """A film whose pictures are always far apart, without any sound."""
    slides = [(VIDEO, n * 15.0, 0.04) for n in range(8)]
    assert threshold_for(*gaps_in(slides, {VIDEO: 15.0})) > 15


def test_a_first_picture_late_in_the_file_is_no_jump() -> None:
    """The end of a picture shows only where the next begins, long after sound of later times."""
    packets = [(SOUND, n * 0.02, 0.02) for n in range(800)] + [(VIDEO, 0.0, 15.0)]
    assert threshold_for(*gaps_in(packets, {VIDEO: 0.0, SOUND: 0.02})) > 16


def test_between_a_pause_and_a_longer_jump_lies_the_limit() -> None:
    """Both are treated as what they are; a jump shorter than a pause stays a hole in all streams."""
    assert 20 < threshold_for([20.0], [24.0]) < 24
    assert threshold_for([20.0], [12.0]) == pytest.approx(30.0)


def jitter(late: dict[int, float], packets: int = 200, length: float = 0.02) -> float:
    """The jitter of sound whose packets are so many seconds late, by their numbers."""
    return round(jitter_seconds([n * length + late.get(n, 0.0) for n in range(packets)], [length] * packets), 3)


def test_packets_that_come_late_for_a_while_jitter() -> None:
    """By as much as they are late."""
    assert jitter({}) == 0.0
    assert jitter(dict.fromkeys(range(0, 200, 2), 0.04)) == 0.04
    assert jitter(dict.fromkeys(range(50, 55), 0.03)) == 0.03
    assert jitter(dict.fromkeys(range(0, 200, 3), 0.001)) == 0.0


@pytest.mark.parametrize("place", [1, 2, 10, 100, 199])
def test_a_gap_that_stays_is_no_jitter(place: int) -> None:
    """Wherever it is."""
    assert jitter(dict.fromkeys(range(place, 200), 0.08)) == 0.0


def test_without_lengths_nothing_is_known_of_jitter() -> None:
    """Nor without times."""
    assert jitter_seconds([0.0, 0.1, 0.3], [0.0, 0.0, 0.0]) == 0.0
    assert jitter_seconds([0.0, float("nan"), 0.3], [0.1, 0.1, 0.1]) == 0.0
