"""Which name an output gets, and what lies under it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.intake.output_location import Existing, OutputLocation, SameFileUnknown, fits, other_name, place
from pyprocessor.journal.rows import CachedMedia, JobRow, Made
from pyprocessor.models import Cost, JobState, Origin, OutputFacts, Source

SOURCE = Source(b"/in/a.mov", b"a.mov", 100, 1)
FACTS = OutputFacts(10, 5, None, 1, 1, 0, None)
LIES = (FACTS.size_bytes, FACTS.mtime_ns)


def row(source: Source, output: bytes, *, job: str = "job", made: bool = True) -> JobRow:
    """A succeeded job."""
    facts = FACTS if made else None
    return JobRow(
        *(
            job,
            "transcode",
            Origin.FOLDER,
            "",
            source,
            (),
            output,
            False,
            (),
            "p",
            "fast",
            JobState.SUCCEEDED,
            0,
            "",
            (),
        ),
        *(None, None, None, None, Cost(1.0, 1, 1), 1.0, 1, 0, 0, 0, None, "", None, None),
        *(None, None, facts, 1, 0.0),
    )


@dataclass
class Known:
    """A memory of a few outputs."""

    owners: dict[bytes, JobRow] = field(default_factory=dict)
    outputs: dict[bytes, Made] = field(default_factory=dict)

    def job(self, _: str) -> JobRow | None:
        return None

    def owner(self, output: bytes) -> JobRow | None:
        return self.owners.get(output)

    def made(self, output: bytes) -> Made | None:
        return self.outputs.get(output)

    def media(self, *_: object) -> CachedMedia | None:
        return None

    def content(self, *_: object) -> str:
        return ""

    def add(
        self, source: Source, output: bytes, *, job: str = "job", fingerprint: str = "p", owned: bool = True
    ) -> None:
        """An output that was made, and whether its job still has that name."""
        self.outputs[output] = Made(output, FACTS, source, fingerprint, "transcode")
        if owned:
            self.owners[output] = row(source, output, job=job)


def ask(
    known: Known,
    wanted: bytes = b"a.mp4",
    *,
    own: JobRow | None = None,
    lying: dict[bytes, tuple[int, int]] | None = None,
    same: dict[bytes, bool] | None = None,
) -> OutputLocation:
    """The place of SOURCE; every output that is known lies there unless said otherwise."""
    there = dict.fromkeys(known.outputs, LIES) if lying is None else lying
    return place(
        SOURCE, wanted, row=own, fingerprint="p", task="transcode", memory=known, lying=there.get, same=same or {}
    )


def told(found: OutputLocation) -> tuple[bytes, Existing]:
    return found.output, found.existing


@pytest.mark.parametrize(
    ("source", "fingerprint", "lies", "expected"),
    [
        (SOURCE, "p", LIES, Existing.RIGHT),
        (SOURCE, "q", LIES, Existing.OLD),
        (replace(SOURCE, size_bytes=99), "p", LIES, Existing.OLD),
        (SOURCE, "p", (11, 5), Existing.CHANGED),
    ],
)
@pytest.mark.parametrize("owned", [True, False])
def test_what_was_made_of_this_source_is_told(
    source: Source, fingerprint: str, lies: tuple[int, int], expected: Existing, owned: bool
) -> None:
    """Whether or not its job still goes by that name."""
    known = Known()
    known.add(source, b"a.mp4", fingerprint=fingerprint, owned=owned)
    assert told(ask(known, lying={b"a.mp4": lies})) == (b"a.mp4", expected)


def test_names_that_are_free_or_a_strangers() -> None:
    """Nothing there, and something that nobody here made."""
    assert told(ask(Known())) == (b"a.mp4", Existing.NOTHING)
    assert told(ask(Known(), lying={b"a.mp4": LIES})) == (b"a.mp4", Existing.FOREIGN)


@pytest.mark.parametrize("owned", [True, False])
def test_another_sources_name_is_left_to_it(owned: bool) -> None:
    """A name that another job has, or whose file was made of another source, is told apart by a hash."""
    known = Known()
    known.add(Source(b"/elsewhere/a.mov", b"a.mov", 5, 1), b"a.mp4", job="other", owned=owned)
    hashed = other_name(b"a.mp4", SOURCE.path)
    assert told(ask(known)) == (hashed, Existing.NOTHING)
    known.add(SOURCE, hashed)
    assert told(ask(known, own=row(SOURCE, hashed))) == (hashed, Existing.RIGHT)


def test_a_name_once_given_stays_while_folder_and_format_fit() -> None:
    """A sibling that comes or goes changes nothing; another folder or extension gives a new name."""
    known = Known()
    known.add(SOURCE, b"a.mov.mp4")
    own = row(SOURCE, b"a.mov.mp4")
    assert told(ask(known, own=own)) == (b"a.mov.mp4", Existing.RIGHT)
    for wanted in (b"a.mkv", b"sub/a.mp4"):
        found = ask(known, wanted, own=own)
        assert told(found) == (wanted, Existing.NOTHING)
        assert found.left == b"a.mov.mp4"


def test_a_source_that_was_moved_is_asked_for_and_then_known() -> None:
    """The same name, size and time under another path: it counts as the same file only once that is answered."""
    known = Known()
    before = replace(SOURCE, path=b"/old/in/a.mov")
    known.add(before, b"a.mp4", job="old")
    with pytest.raises(SameFileUnknown) as caught:
        ask(known)
    assert caught.value.other == b"/old/in/a.mov"
    found = ask(known, same={b"/old/in/a.mov": True})
    assert told(found) == (b"a.mp4", Existing.RIGHT)
    assert found.row is not None
    assert found.row.id == "old"
    assert told(ask(known, same={b"/old/in/a.mov": False})) == (other_name(b"a.mp4", SOURCE.path), Existing.NOTHING)


@given(st.binary(min_size=1, max_size=251).filter(lambda stem: bool(stem.strip(b".")) and not set(stem) & set(b"/\0")))
def test_other_names_fit_and_keep_folder_and_format(stem: bytes) -> None:
    """However long the name, it is one that a file system takes."""
    name = other_name(b"sub/" + stem + b".mp4", b"/in/x")
    assert name.startswith(b"sub/")
    assert name.endswith(b".mp4")
    assert len(name) <= 4 + 255
    assert fits(name, b"sub/a.mp4")
