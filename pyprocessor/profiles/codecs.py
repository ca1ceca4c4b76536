"""What is known of encoders and containers, so that a setting one of them refuses is told before any file is touched.

An encoder that is not listed is allowed and only checked in general; the real ffmpeg has the last word.
Which container holds which codec was tried with FFmpeg 9.0.2 by muxing a clip of each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_X26X_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)


@dataclass(frozen=True, slots=True)
class EncoderFacts:
    """`family` groups encoders whose settings mean the same; `presets` is empty where there is no such option.

    `crf` is the lowest and highest value; `default_*` is what a profile gets that names none.
    """

    family: str
    codec: str
    crf: tuple[int, int] | None = None
    default_crf: int | None = None
    presets: tuple[str, ...] = ()
    default_preset: str | None = None
    tunes: tuple[str, ...] = ()


_X264 = EncoderFacts(
    family="x264",
    codec="h264",
    crf=(0, 51),
    default_crf=20,
    presets=_X26X_PRESETS,
    default_preset="medium",
    tunes=("film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency"),
)

VIDEO_ENCODERS: dict[str, EncoderFacts] = {
    "libx264": _X264,
    "libx264rgb": _X264,
    "libx265": EncoderFacts(
        family="x265",
        codec="hevc",
        crf=(0, 51),
        default_crf=22,
        presets=_X26X_PRESETS,
        default_preset="medium",
        tunes=("animation", "grain", "psnr", "ssim", "fastdecode", "zerolatency"),
    ),
    "libsvtav1": EncoderFacts(
        family="svt-av1",
        codec="av1",
        crf=(0, 63),
        default_crf=28,
        presets=tuple(str(level) for level in range(14)),
        default_preset="8",
    ),
    "libaom-av1": EncoderFacts(family="aom", codec="av1", crf=(0, 63), default_crf=28, tunes=("psnr", "ssim")),
    "libvpx-vp9": EncoderFacts(family="vp9", codec="vp9", crf=(0, 63), default_crf=31, tunes=("psnr", "ssim")),
    "libvpx": EncoderFacts(family="vp8", codec="vp8", crf=(4, 63), default_crf=10, tunes=("psnr", "ssim")),
    "mpeg4": EncoderFacts(family="mpeg4", codec="mpeg4"),
    "mpeg2video": EncoderFacts(family="mpeg2video", codec="mpeg2video"),
    "mjpeg": EncoderFacts(family="mjpeg", codec="mjpeg"),
    "ffv1": EncoderFacts(family="ffv1", codec="ffv1"),
    "prores_ks": EncoderFacts(family="prores", codec="prores"),
    "dnxhd": EncoderFacts(family="dnxhd", codec="dnxhd"),
    "libtheora": EncoderFacts(family="theora", codec="theora"),
}

_CODEC_BY_PREFIX = {
    "h264_": "h264",
    "hevc_": "hevc",
    "av1_": "av1",
    "vp9_": "vp9",
    "vp8_": "vp8",
    "mpeg2_": "mpeg2video",
    "mjpeg_": "mjpeg",
    "librav1e": "av1",
    "libopenh264": "h264",
    "libkvazaar": "hevc",
    "prores": "prores",
}

_AUDIO_CODECS = {
    "aac": "aac",
    "libfdk_aac": "aac",
    "aac_at": "aac",
    "libopus": "opus",
    "opus": "opus",
    "libmp3lame": "mp3",
    "libvorbis": "vorbis",
    "vorbis": "vorbis",
    "flac": "flac",
    "alac": "alac",
    "ac3": "ac3",
    "ac3_fixed": "ac3",
    "eac3": "eac3",
    "mp2": "mp2",
    "libtwolame": "mp2",
    "wavpack": "wavpack",
    "dca": "dts",
}

SAMPLE_RATES: dict[str, tuple[int, ...]] = {
    "opus": (8000, 12000, 16000, 24000, 48000),
    "mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    "mp2": (16000, 22050, 24000, 32000, 44100, 48000),
    "ac3": (32000, 44100, 48000),
    "eac3": (32000, 44100, 48000),
}
"""The only sample rates (Hz) that a codec takes, for those that take few."""

EIGHT_BIT_FORMATS = re.compile(r"(yuvj?4[0-4][0-4]p|yuva4[0-4][0-4]p|nv\d\d|rgb24|bgr24|rgba|bgra|gbrp|gray)")
"""Pixel formats that cannot hold HDR."""

DEFAULT_AUDIO_RATES = {"aac": 160_000, "opus": 128_000, "mp3": 192_000, "vorbis": 160_000}
"""Bits per second of stereo, for codecs whose encoder's own default is lower than what plays without artefacts."""


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """`video` and `audio` are the codecs it holds; empty: no such stream; None: any."""

    extension: str
    video: tuple[str, ...] | None
    audio: tuple[str, ...] | None
    default_video: str | None = "libx264"
    default_audio: str = "aac"


CONTAINERS: dict[str, ContainerFacts] = {
    "mp4": ContainerFacts(
        "mp4",
        ("h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mjpeg", "ffv1"),
        ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac", "vorbis", "mp2", "dts", "pcm"),
    ),
    "mov": ContainerFacts(
        "mov",
        ("h264", "hevc", "prores", "dnxhd", "mpeg4", "mpeg2video", "mjpeg", "ffv1"),
        ("aac", "alac", "mp3", "ac3", "eac3", "mp2", "dts", "pcm"),
    ),
    "mkv": ContainerFacts("mkv", None, None),
    "webm": ContainerFacts("webm", ("vp8", "vp9", "av1"), ("opus", "vorbis"), "libvpx-vp9", "libopus"),
    "mpegts": ContainerFacts(
        "ts", ("h264", "hevc", "mpeg2video", "mpeg4"), ("aac", "mp3", "mp2", "ac3", "eac3", "opus", "dts")
    ),
    "m4a": ContainerFacts("m4a", (), ("aac", "alac", "ac3"), None),
    "mka": ContainerFacts("mka", (), None, None, "libopus"),
    "ogg": ContainerFacts("ogg", (), ("vorbis", "opus", "flac"), None, "libvorbis"),
    "opus": ContainerFacts("opus", (), ("opus",), None, "libopus"),
    "mp3": ContainerFacts("mp3", (), ("mp3",), None, "libmp3lame"),
    "flac": ContainerFacts("flac", (), ("flac",), None, "flac"),
    "wav": ContainerFacts("wav", (), ("pcm",), None, "pcm_s16le"),
}

CONTAINER_ALIASES = {"matroska": "mkv", "quicktime": "mov", "ts": "mpegts", "oga": "ogg", "m4v": "mp4"}


def container_name(word: str) -> str:
    """The container's name for a word a user may write (`Matroska`, `.mkv`); an unknown word comes back as it is."""
    folded = word.strip().lower().removeprefix(".")
    return CONTAINER_ALIASES.get(folded, folded)


def video_codec(encoder: str) -> str | None:
    """The codec a video encoder makes, or None where that is not known."""
    facts = VIDEO_ENCODERS.get(encoder)
    if facts is not None:
        return facts.codec
    return next((codec for prefix, codec in _CODEC_BY_PREFIX.items() if encoder.startswith(prefix)), None)


def audio_codec(encoder: str) -> str | None:
    """The codec an audio encoder makes (`pcm` for every PCM), or None where that is not known."""
    return "pcm" if encoder.startswith("pcm_") else _AUDIO_CODECS.get(encoder)


def family(encoder: str) -> str:
    """Encoders of one family read preset, tune, CRF and options alike; an unknown encoder is a family of its own."""
    facts = VIDEO_ENCODERS.get(encoder)
    return facts.family if facts is not None else encoder
