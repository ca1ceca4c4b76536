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
"""Marker: some place tags have names that cannot be passed to ffmpeg."""

_PLACE_WORD = re.compile(
    r"location|gps|geotag|iso6709|latitude|longitude|(?:^|[^a-z])(?:xyz|altitude|coordinates?|city|country|place)(?:[^a-z]|$)",
    re.IGNORECASE,
)
_PLACE_VALUE = re.compile(r"\s*[+-]\d{1,7}(?:\.\d*)?[+-]\d{1,8}(?:\.\d*)?(?:[+-]\d+(?:\.\d*)?)?(?:CRS\w*)?/?\s*")
"""A place as ISO 6709 writes it, such as `+52.5200+013.4050+034.000/`."""
_PLACE_INSIDE = re.compile(r"GPS(?:Latitude|Longitude|Position|Coordinates)|geo:(?:lat|lon)", re.IGNORECASE)
"""Inside a tag that holds many values, such as XMP."""


def is_vendor(key: str) -> bool:
    """Return whether `key` is a vendor's own, such as `com.apple.quicktime.model`."""
    return re.match(r"com\..", key, re.IGNORECASE) is not None


def is_camera(key: str) -> bool:
    """Return whether `key` names the camera."""
    return re.fullmatch(r"(?:.*[._])?(?:make|model|manufacturer)", key, re.IGNORECASE) is not None


def is_place(key: str, value: str) -> bool:
    """Return whether a tag states a place."""
    if _PLACE_WORD.search(key) or _PLACE_INSIDE.search(value):
        return True
    return len(value) <= LONGEST_TAG and _PLACE_VALUE.fullmatch(value) is not None


def picture_has_location(picture: bytes) -> bool:
    """Return whether a cover's own metadata (EXIF, XMP) states where it was taken."""
    head = picture[:256_000]
    has_exif = b"Exif\0\0" in head or b"eXIf" in head  # of JPEG and PNG
    # EXIF's tag of the GPS data, with its type, in either byte order.
    if has_exif and (b"\x88\x25\x00\x04" in head or b"\x25\x88\x04\x00" in head):
        return True
    return _PLACE_INSIDE.search(head.decode("latin-1")) is not None


def recording_tags(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the tags that say where, when and with what a file was recorded, up to a limit."""
    found = (
        (key, value)
        for key, value in metadata.items()
        if len(key) + len(value) <= LONGEST_TAG
        and (is_vendor(key) or is_camera(key) or key.lower() == "creation_time" or is_place(key, value))
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
