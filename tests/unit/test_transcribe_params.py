"""What PREPROCESS and TRANSCRIBE take, plan and predict, without any file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import JobError
from pyprocessor.models import Backend, CostFeatures, InputLimits, Source
from pyprocessor.speech.backends import BackendParams
from pyprocessor.tasks.base import Plan
from pyprocessor.tasks.enhance import Enhance
from pyprocessor.tasks.preprocess import Preprocess
from pyprocessor.tasks.registry import names, problems
from pyprocessor.tasks.transcribe import Transcribe, TranscribeParams

SOURCE = Source(b"/in/talk.mp4", b"talk.mp4", 1000, 0)


def planned(seconds: float = 1500.0, model_bytes: int = 0, **params: Any) -> Plan:
    """The plan for a recording of so many seconds."""
    return Transcribe().plan(params, (SOURCE,), {"seconds": seconds, "model_bytes": model_bytes}, b"a/talk")


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"backend": "siri"}, "`backend`: invalid enum value 'siri'; "),
        (
            {"backends": [{"backend": "openai", "modell": "x"}]},
            "`backends`: `modell` is no field of this task; did you",
        ),
        ({"backends": [{}, {}]}, "`backends` has two of one name; give each a `name` of its own."),
        ({"chunk_size": 5}, "`chunk_size` is 5 seconds, but has to be from 30 to 10800."),
        ({"formats": []}, "`formats` has to name each format that is wanted once."),
        ({"formats": ["srt", "srt"]}, "`formats` has to name each format that is wanted once."),
        ({"formats": ["doc"]}, "`formats[0]`: invalid enum value 'doc'; "),
        ({"key_from": "sk-12345"}, "`key_from` has to be env:NAME or file:PATH: keys themselves stand in no job."),
        ({"url": "ftp://x"}, "`url` has to be an address such as https://api.openai.com/v1, without a name or key"),
        ({"url": "https://me:sk-12345@x/v1"}, "`url` has to be an address such as https://api.openai.com/v1, without"),
        ({"url": "https://x/v1?key=sk-12345"}, "`url` has to be an address such as https://api.openai.com/v1, without"),
        ({"batch_size": 0}, "`batch_size` is 0, but has to be 1 or more."),
        ({"burst": 0}, "`burst` is 0, but has to be 1 or more."),
        ({"per_minute": 0}, "`per_minute` is 0, but has to be more than 0."),
        ({"timeout_seconds": 0}, "`timeout_seconds` is 0, but has to be more than 0."),
        ({"backend": "pocketsphinx", "model": "de"}, "`model` is 'de', but pocketsphinx has the model en-us alone."),
    ],
)
def test_mistakes_in_params_name_the_field(params: dict[str, Any], said: str) -> None:
    """When the job is submitted, and never with a key in them."""
    (problem,) = problems("transcribe", params, 1)
    assert said in problem


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"loudness": 0}, "`loudness` is 0 LUFS, but has to be from -70 to -5."),
        ({"height": 4}, "`height` is 4 lines, but has to be from 64 to 4320."),
        ({"kind": "video"}, "`kind`: invalid enum value 'video'; `kind` takes: audio | proxy | remux."),
    ],
)
def test_mistakes_in_params_of_preprocess_name_the_field(params: dict[str, Any], said: str) -> None:
    """Likewise."""
    assert list(problems("preprocess", params, 1)) == [said]


def test_both_are_tasks_that_take_one_file() -> None:
    """They are listed, with what they are in a line."""
    assert {"preprocess", "transcribe"} <= set(names())
    assert all(task.inputs == (1, 1) and not task.summary.endswith(".") for task in (Preprocess, Transcribe))
    assert list(problems("transcribe", {}, 2)) == ["`inputs`: the task transcribe takes 1, and 2 are given."]


def test_products_are_named_after_their_formats() -> None:
    """The first one is the main product."""
    assert [(p.name, p.role) for p in planned(formats=["srt", "txt"]).products] == [
        (b"a/talk.srt", "main"),
        (b"a/talk.txt", "txt"),
    ]
    assert [p.role for p in planned().products] == ["main", "srt", "vtt", "json"]


def test_a_server_is_one_of_the_back_ends_that_the_engine_chooses_from() -> None:
    """With its limits, and a request for each piece."""
    alone = planned(per_minute=30)
    assert (alone.backends, alone.requests) == ((Backend("api.openai.com", 30, 1),), 3)
    listed = planned(
        backends=[
            {"name": "near", "url": "http://near/v1", "per_minute": 5, "burst": 2},
            {"backend": "pocketsphinx"},
        ]
    )
    assert listed.backends == (Backend("near", 5, 2), Backend("pocketsphinx"))
    assert planned(backend="pocketsphinx").backends == ()


def test_servers_are_told_apart_by_their_hosts() -> None:
    """So a server that is down makes none wait for another one."""
    (first,), (second,) = (planned(url=f"http://127.0.0.1:{port}/v1").backends for port in (8001, 8002))
    assert (first.name, second.name) == ("127.0.0.1:8001", "127.0.0.1:8002")


def test_a_server_takes_no_core_and_a_model_its_memory() -> None:
    """A job that waits ten times longer than it computes runs beside those for cores."""
    remote, local = planned().cost, planned(backend="faster-whisper", model_bytes=500 << 20, batch_size=4).cost
    assert isinstance(remote, CostFeatures)
    assert isinstance(local, CostFeatures)
    assert remote.given is not None
    assert local.given is not None
    assert remote.given.wait_seconds > 10 * remote.given.cpu_seconds
    assert local.given.wait_seconds == 0
    assert local.given.memory_bytes > 2000 << 20
    assert local.encoder == "faster-whisper small auto"


def test_the_call_has_what_its_function_takes() -> None:
    """A server's is a coroutine; keys are named and not given."""
    remote = BackendParams(url="http://x", key_from="file:/k", model="m", timeout_seconds=9.0).call(2)
    assert remote["arguments"] == {"url": "http://x", "key_from": "file:/k", "timeout_seconds": 9.0, "model": "m"}
    assert (remote["function"], remote["coroutine"]) == ("pyprocessor.net.transcription:transcribe", True)
    local = BackendParams(backend="faster-whisper", device="cpu").call(2)
    assert local["arguments"]["threads"] == 2
    assert (local["affinity"], local["coroutine"]) == ("faster-whisper small cpu", False)
    assert BackendParams(backend="pocketsphinx").call(2)["arguments"] == {}


def test_the_engines_choice_of_a_back_end_is_used() -> None:
    """The first one where it has none."""
    params = TranscribeParams(backends=({"name": "a"}, {"name": "b", "backend": "pocketsphinx"}))
    assert [params.chosen(name).known_as for name in ("", "a", "b")] == ["a", "a", "b"]


def test_products_of_preprocess_never_bear_the_name_of_their_source() -> None:
    """Which may lie in the same folder and be a WAV, MP4 or MKV as well."""
    found = {"seconds": 10.0, "bytes": 1000, "container": "mkv", "encode": None}
    for kind, name in {"audio": b"talk.16k.wav", "remux": b"talk.clean.mkv"}.items():
        (product,) = Preprocess().plan({"kind": kind}, (SOURCE,), found, b"talk").products
        assert product.name == name


def test_a_missing_library_is_told_before_a_missing_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a chat API, when the job is inspected."""
    (tmp_path / "a.txt").write_text("hello")
    monkeypatch.setitem(sys.modules, "httpx", None)  # type: ignore[arg-type]
    with pytest.raises(JobError, match=r"A chat API needs httpx, which is not installed; pip install"):
        Enhance().inspect((Source(bytes(tmp_path / "a.txt"), b"a.txt", 5, 0),), {}, InputLimits())
