"""The governor among processes that make calls: of several jobs at once, warm ones, and one that grows without end."""

from __future__ import annotations

from dataclasses import replace

from pyprocessor.governor.governor import EventKind, Governed, Level
from pyprocessor.jobs.running_job import RunningJob
from pyprocessor.models import ProcessIdentity
from tests.unit.running_jobs import running_job
from tests.unit.test_governor_levels import MIB, Governor, file


def call(
    name: str, memory: int, predicted: int = 0, *, pid: int = 7, started: float = 50.0, **more: bool
) -> RunningJob:
    """A job whose call is made by a process that others may share; amounts are in MiB."""
    return running_job(
        name,
        started_seconds=started,
        memory_bytes=memory * MIB,
        predicted_bytes=(predicted or memory) * MIB,
        ffmpeg=ProcessIdentity(pid, 1.0),
        is_call=True,
        **more,
    )


def test_jobs_that_share_a_process_are_suspended_together() -> None:
    """One alone cannot be: the process is chosen, once, and its growth is that of all."""
    governor = Governor()
    for step in range(8):
        jobs = [call(name, 40 + 10 * step, 10) for name in ("x", "y", "z")]
        decision = governor.see(580 + 3 * 10 * step + 120, [file("a", 300), *jobs], step=0.05)
        if decision.suspend:
            break
    assert decision.suspend == ("x", "y", "z")
    events = [event for event in decision.events if event.kind is EventKind.SUSPEND]
    assert [event.job_id for event in events] == ["x"]
    assert "x.mp4 and 2 more in its process" in events[0].text


def test_jobs_that_share_a_process_are_resumed_together() -> None:
    """Whichever of them were there when it was suspended."""
    governor = Governor()
    governor.state = replace(Governed(), level=Level.SUSPEND, share=0.5)
    jobs = [call("x", 50, suspended=True), call("y", 50, suspended=True), call("z", 50)]
    resumed = [d.resume for d in governor.see_often(10, 400, [file("a", 200), *jobs]) if d.resume]
    assert resumed[0] == ("x", "y", "z")


def test_jobs_that_come_and_go_do_not_make_a_process_grow() -> None:
    """Its memory is the same at each reading, and each job begins with all of it."""
    governor = Governor()
    for turn in range(100):
        fresh = call(f"job {turn}", 600, 100, started=governor.now if turn else 50.0, warm=turn > 0)
        decision = governor.see(760, [file("a", 100), fresh], step=0.05)
        assert (decision.suspend, decision.shed) == ((), ())


def test_a_warm_process_that_is_new_to_the_governor_does_not_grow_either() -> None:
    """What it holds is of the calls before."""
    governor = Governor()
    governor.see(700, [file("a", 100)])
    decision = governor.see(700, [file("a", 100), call("x", 500, started=governor.now, warm=True)], step=0.05)
    assert decision.level < Level.SUSPEND


def test_a_call_that_is_left_alone_is_ended_before_the_kernel_does_it() -> None:
    """Nothing bounds it, unlike an encode."""
    governor = Governor()
    shed: tuple[str, ...] = ()
    for size in range(300, 980, 5):
        shed += governor.see(size + 15, [call("x", size, 16)], ours=size + 15, step=0.05).shed
    assert set(shed) == {"x"}
