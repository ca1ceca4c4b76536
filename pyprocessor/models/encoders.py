"""Which encoders and containers are known, and what does each take (FFmpeg 9.0.2)? Others may be used as well."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_X26X_PRESETS = tuple("ultrafast superfast veryfast faster fast medium slow slower veryslow placebo".split())
_420_TO_444 = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")


@dataclass(frozen=True, slots=True)
class VideoEncoder:
    """What is known of an encoder of pictures."""

    codec: str | None = None
    family: str | None = None
    """Encoders of one family read preset, tune, CRF and options alike. None: their settings are passed on unchecked."""
    aliases: str = ""
    """Words that stand for this encoder, lower case, without punctuation."""
    usual: bool = False
    """Works in every ffmpeg that lists it, so it is used without a trial and named as an example."""
    crf: tuple[int, int] | None = None
    """Lowest and highest; None: no quality setting."""
    default_crf: int | None = None
    presets: tuple[str, ...] = ()
    default_preset: str | None = None
    """Of encoders without presets: the speed that they choose themselves, by which their costs are predicted."""
    tunes: tuple[str, ...] = ()
    preset_option: str = "preset"
    thread_parameters: tuple[str, str] | None = None
    """(option, parameters) that state the threads; `{level}` is SVT-AV1's level of parallelism."""
    takes_threads: bool = True
    """Whether `-threads` suffices, so that parameters are needed only beside others, which might contradict it."""
    threads_a_core: float = 1.0
    """Of its own, where a job has several cores; x264's, as it would choose itself, wait for one another."""
    row_threads: bool = False
    """Whether it uses several threads for one picture only with `-row-mt`."""
    pixel_formats: tuple[str, ...] = ()
    """For profiles that keep the source's; none: the encoder chooses for itself."""
    smallest_side: int = 2
    """In pixels. x265 refuses less than its smallest coding unit; SVT-AV1 pads less to no advantage."""
    most_pictures_a_second: int | None = None
    keeps_captions: bool = False
    converts_dolby_vision: bool = False
    """Whether it would write Dolby Vision metadata that belongs to the picture before filtering."""
    ebu3213_filter: str | None = None
    """The bitstream filter that states the primaries of EBU 3213 where the encoder does not know their number."""
    bits_per_pixel: float = 0.2
    """Of an output: an upper bound that is rarely passed."""
    raw_sized: bool = False
    """Whether the size of an output follows the number of pictures and their size, whatever is in them."""
    measured_as: str | None = None
    """The encoder whose measured costs stand for this one's."""
    joinable: tuple[tuple[str, str], ...] | None = None
    """Options with which pieces of a film can be joined without encoding again; None: they cannot be."""
    least_piece_seconds: float = 10.0
    """Of 24 pictures a second. Shorter pieces take more than three percent in size, for keyframes and slow starts."""


_X26X = VideoEncoder(usual=True, crf=(0, 51), presets=_X26X_PRESETS, default_preset="medium", keeps_captions=True)
_X264 = replace(
    _X26X,
    codec="h264",
    family="x264",
    aliases="h264 x264 avc avc1 mpeg4avc mpeg4part10 h26410 libh264",
    default_crf=20,
    tunes=tuple("film animation grain stillimage psnr ssim fastdecode zerolatency".split()),
    thread_parameters=("x264-params", "threads={threads}"),
    threads_a_core=1.5,
    pixel_formats=_420_TO_444,
    ebu3213_filter="h264_metadata=colour_primaries=22",
    bits_per_pixel=0.1,
    # Each piece begins with a keyframe that ends all reference to what was before, and all have the same headers.
    joinable=(("x264-params", "stitchable=1:open-gop=0"),),
)
_VP9 = VideoEncoder(
    "vp9",
    "vp9",
    "vp9 vp09 vpx libvp9 vpxvp9 libvpx9 webm",
    usual=True,
    crf=(0, 63),
    default_crf=31,
    default_preset="2",
    tunes=("psnr", "ssim"),
    preset_option="cpu-used",
    row_threads=True,
    pixel_formats=_420_TO_444,
    bits_per_pixel=0.08,
)

VIDEO_ENCODERS: dict[str, VideoEncoder] = {
    "libx264": _X264,
    "libx264rgb": replace(
        _X264, aliases="", usual=False, pixel_formats=(), ebu3213_filter=None, bits_per_pixel=0.2, measured_as="libx264"
    ),
    "libx265": replace(
        _X26X,
        codec="hevc",
        family="x265",
        aliases="h265 x265 hevc hvc1 hev1 h26510 libh265 libhevc",
        default_crf=22,
        tunes=tuple("animation grain psnr ssim fastdecode zerolatency".split()),
        # One frame at a time: with more, x265 starts threads beside its pool and holds more reference frames.
        thread_parameters=("x265-params", "pools={threads}:frame-threads=1"),
        takes_threads=False,
        pixel_formats=tuple(
            f"yuv{chroma}p{depth}" for chroma in ("420", "422", "444") for depth in ("", "10le", "12le")
        ),
        smallest_side=16,
        converts_dolby_vision=True,
        ebu3213_filter="hevc_metadata=colour_primaries=22",
        bits_per_pixel=0.07,
        joinable=(("x265-params", "open-gop=0:repeat-headers=1"),),
        least_piece_seconds=20.0,  # ten take up to 4.3 %, as many more bits go to the first pictures of each
    ),
    "libsvtav1": VideoEncoder(
        "av1",
        "svt-av1",
        "av1 av01 svt svtav1 svtav1enc libsvt svtav1psy",
        usual=True,
        crf=(0, 63),
        default_crf=28,
        presets=tuple(str(level) for level in range(14)),
        default_preset="8",
        thread_parameters=("svtav1-params", "lp={level}"),
        takes_threads=False,
        pixel_formats=("yuv420p", "yuv420p10le"),
        smallest_side=16,
        most_pictures_a_second=240,
        converts_dolby_vision=True,
        bits_per_pixel=0.07,
        joinable=(),
    ),
    "libaom-av1": replace(
        _VP9,
        codec="av1",
        family="aom",
        aliases="aom aomav1 aomenc libaom",
        default_crf=28,
        default_preset="6",
        bits_per_pixel=0.07,
    ),
    "librav1e": VideoEncoder("av1", aliases="rav1e", preset_option="speed", measured_as="libaom-av1"),
    "libvpx-vp9": replace(_VP9, joinable=()),
    "libvpx": replace(
        _VP9,
        codec="vp8",
        family="vp8",
        aliases="vp8 vp08 libvp8 libvpxvp8",
        usual=False,
        crf=(4, 63),
        default_crf=10,
        default_preset=None,
        row_threads=False,
        pixel_formats=("yuv420p",),
        bits_per_pixel=0.2,
        measured_as="libvpx-vp9",
    ),
    "libxvid": VideoEncoder("mpeg4", aliases="xvid divx mp4v mpeg4part2 mpeg4asp asp"),
    "mpeg4": VideoEncoder("mpeg4", "mpeg4"),
    "mpeg2video": VideoEncoder(
        "mpeg2video", "mpeg2video", "mpeg2 mpg2 h262 libmpeg2", keeps_captions=True, measured_as="mpeg4"
    ),
    "mpeg1video": VideoEncoder(aliases="mpeg1 mpg1"),
    "mjpeg": VideoEncoder("mjpeg", "mjpeg", "motionjpeg mjpg jpeg"),
    "ffv1": VideoEncoder("ffv1", "ffv1", usual=True, bits_per_pixel=8.0, raw_sized=True),
    "prores_ks": VideoEncoder(
        "prores", "prores", "prores422 proreshq prores4444 appleprores", usual=True, bits_per_pixel=3.4, raw_sized=True
    ),
    "prores": VideoEncoder("prores", bits_per_pixel=3.4, raw_sized=True, measured_as="prores_ks"),
    "dnxhd": VideoEncoder("dnxhd", "dnxhd", "dnxhr avid", usual=True, bits_per_pixel=3.4, raw_sized=True),
    "libtheora": VideoEncoder("theora", "theora", "theora ogv"),
    "huffyuv": VideoEncoder(aliases="huff", raw_sized=True),
    **dict.fromkeys(("ffvhuff", "cfhd", "utvideo", "rawvideo", "v210", "png"), VideoEncoder(raw_sized=True)),
    "h264_nvenc": VideoEncoder("h264", aliases="nvenc nvidia cuda", keeps_captions=True),
    "h264_qsv": VideoEncoder("h264", aliases="qsv quicksync", keeps_captions=True),
    "h264_vaapi": VideoEncoder("h264", aliases="vaapi", keeps_captions=True),
    "h264_amf": VideoEncoder("h264", aliases="amf vce"),
    "h264_videotoolbox": VideoEncoder("h264", aliases="videotoolbox", keeps_captions=True),
    **dict.fromkeys(("hevc_nvenc", "hevc_vaapi"), VideoEncoder("hevc", keeps_captions=True)),
    "av1_nvenc": VideoEncoder("av1", keeps_captions=True),
    "libopenh264": VideoEncoder("h264"),
    "libkvazaar": VideoEncoder("hevc"),
}
_CODECS = ("h264", "hevc", "av1", "vp9", "vp8", "mpeg2", "mjpeg")
"""Names of hardware encoders begin with one of them."""
_HARDWARE = re.compile(r".*_(nvenc|qsv|vaapi|videotoolbox|amf|vulkan|v4l2m2m|mf|d3d12va|omx|rkmpp|mediacodec)")

EIGHT_BIT_FORMATS = re.compile(r"(yuvj?4[0-4][0-4]p|yuva4[0-4][0-4]p|nv\d\d|rgb24|bgr24|rgba|bgra|gbrp|gray)")
"""Pixel formats that cannot hold HDR."""


def encoder_threads(encoder: str, threads: int) -> int:
    """How many threads a video encoder has in a job that has so many: one for each core that it is to take."""
    return int(video_encoder(encoder).threads_a_core * threads) if threads > 1 else threads


def video_encoder(name: str) -> VideoEncoder:
    """What is known of an encoder of pictures: of one that is not listed, what its name tells."""
    if name in VIDEO_ENCODERS:
        return VIDEO_ENCODERS[name]
    if name.startswith("prores"):
        return VideoEncoder("prores", raw_sized=True)
    codec, underscore, _ = name.partition("_")
    known = codec if underscore and codec in _CODECS else None
    return VideoEncoder("mpeg2video" if known == "mpeg2" else known)


def is_hardware(encoder: str) -> bool:
    """Whether the encoder runs on a device that may be absent although this ffmpeg knows the encoder."""
    return _HARDWARE.fullmatch(encoder) is not None


@dataclass(frozen=True, slots=True)
class AudioEncoder:
    """What is known of an encoder of sound."""

    codec: str | None = None
    aliases: str = ""
    usual: bool = False
    experimental: bool = False
    """Whether ffmpeg refuses it without `-strict`."""
    lossless: bool = False
    default_bitrate: int | None = None
    """Bits per second of stereo; None: the encoder's own default is good enough."""
    bitrate_limits: tuple[int, int] = (8_000, 320_000)
    """Bits per second for each channel that it takes at every sample rate in use."""
    sample_rates: tuple[int, ...] = ()
    """In Hz; none: any that is in use."""
    layouts: tuple[str, ...] = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
    """ffmpeg's names of the layouts that it takes, or their channels."""
    unnamed_channels: int = 0


_PCM = AudioEncoder(
    "pcm",
    lossless=True,
    # How ffmpeg reads PCM in a container that names no channels, such as Matroska.
    layouts=tuple("mono stereo 2.1 4.0 5.0 5.1 6.1 7.1 5.1.4 7.1.4 9.1.6 22.2".split()),
    unnamed_channels=65_535,
)
_AC3_RATES = (32_000, 44_100, 48_000)
_AC3_LAYOUTS = tuple("mono stereo 2.1 3.0 3.0(back) 3.1 4.0 4.1 quad(side) 5.0(side) 5.1(side) FL+FR+LFE+BC".split())
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_STEREO = ("mono", "stereo")
_MP2 = AudioEncoder("mp2", sample_rates=(16_000, 22_050, 24_000, 32_000, 44_100, 48_000), layouts=_STEREO)

AUDIO_ENCODERS: dict[str, AudioEncoder] = {
    "aac": AudioEncoder(
        "aac",
        "mp4a aaclc m4a libaac ffaac",
        usual=True,
        default_bitrate=160_000,
        bitrate_limits=(8_000, 288_000),
        # The first seven and the next two have a channel configuration of their own; the rest are written out in the
        # stream, with back channels where there are side ones.
        layouts=tuple(
            "mono stereo 3.0 4.0 5.0 5.1 7.1 7.1(wide) 6.1(back) 2.1 3.0(back) quad 3.1 4.1 6.0(front) hexagonal"
            " 6.1(front) 7.0 7.0(front) 5.1.2(back) octagonal".split()
        ),
    ),
    "libfdk_aac": AudioEncoder(
        "aac",
        "fdk fdkaac libfdkaac heaac aache",
        default_bitrate=160_000,
        layouts=("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1(back)", "7.1", "7.1(wide)"),
    ),
    "aac_at": AudioEncoder("aac", default_bitrate=160_000),
    "libopus": AudioEncoder(
        "opus",
        "opus opusenc",
        usual=True,
        default_bitrate=128_000,
        bitrate_limits=(6_000, 256_000),
        sample_rates=_OPUS_RATES,
        unnamed_channels=255,
    ),
    "opus": AudioEncoder("opus", experimental=True, default_bitrate=128_000, sample_rates=_OPUS_RATES),
    "libmp3lame": AudioEncoder(
        "mp3",
        "mp3 lame mpeg3 libmp3 mpeglayer3 mpga",
        usual=True,
        default_bitrate=192_000,
        bitrate_limits=(8_000, 160_000),
        sample_rates=(8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
        layouts=_STEREO,
    ),
    "libvorbis": AudioEncoder(
        "vorbis", "vorbis ogg oga oggvorbis", usual=True, default_bitrate=160_000, unnamed_channels=255
    ),
    "vorbis": AudioEncoder("vorbis", experimental=True, default_bitrate=160_000),
    "flac": AudioEncoder(
        "flac",
        usual=True,
        lossless=True,
        layouts=("mono", "stereo", "3.0", "quad", "5.0(side)", "5.1(side)", "6.1", "7.1"),
    ),
    "alac": AudioEncoder(
        "alac", lossless=True, layouts=("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1(back)", "7.1(wide)")
    ),
    "wavpack": AudioEncoder("wavpack", lossless=True),
    "ac3": AudioEncoder("ac3", "dolby dolbydigital a52", usual=True, sample_rates=_AC3_RATES, layouts=_AC3_LAYOUTS),
    "ac3_fixed": AudioEncoder("ac3", sample_rates=_AC3_RATES),
    "eac3": AudioEncoder("eac3", "ec3 ddp dolbydigitalplus", sample_rates=_AC3_RATES, layouts=_AC3_LAYOUTS),
    "mp2": _MP2,
    "libtwolame": replace(_MP2, aliases="twolame"),
    "libshine": AudioEncoder(layouts=_STEREO),
    "wmav2": AudioEncoder(layouts=_STEREO),
    "dca": AudioEncoder("dts", "dts"),
    "pcm_s16le": replace(_PCM, aliases="pcm wav wave lpcm s16le", usual=True),
}


def audio_encoder(name: str) -> AudioEncoder:
    """What is known of an encoder of sound; one that is not listed is taken to hold one to eight channels."""
    return AUDIO_ENCODERS.get(name) or (_PCM if name.startswith("pcm_") else AudioEncoder())


def encoders_for(word: str) -> tuple[str, ...]:
    """The encoders that `word` may stand for, the likeliest first, whatever its case and punctuation."""
    folded = re.sub(r"[^a-z0-9]", "", word.lower())
    found = [word.lower()]
    for table in (VIDEO_ENCODERS, AUDIO_ENCODERS):
        for name, encoder in table.items():
            if folded in encoder.aliases.split():
                found.append(name)
                if encoder.codec is not None and not is_hardware(name):
                    alike = (other for other, facts in table.items() if facts.codec == encoder.codec)
                    found += (other for other in alike if not is_hardware(other))
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Container:
    """What an output container holds. `video` and `audio` are codecs; empty: no such stream; None: any."""

    extension: str
    video: tuple[str, ...] | None
    audio: tuple[str, ...] | None
    default_video: str | None = "libx264"
    default_audio: str = "aac"
    muxer: str | None = None
    """ffmpeg's name of it, where that is another one."""


CONTAINERS: dict[str, Container] = {
    "mp4": Container(
        "mp4",
        ("h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mjpeg", "ffv1"),
        ("aac", "mp3", "ac3", "eac3", "opus", "flac", "alac", "vorbis", "mp2", "dts", "pcm"),
    ),
    "mov": Container(
        "mov",
        ("h264", "hevc", "prores", "dnxhd", "mpeg4", "mpeg2video", "mjpeg", "ffv1"),
        ("aac", "alac", "mp3", "ac3", "eac3", "mp2", "dts", "pcm"),
    ),
    "mkv": Container("mkv", None, None, muxer="matroska"),
    "webm": Container("webm", ("vp8", "vp9", "av1"), ("opus", "vorbis"), "libvpx-vp9", "libopus"),
    "mpegts": Container(
        "ts", ("h264", "hevc", "mpeg2video", "mpeg4"), ("aac", "mp3", "mp2", "ac3", "eac3", "opus", "dts")
    ),
    "m4a": Container("m4a", (), ("aac", "alac", "ac3"), None, muxer="ipod"),
    "mka": Container("mka", (), None, None, "libopus", muxer="matroska"),
    "ogg": Container("ogg", (), ("vorbis", "opus", "flac"), None, "libvorbis"),
    "opus": Container("opus", (), ("opus",), None, "libopus"),
    "mp3": Container("mp3", (), ("mp3",), None, "libmp3lame"),
    "flac": Container("flac", (), ("flac",), None, "flac"),
    "wav": Container("wav", (), ("pcm",), None, "pcm_s16le"),
}
CONTAINER_ALIASES = {"matroska": "mkv", "quicktime": "mov", "ts": "mpegts", "oga": "ogg", "m4v": "mp4"}
MP4_FAMILY = frozenset(("mp4", "mov", "m4a"))


def container_name(word: str) -> str:
    """The container's name for a word a user may write (`Matroska`, `.mkv`); an unknown word as it is."""
    folded = word.strip().lower().removeprefix(".")
    return CONTAINER_ALIASES.get(folded, folded)


def muxer(container: str) -> str:
    """ffmpeg's name of the muxer for a profile's `container`, for instance `matroska` for `mkv`."""
    name = container_name(container)
    return (CONTAINERS[name].muxer if name in CONTAINERS else None) or name
