"""Read by every Python process of a run under test: SIGUSR1 has it end with exit code 0, as a library might."""

import os
import signal

signal.signal(signal.SIGUSR1, lambda *_: os._exit(0))
