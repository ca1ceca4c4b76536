"""The contract: what becomes of every stream in every container, and what is refused, with which reason."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction

import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.inspect.contract import Action, Contract, contract, kept_films
from pyprocessor.models import (
    AudioInfo,
    AudioSettings,
    Colour,
    Damaged,
    HdrKind,
    MediaInfo,
    MediaNote,
    Profile,
    StreamInfo,
    StreamKind,
    VideoInfo,
    VideoSettings,
)

MP4 = Profile("default", "f")
MKV = Profile("archive", "f", container="mkv", extension="mkv", audio=AudioSettings(encoder="libopus"))
WEBM = replace(MKV, container="webm", extension="webm")
SOUND = Profile("audio", "f", container="m4a", extension="m4a", video=None)


def film(index: int = 0, **changes: object) -> StreamInfo:
    """A plain film track of ten seconds."""
    picture = VideoInfo(640, 360, "yuv420p", frame_rate=Fraction(25))
    plain = StreamInfo(index, StreamKind.VIDEO, "h264", duration_seconds=10.0, frames=250, video=picture)
    return replace(plain, **changes)  # type: ignore[arg-type]


def sound(index: int, codec: str | None = "aac", channels: int = 2, **changes: object) -> StreamInfo:
    """An audio track of ten seconds."""
    plain = StreamInfo(
        index, StreamKind.AUDIO, codec, duration_seconds=10.0, audio=AudioInfo(48000, channels, "stereo")
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def other(index: int, kind: StreamKind, codec: str | None = None) -> StreamInfo:
    """A stream that is neither film nor sound."""
    return StreamInfo(index, kind, codec)


def cover(index: int, codec: str = "mjpeg") -> StreamInfo:
    """An attached picture."""
    return StreamInfo(index, StreamKind.VIDEO, codec, video=VideoInfo(300, 300, "yuvj420p", attached_picture=True))


def media(*streams: StreamInfo, **changes: object) -> MediaInfo:
    """A file of these streams."""
    plain = MediaInfo("matroska,webm", 10.0, False, 1_000_000, None, streams)
    return replace(plain, **changes)  # type: ignore[arg-type]


def action(agreed: Contract, index: int) -> tuple[Action, str | None]:
    """What becomes of stream `index`."""
    plan = next(plan for plan in agreed.streams if plan.index == index)
    return plan.action, plan.encoder


@pytest.mark.parametrize(
    ("profile", "codec", "expected"),
    [
        (MP4, "subrip", (Action.CONVERT, "mov_text")),
        (MP4, "ass", (Action.CONVERT, "mov_text")),
        (MP4, "mov_text", (Action.COPY, "copy")),
        (MP4, "hdmv_pgs_subtitle", (Action.DROP, None)),
        (MP4, "dvd_subtitle", (Action.DROP, None)),
        (MP4, None, (Action.DROP, None)),
        (MKV, "subrip", (Action.COPY, "copy")),
        (MKV, "ass", (Action.COPY, "copy")),
        (MKV, "hdmv_pgs_subtitle", (Action.COPY, "copy")),
        (MKV, "dvd_subtitle", (Action.COPY, "copy")),
        (MKV, "mov_text", (Action.CONVERT, "srt")),
        (WEBM, "subrip", (Action.CONVERT, "webvtt")),
        (WEBM, "hdmv_pgs_subtitle", (Action.DROP, None)),
        (replace(MP4, keep_subtitles=False), "subrip", (Action.DROP, None)),
        (replace(MP4, container="mpegts"), "subrip", (Action.DROP, None)),
    ],
)
def test_subtitles_by_container(profile: Profile, codec: str | None, expected: tuple[Action, str | None]) -> None:
    """Text is converted into the container's own kind, bitmaps are copied where they fit and dropped elsewhere."""
    assert action(contract(profile, media(film(), other(1, StreamKind.SUBTITLE, codec))), 1) == expected


def test_attachments_data_and_covers() -> None:
    """MKV keeps fonts and covers, MP4 covers alone; data tracks go everywhere, each with its reason."""
    source = media(film(), cover(1), cover(2, "bmp"), other(3, StreamKind.ATTACHMENT, "ttf"), other(4, StreamKind.DATA))
    mp4, mkv = contract(MP4, source), contract(MKV, source)
    assert [plan.index for plan in mp4.kept] == [0, 1]
    assert (mp4.count(StreamKind.VIDEO), sum(plan.cover for plan in mp4.kept), mp4.count(StreamKind.ATTACHMENT)) == (
        1,
        1,
        0,
    )
    assert [plan.index for plan in mkv.kept] == [0, 3, 1]  # ffmpeg puts what it attaches last
    assert (mkv.count(StreamKind.VIDEO), sum(plan.cover for plan in mkv.kept), mkv.count(StreamKind.ATTACHMENT)) == (
        1,
        1,
        1,
    )
    assert [plan.attached for plan in mkv.kept] == [False, False, True]
    assert not any(plan.attached for plan in mp4.kept)
    assert all(plan.loss for agreed in (mp4, mkv) for plan in agreed.streams if plan.action is Action.DROP)
    bare = contract(replace(MKV, keep_attachments=False), source)
    assert [plan.index for plan in bare.kept] == [0]


def test_streams_left_out_for_one_reason_make_one_note() -> None:
    """Four telemetry tracks are one line for the user."""
    agreed = contract(MP4, media(film(), *(other(n, StreamKind.DATA) for n in range(1, 5))))
    assert len(agreed.notes) == 1
    assert "streams 1, 2, 3, 4" in agreed.notes[0].text


def test_a_kind_of_loss_is_named_alike_for_every_file() -> None:
    """By container and codec, not by stream; what the profile leaves out is no loss."""
    source = media(
        film(),
        *(replace(other(n, StreamKind.SUBTITLE), codec="hdmv_pgs_subtitle") for n in (1, 2)),
        other(3, StreamKind.ATTACHMENT),
        other(4, StreamKind.DATA),
    )
    assert [note.loss for note in contract(MP4, source).notes] == [
        "subtitles dropped (mp4 holds no hdmv_pgs_subtitle)",
        "attachments dropped (mp4 holds none)",
        "data tracks dropped (telemetry or timecode, which nothing plays)",
    ]
    bare = replace(MP4, keep_subtitles=False, keep_attachments=False)
    assert [note.loss[:4] for note in contract(bare, source).notes] == ["data"]


def test_further_films_are_kept_where_the_profile_says_so() -> None:
    """Each that decodes is encoded beside the first; one that does not is left out with its reason."""
    every = replace(MKV, video=VideoSettings(all_tracks=True))
    source = media(film(), sound(1), film(2), film(3, codec=None), film(4, frames=0), film(5, duration_seconds=20.0))
    agreed = contract(every, source)
    assert [plan.index for plan in agreed.kept] == [0, 2, 5, 1]
    assert agreed.count(StreamKind.VIDEO) == 3
    assert len(agreed.notes) == 2
    assert [stream.index for stream in kept_films(every, source)] == [0, 2, 5]
    first = contract(MKV, source)
    assert (first.count(StreamKind.VIDEO), [stream.index for stream in kept_films(MKV, source)]) == (1, [0])
    assert any("the profile keeps the first" in note.text for note in first.notes)
    assert contract(SOUND, source).count(StreamKind.VIDEO) == 0


def test_subtitles_far_beyond_the_film_are_cut_at_its_end() -> None:
    """A container of an hour with ten seconds of film makes ten seconds; one that is a little longer is left alone."""
    source = media(film(start_seconds=2.0), sound(1), other(2, StreamKind.SUBTITLE, "subrip"), duration_seconds=5378.0)
    agreed = contract(MP4, source)
    assert agreed.limit_seconds == pytest.approx(13.0)
    assert any("after their end were left out" in note.text for note in agreed.notes)
    assert source.playing_seconds == 10.0
    assert contract(MP4, replace(source, duration_seconds=60.0)).limit_seconds is None
    assert replace(source, streams=(film(duration_seconds=None), sound(1))).playing_seconds == 5378.0


def test_film_comes_first_whatever_the_source_order() -> None:
    """Players take the first video track, so it leads, before audio that stood first."""
    agreed = contract(MP4, media(sound(0), film(1), sound(2)))
    assert [plan.index for plan in agreed.kept] == [1, 0, 2]
    assert agreed.count(StreamKind.AUDIO) == 2


def test_every_source_stream_is_accounted_for() -> None:
    """Nothing vanishes without a plan."""
    source = media(film(), film(1), cover(2), sound(3), other(4, StreamKind.DATA), other(5, StreamKind.SUBTITLE))
    assert sorted(plan.index for plan in contract(MP4, source).streams) == list(range(6))


def test_one_audio_track_is_the_default_one() -> None:
    """A profile of one track takes the one marked default, else the first."""
    one = replace(MP4, audio=AudioSettings(all_tracks=False))
    marked = media(film(), sound(1), sound(2, dispositions=("default",)))
    assert [p.index for p in contract(one, marked).kept if p.kind is StreamKind.AUDIO] == [2]
    assert [p.index for p in contract(one, media(film(), sound(1), sound(2))).kept][1:] == [1]


@pytest.mark.parametrize(
    ("settings", "codec", "copied"),
    [
        (AudioSettings(), "aac", False),
        (AudioSettings(copy_if_compatible=True), "aac", True),
        (AudioSettings(copy_if_compatible=True), "vorbis", False),
        (AudioSettings(copy_if_compatible=True, channels=1), "aac", False),
        (AudioSettings(copy_if_compatible=True, channels=2), "aac", True),
        (AudioSettings(copy_if_compatible=True, sample_rate=44100), "aac", False),
    ],
)
def test_audio_is_copied_where_asked_and_compatible(settings: AudioSettings, codec: str, copied: bool) -> None:
    """Copying must not break a setting of the profile or the container."""
    found = action(contract(replace(MP4, audio=settings), media(film(), sound(1, codec))), 1)
    assert found == ((Action.COPY, "copy") if copied else (Action.ENCODE, "aac"))


def test_broken_audio_beside_sound_audio_is_left_out_with_a_note() -> None:
    """One track that cannot be decoded does not cost the file."""
    agreed = contract(MP4, media(film(), sound(1, channels=0), sound(2)))
    assert agreed.count(StreamKind.AUDIO) == 1
    assert any("cannot be decoded" in note.text for note in agreed.notes)


def refused(profile: Profile, source: MediaInfo) -> JobError:
    """The refusal of a source."""
    with pytest.raises(JobError) as caught:
        contract(profile, source)
    return caught.value


def test_an_empty_sound_track_is_left_out_with_a_note() -> None:
    """Nothing is lost with it, so a file whose only sound it is does not fail either."""
    agreed = contract(MP4, media(film(), sound(1), sound(2, frames=0)))
    assert agreed.count(StreamKind.AUDIO) == 1
    assert any("(it holds no sound)" in note.text for note in agreed.notes)
    assert contract(MP4, media(film(), sound(1, frames=0))).count(StreamKind.AUDIO) == 0
    assert "no audio" in str(refused(SOUND, media(film(), sound(1, frames=0))))


def test_losing_the_only_audio_is_a_failure() -> None:
    """A film must not become silent in silence."""
    error = refused(MP4, media(film(), sound(1, None)))
    assert error.kind is FailureKind.UNSUPPORTED
    assert "--no-audio" in str(error)
    silent = contract(replace(MP4, audio=None), media(film(), sound(1, None)))
    assert silent.count(StreamKind.AUDIO) == 0


def test_sources_that_do_not_fit_the_profile() -> None:
    """Audio alone for a video profile and the reverse are told with what to use instead."""
    assert "use the profile audio" in str(refused(MP4, media(sound(0))))
    assert refused(MP4, media(sound(0))).kind is FailureKind.UNSUPPORTED
    assert "no audio" in str(refused(SOUND, media(film())))
    assert "neither" in str(refused(MP4, media(other(0, StreamKind.DATA))))
    assert "use the profile audio" in str(refused(MP4, media(sound(0), cover(1))))


def test_audio_profile_takes_the_sound_of_a_film() -> None:
    """Of a film with subtitles only the sound is taken."""
    agreed = contract(SOUND, media(film(), sound(1), other(2, StreamKind.SUBTITLE, "subrip")))
    assert [plan.index for plan in agreed.kept] == [1]


def test_containers_of_one_audio_track() -> None:
    """MP3 holds one track; the others are named as left out."""
    mp3 = replace(SOUND, container="mp3", audio=AudioSettings(encoder="libmp3lame"))
    agreed = contract(mp3, media(film(), sound(1), sound(2)))
    assert agreed.count(StreamKind.AUDIO) == 1
    assert any("mp3 holds one" in note.text for note in agreed.notes)


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (
            media(film(frames=0), notes=(MediaNote("Its video track holds no pictures."),)),
            FailureKind.BAD_INPUT,
            "no pictures",
        ),
        (media(film(codec=None)), FailureKind.UNSUPPORTED, "no decoder"),
        (media(film(video=VideoInfo(0, 0))), FailureKind.BAD_INPUT, "how large"),
    ],
)
def test_what_cannot_be_encoded_is_refused_before_it_costs_anything(
    source: MediaInfo, kind: FailureKind, words: str
) -> None:
    """The reason is the true one."""
    error = refused(MP4, source)
    assert error.kind is kind
    assert words in str(error)


def test_damage_is_refused_only_where_the_profile_says_so() -> None:
    """The sentence is the note's, and says how to have what is there."""
    cut = MediaNote("It is cut off.", "damaged: its end is missing")
    source = media(film(), notes=(MediaNote("It is odd."), cut))
    assert contract(MP4, source).films
    error = refused(replace(MP4, damaged=Damaged.REFUSE), source)
    assert error.kind is FailureKind.BAD_INPUT
    assert str(error).startswith("It is cut off. ")
    assert "--retry-failed" in str(error)
    assert contract(replace(MP4, damaged=Damaged.REFUSE), media(film(), notes=(MediaNote("It is odd."),))).films


def test_nothing_decodes_of_a_file_that_is_cut_off() -> None:
    """Both are said."""
    none = MediaNote("Its video track holds no pictures.")
    cut = MediaNote("It is cut off.", "damaged: its end is missing")
    assert str(refused(MP4, media(film(frames=0), notes=(none, cut)))) == f"{none.text} {cut.text}"


def test_dolby_vision_needs_a_picture_for_other_players() -> None:
    """Profile 5 has none and is refused; profile 8 on HDR10 goes on."""
    alone = VideoInfo(64, 64, "yuv420p10le", 10, hdr=HdrKind.DOLBY_VISION)
    based = replace(alone, colour=Colour("bt2020", "smpte2084", "bt2020nc", "tv"))
    assert refused(MP4, media(film(video=alone))).kind is FailureKind.UNSUPPORTED
    assert contract(MP4, media(film(video=based))).count(StreamKind.VIDEO) == 1


def test_pictures_are_kept_one_for_one_only_where_the_rate_stays() -> None:
    """Not where the profile changes it, nor above what SVT-AV1 takes."""
    assert contract(MP4, media(film())).same_frames
    slower = replace(MP4, video=VideoSettings(fps=Fraction(10)))
    assert not contract(slower, media(film())).same_frames
    same = replace(MP4, video=VideoSettings(fps=Fraction(25)))
    assert contract(same, media(film())).same_frames
    fast = film(video=VideoInfo(64, 64, frame_rate=Fraction(600)))
    av1 = replace(MKV, video=VideoSettings(encoder="libsvtav1"))
    assert not contract(av1, media(fast)).same_frames


def test_subtitles_do_not_lengthen_the_output() -> None:
    """Of a container that lasts as long as its subtitles only the length of its film is made, with a note."""
    agreed = contract(MP4, media(film(), sound(1), duration_seconds=5400.0))
    assert agreed.limit_seconds == pytest.approx(11.0)
    assert any("5,400.0 s" in note.text for note in agreed.notes)


def test_unknown_track_lengths_set_no_end() -> None:
    """Where tracks do not say how long they are, nothing is cut."""
    agreed = contract(MP4, media(film(duration_seconds=None, frames=None), sound(1), duration_seconds=5400.0))
    assert agreed.limit_seconds is None


def test_contract_travels_between_processes() -> None:
    """It is pickled to the batch process and comes back equal."""
    agreed = contract(MP4, media(film(), sound(1)))
    assert pickle.loads(pickle.dumps(agreed)) == agreed
