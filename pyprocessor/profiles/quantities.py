"""What do sizes, durations, bit rates, frame rates and times of day mean, as people write them?"""

from __future__ import annotations

import math
import re
from datetime import time
from fractions import Fraction

_NUMBER = r"(?P<number>\d+(?:\.\d+)?|\.\d+)"
_SIZE = re.compile(rf"{_NUMBER}\s*(?:(?P<prefix>[kmgt])(?P<suffix>ib|b)?|b)?", re.IGNORECASE | re.ASCII)
_BIT_RATE = re.compile(rf"{_NUMBER}\s*(?P<prefix>[kmg]?)(?:bps|bit/s|bits/s|b/s)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(
    r"(?:(?P<d>\d+(?:\.\d+)?)\s*d\s*)?(?:(?P<h>\d+(?:\.\d+)?)\s*h\s*)?(?:(?P<m>\d+(?:\.\d+)?)\s*m\s*)?"
    r"(?:(?P<s>\d+(?:\.\d+)?)\s*s?)?",
    re.IGNORECASE | re.ASCII,
)
_RATIO = re.compile(r"(\d+)\s*[/:]\s*(\d+)", re.ASCII)
_TIME_OF_DAY = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)
_LINES = re.compile(r"(\d+)[pi]?", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_NAMED_LINES = {"2k": 1440, "4k": 2160, "8k": 4320}
_LONGEST_TEXT = 64
_NTSC_TOLERANCE = Fraction(6, 1000)
"""People write 23.976, 23.98, 29.97, 59.94: each within 6/1000 of n*1000/1001."""
_NTSC_BASES = (24, 30, 48, 60, 120)

MIN_FPS = Fraction(1, 10)
"""Below it, a film has fewer pictures than anybody calls one, and short ones would have none."""
MAX_FPS = 240
"""SVT-AV1 takes no more, and few cameras make more."""


def parse_size(value: object) -> int:
    """Bytes from an int or a text such as `500M`, `6G`, `1.5GiB`.

    K, M, G, T alone or with `iB` are powers of 1024, with a bare `B` powers of 1000. Raises ValueError.
    """
    return _scaled(value, _SIZE, "must be a size: bytes as a whole number, or a text such as 500M, 6G or 1.5GiB")


def parse_bit_rate(value: object) -> int:
    """Bits per second from an int or a text such as `5000k`, `2.5M` (k = 1000). Raises ValueError."""
    rule = "must be a bit rate: bits per second as a whole number, or a text such as 5000k or 2.5M"
    return _scaled(value, _BIT_RATE, rule)


def _scaled(value: object, expression: re.Pattern[str], rule: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = expression.fullmatch(_text(value, rule))
    if found is None:
        raise ValueError(rule)
    base = 1024 if expression is _SIZE and (found["suffix"] or "").lower() != "b" else 1000
    return int(Fraction(found["number"]) * base ** _POWERS[(found["prefix"] or "").lower()])


def parse_duration(value: object) -> float:
    """Seconds from a number or a text such as `90s`, `2m`, `1h30m`. Raises ValueError."""
    rule = "must be a duration: seconds as a number, or a text such as 90s, 2m or 1h30m"
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    text = _text(value, rule)
    found = _DURATION.fullmatch(text)
    if found is None or not text:
        raise ValueError(rule)
    return float(sum(Fraction(found[unit]) * seconds for unit, seconds in _SECONDS.items() if found[unit]))


def parse_frame_rate(value: object) -> Fraction:
    """Frames per second, from 0.1 to 240, out of 30, 23.976 or `30000/1001`.

    Decimals near an NTSC rate become it exactly: 29.97 is 30000/1001. Raises ValueError.
    """
    rule = f"must be a frame rate from {float(MIN_FPS)} to {MAX_FPS}: a number such as 25 or 23.976, or 30000/1001"
    if isinstance(value, Fraction):
        rate = value
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        rate = _exact_rate(Fraction(str(value)))
    else:
        text = _text(value, rule)
        ratio = _RATIO.fullmatch(text)
        if ratio is not None and int(ratio[2]):
            rate = Fraction(int(ratio[1]), int(ratio[2]))
        elif re.fullmatch(_NUMBER, text, re.ASCII):
            rate = _exact_rate(Fraction(text))
        else:
            raise ValueError(rule)
    if not MIN_FPS <= rate <= MAX_FPS:
        raise ValueError(rule)
    return rate


def parse_lines(value: str) -> int:
    """The height of a rendition in lines from `1080p`, `1080` or `4k`. Raises ValueError."""
    text = value.strip().lower()
    found = _LINES.fullmatch(text)
    lines = _NAMED_LINES.get(text) or (int(found[1]) if found and len(text) <= _LONGEST_TEXT else 0)
    if not 16 <= lines <= 16384:
        raise ValueError("must name a height from 16 to 16384 lines, such as 1080p, 720 or 4k")
    return lines


def parse_time_of_day(value: object) -> time:
    """A local time of day from a text such as `22:00` or `7:30`; `24:00` is midnight. Raises ValueError."""
    # YAML 1.1 reads 22:30 without quotes as the number 1350.
    rule = 'must be a time of day from 00:00 to 24:00 as a text, such as "07:00"'
    found = _TIME_OF_DAY.fullmatch(_text(value, rule))
    if found is None:
        raise ValueError(rule)
    hour, minute = int(found[1]), int(found[2])
    if (hour, minute) == (24, 0):
        return time(0, 0)
    if hour > 23 or minute > 59:
        raise ValueError(rule)
    return time(hour, minute)


def parse_window(value: object) -> tuple[time, time]:
    """Start and end in local time from a text such as `22:00-06:00`. Raises ValueError."""
    rule = 'must be two times of day from 00:00 to 24:00 with a dash between them, such as "22:00-06:00"'
    start_text, dash, end_text = _text(value, rule).partition("-")
    try:
        start, end = parse_time_of_day(start_text), parse_time_of_day(end_text)
    except ValueError:
        raise ValueError(rule) from None
    if not dash or start == end:
        raise ValueError(f"{rule}; start and end must differ" if dash else rule)
    return start, end


def time_text(moment: time) -> str:
    """`07:00`."""
    return f"{moment:%H:%M}"


def window_text(window: tuple[time, time]) -> str:
    """`22:00-06:00`."""
    return f"{time_text(window[0])}-{time_text(window[1])}"


def _text(value: object, rule: str) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError(rule)
    return value.strip()


def _exact_rate(rate: Fraction) -> Fraction:
    if rate.denominator != 1:
        for base in _NTSC_BASES:
            ntsc = Fraction(base * 1000, 1001)
            if abs(rate - ntsc) <= _NTSC_TOLERANCE:
                return ntsc
    return rate
