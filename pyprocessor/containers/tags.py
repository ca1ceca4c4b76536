"""Which tags of a file state where, when and with what it was recorded?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer

MOST_TAGS = 100
LONGEST_TAG = 1000
"""Characters; a longer tag is no place, date or camera."""
UNNAMED = ("", "")
"""Stands for place tags that ffmpeg cannot be asked to leave out one by one."""

_VENDOR = re.compile(r"com\..", re.IGNORECASE)
_CAMERA = re.compile(r"(?:.*[._])?(?:make|model|manufacturer)", re.IGNORECASE)
_DATE = re.compile(r"creation_time", re.IGNORECASE)
_PLACE_WORD = re.compile(
    r"location|gps|geotag|iso6709|latitude|longitude|(?:^|[^a-z])(?:xyz|altitude|coordinates?|city|country|place)(?:[^a-z]|$)",
    re.IGNORECASE,
)
_PLACE_VALUE = re.compile(r"\s*[+-]\d{1,7}(?:\.\d*)?[+-]\d{1,8}(?:\.\d*)?(?:[+-]\d+(?:\.\d*)?)?(?:CRS\w*)?/?\s*")
"""A place as ISO 6709 writes it, such as `+52.5200+013.4050+034.000/`."""
_PLACE_INSIDE = re.compile(r"GPS(?:Latitude|Longitude|Position|Coordinates)|geo:(?:lat|lon)", re.IGNORECASE)
"""Inside a tag that holds many values, such as XMP."""
_PLACE_INSIDE_BYTES = re.compile(_PLACE_INSIDE.pattern.encode("ascii"), re.IGNORECASE)
_PICTURE_HEAD_BYTES = 256_000
_EXIF_MARKS = (b"Exif\0\0", b"eXIf")
"""Before EXIF in JPEG and PNG."""
_GPS_POINTERS = (b"\x88\x25\x00\x04", b"\x25\x88\x04\x00")
"""EXIF's tag of the GPS data, with its type, in either byte order."""


def is_vendor(key: str) -> bool:
    """Return whether `key` is a vendor's own, such as `com.apple.quicktime.model`."""
    return _VENDOR.match(key) is not None


def is_camera(key: str) -> bool:
    """Return whether `key` names the camera."""
    return _CAMERA.fullmatch(key) is not None


def is_place(key: str, value: str) -> bool:
    """Return whether a tag states a place."""
    if _PLACE_WORD.search(key) or _PLACE_INSIDE.search(value):
        return True
    return len(value) <= LONGEST_TAG and _PLACE_VALUE.fullmatch(value) is not None


def picture_has_location(picture: bytes) -> bool:
    """Return whether a cover's own metadata (EXIF, XMP) states where it was taken."""
    head = picture[:_PICTURE_HEAD_BYTES]
    if any(mark in head for mark in _EXIF_MARKS) and any(pointer in head for pointer in _GPS_POINTERS):
        return True
    return _PLACE_INSIDE_BYTES.search(head) is not None


def recording_tags(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the tags that say where, when and with what a file was recorded, up to a limit."""
    found = (
        (key, value)
        for key, value in metadata.items()
        if len(key) + len(value) <= LONGEST_TAG
        and (is_vendor(key) or is_camera(key) or _DATE.fullmatch(key) or is_place(key, value))
    )
    return tuple(islice(found, MOST_TAGS))


def place_tags(container: InputContainer) -> tuple[tuple[str, str], ...]:
    """Return owner and key of each tag of the file, its streams and its chapters that states a place."""
    owners = [("", container.metadata)]
    owners += [(f"s:{stream.index}", stream.metadata) for stream in container.streams]
    owners += [(f"c:{number}", chapter["metadata"]) for number, chapter in enumerate(container.chapters())]
    found = [(owner, key) for owner, tags in owners for key, value in tags.items() if is_place(key, value)]
    if len(found) > MOST_TAGS or any(len(key) > LONGEST_TAG or set(key) & {"=", "\0", "\ufffd"} for _, key in found):
        return (UNNAMED,)
    return tuple(found)
