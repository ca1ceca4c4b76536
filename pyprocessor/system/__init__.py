"""What do the machine and our processes use? The only reader of psutil, /proc, control groups and pressure (PSI).

On macOS, which has neither control groups nor PSI, the readings come from psutil alone.
"""
