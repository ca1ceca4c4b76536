"""What becomes of closed captions inside the pictures: some encoders write them, others drop them silently."""

from __future__ import annotations

from fractions import Fraction

from pyprocessor.ffmpeg.invocation import Options
from pyprocessor.models import MediaNote, Profile, VideoSettings
from pyprocessor.models.encoders import video_encoder

_CODECS = {"av1": "AV1", "vp9": "VP9", "prores": "ProRes"}
_RATES = frozenset(
    (*(Fraction(rate * 1000, 1001) for rate in (24, 30, 60)), *(Fraction(rate) for rate in (15, 24, 30, 60)))
)
"""Frame rates for which ffmpeg spreads captions anew over the pictures; else they go with those, or twice."""


def caption_options(settings: VideoSettings) -> Options:
    """What an encoder needs to be asked for so that it writes the captions of its pictures."""
    return (("a53cc", "1"),) if settings.encoder == "libx265" else ()


def lost_captions(profile: Profile, settings: VideoSettings, *, keeps_rate: bool) -> tuple[MediaNote, ...]:
    """A note on captions that the output will lack."""
    encoder = video_encoder(settings.encoder)
    if not encoder.keeps_captions:
        codec = _CODECS.get(encoder.codec or "", settings.encoder)
        text = f"Its closed captions were left out: {codec} in {profile.container} holds none."
        return (MediaNote(text, f"captions dropped ({profile.container} with {codec} holds none)"),)
    if not keeps_rate and settings.fps not in _RATES:
        text = "Its closed captions lack or repeat letters: ffmpeg does not spread them anew at the new frame rate."
        return (MediaNote(text, "captions damaged (by the new frame rate)"),)
    return ()
