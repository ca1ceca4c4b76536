"""How do sentences and JSON documents name files and times?"""

from __future__ import annotations

import base64

from pyprocessor.models import RunSnapshot
from pyprocessor.models.wording import clock


def about(name: str, reason: str) -> str:
    """Return the reason with the name of the file it is about; both printable already."""
    return f"{name}: {reason}" if name and reason else name or reason


def eta(snapshot: RunSnapshot) -> str:
    """When the run will be done, with its band: `0:12:30 (0:10:00-0:15:40)`, `over 0:10:00`, or `unknown`."""
    low, high = snapshot.eta_low_seconds, snapshot.eta_high_seconds
    if snapshot.state.paused:
        return "when resumed"
    if snapshot.eta_seconds is None:
        return "unknown" if low is None else f"over {clock(low)}"
    if low is None or high is None:
        return clock(snapshot.eta_seconds)
    return f"{clock(snapshot.eta_seconds)} ({clock(low)}-{clock(high)})"


def path_entry(key: str, path: bytes | None) -> dict[str, str | None]:
    """A path for a JSON document: as UTF-8, or escaped together with its exact bytes under `<key>_bytes_base64`."""
    if path is None:
        return {key: None}
    try:
        return {key: path.decode("utf-8")}
    except UnicodeDecodeError:
        return {
            key: path.decode("utf-8", "backslashreplace"),
            f"{key}_bytes_base64": base64.b64encode(path).decode("ascii"),
        }


def rounded(number: float | None, digits: int = 3) -> float | None:
    """A number for a JSON document; None stays None."""
    return None if number is None else round(number, digits)
