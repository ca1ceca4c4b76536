"""Which encoders a word may stand for that names a codec, a program or a file extension instead."""

from __future__ import annotations

import re

_ALIASES = {
    "h264 x264 avc avc1 mpeg4avc mpeg4part10 h26410 libh264": ("libx264", "libopenh264"),
    "h265 x265 hevc hvc1 hev1 h26510 libh265 libhevc": ("libx265", "libkvazaar"),
    "av1 av01 svt svtav1 svtav1enc libsvt svtav1psy": ("libsvtav1", "libaom-av1", "librav1e"),
    "aom aomav1 aomenc libaom": ("libaom-av1", "libsvtav1"),
    "rav1e": ("librav1e", "libsvtav1"),
    "vp9 vp09 vpx libvp9 vpxvp9 libvpx9 webm": ("libvpx-vp9",),
    "vp8 vp08 libvp8 libvpxvp8": ("libvpx",),
    "mpeg2 mpg2 h262 libmpeg2": ("mpeg2video",),
    "mpeg1 mpg1": ("mpeg1video",),
    "xvid divx mp4v mpeg4part2 mpeg4asp asp": ("libxvid", "mpeg4"),
    "prores422 proreshq prores4444 appleprores": ("prores_ks", "prores"),
    "dnxhr avid": ("dnxhd",),
    "theora ogv": ("libtheora",),
    "motionjpeg mjpg jpeg": ("mjpeg",),
    "huff": ("huffyuv", "ffvhuff"),
    "nvenc nvidia cuda": ("h264_nvenc",),
    "qsv quicksync": ("h264_qsv",),
    "vaapi": ("h264_vaapi",),
    "amf vce": ("h264_amf",),
    "videotoolbox": ("h264_videotoolbox",),
    "mp3 lame mpeg3 libmp3 mpeglayer3 mpga": ("libmp3lame",),
    "opus opusenc": ("libopus",),
    "vorbis ogg oga oggvorbis": ("libvorbis",),
    "mp4a aaclc m4a libaac ffaac": ("aac",),
    "fdk fdkaac libfdkaac heaac aache": ("libfdk_aac", "aac"),
    "dolby dolbydigital a52": ("ac3",),
    "ec3 ddp dolbydigitalplus": ("eac3",),
    "dts": ("dca",),
    "pcm wav wave lpcm s16le": ("pcm_s16le",),
    "twolame": ("libtwolame", "mp2"),
}
_BY_ALIAS = {word: encoders for words, encoders in _ALIASES.items() for word in words.split()}


def encoders_for(word: str) -> tuple[str, ...]:
    """The encoders that `word` may stand for, the usual one first; case and punctuation do not matter (`H.264`)."""
    return (word.lower(), *_BY_ALIAS.get(re.sub(r"[^a-z0-9]", "", word.lower()), ()))
