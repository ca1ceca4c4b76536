"""Which charset a text is most probably in: for subtitles that are not UTF-8, as containers require."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

LAST_RESORT = "iso8859_1"
"""Takes every byte, so that no line is lost."""

_MOST_BYTES = 16_000
"""Of the text, as much as is looked at: more takes longer and changes nothing."""
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
"""The charsets in which subtitles of a language come, the usual one first; by ISO 639-2, as containers write it."""
_ANY = (
    *("cp1252", "cp1251", "cp1250", "cp932", "gb18030", "big5", "cp949", "euc_jp", "cp1253", "cp1254", "cp1255"),
    *("cp1256", "cp1257", "cp874", "koi8_r", "cp866"),
)
"""The same for text of an unknown language, the more usual ones first."""
_LETTERS = {
    "cp1252": (
        *("éèàêçùâîôûëïœüÿæ", "üäößé", "óíáñéúü", "ãáéçíóõêúâôàü", "èàùòìé", "åøæéòóô", "äöåéü", "ðíáþóéúýæö"),
        *("ëéïèüö", "àèéíòóúïüç"),
    ),
    "cp1250": ("łęążśćńóź", "íáéěřčšžýůúťďňó", "íáéčšžýťúľôňďäóĺŕ", "áéöóőíüúű", "ăîâşţ", "čšžćđ"),
    "cp1251": (
        "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",
        "оаиніетврслкдупмязьйбгчюхцжїшщєфґ",
        "аеоинтрсвлдкмпзугябъжчцхщшйфюь",
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
"""Beyond ASCII, the letters of languages that a charset is used for, the more frequent ones first."""
_COMMON_IN = {"gb18030": "gb2312", "big5": "big5", "cp949": "euc_kr", "cp932": "cp932", "euc_jp": "euc_jp"}
"""Charsets of East Asia, and by which their usual signs are told: those have the lead bytes of `_COMMON_LEADS`."""
_JAPANESE = ("cp932", "euc_jp")
_COMMON_LEADS = {"gb2312": (0xB0, 0xD7), "big5": (0xA4, 0xC6), "euc_kr": (0xB0, 0xC8)}
_LEAST_KANA = 0.2
"""Of the letters of a Japanese text."""
_WITHOUT_KANA = 0.9
"""Kana alone are a surer sign of their language than any other sign of East Asia."""
_RAREST_LETTER = 0.2
_NEVER_FIRST = frozenset("ъыьйЪЫЬЙ")
_ALWAYS_LAST = frozenset("ךםןףץς")
"""Letters that begin no word, and letters that end one: Hebrew that is read as Russian has many of the first."""
_ONE_CASE = 0.9
"""Text of whole sentences has capitals and small letters, in the alphabets that have both."""
_OWN_ALPHABET = ("cp1251", "koi8_r", "cp866", "cp1253", "cp1255", "cp1256", "cp874")
"""Charsets of languages that are written without Latin letters."""
_SAME_LETTERS = 0.05
_MESS_AT_MOST = 0.4
_SAME_MESS = 0.02
_SAME_COHERENCE = 0.05
"""Differences below which two charsets explain a text equally well, so that the more usual one is taken."""


def charset_of(text: bytes, language: str | None) -> str | None:
    """Python's name of the charset that explains `text` best, given its language where known; None where none does."""
    from charset_normalizer import from_bytes  # here, since few files need it and it takes 30 ms

    usual = _OF_LANGUAGES.get(language or "", ())
    enough = text if len(text) <= _MOST_BYTES else text[:_MOST_BYTES].rsplit(b"\n", 1)[0]
    for candidates in (usual, _ANY) if usual else (_ANY,):
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
            likely = {name: _likelihood(enough.decode(name, errors="replace"), name) for name, _, _ in found}
            least = max(likely.values()) - _SAME_LETTERS
            found = [entry for entry in found if likely[entry[0]] >= least]
            mess = min(chaos for _, chaos, _ in found) + _SAME_MESS
            found = [entry for entry in found if entry[1] <= mess]
            coherence = max(coherence for _, _, coherence in found) - _SAME_COHERENCE
            names = [name for name, _, own in found if own >= coherence]
            return min(names, key=lambda name: (_odd(enough.decode(name, errors="replace")), candidates.index(name)))
    return None


def _likelihood(text: str, charset: str) -> float:
    """How well the letters of `text` beyond ASCII fit a language that `charset` is used for: 0 not at all, to 1."""
    signs = [
        (before, sign, after)
        for before, sign, after in zip(" " + text, text, text[1:] + " ", strict=False)
        if not sign.isascii() and unicodedata.category(sign)[0] not in "PZ"
    ]
    if not signs:
        return 0.0
    if charset in _COMMON_IN:
        if not _fits_kana(text, charset):
            return 0.0
        common = sum(_is_common(sign, charset) for _, sign, _ in signs) / len(signs)
        return common if charset in _JAPANESE else _WITHOUT_KANA * common
    own = charset in _OWN_ALPHABET
    cases = {sign.isupper() for _, sign, _ in signs if sign.isupper() or sign.islower()}
    most = _ONE_CASE if own and len(cases) == 1 else 1.0
    best = 0.0
    for letters in _LETTERS.get(charset, ()):
        weights = {letter: 1 - (1 - _RAREST_LETTER) * rank / len(letters) for rank, letter in enumerate(letters)}
        total = sum(
            weights.get(sign, weights.get(sign.lower(), 0.0))
            for before, sign, after in signs
            if not _is_misplaced(before, sign, after)
            and not (own and any(near.isascii() and near.isalpha() for near in (before, after)))
        )
        best = max(best, most * total / len(signs))
    return best


def _is_misplaced(before: str, sign: str, after: str) -> bool:
    """Whether no language has such a letter here: a capital inside a word, or one that belongs to its other end."""
    return (
        (sign.isupper() and before.islower())
        or (sign in _NEVER_FIRST and not before.isalpha())
        or (sign in _ALWAYS_LAST and after.isalpha())
    )


def _is_common(sign: str, charset: str) -> bool:
    """Whether a sign of an East Asian charset is among the usual ones, or kana."""
    if _is_kana(sign):
        return True
    if charset in _JAPANESE:
        return sign.isalpha() and len(sign.encode(charset, errors="replace")) > 1
    code = sign.encode(_COMMON_IN[charset], errors="replace")
    first, last = _COMMON_LEADS[_COMMON_IN[charset]]
    return len(code) > 1 and first <= code[0] <= last


def _fits_kana(text: str, charset: str) -> bool:
    """Whether a text has as much kana as Japanese does, or none, as Chinese and Korean."""
    letters = [sign for sign in text if not sign.isascii() and sign.isalpha()]
    kana = sum(map(_is_kana, letters))
    return (kana >= _LEAST_KANA * len(letters)) == (charset in _JAPANESE)


def _is_kana(sign: str) -> bool:
    return "\u3041" <= sign <= "\u30fe"


def _odd(text: str) -> int:
    """How many signs stand right behind a letter that belong there in no language, such as those of `poszed³`."""
    return sum(
        before.isalpha() and not after.isascii() and unicodedata.category(after)[0] in "NSC"
        for before, after in pairwise(text)
    )


def iconv_name(charset: str) -> str:
    """iconv's name of a charset, which ffmpeg takes, from Python's."""
    return charset.upper().replace("ISO8859_", "ISO-8859-").replace("_", "-")


def _decodes(text: bytes, charset: str) -> bool:
    try:
        text.decode(charset)
    except UnicodeDecodeError:
        return False
    return True
