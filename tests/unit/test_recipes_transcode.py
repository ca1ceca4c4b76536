"""The whole recipe: streams, options and what the cost model sees."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from pyprocessor.ffmpeg.invocation import Attachment, Invocation, MappedStream, argv
from pyprocessor.inspect.contract import contract
from pyprocessor.models import (
    AudioInfo,
    AudioSettings,
    Colour,
    HdrPolicy,
    MediaInfo,
    PacketFacts,
    Profile,
    Source,
    StreamInfo,
    StreamKind,
    VideoInfo,
    VideoSettings,
)
from pyprocessor.recipes.features import features
from pyprocessor.recipes.transcode import Recipe, bit_rate_cap, recipe

SOURCE = Source(b"/in/a.mkv", b"a.mkv", 1_000_000, 0)
FILM = StreamInfo(
    0, StreamKind.VIDEO, "h264", duration_seconds=10.0, video=VideoInfo(1280, 720, "yuv420p", frame_rate=Fraction(25))
)
SOUND = StreamInfo(1, StreamKind.AUDIO, "ac3", duration_seconds=10.0, audio=AudioInfo(48000, 6, "5.1(side)"))
SUBTITLES = StreamInfo(2, StreamKind.SUBTITLE, "subrip")
MEDIA = MediaInfo("mov,mp4", 10.0, False, 1_000_000, None, (FILM, SOUND, SUBTITLES))


def made(profile: Profile, media: MediaInfo = MEDIA) -> Recipe:
    """The recipe for a file of film, sound and subtitles."""
    return recipe(profile, media, contract(profile, media), SOURCE, threads=1, output_name="o.part")


def film_of(profile: Profile, media: MediaInfo = MEDIA) -> MappedStream:
    """The film's part of it."""
    return made(profile, media).invocation.outputs[0].streams[0]


def with_video(**settings: object) -> Profile:
    """A profile with these video settings."""
    return Profile("p", "f", video=replace(VideoSettings(), **settings))  # type: ignore[arg-type]


def test_streams_follow_the_contract() -> None:
    """Film, sound, subtitles, each with its encoder, in output order; argv accepts them."""
    invocation = made(Profile("p", "f")).invocation
    output = invocation.outputs[0]
    assert [(s.source, s.kind, s.encoder) for s in output.streams] == [
        ((0, 0), "v", "libx264"),
        ((0, 1), "a", "aac"),
        ((0, 2), "s", "mov_text"),
    ]
    assert output.muxer == "mp4"
    assert ("movflags", "+faststart") in output.options
    assert argv(invocation, "/bin/ffmpeg")[-1] == "o.part"


def test_containers_have_their_muxers() -> None:
    """MKV is Matroska to ffmpeg, M4A is iPod."""
    assert made(Profile("p", "f", container="mkv")).invocation.outputs[0].muxer == "matroska"
    assert made(Profile("p", "f", container="m4a", video=None)).invocation.outputs[0].muxer == "ipod"


def test_crf_is_capped_by_the_rate_of_the_output_height() -> None:
    """The entry at or below the picture's lines counts, or else the lowest."""
    profile = with_video(crf=20, bitrates=((1080, 6_000_000), (720, 3_000_000), (480, 1_000_000)))
    options = dict(film_of(profile).options)
    assert (options["crf"], options["maxrate"], options["bufsize"]) == ("20", "3000000", "6000000")
    assert profile.video is not None
    assert bit_rate_cap(profile.video, 1079) == 3_000_000
    assert bit_rate_cap(profile.video, 360) == 1_000_000
    assert bit_rate_cap(VideoSettings(), 360) is None


def test_without_crf_the_rate_is_the_target() -> None:
    """A ladder of bit rates alone is obeyed as such."""
    options = dict(film_of(with_video(bitrates=((720, 3_000_000),))).options)
    assert options["b"] == "3000000"
    assert "crf" not in options


def test_vp9_needs_a_zero_rate_beside_its_crf() -> None:
    """Without it libvpx takes 256 kbit/s as a cap."""
    assert dict(film_of(with_video(encoder="libvpx-vp9", crf=31)).options)["b"] == "0"


def test_hevc_is_tagged_for_apple_players() -> None:
    """In MP4 and MOV only."""
    hevc = with_video(encoder="libx265")
    assert dict(film_of(hevc).options)["tag"] == "hvc1"
    assert "tag" not in dict(film_of(replace(hevc, container="mkv")).options)


@pytest.mark.parametrize(
    ("container", "rate", "start", "clock"),
    [
        ("mov,mp4", Fraction(25), 0.0, "demux"),
        ("matroska,webm", Fraction(30000, 1001), 0.0, "1001/30000"),
        ("matroska,webm", Fraction(25), 0.36, "1/25"),
        ("matroska,webm", Fraction(25), 0.023, "demux"),
        ("matroska,webm", None, 0.0, "demux"),
    ],
)
def test_time_stamps_keep_the_clock_that_is_truer(
    container: str, rate: Fraction | None, start: float, clock: str
) -> None:
    """The source's, unless it rounds a rate known to be constant, and the first picture has a place on its clock."""
    assert FILM.video is not None
    film = replace(FILM, start_seconds=start, video=replace(FILM.video, clock_rate=rate))
    options = dict(film_of(Profile("p", "f"), replace(MEDIA, container=container, streams=(film,))).options)
    assert options["enc_time_base"] == clock
    assert options["fps_mode"] == "vfr"


def test_demuxers_are_told_what_inspecting_found() -> None:
    """A transport stream keeps its streams together; late streams are looked for longer; pauses are no jumps."""

    def invocation(**changes: object) -> Invocation:
        source = Source(b"/in/a.ts", b"a.ts", 1, 0)
        media = replace(MEDIA, **changes)  # type: ignore[arg-type]
        profile = Profile("p", "f")
        return recipe(profile, media, contract(profile, media), source, threads=1, output_name="o").invocation

    assert invocation().inputs[0].options == ()
    assert ("merge_pmt_versions", "1") in invocation(container="mpegts").inputs[0].options
    assert "probesize" in dict(invocation(deep=True).inputs[0].options)
    assert invocation(jump_seconds=22.5).options == (("dts_delta_threshold", "22.5"),)


def test_a_changed_rate_gets_its_own_clock() -> None:
    """The source's clock would make it jitter."""
    assert "enc_time_base" not in dict(film_of(with_video(fps=Fraction(10))).options)


def test_keyframe_interval() -> None:
    """In pictures where the rate is constant, in time where it varies."""
    profile = with_video(keyframe_seconds=2.0)
    assert dict(film_of(profile).options)["g"] == "50"
    assert FILM.video is not None
    film = replace(FILM, video=replace(FILM.video, variable_frame_rate=True))
    assert "force_key_frames" in dict(film_of(profile, replace(MEDIA, streams=(film,))).options)


def test_metadata_and_chapters_follow_the_profile() -> None:
    """Kept by default; left out when asked; a stale statistic of Matroska never survives."""
    bare = Profile("p", "f", keep_metadata=False, keep_chapters=False)
    options = made(bare, replace(MEDIA, chapters=3)).invocation.outputs[0].options
    assert ("map_metadata", "-1") in options
    assert ("map_chapters", "-1") in options
    from_mkv = film_of(Profile("p", "f"), replace(MEDIA, container="matroska,webm"))
    assert ("DURATION", "") in from_mkv.metadata


def test_a_decoder_that_must_be_named_is_named() -> None:
    """For the very stream."""
    film = replace(FILM, decoder="libdav1d")
    assert made(Profile("p", "f"), replace(MEDIA, streams=(film,))).invocation.inputs[0].options == (
        ("c:0", "libdav1d"),
    )


def test_notes_carry_the_contracts() -> None:
    """What was left out reaches the user."""
    ts = Profile("p", "f", container="mpegts")
    assert any("subtitles" in note.text for note in made(ts).notes)
    assert made(replace(ts, keep_subtitles=False)).notes == ()


def test_features_of_a_film() -> None:
    """Pixels of the output and the source, frames and format, as the cost model uses them."""
    found = features(with_video(max_height=360, preset="fast"), MEDIA)
    assert (found.pixels, found.source_pixels) == (640 * 360, 1280 * 720)
    assert (found.encoder, found.preset, found.pixel_format) == ("libx264", "fast", "yuv420p")
    assert found.frames == 250.0
    assert found.duration_seconds == 10.0


def test_features_of_sound_and_of_a_file_that_does_not_say_how_long_it_is() -> None:
    """Always numbers, guessed from the size where there is nothing better."""
    sound = features(Profile("p", "f", video=None, audio=AudioSettings(bitrate=128_000)), MEDIA)
    assert (sound.encoder, sound.pixels, sound.target_bit_rate) == ("aac", 0, 384_000)
    unknown = features(Profile("p", "f"), replace(MEDIA, duration_seconds=None))
    assert unknown.duration_seconds > 0
    assert unknown.frames > 0


def with_packets(facts: PacketFacts, *, media: MediaInfo = MEDIA, **video: object) -> MediaInfo:
    """The file with a film of which these packets were seen."""
    assert FILM.video is not None
    film = replace(FILM, video=replace(FILM.video, packets=facts, **video))  # type: ignore[arg-type]
    return replace(media, streams=(film, *media.streams[1:]))


def test_features_by_packets_of_the_whole_film() -> None:
    """Counted pictures and bits of those between keyframes, whatever rate and length the container declares."""
    facts = PacketFacts(pictures=100, bytes=1_000_000, keyframes=4, keyframe_bytes=520_000, seconds=99.0)
    found = features(with_video(), with_packets(facts, frame_rate=Fraction(600)))
    assert found.frames == 100
    assert found.source_codec == "h264"
    assert not found.source_keyframes_only
    assert found.source_bits_per_pixel == pytest.approx(480_000 * 8 / 96 / (1280 * 720))
    alone = features(with_video(), with_packets(replace(facts, keyframes=100, keyframe_bytes=1_000_000)))
    assert alone.source_keyframes_only
    assert alone.source_bits_per_pixel == pytest.approx(1_000_000 * 8 / 100 / (1280 * 720))


def test_features_by_packets_of_the_start() -> None:
    """The rate is the measured one; bits are those of the file, shared out between pictures as at its start."""
    facts = PacketFacts(30, 200_000, 1, 26_000, seconds=2.9, share_of_bytes=0.8)
    media = replace(MEDIA, size_bytes=1_000_000)
    found = features(with_video(), with_packets(facts, media=media))
    assert found.frames == pytest.approx(100)  # ten seconds at 10 pictures a second, not 25
    mean = 800_000 * 8 / 100 / (1280 * 720)
    assert found.source_bits_per_pixel == pytest.approx(mean * (174_000 / 29) / (200_000 / 30))


def test_a_length_that_cannot_be_true_is_not_believed() -> None:
    """A tag of an hour and a half on a small file: pictures and seconds follow from its bytes."""
    facts = PacketFacts(300, 400_000, 2, 10_000, seconds=9.97, share_of_bytes=0.5)
    film = replace(FILM, duration_seconds=5378.0)
    media = replace(MEDIA, size_bytes=1_000_000, duration_seconds=5378.0, streams=(film,))
    assert film.video is not None
    stale = replace(media, streams=(replace(film, video=replace(film.video, packets=facts)),))
    found = features(with_video(), stale)
    assert found.frames == pytest.approx(375)
    assert found.duration_seconds == pytest.approx(375 / 30, rel=0.01)


def test_fields_are_no_pictures() -> None:
    """Interlaced pictures may be stored as two packets each."""
    facts = PacketFacts(100, 1_000_000, 2, 50_000, seconds=1.98)
    found = features(with_video(), with_packets(facts, interlaced=True))
    assert found.frames == 50
    assert found.deinterlaced


def test_features_of_filters_sound_and_quality() -> None:
    """What is done to the pictures, how many channels are encoded, and the CRF where the encoder has one."""
    found = features(with_video(crf=30), MEDIA)
    assert (found.deinterlaced, found.tone_mapped, found.crf, found.audio_channels) == (False, False, 30, 6.0)
    assert FILM.video is not None
    hdr = replace(FILM, video=replace(FILM.video, colour=Colour(transfer="smpte2084", primaries="bt2020")))
    mapped = features(with_video(hdr=HdrPolicy.TONEMAP), replace(MEDIA, streams=(hdr,)))
    assert mapped.tone_mapped
    assert mapped.audio_channels == 0
    assert features(replace(with_video(), audio=None), MEDIA).audio_channels == 0


def test_what_lies_beyond_the_end_is_cut_and_costs_nothing() -> None:
    """Subtitles of an hour beside ten seconds of film: the output ends with the film, and so does the prediction."""
    plain = replace(MEDIA, container="matroska,webm")
    stretched = replace(plain, duration_seconds=5378.0)
    profile = Profile("p", "f")
    assert dict(made(profile, stretched).invocation.outputs[0].options)["t"] == "11.000"
    assert "t" not in dict(made(profile, plain).invocation.outputs[0].options)
    assert features(profile, stretched) == features(profile, plain)
    alone = replace(profile, video=None, container="m4a")
    assert features(alone, stretched) == features(alone, plain)


def test_films_side_by_side_cost_what_they_cost_together() -> None:
    """Two tracks: their pixels are in memory at once, and every picture of both is coded."""
    every = with_video(all_tracks=True)
    second = replace(FILM, index=3, video=VideoInfo(640, 360, "yuv420p", frame_rate=Fraction(50)))
    media = replace(MEDIA, streams=(*MEDIA.streams, second))
    both = features(every, media)
    assert both.pixels == both.source_pixels == 1280 * 720 + 640 * 360
    assert both.pixels * both.frames == pytest.approx(1280 * 720 * 250 + 640 * 360 * 500)
    assert features(with_video(), media) == features(with_video(), MEDIA)


@pytest.mark.parametrize(
    ("container", "varies", "set_right"), [("mp4", True, True), ("mp4", False, False), ("mkv", True, False)]
)
def test_the_last_picture_of_a_varying_film_lasts_to_the_end(container: str, varies: bool, set_right: bool) -> None:
    """MP4 alone counts a track in decoding order, and only unequal pictures show it."""
    assert FILM.video is not None
    film = replace(FILM, video=replace(FILM.video, variable_frame_rate=varies))
    profile = Profile("p", "f", container=container)
    options = dict(film_of(profile, replace(MEDIA, streams=(film,))).options)
    assert ("bsf" in options) is set_right


@pytest.mark.parametrize(("frames", "longer"), [(250, False), (225, True)])
def test_the_last_picture_of_an_even_film_may_be_a_longer_one(frames: int, longer: bool) -> None:
    """At 25 a second, 225 pictures do not last for 10 seconds unless the last one stays."""
    film = replace(MEDIA, streams=(replace(FILM, frames=frames),))
    assert ("bsf" in dict(film_of(Profile("p", "f"), film).options)) is longer


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_the_last_picture_of_svt_av1_is_made_to_last(container: str) -> None:
    """It says of none how long it lasts; so the end is named, where it is known exactly."""
    assert FILM.video is not None
    film = replace(FILM, frames=100, video=replace(FILM.video, variable_frame_rate=True))
    profile = replace(with_video(encoder="libsvtav1", preset="8"), container=container)
    options = dict(film_of(profile, replace(MEDIA, streams=(film,))).options)
    assert "max(DURATION,10.000000/TB+STARTPTS-PTS)" in options["bsf"]
    assert "bsf" not in dict(film_of(profile, replace(MEDIA, streams=(replace(film, frames=None),))).options)


def test_covers_to_attach_are_files_that_the_contract_asks_for() -> None:
    """They come after the streams; one too few is a mistake and not an output without its cover."""
    cover = StreamInfo(3, StreamKind.VIDEO, "png", video=VideoInfo(300, 300, "rgb24", attached_picture=True))
    media = replace(MEDIA, streams=(*MEDIA.streams, cover))
    profile = Profile("p", "f", container="mkv", extension="mkv")
    agreed = contract(profile, media)
    file = Attachment("o.part.cover0", "front cover.png", "image/png")
    whole = recipe(profile, media, agreed, SOURCE, threads=1, output_name="o.part", covers=(file,))
    words = [str(word) for word in argv(whole.invocation, "ffmpeg")]
    at = words.index("-attach")
    assert words[at + 1] == "o.part.cover0"
    assert words[at + 2 : at + 6] == [
        *("-metadata:s:3", "filename=front cover.png"),
        *("-metadata:s:3", "mimetype=image/png"),
    ]
    with pytest.raises(ValueError, match="covers"):
        recipe(profile, media, agreed, SOURCE, threads=1, output_name="o.part")
    outside = replace(whole.invocation.outputs[0], attachments=(Attachment("/etc/passwd", "x.png", "image/png"),))
    with pytest.raises(ValueError, match="plain"):
        argv(replace(whole.invocation, outputs=(outside,)), "ffmpeg")


def test_languages_by_the_codes_that_quicktime_keeps() -> None:
    """German is `deu` in broadcasts and `ger` to ffmpeg's QuickTime writer, which drops the other."""
    german = replace(SOUND, language="deu")
    media = replace(MEDIA, streams=(FILM, german))
    mov, mp4 = (made(Profile("p", "f", container=container), media) for container in ("mov", "mp4"))
    assert dict(mov.invocation.outputs[0].streams[1].metadata)["language"] == "ger"
    assert "language" not in dict(mp4.invocation.outputs[0].streams[1].metadata)


def test_the_date_of_a_recording_is_kept() -> None:
    """Left to itself, ffmpeg would drop it."""
    assert ("map_metadata", "0") in made(Profile("p", "f")).invocation.outputs[0].options
