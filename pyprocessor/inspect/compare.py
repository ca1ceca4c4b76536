"""Are the pictures, sound and subtitles of an output at the times of its source's? Pure."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from pyprocessor.errors import FailureKind, VerifyError
from pyprocessor.inspect.clock import usual_step
from pyprocessor.inspect.timeline import Track
from pyprocessor.models import BROKEN, MediaNote, StreamKind

_NEAR_SECONDS, _MOST_NEAR_SECONDS = 0.02, 0.1
"""How far a picture may be from its time: half a picture, but within these bounds."""
_IN_STEP_SECONDS, _MOST_OUT_OF_STEP_SECONDS = 0.06, 0.5
"""How far sound may be from its time beside the picture (encoders pad by a packet or less); what is refused."""
_SOUND_END_SECONDS = 0.25
"""Sound that may be missing in all: the last packet of an encoder, and what a decoder needs to begin."""
_REORDERED_PICTURES = 2.5
"""How far from where it is shown a picture may be decoded."""
_STRETCHED_SHARE, _STRETCHED_SECONDS = 0.1, 5.0
"""How much longer than by its packets a track may be: not all of them state their duration."""
_LOST_PICTURES_SHARE, _LOST_SOUND_SHARE = 0.1, 0.02
"""What may be missing although ffmpeg found no damage."""
_SUBTITLE_SECONDS = 0.1
"""How far a subtitle may be from its time."""
_SAME_TIME_SECONDS = 0.0005
"""Pictures nearer to each other than this are at the same time."""
_FIELDS_SHARE = 0.6
"""Fewer output pictures than this share of an interlaced source's packets: its packets are single fields."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A kept stream: its track in the source and in the output."""

    source: Track
    output: Track
    interlaced: bool = False
    timed: bool = True
    """False where a packet need not become a subtitle, as with captions that build up over several."""
    in_decoding_order: bool = False
    """Whether the source's times are those of decoding (DTS)."""


def compare_tracks(
    pairs: Sequence[Pair], *, began: float, same_frames: bool, whole: bool, damaged: bool, name: str
) -> list[MediaNote]:
    """Return notes on what an output lacks of the source `name`, or has at other times.

    `began` is the time of the source's first packet, which ffmpeg makes 0 where the container allows it;
    `same_frames`: each picture of the first film becomes one; `whole`: both files were read to their ends; `damaged`:
    ffmpeg found damage in the source. Raises VerifyError where the output, and not the source, is to blame.
    """
    notes: list[MediaNote] = []
    films = [pair for pair in pairs if pair.source.kind is StreamKind.VIDEO]
    for pair in pairs:
        if pair.source.kind is StreamKind.SUBTITLE or pair.output.packets or not pair.source.packets:
            continue
        if not (damaged and films and pair.source.kind is StreamKind.AUDIO):
            what = "pictures" if pair.source.kind is StreamKind.VIDEO else "sound"
            raise VerifyError(FailureKind.BAD_INPUT, f"None of the {what} in {name} could be decoded: it is damaged.")
        notes.append(MediaNote("None of the sound of a track could be decoded.", BROKEN))
    shift = _shift(pairs, began)
    if shift is None:
        return notes
    for number, pair in enumerate(films):
        if number == 0 and not same_frames:
            notes += _retimed(pair, name)
        else:
            notes += _pictures(pair, shift, first=number == 0, whole=whole, damaged=damaged, name=name)
    for pair in pairs:
        if pair.source.kind is StreamKind.AUDIO:
            notes += _sound(pair, shift, beside_film=bool(films), whole=whole, damaged=damaged, name=name)
        elif pair.source.kind is StreamKind.SUBTITLE and pair.timed and whole:
            shown = pair.source.starts
            missing = len(_unmatched(shown, pair.output.starts, shift, _SUBTITLE_SECONDS))
            if missing:
                text = f"{missing:,} of the {len(shown):,} subtitles are not at their times or are missing."
                notes.append(MediaNote(text, "subtitles missing or moved"))
    return notes


def _shift(pairs: Sequence[Pair], began: float) -> float | None:
    """Return what to add to a time of the source to have it in the output; None where no track has times.

    It is that of the first film, by whichever of its ends matches more pictures, or else of the first sound.
    """
    timed = [pair for pair in pairs if pair.source.start is not None and pair.output.start is not None]
    kinds = (StreamKind.VIDEO, StreamKind.AUDIO)
    first = next((pair for kind in kinds for pair in timed if pair.source.kind is kind), None)
    if first is None:
        return None
    by_first = (first.output.start or 0.0) - (first.source.start or 0.0)
    source, output = first.source.starts, first.output.starts
    if not source or abs(by_first - (output[-1] - source[-1])) <= _NEAR_SECONDS:
        return by_first
    near = _near(source)
    shifts = (by_first, output[-1] - source[-1], *(output[0] - start for start in first.source.leading[:1]))
    return min(shifts, key=lambda shift: (len(_unmatched(source, output, shift, near)), abs(shift + began)))


def _near(starts: Sequence[float]) -> float:
    """Return how far a picture may be from its time."""
    return min(_MOST_NEAR_SECONDS, max(_NEAR_SECONDS, usual_step(starts) / 2))


def _unmatched(source: Sequence[float], output: Sequence[float], shift: float, near: float) -> list[float]:
    """Return the times of `source` at which `output` has no picture of its own."""
    missing, place = [], 0
    for start in source:
        wanted = start + shift
        while place < len(output) and output[place] < wanted - near:
            place += 1
        if place < len(output) and output[place] <= wanted + near:
            place += 1
        else:
            missing.append(start)
    return missing


def _pictures(pair: Pair, shift: float, *, first: bool, whole: bool, damaged: bool, name: str) -> list[MediaNote]:
    """Return notes on the pictures of a film; `first`: ffmpeg's own count of them was checked."""
    source, output = pair.source, pair.output
    _not_stretched("video", output, source, name)
    if source.untimed:  # as in raw streams: they can only be counted
        made = len(output.starts) * (2 if pair.interlaced else 1)  # a packet may hold one field
        lost = source.packets - len(source.leading) - made
        text = f"{lost:,} of the {source.packets:,} pictures did not come out, as they have no times or do not decode."
        return [MediaNote(text, BROKEN)] if whole and lost > 0 else []
    expected: Sequence[float] = source.starts
    if not whole:
        expected = [start for start in expected if start + shift <= output.starts[-1]]
    near = _near(expected)
    if pair.in_decoding_order:  # a picture may be decoded before a gap and shown after it
        longest = max((b - a for a, b in itertools.pairwise(expected)), default=0.0)
        near = max(near, _REORDERED_PICTURES * usual_step(expected) + longest)
    if pair.interlaced and len(output.starts) < _FIELDS_SHARE * len(expected):
        expected = _whole_pictures(expected, output.starts, shift)
    missing = _unmatched(expected, output.starts, shift, near)
    began_late = [] if missing else _unmatched(source.leading, output.starts, shift, near)
    if missing and not damaged and missing[-1] + shift < output.starts[0] and len(missing) < len(expected):
        began_late = missing  # with intra refresh in place of keyframes nothing marks the first whole picture
    if began_late:
        text = f"Its first {len(began_late):,} pictures depend on some before the start of the file and were left out."
        return [MediaNote(text)]
    if missing:
        if not first and not damaged and len(output.starts) < (1 - _LOST_PICTURES_SHARE) * len(expected):
            held = f"{len(output.starts):,} of the {len(expected):,} pictures of a video track"
            raise VerifyError(FailureKind.INFRASTRUCTURE, f"The output holds only {held}, though nothing is damaged.")
        return _lost(expected, missing, len(output.starts))
    if whole and source.end is not None and output.end is not None and output.end < source.end + shift - near:
        return [MediaNote("Its last picture is shown for a shorter time than in the source; all pictures are there.")]
    return []


def _lost(expected: Sequence[float], missing: Sequence[float], made: int) -> list[MediaNote]:
    """Return notes on pictures that are not in the output, or not at their times."""
    dropped = min(len(missing), max(0, len(expected) - made))
    moved = len(missing) - dropped
    twins = sum(b - a < _SAME_TIME_SECONDS for a, b in itertools.pairwise(expected))
    if twins:
        text = f"{twins:,} pictures come at the same time as another: {dropped:,} were dropped and {moved:,} moved."
        return [MediaNote(text, "pictures moved or dropped: several at one time")]
    first, last = missing[0], missing[-1]
    when = f"at {first:,.2f} s" if last - first < 1 else f"between {first:,.2f} s and {last:,.2f} s"
    found = (
        (dropped, "could not be decoded", BROKEN),
        (moved, "are not at their times", "pictures not at their times"),
    )
    total = f"of the {len(expected):,} pictures"
    return [MediaNote(f"{number:,} {total} {what}, {when}.", loss) for number, what, loss in found if number]


def _whole_pictures(fields: Sequence[float], pictures: Sequence[float], shift: float) -> list[float]:
    """Return the times of `fields` less those that are the second field of one of `pictures`."""
    step = usual_step(pictures)
    kept: list[float] = []
    for start in fields:
        at = bisect.bisect_right(pictures, start + shift + step / 8) - 1
        late = start + shift - pictures[at] if at >= 0 else 0.0
        if not (kept and step / 4 < late <= step * 0.75 and start - kept[-1] <= step * 0.75):
            kept.append(start)
    return kept


def _retimed(pair: Pair, name: str) -> list[MediaNote]:
    """Return notes on a film whose rate the profile changes: only its length can be compared."""
    there, made = pair.source.seconds, pair.output.seconds
    if there is None or made is None:
        return []
    step = usual_step(pair.output.starts) or made
    if step < there:
        _not_stretched("video", pair.output, pair.source, name)
    text = f"Only {made:,.2f} s of the {there:,.2f} s of video in {name} could be decoded."
    return [MediaNote(text, BROKEN)] if there - made > max(_SOUND_END_SECONDS, 2 * step) else []


def _not_stretched(what: str, output: Track, source: Track, name: str) -> None:
    """Refuse a track that became much longer than it was."""
    made, there = output.seconds, source.seconds
    if made is not None and there is not None and made > there * (1 + _STRETCHED_SHARE) + _STRETCHED_SECONDS:
        text = f"The {what} of {name} lasts {there:,.1f} s and became {made:,.1f} s: its time stamps are damaged."
        raise VerifyError(FailureKind.BAD_INPUT, text)


def _sound(pair: Pair, shift: float, *, beside_film: bool, whole: bool, damaged: bool, name: str) -> list[MediaNote]:
    """Return notes on the sound of a track."""
    source, output = pair.source, pair.output
    if not source.spans or not output.spans:
        return []
    _not_stretched("audio", output, source, name)
    wanted = [(start + shift, end + shift) for start, end in source.spans]
    if not whole:
        until = output.spans[-1][1]
        wanted = [(start, min(end, until)) for start, end in wanted if start < until]
    if not wanted:
        return []
    apart, at_end = output.spans[0][0] - wanted[0][0], output.spans[-1][1] - wanted[-1][1]
    # Where only one end differs, sound is missing there, or was added, and the rest is in step.
    if beside_film and min(abs(apart), abs(at_end)) > _IN_STEP_SECONDS and (apart > 0) == (at_end > 0):
        side = "later" if apart > 0 else "earlier"
        text = f"The sound is {abs(apart):.2f} s {side} beside the picture than in {name}."
        if abs(apart) > _MOST_OUT_OF_STEP_SECONDS:
            raise VerifyError(FailureKind.BAD_INPUT, text)
        return [MediaNote(text, "sound out of step with the picture")]
    missing = _uncovered(wanted, output.spans)
    text = f"{missing:,.2f} s of the {source.covered_seconds:,.2f} s of sound are missing."
    if not damaged and missing > max(2 * _SOUND_END_SECONDS, _LOST_SOUND_SHARE * source.covered_seconds):
        raise VerifyError(FailureKind.INFRASTRUCTURE, f"{text[:-1]} in the output, though nothing of it is damaged.")
    return [MediaNote(text, BROKEN)] if missing > _SOUND_END_SECONDS else []


def _uncovered(wanted: Sequence[tuple[float, float]], spans: Sequence[tuple[float, float]]) -> float:
    """Return how many seconds of the ascending spans `wanted` lie outside the ascending `spans`."""
    total = sum(end - start for start, end in wanted)
    for start, end in wanted:
        first = bisect.bisect_right(spans, start, key=lambda span: span[1])
        last = bisect.bisect_left(spans, end, lo=first, key=lambda span: span[0])
        total -= sum(min(end, span[1]) - max(start, span[0]) for span in spans[first:last])
    return total
