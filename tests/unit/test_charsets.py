"""Which charset subtitles are in, told from little text."""

from __future__ import annotations

import pytest

from pyprocessor.containers.charsets import charset_of, iconv_name

WITHOUT_A_WORD = [
    ("cp1252", "Das ist schön.\nIch weiß nicht, ob er kommt.\nGrüße aus München"),
    ("cp1252", "AARGH schönä XQZ"),
    ("cp1252", "Où êtes-vous allé?\nC'est très étrange.\nÇa va?"),
    ("cp1252", "¿Dónde está el niño?\n¡Mañana será otro día!"),
    ("cp1252", "It\u2019s not what you think\u2026\nDon\u2019t go there."),
    ("cp1251", "Привет, как дела?\nЯ не знаю, куда он ушёл."),
    ("cp1251", "Привет"),
    ("koi8_r", "Привет, как дела?\nЯ не знаю, куда он ушёл."),
    ("cp1250", "Dzień dobry, jak się masz?\nNie wiem, gdzie on poszedł."),
    ("cp1250", "Nie wiem, gdzie on poszedł, jutro będzie dzień jak każdy."),
    ("cp1253", "Καλημέρα, τι κάνεις;\nΔεν ξέρω πού πήγε."),
    ("cp932", "おはようございます。\n彼がどこへ行ったのか知りません。"),
    ("cp932", "行こう"),
    ("gb18030", "早上好，你好吗？\n我不知道他去了哪里。"),
    ("big5", "早上好，你好嗎？\n我不知道他去了哪裡。"),
    ("cp1255", "שלום, מה שלומך?\nאני לא יודע לאן הוא הלך."),
    ("cp1255", "בוא נלך מכאן עכשיו\nאין לנו זמן לדברים כאלה\nתודה רבה לך"),
    ("cp1254", "Günaydın, nasılsın?\nNereye gittiğini bilmiyorum."),
    ("cp1254", "Şimdi gidiyoruz, çabuk ol!\nBuraya gelme, tehlikeli olabilir."),
    ("cp1250", "Jó napot, hogy van?\nNem tudom, hová ment.\nÁrvíztűrő tükörfúrógép"),
    ("cp1252", "Hvað segirðu? Ég veit ekki hvert hann fór.\nÞetta er ekki satt."),
    ("cp1252", "Não sei onde ele foi.\nVocê está bem? Amanhã é outro dia, irmão."),
    ("cp1257", "Labas rytas, kaip sekasi?\nNežinau, kur jis nuėjo. Ačiū už pagalbą, šį vakarą."),
    ("cp1256", "صباح الخير، كيف حالك؟\nلا أعرف إلى أين ذهب."),
    ("cp874", "สวัสดีตอนเช้า คุณสบายดีไหม\nฉันไม่รู้ว่าเขาไปไหน"),
    ("euc_jp", "おはようございます。\n彼がどこへ行ったのか知りません。"),
    ("euc_jp", "行こう、早くしろ！\nここは危険だ。何を考えているんだ？\nありがとうございました。"),
    ("cp932", "行こう、早くしろ！\nここは危険だ。何を考えているんだ？\nありがとうございました。"),
    ("cp949", "안녕하세요, 어떻게 지내세요?\n그가 어디로 갔는지 모르겠어요."),
]
WITH_ONE = [
    ("tur", "cp1254", "Günaydın, nasılsın?\nNereye gittiğini bilmiyorum."),
    ("heb", "cp1255", "שלום, מה שלומך?\nאני לא יודע לאן הוא הלך."),
    ("hun", "cp1250", "Jó napot, hogy van?\nNem tudom, hová ment.\nÁrvíztűrő tükörfúrógép"),
    ("jpn", "euc_jp", "おはようございます。\n彼がどこへ行ったのか知りません。"),
    ("chi", "big5", "我們走吧"),
    ("rus", "cp866", "Привет, как дела?\nЯ не знаю, куда он ушёл."),
]


@pytest.mark.parametrize(("charset", "text"), WITHOUT_A_WORD)
def test_the_charset_shows_in_the_text(charset: str, text: str) -> None:
    """Of the usual ones, without knowing the language; of much text as of little."""
    for times in (1, 400) if len(text) > 10 else (1,):
        data = "\n".join([text] * times).encode(charset)
        found = charset_of(data, None)
        assert found is not None
        assert data.decode(found) == data.decode(charset), found


@pytest.mark.parametrize(("language", "charset", "text"), WITH_ONE)
def test_the_language_tells_charsets_apart(language: str, charset: str, text: str) -> None:
    """Where the letters of one are those of another."""
    assert charset_of(text.encode(charset), language) == charset


def test_a_wrong_language_misleads_nobody() -> None:
    """A Russian text in a track that says it is Korean."""
    text = "Привет, как дела?\nЯ не знаю, куда он ушёл, и что теперь делать."
    assert charset_of(text.encode("cp866"), "jpn") == "cp866"


def test_what_is_no_text_has_no_charset() -> None:
    """Bytes at random."""
    assert charset_of(bytes(range(128, 256)) * 4 + bytes(range(1, 32)) * 20, None) is None


@pytest.mark.parametrize(
    ("python", "iconv"), [("cp1252", "CP1252"), ("iso8859_2", "ISO-8859-2"), ("euc_jp", "EUC-JP"), ("koi8_r", "KOI8-R")]
)
def test_ffmpeg_knows_charsets_by_iconvs_names(python: str, iconv: str) -> None:
    """Not by Python's."""
    assert iconv_name(python) == iconv
