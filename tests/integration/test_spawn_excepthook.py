"""Children of the forkserver whose engine is killed while it starts them: silent, as nothing is wrong with them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pyprocessor.workers.process import PRELOADED
from tests.waiting import DEADLINE_SECONDS

ENDS_EARLY = """
import os, sys
from multiprocessing import spawn
import pyprocessor.workers.spawn_excepthook
reader, writer = os.pipe()
os.write(writer, {orders})
os.close(writer)
spawn._main(reader, None)
"""


def ended(program: str) -> subprocess.CompletedProcess[str]:
    """A Python that ran this."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )


@pytest.mark.parametrize("orders", [b"", b"\x80\x04\x95"])
def test_orders_that_end_early_are_no_news(orders: bytes) -> None:
    """The process ends without a word, but not with success."""
    found = ended(ENDS_EARLY.format(orders=orders))
    assert (found.returncode, found.stdout, found.stderr) == (1, "", "")


def test_a_request_that_ends_early_is_no_news() -> None:
    """The engine is killed between connecting to the forkserver and sending it what a new process needs."""
    found = ended(
        "import socket, sys\n"
        "from multiprocessing import forkserver\n"
        "from pyprocessor.workers.process import warm_up\n"
        "warm_up()\n"
        "caller = socket.socket(socket.AF_UNIX)\n"
        "caller.connect(forkserver._forkserver._forkserver_address)\n"
        "caller.close()\n"
        "import os\n"
        "_, status = os.waitpid(forkserver._forkserver._forkserver_pid, 0)\n"
        "sys.exit(10 + os.waitstatus_to_exitcode(status))"
    )
    assert (found.returncode, found.stdout, found.stderr) == (11, "", "")


def test_any_other_error_is_told() -> None:
    """Also an EOFError of another place."""
    for program in ("1 / 0", "raise EOFError('elsewhere')"):
        found = ended(f"import pyprocessor.workers.spawn_excepthook\n{program}")
        assert found.returncode == 1, found.stderr
        assert "Traceback" in found.stderr


def test_the_forkserver_imports_it_first() -> None:
    """What dies while the other modules are being imported is silent, too."""
    assert PRELOADED[0] == "pyprocessor.workers.spawn_excepthook"


def test_python_looks_for_no_garbage_while_the_forkserver_imports() -> None:
    """What is imported stays, and looking through it takes a tenth of the time."""
    found = ended("import pyprocessor.workers.spawn_excepthook, gc\nprint(gc.isenabled())")
    assert (found.returncode, found.stdout) == (0, "False\n")


def test_the_command_has_a_forkserver_and_no_tracker() -> None:
    """It has neither semaphores nor shared memory that one could remove. All else works without."""
    found = ended(
        "from multiprocessing import forkserver, resource_tracker\n"
        "from pyprocessor.workers.process import dismiss, warm_up\n"
        "warm_up()\n"
        "print(forkserver._forkserver._forkserver_pid is not None, resource_tracker._resource_tracker._pid)\n"
        "dismiss()\n"
        "print(forkserver._forkserver._forkserver_pid)"
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "True None\nNone\n", "")
