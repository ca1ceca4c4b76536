"""How far has an ffmpeg got? Its `-progress` reports, read as they come."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = frozenset(("frame", "out_time_us", "speed", "total_size", "drop_frames", "progress"))
_LINE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Progress:
    """ffmpeg's latest report. `speed` is media seconds per second, None until known; `done` marks its last report."""

    frame: int = 0
    out_time_seconds: float = 0.0
    """Of the furthest packet written; 0 until there is one."""
    speed: float | None = None
    total_size_bytes: int = 0
    drop_frames: int = 0
    done: bool = False


class ReportReader:
    """Reads ffmpeg's `-progress` lines; a report is whole at its `progress=` line."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self._open = b""
        self._values: dict[str, str] = {}

    def feed(self, data: bytes) -> bool:
        """Read the next bytes; True if they completed a report that got further than the one before."""
        *lines, self._open = (self._open + data).split(b"\n")
        further = False
        for line in lines:
            name, _, value = line.decode("ascii", "replace").partition("=")
            if name in _NAMES:
                self._values[name] = value.strip()
            if name == "progress":
                report, before = self._read(), self.latest
                further |= before is None or report.done or _position(report) > _position(before)
                self.latest = report
                self._values = {}
        # Bounded: bytes without line ends are no progress report.
        self._open = self._open[-_LINE_BYTES:]
        return further

    def _read(self) -> Progress:
        micros, total = self._number("out_time_us"), self._number("total_size")
        before = self.latest or Progress()
        return Progress(
            frame=int(self._number("frame") or 0),
            out_time_seconds=before.out_time_seconds if micros is None else micros / 1e6,
            speed=self._number("speed"),
            total_size_bytes=before.total_size_bytes if total is None else int(total),
            drop_frames=int(self._number("drop_frames") or 0),
            done=self._values["progress"] == "end",
        )

    def _number(self, name: str) -> float | None:
        """The value of `name`; None where it is missing or, as ffmpeg writes, `N/A`."""
        try:
            return float(self._values[name].removesuffix("x"))
        except (KeyError, ValueError):
            return None


def _position(progress: Progress) -> tuple[float, ...]:
    return (progress.frame + progress.drop_frames, progress.out_time_seconds, progress.total_size_bytes)
