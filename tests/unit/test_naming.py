"""Output names: unique on every file system, whatever the order of the scan."""

from __future__ import annotations

import os
import signal
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.models import NamingSettings
from pyprocessor.plan import matching
from pyprocessor.plan.naming import NamePatterns, output_names


def quiet() -> None:
    """Nobody waits for a sign of life."""


PLAIN = NamePatterns(NamingSettings(), quiet)


def one(name: bytes, naming: NamePatterns = PLAIN, extension: str = "mp4") -> bytes:
    """The output name of a file alone in its folder."""
    return output_names([name], extension, naming).names[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"movie.avi", b"movie.mp4"),
        (b"movie", b"movie.mp4"),
        (b"a.b.c.mov", b"a.b.c.mp4"),
        (b"-dash %03d.avi", b"-dash %03d.mp4"),
        (b"line\nbreak.avi", b"line\nbreak.mp4"),
        (b"not-utf8-\xff.avi", b"not-utf8-\xff.mp4"),
        ("\N{CLAPPER BOARD}.webm".encode(), "\N{CLAPPER BOARD}.mp4".encode()),
    ],
)
def test_extension_is_replaced(name: bytes, expected: bytes) -> None:
    """Only the extension changes, whatever bytes the stem is made of."""
    assert one(name) == expected


def test_siblings_that_meet_all_keep_their_extension() -> None:
    """Of two files with the same stem neither gets the bare name."""
    names = output_names([b"movie.avi", b"movie.mov", b"other.avi"], "mp4", PLAIN).names
    assert names == {b"movie.avi": b"movie.avi.mp4", b"movie.mov": b"movie.mov.mp4", b"other.avi": b"other.mp4"}


@pytest.mark.parametrize(
    "siblings",
    [
        [b"Movie.avi", b"movie.mov"],
        [unicodedata.normalize("NFC", "é.avi").encode(), unicodedata.normalize("NFD", "é.mov").encode()],
        ["straße.avi".encode(), b"STRASSE.mov"],
    ],
)
def test_names_equal_on_a_case_insensitive_file_system_meet(siblings: list[bytes]) -> None:
    """Case and normalisation form do not tell two names apart."""
    names = output_names(siblings, "mp4", PLAIN).names
    assert all(os.path.splitext(out)[0] == source for source, out in names.items())


def test_names_that_still_meet_get_a_hash() -> None:
    """A sibling already called `a.avi.mp4` does not lose its name to `a.avi`."""
    names = output_names([b"a.avi", b"a.mov", b"a.avi.mp4"], "mp4", PLAIN).names
    assert len(set(names.values())) == 3
    assert names[b"a.mov"] == b"a.mov.mp4"
    assert names[b"a.avi"].startswith(b"a.avi-")


def test_long_name_is_cut_between_characters() -> None:
    """A name over 255 bytes is cut at a character's edge and told apart by a hash."""
    name = "é".encode() * 124 + b"x.webmxx"
    out = one(name, extension="matroska")
    assert len(out) <= 255
    out.decode()
    assert out.endswith(b".matroska")


def test_rename_pattern_takes_group_one() -> None:
    """Group 1 becomes the stem; no match leaves the name as it is."""
    naming = NamePatterns(NamingSettings(rename_pattern=r".*?([^/]+)\s\[x264\]"), quiet)
    assert one(b"Film [x264].avi", naming) == b"Film.mp4"
    assert one(b"Other.avi", naming) == b"Other.mp4"


def test_renamed_to_the_same_name_stay_apart() -> None:
    """Two files renamed alike keep different names."""
    naming = NamePatterns(NamingSettings(rename_pattern=r"(Show \d+)"), quiet)
    names = output_names([b"a Show 1.avi", b"b Show 1.avi", b"c Show 1.mov"], "mp4", naming).names
    assert len({n.lower() for n in names.values()}) == 3
    assert names[b"c Show 1.mov"] == b"Show 1.mov.mp4"


def test_validation_pattern_refuses_with_a_reason() -> None:
    """A name that does not match is refused and told why; the others go on."""
    plan = output_names(
        [b"a.mp4", b"b.avi"], "mp4", NamePatterns(NamingSettings(validation_pattern=r".+\.mp4$"), quiet)
    )
    assert dict(plan.names) == {b"a.mp4": b"a.mp4"}
    assert plan.refused == {b"b.avi": r"does not match the profile's validation pattern '.+\\.mp4$'"}


@pytest.mark.parametrize("key", ["validation_pattern", "rename_pattern", "organization_pattern"])
def test_a_pattern_without_end_settles_nothing_but_ends(key: str) -> None:
    """A name that a pattern takes too long on is told with the pattern, and the pattern is given up after two."""
    slow = [b"a" * 60 + digit + b".avi" for digit in (b"1", b"2", b"3")]
    signs: list[None] = []
    patterns = NamePatterns(NamingSettings(**{key: r"((\w+\w+)+)="}), lambda: signs.append(None))
    plan = output_names([*slow, b"b=.avi"], "mp4", patterns)
    assert plan.names.keys() | plan.refused.keys() == set()
    assert sorted(plan.unsettled) == sorted([*slow, b"b=.avi"])
    called = rf'It cannot be decided on: the pattern "((\w+\w+)+)=" of `naming.{key}`'
    assert plan.unsettled[slow[1]].startswith(f"{called} takes more than 0.5 s on this name; write it so")
    tail = "" if key == "organization_pattern" else ".avi"  # that one is about the output's name
    first, second = (f"{'a' * 60}{digit}{tail}" for digit in (1, 2))
    assert plan.unsettled[slow[2]].startswith(f"{called} took too long on {first} and {second} and is not tried again")
    other = output_names([b"b=.avi"], "mp4", patterns)
    assert list(other.unsettled) == [b"b=.avi"]
    assert len(signs) >= 2


def test_a_pattern_that_is_slow_on_every_name_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that each stay below the limit do not make a listing of many names endless either."""
    monkeypatch.setattr(matching, "ALL_SLOW_SECONDS", 0.0)
    patterns = NamePatterns(NamingSettings(validation_pattern=r"(\w+\w+)+="), quiet)
    slow = b"a" * 20  # takes more than a millisecond on any machine, and less than the limit of CPU time
    plan = output_names([slow, b"bb="], "mp4", patterns)
    assert list(plan.refused) == [slow]
    assert f"took too long on {slow.decode()} and is not tried again" in plan.unsettled[b"bb="]


def test_the_timer_of_matching_leaves_nothing_behind() -> None:
    """Whoever else uses that signal finds its handler as it was, and no timer runs on."""
    before = signal.getsignal(signal.SIGVTALRM)
    output_names([b"a" * 60, b"b"], "mp4", NamePatterns(NamingSettings(validation_pattern=r"(\w+\w+)+="), quiet))
    assert signal.getsignal(signal.SIGVTALRM) is before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_organization_pattern_makes_a_folder() -> None:
    """Group 1 of the stem is the folder; no match leaves the file where it is."""
    naming = NamePatterns(NamingSettings(organization_pattern=r"(\w+) - "), quiet)
    assert one(b"Series - 01.avi", naming) == b"Series/Series - 01.mp4"
    assert one(b"Film.avi", naming) == b"Film.mp4"


@pytest.mark.parametrize("stem", [b".pyprocessor", b"..", b".", b"../../etc"])
def test_patterns_cannot_leave_the_folder(stem: bytes) -> None:
    """What a pattern captures never names a parent, a hidden file or our own state folder."""
    naming = NamePatterns(NamingSettings(rename_pattern="X(.*)X", organization_pattern="(.*)"), quiet)
    source = b"X" + stem.replace(b"/", b"\\") + b"X.avi"
    parts = one(source, naming).split(b"/")
    assert all(part not in {b".", b"..", b".pyprocessor"} for part in parts)
    assert not any(part.startswith(b".") for part in parts)
    assert len(parts) <= 2


def test_a_folder_and_a_file_never_share_a_name() -> None:
    """A folder made by the pattern may be called like another file's output."""
    naming = NamePatterns(NamingSettings(organization_pattern=r"(x\.mp4) "), quiet)
    names = output_names([b"x.avi", b"x.mp4 part.avi"], "mp4", naming).names
    assert names[b"x.mp4 part.avi"] == b"x.mp4/x.mp4 part.mp4"
    assert names[b"x.avi"] == b"x.avi.mp4"


NAMES = st.one_of(
    st.binary(min_size=1, max_size=255),
    st.text("aA.bé", min_size=1, max_size=6).map(str.encode),
    st.sampled_from([b"a.avi", b"A.avi", b"a.mov", b"a", b"a.avi.mp4", b"a.mov.mp4", b"a.mp4", b"a.avi.avi"]),
    st.binary(min_size=240, max_size=255),
).filter(lambda n: b"/" not in n and b"\0" not in n and n not in {b".", b".."})


@given(st.lists(NAMES, unique=True, max_size=12).flatmap(lambda n: st.tuples(st.just(n), st.permutations(n))))
def test_names_are_unique_legal_and_do_not_depend_on_order(pair: tuple[list[bytes], list[bytes]]) -> None:
    """Whatever the siblings and their order: one legal name each, no two the same, always the same ones."""
    siblings, shuffled = pair
    names = output_names(siblings, "mp4", PLAIN).names
    assert names == output_names(shuffled, "mp4", PLAIN).names
    assert set(names) == set(siblings)
    keys = {unicodedata.normalize("NFC", os.fsdecode(n)).casefold() for n in names.values()}
    assert len(keys) == len(siblings)
    for out in names.values():
        assert b"/" not in out
        assert b"\0" not in out
        assert out not in {b"", b".", b"..", b".pyprocessor"}
        assert len(out) <= 255
