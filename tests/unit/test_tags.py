"""Which tags say where something was recorded, and with what."""

from __future__ import annotations

import pytest

from pyprocessor.containers.tags import LONGEST_TAG, MOST_TAGS, is_camera, is_place, is_vendor, recording_tags


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("location", "Berlin"),
        ("com.apple.quicktime.location.ISO6709", "+52.5200+013.4050+034.000/"),
        ("com.apple.quicktime.location.name", "Home"),
        ("RECORDING_LOCATION", "DE"),
        ("LOCATION-ger", "Berlin"),
        ("GPSLatitude", "52.52"),
        ("xyz", "here"),
        ("anything", "+52.5200+013.4050/"),
        ("anything", "-33.8688+151.2093CRSWGS_84/"),
        ("xmp", "<exif:GPSLatitude>52,31.2N</exif:GPSLatitude>"),
        ("City", "Berlin"),
    ],
)
def test_places(key: str, value: str) -> None:
    """By their name, their form, or what they hold."""
    assert is_place(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("title", "A place in the sun"),
        ("creation_time", "2024-07-01T10:20:30.000000Z"),
        ("replaygain", "-7.5 dB"),
        ("comment", "+1"),
        ("capacity", "12"),
        ("encoder", "Lavf63.1.102"),
        ("velocity", "3"),
    ],
)
def test_other_tags_are_no_places(key: str, value: str) -> None:
    """Also where they sound like one."""
    assert not is_place(key, value)


def test_cameras_and_vendors() -> None:
    """With and without a maker's prefix, in either case."""
    assert all(map(is_camera, ("make", "MODEL", "com.apple.quicktime.make", "com.android.manufacturer")))
    assert not any(map(is_camera, ("maker_note", "title", "remodel")))
    assert all(map(is_vendor, ("com.android.version", "COM.APPLE.QUICKTIME.MAKE")))
    assert not any(map(is_vendor, ("comment", "compatible_brands", "com.")))


def test_what_is_remembered_is_bounded() -> None:
    """In number and in length."""
    many = {f"com.x.{number}": "1" for number in range(10 * MOST_TAGS)}
    assert len(recording_tags(many)) == MOST_TAGS
    assert recording_tags({"location": "x" * LONGEST_TAG, "title": "Film", "make": "Canon"}) == (("make", "Canon"),)
