"""What do a transcode's costs depend on? The output, the number of pictures, and their detail."""

from __future__ import annotations

from pyprocessor.inspect.contract import kept_films, same_frame_rate
from pyprocessor.models import CostFeatures, InputLimits, MediaInfo, Profile, StreamInfo, VideoInfo
from pyprocessor.models.encoders import video_encoder
from pyprocessor.recipes.audio import sound, target_bit_rate
from pyprocessor.recipes.picture import picture, size
from pyprocessor.recipes.transcode import bit_rate_cap

_GUESSED_BITS_PER_PIXEL = 0.1
_FIELDS = 1.5
"""An interlaced film that holds so many times the pictures that it declares is stored by fields."""
_IMPLAUSIBLE = 4.0
"""By what factor the number of pictures may differ that follows from a film's declared length and from its size."""
_GUESSED_AUDIO_BIT_RATE = 128_000
_RAW_BYTES_PER_PIXEL = 6.0
"""Of an uncompressed picture at most: three components of 16 bits."""
_SOUND_BYTES_PER_SECOND = 8 * 4 * 192_000
"""At most: eight channels of 32 bits at 192 kHz."""


def features(profile: Profile, media: MediaInfo) -> CostFeatures:
    """What the cost model needs to know of the transcode that `profile` makes of `media`."""
    # Several films are encoded side by side, so their pixels add up, and `frames` counts pictures of that size.
    settings = profile.video
    films = [(film, film.video) for film in kept_films(profile, media) if film.video is not None]
    if not films or settings is None:
        return sound_features(profile, media)
    first, first_video = films[0]
    facts = first_video.packets
    made = picture(settings, first_video, keeps_rate=same_frame_rate(profile, first))
    frames, seconds = _pictures(media, first, first_video)
    pixels, coded = 0, 0.0
    for film, video in films:
        width, height = size(settings, video)
        pixels += width * height
        own = seconds * float(settings.fps) if settings.fps else _pictures(media, film, video)[0]
        coded += width * height * own
    filters = {step.name for step in made.filters}
    return CostFeatures(
        task="transcode",
        encoder=settings.encoder,
        preset=settings.preset,
        pixels=pixels,
        source_pixels=sum(video.pixels for _, video in films),
        pixel_format=made.pixel_format or first_video.pixel_format or "yuv420p",
        frames=coded / pixels,
        duration_seconds=seconds,
        source_bytes=media.size_bytes,
        target_bit_rate=bit_rate_cap(settings, made.lines),
        crf=settings.crf if video_encoder(settings.encoder).crf is not None else None,
        audio_channels=_encoded_channels(profile, media),
        source_codec=first.codec or "",
        source_bits_per_pixel=_bits_per_pixel(media, first_video, frames),
        source_keyframes_only=facts is not None and facts.keyframes == facts.pictures,
        deinterlaced="bwdif" in filters,
        tone_mapped="tonemap" in filters,
    )


def _pictures(media: MediaInfo, film: StreamInfo, video: VideoInfo) -> tuple[float, float]:
    """About how many pictures a film has, and its seconds; by packets where its header cannot be true."""
    facts = video.packets
    declared = float(video.frame_rate or 25)
    seconds = media.playing_seconds
    if facts is None:
        bits_a_second = max(1, video.pixels) * declared * _GUESSED_BITS_PER_PIXEL
        seconds = seconds or media.size_bytes * 8 / bits_a_second
        return film.frames or seconds * declared, seconds
    rate = facts.rate or declared
    share = facts.share_of_bytes
    # Where the file goes on as it begins.
    by_size = facts.pictures * (max(1.0, media.size_bytes * share / facts.bytes) if share is not None else 1.0)
    if seconds is None:
        seconds = by_size / rate
    if film.frames:
        fields = 2 if video.interlaced and film.frames > _FIELDS * seconds * declared else 1
        return film.frames / fields, seconds
    plausible = by_size / _IMPLAUSIBLE < seconds * rate < by_size * _IMPLAUSIBLE
    coded = seconds * rate if plausible and by_size > 2 * facts.pictures else by_size
    fields = 2 if video.interlaced and rate > _FIELDS * declared else 1
    return coded / fields, seconds if plausible or facts.rate is None else by_size / rate


def _bits_per_pixel(media: MediaInfo, video: VideoInfo, frames: float) -> float | None:
    """Bits per pixel of pictures that are no keyframes; of all where there are keyframes alone."""
    facts = video.packets
    if facts is None or frames <= 0 or video.pixels <= 0:
        return None
    film_bytes = facts.bytes if facts.share_of_bytes is None else media.size_bytes * facts.share_of_bytes
    between = facts.pictures - facts.keyframes
    share = (facts.bytes - facts.keyframe_bytes) / facts.bytes * facts.pictures / between if between else 1.0
    return film_bytes * 8 / (frames * video.pixels) * share


def sound_features(profile: Profile, media: MediaInfo) -> CostFeatures:
    """What the cost model needs to know of the sound alone."""
    settings, rate = profile.audio, None
    if settings is not None and media.audio and media.audio[0].audio is not None:
        made = sound(settings, profile.container, media.audio[0].audio)
        rate = target_bit_rate(settings, media.audio[0], made.channels)
    encoder = settings.encoder if settings is not None else "copy"
    seconds = media.playing_seconds or media.size_bytes * 8 / _GUESSED_AUDIO_BIT_RATE
    return CostFeatures(
        task="transcode",
        encoder=encoder,
        duration_seconds=seconds,
        source_bytes=media.size_bytes,
        target_bit_rate=rate,
        audio_channels=_encoded_channels(profile, media),
    )


def _encoded_channels(profile: Profile, media: MediaInfo) -> float:
    if profile.audio is None or profile.audio.encoder == "copy":
        return 0.0
    tracks = media.audio if profile.audio.all_tracks else media.audio[:1]
    return sum(
        track.audio.channels * min(1.0, track.audio.sample_rate / 48_000) for track in tracks if track.audio is not None
    )


def output_limit_bytes(limits: InputLimits, features: CostFeatures) -> int:
    """Bytes that an output may reach before its ffmpeg is ended: a bound that stops runaway encodes."""
    limit = limits.always_allowed_output_bytes + limits.max_output_growth * features.source_bytes
    if video_encoder(features.encoder).raw_sized:
        limit += features.frames * features.pixels * _RAW_BYTES_PER_PIXEL
    if not features.pixels:  # decoded sound may be stored uncompressed
        limit += features.duration_seconds * _SOUND_BYTES_PER_SECOND
    return int(limit)
