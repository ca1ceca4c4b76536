"""Which charset are subtitles in that are not UTF-8?"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

LAST_RESORT = "iso8859_1"
"""It decodes every byte, so that no line is lost."""

_MOST_BYTES = 16_000
"""How much of a text is looked at: more takes longer and changes nothing."""
_LANGUAGES = (
    "rus ukr bel bul srp mac mkd: cp1251 koi8_r cp866; pol cze ces slo slk slv hun hrv bos rum ron: cp1250 iso8859_2; "
    "ger deu fre fra spa por ita dut nld swe dan nor nob nno fin isl ice eng cat glg baq eus ind msa: cp1252; "
    "gre ell: cp1253; tur aze: cp1254; heb: cp1255; ara per fas urd: cp1256; lit lav est: cp1257; vie: cp1258; "
    "tha: cp874; jpn: cp932 euc_jp; chi zho: gb18030 big5; kor: cp949"
).split("; ")
"""Charsets by language (ISO 639-2, as containers write it), the most usual first."""
_ANY = (
    "cp1252 cp1251 cp1250 cp932 gb18030 big5 cp949 euc_jp cp1253 cp1254 cp1255 cp1256 cp1257 cp874 koi8_r cp866".split()
)
"""Charsets for an unknown language, the most usual first."""
_LETTERS = {
    "cp1252": tuple(
        "éèàêçùâîôûëïœüÿæ üäößé óíáñéúü ãáéçíóõêúâôàü èàùòìé åøæéòóô äöåéü ðíáþóéúýæö ëéïèüö àèéíòóúïüç".split()
    ),
    "cp1250": ("łęążśćńóź", "íáéěřčšžýůúťďňó", "íáéčšžýťúľôňďäóĺŕ", "áéöóőíüúű", "ăîâşţ", "čšžćđ"),
    "cp1251": (
        "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
        "оаиніетврслкдупмязьйбгчюхцжїшщєфґ",
        "аеоинтсрвлкмдпзугябъжчцхщшйфюь",
    ),
    "cp1253": ("αοιετσνηρκπμςυλάίόέδγήχθώφωβξζύψϊϋΐΰ",),
    "cp1254": ("ıüşğçöİâî",),
    "cp1255": ("יוהלאתרמבנשםדעחקכפטסגזןצךףץ",),
    "cp1256": ("الينموترهبدسعكحقفجشصخطزذضغثظأةإىءئآؤ", "اینرمدهوتسبلکشزگخفعقحجپطصچغذضظثءژآئ"),
    "cp1257": ("ėųšįžąčęū", "āīēšņūķļģčž", "õäöüšž"),
    "cp874": ("านรอกเงมยลวดทสตะปบคหแจพชขใไโผซณศธภษญฟถฉฝฐฎฏฬฮฒฆฌฤฯๆ่้็๊๋์ัิีึืุูำ",),
}
_LETTERS["iso8859_2"] = _LETTERS["cp1250"]
_LETTERS["koi8_r"] = _LETTERS["cp866"] = _LETTERS["cp1251"][:1]
"""By charset, the letters beyond ASCII of each language that uses it, the most frequent first."""
_NEVER_FIRST = frozenset("ъыьйЪЫЬЙ")
_ALWAYS_LAST = frozenset("ךםןףץς")
"""Letters that begin no word, and letters that only end one: Hebrew read as Russian has many of the first."""
_ONE_CASE = 0.9
"""The highest likelihood of an alphabet with two cases where only one occurs: whole sentences have both."""
_OWN_ALPHABET = frozenset(("cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "cp874"))
"""Charsets of languages that are written without Latin letters."""
_JAPANESE = ("cp932", "euc_jp")
_COMMON_LEADS = {
    **{charset: (charset, 0x00, 0xFF) for charset in _JAPANESE},
    "gb18030": ("gb2312", 0xB0, 0xD7),
    "big5": ("big5", 0xA4, 0xC6),
    "cp949": ("euc_kr", 0xB0, 0xC8),
}
"""By charset of East Asia, the one that orders characters by use, and the lead bytes of the usual ones."""
_WITHOUT_KANA = 0.9
"""The highest likelihood of Chinese and Korean, as kana are surer evidence than any other character."""
_RAREST_LETTER, _LEAST_KANA = 0.2, 0.2
"""Weight of a language's rarest letter (its most frequent: 1); share of kana in the letters of a Japanese text."""
_MOST_MESS = 0.4
"""With more than this, by charset_normalizer's measure, a charset does not fit."""
_SAME_LETTERS, _SAME_MESS, _SAME_COHERENCE = 0.05, 0.02, 0.05
"""Differences below which two charsets explain a text equally well, so that the more usual one is taken."""


def charset_of(text: bytes, language: str | None) -> str | None:
    """Return Python's name of the most probable charset of `text`, or None where none fits."""
    from charset_normalizer import from_bytes  # imported here: few files need it, and it takes 30 ms

    tables = (row.split(": ") for row in _LANGUAGES)
    of_language = next((charsets.split() for languages, charsets in tables if language in languages.split()), [])
    enough = text if len(text) <= _MOST_BYTES else text[:_MOST_BYTES].rsplit(b"\n", 1)[0]
    for candidates in (of_language, _ANY) if of_language else (_ANY,):
        matches = from_bytes(
            enough, cp_isolation=candidates, threshold=_MOST_MESS, preemptive_behaviour=False, enable_fallback=False
        )
        found = [
            (name, match)
            for match in matches
            for name in (match.encoding, *match.could_be_from_charset)
            if name in candidates and _decodes(text, name)
        ]
        if found:
            likely = {name: _likelihood(enough.decode(name, errors="replace"), name) for name, _ in found}
            least = max(likely.values()) - _SAME_LETTERS
            found = [(name, match) for name, match in found if likely[name] >= least]
            mess = min(match.chaos for _, match in found) + _SAME_MESS
            found = [(name, match) for name, match in found if match.chaos <= mess]
            coherence = max(match.coherence for _, match in found) - _SAME_COHERENCE
            names = [name for name, match in found if match.coherence >= coherence]
            return min(names, key=lambda name: (_odd(enough.decode(name, errors="replace")), candidates.index(name)))
    return None


def _likelihood(text: str, charset: str) -> float:
    """Return how well the letters beyond ASCII fit a language that uses `charset`: from 0 (not at all) to 1."""
    signs = [
        (before, sign, after)
        for before, sign, after in zip(" " + text, text, text[1:] + " ", strict=False)
        if not sign.isascii() and unicodedata.category(sign)[0] not in "PZ"
    ]
    if not signs:
        return 0.0
    if charset in _COMMON_LEADS:
        return _likelihood_in_east_asia(text, [sign for _, sign, _ in signs], charset)
    own = charset in _OWN_ALPHABET
    cases = {sign.isupper() for _, sign, _ in signs if sign.isupper() or sign.islower()}
    placed = [sign for before, sign, after in signs if not _is_misplaced(before, sign, after, beside_latin=not own)]
    totals = [0.0]
    for letters in _LETTERS.get(charset, ()):
        weights = {letter: 1 - (1 - _RAREST_LETTER) * rank / len(letters) for rank, letter in enumerate(letters)}
        totals.append(sum(weights.get(sign, weights.get(sign.lower(), 0.0)) for sign in placed))
    return max(totals) / len(signs) * (_ONE_CASE if own and len(cases) == 1 else 1.0)


def _is_misplaced(before: str, sign: str, after: str, *, beside_latin: bool) -> bool:
    """Return whether no word has such a letter here; `beside_latin`: Latin letters may stand beside it."""
    return (
        (sign.isupper() and before.islower())
        or (sign in _NEVER_FIRST and not before.isalpha())
        or (sign in _ALWAYS_LAST and after.isalpha())
        or (not beside_latin and any(near.isascii() and near.isalpha() for near in (before, after)))
    )


def _likelihood_in_east_asia(text: str, signs: Sequence[str], charset: str) -> float:
    """Return the share of usual characters; 0 where a text has kana and is not Japanese, or the other way round."""
    letters = [sign for sign in text if not sign.isascii() and sign.isalpha()]
    japanese = charset in _JAPANESE
    if (sum(map(_is_kana, letters)) >= _LEAST_KANA * len(letters)) != japanese:
        return 0.0
    ordered, first, last = _COMMON_LEADS[charset]
    codes = [(sign, sign.encode(ordered, "replace")) for sign in signs if sign.isalpha() or not japanese]
    usual = sum(_is_kana(sign) or (len(code) > 1 and first <= code[0] <= last) for sign, code in codes)
    return (1.0 if japanese else _WITHOUT_KANA) * usual / len(signs)


def _is_kana(sign: str) -> bool:
    return "\u3041" <= sign <= "\u30fe"


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
