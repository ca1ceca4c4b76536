"""What the kinds of work that come along refuse when a job is submitted, and how they name what they make."""

from __future__ import annotations

from typing import Any

import pytest

from pyprocessor.inspect import digests
from pyprocessor.models import Source
from pyprocessor.tasks import registry
from pyprocessor.tasks.call import lies_in
from pyprocessor.tasks.download import safe_name


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("download", {}, "missing required field `url`"),
        ("download", {"url": "ftp://a.example/b"}, "`url` has to begin with https:// or http://"),
        ("download", {"url": "http://a.example/b", "schemes": ["https"]}, "`url` has to begin with https://."),
        ("download", {"url": "https:///b"}, "`url` names no host"),
        ("download", {"url": "https://a.example:99999/"}, "`url` is no URL"),
        ("download", {"url": "https://me:secret@a.example/"}, "`url` holds the name of a user or a password"),
        ("download", {"url": "https://a.example/b c"}, "`url` holds characters that no URL has"),
        ("download", {"url": "https://a.example/b", "name": "../b"}, "`name` is '../b', but has to be a plain"),
        ("download", {"url": "https://a.example/b", "name": ".hidden"}, "`name` is '.hidden'"),
        ("download", {"url": "https://a.example/b", "checksum": "crc32:00"}, "`checksum` names 'crc32'"),
        ("download", {"url": "https://a.example/b", "checksum": "md5:00"}, "`checksum` holds no digest of md5"),
        ("download", {"url": "https://a.example/b", "max_bytes": 0}, "`max_bytes` is 0"),
        ("download", {"url": "https://a.example/b", "schemes": ["file"]}, "`schemes[0]`: invalid enum value"),
        ("youtube", {"url": "file:///etc/passwd"}, "`url` has to begin with"),
        ("youtube", {"url": "https://a.example/b", "container": "avi"}, "`container`: invalid enum value"),
        ("checksum", {"algorithms": []}, "`algorithms` has to name one or more"),
        ("checksum", {"algorithms": ["md5", "md5"]}, "`algorithms` has to name one or more, each once"),
        ("checksum", {"of": "packets", "write": True}, "`write` is for checksums of files"),
        ("call", {"function": "os.system"}, "`function` is 'os.system'"),
        ("call", {"function": "__main__:f"}, "`function` is '__main__:f'"),
        ("call", {"function": "a:b", "memory_mb": 5, "coroutine": True}, "`memory_mb` has to be"),
        ("chunk", {"chunk_duration": 0}, "`chunk_duration` is 0"),
        ("chunk", {"start": 5, "end": 5}, "`start` has to be 0 or more, and `end` behind it"),
        ("transcode", {"crf": "x"}, "`crf`: expected `int | null`"),
        ("verify", {"strict": 1}, "`strict`: expected `bool`"),
    ],
)
def test_what_is_refused(name: str, params: dict[str, Any], said: str) -> None:
    """With the field, in one sentence."""
    least, _ = registry.task(name).inputs  # type: ignore[attr-defined]
    (problem,) = registry.problems(name, params, least)
    assert said in problem


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("film.mp4", "film.mp4"),
        ("../../etc/passwd", "etcpasswd"),
        ("..", ""),
        (".hidden.mp4 ", "hidden.mp4"),
        ("a\x00b\nc\u202ed.mp4", "abcd.mp4"),
        ("\u00fc" * 300 + ".mp4", "\u00fc" * 98 + ".mp4"),
    ],
)
def test_names_of_files_that_servers_give(text: str, name: str) -> None:
    """Visible, and where they are put."""
    assert safe_name(text) == name


def test_names_of_downloads() -> None:
    """The last part of the address, in the folder of the key; where there is none, a plain word."""
    plan = registry.task("download").plan
    for url, output, name in (
        ("https://a.example/x/Film%20%C3%BC.mp4?q=1", b"talks/key", "talks/Film \u00fc.mp4"),
        ("https://a.example/%2e%2e%2f.mp4", b"key", "mp4"),
        ("https://a.example", b"key", "download"),
    ):
        (product,) = plan({"url": url}, (), None, output).products
        assert product.name == name.encode()


def test_the_lines_of_checksums() -> None:
    """As sha256sum writes them, odd names included."""
    assert digests.line("ab", b"film.mp4") == b"ab  film.mp4\n"
    assert digests.line("ab", b"a\\b\nc") == b"\\ab  a\\\\b\\nc\n"


def test_packages_whose_functions_may_be_called() -> None:
    """The package itself, and what lies in it."""
    assert lies_in("json:loads", ["json"])
    assert lies_in("json.decoder:f", ["xml", "json"])
    assert lies_in("json.decoder:f", ["json.decoder"])
    assert not lies_in("jsonx:f", ["json"])
    assert not lies_in("json:f", ["json.decoder"])
    assert not lies_in("json:f", [])


def test_a_checksum_is_of_one_cost_for_each_byte() -> None:
    """So that large files come first."""
    plan = registry.task("checksum").plan
    costs = [plan({}, (Source(b"/a", b"a", size, 0),), None, b"a").cost for size in (1 << 20, 1 << 30)]
    seconds = [cost.given.cpu_seconds for cost in costs]  # type: ignore[union-attr]
    assert seconds[1] > 100 * seconds[0]
