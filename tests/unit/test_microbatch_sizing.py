"""The search for the size of best throughput: pure, over made-up functions of what a batch takes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.microbatch.sizing import SizeController


def sizes(controller: SizeController, seconds: Callable[[int], float], batches: int) -> list[int]:
    """The sizes of so many full batches."""
    used = []
    for _ in range(batches):
        used.append(controller.size)
        controller.succeeded(controller.size, seconds(controller.size))
    return used


def best_is_8(size: int) -> float:
    return 0.008 + 0.000125 * size * size


@pytest.mark.parametrize("start", [2, 8, 32, 64])
def test_a_best_size_in_the_middle_is_found_within_200_batches(start: int) -> None:
    """And kept, but for a few batches in 500 that try the neighbours."""
    used = sizes(SizeController(1, 64, start), best_is_8, 2000)
    assert used[200] == 8
    assert used[200:].count(8) > 0.97 * len(used[200:])


@pytest.mark.parametrize(("fixed", "each", "best"), [(0.064, 0.0001, 64), (0.0, 0.001, 1)])
def test_the_best_may_be_at_an_end(fixed: float, each: float, best: int) -> None:
    """A function whose items share a cost, and one of which larger batches are slower."""
    used = sizes(SizeController(1, 64, 8), lambda size: fixed + each * size ** (1.0 if fixed else 1.2), 400)
    assert used[300] == best


def test_times_that_vary_do_not_make_it_swing() -> None:
    """By a tenth, independently: the size stays near the best and changes rarely."""
    vary = random.Random(4)
    used = sizes(SizeController(1, 64, 64), lambda size: best_is_8(size) * vary.gauss(1.0, 0.1), 2000)
    late = used[200:]
    assert sum(4 <= size <= 16 for size in late) > 0.95 * len(late)
    assert sum(size != following for size, following in itertools.pairwise(late)) < 0.05 * len(late)


def test_a_function_that_changes_is_followed() -> None:
    """From best at 8 to best at 64."""
    controller = SizeController(1, 64, 8)
    assert sizes(controller, best_is_8, 300)[-1] == 8
    assert sizes(controller, lambda size: 0.1 + 0.0001 * size, 600)[-1] == 64


def test_no_size_is_kept_whose_batches_take_too_long() -> None:
    """Though larger ones are faster for each item."""
    used = sizes(SizeController(1, 64, 64, bound_seconds=0.02), lambda size: 0.01 + 0.001 * size, 300)
    assert used[-1] <= 11
    assert used[-1] >= 6


def test_failures_halve_the_size_which_comes_back() -> None:
    """Rung by rung."""
    controller = SizeController(1, 64, 64)
    controller.failed()
    assert controller.size == 32
    controller.failed()
    assert controller.size == 16
    used = sizes(controller, lambda size: 0.1 + 0.0001 * size, 600)
    assert used[:20] == [16] * 20
    assert used[120:].count(64) > 450


def test_it_does_not_grow_while_it_may_not() -> None:
    """Memory is short."""
    controller = SizeController(1, 64, 8)
    controller.limit_growth(may_grow=False)
    assert max(sizes(controller, lambda size: 1.0, 200)) == 8
    controller.limit_growth(may_grow=True)
    assert max(sizes(controller, lambda size: 1.0, 400)) > 8


def test_items_that_do_not_come_end_the_trial_of_a_larger_size() -> None:
    """Batches of five never fill the size that is tried."""
    controller = SizeController(1, 64, 4)
    used = []
    for _ in range(200):
        used.append(controller.size)
        rows = min(5, controller.size)
        controller.succeeded(rows, 0.1 + 0.0001 * rows, is_full=rows >= controller.size)
    assert used[-1] <= 8


def test_a_size_that_is_set_is_the_size_within_the_bounds() -> None:
    """Whatever was learned before."""
    controller = SizeController(2, 64, 8, searches=False)
    assert (controller.set(1), controller.size) == (2, 2)
    assert (controller.set(1000), controller.size) == (64, 64)
    assert (controller.set(37), controller.size) == (37, 37)


moves = st.one_of(
    st.tuples(st.just("batch"), st.floats(1e-6, 10.0), st.integers(1, 64)),
    st.just(("fail",)),
    st.tuples(st.just("grow"), st.booleans()),
    st.tuples(st.just("set"), st.integers(-3, 200)),
)


@given(st.integers(1, 20), st.integers(0, 50), st.booleans(), st.lists(moves, max_size=120))
def test_the_size_is_always_within_its_bounds(least: int, more: int, searches: bool, what: list[tuple]) -> None:
    """Whatever happens, in whatever order."""
    controller = SizeController(least, least + more, least + more // 2, searches=searches)
    for move in what:
        match move:
            case ("batch", seconds, rows):
                controller.succeeded(min(rows, controller.size), seconds, is_full=rows >= controller.size)
            case ("fail",):
                controller.failed()
            case ("grow", may_grow):
                controller.limit_growth(may_grow=may_grow)
            case ("set", size):
                controller.set(size)
        assert least <= controller.size <= least + more
        assert controller.expected_seconds(3) >= 0


@pytest.mark.parametrize("rows", [3, 5])
def test_the_size_is_found_though_items_of_several_rows_do_not_fill_it(rows: int) -> None:
    """A batch is as many of them as go into the size."""
    controller = SizeController(1, 64, 8)
    for _ in range(400):
        count = max(rows, controller.size // rows * rows)
        controller.succeeded(count, 0.1 + 0.0001 * count)
    assert controller.size == 64
