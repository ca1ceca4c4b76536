"""What do sizes, durations, bit rates, frame rates and times of day mean, as people write them?"""

from __future__ import annotations

import math
import re
from datetime import time
from fractions import Fraction

_NUMBER = r"(?P<number>\d+(?:\.\d+)?|\.\d+)"
_SIZE = re.compile(rf"{_NUMBER}\s*(?:(?P<prefix>[kmgt])(?P<suffix>ib|b)?|b)?", re.IGNORECASE | re.ASCII)
_BIT_RATE = re.compile(rf"{_NUMBER}\s*(?P<prefix>[kmg]?)(?:bps|bit/s|bits/s|b/s)?", re.IGNORECASE | re.ASCII)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(
    "".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?)\s*{unit}{'?' * (unit == 's')}\s*)?" for unit in _SECONDS),
    re.IGNORECASE | re.ASCII,
)
_FRAME_RATE = re.compile(rf"(?P<count>\d+)\s*[/:]\s*(?P<over>0*[1-9]\d*)|{_NUMBER}", re.ASCII)
_LINES = re.compile(r"(\d+)[pi]?", re.IGNORECASE | re.ASCII)
CLOCK = r"(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)"
WINDOW = rf"{CLOCK}\s*-\s*{CLOCK}"
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_NAMED_LINES = {"2k": 1440, "4k": 2160, "8k": 4320}
_LONGEST_TEXT = 64
_NTSC_TOLERANCE = Fraction(6, 1000)
"""People write 23.976, 23.98, 29.97, 59.94: each within 6/1000 of n*1000/1001."""
_NTSC_BASES = (24, 30, 48, 60, 120)

MIN_FPS = Fraction(1, 10)
MAX_FPS = 240
"""SVT-AV1 takes no more, and few cameras make more."""


def _match(expression: re.Pattern[str], value: object, rule: str) -> re.Match[str]:
    found = expression.fullmatch(value.strip()) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None
    if found is None:
        raise ValueError(rule)
    return found


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
    found = _match(expression, value, rule)
    base = 1024 if expression is _SIZE and (found["suffix"] or "").lower() != "b" else 1000
    return int(Fraction(found["number"]) * base ** _POWERS[(found["prefix"] or "").lower()])


def parse_duration(value: object) -> float:
    """Seconds from a number or a text such as `90s`, `2m`, `1h30m`. Raises ValueError."""
    rule = "must be a duration: seconds as a number, or a text such as 90s, 2m or 1h30m"
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    found = _match(_DURATION, value, rule)
    if not found[0]:
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
        rate = _exact(Fraction(str(value)))
    else:
        found = _match(_FRAME_RATE, value, rule)
        rate = Fraction(int(found["count"]), int(found["over"])) if found["over"] else _exact(Fraction(found["number"]))
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
    hour, minute = map(int, _match(re.compile(CLOCK), value, rule)[0].split(":"))
    return time(hour % 24, minute)


def parse_window(value: object) -> tuple[time, time]:
    """Start and end in local time from a text such as `22:00-06:00`. Raises ValueError."""
    rule = 'must be two times of day from 00:00 to 24:00 with a dash between them, such as "22:00-06:00"'
    start, end = map(parse_time_of_day, _match(re.compile(WINDOW), value, rule)[0].split("-"))
    if start == end:
        raise ValueError(f"{rule}; start and end must differ")
    return start, end


def hours_text(hours: time | tuple[time, ...]) -> str:
    """`07:00`, or `22:00-06:00` of a window."""
    return "-".join(f"{moment:%H:%M}" for moment in (hours if isinstance(hours, tuple) else (hours,)))


def _exact(rate: Fraction) -> Fraction:
    if rate.denominator != 1:
        for base in _NTSC_BASES:
            ntsc = Fraction(base * 1000, 1001)
            if abs(rate - ntsc) <= _NTSC_TOLERANCE:
                return ntsc
    return rate
