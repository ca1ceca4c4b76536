"""Listeners, fed with recorded sequences of events as the engine gives them."""

from __future__ import annotations

import io
import json
import re
import tracemalloc
from dataclasses import replace

import pytest

from pyprocessor.errors import FailureKind
from pyprocessor.models import Outcome, OutcomeKind, RunSnapshot, RunState
from pyprocessor.report.narration import Level, Lines, Message, RunLog, UnbreakableStream, run_log_name, snapshot_line
from pyprocessor.report.progress import Bars

SNAPSHOT = RunSnapshot(
    done=48,
    total=100,
    total_is_final=True,
    succeeded=42,
    failed=2,
    skipped=4,
    cancelled=1,
    active=8,
    memory_bytes=512_300_000,
    cpu_percent=75.2,
    elapsed_seconds=10.0,
    eta_seconds=750.0,
    draining=False,
)
SUCCEEDED = Outcome(OutcomeKind.SUCCEEDED)
BROKEN = Outcome(OutcomeKind.FAILED, "It is cut short.", FailureKind.BAD_INPUT)
LINE = re.compile(
    r"Progress: \d+/\d+ \(\d+\.\d% success\) \| Active: \d+ \| Failed: \d+ \| Memory: \d+\.\dMB \| CPU: \d+\.\d%"
    r" \| ETA: (\d+:\d\d:\d\d|unknown)"
)


class Terminal(io.StringIO):
    """A stream that remembers all that was written, with the encoding of a real one."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A stream whose reader has gone."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def write(self, text: str, /) -> int:
        self.calls += 1
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def redrawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars show each change, however soon after another."""
    monkeypatch.setattr("pyprocessor.report.progress.REDRAW_SECONDS", 0.0)


def screen(text: str) -> list[str]:
    """The rows that a terminal shows after this text, which moves the cursor by `\\r`, `\\n` and `ESC [ A` alone."""
    rows = [""]
    row = column = 0
    for part in re.findall(r"\x1b\[A|[\r\n]|[^\r\n\x1b]+", text):
        match part:
            case "\x1b[A":
                row = max(0, row - 1)
            case "\r":
                column = 0
            case "\n":
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            case _:
                rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
                column += len(part)
    return [shown.rstrip() for shown in rows]


def files_shown(stream: Terminal) -> list[str]:
    """What the rows below the run's bar show: a file's name, or nothing for an empty row."""
    _, *rows = screen(stream.getvalue())
    while rows and not rows[-1]:
        rows.pop()
    return [shown.split(" ")[0] for shown in rows]


def run_shown(stream: Terminal) -> str:
    """What the run's bar shows; messages are above it."""
    return next(row for row in reversed(screen(stream.getvalue())) if "of video" in row or " files" in row)


def play(listener: Lines | Bars) -> None:
    """A short run: one file succeeds, one fails after a retry, one is shed and left."""
    listener.found(2, False)
    listener.queued(2, 30.0)
    listener.started("1", "a.mp4", 10.0)
    listener.started("2", "b.mp4", 20.0)
    listener.progressed("1", 5.0, 2.0)
    listener.tick(
        replace(SNAPSHOT, done=0, total=2, succeeded=0, failed=0, skipped=0, cancelled=0, elapsed_seconds=1.0)
    )
    listener.finished("2", replace(BROKEN, failure=FailureKind.CRASH), will_retry=True)
    listener.found(3, True)
    listener.queued(3, 40.0)
    listener.started("2", "b.mp4", 20.0)
    listener.finished("1", SUCCEEDED)
    listener.finished("2", BROKEN)
    listener.notice("warning", "Memory is short.")
    listener.started("3", "c.mp4", 10.0)
    listener.finished("3", Outcome(OutcomeKind.SHED), will_retry=True)
    listener.tick(
        replace(SNAPSHOT, done=2, total=3, succeeded=1, failed=1, skipped=0, cancelled=0, elapsed_seconds=11.0)
    )


def test_progress_line_has_the_exact_form() -> None:
    """The line that scripts read is what the documentation shows, to the letter."""
    assert snapshot_line(SNAPSHOT) == (
        "Progress: 45/100 (45.0% success) | Active: 8 | Failed: 2 | Memory: 512.3MB | CPU: 75.2% | ETA: 0:12:30"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"done": 0, "failed": 0, "eta_seconds": None},
        {"done": 100, "failed": 100, "eta_seconds": 0.0},
        {"eta_seconds": 3600.0 * 30},
        {"memory_bytes": 0, "cpu_percent": 0.0},
        {"total_is_final": False, "draining": True},
    ],
)
def test_progress_line_keeps_its_form(changes: dict[str, object]) -> None:
    """Nothing done, all failed, no estimate, long estimates: the form stays."""
    assert LINE.fullmatch(snapshot_line(replace(SNAPSHOT, **changes)))  # type: ignore[arg-type]


def test_nothing_done_is_no_success() -> None:
    """Before the first file is done there is nothing that succeeded."""
    line = snapshot_line(replace(SNAPSHOT, done=0, total=4, succeeded=0, failed=0, skipped=0, cancelled=0))
    assert line.startswith("Progress: 0/4 (0.0% success)")


def test_lines_tell_progress_once_an_interval() -> None:
    """Ticks come every second; lines come every interval, and late ticks are not made up for."""
    stream = Terminal()
    lines = Lines(stream, interval_seconds=10)
    for second in [*range(1, 31), 95, 96, 105]:
        lines.tick(replace(SNAPSHOT, elapsed_seconds=float(second), succeeded=second - 3))
    told = [int(line.split()[1].split("/")[0]) for line in stream.getvalue().splitlines()]
    assert told == [10, 20, 30, 95, 105]
    lines.close()
    assert len(stream.getvalue().splitlines()) == 5


def test_lines_tell_the_end_of_a_short_run() -> None:
    """A run shorter than the interval still gets one line, at its end."""
    stream = Terminal()
    lines = Lines(stream, interval_seconds=10)
    lines.tick(replace(SNAPSHOT, elapsed_seconds=0.5))
    assert stream.getvalue() == ""
    lines.close()
    assert stream.getvalue() == snapshot_line(SNAPSHOT) + "\n"


def test_lines_say_nothing_of_a_run_with_nothing_to_do() -> None:
    """No files, no line."""
    stream = Terminal()
    lines = Lines(stream, interval_seconds=10)
    lines.tick(replace(SNAPSHOT, total=0, done=0, failed=0, elapsed_seconds=20.0))
    lines.close()
    assert stream.getvalue().count("Progress:") <= 1
    quiet = Terminal()
    silent = Lines(quiet, interval_seconds=10)
    silent.tick(replace(SNAPSHOT, total=0, done=0, failed=0, elapsed_seconds=0.2))
    silent.close()
    assert quiet.getvalue() == ""


def test_lines_tell_failures_and_retries() -> None:
    """A failure is told with its name and reason, a retry says so, a success and a shed file are not told."""
    stream = Terminal()
    play(Lines(stream, interval_seconds=10))
    assert stream.getvalue().splitlines() == [
        "Failed: b.mp4: It is cut short. It will be tried again.",
        "Failed: b.mp4: It is cut short.",
        "Memory is short.",
        snapshot_line(replace(SNAPSHOT, done=2, total=3, succeeded=1, failed=1, skipped=0, cancelled=0)),
    ]


WITH_BAND = replace(SNAPSHOT, eta_low_seconds=600.0, eta_high_seconds=940.0)


def test_the_line_that_scripts_read_has_no_band() -> None:
    """The band changes nothing in it; with --verbose it follows in a line of its own."""
    plain, verbose = Terminal(), Terminal()
    Lines(plain, interval_seconds=10).tick(WITH_BAND)
    assert plain.getvalue() == snapshot_line(SNAPSHOT) + "\n"
    Lines(verbose, interval_seconds=10, least=Level.DEBUG).tick(WITH_BAND)
    assert verbose.getvalue().splitlines() == [
        snapshot_line(SNAPSHOT),
        "Expected to be done in 0:12:30 (0:10:00-0:15:40).",
    ]


@pytest.mark.usefixtures("redrawn_at_once")
def test_a_paused_run_shows_it_everywhere() -> None:
    """In the line that scripts read in the place of the time left, on the bar, and as a state for programs."""
    paused = replace(SNAPSHOT, state=RunState.PAUSED_NOW, eta_seconds=None)
    assert snapshot_line(paused).endswith(" | ETA: paused")
    terminal, lines = Terminal(), Terminal()
    bars = Bars(terminal, rows=24)
    bars.tick(paused)
    assert run_shown(terminal).endswith("ETA when resumed | paused")
    bars.close()
    Lines(lines, interval_seconds=10, as_json=True).tick(paused)
    assert json.loads(lines.getvalue())["state"] == "paused_now"


@pytest.mark.usefixtures("redrawn_at_once")
@pytest.mark.parametrize(
    ("eta", "low", "high", "said"),
    [
        (750.0, 600.0, 940.0, "ETA 0:12:30 (0:10:00-0:15:40)"),
        (750.0, None, None, "ETA 0:12:30"),
        (None, 600.0, None, "ETA over 0:10:00"),
        (None, None, None, "ETA unknown"),
    ],
)
def test_bars_show_the_band(eta: float | None, low: float | None, high: float | None, said: str) -> None:
    """The run's bar says when it will be done as exactly as is known."""
    stream = Terminal()
    bars = Bars(stream, rows=24)
    bars.tick(replace(SNAPSHOT, eta_seconds=eta, eta_low_seconds=low, eta_high_seconds=high))
    assert run_shown(stream).endswith(said)
    bars.close()


def test_json_lines_have_the_band() -> None:
    """Programs get all three numbers, null where unknown."""
    stream = Terminal()
    lines = Lines(stream, interval_seconds=10, as_json=True)
    lines.tick(WITH_BAND)
    lines.tick(replace(SNAPSHOT, elapsed_seconds=30.0))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert [first[name] for name in ("eta_low_seconds", "eta_seconds", "eta_high_seconds")] == [600.0, 750.0, 940.0]
    assert second["eta_low_seconds"] is second["eta_high_seconds"] is None


def test_quiet_tells_failures_alone() -> None:
    """With --quiet there is no progress and no warning, but a failure is told."""
    stream = Terminal()
    lines = Lines(stream, interval_seconds=1, least=Level.ERROR)
    play(lines)
    lines.notice("error", "The disk is full.")
    lines.close()
    assert stream.getvalue().splitlines() == ["Failed: b.mp4: It is cut short.", "The disk is full."]


def test_verbose_tells_starts_and_ends() -> None:
    """With --verbose every file's start and end is told."""
    stream = Terminal()
    shown = Lines(stream, interval_seconds=10, least=Level.DEBUG)
    play(shown)
    shown.found(3, False)
    shown.found(3, True)
    lines = stream.getvalue().splitlines()
    assert "Started: a.mp4" in lines
    assert "Succeeded: a.mp4" in lines
    assert "Shed: c.mp4" in lines
    assert lines.count("The listing is complete: 3 files.") == 1, "also where it was open again for parts"


def test_a_failure_without_a_start_is_told_with_its_name() -> None:
    """A file that could not be inspected never started."""
    stream = Terminal()
    Lines(stream, interval_seconds=10).finished("9", Outcome(OutcomeKind.FAILED, "It is empty."), name="x.mp4")
    assert stream.getvalue() == "Failed: x.mp4: It is empty.\n"


def test_control_characters_never_reach_the_terminal() -> None:
    """Names and messages with escape sequences, newlines or odd bytes come out escaped, on one line."""
    evil = "a\x1b[2Jb\nc\udcff.mp4"
    for listener in (Lines(out := Terminal(), interval_seconds=1, least=Level.DEBUG), Bars(out, least=Level.DEBUG)):
        listener.queued(1, 5.0)
        listener.started("1", evil, 5.0)
        listener.notice("info", f"about {evil}")
        listener.finished("1", Outcome(OutcomeKind.FAILED, f"{evil} broke", FailureKind.CRASH))
        listener.close()
    text = out.getvalue()
    assert "\x1b[2J" not in text
    assert "\udcff" not in text
    assert "about a\\x1b[2Jb\\nc\\xff.mp4" in text


def test_json_lines_are_each_one_object() -> None:
    """Every line is a JSON object with time, level, event and message, and numbers stay numbers."""
    stream = Terminal()
    lines = Lines(stream, interval_seconds=10, as_json=True, now=lambda: 1_700_000_000.0)
    play(lines)
    lines.close()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all({"time", "level", "event", "message"} <= entry.keys() for entry in told)
    assert told[0]["time"] == "2023-11-14T22:13:20.000Z"
    failed = next(entry for entry in told if entry["event"] == "finished")
    assert (failed["level"], failed["failure"], failed["will_retry"]) == ("error", "bad_input", False)
    progress = next(entry for entry in told if entry["event"] == "progress")
    assert (progress["done"], progress["total"], progress["eta_seconds"]) == (2, 3, 750.0)


def test_json_lines_survive_any_name_and_a_narrow_stream() -> None:
    """A name beyond ASCII stays readable JSON where the stream takes ASCII alone."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    Lines(stream, interval_seconds=1, as_json=True).notice("info", "gr\u00fc\U0001f600")
    assert json.loads(raw.getvalue())["message"] == "gr\u00fc\U0001f600"


def test_lines_escape_what_a_narrow_stream_lacks() -> None:
    """An emoji in a name ends no run on an ASCII stream."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    Lines(stream, interval_seconds=1).notice("info", "\U0001f600")
    assert raw.getvalue() == b"\\U0001f600\n"


@pytest.mark.parametrize("kind", ["lines", "json", "bars"])
def test_a_reader_that_went_away_does_not_end_the_run(kind: str) -> None:
    """When standard error breaks, telling stops and the run goes on."""
    gone = Gone()
    stream = UnbreakableStream(gone)
    listener: Lines | Bars
    if kind == "lines":
        listener = Lines(stream, interval_seconds=1)
    elif kind == "json":
        listener = Lines(stream, interval_seconds=1, as_json=True)
    else:
        listener = Bars(stream, rows=24)
    play(listener)
    listener.close()
    assert gone.calls == 1


@pytest.mark.usefixtures("redrawn_at_once")
def test_bars_show_the_run_and_each_file() -> None:
    """The run's bar counts media time and files; a file's bar shows its name, speed and time left."""
    stream = Terminal()
    bars = Bars(stream, rows=24)
    bars.queued(2, 40.0)
    bars.started("1", "a.mp4", 10.0)
    bars.started("2", "b.mp4", 30.0)
    bars.progressed("1", 5.0, 2.0)
    bars.tick(replace(SNAPSHOT, done=0, total=2))
    bars.finished("1", SUCCEEDED)
    bars.tick(replace(SNAPSHOT, done=1, total=2, failed=0))
    text = stream.getvalue()
    bars.close()
    assert "a.mp4" in text
    assert "2.00x ETA 0:00:02" in text
    assert "5/40s of video" in text
    assert "10/40s of video" in text
    assert "1/2 files" in text
    assert "ETA 0:12:30" in text


def test_bars_reuse_rows_and_hide_what_does_not_fit() -> None:
    """More files run than rows are free: the others wait for a row, and take that of a file that ended at once."""
    stream = Terminal()
    bars = Bars(stream, rows=7)
    bars.queued(9, 90.0)
    for number in range(5):
        bars.started(str(number), f"{number}.mp4", 10.0)
    assert files_shown(stream) == ["0.mp4", "1.mp4", "2.mp4"]
    bars.finished("1", SUCCEEDED)
    assert files_shown(stream) == ["0.mp4", "3.mp4", "2.mp4"]
    bars.finished("0", SUCCEEDED)
    bars.finished("4", SUCCEEDED)
    bars.started("5", "5.mp4", None)
    assert files_shown(stream) == ["5.mp4", "3.mp4", "2.mp4"]
    bars.close()
    assert files_shown(stream) == []


def test_no_row_among_the_bars_is_empty() -> None:
    """Neither between the end of a file and the start of the next, nor where no next one comes."""
    stream = Terminal()
    bars = Bars(stream, rows=24)
    bars.queued(9, 90.0)
    for number in range(5):
        bars.started(str(number), f"{number}.mp4", 10.0)
    for number in (1, 3):
        bars.finished(str(number), SUCCEEDED)
    assert "" not in files_shown(stream)
    bars.started("7", "7.mp4", 10.0)
    assert files_shown(stream)[:2] == ["0.mp4", "7.mp4"]
    assert "" not in files_shown(stream)
    bars.tick(SNAPSHOT)
    assert files_shown(stream) == ["0.mp4", "7.mp4", "2.mp4", "4.mp4"]
    bars.finished("0", SUCCEEDED)
    bars.tick(SNAPSHOT)
    assert files_shown(stream) == ["4.mp4", "7.mp4", "2.mp4"]
    bars.progressed("4", 5.0, 1.0)
    assert files_shown(stream) == ["4.mp4", "7.mp4", "2.mp4"]
    for number in (2, 4, 7):
        bars.finished(str(number), SUCCEEDED)
    bars.tick(SNAPSHOT)
    assert files_shown(stream) == []
    bars.started("8", "8.mp4", 10.0)
    assert files_shown(stream) == ["8.mp4"]
    bars.close()


def test_bars_hold_nothing_for_files_that_are_done() -> None:
    """After many files, nothing is left of them."""
    stream = Terminal()
    bars = Bars(stream, rows=100)

    def use(files: range) -> int:
        """Bytes that are held after these files."""
        for number in files:
            bars.started(str(number), f"{number}.mp4", 1.0)
            bars.finished(str(number), SUCCEEDED)
            stream.seek(0)
            stream.truncate()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = use(range(100))
        assert use(range(100, 1100)) - before < 20_000
    finally:
        tracemalloc.stop()
        bars.close()


@pytest.mark.usefixtures("redrawn_at_once")
def test_bars_take_a_retried_file_back_from_the_run() -> None:
    """A file that is tried again no longer counts as done video, one that failed for good does."""
    stream = Terminal()
    bars = Bars(stream, rows=24)
    bars.queued(1, 10.0)
    bars.started("1", "a.mp4", 10.0)
    bars.progressed("1", 8.0, 1.0)
    assert "8/10s of video" in run_shown(stream)
    bars.finished("1", BROKEN, will_retry=True)
    bars.tick(SNAPSHOT)
    assert "0/10s of video" in run_shown(stream)
    bars.started("1", "a.mp4", 10.0)
    bars.finished("1", BROKEN)
    bars.tick(SNAPSHOT)
    assert "10/10s of video" in run_shown(stream)
    bars.close()


def test_bars_do_not_start_a_thread_nor_settle_the_start_method() -> None:
    """tqdm's watching thread and its multiprocessing lock are not made: the engine chooses how processes start."""
    import subprocess
    import sys

    program = (
        "import io, threading, multiprocessing\n"
        "from pyprocessor.report.progress import Bars\n"
        "b = Bars(io.StringIO(), rows=24); b.queued(1, 1.0); b.started('1', 'x', 1.0)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert multiprocessing.get_start_method(allow_none=True) is None\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_run_log_holds_every_start_and_end() -> None:
    """The log tells all messages with their time and level; it is opened only when there is something to tell."""
    opened: list[io.StringIO] = []

    class Kept(io.StringIO):
        def close(self) -> None:
            pass

    def open_log() -> io.StringIO:
        opened.append(Kept())
        return opened[-1]

    troubles: list[str] = []
    log = RunLog(open_log, troubles.append, now=lambda: 0.0)
    quiet = Lines(Terminal(), interval_seconds=10, least=Level.ERROR)
    quiet.log = log.write
    quiet.found(0, True)
    quiet.tick(SNAPSHOT)
    quiet.show(Message.notice("warning", "For the screen only."))
    assert not opened
    play(quiet)
    log.close()
    lines = opened[0].getvalue().splitlines()
    assert len(opened) == 1
    assert lines[0] == "1970-01-01T00:00:00Z debug   Started: a.mp4"
    assert "1970-01-01T00:00:00Z error   Failed: b.mp4: It is cut short." in lines
    assert not troubles


def test_run_log_that_cannot_be_written_is_told_once() -> None:
    """A full disk ends the log, not the run."""
    troubles: list[str] = []

    def open_log() -> io.StringIO:
        raise OSError(28, "No space left on device", b"/out/run.log")

    lines = Lines(Terminal(), interval_seconds=10)
    lines.log = RunLog(open_log, troubles.append).write
    play(lines)
    assert troubles == ["The run's log cannot be written and ends here: No space left on device (/out/run.log)."]


def test_run_log_names_sort_by_time() -> None:
    """The newest log is the last in the folder."""
    assert run_log_name(0.0, 7) == "run-19700101-000000-7.log"
    assert run_log_name(0.0, 7) < run_log_name(100.0, 3)
