"""Giving several products of one grant their names, or none of them."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models.products import Product
from pyprocessor.publish import durable, grants, renames
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.grants import Placed, discard_displaced, publish_all
from pyprocessor.publish.partials import seal
from pyprocessor.publish.seals import seal_at
from tests.integration.grants import BEFORE, FILM, NAMES, POSTER, SEGMENTS, SOURCE, Grant, read, tree, write
from tests.process.disks import fill
from tests.process.skips import disk_or_skip


@pytest.fixture(params=["taken", "free"])
def grant(request: pytest.FixtureRequest, tmp_path: Path) -> Grant:
    """Three products over existing or free names, ready to be placed."""
    return begun(tmp_path, taken=request.param == "taken")


def begun(tmp_path: Path, *, taken: bool = True, names: tuple[bytes, ...] = NAMES, root: bytes | None = None) -> Grant:
    """A grant that is ready to be placed."""
    return Grant(root or bytes(tmp_path / "out"), bytes(tmp_path / "partial"), taken=taken, names=names).begin()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[bytes]:
    """A folder on another file system than the partials."""
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield os.path.join(os.fsencode(folder), b"out")


@pytest.fixture(params=["same", "elsewhere"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> bytes:
    """Where final names lie."""
    if request.param == "same":
        return bytes(tmp_path / "out")
    other: bytes = request.getfixturevalue("elsewhere")
    return other


def refused(grant: Grant, match: str) -> PublishError:
    """Publishing is refused with this sentence."""
    with pytest.raises(PublishError, match=match) as caught:
        grant.publish()
    return caught.value


@pytest.mark.parametrize("taken", [True, False])
def test_all_get_their_names(tmp_path: Path, root: bytes, taken: bool) -> None:
    """The main product comes last; what was displaced is whole until it is discarded, and then nothing is left."""
    grant = begun(tmp_path, taken=taken, root=root)
    placed = grant.publish()
    assert [made.product.name for made in placed] == [POSTER, SEGMENTS, FILM]
    assert [made.seal for made in placed] == [grant.intent(made.product.name).seal for made in placed]
    for made in placed:
        before = grant.intent(made.product.name).before
        assert before == (None if made.displaced is None else seal_at(made.displaced))
        if taken and made.product.name == POSTER:
            assert made.displaced is not None
            assert read(made.displaced) == BEFORE[POSTER]
    discard_displaced(grant.intents, partials=grant.partials, output_root=grant.root)
    assert os.listdir(grant.partials) == []
    assert tree(grant.root) == grant.after


@pytest.mark.parametrize("name", NAMES)
def test_the_only_product(tmp_path: Path, root: bytes, name: bytes) -> None:
    """A file is renamed over the old one, of which nothing is kept; a folder takes the place of the old one."""
    grant = begun(tmp_path, names=(name,), root=root)
    (made,) = grant.publish()
    assert (made.displaced is None) == (name != SEGMENTS)
    assert made == Placed(made.product, grant.intent(name).seal, made.displaced)
    grant.check_done(placed=True)


@pytest.mark.parametrize("taken", [True, False])
def test_one_file_is_as_cheap_as_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """One call that names it and one sync; thousands of small files pay for each."""
    grant = begun(tmp_path, taken=taken, names=(FILM,))
    os.makedirs(grant.root, exist_ok=True)
    done: list[str] = []
    count(monkeypatch, os, "fsync", done)
    count(monkeypatch, os, "replace", done)
    count(monkeypatch, renames, "_rename", done)
    for call in ("link", "unlink", "rename"):
        count(monkeypatch, os, call, done)
    grant.publish()
    assert done == ["replace" if taken else "_rename", "fsync"]


def count(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, done: list[str]) -> None:
    """Notes each call of a function."""
    real = getattr(where, name)

    def called(*arguments: Any, **options: Any) -> Any:
        done.append(name)
        return real(*arguments, **options)

    monkeypatch.setattr(where, name, called)


# ---------------------------------------------------------------- what is in the way


@pytest.mark.parametrize("name", NAMES)
def test_a_product_that_somebody_replaced_meanwhile(tmp_path: Path, name: bytes) -> None:
    """What lies there is not what the worker saw: it stays, and so does all else."""
    grant = begun(tmp_path)
    inside = os.path.join(grant.final(name), b"a.ts") if name == SEGMENTS else grant.final(name)
    write(inside, b"by another program")
    found = tree(grant.root)
    assert refused(grant, "changed meanwhile").kind is FailureKind.INFRASTRUCTURE
    assert tree(grant.root) == found


@pytest.mark.parametrize("names", [NAMES, (FILM,)])
def test_what_may_not_be_replaced_stays(tmp_path: Path, names: tuple[bytes, ...]) -> None:
    """Without leave for one name nothing is placed."""
    grant = begun(tmp_path, names=names)
    grant.allowed = names[1:]
    assert refused(grant, "a file of 3 bytes that is not ours lies there").kind is FailureKind.PERMISSION
    grant.check_done(placed=False)


@pytest.mark.parametrize("names", [NAMES, (FILM,)])
def test_a_name_that_was_free_is_taken_meanwhile(tmp_path: Path, names: tuple[bytes, ...]) -> None:
    """Leave to replace is only for what the worker saw."""
    grant = begun(tmp_path, taken=False, names=names)
    write(grant.final(FILM), b"by another program")
    refused(grant, "a file of 18 bytes that is not ours")
    assert tree(grant.root) == {FILM: b"by another program"}


@pytest.mark.parametrize("exchange", [True, False])
def test_a_product_that_is_replaced_in_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    """Another program writes between the last look and the rename: its file is put back."""
    grant = begun(tmp_path)
    real = grants.exchange

    def late(one: bytes, other: bytes) -> bool:
        if one == grant.partial(FILM) and read(other) == BEFORE[FILM]:
            write(other + b".new", b"by another program")
            os.replace(other + b".new", other)
        return exchange and real(one, other)

    monkeypatch.setattr(grants, "exchange", late)
    refused(grant, "changed meanwhile")
    assert tree(grant.root) == grant.before | {FILM: b"by another program"}


@pytest.mark.parametrize("names", [NAMES, (FILM,)])
def test_a_final_name_that_is_a_link(tmp_path: Path, names: tuple[bytes, ...]) -> None:
    """The link is replaced and not followed, and put back as a link."""
    grant = begun(tmp_path, names=names)
    target = write(bytes(tmp_path / "target"), b"held")
    os.unlink(grant.final(FILM))
    os.symlink(target, grant.final(FILM))
    refused(grant, "changed meanwhile")
    assert os.readlink(grant.final(FILM)) == target
    before = seal_at(grant.final(FILM))
    grant.intents = tuple(
        replace(intent, before=before) if intent.product.name == FILM else intent for intent in grant.intents
    )
    grant.publish()
    grant.check_done(placed=True)
    assert not os.path.islink(grant.final(FILM))
    assert read(target) == b"held"


@pytest.mark.parametrize("names", [NAMES, (FILM,)])
def test_a_folder_in_the_way_of_a_file(tmp_path: Path, names: tuple[bytes, ...]) -> None:
    """It is never replaced by a file, whatever is allowed."""
    grant = begun(tmp_path, names=names)
    os.unlink(grant.final(FILM))
    write(os.path.join(grant.final(FILM), b"held"), b"")
    before = seal_at(grant.final(FILM))
    grant.intents = tuple(
        replace(intent, before=before) if intent.product.name == FILM else intent for intent in grant.intents
    )
    found = tree(grant.root)
    refused(grant, "a folder of that name lies there; move it away")
    assert tree(grant.root) == found


def test_a_folder_that_holds_the_source(tmp_path: Path) -> None:
    """It is not moved away, whatever is allowed."""
    grant = begun(tmp_path)
    path = os.path.join(grant.final(SEGMENTS), b"a.ts")
    grant.bounds = Bounds(grant.root, replace(SOURCE, path=path, relative=b"segments/a.ts"))
    refused(grant, "holds the source")
    grant.check_done(placed=False)


def test_a_folder_takes_the_place_of_a_file(tmp_path: Path) -> None:
    """One that a run made under the same name."""
    grant = begun(tmp_path, taken=False, names=(SEGMENTS,))
    write(grant.final(SEGMENTS), b"a playlist")
    grant.intents = (replace(grant.intents[0], before=seal_at(grant.final(SEGMENTS))),)
    (made,) = grant.publish()
    assert made.displaced is not None
    assert read(made.displaced) == b"a playlist"
    grant.check_done(placed=True)


def test_names_that_lie_in_each_other(tmp_path: Path) -> None:
    """They are refused before anything is touched."""
    grant = begun(tmp_path, taken=False)
    inside = replace(grant.intents[0], product=Product(b"segments/film.mp4"))
    grant.intents = (inside, *grant.intents[1:])
    refused(grant, "the second would lie in the first")
    grant.check_done(placed=False)


def test_a_product_that_changed_after_it_was_sealed(grant: Grant) -> None:
    """Somebody wrote after the check, in a folder without changing its size."""
    os.utime(os.path.join(grant.partial(SEGMENTS), b"low", b"b.ts"), ns=(1, 1))
    refused(grant, "changed after it was verified")
    grant.check_done(placed=False)


# ---------------------------------------------------------------- disks


def failing(real: Callable[..., Any], turn: int, *, ever_after: bool = False) -> Callable[..., Any]:
    """A call that the disk refuses at one turn, or from then on."""
    calls = iter(range(1_000_000))

    def call(*arguments: Any) -> Any:
        number = next(calls)
        if number == turn or (ever_after and number > turn):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(*arguments)

    return call


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("call", ["exchange", "rename_exclusive", "sync_folder", "displaced"])
def test_a_disk_that_fails(grant: Grant, monkeypatch: pytest.MonkeyPatch, call: str, turn: int) -> None:
    """At whichever product it does, all that were placed are taken back."""
    if call == "displaced":  # where names cannot be exchanged, the first of two renames
        monkeypatch.setattr(grants, "exchange", lambda *_: False)
        monkeypatch.setattr(os, "rename", failing(os.rename, turn))
    else:
        monkeypatch.setattr(grants, call, failing(getattr(grants, call), turn))
    never_called = call in (("rename_exclusive",) if grant.before else ("exchange", "displaced"))
    if never_called or (call == "sync_folder" and turn == 2):
        grant.publish()
        grant.check_done(placed=True)
    else:
        assert refused(grant, "input/output error").kind is FailureKind.DISK
        grant.check_done(placed=False)


def test_a_disk_that_fails_for_good(grant: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be taken back: the failure is the disk's, and the next run settles what is half placed."""
    with monkeypatch.context() as patched:
        for call in ("exchange", "rename_exclusive"):
            patched.setattr(grants, call, failing(getattr(grants, call), 1, ever_after=True))
        patched.setattr(os, "rename", failing(os.rename, 0, ever_after=True))
        error = refused(grant, "Then this failed, too: .* could not be put back as it was")
    assert error.kind is FailureKind.DISK
    grant.check_names()
    assert grant.settle()
    grant.check_done(placed=True)


def test_a_full_disk(tmp_path: Path) -> None:
    """Copies come before all renames; those that were made are removed when one does not fit."""
    with disk_or_skip(tmp_path / "disk", 1 << 20) as disk:
        grant = begun(tmp_path, root=bytes(disk / "out"))
        filler = fill(disk, leave_bytes=8192)  # two of the four files fit
        assert refused(grant, "the disk is full").kind is FailureKind.DISK
        assert tree(grant.root) == grant.before
        filler.unlink()
        assert grant.settle()
        grant.check_done(placed=True)


def test_a_file_system_that_keeps_no_exact_times(
    tmp_path: Path, elsewhere: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products that could not be known again after a kill are not placed there."""
    real = os.utime

    def coarse(path: bytes, *, ns: tuple[int, int]) -> None:
        real(path, ns=(ns[0] // 10**9 * 10**9, ns[1] // 10**9 * 10**9))

    monkeypatch.setattr(os, "utime", coarse)
    grant = begun(tmp_path, root=elsewhere)
    assert refused(grant, "keeps times less exactly").kind is FailureKind.UNSUPPORTED
    grant.check_done(placed=False)


def test_a_rename_that_crosses_a_mount_of_the_same_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its device number is the same; only the call tells."""
    grant = begun(tmp_path)
    real = grants.exchange

    def bound(one: bytes, other: bytes) -> bool:
        if os.path.dirname(one) != os.path.dirname(other):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return real(one, other)

    monkeypatch.setattr(grants, "exchange", bound)
    grant.publish()
    grant.check_done(placed=True)


# ---------------------------------------------------------------- settling


def test_settling_what_is_placed_brings_it_to_the_disk(grant: Grant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill may have come before the sync, and a power cut may come now."""
    grant.publish()
    synced: list[bytes] = []
    monkeypatch.setattr(grants, "sync_folder", synced.append)
    assert grant.settle()
    assert set(synced) == {grant.root}


def test_settling_refuses_what_publishing_would(tmp_path: Path) -> None:
    """A grant that was begun without leave to replace is rolled back, with the reason."""
    grant = begun(tmp_path)
    grant.allowed = (POSTER, SEGMENTS)
    with pytest.raises(PublishError, match="is not ours"):
        grant.settle()
    grant.check_done(placed=False)


def test_a_placed_product_that_is_removed_before_it_is_settled(tmp_path: Path) -> None:
    """The grant is rolled back, and what lay there before is back under that name, too."""
    grant = begun(tmp_path)
    grant.publish()
    os.unlink(grant.final(FILM))
    assert not grant.settle()
    grant.check_done(placed=False)


def test_exchanged_names_are_taken_back_where_none_can_be_exchanged_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is mounted another way now."""
    grant = begun(tmp_path)
    grant.publish()
    os.unlink(grant.final(FILM))
    monkeypatch.setattr(grants, "exchange", lambda *_: False)
    assert not grant.settle()
    grant.check_done(placed=False)


def test_a_placed_product_that_somebody_replaced_stays_theirs(tmp_path: Path) -> None:
    """The others are rolled back; what another program wrote is left alone."""
    grant = begun(tmp_path)
    grant.publish()
    write(grant.final(FILM), b"by another program")
    assert not grant.settle()
    assert tree(grant.root) == grant.before | {FILM: b"by another program"}


# ---------------------------------------------------------------- seals of folders


@pytest.fixture
def folder(tmp_path: Path) -> bytes:
    """A folder with files and a folder in it."""
    write(bytes(tmp_path / "made" / "low" / "a.ts"), b"first")
    write(bytes(tmp_path / "made" / "b.ts"), b"second")
    return bytes(tmp_path / "made")


def test_a_folder_is_known_again_after_a_rename(folder: bytes) -> None:
    """The first number is the size of all its files; the second fits SQLite's integers."""
    size, digest = sealed = seal(folder)
    assert size == len(b"firstsecond")
    assert 0 <= digest < 1 << 63
    os.rename(folder, folder + b" elsewhere")
    assert seal_at(folder + b" elsewhere") == sealed
    assert seal_at(folder) is None


CHANGES: dict[str, Callable[[bytes], object]] = {
    "content": lambda folder: write(os.path.join(folder, b"b.ts"), b"longer than before"),
    "time": lambda folder: os.utime(os.path.join(folder, b"low", b"a.ts"), ns=(1, 1)),
    "new file": lambda folder: write(os.path.join(folder, b"low", b"c.ts"), b""),
    "new folder": lambda folder: os.mkdir(os.path.join(folder, b"empty")),
    "file gone": lambda folder: os.unlink(os.path.join(folder, b"b.ts")),
    "renamed": lambda folder: os.rename(os.path.join(folder, b"b.ts"), os.path.join(folder, b"c.ts")),
    "moved": lambda folder: os.rename(os.path.join(folder, b"b.ts"), os.path.join(folder, b"low", b"b.ts")),
    "link": lambda folder: os.symlink(b"b.ts", os.path.join(folder, b"c.ts")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_changed_is_another(folder: bytes, change: str) -> None:
    """Whatever was changed in it, however deep."""
    sealed = seal(folder)
    CHANGES[change](folder)
    assert seal_at(folder) != sealed


def test_all_of_a_folder_is_brought_to_the_disk(folder: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file and folder in it, itself, and last its name."""
    synced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("there is no /proc here")
    monkeypatch.setattr(durable.os, "fsync", noted)
    seal(folder)
    made = os.path.realpath(os.fsdecode(folder))
    inside = {f"{made}/low", f"{made}/low/a.ts", f"{made}/b.ts"}
    assert set(synced[:-2]) == inside
    assert synced[-2:] == [made, os.path.dirname(made)]


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_folder_that_holds_something_else_is_not_sealed(folder: bytes, kind: str) -> None:
    """It could lead anywhere, or have no end."""
    path = os.path.join(folder, b"low", b"odd")
    os.symlink(b"../b.ts", path) if kind == "link" else os.mkfifo(path)
    with pytest.raises(PublishError, match=r"odd is a link or a special file") as caught:
        seal(folder)
    assert caught.value.kind is FailureKind.UNSUPPORTED


def test_a_link_to_a_folder_is_no_folder(folder: bytes, tmp_path: Path) -> None:
    """What it is sealed as is not what lies there, so it is never published."""
    link = os.path.join(bytes(tmp_path), b"link")
    os.symlink(folder, link)
    assert seal(link) != seal_at(link)


def test_products_need_not_lie_side_by_side(tmp_path: Path) -> None:
    """Folders are made for each."""
    grant = begun(tmp_path, taken=False)
    grant.intents = tuple(
        replace(intent, product=replace(intent.product, name=b"deep/" + intent.product.role.encode() + b"/x"))
        for intent in grant.intents
    )
    publish_all(grant.intents, partials=grant.partials, bounds=grant.bounds, allowed=())
    assert sorted(os.listdir(os.path.join(grant.root, b"deep"))) == [b"hls", b"main", b"poster"]
