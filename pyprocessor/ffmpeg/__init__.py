"""Everything that knows ffmpeg: finding it, asking it what it can do, building its command lines, running one of it."""
