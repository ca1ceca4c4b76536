"""How does a run go? One loop that finds work, runs it in batch processes and remembers every step.

inspector process --found--> loop --work items, grants--> batch processes --> ffmpeg
                              |  <--started, progressed, verified, published, ended--
                              +--> journal (one writer), listener (progress, logs)
"""
