"""The governor's levels one by one: what makes it act, what it does, and what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from pyprocessor.governor.governor import Decision, EventKind, Governed, Level, govern
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import BatchSettings, MonitoringSettings, Reading, ThrottlingSettings
from tests.unit.running_jobs import running_job

MIB = 1 << 20
STEP = 0.5


def file(
    name: str, memory: int, predicted: int | None = None, *, suspended: bool = False, sheds: int = 0
) -> RunningJob:
    """A file named by a letter; later letters started later."""
    return running_job(
        name,
        started_seconds=float(ord(name) - 90),
        memory_bytes=memory * MIB,
        predicted_bytes=(predicted or memory) * MIB,
        suspended=suspended,
        sheds=sheds,
    )


def reading(second: float, used: int, *, ours: int = 0, total: int = 1000, **rest: float) -> Reading:
    """A machine with 1,000 MiB, so that a budget of 80 % is 800 and the wall 950; amounts are in MiB."""
    plain = Reading(
        monotonic_seconds=second,
        cores=4,
        total_memory_bytes=total * MIB,
        used_memory_bytes=used * MIB,
        our_memory_bytes=ours * MIB,
        cpu_percent=50,
        free_disk_bytes=1 << 40,
    )
    return replace(plain, **rest)  # type: ignore[arg-type]


class Governor:
    """Asks again and again, half a second apart, and keeps the state."""

    def __init__(self, batch: BatchSettings | None = None, throttling: ThrottlingSettings | None = None) -> None:
        self.batch = batch or BatchSettings()
        self.throttling = throttling or ThrottlingSettings()
        self.state = Governed()
        self.now = 100.0

    def see(
        self,
        used: int,
        files: Sequence[RunningJob] = (),
        *,
        ours: int | None = None,
        step: float = STEP,
        **rest: float,
    ) -> Decision:
        self.now += step
        mine = sum(f.memory_bytes for f in files) // MIB if ours is None else ours
        now = reading(self.now, used, ours=mine, **rest)
        decision = govern(self.state, now, files, self.batch, self.throttling, MonitoringSettings())
        self.state = decision.state
        return decision

    def see_often(self, seconds: float, used: int, files: Sequence[RunningJob] = (), **rest: float) -> list[Decision]:
        return [self.see(used, files, **rest) for _ in range(int(seconds / STEP))]


def kinds(*decisions: Decision) -> list[EventKind]:
    return [event.kind for decision in decisions for event in decision.events]


# ---------------------------------------------------------------- normal and hold


def test_an_idle_machine_admits() -> None:
    """Nothing runs, nothing is held: files may be started in what is left of the budget."""
    decision = Governor().see(200)
    assert (decision.level, not decision.hold, decision.share, decision.events) == (Level.NORMAL, True, 1.0, ())
    assert decision.room_bytes == 600 * MIB


def test_room_counts_what_running_files_will_take_yet() -> None:
    """Predicted memory is set aside until it is used, and not counted twice once it is."""
    assert Governor().see(300, [file("a", 100, 250)]).room_bytes == 350 * MIB
    assert Governor().see(450, [file("a", 250, 250)]).room_bytes == 350 * MIB
    assert Governor().see(790, [file("a", 100, 250)]).room_bytes == 0


def test_a_budget_filled_as_planned_is_no_event() -> None:
    """Memory near the budget with all files at their predictions: nothing is started, and nothing told."""
    governor = Governor()
    for decision in governor.see_often(60, 770, [file("a", 300), file("b", 300)]):
        assert (decision.level, not decision.hold, decision.events) == (Level.NORMAL, False, ())
    assert not governor.see(470, [file("a", 300)]).hold


def test_near_the_budget_with_more_to_come_holds() -> None:
    """Files will take more than there is left: nothing new, told once, and told when it is over."""
    governor = Governor()
    more = [file("a", 300, 400), file("b", 300, 400)]
    first, *rest = governor.see_often(10, 770, more)
    assert (first.level, not first.hold, kinds(first)) == (Level.HOLD, False, [EventKind.HOLD])
    assert first.events[0].text == "Starting nothing new: memory in use is 770 MiB of the 800 MiB allowed."
    assert kinds(*rest) == []
    assert governor.see(720, more).level is Level.HOLD
    over = governor.see(400, more[:1])
    assert (over.level, not over.hold, kinds(over)) == (Level.NORMAL, True, [EventKind.RECOVER])


def test_holding_again_soon_is_not_told_again() -> None:
    """A hold that comes and goes within seconds makes one pair of lines."""
    governor = Governor()
    more = [file("a", 300, 400), file("b", 300, 400)]
    seen = []
    for _ in range(8):
        seen += governor.see_often(1, 770, more) + governor.see_often(1, 400, more[:1])
    assert kinds(*seen) == [EventKind.HOLD, EventKind.RECOVER]
    assert {decision.level for decision in seen} == {Level.NORMAL, Level.HOLD}


def test_others_leave_nothing_before_the_first_file() -> None:
    """With nothing running and others over the budget nothing is started, which is told; it begins when they let go."""
    governor = Governor()
    seen = governor.see_often(30, 850)
    assert all(decision.hold for decision in seen)
    assert kinds(*seen)[0] in (EventKind.HOLD, EventKind.SHRINK)
    assert any(not decision.hold for decision in governor.see_often(5, 200))


def test_others_leave_little() -> None:
    """With nothing running and others just below the budget one file is let in after a while, and not at once."""
    governor = Governor()
    first, *rest = governor.see_often(10, 780)
    assert first.hold
    assert not rest[-1].hold


def test_pressure_that_one_file_makes_only_holds() -> None:
    """The last file is not suspended for pressure; nothing is added to it."""
    decision = Governor().see(300, [file("a", 200)], memory_pressure_full=50.0)
    assert (decision.level, not decision.hold, decision.suspend) == (Level.HOLD, False, ())
    assert "wait for memory" in decision.events[0].text


# ---------------------------------------------------------------- shrink


def test_over_the_budget_shrinks_once() -> None:
    """Unstarted files are taken back and the share halved; running ones go on, however long it lasts."""
    governor = Governor()
    files = [file("a", 400), file("b", 400)]
    governor.see(780, files)
    first = governor.see(810, files)
    assert (first.level, first.take_back, first.share, not first.hold) == (Level.SHRINK, True, 0.5, False)
    assert kinds(first) == [EventKind.SHRINK]
    assert "50 % of the usual number" in first.events[0].text
    again = governor.see_often(4, 810, files)
    assert [(d.take_back, d.share, d.suspend, d.events) for d in again] == [(False, 0.5, (), ())] * len(again)


def test_still_over_after_a_while_shrinks_again_down_to_a_floor() -> None:
    """Each halving is given time; a single file is no reason for more of them."""
    governor = Governor()
    many = governor.see_often(60, 810, [file("a", 400), file("b", 400)])
    shares = [d.share for d in many if d.take_back]
    assert shares == [0.5, 0.25, 0.125, 0.0625]
    alone = Governor().see_often(60, 810, [file("a", 400)], ours=500)
    assert [d.share for d in alone if d.take_back] == [0.5] or not any(d.take_back for d in alone)


def test_a_file_known_to_need_more_than_there_is_runs_alone_in_peace() -> None:
    """It keeps to its prediction, so there is nothing to tell; beside it nothing is started."""
    governor = Governor()
    seen = [governor.see(100 + size, [file("a", size, 900)], ours=100 + size) for size in (400, 600, 800, 890, 890)]
    assert {(d.level, not d.hold, d.share, d.events) for d in seen} == {(Level.NORMAL, False, 1.0, ())}


def test_a_lone_file_beyond_its_prediction_is_told() -> None:
    """Over the budget because of a wrong prediction: SHRINK, but the file goes on."""
    governor = Governor()
    for size in (400, 600, 750, 850):
        decision = governor.see(100 + size, [file("a", size, 300)], ours=100 + size)
        assert (decision.suspend, decision.shed) == ((), ())
    assert decision.level is Level.SHRINK


def test_recovery_is_slow_and_steady() -> None:
    """Below the mark for three seconds: files are started again; then the share grows by steps of three seconds."""
    governor = Governor()
    governor.see_often(7, 810, [file("a", 400), file("b", 400)])
    assert governor.state.share == 0.25
    seen = governor.see_often(20, 500, [file("a", 400)])
    begun = next(number for number, d in enumerate(seen) if d.level is Level.NORMAL)
    assert begun * STEP == pytest.approx(2.5)
    assert [d.share for d in seen if d.events] == [0.25, 0.375, 0.5625, 0.84375, 1.0]
    assert kinds(*seen) == [EventKind.RECOVER] * 5


def test_a_peak_in_between_starts_the_wait_anew() -> None:
    """Calm has to last; how often is looked does not matter."""
    governor = Governor()
    files = [file("a", 400), file("b", 400)]
    governor.see(810, files)
    for _ in range(10):
        assert all(d.level is Level.SHRINK for d in governor.see_often(2.5, 500, files[:1]))
        assert governor.see(700, files[:1]).level is Level.SHRINK
    often = [governor.see(500, files[:1], step=0.05) for _ in range(58)]
    assert {d.level for d in often} == {Level.SHRINK}
    assert governor.see_often(0.5, 500, files[:1])[-1].level is Level.NORMAL


# ---------------------------------------------------------------- suspend


def growing(governor: Governor, steps: int, files: str, rate: int, *, base: int, predicted: int = 50) -> list[Decision]:
    """So many files that all grow by `rate` MiB at each of the steps of 50 ms, past their prediction."""
    seen = []
    for number in range(1, steps + 1):
        running = [file(name, 50 + rate * number, predicted) for name in files]
        memory = sum(f.memory_bytes for f in running) // MIB
        seen.append(governor.see(base + memory, running, ours=base + memory, step=0.05))
    return seen


def test_rising_while_over_suspends_the_youngest() -> None:
    """A file that grows slowly past the budget: first less is started, and half a second later it is stopped."""
    governor = Governor()
    sizes = range(350, 410, 2)
    seen = [governor.see(440 + size, [file("a", 400), file("b", size, 300)], step=0.05) for size in sizes]
    shrunk = next(number for number, d in enumerate(seen) if d.level is Level.SHRINK)
    stopped = next(number for number, d in enumerate(seen) if d.suspend)
    assert 440 + sizes[shrunk] == 802
    assert 0.5 <= (stopped - shrunk) * 0.05 < 0.6
    told = seen[stopped]
    assert (told.level, told.suspend, kinds(told)) == (Level.SUSPEND, ("b",), [EventKind.SUSPEND])
    assert told.events[0].job_id == "b"
    assert told.events[0].text.startswith("Suspended b.mp4, which holds 384 MiB: memory in use is 824 MiB of the 800 ")


def test_as_many_are_suspended_as_the_projection_needs() -> None:
    """Four files that grow by 2 GiB a second together: three are stopped at once, long before the budget is reached."""
    seen = growing(Governor(), 8, "abcd", 25, base=0)
    first = next(d for d in seen if d.suspend)
    assert first.suspend == ("b", "c", "d")
    assert first.level is Level.SUSPEND
    assert first.take_back
    assert kinds(first) == [EventKind.SHRINK] + [EventKind.SUSPEND] * 3


def test_a_start_as_predicted_alarms_nobody() -> None:
    """The same growth within what was predicted, and reserved, makes no event."""
    seen = growing(Governor(), 5, "abcd", 25, base=0, predicted=190)
    assert kinds(*seen) == []


def test_an_order_on_its_way_is_not_given_again() -> None:
    """A file that was told to stop counts as stopped for a second; after that it is told again."""
    governor = Governor()
    files = [file("a", 400), file("b", 420, 100)]
    orders = []
    for number in range(60):
        files = [file("a", 400), file("b", 380 + 2 * number, 100)]
        orders.append(governor.see(20 + 780 + 2 * number, files, step=0.05).suspend)
    times = [number * 0.05 for number, order in enumerate(orders) if order]
    assert len(times) >= 2
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))


def test_pressure_suspends_one_at_a_time() -> None:
    """PSI above its threshold stops the youngest, and the next only after the average could show it."""
    governor = Governor()
    files = {name: file(name, 100) for name in "abc"}
    times = []
    for number in range(40):
        decision = governor.see(300, list(files.values()), memory_pressure_full=40.0)
        for name in decision.suspend:
            times.append((number * STEP, name))
            files[name] = replace(files[name], suspended=True)
            assert "wait for memory" in decision.events[-1].text
    assert times == [(0.0, "c"), (5.0, "b")]
    assert governor.state.level is Level.SUSPEND


def test_others_that_grow_stop_ours_one_a_second() -> None:
    """Files that do not grow themselves are stopped as well, but with time to see what it does."""
    governor = Governor()
    files = {name: file(name, 150) for name in "abcd"}
    stopped = []
    for number in range(40):
        decision = governor.see(790 + 3 * number, list(files.values()), step=0.1)
        stopped += [(number, name) for name in decision.suspend]
        for name in decision.suspend:
            files[name] = replace(files[name], suspended=True)
        for name in decision.shed:
            del files[name]
    assert [name for _, name in stopped][:2] == ["d", "c"]
    assert stopped[1][0] - stopped[0][0] >= 10


# ---------------------------------------------------------------- shed


def test_the_wall_ahead_sheds_what_is_suspended() -> None:
    """Over the budget, and beyond the wall within the reaction time: the youngest suspended file is ended."""
    governor = Governor()
    paused = [file("b", 150, suspended=True), file("c", 150, suspended=True)]
    governor.state = replace(Governed(), level=Level.SUSPEND)
    for size in (440, 470, 500, 530):
        decision = governor.see(100 + 300 + size, [file("a", size, 200), *paused], ours=400 + size, step=0.05)
        if decision.shed:
            break
    assert decision.shed == ("c",)
    assert decision.level is Level.SHED
    assert decision.events[-1].kind is EventKind.SHED
    assert decision.events[-1].text.startswith("Ended c.mp4, to be tried again later, as that frees 150 MiB: ")


def test_what_was_told_to_end_is_not_ended_twice() -> None:
    """Its memory counts as free until it is, so that no more are ended than needed."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND)
    paused = [file("b", 200, suspended=True), file("c", 200, suspended=True)]
    ended = []
    for number in range(8):
        size = 380 + 15 * number
        ended += governor.see(100 + 400 + size, [file("a", size, 200), *paused], ours=500 + size, step=0.05).shed
    assert ended == ["c"]


def test_a_file_shed_often_is_spared_while_others_can_go() -> None:
    """The youngest would be next, but has been ended three times already."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND)
    paused = [file("b", 200, suspended=True), file("c", 200, suspended=True, sheds=3)]
    ended: list[str] = []
    for number in range(8):
        size = 380 + 15 * number
        ended += governor.see(100 + 400 + size, [file("a", size, 200), *paused], ours=500 + size, step=0.05).shed
    assert ended == ["b"]


def test_the_last_file_is_never_shed() -> None:
    """A file that alone runs into the wall goes on."""
    governor = Governor()
    for size in range(300, 980, 20):
        decision = governor.see(size + 15, [file("a", size, 200)], ours=size + 15, step=0.05)
        assert (decision.suspend, decision.shed) == ((), ())


def test_others_that_fill_the_machine_take_the_last_one_too() -> None:
    """Where others alone are over the budget and heading for the wall, holding on to memory helps nobody."""
    governor = Governor()
    shed: tuple[str, ...] = ()
    for others in range(500, 1000, 20):
        decision = governor.see(others + 150, [file("a", 150)], ours=150, step=0.05)
        shed += decision.shed
    assert shed == ("a",)


# ---------------------------------------------------------------- resume


def test_suspended_files_go_on_one_at_a_time_oldest_first() -> None:
    """Below the mark for three seconds, then one a second; only then is anything started."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND, share=0.5)
    files = {name: file(name, 100, suspended=name != "a") for name in "abc"}
    order = []
    for number in range(40):
        decision = governor.see(300, list(files.values()))
        for name in decision.resume:
            order.append((number * STEP, name))
            files[name] = replace(files[name], suspended=False)
        if any(f.suspended for f in files.values()):
            assert decision.hold
    assert order == [(3.0, "b"), (4.0, "c")]
    assert (decision.level, decision.share, not decision.hold) == (Level.NORMAL, 1.0, True)


def test_a_file_that_would_not_fit_waits() -> None:
    """What it is predicted to take yet has to fit beside what the others will."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND)
    files = [file("a", 300, 400), file("b", 100, 400, suspended=True)]
    assert not any(d.resume for d in governor.see_often(20, 450, files))
    assert any(d.resume for d in governor.see_often(5, 390, [replace(files[0], predicted_bytes=300 * MIB), files[1]]))


def test_a_file_whose_kind_turned_out_larger_waits_for_more_room() -> None:
    """What others of its kind were seen to take counts, and not what was predicted when it began."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND)
    files = [file("a", 400), replace(file("b", 100, 100, suspended=True), likely_bytes=400 * MIB)]
    assert not any(d.resume for d in governor.see_often(20, 550, files))
    assert any(d.resume for d in governor.see_often(5, 490, files))


def test_where_all_are_suspended_one_goes_on_at_once() -> None:
    """No run stands still by itself: the oldest goes on even over the budget."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND)
    files = [file("a", 300, suspended=True), file("b", 300, suspended=True), file("c", 300, suspended=True)]
    governor.see(950, files)
    assert governor.state.orders["a"][0] is EventKind.RESUME


def test_all_wait_while_others_fill_the_machine() -> None:
    """The only case in which nothing goes on; the oldest continues when they let go."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND)
    files = [file("a", 50, suspended=True), file("b", 50, suspended=True)]
    assert not any(d.resume for d in governor.see_often(60, 920, files))
    after = governor.see(300, files)
    assert after.resume == ("a",)
    assert kinds(after) == [EventKind.RESUME]


# ---------------------------------------------------------------- limits of our own


def test_a_memory_limit_is_held_for_ours_alone() -> None:
    """Others do not count against it; it says whose memory is meant."""
    governor = Governor(BatchSettings(memory_limit_bytes=400 * MIB))
    assert governor.see(700, [file("a", 200)]).level is Level.NORMAL
    over = governor.see(700, [file("a", 200), file("b", 220)], step=3)
    assert over.level >= Level.SHRINK
    assert "pyprocessor's memory is 420 MiB of the 400 MiB allowed" in over.events[0].text


def test_shared_pages_do_not_count_twice() -> None:
    """Where our processes' memory adds up to more than is in use, the use is what counts."""
    decision = Governor().see(500, [file("a", 450), file("b", 450)], ours=1000)
    assert decision.level is Level.NORMAL
    assert decision.room_bytes == 300 * MIB


def test_a_total_that_changes_counts_at_once() -> None:
    """A container whose limit is lowered while it runs is over it from the next reading on."""
    governor = Governor()
    files = [file("a", 200), file("b", 200)]
    assert governor.see(450, files).level is Level.NORMAL
    assert governor.see(450, files, total=500).level >= Level.SHRINK
    assert governor.see_often(10, 450, files, total=2000)[-1].level is Level.NORMAL


def test_an_unknown_total_limits_nothing() -> None:
    """A reading without a total cannot be held against anything."""
    decision = Governor().see(450, [file("a", 400)], total=0)
    assert (decision.level, not decision.hold) == (Level.NORMAL, True)


@pytest.mark.parametrize("jump", [-500.0, 3600.0, 1e9, 0.0, 0.001])
def test_a_clock_that_jumps_makes_no_growth_and_no_time(jump: float) -> None:
    """Neither is a rate told from such a step, nor does it count as a calm time."""
    governor = Governor()
    files = [file("a", 400), file("b", 400)]
    governor.see(810, files)
    decision = governor.see(500, files[:1], step=jump)
    assert (decision.level, decision.events) == (Level.SHRINK, ())
    governor = Governor()
    governor.see(300, [file("a", 100), file("b", 100)])
    jumped = governor.see(700, [file("a", 300), file("b", 300)], step=jump)
    assert (jumped.suspend, jumped.shed) == ((), ())
