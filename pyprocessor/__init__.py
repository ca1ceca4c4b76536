"""pyprocessor: a multiprocessing video batch engine that drives ffmpeg."""

__version__ = "0.1.0"
