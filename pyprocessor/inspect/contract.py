"""What becomes of every stream of a source, which verification then holds the output to.

Pure: from a Profile and a MediaInfo alone. The recipe follows the contract and verification holds the output to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import (
    AudioSettings,
    Damaged,
    HdrKind,
    MediaInfo,
    MediaNote,
    Profile,
    StreamInfo,
    StreamKind,
    VideoInfo,
)
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
    """What becomes of source stream `index`. `encoder` is ffmpeg's name or `copy`; `reason` says why one is dropped."""

    index: int
    kind: StreamKind
    action: Action
    encoder: str | None = None
    cover: bool = False
    attached: bool = False
    """A cover that the container holds as an attachment, which ffmpeg takes as a file and puts last."""
    reason: str = ""
    loss: str = ""
    """What dropping it is counted as; empty where the profile asks for it."""


@dataclass(frozen=True, slots=True)
class Contract:
    """`streams` has every source stream, kept ones first and in output order.

    When pictures and sound are to come follows from the source's packets, and not from this.
    """

    streams: tuple[StreamPlan, ...]
    container: str
    same_frames: bool
    """Whether every source picture becomes one output picture (the frame rate is unchanged)."""
    limit_seconds: float | None = None
    """Where the output is to end although the source goes on: subtitles and chapters far beyond the end of the film."""
    notes: tuple[MediaNote, ...] = ()

    @property
    def kept(self) -> tuple[StreamPlan, ...]:
        return tuple(plan for plan in self.streams if plan.action is not Action.DROP)

    @property
    def films(self) -> tuple[StreamPlan, ...]:
        return tuple(plan for plan in self.kept if plan.kind is StreamKind.VIDEO and not plan.cover)

    @property
    def video_streams(self) -> int:
        return len(self.films)

    @property
    def cover_pictures(self) -> int:
        return sum(plan.cover for plan in self.kept)

    @property
    def audio_streams(self) -> int:
        return sum(plan.kind is StreamKind.AUDIO for plan in self.kept)

    @property
    def subtitle_streams(self) -> int:
        return sum(plan.kind is StreamKind.SUBTITLE for plan in self.kept)

    @property
    def attachments(self) -> int:
        return sum(plan.kind is StreamKind.ATTACHMENT for plan in self.kept)


@dataclass(frozen=True, slots=True)
class _Container:
    """What an output container takes beside encoded video and audio."""

    text_subtitles: str | None = None
    """The encoder that text subtitles are converted with."""
    kept_subtitles: frozenset[str] = frozenset()
    """Subtitle codecs that are copied as they are."""
    copied_audio: frozenset[str] = frozenset()
    covers: frozenset[str] = frozenset()
    attachments: bool = False
    """Whether it holds files; a cover is one of them there."""
    one_audio: bool = False


_MOV_AUDIO = frozenset(("aac", "mp3", "ac3", "eac3", "alac"))
_COVERS = frozenset(("mjpeg", "png"))
ATTACHED_COVERS = frozenset(("mjpeg", "png", "gif", "tiff"))
"""Pictures that are read back as covers where they are attachments."""
_MKV_AUDIO = _MOV_AUDIO | {"dts", "truehd", "flac", "opus", "vorbis", "mp2", "pcm_s16le", "pcm_s24le", "pcm_f32le"}
_CONTAINERS = {
    "mp4": _Container("mov_text", frozenset(("mov_text",)), _MOV_AUDIO, _COVERS),
    "mov": _Container("mov_text", frozenset(("mov_text",)), _MOV_AUDIO | {"pcm_s16le", "pcm_s24le"}, _COVERS),
    "mkv": _Container(
        "srt",
        frozenset(("subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle")),
        _MKV_AUDIO,
        ATTACHED_COVERS,
        attachments=True,
    ),
    "webm": _Container("webvtt", frozenset(("webvtt",)), frozenset(("opus", "vorbis"))),
    "mpegts": _Container(copied_audio=frozenset(("aac", "mp3", "mp2", "ac3", "eac3"))),
    "m4a": _Container(copied_audio=frozenset(("aac", "alac", "ac3")), covers=_COVERS),
    "mka": _Container(copied_audio=_MKV_AUDIO, covers=ATTACHED_COVERS, attachments=True),
    "ogg": _Container(copied_audio=frozenset(("vorbis", "opus", "flac")), one_audio=True),
    "opus": _Container(copied_audio=frozenset(("opus",)), one_audio=True),
    "mp3": _Container(copied_audio=frozenset(("mp3",)), covers=_COVERS, one_audio=True),
    "flac": _Container(copied_audio=frozenset(("flac",)), covers=_COVERS, one_audio=True),
    "wav": _Container(copied_audio=frozenset(("pcm_s16le", "pcm_s24le", "pcm_f32le")), one_audio=True),
}
"""A container that is not listed gets video and audio and nothing else.

MP4 and MOV refuse attachments, and players show no bitmap subtitles in them.
"""

TEXT_SUBTITLES = frozenset(("subrip", "ass", "mov_text", "webvtt", "text", "eia_608", "subviewer", "microdvd", "ttml"))
_AFTER_THE_END_SECONDS = 1.0
"""Left where the end of an output is set, so that no picture and no sample of encoder delay is cut."""


def contract(profile: Profile, media: MediaInfo) -> Contract:
    """What the output that `profile` makes of `media` must hold.

    Raises JobError with a sentence where nothing sound can be made of the source: no video for a video profile, no
    audio for an audio profile, no picture that decodes, no decoder, Dolby Vision without a picture for other players,
    damage that the profile refuses.
    """
    refuse_damage(profile, media.notes)
    container = _CONTAINERS.get(profile.container, _Container())
    film = _film(profile, media)
    kept_audio, dropped_audio = _audio(profile, media, container)
    if film is None and not kept_audio:
        raise JobError(
            FailureKind.UNSUPPORTED,
            "It has no audio, and the profile makes audio alone; use a profile that makes video for it.",
        )
    kept: list[StreamPlan] = []
    attached: list[StreamPlan] = []
    dropped = list(dropped_audio)
    if film is not None and profile.video is not None:
        kept.append(StreamPlan(film.index, StreamKind.VIDEO, Action.ENCODE, profile.video.encoder))
    for stream in media.streams:
        if stream.kind is StreamKind.VIDEO and stream is not film:
            plan = _further_video(profile, stream, container)
            (dropped if plan.action is Action.DROP else attached if plan.attached else kept).append(plan)
    kept.extend(kept_audio)
    for stream in media.streams:
        if stream.kind in (StreamKind.SUBTITLE, StreamKind.ATTACHMENT, StreamKind.DATA):
            plan = _other(profile, stream, container)
            (dropped if plan.action is Action.DROP else kept).append(plan)
    return _agreed(profile, media, film, kept + attached, dropped)


def refuse_damage(profile: Profile, notes: Iterable[MediaNote]) -> None:
    """Raise JobError where one of the notes is about damage and the profile refuses damaged sources."""
    damage = next((note for note in notes if note.damage), None)
    if damage is not None and profile.damaged is Damaged.REFUSE:
        raise JobError(
            FailureKind.BAD_INPUT,
            f"{damage.text} With `damaged: keep` and --retry-failed, what is there of it is made.",
        )


def _far(declared: float, longest: float) -> bool:
    return declared > 2 * longest + 60


def _film(profile: Profile, media: MediaInfo) -> StreamInfo | None:
    if profile.video is None:
        return None
    film = media.video
    if film is None or film.video is None:
        if media.audio:
            raise JobError(FailureKind.UNSUPPORTED, "It has no video, only audio; use --profile audio for it.")
        raise JobError(FailureKind.BAD_INPUT, "It has neither video nor audio.")
    if film.frames == 0:
        # The probe says first why it found none.
        why = [note.text for number, note in enumerate(media.notes) if number == 0 or note.damage]
        raise JobError(FailureKind.BAD_INPUT, " ".join(why) or "Its video track holds no pictures.")
    if film.codec is None:
        raise JobError(FailureKind.UNSUPPORTED, "Its video is in a codec for which there is no decoder.")
    if film.video.width < 1 or film.video.height < 1:
        raise JobError(FailureKind.BAD_INPUT, "Its video does not say how large its pictures are: it is damaged.")
    if film.goes_on_elsewhere:
        raise JobError(
            FailureKind.UNSUPPORTED,
            f"Its video ends after {film.duration_seconds or 0.0:,.1f} s and goes on in another stream: the recording "
            "changes to another programme there. Cut it in two at that place, and give both parts.",
        )
    if _is_single_layer_dolby_vision(film.video):
        raise JobError(
            FailureKind.UNSUPPORTED,
            "Its video is Dolby Vision without a picture for other players (profile 5 or 10.0); "
            "ffmpeg would turn its colours green and purple.",
        )
    return film


def _further_video(profile: Profile, stream: StreamInfo, container: _Container) -> StreamPlan:
    if stream.video is None or not stream.video.attached_picture:
        return _further_film(profile, stream)
    if not profile.keep_attachments:
        return _drop(stream, "a cover picture")
    if profile.strip_location and stream.has_location:
        return _drop(stream, "a cover picture that says where it was taken")
    if stream.codec not in container.covers:
        return _lose(stream, "a cover picture", f"{profile.container} holds no {stream.codec or 'unknown codec'}")
    return StreamPlan(stream.index, stream.kind, Action.COPY, "copy", cover=True, attached=container.attachments)


def _further_film(profile: Profile, stream: StreamInfo) -> StreamPlan:
    if profile.video is None:
        return _drop(stream, "video")
    if not profile.video.all_tracks:
        return _lose(stream, "a further video track", "the profile keeps the first")
    video = stream.video
    if video is None or stream.codec is None or stream.frames == 0 or video.width < 1 or video.height < 1:
        return _lose(stream, "a further video track", f"{stream.codec or 'its codec'} cannot be decoded")
    if _is_single_layer_dolby_vision(video):
        return _lose(stream, "a further video track", "Dolby Vision without a picture for other players")
    return StreamPlan(stream.index, stream.kind, Action.ENCODE, profile.video.encoder)


def _is_single_layer_dolby_vision(video: VideoInfo) -> bool:
    """Profile 5 or 10.0, which ffmpeg would turn green and purple."""
    return video.hdr is HdrKind.DOLBY_VISION and video.colour.transfer is None


def _audio(profile: Profile, media: MediaInfo, container: _Container) -> tuple[list[StreamPlan], list[StreamPlan]]:
    settings = profile.audio
    if settings is None:
        return [], [_drop(stream, "audio") for stream in media.audio]
    dropped = []
    sound = []
    empty = [_lose(stream, "an audio track", "it holds no sound") for stream in media.audio if stream.frames == 0]
    for stream in media.audio:
        if stream.frames == 0:
            continue
        if stream.codec is None or stream.audio is None or stream.audio.channels < 1 or stream.audio.sample_rate < 1:
            dropped.append(_lose(stream, "an audio track", f"{stream.codec or 'its codec'} cannot be decoded"))
        else:
            sound.append(stream)
    if dropped and not sound:
        codecs = ", ".join(stream.codec or "unknown codec" for stream in media.audio)
        raise JobError(
            FailureKind.UNSUPPORTED,
            f"Its audio cannot be decoded ({codecs}); use --no-audio to have it without sound.",
        )
    if sound and (container.one_audio or not settings.all_tracks):
        chosen = next((stream for stream in sound if "default" in stream.dispositions), sound[0])
        why = f"{profile.container} holds one" if container.one_audio else "the profile keeps one"
        dropped += [_lose(stream, "a further audio track", why) for stream in sound if stream is not chosen]
        sound = [chosen]
    kept = []
    for stream in sound:
        copy = _copies(settings, stream, container)
        if profile.strip_location and stream.codec == "vorbis":
            copy = False  # its own header holds the tags of the file it came from
        action, encoder = (Action.COPY, "copy") if copy else (Action.ENCODE, settings.encoder)
        kept.append(StreamPlan(stream.index, stream.kind, action, encoder))
    return kept, dropped + empty


def _copies(settings: AudioSettings, stream: StreamInfo, container: _Container) -> bool:
    if not settings.copy_if_compatible or stream.audio is None or stream.codec not in container.copied_audio:
        return False
    if settings.channels is not None and stream.audio.channels > settings.channels:
        return False
    return settings.sample_rate in (None, stream.audio.sample_rate)


def _other(profile: Profile, stream: StreamInfo, container: _Container) -> StreamPlan:
    if stream.chapter_titles:
        return StreamPlan(stream.index, stream.kind, Action.DROP, reason="its chapters, which are written anew")
    if stream.kind is StreamKind.DATA:
        return _lose(stream, "a data track", "telemetry or timecode, which nothing plays")
    if stream.kind is StreamKind.ATTACHMENT:
        if profile.keep_attachments and container.attachments:
            return StreamPlan(stream.index, stream.kind, Action.COPY, "copy")
        if not profile.keep_attachments:
            return _drop(stream, "an attachment")
        return _lose(stream, "an attachment", f"{profile.container} holds none")
    if not profile.keep_subtitles or profile.video is None:
        return _drop(stream, "subtitles")
    if profile.strip_location and stream.has_location:
        return _drop(stream, "subtitles that say where it was recorded")
    if stream.codec in container.kept_subtitles:
        return StreamPlan(stream.index, stream.kind, Action.COPY, "copy")
    if stream.codec in TEXT_SUBTITLES and container.text_subtitles is not None:
        return StreamPlan(stream.index, stream.kind, Action.CONVERT, container.text_subtitles)
    return _lose(stream, "subtitles", f"{profile.container} holds no {stream.codec or 'unknown codec'}")


def _drop(stream: StreamInfo, what: str) -> StreamPlan:
    """Drop a stream as the profile asks."""
    return StreamPlan(stream.index, stream.kind, Action.DROP, reason=f"{what}, which the profile leaves out")


def _lose(stream: StreamInfo, what: str, why: str) -> StreamPlan:
    """Drop a stream that the profile would keep. `what` is "subtitles", or one thing with its article."""
    several = what if what.endswith("s") else what.split(" ", 1)[1] + "s"
    return StreamPlan(
        stream.index, stream.kind, Action.DROP, reason=f"{what} ({why})", loss=f"{several} dropped ({why})"
    )


def _agreed(
    profile: Profile, media: MediaInfo, film: StreamInfo | None, kept: list[StreamPlan], dropped: list[StreamPlan]
) -> Contract:
    notes = _left_out(dropped)
    limit = _end_of_tracks(media, kept)
    if limit is not None:
        text = (
            f"The container declares {media.duration_seconds:,.1f} s, but its video and audio last {limit:,.1f} s; "
            "subtitles and chapters after their end were left out."
        )
        notes.append(MediaNote(text, "subtitles and chapters after the end of the film dropped"))
        limit += _AFTER_THE_END_SECONDS
    return Contract(
        streams=(*kept, *dropped),
        container=profile.container,
        same_frames=film is None or same_frame_rate(profile, film),
        limit_seconds=limit,
        notes=tuple(notes),
    )


def _end_of_tracks(media: MediaInfo, kept: list[StreamPlan]) -> float | None:
    """When the last film or sound that is kept ends, where the container goes on far beyond that."""
    indexes = {p.index for p in kept if p.kind in (StreamKind.VIDEO, StreamKind.AUDIO) and not p.cover}
    tracks = [stream for stream in media.streams if stream.index in indexes]
    if not tracks or media.duration_seconds is None or any(s.duration_seconds is None for s in tracks):
        return None
    if not _far(media.duration_seconds, max(s.duration_seconds or 0.0 for s in tracks)):
        return None
    return max(s.start_seconds + (s.duration_seconds or 0.0) for s in tracks)


def _left_out(dropped: list[StreamPlan]) -> list[MediaNote]:
    """One sentence for each reason, with the streams it goes for; what the profile asked for needs no telling."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for plan in dropped:
        if plan.loss:
            reasons.setdefault((plan.reason, plan.loss), []).append(str(plan.index))
    return [
        MediaNote(f"Left out {'stream' if len(indexes) == 1 else 'streams'} {', '.join(indexes)}: {reason}.", loss)
        for (reason, loss), indexes in reasons.items()
    ]


def kept_films(profile: Profile, media: MediaInfo) -> tuple[StreamInfo, ...]:
    """The video tracks that the output will hold, covers left out, the first one first."""
    first = media.video
    if first is None or profile.video is None:
        return ()
    further = (s for s in media.streams if s.video is not None and not s.video.attached_picture and s is not first)
    return (first, *(s for s in further if _further_film(profile, s).action is not Action.DROP))


def same_frame_rate(profile: Profile, film: StreamInfo) -> bool:
    """Whether the profile makes one picture of each picture of `film`."""
    if profile.video is None or film.video is None:
        return True
    rate = film.video.frame_rate
    if profile.video.fps is not None and (rate != profile.video.fps or film.video.variable_frame_rate):
        return False
    most = video_encoder(profile.video.encoder).most_pictures_a_second
    return most is None or rate is None or rate <= most
