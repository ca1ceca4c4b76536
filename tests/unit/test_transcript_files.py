"""Texts of transcripts are taken out and put back, and everything else stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.speech.transcript_files import ENDINGS, Transcript, transcript

SRT = """1
00:00:01,000 --> 00:00:02,500
hello there

2
00:00:03,000 --> 00:00:04,000
general
of many words

"""
VTT = """WEBVTT - a title

NOTE
it was said quickly

intro
00:01.000 --> 00:02.500 align:start
hello there

00:03.000 --> 00:04.000
general
of many words
"""
SEGMENTS = [
    {"start": 1.0, "end": 2.5, "text": " hello there", "confidence": 0.5},
    {"start": 3.0, "end": 4.0, "text": "general", "confidence": None},
]


@pytest.mark.parametrize(("text", "ending"), [(SRT, ".srt"), (VTT, ".vtt"), (SRT.replace("\n", "\r\n"), ".srt")])
def test_cues_keep_all_but_their_texts(text: str, ending: str) -> None:
    """Times, names, notes and settings; a cue of two lines has about as many."""
    found = transcript(text.encode(), ending)
    assert found.texts == ("hello there", "general of many words")
    plain = text.replace("\r\n", "\n")
    assert found.written(found.texts) == plain.replace("general\nof many words", "general of many words")
    long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    written = found.written(("Hello there.", long))
    assert "Hello there.\n\n" in written
    assert "one two three four five six seven eight nine ten\neleven twelve thirteen fourteen" in written


def test_segments_of_json_keep_their_other_fields() -> None:
    """And the whole text is that of the segments."""
    document = {"language": "en", "text": "hello there general", "segments": SEGMENTS}
    found = transcript(json.dumps(document).encode(), ".json")
    assert found.texts == ("hello there", "general")
    new = ("Hello there.", "General.")
    segments = [{**segment, "text": text} for segment, text in zip(SEGMENTS, new, strict=True)]
    assert json.loads(found.written(new)) == {"language": "en", "text": " ".join(new), "segments": segments}


def test_a_plain_text_is_one_text() -> None:
    """With all its lines; a mark of its encoding is no part of it."""
    found = transcript(b"\xef\xbb\xbfone\n\ntwo\n", ".txt")
    assert (found.texts, found.cues) == (("one\n\ntwo\n",), False)
    assert found.written(["ONE"]) == "ONE"


@pytest.mark.parametrize(
    ("data", "ending", "kind"),
    [
        (b"hello", ".pdf", FailureKind.UNSUPPORTED),
        (b"hello", "", FailureKind.UNSUPPORTED),
        (b"\xff\xfeh\0", ".txt", FailureKind.BAD_INPUT),
        (b"hello", ".srt", FailureKind.BAD_INPUT),
        (b"{", ".json", FailureKind.BAD_INPUT),
        (b"[" * 100_000, ".json", FailureKind.BAD_INPUT),
        (b'{"segments": [{"text": 3}]}', ".json", FailureKind.BAD_INPUT),
        (b"x" * ((16 << 20) + 1), ".txt", FailureKind.UNSUPPORTED),
    ],
    ids=lambda value: value[:20] if isinstance(value, bytes) else None,
)
def test_what_is_no_transcript(data: bytes, ending: str, kind: FailureKind) -> None:
    """Is refused with a sentence."""
    with pytest.raises(JobError) as raised:
        transcript(data, ending)
    assert raised.value.kind is kind


@pytest.mark.parametrize(("data", "ending"), [(b"", ".srt"), (b"WEBVTT\n", ".vtt"), (b'{"segments": []}', ".json")])
def test_nothing_was_said(data: bytes, ending: str) -> None:
    """No texts, which is no failure."""
    assert transcript(data, ending).texts == ()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=300), st.sampled_from(ENDINGS[:3]))
def test_what_is_put_back_unchanged_reads_the_same(text: str, ending: str) -> None:
    """Whatever lies around and in the cues."""
    body = text if ending == ".txt" else f"00:01.000 --> 00:02.000\n{text}"
    found = transcript(body.encode(), ending)
    again = transcript(found.written(found.texts).encode(), ending)
    assert _shape(again) == _shape(found)


def _shape(found: Transcript) -> tuple[list[str], bool]:
    return [" ".join(text.split()) for text in found.texts], found.cues
