"""CPU time of processes that come and go adds up to what was spent."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyprocessor.system.process_trees import ProcessCpu, ProcessTimes

ROOT = 1


@dataclass
class Process:
    """A process of the simulation; times are whole seconds."""

    parent: int
    started: int
    own: int = 0
    reaped: int = 0
    ended: bool = False


@dataclass
class Family:
    """Processes that spawn, work, end and wait for their children, as a system would have it. Pids are given again."""

    forkserver: bool
    processes: dict[int, Process] = field(default_factory=lambda: {ROOT: Process(0, 0)})
    burnt: int = 0
    spawned: int = 0

    def step(self, action: str, choice: int, amount: int) -> None:
        pids = sorted(self.processes)
        pid = pids[choice % len(pids)]
        process = self.processes[pid]
        if action == "burn" and not process.ended:
            process.own += amount
            self.burnt += amount
        elif action == "spawn" and not process.ended:
            free = next(number for number in range(2, 100) if number not in self.processes)
            self.spawned += 1
            parent = 0 if self.forkserver and pid == ROOT else pid
            self.processes[free] = Process(parent, self.spawned)
        elif action in ("end", "finish") and pid != ROOT:
            self.end(pid, wait=action == "finish")
        elif action == "wait" and process.ended:
            self.wait_for(pid)

    def end(self, pid: int, *, wait: bool) -> None:
        """End a process after its children, for which it waits."""
        for child in self.children(pid):
            self.end(child, wait=True)
        self.processes[pid].ended = True
        if wait:
            self.wait_for(pid)

    def wait_for(self, pid: int) -> None:
        process = self.processes.pop(pid)
        if process.parent in self.processes:
            self.processes[process.parent].reaped += process.own + process.reaped

    def children(self, pid: int) -> list[int]:
        return [child for child, process in self.processes.items() if process.parent == pid]

    def times(self) -> dict[int, ProcessTimes]:
        return {pid: ProcessTimes(p.parent, p.started, p.own, p.reaped) for pid, p in self.processes.items()}


steps = st.lists(
    st.tuples(
        st.sampled_from(["burn", "burn", "spawn", "spawn", "finish", "end", "wait", "read"]),
        st.integers(0, 6),
        st.integers(1, 9),
    ),
    min_size=20,
    max_size=60,
)


@given(steps)
def test_everything_spent_is_counted_once(steps: list[tuple[str, int, int]]) -> None:
    """Whatever starts, works, ends and is waited for between readings, the sum of the readings is what was burnt."""
    family, spending, counted = Family(forkserver=False), ProcessCpu(), 0.0
    for action, choice, amount in steps:
        if action == "read":
            counted += spending.since_last(family.times())
        else:
            family.step(action, choice, amount)
    assert counted + spending.since_last(family.times()) == pytest.approx(family.burnt)


@given(steps)
def test_where_parents_are_not_ours_nothing_is_counted_twice(steps: list[tuple[str, int, int]]) -> None:
    """Batch processes are waited for by the forkserver: last moments are lost, and no reading is below nothing."""
    family, spending, counted = Family(forkserver=True), ProcessCpu(), 0.0
    for action, choice, amount in [*steps, ("read", 0, 1)]:
        if action == "read":
            spent = spending.since_last(family.times())
            assert spent >= 0
            counted += spent
        else:
            family.step(action, choice, amount)
    assert counted <= family.burnt


def test_a_child_that_ends_between_the_reading_of_its_parent_and_its_own() -> None:
    """It is gone before it shows in its parent; when it shows, only what was not yet counted is added."""
    spending = ProcessCpu()
    spending.since_last({1: ProcessTimes(0, 0, 10, 0), 2: ProcessTimes(1, 1, 50, 0)})
    assert spending.since_last({1: ProcessTimes(0, 0, 11, 0)}) == 1
    assert spending.since_last({1: ProcessTimes(0, 0, 12, 53)}) == 4


def test_a_batch_process_and_its_child_that_end_between_two_readings() -> None:
    """Both are found in the time of the process that waited for the batch process."""
    spending = ProcessCpu()
    spending.since_last({1: ProcessTimes(0, 0, 10, 0), 2: ProcessTimes(1, 1, 5, 0), 3: ProcessTimes(2, 2, 50, 0)})
    assert spending.since_last({1: ProcessTimes(0, 0, 10, 5 + 50 + 4)}) == 4


def test_a_child_that_nobody_waits_for_hides_no_later_one() -> None:
    """What was put by for it is let go after one more reading."""
    spending = ProcessCpu()
    spending.since_last({1: ProcessTimes(0, 0, 10, 0), 2: ProcessTimes(1, 1, 50, 0)})
    assert spending.since_last({1: ProcessTimes(0, 0, 10, 0)}) == 0
    assert spending.since_last({1: ProcessTimes(0, 0, 10, 0)}) == 0
    assert spending.since_last({1: ProcessTimes(0, 0, 10, 7)}) == 7
