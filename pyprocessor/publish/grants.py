"""How do all products of one grant get their final names, or none of them?

    companions, then the main product, each:   partial --rename--> final             where the name is free
                                               partial <-exchange-> final            where it is taken
                                               final --> partial.displaced, partial --> final       without exchanges

What had a final name before lies under a temporary one until `discard_displaced`. All temporary names follow from the
intent, so that after a kill `settle` finds what there is, and finishes the grant or takes all of it back. The file of a
grant of one has nothing to keep in step with: it is renamed over the old one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import Enum

from pyprocessor.errors import FailureKind, PublishError
from pyprocessor.models import display
from pyprocessor.models.products import MAIN, Intent, Product, Seal, naming_problem
from pyprocessor.publish.bounds import Bounds
from pyprocessor.publish.durable import sync_folder
from pyprocessor.publish.partials import AWAY_SUFFIX, DISPLACED_SUFFIX, discard
from pyprocessor.publish.publish import copy_across, copy_of, discard_copy, naming, prepare, publish
from pyprocessor.publish.renames import exchange, rename_exclusive
from pyprocessor.publish.seals import seal_at


@dataclass(frozen=True, slots=True)
class Placed:
    """A product under its final name, its identity there, and where what had that name before lies now, if anywhere."""

    product: Product
    seal: Seal
    displaced: bytes | None


class Standing(Enum):
    """How far a granted product has come."""

    PLACED = "placed"
    READY = "ready"
    """It can be placed now."""
    LOST = "lost"
    """The product is gone, or something else took its name meanwhile."""


def standing(intent: Intent, *, final: Seal | None, partial: Seal | None, moved_away: bool) -> Standing:
    """Return how far a product has come, by what lies under both names.

    `moved_away`: what had the final name was moved away, and the product was not renamed yet.
    """
    if final == intent.seal:
        return Standing.PLACED
    as_before = final == intent.before or (final is None and moved_away)
    return Standing.READY if as_before and partial == intent.seal else Standing.LOST


def publish_all(
    intents: Sequence[Intent], *, partials: bytes, bounds: Bounds, allowed: Container[bytes]
) -> tuple[Placed, ...]:
    """Give all products of a grant their final names, the main product last; returns them in that order.

    What lies under a name is replaced where it is what the intent has as `before` and the name is in `allowed`; a file
    never replaces a folder. Of folders `allowed` should have only those that a run made: others may hold sources. Call
    `discard_displaced` once the journal has that all was published.

    Raises PublishError. All names are then as they were and the products are still among the partials; or, where even
    that is refused (the failure is then of kind DISK) or a grant of one file fails in its last sync, `settle` decides.
    """
    problem = naming_problem([intent.product for intent in intents])
    if problem is not None:
        raise PublishError(FailureKind.UNSUPPORTED, problem)
    places = _places(intents, partials, bounds.output_root)
    return _finish(places, places, bounds, allowed)


def settle(
    intents: Sequence[Intent], *, partials: bytes, bounds: Bounds, allowed: Container[bytes]
) -> tuple[Placed, ...]:
    """Finish a grant whose process is gone; returns all products as placed, or nothing where it was rolled back.

    After a roll-back all names are as before the grant, and the job is to be done again. Raises PublishError as
    `publish_all` does. It may be called again after it was itself cut off.
    """
    places = _places(intents, partials, bounds.output_root)
    standings = [place.standing() for place in places]
    if Standing.LOST in standings:
        _take_back_all(places)
        return ()
    pending = [place for place, found in zip(places, standings, strict=True) if found is Standing.READY]
    _take_back_all(pending)  # steps that were begun
    return _finish(places, pending, bounds, allowed)


def discard_displaced(intents: Sequence[Intent], *, partials: bytes, output_root: bytes) -> None:
    """Remove all that a published grant left under temporary names. Raises PublishError."""
    for place in _places(intents, partials, output_root):
        for path in (place.displaced, place.new, place.partial, place.note):
            discard(path)


@dataclass(frozen=True, slots=True)
class _Place:
    """One product on its way. All names follow from its intent, and from whether it had to be copied."""

    intent: Intent
    final: bytes
    partial: bytes

    @property
    def note(self) -> bytes:
        return self.partial + AWAY_SUFFIX

    @property
    def new(self) -> bytes:
        """The name that the product is renamed from: the partial, or its copy on the final name's file system."""
        copied = os.path.lexists(self.note)
        return copy_of(self.partial, self.final, self.intent.seal) if copied else self.partial

    @property
    def displaced(self) -> bytes:
        """The name of what was moved away, where names cannot be exchanged."""
        return self.new + DISPLACED_SUFFIX

    def standing(self) -> Standing:
        with naming(self.final):
            final, partial = seal_at(self.final), seal_at(self.partial)
        return standing(self.intent, final=final, partial=partial, moved_away=os.path.lexists(self.displaced))

    def placed(self) -> Placed:
        with naming(self.final):
            seal = seal_at(self.final)
        if seal is None:
            raise self._refused("it was taken away meanwhile")
        kept = () if self.intent.before is None else (self.displaced, self.new)
        return Placed(self.intent.product, seal, next(filter(os.path.lexists, kept), None))

    def check_before(self, allowed: Container[bytes]) -> None:
        """Raise PublishError unless what lies under the final name, if anything, may be replaced."""
        product, before = self.intent.product, self.intent.before
        with naming(self.final):
            found = seal_at(self.final)
            in_the_way = os.path.isdir(self.final) and not os.path.islink(self.final) and not product.folder
            if found is not None and (before is None or product.name not in allowed or in_the_way):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.final)
        if found != before:
            raise self._changed()

    def prepare(self, bounds: Bounds) -> None:
        """Do all that takes long, so that the renames of a grant lie close together."""
        with naming(self.final):
            prepare(self.partial, self.final, seal=self.intent.seal, bounds=bounds)
            if os.lstat(self.partial).st_dev != os.stat(os.path.dirname(self.final)).st_dev:
                self._copy()

    def give(self) -> None:
        """Give the product its final name. What was there is then kept under a temporary name."""
        with naming(self.final):
            try:
                self._rename()
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy()  # a bind mount, or a volume of btrfs
                self._rename()

    def take_back(self) -> None:
        """Undo whatever was done to place the product, however far that had come, and put back what was there."""
        with naming(self.final, "could not be put back as it was"):
            new, displaced, seal = self.new, self.displaced, self.intent.seal
            final_seal, new_seal = seal_at(self.final), seal_at(new)
            if final_seal == seal:
                if new_seal is None:
                    os.rename(self.final, new)
                elif _same(self.final, new):
                    os.unlink(self.final)  # it was being renamed through a hard link
                elif new_seal != seal and not exchange(new, self.final):
                    os.rename(new, displaced)
                    os.rename(self.final, new)
            elif final_seal is None and new_seal is not None and new_seal == self.intent.before:
                rename_exclusive(new, self.final)  # the names were exchanged, and the product was removed since
            if os.path.lexists(displaced):
                if not os.path.lexists(self.final):
                    rename_exclusive(displaced, self.final)
                elif _same(displaced, self.final):
                    os.unlink(displaced)  # it was being put back through a hard link
            if new != self.partial:
                discard_copy(self.partial, self.final, seal)

    def _copy(self) -> None:
        copied = seal_at(copy_across(self.partial, self.final, self.intent.seal))
        if copied != self.intent.seal:
            raise PublishError(
                FailureKind.UNSUPPORTED,
                f"{display(self.final)} could not be given its name: its file system keeps times less exactly than "
                "that of the output, so that several products could not be told from others; choose another output.",
            )

    def _rename(self) -> None:
        new, before = self.new, self.intent.before
        if before is None:
            rename_exclusive(new, self.final)
        elif exchange(new, self.final):
            if seal_at(new) != before:
                raise self._changed()
        else:
            displaced = self.displaced
            os.rename(self.final, displaced)
            if seal_at(displaced) != before:
                raise self._changed()
            rename_exclusive(new, self.final)

    def _changed(self) -> PublishError:
        return self._refused("what lay there was changed meanwhile")

    def _refused(self, why: str) -> PublishError:
        sentence = f"{display(self.final)} could not be given its name: {why}."
        return PublishError(FailureKind.INFRASTRUCTURE, sentence)


def _same(one: bytes, other: bytes) -> bool:
    """Whether both are names of one file."""
    return os.path.samestat(os.lstat(one), os.lstat(other))


def _places(intents: Sequence[Intent], partials: bytes, output_root: bytes) -> list[_Place]:
    """Return where each product is on its way, in the order in which they are placed."""
    return [
        _Place(
            intent,
            os.path.join(output_root, intent.product.name),
            os.path.join(partials, intent.temporary.encode("ascii")),
        )
        for intent in sorted(intents, key=lambda intent: intent.product.role == MAIN)
    ]


def _finish(
    places: Sequence[_Place], pending: Sequence[_Place], bounds: Bounds, allowed: Container[bytes]
) -> tuple[Placed, ...]:
    """Place what is pending. On an error all of the grant is taken back, unless it is of one file."""
    alone = len(places) == 1 and not places[0].intent.product.folder
    try:
        for place in pending:
            place.check_before(allowed)
        if alone and pending:
            intent, (place,) = pending[0].intent, pending
            replace = intent.before is not None
            seal = publish(place.partial, place.final, seal=intent.seal, replace=replace, bounds=bounds)
            return (Placed(intent.product, seal, None),)
        for place in pending:
            place.prepare(bounds)
        for place in pending:
            if place is places[-1]:
                _sync(places[:-1])  # so that a power cut leaves no main product without its companions
            place.give()
        _sync(places)
        return tuple(place.placed() for place in places)
    except PublishError as error:
        if alone:
            raise
        try:
            _take_back_all(places)
        except PublishError as second:
            raise PublishError(FailureKind.DISK, f"{error} Then this failed, too: {second}") from error
        raise


def _sync(places: Sequence[_Place]) -> None:
    """Bring the names of these products to the disk."""
    for place in {os.path.dirname(place.final): place for place in places}.values():
        with naming(place.final):
            sync_folder(os.path.dirname(place.final))


def _take_back_all(places: Sequence[_Place]) -> None:
    for place in reversed(places):
        place.take_back()
