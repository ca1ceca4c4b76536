"""Giving a whole verified folder (a playlist with its segments) its final name."""

from __future__ import annotations

import errno
import os

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.os_errors import refusal
from pyprocessor.publish.durable import copy_tree, make_folders, sync_folder, sync_tree, temporary_beside
from pyprocessor.publish.partials import OLD_SUFFIX, discard, note_copy
from pyprocessor.publish.renames import exchange, rename_exclusive

_WISH = "could not be given its name"


def exchange_folder(staged: bytes, final: bytes) -> None:
    """Gives a staged folder its final name, in place of the folder that may lie there, which is removed after.

    `staged` lies among the partials, so that a sweep clears whatever a kill leaves. On Linux the two are swapped in one
    step. Elsewhere the old folder is moved away first: a kill between the two steps leaves the final name free, and the
    old content is then cleared with the partials.

    Raises PublishError; the old folder is then still there.
    """
    try:
        sync_tree(staged)
        parent = os.path.dirname(final)
        make_folders(parent)
        try:
            _take_name(staged, final)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_across(staged, final)
        sync_folder(parent)
    except OSError as error:
        raise refusal(error, final, _WISH) from error


def _take_name(staged: bytes, final: bytes) -> None:
    """Afterwards `final` has the staged content, and nothing is left of the old."""
    try:
        rename_exclusive(staged, final)
    except FileExistsError:
        if not os.path.isdir(final):
            raise PublishError(
                FailureKind.PERMISSION, f"{display(final)} {_WISH}: a file of that name lies there; move it away."
            ) from None
        old = staged if exchange(staged, final) else _replace_in_two_steps(staged, final)
        discard(old)


def _replace_in_two_steps(staged: bytes, final: bytes) -> bytes:
    old = staged + OLD_SUFFIX
    os.rename(final, old)
    try:
        os.rename(staged, final)
    except OSError:
        os.rename(old, final)
        raise
    return old


def _copy_across(staged: bytes, final: bytes) -> None:
    temporary = temporary_beside(final)
    note = note_copy(staged, temporary)
    try:
        copy_tree(staged, temporary)
        _take_name(temporary, final)
    except (OSError, PublishError):
        discard(temporary)
        discard(note)
        raise
    discard(staged)
    discard(note)
