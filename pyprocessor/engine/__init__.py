"""The engine: one loop that finds work, runs it in batch processes and remembers every step.

    scout process --found, inspected--> loop --work items, grants--> batch processes --> ffmpeg
                                          |  <--started, progressed, verified, published, ended--
                                          +--> journal (one writer), listener (progress, logs)

`states`, `retry` and `governor` decide and touch nothing; `pool` and `scout` hold processes; `worker` and `scan` run in
processes of their own; `loop` ties them together and is the only one that knows all.
"""
