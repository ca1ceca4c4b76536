"""What becomes of every stream of a source? The recipe follows this contract, verification checks it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Damaged, HdrKind, MediaInfo, MediaNote, Profile, StreamInfo, StreamKind, VideoInfo
from pyprocessor.models.encoders import video_encoder


class Action(StrEnum):
    """What becomes of one source stream."""

    COPY = "copy"
    ENCODE = "encode"
    CONVERT = "convert"
    """A text subtitle into the container's own kind."""
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What becomes of source stream `index`. `encoder` is ffmpeg's name or `copy`."""

    index: int
    kind: StreamKind
    action: Action = Action.DROP
    encoder: str | None = None
    cover: bool = False
    attached: bool = False
    """A cover that the container holds as an attachment, which ffmpeg takes as a file and puts last."""
    reason: str = ""
    loss: str = ""
    """What is dropped and why, and the kind of loss that is; empty where the profile asks for it."""


@dataclass(frozen=True, slots=True)
class Contract:
    """`streams` has every source stream, kept ones first and in output order."""

    streams: tuple[StreamPlan, ...]
    container: str
    same_frames: bool
    """Whether every source picture becomes one output picture."""
    limit_seconds: float | None = None
    """Where the output is to end although subtitles and chapters of the source go on far beyond the film."""
    notes: tuple[MediaNote, ...] = ()

    @property
    def kept(self) -> tuple[StreamPlan, ...]:
        """The streams that the output will hold."""
        return tuple(plan for plan in self.streams if plan.action is not Action.DROP)

    @property
    def films(self) -> tuple[StreamPlan, ...]:
        """The video tracks that the output will hold, without covers."""
        return tuple(plan for plan in self.kept if plan.kind is StreamKind.VIDEO and not plan.cover)

    def count(self, kind: StreamKind) -> int:
        """Return how many streams of a kind the output will hold, without covers."""
        return sum(plan.kind is kind and not plan.cover for plan in self.kept)


@dataclass(frozen=True, slots=True)
class _Container:
    """What an output container holds beside encoded video and audio."""

    copied_audio: frozenset[str] = frozenset()
    covers: frozenset[str] = frozenset()
    text_subtitles: str | None = None
    """The encoder that text subtitles are converted with."""
    kept_subtitles: frozenset[str] = frozenset()
    attachments: bool = False
    """Whether it holds files; covers are files there."""
    one_audio: bool = False


def _codecs(names: str) -> frozenset[str]:
    return frozenset(names.split())


_MOV_AUDIO = _codecs("aac mp3 ac3 eac3 alac")
_MKV_AUDIO = _MOV_AUDIO | _codecs("dts truehd flac opus vorbis mp2 pcm_s16le pcm_s24le pcm_f32le")
_MKV_SUBTITLES = _codecs("subrip ass webvtt hdmv_pgs_subtitle dvd_subtitle dvb_subtitle")
_COVERS = _codecs("mjpeg png")
_MKV_COVERS = _COVERS | _codecs("gif tiff")
"""Those that are read back as covers where they are attachments."""
_CONTAINERS = {
    "mp4": _Container(_MOV_AUDIO, _COVERS, "mov_text", _codecs("mov_text")),
    "mov": _Container(_MOV_AUDIO | _codecs("pcm_s16le pcm_s24le"), _COVERS, "mov_text", _codecs("mov_text")),
    "mkv": _Container(_MKV_AUDIO, _MKV_COVERS, "srt", _MKV_SUBTITLES, attachments=True),
    "webm": _Container(_codecs("opus vorbis"), text_subtitles="webvtt", kept_subtitles=_codecs("webvtt")),
    "mpegts": _Container(_codecs("aac mp3 mp2 ac3 eac3")),
    "m4a": _Container(_codecs("aac alac ac3"), _COVERS),
    "mka": _Container(_MKV_AUDIO, _MKV_COVERS, attachments=True),
    "ogg": _Container(_codecs("vorbis opus flac"), one_audio=True),
    "opus": _Container(_codecs("opus"), one_audio=True),
    "mp3": _Container(_codecs("mp3"), _COVERS, one_audio=True),
    "flac": _Container(_codecs("flac"), _COVERS, one_audio=True),
    "wav": _Container(_codecs("pcm_s16le pcm_s24le pcm_f32le"), one_audio=True),
}
"""Any other container gets video and audio only. Players show no bitmap subtitles in MP4 and MOV."""
_AFTER_THE_END_SECONDS = 1.0
"""Added to the end that is set for an output, so that no picture and no encoder delay is cut."""
_TEXT_SUBTITLES = ("subrip", "ass", "mov_text", "webvtt", "text", "eia_608", "subviewer", "microdvd", "ttml")


def contract(profile: Profile, media: MediaInfo) -> Contract:
    """Return what the output that `profile` makes of `media` must hold.

    Raises JobError with a sentence where no sound output can be made: nothing of what the profile makes is in the
    source or can be decoded, its Dolby Vision has no picture for other players, or the profile refuses its damage.
    """
    refuse_damage(profile, media.notes)
    container = _CONTAINERS.get(profile.container, _Container())
    film = _film(profile, media)
    plans = _audio(profile, media, container)
    if film is None and all(plan.action is Action.DROP for plan in plans):
        text = "It has no audio, and the profile makes audio alone; use a profile that makes video for it."
        raise JobError(FailureKind.UNSUPPORTED, text)
    if film is not None and profile.video is not None:
        plans.append(StreamPlan(film.index, StreamKind.VIDEO, Action.ENCODE, profile.video.encoder))
    further = [stream for stream in media.streams if stream is not film and stream.kind is not StreamKind.AUDIO]
    for stream in sorted(further, key=lambda s: s.kind is not StreamKind.VIDEO):
        attached = stream.video is not None and stream.video.attached_picture
        if attached:
            plans.append(_cover(profile, stream, container))
        elif stream.kind is StreamKind.VIDEO:
            plans.append(_further_film(profile, stream))
        else:
            plans.append(_other(profile, stream, container))
    dropped = [plan for plan in plans if plan.action is Action.DROP]
    kept = [plan for plan in plans if plan.action is not Action.DROP]
    order = {StreamKind.VIDEO: 0, StreamKind.AUDIO: 1}
    kept.sort(key=lambda plan: (plan.attached, order.get(plan.kind, 2)))
    notes = _losses(plans)
    limit = _end_of_tracks(media, kept)
    if limit is not None:
        text = (
            f"The container declares {media.duration_seconds:,.1f} s, but its video and audio last {limit:,.1f} s; "
            "subtitles and chapters after their end were left out."
        )
        notes.append(MediaNote(text, "subtitles and chapters after the end of the film dropped"))
        limit += _AFTER_THE_END_SECONDS
    same_frames = film is None or same_frame_rate(profile, film)
    return Contract((*kept, *dropped), profile.container, same_frames, limit, tuple(notes))


def refuse_damage(profile: Profile, notes: Iterable[MediaNote]) -> None:
    """Raise JobError where one of the notes is about damage and the profile refuses damaged sources."""
    damage = next((note for note in notes if note.damage), None)
    if damage is not None and profile.damaged is Damaged.REFUSE:
        text = f"{damage.text} With `damaged: keep` and --retry-failed, what is there of it is made."
        raise JobError(FailureKind.BAD_INPUT, text)


def _film(profile: Profile, media: MediaInfo) -> StreamInfo | None:
    """Return the film (None: audio alone is made). Raises JobError where it cannot be encoded."""
    if profile.video is None:
        return None
    film = media.video
    if film is None or film.video is None:
        if media.audio:
            raise JobError(FailureKind.UNSUPPORTED, "It has no video, only audio; use the profile audio for it.")
        raise JobError(FailureKind.BAD_INPUT, "It has neither video nor audio.")
    if film.frames == 0:
        # The first note of the probe says why there are none.
        why = [note.text for number, note in enumerate(media.notes) if number == 0 or note.damage]
        raise JobError(FailureKind.BAD_INPUT, " ".join(why) or "Its video track holds no pictures.")
    if film.codec is None:
        raise JobError(FailureKind.UNSUPPORTED, "Its video is in a codec for which there is no decoder.")
    if film.video.width < 1 or film.video.height < 1:
        raise JobError(FailureKind.BAD_INPUT, "Its video does not say how large its pictures are: it is damaged.")
    if film.goes_on_elsewhere:
        text = (
            f"Its video ends after {film.duration_seconds or 0.0:,.1f} s and goes on in another stream: the recording "
            "changes to another programme there. Cut it in two at that place, and give both parts."
        )
        raise JobError(FailureKind.UNSUPPORTED, text)
    if _is_single_layer_dolby_vision(film.video):
        text = "Its video is Dolby Vision without a picture for other players (profile 5 or 10.0)"
        raise JobError(FailureKind.UNSUPPORTED, f"{text}; ffmpeg would turn its colours green and purple.")
    return film


def _cover(profile: Profile, stream: StreamInfo, container: _Container) -> StreamPlan:
    if not profile.keep_attachments or (profile.strip_location and stream.has_location):
        return StreamPlan(stream.index, stream.kind)
    if stream.codec not in container.covers:
        return _lose(stream, "cover picture", f"{profile.container} holds no {stream.codec or 'unknown codec'}")
    return StreamPlan(stream.index, stream.kind, Action.COPY, "copy", cover=True, attached=container.attachments)


def _further_film(profile: Profile, stream: StreamInfo) -> StreamPlan:
    if profile.video is None:
        return StreamPlan(stream.index, stream.kind)
    if not profile.video.all_tracks:
        return _lose(stream, "further video track", "the profile keeps the first")
    video = stream.video
    if video is None or stream.codec is None or stream.frames == 0 or video.width < 1 or video.height < 1:
        return _lose(stream, "further video track", f"{stream.codec or 'its codec'} cannot be decoded")
    if _is_single_layer_dolby_vision(video):
        return _lose(stream, "further video track", "Dolby Vision without a picture for other players")
    return StreamPlan(stream.index, stream.kind, Action.ENCODE, profile.video.encoder)


def _is_single_layer_dolby_vision(video: VideoInfo) -> bool:
    """Return whether it is of profile 5 or 10.0, which ffmpeg would turn green and purple."""
    return video.hdr is HdrKind.DOLBY_VISION and video.colour.transfer is None


def can_be_decoded(stream: StreamInfo) -> bool:
    """Return whether an audio track has a decoder, and says how its samples lie."""
    audio = stream.audio
    return stream.codec is not None and audio is not None and min(audio.channels, audio.sample_rate) > 0


def _audio(profile: Profile, media: MediaInfo, container: _Container) -> list[StreamPlan]:
    """Return what becomes of the sound tracks, dropped ones first."""
    settings = profile.audio
    if settings is None:
        return [StreamPlan(stream.index, stream.kind) for stream in media.audio]
    sound: list[StreamInfo] = []
    lost: list[StreamPlan] = []
    for stream in (stream for stream in media.audio if stream.frames != 0):
        if can_be_decoded(stream):
            sound.append(stream)
        else:
            lost.append(_lose(stream, "audio track", f"{stream.codec or 'its codec'} cannot be decoded"))
    if lost and not sound:
        codecs = ", ".join(stream.codec or "unknown codec" for stream in media.audio)
        text = f"Its audio cannot be decoded ({codecs}); use --no-audio to have it without sound."
        raise JobError(FailureKind.UNSUPPORTED, text)
    if sound and (container.one_audio or not settings.all_tracks):
        chosen = next((stream for stream in sound if "default" in stream.dispositions), sound[0])
        why = f"{profile.container} holds one" if container.one_audio else "the profile keeps one"
        lost += [_lose(stream, "further audio track", why) for stream in sound if stream is not chosen]
        sound = [chosen]
    lost += [_lose(stream, "audio track", "it holds no sound") for stream in media.audio if stream.frames == 0]
    encoded = [
        _copy(stream)
        if _may_copy_audio(profile, stream, container)
        else StreamPlan(stream.index, stream.kind, Action.ENCODE, settings.encoder)
        for stream in sound
    ]
    return lost + encoded


def _may_copy_audio(profile: Profile, stream: StreamInfo, container: _Container) -> bool:
    """Return whether sound can stay as it is, by the profile's audio settings and the container."""
    settings, audio = profile.audio, stream.audio
    if settings is None or audio is None or stream.codec not in container.copied_audio:
        return False
    if profile.strip_location and stream.codec == "vorbis":  # its header holds the tags of the file it came from
        return False
    few_enough = settings.channels is None or audio.channels <= settings.channels
    return settings.copy_if_compatible and few_enough and settings.sample_rate in (None, audio.sample_rate)


def _other(profile: Profile, stream: StreamInfo, container: _Container) -> StreamPlan:
    """Return what becomes of subtitles, an attachment or a data track."""
    if stream.kind is StreamKind.DATA and not stream.chapter_titles:  # chapters are written anew
        return _lose(stream, "data track", "telemetry or timecode, which nothing plays")
    is_file, located = stream.kind is StreamKind.ATTACHMENT, profile.strip_location and stream.has_location
    wanted = profile.keep_attachments if is_file else profile.keep_subtitles and profile.video and not located
    if not wanted or stream.chapter_titles:
        return StreamPlan(stream.index, stream.kind)
    if is_file and not container.attachments:
        return _lose(stream, "attachment", f"{profile.container} holds none")
    if is_file or stream.codec in container.kept_subtitles:
        return _copy(stream)
    if stream.codec in _TEXT_SUBTITLES and container.text_subtitles is not None:
        why = f"{profile.container} holds their text and little more"
        lost = (f"styles of subtitles ({why})", f"styles of subtitles dropped ({why})")
        reason, loss = lost if stream.codec == "ass" else ("", "")
        encoder = container.text_subtitles
        return StreamPlan(stream.index, stream.kind, Action.CONVERT, encoder, reason=reason, loss=loss)
    why = f"{profile.container} holds no {stream.codec or 'unknown codec'}"
    return StreamPlan(stream.index, stream.kind, reason=f"subtitles ({why})", loss=f"subtitles dropped ({why})")


def _copy(stream: StreamInfo) -> StreamPlan:
    return StreamPlan(stream.index, stream.kind, Action.COPY, "copy")


def _lose(stream: StreamInfo, what: str, why: str) -> StreamPlan:
    """Drop a stream that the profile would keep; `what` it is, as a noun without its article."""
    article = "an" if what[0] in "aeiou" else "a"
    return StreamPlan(stream.index, stream.kind, reason=f"{article} {what} ({why})", loss=f"{what}s dropped ({why})")


def _end_of_tracks(media: MediaInfo, kept: list[StreamPlan]) -> float | None:
    """Return when the last film or sound that is kept ends, where the container goes on far beyond that."""
    indexes = {p.index for p in kept if p.kind in (StreamKind.VIDEO, StreamKind.AUDIO) and not p.cover}
    tracks = [stream for stream in media.streams if stream.index in indexes]
    lengths = [stream.duration_seconds for stream in tracks if stream.duration_seconds is not None]
    if not tracks or len(lengths) < len(tracks) or (media.duration_seconds or 0.0) <= 2 * max(lengths) + 60:
        return None
    return max(stream.start_seconds + length for stream, length in zip(tracks, lengths, strict=True))


def _losses(plans: list[StreamPlan]) -> list[MediaNote]:
    """Return a note for each reason with the streams it concerns; none for what the profile asks for."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for plan in plans:
        if plan.loss:
            of = "" if plan.action is Action.DROP else "of "
            reasons.setdefault((of, plan.reason, plan.loss), []).append(str(plan.index))
    return [
        MediaNote(f"Left out {of}stream{'s' * (len(indexes) > 1)} {', '.join(indexes)}: {reason}.", loss)
        for (of, reason, loss), indexes in reasons.items()
    ]


def kept_films(profile: Profile, media: MediaInfo) -> tuple[StreamInfo, ...]:
    """Return the video tracks that the output will hold, without covers, the first one first."""
    if profile.video is None:
        return ()
    further = (film for film in media.films[1:] if _further_film(profile, film).action is not Action.DROP)
    return (*media.films[:1], *further)


def same_frame_rate(profile: Profile, film: StreamInfo) -> bool:
    """Return whether the profile makes one picture of each picture of `film`."""
    if profile.video is None or film.video is None:
        return True
    rate = film.video.frame_rate
    if profile.video.fps is not None and (rate != profile.video.fps or film.video.variable_frame_rate):
        return False
    most = video_encoder(profile.video.encoder).most_pictures_a_second
    return most is None or rate is None or rate <= most
