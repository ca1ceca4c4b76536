"""What is in the small text files of /proc, /sys and control groups?"""

from __future__ import annotations

_BLOCK = 1 << 16


def read(path: str) -> bytes | None:
    """Return a whole file; None where there is none, or its process or control group has just gone."""
    try:
        with open(path, "rb", buffering=0) as file:
            text = b""
            # The kernel gives less than was asked for where the next line does not fit, so only nothing is the end.
            while block := file.read(_BLOCK):
                text += block
    except OSError:
        return None
    return text


def number(path: str) -> int | None:
    """Return the number in a file of one; None where it is missing or `max`."""
    stripped = (read(path) or b"").strip()
    return int(stripped) if stripped.lstrip(b"-").isdigit() else None


def entry(text: bytes | None, key: bytes, missing: int = 0) -> int:
    """Return the number behind `key`, such as "VmHWM:", in lines of "key number"."""
    text, begin = text or b"", 0
    while (at := text.find(key, begin)) >= 0:
        begin = at + len(key)
        if (at == 0 or text[at - 1 : at] == b"\n") and text[begin : begin + 1] in (b" ", b"\t"):
            return int(text[begin : begin + 32].split(None, 1)[0])
    return missing


def average_of_10_seconds(text: bytes | None, kind: bytes) -> float | None:
    """Return avg10 of a pressure file's line `some` or `full`, percent of the time; None where it is not there."""
    for line in (text or b"").splitlines():
        if line.startswith(kind + b" avg10="):
            return float(line.split()[1].removeprefix(b"avg10="))
    return None
