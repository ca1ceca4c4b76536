"""Which errors end a pipeline, and with which exit code?"""

from __future__ import annotations

from pyprocessor.errors import ExitCode, PyprocessorError


class PipelineError(PyprocessorError):
    """The source, the output or what was asked for is such that no chunks can be made, or no more of them."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
