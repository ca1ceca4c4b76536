"""The walk over real folders: odd names, links, loops, filters, order."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from pyprocessor.errors import FailureKind
from pyprocessor.intake import file_names
from pyprocessor.intake.inputs import inputs_of
from pyprocessor.intake.messages import Candidate, PassedOver, Remark, ScanPlan
from pyprocessor.intake.scan import Glob, Stills, walk
from pyprocessor.models import Profile, ScanSettings, Source
from pyprocessor.models.products import Product
from pyprocessor.plan.naming import order_key
from pyprocessor.publish.receipts import Receipt, ReceiptWriter
from pyprocessor.state.state_folder import prepare_state_folder

ODD_NAMES = [
    b"plain.mp4",
    b"with space.mp4",
    b"-dash-.mp4",
    b"quo'te\".mp4",
    b"new\nline.mp4",
    b"e%03d.mp4",
    "emoji \N{GRINNING FACE}.mp4".encode(),
    b"not-utf8-\xff\xfe.mp4",
    b"[brackets]*?.mp4",
    b"UPPER.MP4",
]


def quiet() -> None:
    """Nobody waits for a sign of life."""


def scan(root: Path | bytes, *, output: Path | None = None, after: bytes | None = None, **settings: object) -> ScanPlan:
    """A plan over `root` with these scan settings."""
    profile = Profile("test", "0", scan=ScanSettings(**settings))  # type: ignore[arg-type]
    return ScanPlan(
        inputs_of([os.fsencode(root)]),
        os.fsencode(output or Path("/nonexistent-output")),
        profile,
        time.time_ns(),
        after,
    )


def touch(folder: Path, names: Sequence[bytes | str], content: bytes = b"x") -> None:
    """Make small files below `folder`."""
    for name in names:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def taken(plan: ScanPlan) -> list[bytes]:
    """Relative paths of the candidates, in the order they come."""
    return [entry.source.relative for entry in walk(plan, quiet) if isinstance(entry, Candidate)]


def test_every_name_a_file_system_takes_is_found(tmp_path: Path) -> None:
    """Spaces, quotes, newlines, dashes, patterns, emoji and bytes that are no UTF-8 all come through as they are."""
    touch(tmp_path, ODD_NAMES)
    assert sorted(taken(scan(tmp_path))) == sorted(ODD_NAMES)


def test_hidden_files_folders_and_other_kinds_are_left_out(tmp_path: Path) -> None:
    """What begins with a dot or is no media file is none of our business."""
    touch(tmp_path, [".hidden.mp4", ".folder/a.mp4", "notes.txt", "a.mp4", "no-extension"])
    assert taken(scan(tmp_path)) == [b"a.mp4"]


BINS = (
    *("#recycle", "@Recycle", "@eaDir", "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found"),
    *(".Trash-1000", ".Trashes", ".AppleDouble", "__MACOSX", ".@__thumb", "#snapshot", ".snapshot", ".stversions"),
)


def test_bins_and_metadata_of_systems_are_passed_over(tmp_path: Path) -> None:
    """At any depth and in any case, with all in them; but not where the user names one as the input."""
    touch(tmp_path, ["a.mp4", "Recycled bicycles/b.mp4", "._a.mp4"])
    touch(tmp_path, [f"{place}{name}/deep/c.mp4" for name in BINS for place in ("", "sub/")])
    touch(tmp_path, ["#Recycle/d.mp4"])
    assert taken(scan(tmp_path)) == [b"a.mp4", b"Recycled bicycles/b.mp4"]
    for name in BINS:
        assert taken(scan(tmp_path / name)) == [b"deep/c.mp4"]


@pytest.mark.parametrize("name", ["x.dav", "x.TP", "x.insv", "x.360", "x.rec", "x.evo"])
def test_cameras_and_recorders_have_names_of_their_own(tmp_path: Path, name: str) -> None:
    """They are taken as any other video."""
    touch(tmp_path, [name])
    assert taken(scan(tmp_path)) == [name.encode()]


# ---------------------------------------------------------------- pictures that may move

STILL = b"GIF89a" + bytes(7) + b"\x2c" + bytes(8) + b"\0\x02\x01\x2c\0\x3b"
MOVING = STILL[:-1] + STILL[13:]
WEBP_STILL = b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8)


def test_pictures_are_taken_where_they_move(tmp_path: Path) -> None:
    """The others are passed over without a word, whatever they hold and however many there are."""
    touch(tmp_path, ["a.gif", "a.GIF", "b.webp", "c.apng"], MOVING)
    touch(tmp_path, ["d.gif"], STILL)
    touch(tmp_path, ["e.webp", "f.apng"], WEBP_STILL)
    touch(tmp_path, ["g.gif"], b"")
    touch(tmp_path, ["h.webp"], b"\xff\xd8\xff\xe0 a JPEG")
    touch(tmp_path, ["i.png"], MOVING)
    assert [entry for entry in walk(scan(tmp_path), quiet) if isinstance(entry, PassedOver)] == []
    assert taken(scan(tmp_path)) == [b"a.GIF", b"a.gif", b"b.webp", b"c.apng"]
    assert taken(scan(tmp_path, extensions=("gif", "mp4"))) == [b"a.GIF", b"a.gif"]
    assert taken(replace(scan(tmp_path), profile=Profile("test", "0", video=None))) == []


def test_a_still_that_is_named_is_tried(tmp_path: Path) -> None:
    """It fails with a reason: who names a file means it."""
    touch(tmp_path, ["a.gif"], STILL)
    (entry,) = walk(scan(tmp_path / "a.gif"), quiet)
    assert isinstance(entry, Candidate)


def test_no_output_is_named_after_the_pictures_beside_its_source(tmp_path: Path) -> None:
    """Thumbnails come and go; what moves beside a film of the same name keeps its own extension."""
    touch(tmp_path, ["film.mkv", "film.webp", "b.gif"], MOVING)
    named = {e.source.relative: e.output for e in walk(scan(tmp_path), quiet) if isinstance(e, Candidate)}
    assert named == {b"film.mkv": b"film.mp4", b"film.webp": b"film.webp.mp4", b"b.gif": b"b.mp4"}


def test_a_picture_is_opened_once_while_it_stays_as_it_is(tmp_path: Path) -> None:
    """Walk after walk with what the last one knew."""
    touch(tmp_path, ["a.gif"], STILL)
    stills: Stills = {}
    assert [e for e in walk(scan(tmp_path), quiet, stills) if e] == []
    status = (tmp_path / "a.gif").stat()
    touch(tmp_path, ["a.gif"], MOVING[: len(STILL)])
    os.utime(tmp_path / "a.gif", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [e for e in walk(scan(tmp_path), quiet, stills) if e] == []
    touch(tmp_path, ["a.gif"], MOVING)
    assert [type(e) for e in walk(scan(tmp_path), quiet, stills)] == [Candidate]


# ---------------------------------------------------------------- unknown extensions

VIDEO = (b"G" + bytes(187)) * 20


def test_files_with_unknown_extensions_that_seem_to_be_video_are_counted(tmp_path: Path) -> None:
    """By their first bytes, with a way to have them; what is no video, unfinished, hidden or left out is not."""
    touch(tmp_path, ["a.xyz", "sub/b.xyz", "noext"], VIDEO)
    touch(tmp_path, ["c.part", "d.mp4.crdownload", "e.!qB", "f.tmp", ".g.xyz", "h.jpg", "#recycle/i.xyz"], VIDEO)
    touch(tmp_path, ["j.xyz", "k.bin"], b"something else")
    (entry,) = walk_told(scan(tmp_path))
    assert entry.closing
    assert entry.text == (
        "3 files seem to be video by content, but not by name, and are not taken: a.xyz, noext, sub/b.xyz; "
        "--include '*.xyz' takes 2 of them."
    )
    assert taken(scan(tmp_path, include=("*.xyz",))) == [b"a.xyz", b"j.xyz", b"sub/b.xyz"]
    assert walk_told(scan(tmp_path, include=("*.xyz",))) == []
    assert walk_told(scan(tmp_path, extensions=("mp4",))) == []
    assert walk_told(scan(tmp_path, exclude=("*.xyz", "noext"))) == []
    assert walk_told(scan(tmp_path, after=b"a.mp4")) == []


def walk_told(plan: ScanPlan) -> list[Remark]:
    """The remarks of a walk."""
    return [entry for entry in walk(plan, quiet) if isinstance(entry, Remark)]


@pytest.mark.parametrize("name", ["a.part", "a.txt", "a.jpg"])
def test_no_pattern_has_what_is_unfinished_or_no_video_taken(tmp_path: Path, name: str) -> None:
    """But who names the file itself means it."""
    touch(tmp_path, [name], VIDEO)
    assert taken(scan(tmp_path, include=(f"*{name[1:]}",))) == []
    assert taken(scan(tmp_path / name)) == [name.encode()]


def test_a_bounded_number_of_files_is_opened_to_look_for_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred thousand files of other kinds cost no more than a few."""
    monkeypatch.setattr(file_names, "MOST_MISSES", 3)
    monkeypatch.setattr(file_names, "MOST_LOOKED_AT", 10)
    touch(tmp_path, [f"a{number}.xyz" for number in range(5)], b"no video")
    touch(tmp_path, ["b.xyz", *(f"c{number:02d}.abc" for number in range(20))], VIDEO)
    opened = sum(entry is None for entry in walk(scan(tmp_path), quiet))
    assert opened == 10
    (entry,) = walk_told(scan(tmp_path))
    assert entry.text.startswith("At least 7 files seem to be video")
    assert "b.xyz" not in entry.text
    assert "c00.abc, c01.abc, c02.abc, ...; --include '*.abc' takes them." in entry.text


def test_what_is_no_file_is_not_opened_to_look_for_video(tmp_path: Path) -> None:
    """Opening a pipe would wait for a writer."""
    os.mkfifo(tmp_path / "a.xyz")
    os.mkfifo(tmp_path / "b.gif")
    assert [entry for entry in walk(scan(tmp_path), quiet) if isinstance(entry, Remark | Candidate)] == []


def test_the_output_inside_the_input_is_not_scanned(tmp_path: Path) -> None:
    """A second run must not take the first one's outputs for sources."""
    touch(tmp_path, ["a.mp4", "out/a.mp4", "sub/b.mp4"])
    assert taken(scan(tmp_path, output=tmp_path / "out")) == [b"a.mp4", b"sub/b.mp4"]


def test_the_output_behind_a_link_is_not_scanned_either(tmp_path: Path) -> None:
    """A folder is known by what it is, not by its name."""
    touch(tmp_path, ["in/a.mp4", "out/x.mp4"])
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    assert taken(scan(tmp_path / "in", output=tmp_path / "out")) == [b"a.mp4"]


def test_loops_of_links_end(tmp_path: Path) -> None:
    """A link to a folder above is followed once at the most."""
    touch(tmp_path, ["a.mp4", "sub/b.mp4"])
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "sub")
    found = taken(scan(tmp_path))
    assert len(found) == 2
    assert found[0] == b"a.mp4"


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    """A dangling link is a file the user expects to be done."""
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nothing")
    (entry,) = walk(scan(tmp_path), quiet)
    assert isinstance(entry, PassedOver)
    assert "link" in entry.reason


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    """It cannot be done, and the notice says why."""
    touch(tmp_path, ["empty.mp4"], b"")
    (entry,) = walk(scan(tmp_path), quiet)
    assert isinstance(entry, PassedOver)
    assert entry.reason == "is empty"
    assert entry.failure is not None


def test_globs_hold_for_names_and_for_paths(tmp_path: Path) -> None:
    """A pattern without a slash is about the name in any folder; one with a slash about the whole path."""
    touch(tmp_path, ["a.mp4", "b.mkv", "sub/a.mp4", "sub/trailer-a.mp4"])
    assert taken(scan(tmp_path, include=("*.mp4",))) == [b"a.mp4", b"sub/a.mp4", b"sub/trailer-a.mp4"]
    assert taken(scan(tmp_path, include=("sub/*",))) == [b"sub/a.mp4", b"sub/trailer-a.mp4"]
    assert taken(scan(tmp_path, exclude=("trailer-*", "*.mkv"))) == [b"a.mp4", b"sub/a.mp4"]


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("drafts", "drafts/b.mov", True),
        ("drafts", "deep/drafts/er/b.mov", True),
        ("drafts", "mydrafts/b.mov", False),
        ("drafts/", "drafts/b.mov", True),
        ("./drafts/*", "drafts/b.mov", True),
        ("/a*", "a.mov", True),
        ("/a*", "sub/a.mov", False),
        ("**/*.mov", "a.mov", True),
        ("**/*.mov", "s/t/a.mov", True),
        ("sub/**/a.mov", "sub/a.mov", True),
        ("sub/**/a.mov", "sub/x/y/a.mov", True),
        ("sub/**/a.mov", "sub/xa.mov", False),
        ("*a*b*", "xxa/xxbxx", True),
        ("[ab]?.mov", "s/bc.mov", True),
        ("a.mov", "s/ba.mov", False),
    ],
)
def test_globs_mean_what_people_write(pattern: str, path: str, matches: bool) -> None:
    """A folder's name is all that is in it; `./`, `/`, `**/` and a slash at the end are as elsewhere."""
    assert Glob(pattern, "scan.include", quiet).matches(path.encode()) is matches


def test_a_glob_without_end_fails_the_file_and_says_so(tmp_path: Path) -> None:
    """A path that a glob takes too long on is passed over as failed, named with the glob; others are taken."""
    slow = "/".join("a" * 60) + "/a.mp4"
    touch(tmp_path, [slow, "b.mp4"])
    pattern = "**/a/" * 14 + "**/z"
    plan = scan(tmp_path, exclude=(pattern,))
    entries = {
        entry.relative if isinstance(entry, PassedOver) else entry.source.relative: entry
        for entry in walk(plan, quiet)
        if isinstance(entry, PassedOver | Candidate)
    }
    assert isinstance(entries[b"b.mp4"], Candidate)
    passed = entries[slow.encode()]
    assert isinstance(passed, PassedOver)
    assert passed.failure is FailureKind.UNSUPPORTED
    assert f'cannot be decided on: the pattern "{pattern}" of `scan.exclude` takes more than' in passed.reason
    assert remarks(plan) == []


def remarks(plan: ScanPlan) -> list[str]:
    """What is said of the walk as a whole."""
    return [entry.text for entry in walk(plan, quiet) if isinstance(entry, Remark)]


def test_a_glob_that_matches_nothing_is_told(tmp_path: Path) -> None:
    """A pattern with a typing error gives a notice; one that another made needless does not."""
    touch(tmp_path, ["a.mp4", "sub/b.mp4"])
    said = remarks(scan(tmp_path, exclude=("sub", "sub/b.mp4", "dratfs")))
    assert said == ['The pattern "dratfs" of exclude matches no file in the input.']
    assert remarks(scan(tmp_path, include=("*.mp4",))) == []
    assert remarks(scan(tmp_path, after=b"a.mp4", exclude=("a.mp4",))) == []


def made_in(output: Path, name: str, source: Path) -> None:
    """An output folder of an earlier run, with one output and its receipt."""
    if not (output / name).exists():
        touch(output, [name])
    folder = prepare_state_folder(os.fsencode(output))
    writer = ReceiptWriter(folder.receipts, 1)
    told = Source(os.fsencode(source), os.fsencode(source.name), 1, 1)
    writer.append(Receipt(((Product(name.encode()), (1, 1)),), (told,), "p", "transcode"))
    writer.close()


def test_a_folder_that_a_run_made_holds_no_sources(tmp_path: Path) -> None:
    """As the chunks of a film."""
    touch(tmp_path, ["a.mov", "sub/a.chunks/chunk_0000.mp4", "sub/b.mov"])
    made_in(tmp_path, "sub/a.chunks", tmp_path / "a.mov")
    plan = scan(tmp_path)
    found = [entry.source.relative for entry in walk(plan, quiet) if isinstance(entry, Candidate)]
    assert found == [b"a.mov", b"sub/b.mov"]
    (said,) = remarks(plan)
    assert "sub/a.chunks was made by earlier runs" in said


def test_outputs_of_other_runs_over_this_input_are_no_sources(tmp_path: Path) -> None:
    """Below the input and in its own folder; what lies beside them is taken, and what was left out is told."""
    touch(tmp_path, ["a.mov", "Small/real.mov", "t.mov"])
    made_in(tmp_path / "Small", "sub/a.mp4", tmp_path / "a.mov")
    made_in(tmp_path, "t.mp4", tmp_path / "t.mov")
    plan = scan(tmp_path)
    found = [entry for entry in walk(plan, quiet) if isinstance(entry, Candidate)]
    assert [entry.source.relative for entry in found] == [b"a.mov", b"t.mov", b"Small/real.mov"]
    assert found[1].output == b"t.mp4"
    (said,) = remarks(plan)
    assert "2 outputs, t.mp4 among them, were made by earlier runs" in said


def test_outputs_made_of_another_input_may_be_sources(tmp_path: Path) -> None:
    """One run's output folder is the next one's input."""
    made_in(tmp_path / "first", "a.mp4", tmp_path / "camera" / "a.mov")
    assert taken(scan(tmp_path / "first")) == [b"a.mp4"]
    assert remarks(scan(tmp_path / "first")) == []


def test_a_link_in_the_output_back_into_the_input_is_told(tmp_path: Path) -> None:
    """Before anything is spent on files whose outputs would come to lie among the sources."""
    touch(tmp_path, ["in/a.mov", "in/sub/b.mov"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to("../in/sub")
    plan = scan(tmp_path / "in", output=tmp_path / "out")
    assert taken(plan) == [b"a.mov"]
    (told,) = (entry for entry in walk(plan, quiet) if isinstance(entry, PassedOver))
    assert "remove that link" in told.reason


def test_sizes_bound_what_is_taken(tmp_path: Path) -> None:
    """Too small and too large are passed over with the bound in the reason."""
    touch(tmp_path, ["small.mp4"], b"x" * 10)
    touch(tmp_path, ["right.mp4"], b"x" * 100)
    touch(tmp_path, ["large.mp4"], b"x" * 1000)
    plan = scan(tmp_path, min_size_bytes=50, max_size_bytes=500)
    assert taken(plan) == [b"right.mp4"]
    reasons = {e.relative: e.reason for e in walk(plan, quiet) if isinstance(e, PassedOver)}
    assert "smaller than 50" in reasons[b"small.mp4"]
    assert "larger than 500" in reasons[b"large.mp4"]


def test_a_file_still_being_copied_is_left_for_the_next_run(tmp_path: Path) -> None:
    """An old mtime does not make a file settled: a copy that keeps the mtime still changed its inode just now."""
    touch(tmp_path, ["copying.mp4"])
    os.utime(tmp_path / "copying.mp4", (1, 1))
    plan = scan(tmp_path, min_age_seconds=3600)
    (entry,) = walk(plan, quiet)
    assert isinstance(entry, PassedOver)
    assert "next run" in entry.reason
    settled = ScanPlan(plan.inputs, plan.output_root, plan.profile, time.time_ns() + 7200 * 10**9)
    assert taken(settled) == [b"copying.mp4"]


def test_a_stamp_in_the_future_does_not_hold_a_file_back_for_ever(tmp_path: Path) -> None:
    """An mtime may say anything; the ctime tells. Where both are a little ahead, clocks differ: it may be new."""
    touch(tmp_path, ["a.mp4"])
    os.utime(tmp_path / "a.mp4", (2**31, 2**31))
    plan = scan(tmp_path, min_age_seconds=10)

    def at(seconds: float) -> list[bytes]:
        return taken(ScanPlan(plan.inputs, plan.output_root, plan.profile, plan.ages_from_ns + int(seconds * 1e9)))

    assert at(0) == []
    assert at(60) == [b"a.mp4"]
    os.utime(tmp_path / "a.mp4", (time.time() + 3600, time.time() + 3600))
    assert at(60) == [b"a.mp4"]
    assert at(-60) == []
    assert at(-3 * 24 * 3600) == [b"a.mp4"]


def test_a_walk_goes_on_after_any_file(tmp_path: Path) -> None:
    """Wherever a walk ends, one that resumes there brings exactly the rest, in the same order."""
    touch(tmp_path, ["b.mp4", "a.mp4", "z/1.mp4", "c/2.mp4", "c/a/3.mp4", "c.mp4", "c/z.mp4"])
    whole = taken(scan(tmp_path))
    assert whole == sorted(whole, key=order_key)
    for position, name in enumerate(whole):
        assert taken(scan(tmp_path, after=name)) == whole[position + 1 :]


def test_one_file_as_input_needs_no_known_extension(tmp_path: Path) -> None:
    """Who names a file means it."""
    touch(tmp_path, ["movie.unknown"])
    (entry,) = walk(scan(tmp_path / "movie.unknown"), quiet)
    assert isinstance(entry, Candidate)
    assert entry.source.relative == b"movie.unknown"
    assert entry.output == b"movie.mp4"


def test_what_lies_under_the_output_name_is_told(tmp_path: Path) -> None:
    """Size and mtime of an existing output come with the candidate."""
    touch(tmp_path, ["in/a.mp4", "in/b.mp4"])
    touch(tmp_path, ["out/a.mp4"], b"12345")
    first, second = (e for e in walk(scan(tmp_path / "in", output=tmp_path / "out"), quiet) if isinstance(e, Candidate))
    assert first.existing == (5, os.stat(tmp_path / "out" / "a.mp4").st_mtime_ns)
    assert second.existing is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_may_not_be_listed_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    """One closed folder does not end the walk."""
    touch(tmp_path, ["closed/a.mp4", "open/b.mp4"])
    (tmp_path / "closed").chmod(0)
    try:
        entries = list(walk(scan(tmp_path), quiet))
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert [e.relative for e in entries if isinstance(e, PassedOver)] == [b"closed"]
    assert [e.source.relative for e in entries if isinstance(e, Candidate)] == [b"open/b.mp4"]


def test_a_large_tree_is_walked_lazily(tmp_path: Path) -> None:
    """The first files come without the rest having been looked at: the last folder does not exist any more by then."""
    for folder in range(20):
        touch(tmp_path, [f"{folder:02d}/{n}.mp4" for n in range(50)])
    entries = filter(None, walk(scan(tmp_path), quiet))
    assert len(list(islice(entries, 10))) == 10
    for name in (tmp_path / "19").iterdir():
        name.unlink()
    (tmp_path / "19").rmdir()
    rest = list(entries)
    assert len([e for e in rest if isinstance(e, Candidate)]) == 19 * 50 - 10


def several(*paths: Path, output: Path = Path("/nonexistent"), **settings: object) -> ScanPlan:
    """A plan over several inputs."""
    return replace(scan(paths[0], output=output, **settings), inputs=inputs_of([os.fsencode(path) for path in paths]))


@pytest.fixture
def cards(tmp_path: Path) -> tuple[Path, ...]:
    """Two folders of one name, one of another, and files of two other folders."""
    touch(tmp_path, ["1/DCIM/a.mov", "1/DCIM/s/b.mov", "2/DCIM/a.mov", "Trip/a.mov", "Trip/out/made.mov"])
    touch(tmp_path, ["x/film.avi", "y/film.mov", "y/z.odd", "x/same.mov", "y/same.mov"])
    names = ("Trip", "2/DCIM", "y/film.mov", "1/DCIM", "x/film.avi", "y/z.odd", "y/same.mov", "x/same.mov")
    return tuple(tmp_path / name for name in names)


def test_several_inputs_go_below_the_output_under_their_names(cards: tuple[Path, ...], tmp_path: Path) -> None:
    """Folders under their own names, files beside them; and the output in one of them is not walked."""
    entries = list(walk(several(*cards, output=tmp_path / "Trip" / "out"), quiet))
    found = {e.output: e.source.path.removeprefix(bytes(tmp_path)) for e in entries if isinstance(e, Candidate)}
    assert found == {
        b"film.avi.mp4": b"/x/film.avi",
        b"film.mov.mp4": b"/y/film.mov",
        b"z.mp4": b"/y/z.odd",
        b"x/same.mp4": b"/x/same.mov",
        b"y/same.mp4": b"/y/same.mov",
        b"Trip/a.mp4": b"/Trip/a.mov",
        b"1/DCIM/a.mp4": b"/1/DCIM/a.mov",
        b"1/DCIM/s/b.mp4": b"/1/DCIM/s/b.mov",
        b"2/DCIM/a.mp4": b"/2/DCIM/a.mov",
    }
    assert all(e.source.path.endswith(b"/" + e.source.relative) for e in entries if isinstance(e, Candidate))


def test_a_walk_of_several_inputs_can_go_on_after_any_file(cards: tuple[Path, ...]) -> None:
    """The order of relative paths is that of the walk, whatever the order in which the inputs were named."""
    plan = several(*cards)
    whole = taken(plan)
    assert whole == sorted(whole, key=order_key)
    assert len(whole) == 10
    for position, relative in enumerate(whole):
        assert taken(replace(plan, resume_after=relative)) == whole[position + 1 :]
    assert taken(several(*reversed(cards))) == whole


def test_patterns_are_about_the_path_below_each_input(cards: tuple[Path, ...]) -> None:
    """A leading slash is each input itself, not the folder above it."""
    assert taken(several(*cards, include=("/a.mov", "/z*"))) == [
        b"z.odd",
        b"1/DCIM/a.mov",
        b"2/DCIM/a.mov",
        b"Trip/a.mov",
    ]
    assert taken(several(*cards, include=("DCIM",))) == []


def test_an_input_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    """The others are walked."""
    touch(tmp_path, ["a/a.mov"])
    gone, candidate = walk(several(tmp_path / "a", tmp_path / "Gone"), quiet)
    assert isinstance(gone, PassedOver)
    assert (gone.relative, gone.failure) == (b"Gone", FailureKind.PERMISSION)
    assert isinstance(candidate, Candidate)
