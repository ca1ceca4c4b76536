"""Which charset are subtitles in that are not UTF-8?"""

from __future__ import annotations

import unicodedata
from itertools import pairwise

LAST_RESORT = "iso8859_1"
"""It decodes every byte, so that no line is lost."""

_MOST_BYTES = 16_000
"""How much of a text is looked at: more takes longer and changes nothing."""
_WESTERN, _CENTRAL = ("cp1252",), ("cp1250", "iso8859_2")
_OF_LANGUAGES = {
    **dict.fromkeys(("rus", "ukr", "bel", "bul", "srp", "mac", "mkd"), ("cp1251", "koi8_r", "cp866")),
    **dict.fromkeys(("pol", "cze", "ces", "slo", "slk", "slv", "hun", "hrv", "bos", "rum", "ron"), _CENTRAL),
    **dict.fromkeys(("ger", "deu", "fre", "fra", "spa", "por", "ita", "dut", "nld", "swe", "dan", "nor"), _WESTERN),
    **dict.fromkeys(("nob", "nno", "fin", "isl", "ice", "eng", "cat", "glg", "baq", "eus", "ind", "msa"), _WESTERN),
    **dict.fromkeys(("gre", "ell"), ("cp1253",)),
    **dict.fromkeys(("tur", "aze"), ("cp1254",)),
    **dict.fromkeys(("heb",), ("cp1255",)),
    **dict.fromkeys(("ara", "per", "fas", "urd"), ("cp1256",)),
    **dict.fromkeys(("lit", "lav", "est"), ("cp1257",)),
    **dict.fromkeys(("vie",), ("cp1258",)),
    **dict.fromkeys(("tha",), ("cp874",)),
    **dict.fromkeys(("jpn",), ("cp932", "euc_jp")),
    **dict.fromkeys(("chi", "zho"), ("gb18030", "big5")),
    **dict.fromkeys(("kor",), ("cp949",)),
}
"""Charsets by language (ISO 639-2, as containers write it), the most usual first."""
_ANY = (
    *("cp1252", "cp1251", "cp1250", "cp932", "gb18030", "big5", "cp949", "euc_jp", "cp1253", "cp1254", "cp1255"),
    *("cp1256", "cp1257", "cp874", "koi8_r", "cp866"),
)
"""Charsets for an unknown language, the most usual first."""
_MESS_AT_MOST = 0.4
_SAME_MESS = 0.02
_SAME_COHERENCE = 0.05
"""Differences below which two charsets explain a text equally well, so that the more usual one is taken."""


def charset_of(text: bytes, language: str | None) -> str | None:
    """Return Python's name of the most probable charset of `text`, or None where none fits."""
    from charset_normalizer import from_bytes  # imported here: few files need it, and it takes 30 ms

    of_language = _OF_LANGUAGES.get(language or "", ())
    enough = text if len(text) <= _MOST_BYTES else text[:_MOST_BYTES].rsplit(b"\n", 1)[0]
    for candidates in (of_language, _ANY) if of_language else (_ANY,):
        matches = from_bytes(
            enough,
            cp_isolation=list(candidates),
            threshold=_MESS_AT_MOST,
            preemptive_behaviour=False,
            enable_fallback=False,
        )
        found = [
            (name, match.chaos, match.coherence)
            for match in matches
            for name in (match.encoding, *match.could_be_from_charset)
            if name in candidates and _decodes(text, name)
        ]
        if found:
            mess = min(chaos for _, chaos, _ in found) + _SAME_MESS
            found = [entry for entry in found if entry[1] <= mess]
            coherence = max(coherence for _, _, coherence in found) - _SAME_COHERENCE
            names = [name for name, _, own in found if own >= coherence]
            return min(names, key=lambda name: (_odd(enough.decode(name, errors="replace")), candidates.index(name)))
    return None


def _odd(text: str) -> int:
    """Return how many signs follow a letter directly that do so in no language, as in `poszed³`."""
    return sum(
        before.isalpha() and not after.isascii() and unicodedata.category(after)[0] in "NSC"
        for before, after in pairwise(text)
    )


def iconv_name(charset: str) -> str:
    """Return iconv's name of a charset, which ffmpeg takes, from Python's name."""
    return charset.upper().replace("ISO8859_", "ISO-8859-").replace("_", "-")


def _decodes(text: bytes, charset: str) -> bool:
    try:
        text.decode(charset)
    except UnicodeDecodeError:
        return False
    return True
