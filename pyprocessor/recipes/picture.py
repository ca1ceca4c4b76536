"""What size, format and colour has the output picture, and which filters make it of an upright one?"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from pyprocessor.ffmpeg.invocation import Filter
from pyprocessor.models import Colour, Deinterlace, HdrKind, HdrPolicy, MediaNote, VideoInfo, VideoSettings
from pyprocessor.models.encoders import video_encoder
from pyprocessor.recipes.colours import HDR_TRANSFERS, colours, is_rgb, stating

_WITH_ALPHA = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya")
_DEEP_FORMAT = re.compile(r"1[0246](le|be)?$")
_HDR_SIDE_DATA = tuple(
    "MASTERING_DISPLAY_METADATA CONTENT_LIGHT_LEVEL DYNAMIC_HDR_PLUS DOVI_RPU_BUFFER DOVI_METADATA 25 26".split()
)
"""25 is DYNAMIC_HDR_VIVID, 26 AMBIENT_VIEWING_ENVIRONMENT: FFmpeg 5.1 lacks the names."""
_MOST_SHAPES = 64
"""Changes of shape that are followed in one film."""
_HIGH_DEFINITION_LINES = 720
"""From this height on, video that does not state its colours is BT.709 (as players and ffmpeg assume)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The output picture, and the filters that make it. `pixel_format` None: as the encoder chooses."""

    width: int
    height: int
    pixel_format: str | None
    filters: tuple[Filter, ...]
    bitstream_filter: str | None = None
    """States colours in the encoded film that the encoder does not know."""
    notes: tuple[MediaNote, ...] = ()

    @property
    def lines(self) -> int:
        """The shorter side, which names the class of a picture (`1080p`) whichever way it is turned."""
        return min(self.width, self.height)


def picture(settings: VideoSettings, video: VideoInfo, *, keeps_rate: bool) -> Picture:
    """The output picture of a film; `keeps_rate`: one picture comes out for each that goes in."""
    notes: list[MediaNote] = []
    width, height = size(settings, video)
    upright = _upright(video)
    if (width, height) != upright and (width > upright[0] or height > upright[1]):
        text = f"Its pictures of {upright[0]}x{upright[1]} were enlarged: {settings.encoder} needs larger ones."
        notes.append(MediaNote(text))
    hdr = video.colour.transfer in HDR_TRANSFERS
    mapped = hdr and not _keeps_hdr(settings)
    pixel_format = _pixel_format(settings, video, keep_hdr=hdr and not mapped)
    if mapped and settings.hdr is HdrPolicy.KEEP:
        text = f"Its high dynamic range was mapped to standard range: {settings.encoder} makes 8-bit video here."
        notes.append(MediaNote(text, f"high dynamic range lost ({settings.encoder} makes 8-bit video here)"))
    if video.hdr is HdrKind.DOLBY_VISION:
        text = "Its Dolby Vision layer was left out; the picture that all players show was used."
        notes.append(MediaNote(text, "Dolby Vision layer dropped"))
    if video.alpha and not (pixel_format or "").startswith(_WITH_ALPHA):
        notes.append(MediaNote("Its transparency was left out.", "transparency dropped"))
    if not keeps_rate and settings.fps is None and video.frame_rate is not None:
        most = video_encoder(settings.encoder).most_pictures_a_second
        text = f"Its {float(video.frame_rate):g} pictures a second became {most}: AV1 takes no more here."
        notes.append(MediaNote(text, f"pictures dropped (AV1 takes {most} a second)"))
    found = colours(video)
    notes += found.notes
    unknown = found.colour.primaries == "ebu3213"
    stated_afterwards = video_encoder(settings.encoder).ebu3213_filter if unknown else None
    # Tone mapping leaves pictures of floating point, which an encoder that chooses for itself might well take.
    format_left = pixel_format or (video.pixel_format if mapped else None)
    chain = [
        *_deinterlacing(settings, video),
        *(() if keeps_rate else (_rate(settings, video),)),
        *found.filters,
        *_scaling(width, height, video, pixel_format, tone_mapped=mapped),
        *found.restored,
        *(_tone_map(found.colour) if mapped else _tags(video, found.colour, height)),
        *((stating(replace(found.colour, primaries=None)),) if stated_afterwards is not None else ()),
        *((Filter("format", (("pix_fmts", format_left),)),) if format_left is not None else ()),
        Filter("setsar", (("sar", _aspect(video)),)),
    ]
    return Picture(width, height, pixel_format, tuple(chain), stated_afterwards, tuple(notes))


def _keeps_hdr(settings: VideoSettings) -> bool:
    """Whether an HDR source stays HDR: the profile wants it, and the encoder makes more than 8 bits of it."""
    if settings.hdr is not HdrPolicy.KEEP:
        return False
    if settings.encoder == "libx264":  # its 10-bit pictures play in few places: only where they are asked for
        return settings.pixel_format is None or bool(_DEEP_FORMAT.search(settings.pixel_format))
    return "yuv420p10le" in video_encoder(settings.encoder).pixel_formats


def _upright(video: VideoInfo) -> tuple[int, int]:
    return (video.height, video.width) if video.rotation in (90, 270) else (video.width, video.height)


def _aspect(video: VideoInfo) -> str:
    aspect = video.sample_aspect_ratio
    turned = 1 / aspect if video.rotation in (90, 270) else aspect
    return f"{turned.numerator}/{turned.denominator}"


def size(settings: VideoSettings, video: VideoInfo) -> tuple[int, int]:
    """Even width and height, within the profile's limits, enlarged only as far as the encoder needs."""
    width, height = _upright(video)
    # The limits are turned with the picture, so that a portrait film gets as many pixels as a landscape one.
    most_wide, most_high = settings.max_width, settings.max_height
    if most_wide is not None and most_high is not None and (height > width) != (most_high > most_wide):
        most_wide, most_high = most_high, most_wide
    elif most_wide is None and most_high is not None and height > width:
        most_wide, most_high = most_high, None
    limits = ((most_wide, width), (most_high, height))
    factor = min((Fraction(1), *(Fraction(most, side) for most, side in limits if most is not None)))
    least = video_encoder(settings.encoder).smallest_side
    if min(width, height) * factor < least:
        factor = Fraction(least, min(width, height))
    return _even(width * factor), _even(height * factor)


def _even(side: Fraction) -> int:
    return max(2, int(side) & ~1 if side.denominator == 1 else 2 * round(side / 2))


def _scaling(
    width: int, height: int, video: VideoInfo, pixel_format: str | None, *, tone_mapped: bool
) -> tuple[Filter, ...]:
    """The filters for one size, as a film's may change midway; black stands beside other shapes."""
    # Of a 360 degree film zscale keeps the mark that it is one.
    spherical = video.spherical is not None and (width, height) != _upright(video)
    first = (Filter("zscale", (("w", str(width)), ("h", str(height)), ("filter", "bicubic"))),) if spherical else ()
    fitted = [("w", str(width)), ("h", str(height))]
    padding: tuple[Filter, ...] = ()
    if len(video.shapes) > 1:
        # For each picture, in the output's pixels: ffmpeg states the first picture's shape for all.
        across = f"iw/ih*({_aspect_by_time(video)})/({_aspect(video)})"
        fitted = [
            ("w", f"2*trunc(min({width},{height}*{across})/2+0.01)"),
            ("h", f"2*trunc(min({height},{width}/({across}))/2+0.01)"),
            ("eval", "frame"),
        ]
        centred = (("w", str(width)), ("h", str(height)), ("x", "(ow-iw)/2"), ("y", "(oh-ih)/2"), ("eval", "frame"))
        padding = (Filter("pad", centred),)
    options = [*fitted, ("flags", "bicubic")]
    if not tone_mapped and pixel_format is not None and not pixel_format.startswith("yuvj"):
        options.append(("out_range", "tv"))  # full-range cameras and RGB: players expect limited range
    if is_rgb(video):
        options.append(("out_color_matrix", "bt709"))
    return (*first, Filter("scale", tuple(options)), *padding)


def _aspect_by_time(video: VideoInfo) -> str:
    """An expression of the time `t` for the shape of a pixel, in a film that has several."""
    *earlier, last = video.shapes[:_MOST_SHAPES]
    half = 0.5 / float(video.frame_rate or 25)
    nested = f"{last.aspect.numerator}/{last.aspect.denominator}"
    for shape, following in reversed([*zip(earlier, (*earlier[1:], last), strict=True)]):
        nested = f"if(lt(t,{following.at - half:.3f}),{shape.aspect.numerator}/{shape.aspect.denominator},{nested})"
    return f"1/({nested})" if video.rotation in (90, 270) else nested


def _pixel_format(settings: VideoSettings, video: VideoInfo, *, keep_hdr: bool) -> str | None:
    wanted = settings.pixel_format
    if keep_hdr and (wanted is None or not _DEEP_FORMAT.search(wanted)):
        return "yuv420p10le"
    offered = video_encoder(settings.encoder).pixel_formats
    if wanted is not None or not offered:
        return wanted
    source = (video.pixel_format or "yuv420p").replace("yuvj", "yuv").replace("yuva", "yuv")
    if source in offered:
        return source
    depth = "10le" if video.bit_depth > 8 and "yuv420p10le" in offered else ""
    chroma = next((c for c in ("444", "422") if c in source or (c == "444" and is_rgb(video))), "420")
    return f"yuv{chroma}p{depth}" if f"yuv{chroma}p{depth}" in offered else f"yuv420p{depth}"


def _tone_map(colour: Colour) -> tuple[Filter, ...]:
    """From PQ or HLG to BT.709, through linear light, without the HDR metadata that no longer holds."""
    given = {"transferin": colour.transfer, "primariesin": colour.primaries, "matrixin": colour.matrix}
    linear = (("rangein", colour.range or "tv"), ("transfer", "linear"), ("npl", "100"))  # cd/m2 of SDR white
    return (
        Filter("zscale", (*((name, value or "") for name, value in given.items()), *linear)),
        Filter("format", (("pix_fmts", "gbrpf32le"),)),
        Filter("zscale", (("primaries", "bt709"),)),
        Filter("tonemap", (("tonemap", "hable"), ("desat", "0"))),
        Filter("zscale", (("transfer", "bt709"), ("matrix", "bt709"), ("range", "tv"))),
        *(Filter("sidedata", (("mode", "delete"), ("type", kind))) for kind in _HDR_SIDE_DATA),
    )


def _tags(video: VideoInfo, colour: Colour, height: int) -> tuple[Filter, ...]:
    """State the colours where they follow from the filters or would be guessed anew from the smaller size."""
    shrunk = height < _HIGH_DEFINITION_LINES <= video.height and colour.matrix is None
    if not is_rgb(video) and not shrunk:
        return ()
    return (stating(Colour(colour.primaries or "bt709", colour.transfer or "bt709", "bt709")),)


def _deinterlacing(settings: VideoSettings, video: VideoInfo) -> tuple[Filter, ...]:
    always = settings.deinterlace is Deinterlace.ALWAYS
    if not always and not (settings.deinterlace is Deinterlace.AUTO and video.interlaced):
        return ()
    # One picture for each frame keeps the rate. On AUTO, pictures that are not marked interlaced pass untouched.
    return (Filter("bwdif", (("mode", "send_frame"), ("deint", "all" if always else "interlaced"))),)


def _rate(settings: VideoSettings, video: VideoInfo) -> Filter:
    rate = settings.fps or video.frame_rate or Fraction(25)
    most = video_encoder(settings.encoder).most_pictures_a_second
    if most is not None:
        rate = min(rate, Fraction(most))
    # A film shorter than half of one output picture would be rounded away: its end is not rounded, but passed on.
    return Filter("fps", (("fps", f"{rate.numerator}/{rate.denominator}"), ("eof_action", "pass")))
