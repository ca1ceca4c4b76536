"""The command line: the only room that knows click, exit codes and standard output."""

from pyprocessor.cli.main import main

__all__ = ["main"]
