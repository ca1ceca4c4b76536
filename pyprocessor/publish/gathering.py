"""How do files that other jobs made become a folder that is one product, without being written again?"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping

from pyprocessor.models.os_errors import publish_error

_NO_LINKS = frozenset({errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS})
"""Of file systems that have no hard links, or no more of them for this file."""


def gather(folder: bytes, files: Mapping[str, bytes]) -> None:
    """Make a folder in which these files lie under these names, too. Raises PublishError."""
    try:
        os.mkdir(folder)
        for name, path in files.items():
            placed = os.path.join(folder, name.encode("ascii"))
            try:
                os.link(path, placed, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                shutil.copyfile(path, placed, follow_symlinks=False)
    except OSError as error:
        raise publish_error(error, folder, "could not be put together") from error
