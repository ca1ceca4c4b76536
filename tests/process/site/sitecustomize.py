"""Read by every Python process of a run under test.

SIGUSR1 has it end with exit code 0, as a library might. With `STOP_AT_GRANT` in its environment, a path, the first
batch process that was granted a publish stops itself before it does anything of it, and writes its pid to that file.
"""

import os
import signal
import sys

signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))


def stop_at_grant(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: the first step of a publish opens the journal's log, which nobody else does in Python."""
    if event != "open" or not isinstance(arguments[0], bytes) or not arguments[0].endswith(b"/journal.sqlite3-wal"):
        return
    try:
        mark = os.open(os.environ["STOP_AT_GRANT"], os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.write(mark, str(os.getpid()).encode())
    os.close(mark)
    os.kill(os.getpid(), signal.SIGSTOP)


if "STOP_AT_GRANT" in os.environ:
    sys.addaudithook(stop_at_grant)
