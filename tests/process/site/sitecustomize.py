"""Read by every Python process of a run under test.

SIGUSR1 has it end with exit code 0, as a library might. With `STOP_AT_GRANT` in its environment, a path, the first
batch process that was granted a publish stops itself before it does anything of it, and writes its pid to that file.
With `STOP_AT_COPY` the first process does so that has copied a product, before it compares it. With `LIST_SLOWLY`,
a path, listing a folder takes half a second until there is such a file.
"""

import os
import signal
import sys
import time

signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))


def stop_at_grant(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: the first step of a publish opens the journal's log, which nobody else does in Python."""
    if event == "open" and isinstance(arguments[0], bytes) and arguments[0].endswith(b"/journal.sqlite3-wal"):
        stop("STOP_AT_GRANT")


def stop_at_copy(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: a copy is opened to be compared."""
    if (
        event == "open"
        and isinstance(arguments[0], str)
        and arguments[1] in ("r", "rb")
        and "/partial/" in arguments[0]
    ):
        stop("STOP_AT_COPY")


def list_slowly(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: a folder is listed."""
    if event == "os.scandir" and not os.path.exists(os.environ["LIST_SLOWLY"]):
        time.sleep(0.5)


def stop(name: str) -> None:
    """Stop this process, unless another one has stopped so."""
    try:
        mark = os.open(os.environ[name], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.write(mark, str(os.getpid()).encode())
    os.close(mark)
    os.kill(os.getpid(), signal.SIGSTOP)


for hook, name in ((stop_at_grant, "STOP_AT_GRANT"), (stop_at_copy, "STOP_AT_COPY"), (list_slowly, "LIST_SLOWLY")):
    if name in os.environ:
        sys.addaudithook(hook)
