"""A process that takes memory away, inside a control group.

`python -m tests.process.memory_hog FOLDER VERSION LIMIT` obeys lines on its standard input, "grab BYTES CEILING" and
"let go", and ends with the input. It grabs in small steps and only while the group's usage is below CEILING, so that it
is never the one for whom the kernel kills; what others free below that it takes too, until it holds BYTES.
"""

from __future__ import annotations

import selectors
import sys
from pathlib import Path

from tests.process.cgroups import MIB, MemoryGroup

STEP_BYTES = 4 * MIB
STEP_SECONDS = 0.02
"""Some 200 MiB a second: quick for a process that grows, slow for a governor that looks 20 times a second."""
_PAGE = 4096


def main(folder: str, version: str, limit: str) -> None:
    """Obey until the input ends."""
    group = MemoryGroup(Path(folder), int(version), int(limit))
    held: list[bytearray] = []
    wanted, ceiling = 0, 0
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            grabbing = len(held) * STEP_BYTES < wanted
            if selector.select(STEP_SECONDS if grabbing else None):
                line = sys.stdin.readline()
                if not line:
                    return
                if line.startswith("grab "):
                    wanted, ceiling = (int(word) for word in line.split()[1:])
                else:
                    wanted = 0
                    held.clear()
            elif grabbing and group.used_bytes() + STEP_BYTES <= ceiling:
                step = bytearray(STEP_BYTES)
                step[::_PAGE] = b"\1" * (STEP_BYTES // _PAGE)  # a page is taken when it is written to
                held.append(step)


if __name__ == "__main__":
    main(*sys.argv[1:])
