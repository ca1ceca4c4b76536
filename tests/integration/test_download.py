"""Downloads from a web server on loopback: resumed, checked, bounded, redirected, and refused."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.net import addresses
from pyprocessor.net import download as room
from pyprocessor.net.download import download
from tests.integration.file_server import Answer, FileServer, serving

CONTENT = random.Random(1).randbytes(3 << 20)
CUT = Answer(cut_at=2 << 20)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the download lies."""
    return tmp_path / "kept"


def fetch(files: FileServer, path: Path, where: str = "/film.mp4", **more: Any) -> dict[str, Any]:
    """Download from this server, which has a private address."""
    return asyncio.run(download(files.url + where, str(path), **{"allow_private": True, **more}))


def refused(files: FileServer, path: Path, kind: FailureKind, **more: Any) -> str:
    """The sentence with which a download fails."""
    with pytest.raises(JobError) as raised:
        fetch(files, path, **more)
    assert raised.value.kind is kind, raised.value
    return str(raised.value)


def test_a_file_arrives(path: Path) -> None:
    """With what the server says of it; its secrets are not repeated."""
    with serving(CONTENT) as files:
        made = fetch(files, path, "/film.mp4?token=secret")
    assert path.read_bytes() == CONTENT
    assert made == {"url": f"{files.url}/film.mp4", "bytes": len(CONTENT), "content_type": "video/mp4"}
    assert files.asked[0]["path"] == "/film.mp4?token=secret"
    assert files.asked[0]["accept-encoding"] == "identity"


def test_a_lost_connection_is_gone_on_with(path: Path) -> None:
    """The rest alone is asked for, on the condition that nothing has changed."""
    with serving(CONTENT, CUT) as files:
        fetch(files, path)
    assert path.read_bytes() == CONTENT
    assert [request.get("range") for request in files.asked] == [None, f"bytes={2 << 20}-"]
    assert files.asked[1]["if-range"] == '"one"'


def test_the_next_attempt_goes_on(path: Path) -> None:
    """What came before a failure is kept; a server that has gone in the meantime costs nothing of it."""
    with serving(CONTENT, CUT, Answer(503), Answer(status=500)) as files:
        assert "status 503" in refused(files, path, FailureKind.UNAVAILABLE)
        assert "status 500" in refused(files, path, FailureKind.UNAVAILABLE)
        fetch(files, path)
    assert path.read_bytes() == CONTENT
    assert {request.get("range") for request in files.asked[1:]} == {f"bytes={2 << 20}-"}


def test_little_by_little_is_left_to_the_next_attempt(path: Path) -> None:
    """So that a server that breaks off at once is not asked without a pause."""
    with serving(CONTENT, Answer(cut_at=1000), Answer(cut_at=1000)) as files:
        assert "could not be read to its end" in refused(files, path, FailureKind.UNAVAILABLE)
        assert len(files.asked) == 1
        refused(files, path, FailureKind.UNAVAILABLE)
        fetch(files, path)
    assert [request.get("range") for request in files.asked] == [None, "bytes=1000-", "bytes=2000-"]
    assert path.read_bytes() == CONTENT


def test_a_file_that_changed_is_begun_anew(path: Path) -> None:
    """Nothing of the old one is put together with the new one."""
    other = CONTENT[::-1]
    with serving(CONTENT, CUT, Answer(503)) as files:
        refused(files, path, FailureKind.UNAVAILABLE)
        files.content, files.etag = other, '"two"'
        fetch(files, path)
    assert path.read_bytes() == other


@pytest.mark.parametrize(
    "answer",
    [
        Answer(whole=True),
        Answer(206, {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}),
        Answer(206, {"Content-Range": f"bytes {2 << 20}-{len(CONTENT)}/{len(CONTENT) + 1}"}),
        Answer(206, {"Content-Range": "nonsense"}),
        Answer(416, {"Content-Range": "bytes */7"}),
    ],
    ids=["whole", "other part", "other length", "nonsense", "shorter"],
)
def test_answers_that_do_not_fit_what_is_there(path: Path, answer: Answer) -> None:
    """All is asked for again."""
    with serving(CONTENT, CUT, answer) as files:
        fetch(files, path)
    assert path.read_bytes() == CONTENT


def test_a_finished_download_is_not_done_twice(path: Path) -> None:
    """As after a kill between its last byte and its name."""
    with serving(CONTENT) as files:
        fetch(files, path)
        assert fetch(files, path)["bytes"] == len(CONTENT)
    assert files.asked[1]["range"] == f"bytes={len(CONTENT)}-"
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "headers", [{"ETag": ""}, {"ETag": 'W/"weak"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}]
)
def test_what_cannot_be_told_apart_is_not_put_together(path: Path, headers: dict[str, str]) -> None:
    """Without a strong mark of the content the file is asked for whole."""
    with serving(CONTENT, Answer(headers=headers, cut_at=2 << 20), Answer(headers=headers)) as files:
        refused(files, path, FailureKind.UNAVAILABLE)
        fetch(files, path)
    assert "range" not in files.asked[1]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"short"),
        lambda path: Path(f"{path}.notes").write_text("{}"),
        lambda path: Path(f"{path}.notes").write_text("[1, 2"),
        lambda path: Path(f"{path}.notes").unlink(),
        lambda path: Path(f"{path}.notes").write_text('{"url": "http://other/", "validator": "x", "total": 5}\n'),
    ],
)
def test_what_is_kept_and_damaged_is_thrown_away(path: Path, damage: Any) -> None:
    """Or of another address."""
    with serving(CONTENT, CUT, Answer(503)) as files:
        refused(files, path, FailureKind.UNAVAILABLE)
        damage(path)
        fetch(files, path)
    assert "range" not in files.asked[-1]
    assert path.read_bytes() == CONTENT


def test_bytes_behind_the_notes_are_not_relied_on(path: Path) -> None:
    """After a power cut they may be zeros; a note that was not written to its end does not count."""
    with serving(CONTENT, CUT, Answer(503)) as files:
        refused(files, path, FailureKind.UNAVAILABLE)
        path.write_bytes(path.read_bytes() + bytes(1000))
        with Path(f"{path}.notes").open("a") as notes:
            notes.write('{"bytes": 2097')
        fetch(files, path)
    assert files.asked[-1]["range"] == f"bytes={2 << 20}-"
    assert path.read_bytes() == CONTENT


# ---------------------------------------------------------------- checksums and limits


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "blake2b"])
def test_checksums(path: Path, algorithm: str) -> None:
    """Of all that arrived, also where it was put together."""
    wanted = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()}"
    with serving(CONTENT, CUT) as files:
        assert fetch(files, path, checksum=wanted)["checksum"] == wanted


def test_another_checksum(path: Path) -> None:
    """What came in one answer is what the server has; what was put together is tried again from its beginning."""
    wanted = "sha256:" + 64 * "0"
    with serving(CONTENT, Answer(), CUT) as files:
        assert "and not 000" in refused(files, path, FailureKind.BAD_INPUT, checksum=wanted)
        refused(files, path, FailureKind.UNAVAILABLE, checksum=wanted)
        assert path.stat().st_size == 0
        fetch(files, path)
    assert "range" not in files.asked[-1]


def test_a_file_that_is_too_large(path: Path) -> None:
    """Told by the server, or found while it comes; nothing of it stays."""
    endless = Answer(headers={"Content-Length": ""}, endless=True)
    with serving(CONTENT, Answer(), endless) as files:
        for said in ("is 3.1 MB long; `max_bytes` allows 1.0 MB", "sends more and more"):
            assert said in refused(files, path, FailureKind.BAD_INPUT, max_bytes=1_000_000)
            assert path.stat().st_size == 0


def test_a_disk_without_room(path: Path) -> None:
    """Noticed before anything is written."""
    with serving(CONTENT, Answer(headers={"Content-Length": str(1 << 60)})) as files:
        assert "are free where it is to lie" in refused(files, path, FailureKind.UNAVAILABLE, max_bytes=1 << 61)


def test_a_server_that_promises_more_than_it_sends(path: Path) -> None:
    """The end of the connection is not taken for the end of the file."""
    more = {"Content-Length": str(len(CONTENT) + 5), "ETag": ""}
    with serving(CONTENT, Answer(headers=more)) as files:
        assert "could not be read to its end" in refused(files, path, FailureKind.UNAVAILABLE)


def test_a_server_that_sends_more_than_it_promises(path: Path) -> None:
    """What was promised is the file."""
    with serving(CONTENT, Answer(headers={"Content-Length": "1000"})) as files:
        assert fetch(files, path)["bytes"] == 1000
    assert path.read_bytes() == CONTENT[:1000]


def test_a_length_that_nobody_says(path: Path) -> None:
    """It arrives, with a warning."""
    with serving(CONTENT, Answer(headers={"Content-Length": ""})) as files:
        (warning,) = fetch(files, path)["warnings"]
    assert "not known whether its end is there" in warning
    assert path.read_bytes() == CONTENT


def test_a_compressed_answer_is_refused(path: Path) -> None:
    """It would be stored under the name of what it is not."""
    with serving(CONTENT, Answer(headers={"Content-Encoding": "gzip"})) as files:
        assert "compressed" in refused(files, path, FailureKind.UNSUPPORTED)


# ---------------------------------------------------------------- what servers refuse


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, FailureKind.PERMISSION),
        (402, FailureKind.PERMISSION),
        (403, FailureKind.PERMISSION),
        (404, FailureKind.BAD_INPUT),
        (410, FailureKind.BAD_INPUT),
        (204, FailureKind.BAD_INPUT),
        (206, FailureKind.BAD_INPUT),
        (408, FailureKind.UNAVAILABLE),
        (409, FailureKind.UNAVAILABLE),
        (429, FailureKind.UNAVAILABLE),
        (500, FailureKind.UNAVAILABLE),
        (503, FailureKind.UNAVAILABLE),
    ],
)
def test_statuses(path: Path, status: int, kind: FailureKind) -> None:
    """Each is a kind of failure, some of which pass."""
    with serving(CONTENT, Answer(status)) as files:
        assert f"status {status}" in refused(files, path, kind)


def test_a_server_that_wants_to_be_left_alone(path: Path) -> None:
    """For so many seconds."""
    with serving(CONTENT, Answer(429, {"Retry-After": "17"})) as files, pytest.raises(JobError) as raised:
        fetch(files, path)
    assert raised.value.retry_after_seconds == 17.0


def test_a_server_that_is_not_there(path: Path) -> None:
    """It may be there later."""
    with serving(CONTENT) as files:
        pass
    assert "could not be read" in refused(files, path, FailureKind.UNAVAILABLE)


# ---------------------------------------------------------------- redirects, hosts, addresses


def test_redirects_are_followed(path: Path) -> None:
    """To where they lead, relative ones too, and not for ever."""
    hop = Answer(302, {"Location": "/next.mp4"})
    with serving(CONTENT, hop, hop) as files:
        assert fetch(files, path)["url"] == f"{files.url}/next.mp4"
        files.answers = [hop] * 10
        assert "more than 5 times" in refused(files, path, FailureKind.BAD_INPUT)


@pytest.mark.parametrize(
    ("location", "more", "said"),
    [
        ("ftp://127.0.0.1/", {}, "is no address of https or http"),
        ("file:///etc/passwd", {}, "is no address of https or http"),
        ("http://user:pass@127.0.0.1/", {}, "names no host, or a user"),
        ("http://other.example/", {"hosts": ["127.0.0.1"]}, "other.example is none of the `hosts`"),
    ],
)
def test_redirects_to_what_is_not_allowed(path: Path, location: str, more: dict[str, Any], said: str) -> None:
    """Each hop is held to the rules of the first."""
    with serving(CONTENT, Answer(302, {"Location": location})) as files:
        assert said in refused(files, path, FailureKind.PERMISSION, **more)


def test_hosts_that_are_allowed() -> None:
    """By name, or below one."""
    rules = room.Rules(hosts=("media.example", "*.cdn.example"))
    import httpx

    for host in ("media.example", "MEDIA.example.", "a.cdn.example", "b.a.cdn.example"):
        rules.check(httpx.URL(f"https://{host}/"))
    for host in ("cdn.example", "evilcdn.example", "media.example.evil", "xmedia.example"):
        with pytest.raises(JobError):
            rules.check(httpx.URL(f"https://{host}/"))


@pytest.fixture
def one_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback's first address counts as one of the internet, its others do not."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address == "127.0.0.1")


def looking_up(*found: str) -> tuple[addresses.LookUp, list[str]]:
    """A lookup that finds one of these after the other, and what it was asked for."""
    asked, left = [], list(found)

    async def look_up(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return [left.pop(0)]

    return look_up, asked


@pytest.mark.usefixtures("one_is_public")
def test_what_was_checked_is_what_is_connected_to(path: Path) -> None:
    """One lookup for a request: a name that leads elsewhere a moment later does so in vain."""
    with serving(CONTENT) as files:
        look_up, asked = looking_up("127.0.0.1", "10.0.0.1")
        url = f"http://media.example:{files.port}/film.mp4"
        asyncio.run(download(url, str(path), look_up=look_up))
        assert asked == ["media.example"]
        assert files.asked[0]["host"] == f"media.example:{files.port}"
        with pytest.raises(JobError, match=r"media\.example leads to 10\.0\.0\.1") as raised:
            asyncio.run(download(url, str(path), look_up=look_up))
    assert raised.value.kind is FailureKind.PERMISSION
    assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("one_is_public")
def test_a_redirect_to_a_private_address(path: Path) -> None:
    """The second hop is checked as the first one was."""
    with serving(CONTENT) as files:
        files.answers = [Answer(302, {"Location": f"http://127.0.0.2:{files.port}/"})]
        said = refused(files, path, FailureKind.PERMISSION, allow_private=False)
    assert "127.0.0.2 leads to 127.0.0.2" in said
    assert len(files.asked) == 1


def test_private_addresses_are_refused_by_default(path: Path) -> None:
    """Nothing is sent there."""
    with serving(CONTENT) as files:
        refused(files, path, FailureKind.PERMISSION, allow_private=False)
        assert files.asked == []


@pytest.mark.usefixtures("one_is_public")
def test_the_next_address_where_one_is_not_reached(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As browsers do where IPv6 is there in name only."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)

    async def look_up(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.3", "127.0.0.1"]

    with serving(CONTENT) as files:
        asyncio.run(download(f"http://media.example:{files.port}/a", str(path), look_up=look_up))
    assert path.read_bytes() == CONTENT


@pytest.mark.usefixtures("one_is_public")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="a certificate is made by openssl")
def test_certificates_are_those_of_the_name(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the connection goes to an address: a certificate of another name is refused."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=media.example"]
    command += ["-addext", "subjectAltName=DNS:media.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(CONTENT, tls=tls) as files:
        for host, good in (("media.example", True), ("other.example", False)):
            look_up, _ = looking_up("127.0.0.1")
            url = f"https://{host}:{files.port}/film.mp4"
            if good:
                asyncio.run(download(url, str(path), look_up=look_up))
                assert path.read_bytes() == CONTENT
            else:
                with pytest.raises(JobError, match="CERTIFICATE_VERIFY_FAILED"):
                    asyncio.run(download(url, str(path), look_up=look_up))
