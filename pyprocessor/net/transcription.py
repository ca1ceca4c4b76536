"""How is speech transcribed by a server that speaks OpenAI's protocol?"""

from __future__ import annotations

import json
import math
import os
import wave
from collections.abc import Iterator
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models.urls import host_of
from pyprocessor.net.http import ask, garbled
from pyprocessor.net.keys import key

_LANGUAGES = """
    afrikaans af albanian sq amharic am arabic ar armenian hy assamese as azerbaijani az bashkir ba basque eu
    belarusian be bengali bn bosnian bs breton br bulgarian bg burmese my cantonese yue castilian es catalan ca
    chinese zh croatian hr czech cs danish da dutch nl english en estonian et faroese fo finnish fi flemish nl
    french fr galician gl georgian ka german de greek el gujarati gu haitian ht hausa ha hawaiian haw hebrew he
    hindi hi hungarian hu icelandic is indonesian id italian it japanese ja javanese jw kannada kn kazakh kk
    khmer km korean ko lao lo latin la latvian lv letzeburgesch lb lingala ln lithuanian lt luxembourgish lb
    macedonian mk malagasy mg malay ms malayalam ml maltese mt mandarin zh maori mi marathi mr moldavian ro
    moldovan ro mongolian mn myanmar my nepali ne norwegian no nynorsk nn occitan oc panjabi pa pashto ps
    persian fa polish pl portuguese pt punjabi pa pushto ps romanian ro russian ru sanskrit sa serbian sr shona sn
    sindhi sd sinhala si sinhalese si slovak sk slovenian sl somali so spanish es sundanese su swahili sw
    swedish sv tagalog tl tajik tg tamil ta tatar tt telugu te thai th tibetan bo turkish tr turkmen tk
    ukrainian uk urdu ur uzbek uz valencian ca vietnamese vi welsh cy yiddish yi yoruba yo
"""
_CODES = dict(zip(_LANGUAGES.split()[::2], _LANGUAGES.split()[1::2], strict=True))
"""By their names, which some servers answer with."""


async def transcribe(
    *,
    audio: str,
    output: str,
    language: str | None,
    url: str,
    model: str,
    key_from: str,
    timeout_seconds: float,
) -> dict[str, int]:
    """Have a WAV file transcribed, and write what was said, with times from its start, as JSON to `output`.

    Returns how many segments there are. A server that answers with the text alone gives one segment, which is as long
    as the file. Raises JobError.
    """
    with wave.open(audio, "rb") as sound:
        seconds = sound.getnframes() / sound.getframerate()
    fields = {"model": model, "response_format": "verbose_json"} | ({"language": language} if language else {})
    address = f"{url.rstrip('/')}/audio/transcriptions"

    async def asked() -> Any:
        with open(audio, "rb") as file:
            named = {"file": (os.path.basename(audio), file, "audio/wav")}
            secret = key(key_from)
            return await ask(address, key=secret, timeout_seconds=timeout_seconds, fields=fields, files=named)

    try:
        answer = await asked()
    except JobError as error:
        if error.kind is not FailureKind.BAD_INPUT or "response_format" not in str(error):
            raise
        fields["response_format"] = "json"  # newer models of OpenAI's give no times
        answer = await asked()
    try:
        segments = list(_segments(answer, seconds))
        spoken = answer.get("language")
        document = {
            "language": _CODES.get(spoken.lower(), spoken.lower()) if isinstance(spoken, str) and spoken else language,
            "language_probability": None,
            "segments": segments,
            "dropped": [],
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise garbled(host_of(url)) from error
    with open(output, "w", encoding="utf-8") as written:
        json.dump(document, written, ensure_ascii=False)
    return {"segments": len(segments)}


def _segments(answer: Any, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield the segments of an answer that have words; `seconds` is how long the file is."""
    if not isinstance(answer.get("segments"), list):
        text = answer["text"].strip()
        if text:
            yield {"start": 0.0, "end": seconds, "text": text, "confidence": None}
        return
    for found in answer["segments"]:
        text, start, end = found["text"].strip(), float(found["start"]), float(found["end"])
        if not (math.isfinite(start) and math.isfinite(end)):
            raise ValueError("times that are no numbers")
        start = min(max(start, 0.0), seconds)
        if text:
            yield {"start": start, "end": min(max(end, start), seconds), "text": text, "confidence": _confidence(found)}


def _confidence(segment: dict[str, Any]) -> float | None:
    """Return how sure the model was of a segment: the mean probability of its tokens, and that it is speech at all."""
    likely, silent = segment.get("avg_logprob"), segment.get("no_speech_prob")
    if not isinstance(likely, int | float):
        return None
    sure = math.exp(min(likely, 0.0)) * (1.0 - (silent if isinstance(silent, int | float) else 0.0))
    return round(min(max(sure, 0.0), 1.0), 4) if math.isfinite(sure) else None
