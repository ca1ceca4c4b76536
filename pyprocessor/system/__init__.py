"""What do the machine and our processes use? The only reader of psutil, /proc, control groups and pressure (PSI).

On macOS and Windows, which have neither control groups nor PSI, the readings come from psutil alone.
"""

from __future__ import annotations

from pyprocessor.system.cgroups import core_count
from pyprocessor.system.filesystems import NETWORK_FILE_SYSTEMS, network_filesystem, shares_memory
from pyprocessor.system.processes import (
    be_polite,
    bounded_memory,
    is_alive,
    kill_group,
    process_identity,
    wait_gone,
)
from pyprocessor.system.sampler import Sampler
from pyprocessor.system.sockets import address as socket_address
from pyprocessor.system.threads import thread_seconds, waits_for_disk

__all__ = [
    "NETWORK_FILE_SYSTEMS",
    "Sampler",
    "be_polite",
    "bounded_memory",
    "core_count",
    "is_alive",
    "kill_group",
    "network_filesystem",
    "process_identity",
    "shares_memory",
    "socket_address",
    "thread_seconds",
    "wait_gone",
    "waits_for_disk",
]
