"""Sizes, durations, bit rates, frame rates and times of day as people write them."""

from __future__ import annotations

from datetime import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.profiles.quantities import (
    hours_text,
    parse_bit_rate,
    parse_duration,
    parse_frame_rate,
    parse_lines,
    parse_size,
    parse_time_of_day,
    parse_window,
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (1234, 1234),
        ("1234", 1234),
        ("500M", 500 * 1024**2),
        ("6G", 6 * 1024**3),
        ("1.5GiB", 1.5 * 1024**3),
        ("2 kb", 2000),
        ("10B", 10),
    ],
)
def test_sizes(written: object, expected: float) -> None:
    """Bare units and `iB` are powers of 1024, a bare `B` is a power of 1000."""
    assert parse_size(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [(90, 90), (0.5, 0.5), ("90s", 90), ("90", 90), ("2m", 120), ("1h30m", 5400), ("1h 5s", 3605), ("1.5m", 90)],
)
def test_durations(written: object, expected: float) -> None:
    """Numbers are seconds; units add up."""
    assert parse_duration(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"), [(800_000, 800_000), ("5000k", 5_000_000), ("2.5M", 2_500_000), ("128 kbps", 128_000)]
)
def test_bit_rates(written: object, expected: int) -> None:
    """Bit rates use powers of 1000."""
    assert parse_bit_rate(written) == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (30, Fraction(30)),
        (23.976, Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        (29.97, Fraction(30000, 1001)),
        (59.94, Fraction(60000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        (12.5, Fraction(25, 2)),
        (Fraction(25), Fraction(25)),
    ],
)
def test_frame_rates(written: object, expected: Fraction) -> None:
    """Decimals near an NTSC rate become it exactly, others stay as they are."""
    assert parse_frame_rate(written) == expected


@pytest.mark.parametrize("parse", [parse_size, parse_duration, parse_bit_rate, parse_frame_rate])
@pytest.mark.parametrize("written", ["", "x", "-1", -1, True, None, "1e3", "5 X", [], "9" * 100, "١"])
def test_nonsense_is_refused_with_a_rule(parse: object, written: object) -> None:
    """What is no quantity is a ValueError whose text begins with `must`."""
    assert callable(parse)
    with pytest.raises(ValueError, match=r"^must be"):
        parse(written)


@pytest.mark.parametrize("written", [0, 241, "30/0", "0/5", float("nan"), float("inf")])
def test_impossible_frame_rates(written: object) -> None:
    """Zero, division by zero, and more than 240 frames per second are refused."""
    with pytest.raises(ValueError, match="240"):
        parse_frame_rate(written)


def test_heights() -> None:
    """Heights of renditions have several spellings."""
    assert [parse_lines(text) for text in ("1080p", "720", "4K", " 480P ")] == [1080, 720, 2160, 480]
    for text in ("", "p", "8", "99999", "tall"):
        with pytest.raises(ValueError, match="height"):
            parse_lines(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00:00", time(0)), ("7:05", time(7, 5)), (" 23:59 ", time(23, 59)), ("24:00", time(0))],
)
def test_times_of_day(text: str, expected: time) -> None:
    """Hours with one or two digits, minutes with two; 24:00 is midnight."""
    assert parse_time_of_day(text) == expected


@pytest.mark.parametrize("value", ["", "7", "7:5", "25:00", "24:01", "12:60", "-1:00", "07:00:00", 700, None, "٠٧:٠٠"])
def test_what_is_no_time_of_day(value: object) -> None:
    """Everything else is refused, with an example."""
    with pytest.raises(ValueError, match='such as "07:00"'):
        parse_time_of_day(value)


@given(st.times(), st.times())
def test_windows_read_back(start: time, end: time) -> None:
    """A window as it is written in a file is the same window; one without length is refused."""
    start, end = start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0)
    if start == end:
        with pytest.raises(ValueError, match="must differ"):
            parse_window(hours_text((start, end)))
    else:
        assert parse_window(hours_text((start, end))) == (start, end)
