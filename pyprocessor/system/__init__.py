"""What do the machine and our processes use? The only reader of psutil, /proc, control groups and pressure (PSI).

On macOS and Windows, which have neither control groups nor PSI, the readings come from psutil alone.
"""
