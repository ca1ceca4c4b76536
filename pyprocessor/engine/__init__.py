"""How does a run go? One loop that finds work, runs it in batch processes and journals every step."""
