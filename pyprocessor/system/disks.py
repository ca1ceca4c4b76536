"""How many bytes have the machine's disks read and written?"""

from __future__ import annotations

import os
import sys

import psutil

from pyprocessor.system.kernel import Read

_SECTOR_BYTES = 512
"""What /proc/diskstats counts in, whatever the disk's own sectors are."""

_IN_MEMORY = ("loop", "ram", "zram")
"""Names of devices that are no disks: their bytes are memory, or count for the disk that a file lies on."""


class Disks:
    """Counts bytes by disk, without partitions and what is made of other disks (RAID, LVM, encryption)."""

    def __init__(self, proc: str, sysfs: str) -> None:
        self._proc = proc
        self._sysfs = sysfs
        self._is_disk: dict[str, bool] = {}
        self._last: dict[str, int] | None = None

    def since_last(self, read: Read) -> int:
        """Return bytes read and written since the previous call; 0 at the first."""
        current = self._totals(read)
        last, self._last = self._last, current
        if last is None:
            return 0
        # A disk that is new has no share before; one whose count went back was taken out and put in again.
        return sum(max(0, total - last.get(name, total)) for name, total in current.items())

    def _totals(self, read: Read) -> dict[str, int]:
        if sys.platform != "linux":
            return _totals_by_psutil()
        totals = {}
        for line in (read(f"{self._proc}/diskstats") or b"").splitlines():
            fields = line.split(None, 10)
            if len(fields) > 10 and self._counts(os.fsdecode(fields[2])):
                totals[os.fsdecode(fields[2])] = (int(fields[5]) + int(fields[9])) * _SECTOR_BYTES
        return totals

    def _counts(self, name: str) -> bool:
        if name not in self._is_disk:
            # A partition has no folder of its own here, and what is made of other disks lists them as its slaves.
            folder = f"{self._sysfs}/block/{name.replace('/', '!')}"
            made_of_others = os.path.isdir(f"{folder}/slaves") and bool(os.listdir(f"{folder}/slaves"))
            in_memory = name.rstrip("0123456789") in _IN_MEMORY
            self._is_disk[name] = os.path.isdir(folder) and not made_of_others and not in_memory
        return self._is_disk[name]


def _totals_by_psutil() -> dict[str, int]:
    try:
        disks = psutil.disk_io_counters(perdisk=True) or {}
    except (OSError, RuntimeError, psutil.Error):
        return {}
    return {name: counters.read_bytes + counters.write_bytes for name, counters in disks.items()}
