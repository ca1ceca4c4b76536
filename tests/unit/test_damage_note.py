"""What a user is to know of damage: how much of what, and nothing of what is no damage."""

from __future__ import annotations

from fractions import Fraction

from pyprocessor.ffmpeg.damage import NO_DAMAGE, Damage, StreamDamage
from pyprocessor.inspect.damage import damage_note
from pyprocessor.inspect.timeline import Timeline, Track
from pyprocessor.models import END_MISSING, AudioInfo, MediaInfo, MediaNote, StreamInfo, StreamKind, VideoInfo

RATE = 25


def media(container: str = "mov,mp4", codec: str = "aac", *notes: MediaNote) -> MediaInfo:
    """A film of eight seconds with one sound track and a subtitle track."""
    streams = (
        StreamInfo(0, StreamKind.VIDEO, "h264", video=VideoInfo(640, 360, frame_rate=Fraction(RATE))),
        StreamInfo(1, StreamKind.AUDIO, codec, audio=AudioInfo(48000, 1)),
        StreamInfo(2, StreamKind.SUBTITLE, "subrip"),
    )
    return MediaInfo(container, 8.0, False, 1_000_000, None, streams, notes=notes)


def times(*holes: int, leading: int = 0) -> Timeline:
    """Its timeline; at each of `holes` a second of all that was there is missing."""
    there = [n for n in range(200) if not any(hole <= n < hole + RATE for hole in holes)]
    edges = [0, *(edge for hole in sorted(holes) for edge in (hole, hole + RATE)), 200]
    spans = tuple((a / RATE, b / RATE) for a, b in zip(edges[::2], edges[1::2], strict=True))
    film = Track(
        StreamKind.VIDEO, 200, starts=[n / RATE for n in there], end=8.0, leading=[-n / RATE for n in range(leading)]
    )
    return Timeline({0: film, 1: Track(StreamKind.AUDIO, 375, spans=spans, end=8.0)})


def told(damage: Damage, source: MediaInfo | None = None, timeline: Timeline | None = None, **changes: bool) -> str:
    """The text of the note, empty where there is none."""
    notes = damage_note(damage, source or media(), timeline or times(), same_frames=changes.get("same_frames", True))
    assert all(note.damage for note in notes)
    return "".join(note.text for note in notes)


def test_pictures_sound_and_subtitles_are_listed() -> None:
    """With how many there are, and how long they last where that is known."""
    damage = Damage((StreamDamage(0, broken=50), StreamDamage(1, undecodable=12), StreamDamage(2, undecodable=1)))
    assert told(damage) == ("Damaged or missing: at least 50 of 200 pictures (2.0 s), 0.26 s of sound and 1 subtitle.")
    assert told(Damage((StreamDamage(0, broken=1),))) == "Damaged or missing: at least 1 of 200 pictures."
    untimed = Timeline({1: Track(StreamKind.AUDIO, 375)})
    assert told(Damage((StreamDamage(1, broken=3),)), timeline=untimed).endswith("at least some sound.")


def test_nothing_is_said_of_nothing() -> None:
    """Nor of damaged packets alone, which recordings have where they were joined."""
    assert told(NO_DAMAGE) == ""
    assert told(Damage((StreamDamage(0, packets=1200),)), media("mpegts")) == ""


def test_damaged_packets_are_believed_as_far_as_decoders_confirm_them() -> None:
    """Of a codec whose decoder hardly ever complains they tell how much is damaged."""
    assert "at least 40 of 200" in told(Damage((StreamDamage(0, packets=40),), concealed=4), media("mpegts"))
    assert "at least 10 of 200" in told(Damage((StreamDamage(0, packets=1200),), concealed=1), media("mpegts"))


def test_pictures_that_do_not_come_out_are_noted_by_the_comparison() -> None:
    """And here only where the comparison cannot: of changed rates, and before the first picture."""
    damage = Damage((StreamDamage(0, undecodable=20),))
    assert told(damage) == ""
    assert "22 of 200 pictures" in told(Damage((StreamDamage(0, broken=2, undecodable=20),)))
    assert "20 of 200 pictures" in told(damage, same_frames=False)
    assert "20 of 200 pictures" in told(damage, timeline=times(leading=30))


def test_ends_that_are_torn_are_no_damage_of_their_own() -> None:
    """The last picture of a recording that ends anywhere, and of a file that was cut off, which has a note."""
    one = Damage((StreamDamage(0, broken=1), StreamDamage(1, broken=1)))
    cut = MediaNote("It is cut off.", END_MISSING)
    assert told(one, media("mpegts")) == ""
    assert told(one, media("mov,mp4", "aac", cut)) == ""
    assert told(one, media("mov,mp4")) != ""
    assert told(Damage((StreamDamage(0, broken=2),)), media("mpegts")) != ""
    assert told(Damage((StreamDamage(0, broken=1, packets=1),)), media("mpegts")) != ""
    assert told(Damage((StreamDamage(1, undecodable=4),)), media("mpeg", "mp2")) == ""
    assert told(Damage((StreamDamage(1, undecodable=9),)), media("mpeg", "mp2")) != ""
    early = Damage(ended_early=True)
    assert "to its end" in told(early)
    assert told(early, media("mov,mp4", "aac", cut)) == ""


def test_lost_packets_of_a_steady_film_leave_holes() -> None:
    """A zeroed stretch of a transport stream arrives as one damaged packet and a pause of picture and sound."""
    lost = Damage((StreamDamage(0, packets=1),))
    assert told(lost, media("mpegts"), times(50)) == (
        "Damaged or missing: at least 25 of 200 pictures (1.0 s) and 1.00 s of sound."
    )
    slides = Timeline({0: Track(StreamKind.VIDEO, 6, starts=[0, 1, 5, 6, 20, 21], end=22.0)})
    assert told(lost, media("mpegts"), slides) == ""


def test_what_a_broken_container_skips_is_measured_by_the_longest_pauses() -> None:
    """As many as there are broken places: a film with pauses of its own has not lost them."""
    assert told(Damage(gaps=1), timeline=times(50)) == (
        "Damaged or missing: at least 25 of 200 pictures (1.0 s) and 1.00 s of sound."
    )
    assert "at least 25 of 175" in told(Damage(gaps=1), timeline=times(50, 100))
    assert told(Damage(gaps=1)) == "Its container is broken in places; what stands there is skipped."
