"""Words as they are compared, the check that content is preserved, and texts cut at sentence ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.speech.preservation import preserved
from pyprocessor.speech.scoring import word_error_rate
from pyprocessor.speech.sentences import pieces
from pyprocessor.speech.words import numbers, words

PROSE = st.text(st.sampled_from("ab .,!?\n…。é1 "), max_size=300) | st.text(max_size=200)
SPELLED = "zero one two twelve nineteen".split()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Go forward, TEN meters!", "go forward 10 meters"),
        ("Twenty-five or 25?", "25 or 25"),
        ("two hundred and five", "205"),
        ("one thousand and one nights in a thousand", "1001 nights in a thousand"),
        ("three million two hundred thousand and seventeen", "3200017"),
        ("one, 1 and two", "one one and 2"),
        ("five five five", "5 5 5"),
        ("nineteen eighty four", "19 84"),
        (
            "1,000 and 1.234.567 and 1\u00a0000,5 and 12.5 in 2020 100",
            "1000 and 1234567 and 1000.5 and 12.5 in 2020 100",
        ),
        ("At 10:30. It's 5% “off”", "at 10:30 it's 5 percent off"),
        ("don’t 'quote' me", "don't quote me"),
        ("今天 ok", "今 天 ok"),
        ("हिन्दी में", "हिन्दी में"),
        ("naïve Straße", "naïve strasse"),
        ("hundred thousand", "hundred thousand"),
        ("and", "and"),
        ("", ""),
    ],
)
def test_words_are_compared_without_case_punctuation_and_spelling_of_numbers(text: str, found: str) -> None:
    """Number words that make up one number are one word."""
    assert " ".join(words(text)) == found


@given(st.text(max_size=200))
def test_words_of_words_are_the_same(text: str) -> None:
    """So a text that was normalised before is compared as it is."""
    once = words(text)
    assert words(" ".join(once)) == once


@pytest.mark.parametrize(
    ("reference", "hypothesis", "rate"),
    [("a b c d", "a b c d", 0.0), ("a b c d", "a x c", 0.5), ("", "", 0.0), ("", "a", 1.0), ("a", "", 1.0)],
)
def test_errors_are_counted_by_word(reference: str, hypothesis: str, rate: float) -> None:
    """Of the reference's words; texts without words included."""
    assert word_error_rate(reference.split(), hypothesis.split()) == rate


def test_a_missing_jiwer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "jiwer", None)
    with pytest.raises(Exception, match=r"needs jiwer, which is not installed; pip install 'pyprocessor\["):
        word_error_rate(["a"], ["b"])


def test_punctuation_and_case_preserve_the_content() -> None:
    """As does writing a number in digits."""
    found = preserved("so we paid ten dollars you know", "So we paid 10 dollars, you know.", most_word_error_rate=0.0)
    assert (found.preserved, found.word_error_rate, found.reasons) == (True, 0.0, ())


@pytest.mark.parametrize(
    ("improved", "reasons"),
    [
        ("We paid 12 dollars for four tickets.", ["Numbers are missing: 10.", "Numbers were added: 12."]),
        ("Nobody paid anything at all here today, 10, 4.", ["100% of its words were changed, of 20% that may be."]),
        ("", ["100% of its words were changed, of 20% that may be.", "Numbers are missing: 10, 4."]),
    ],
)
def test_what_changes_the_content_is_told(improved: str, reasons: list[str]) -> None:
    """Too many changed words, numbers that went and numbers that came."""
    found = preserved("we paid ten dollars for 4 good tickets", improved, most_word_error_rate=0.2)
    assert not found.preserved
    assert list(found.reasons)[-2:] == reasons


@given(PROSE)
def test_a_text_preserves_itself(text: str) -> None:
    """Whatever it is."""
    assert preserved(text, text, most_word_error_rate=0.0).preserved


@given(PROSE, st.integers(1, 60))
def test_pieces_are_the_text_again(text: str, most: int) -> None:
    """None is empty or too long."""
    found = pieces(text, most)
    assert "".join(found) == text
    assert all(0 < len(piece) <= most for piece in found)


def test_pieces_end_where_sentences_do() -> None:
    """Not behind an abbreviation, an initial or the point of a number; and within a sentence that is too long."""
    text = "Mr. A. Smith paid 3.50 today. He left! And then?\nA much longer sentence without any end at all"
    assert pieces(text, 34) == [
        "Mr. A. Smith paid 3.50 today.",
        " He left! And then?",
        "\nA much longer sentence without",
        " any end at all",
    ]
    assert pieces("一二。三四。五", 5) == ["一二。", "三四。五"]
    assert pieces("x" * 7, 3) == ["xxx", "xxx", "x"]
    assert pieces("", 3) == []
    with pytest.raises(ValueError, match="1 or more"):
        pieces("a", 0)


def test_numbers_are_words_with_nothing_but_digits() -> None:
    """A lone one is a word, since it is one more often than a number."""
    assert numbers(words("one of 12 rooms on floor two point 5th 3.5")) == {"12", "2", "3.5"}
