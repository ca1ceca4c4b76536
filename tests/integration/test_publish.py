"""Giving a file its final name."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind, OutputUnwritable, PublishError
from pyprocessor.models import Source
from pyprocessor.publish import renames
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.partials import discard, discard_attempts, partial_name, seal, sweep_partials
from pyprocessor.publish.publish import publish
from tests.process.skips import disk_or_skip

CONTENT = b"the new content" * 1000
OLD = b"the old content"
ANYWHERE = Bounds(b"/", Source(b"/nonexistent/a.mov", b"a.mov", 1, 1))
"""Of a source that nothing can hit."""


@pytest.fixture(params=["renameat2", "link", "neither"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way to take a free name: the system's own, through a hard link, and where there is neither."""
    asked = str(request.param)
    if asked != "renameat2":
        monkeypatch.setattr(renames, "_renameat2", lambda: None)
    if asked == "neither":

        def no_links(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", no_links)
    return asked


@pytest.fixture(scope="session")
def elsewhere() -> Iterator[bytes]:
    """A folder on another file system than the tests' own."""
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(tempfile.gettempdir()).st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield os.fsencode(folder)


OURS = b"0123456789abcdef0123"
"""What begins the name of an attempt's unfinished output."""


@pytest.fixture
def output(tmp_path: Path) -> bytes:
    """An output folder with a folder for partials."""
    (tmp_path / "partial").mkdir()
    return bytes(tmp_path)


def make_partial(output: bytes, name: bytes = b"0123456789abcdef0123-1.mp4") -> bytes:
    """An unfinished output with all its content."""
    path = os.path.join(output, b"partial", name)
    with open(path, "wb") as writing:
        writing.write(CONTENT)
    return path


def content(path: bytes) -> bytes:
    """What a file holds."""
    with open(path, "rb") as reading:
        return reading.read()


def everything_below(folder: bytes) -> set[bytes]:
    """All files below a folder."""
    return {os.path.join(place, name) for place, _, names in os.walk(folder) for name in names}


# ---------------------------------------------------------------- publish


@pytest.mark.parametrize(
    "name",
    [
        b"plain.mp4",
        b"a/b/c/d/e/deep.mp4",
        b"line\nbreak 'quoted' \"%03d\" -dash.mp4",
        b"not utf-8 \xff\xfe.mp4",
        b"x" * 251 + b".mp4",
        b"/".join([b"y" * 200] * 15) + b"/far.mp4",
    ],
    ids=["plain", "deep", "odd", "bytes", "255 bytes", "long path"],
)
def test_a_free_name_is_taken(output: bytes, way: str, name: bytes) -> None:
    """The file moves with its size, mtime and permissions, and nothing else is left."""
    partial, final = make_partial(output), os.path.join(output, name)
    sealed = seal(partial)
    assert publish(partial, final, seal=sealed, replace=False, bounds=ANYWHERE) == sealed
    assert content(final) == CONTENT
    assert everything_below(output) == {final}


def test_a_taken_name_is_never_clobbered(output: bytes, way: str) -> None:
    """The sentence says what lies there, and the partial is still there to be published elsewhere."""
    partial, final = make_partial(output), os.path.join(output, b"taken.mp4")
    with open(final, "wb") as writing:
        writing.write(OLD)
    with pytest.raises(PublishError, match=r"taken\.mp4 could not be given its name: a file of 15 bytes") as caught:
        publish(partial, final, seal=seal(partial), replace=False, bounds=ANYWHERE)
    assert caught.value.kind is FailureKind.PERMISSION
    assert (content(final), content(partial)) == (OLD, CONTENT)


def test_a_dangling_link_is_a_taken_name(output: bytes, way: str) -> None:
    """A name that leads nowhere is a name."""
    partial, final = make_partial(output), os.path.join(output, b"link.mp4")
    os.symlink(b"nowhere", final)
    with pytest.raises(PublishError):
        publish(partial, final, seal=seal(partial), replace=False, bounds=ANYWHERE)
    assert os.readlink(final) == b"nowhere"


def test_replacing(output: bytes) -> None:
    """With leave to replace, the old file gives way; a link is replaced and not followed."""
    partial, final, target = make_partial(output), os.path.join(output, b"f.mp4"), os.path.join(output, b"target")
    with open(target, "wb") as writing:
        writing.write(OLD)
    os.symlink(target, final)
    publish(partial, final, seal=seal(partial), replace=True, bounds=ANYWHERE)
    assert (content(final), content(target)) == (CONTENT, OLD)
    assert not os.path.islink(final)


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_is_not_replaced(output: bytes, replace: bool) -> None:
    """A folder under the final name is never touched."""
    partial, final = make_partial(output), os.path.join(output, b"folder.mp4")
    os.mkdir(final)
    with pytest.raises(PublishError, match="a folder of that name lies there"):
        publish(partial, final, seal=seal(partial), replace=replace, bounds=ANYWHERE)
    assert content(partial) == CONTENT


def test_a_file_in_the_way_of_a_folder(output: bytes) -> None:
    """The sentence names the file that stands where a folder is needed."""
    partial, blocker = make_partial(output), os.path.join(output, b"a")
    with open(blocker, "wb"):
        pass
    with pytest.raises(PublishError, match=r"a file stands where a folder is needed \(.*/a\)"):
        publish(partial, os.path.join(blocker, b"b", b"c.mp4"), seal=seal(partial), replace=False, bounds=ANYWHERE)


@pytest.mark.parametrize("name", [b"x" * 256, b"/".join([b"y" * 200] * 25)], ids=["name", "path"])
def test_a_name_too_long(output: bytes, name: bytes) -> None:
    """It cannot help to try again."""
    partial = make_partial(output)
    with pytest.raises(PublishError, match="longer than the file system allows") as caught:
        publish(partial, os.path.join(output, name), seal=seal(partial), replace=False, bounds=ANYWHERE)
    assert caught.value.kind is FailureKind.UNSUPPORTED


def test_a_partial_that_changed_is_not_published(output: bytes) -> None:
    """Somebody wrote after the check: what it holds is unknown."""
    partial, final = make_partial(output), os.path.join(output, b"f.mp4")
    sealed = seal(partial)
    with open(partial, "ab") as writing:
        writing.write(b"more")
    with pytest.raises(PublishError, match="changed after it was verified"):
        publish(partial, final, seal=sealed, replace=True, bounds=ANYWHERE)
    assert not os.path.lexists(final)


def test_a_partial_that_is_gone(output: bytes) -> None:
    """Neither sealing nor publishing makes something of nothing."""
    missing = os.path.join(output, b"partial", b"none")
    with pytest.raises(PublishError):
        seal(missing)
    with pytest.raises(PublishError):
        publish(missing, os.path.join(output, b"f.mp4"), seal=(1, 1), replace=False, bounds=ANYWHERE)


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_permissions_follow_the_umask(output: bytes, elsewhere: bytes, umask: int) -> None:
    """Published files are as readable as any file the user makes, moved or copied."""
    old = os.umask(umask)
    try:
        for number, root in enumerate((output, elsewhere)):
            partial, final = make_partial(output), os.path.join(root, f"{umask}-{number}.mp4".encode())
            publish(partial, final, seal=seal(partial), replace=False, bounds=ANYWHERE)
            assert stat.S_IMODE(os.stat(final).st_mode) == 0o666 & ~umask
    finally:
        os.umask(old)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(output: bytes) -> None:
    """A folder that may not be written is a failure of that kind."""
    partial, folder = make_partial(output), os.path.join(output, b"closed")
    os.mkdir(folder, 0o500)
    with pytest.raises(PublishError, match="permission is denied") as caught:
        publish(partial, os.path.join(folder, b"f.mp4"), seal=seal(partial), replace=False, bounds=ANYWHERE)
    assert caught.value.kind is FailureKind.PERMISSION


def race(partial: bytes, final: bytes, start: object, results: object) -> None:
    """Publishes once the gate opens and tells how it went."""
    sealed = seal(partial)
    start.wait()  # type: ignore[attr-defined]
    try:
        publish(partial, final, seal=sealed, replace=False, bounds=ANYWHERE)
        results.send("won")  # type: ignore[attr-defined]
    except PublishError:
        results.send("refused")  # type: ignore[attr-defined]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the race is run in forked children")
def test_two_publishers_of_one_name(output: bytes, way: str) -> None:
    """Exactly one wins; the other is refused and keeps its partial."""
    if way == "neither":
        pytest.skip("without renameat2 and hard links nothing tells two publishers apart")
    context = multiprocessing.get_context("fork")
    for turn in range(20):
        final = os.path.join(output, f"{turn}.mp4".encode())
        gate, (ours, theirs) = context.Barrier(2), context.Pipe(duplex=False)
        partials = [make_partial(output, f"{turn}-{number}.mp4".encode()) for number in (1, 2)]
        children = [context.Process(target=race, args=(partial, final, gate, theirs)) for partial in partials]
        for child in children:
            child.start()
        told = sorted(ours.recv() for _ in children)
        for child in children:
            child.join()
        assert told == ["refused", "won"]
        assert content(final) == CONTENT
        assert sum(os.path.exists(partial) for partial in partials) == 1
        ours.close()
        theirs.close()


# ---------------------------------------------------------------- another file system


@pytest.mark.parametrize("replace", [True, False])
def test_publishing_to_another_file_system(output: bytes, elsewhere: bytes, replace: bool) -> None:
    """The file is copied whole, under its name in one step, with its mtime; nothing else is left on either side."""
    partial, final = make_partial(output), os.path.join(elsewhere, f"{replace}".encode(), b"f.mp4")
    sealed = seal(partial)
    assert publish(partial, final, seal=sealed, replace=replace, bounds=ANYWHERE) == sealed
    assert content(final) == CONTENT
    assert everything_below(os.path.dirname(final)) == {final}
    assert everything_below(output) == set()


def test_a_taken_name_on_another_file_system(output: bytes, elsewhere: bytes) -> None:
    """The copy is taken back, the partial stays."""
    partial, final = make_partial(output), os.path.join(elsewhere, b"taken", b"f.mp4")
    os.mkdir(os.path.dirname(final))
    with open(final, "wb") as writing:
        writing.write(OLD)
    with pytest.raises(PublishError):
        publish(partial, final, seal=seal(partial), replace=False, bounds=ANYWHERE)
    assert everything_below(os.path.dirname(final)) == {final}
    assert content(final) == OLD
    assert everything_below(output) == {partial}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[bytes]:
    """A file system of one megabyte."""
    with disk_or_skip(tmp_path / "disk", 1 << 20) as disk:
        yield bytes(disk)


def test_a_full_disk_below_the_output(output: bytes, small_disk: bytes) -> None:
    """The copy that does not fit is taken back; the failure is the disk's."""
    partial, final = make_partial(output), os.path.join(small_disk, b"f.mp4")
    with open(partial, "wb") as writing:
        writing.write(bytes(2 << 20))
    with pytest.raises(PublishError, match="the disk is full") as caught:
        publish(partial, final, seal=seal(partial), replace=False, bounds=ANYWHERE)
    assert caught.value.kind is FailureKind.DISK
    assert os.listdir(small_disk) == []
    assert os.path.getsize(partial) == 2 << 20


def test_a_read_only_disk_below_the_output(output: bytes, small_disk: bytes) -> None:
    """The failure is the disk's, and says so."""
    partial = make_partial(output)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(PublishError, match="read-only") as caught:
        publish(partial, os.path.join(small_disk, b"f.mp4"), seal=seal(partial), replace=False, bounds=ANYWHERE)
    assert caught.value.kind is FailureKind.DISK


# ---------------------------------------------------------------- partials


def test_names_of_attempts_are_short_and_plain() -> None:
    """Nothing a muxer would take for a pattern; two attempts at a job have two names."""
    assert partial_name("f" * 32, "0123abcd") == "f" * 20 + "-0123abcd"
    assert partial_name("a" * 32, "00000001") != partial_name("a" * 32, "00000002")


def test_all_that_an_attempt_made_is_removed(output: bytes) -> None:
    """Files and folders, and nothing of another attempt whose name begins alike."""
    folder = os.path.join(output, b"partial")
    for name in (b"a-1.mp4", b"a-1.mp4.cover0", b"a-1", b"a-12.mp4", b"a-2.mp4", b"a-1.mp4.away"):
        make_partial(output, name)
    os.mkdir(os.path.join(folder, b"a-1.frames"))
    discard_attempts(folder, ("a-1",))
    assert sorted(os.listdir(folder)) == [b"a-1.mp4.away", b"a-12.mp4", b"a-2.mp4"]


def test_sweeping(output: bytes) -> None:
    """Leftover files and folders are removed, links are not followed."""
    folder = os.path.join(output, b"partial")
    lost = make_partial(output, OURS + b"-2.mp4 \xff\n")
    os.makedirs(os.path.join(folder, OURS + b"-3", b"deep"))
    os.symlink(output, os.path.join(folder, OURS + b"-4.m3u8"))
    assert sweep_partials(folder) == 3
    assert os.listdir(folder) == []
    assert not os.path.exists(lost)
    assert os.path.isdir(output)
    discard(lost)
    assert sweep_partials(folder) == 0


@pytest.mark.parametrize(
    "name",
    [b"film.mp4", b"notes-1.txt", b"0123-1.mp4", OURS[:-1] + b"g-1.mp4", OURS + b"-x.mp4", b"a\n" + OURS + b"-1"],
)
def test_what_is_not_ours_is_never_swept(output: bytes, name: bytes, tmp_path: Path) -> None:
    """Files and folders with names that no attempt has are left, and so where the folder is a link to one that others
    use, which no run takes."""
    folder, elsewhere = os.path.join(output, b"partial"), os.path.join(bytes(tmp_path), b"scratch")
    os.rename(folder, elsewhere)
    os.symlink(elsewhere, folder)
    make_partial(output, name)
    os.makedirs(os.path.join(folder, name + b".d", b"deep"))
    make_partial(output, OURS + b"-1.mp4")
    assert sweep_partials(folder) == 1
    assert sorted(os.listdir(folder)) == sorted([name, name + b".d"])


def test_sweeping_a_folder_that_is_not_there(output: bytes) -> None:
    """There is something wrong with the output as a whole."""
    with pytest.raises(OutputUnwritable, match="could not be listed"):
        sweep_partials(os.path.join(output, b"none"))


@pytest.mark.parametrize("told", [b"", b"/etc/hostname", b"relative"])
def test_a_note_that_names_no_copy_of_ours(output: bytes, told: bytes) -> None:
    """A torn or strange note removes nothing but itself."""
    bystander = os.path.join(output, b"relative")
    for path, held in ((bystander, OLD), (os.path.join(output, b"partial", OURS + b"-1.mp4.away"), told)):
        with open(path, "wb") as writing:
            writing.write(held)
    assert sweep_partials(os.path.join(output, b"partial")) == 0
    assert content(bystander) == OLD
    assert os.path.exists("/etc/hostname") or not told.startswith(b"/etc")
