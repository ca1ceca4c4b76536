"""Tasks of another package, as tests install it: useful ones, and ones that break the rules."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pyprocessor.errors import FailureKind, JobError
from pyprocessor.models import Backend, Cost, InputLimits, Source
from pyprocessor.models.products import MAIN, Product
from pyprocessor.tasks.base import Call, ChildJob, Done, Made, Plan, Returned, Steps, Work
from pyprocessor.workers.call_main import progress

HERE = __name__
_PLANNED: set[bytes] = set()


class Words:
    """Two products of a text: its words in capitals, and how often each comes. The result says how many there are."""

    name = "words"
    inputs = (1, 1)

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        return {"bytes": sum(os.stat(source.path).st_size for source in inputs)}

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        products = (Product(output), Product(output + b".counts", role="counts"))
        return Plan(products, Cost((params or {}).get("cpu_seconds", 0.01), 32 << 20, found["bytes"]))

    def run(self, work: Work) -> Steps:
        names = {MAIN: f"{work.name}.txt", "counts": f"{work.name}.counts"}
        (source,) = work.inputs
        paths = {role: os.fsdecode(work.path(name)) for role, name in names.items()}
        arguments = {"source": os.fsdecode(source.path), "capitals": paths[MAIN], "counts": paths["counts"]}
        returned: Returned = yield Call(f"{HERE}:count_words", arguments)
        return Done(products=tuple(Made(name, role) for role, name in names.items()), result=returned.value)


def count_words(source: str, capitals: str, counts: str) -> dict[str, int]:
    """What `Words` has called."""
    words = Path(source).read_text().split()
    Path(capitals).write_text(" ".join(words).upper())
    Path(counts).write_text("\n".join(f"{word} {words.count(word)}" for word in sorted(set(words))))
    progress(1, 1)
    return {"words": len(words)}


class WordsOnce(Words):
    """What `Words` makes, once for texts of the same bytes; the text is logged where the param `log` names a file.

    With `before`, function and arguments, that is called before.
    """

    name = "words-once"
    reusable = True

    def run(self, work: Work) -> Steps:
        if "log" in work.params:
            with Path(work.params["log"]).open("a") as log:
                log.write(f"{work.job_id}\n")
        if "before" in work.params:
            function, arguments = work.params["before"]
            yield Call(f"{HERE}:{function}", arguments)
        return (yield from super().run(work))


class CountOnce(WordsOnce):
    """The result of `WordsOnce` alone."""

    name = "count-once"

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        return Plan(cost=super().plan(params, inputs, found, output).cost)

    def run(self, work: Work) -> Steps:
        with Path(work.params["log"]).open("a") as log:
            log.write(f"{work.job_id}\n")
        (source,) = work.inputs
        arguments = {"source": os.fsdecode(source.path), "capitals": os.devnull, "counts": os.devnull}
        returned: Returned = yield Call(f"{HERE}:count_words", arguments)
        return Done(result=returned.value)


class Ask:
    """One call, which the params describe as `Call` does, maybe with its `cost`; its value is the result.

    With `backends` it is done by one of these, whose name the function gets as `backend`.
    """

    name = "ask"

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        return None

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        return Plan(
            cost=Cost(**{"cpu_seconds": 0.001, "memory_bytes": 16 << 20, "disk_bytes": 0, **params.get("cost", {})}),
            backends=tuple(Backend(**each) for each in params.get("backends", ())),
            requests=params.get("requests", 1),
        )

    def run(self, work: Work) -> Steps:
        called = {**work.params, "function": f"{HERE}:{work.params['function']}"}
        for name in ("cost", "backends", "requests"):
            called.pop(name, None)
        if work.backend:
            called["arguments"] = {**called.get("arguments", {}), "backend": work.backend}
        try:
            returned: Returned = yield Call(**called)
        except JobError as error:
            if called.get("arguments", {}).get("forgiven"):
                return Done(result=f"forgiven: {error}")
            raise
        return Done(result=returned.value)


def _rule(params: Any) -> str:
    return str(params["rule"] if isinstance(params, dict) else params)


class Sum:
    """A job that is made of one for each number; the result is their sum, and how many of them failed."""

    name = "sum"

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        return None

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        calls = [{"function": "add", "arguments": {"number": number}} for number in params["numbers"]]
        return Plan(cost=Cost(0.001, 16 << 20, 0), children=tuple(ChildJob("part", "ask", call) for call in calls))

    def run(self, work: Work) -> Steps:
        parts = [child.result for child in work.children if child.succeeded]
        returned: Returned = yield Call(f"{HERE}:add_all", {"numbers": parts})
        return Done(result={"sum": returned.value, "failed": len(work.children) - len(parts)})


class Join:
    """One product of several texts, each of which a job of its own has put into capitals."""

    name = "join"

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        return None

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        children = tuple(ChildJob("text", "words", {}, (source,)) for source in inputs)
        return Plan((Product(output),), Cost(0.001, 16 << 20, 1000), children)

    def run(self, work: Work) -> Steps:
        made = f"{work.name}.txt"
        texts = [os.fsdecode(child.products[MAIN]) for child in work.children]
        yield Call(f"{HERE}:join_texts", {"texts": texts, "joined": os.fsdecode(work.path(made))})
        return Done(products=(Made(made),))


def join_texts(texts: list[str], joined: str) -> None:
    """What `Join` has called."""
    Path(joined).write_text("\n".join(Path(text).read_text() for text in texts))


def add(number: int) -> int:
    """What a child of `Sum` has called."""
    return number + 0


def add_all(numbers: list[int]) -> int:
    """What `Sum` has called itself."""
    return sum(numbers)


def note(log: str, text: str) -> None:
    """Append a line to a file."""
    with Path(log).open("a") as file:
        file.write(f"{text}\n")


def note_slowly(log: str, text: str) -> None:
    """Append a line to a file, which takes a while."""
    note(log, text)
    time.sleep(0.1)


def fail_first(marker: str) -> None:
    """Fail unless it was tried before."""
    if not Path(marker).exists():
        Path(marker).touch()
        raise ConnectionResetError(104, "Connection reset by peer")


class Reel:
    """Two products, one of them a folder: all that lies in them names the version asked for and the attempt.

    The params: `version`, a text, and `folder`, the role of the product that is a folder. No inputs.
    """

    name = "reel"

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        return None

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        names = {MAIN: output, "parts": output + b".parts"}
        products = tuple(Product(name, role, folder=role == params["folder"]) for role, name in names.items())
        return Plan(products, Cost(0.01, 16 << 20, 1 << 20))

    def run(self, work: Work) -> Steps:
        made = {product: Made(f"{work.name}.{product.role}", product.role) for product in work.products}
        paths = {os.fsdecode(work.path(one.temporary)): product.folder for product, one in made.items()}
        yield Call(f"{HERE}:make_reel", {"text": reel_text(work.params["version"], work.name), "paths": paths})
        return Done(products=tuple(made.values()))


def reel_text(version: str, attempt: str) -> str:
    """What every file of a `Reel` holds."""
    return f"{version} {attempt}\n" * 1000


def make_reel(text: str, paths: dict[str, bool]) -> None:
    """What `Reel` has called."""
    for path, folder in paths.items():
        file = Path(path)
        if folder:
            (file / "deep").mkdir(parents=True)
            (file / "one").write_text(text)
            file = file / "deep" / "two"
        file.write_text(text)


class Bad:
    """Breaks the rule that the params name, or their `rule`."""

    name = "bad"

    def inspect(self, inputs: tuple[Source, ...], params: Any, limits: InputLimits) -> Any:
        match _rule(params):
            case "raises in inspect":
                raise LookupError("this task is broken")
            case "exits in inspect":
                os._exit(3)
            case "never returns from inspect":
                time.sleep(3600)
            case "finds no JSON":
                return b"bytes"
        return None

    def plan(self, params: Any, inputs: tuple[Source, ...], found: Any, output: bytes) -> Plan:
        names = {
            "names a product with dots": output + b"/../../outside",
            "names a product by a whole path": b"/tmp/outside",
            "names a product of the state": b".pyprocessor/journal.sqlite3",
        }
        match _rule(params):
            case "raises in plan":
                raise LookupError("this task is broken")
            case "exits in plan":
                sys.exit(3)
            case "plans only once" if output in _PLANNED:
                raise LookupError("this task is broken")
            case "plans nothing":
                return None  # type: ignore[return-value]
            case "plans what is no product":
                return Plan(products=("film.mp4",))  # type: ignore[arg-type]
            case "plans children without JSON":
                return Plan(children=(ChildJob("part", "ask", b"bytes"),))
        _PLANNED.add(output)
        return Plan((Product(names.get(_rule(params), output)),))

    def run(self, work: Work) -> Any:
        if _rule(work.params) == "raises in run":
            raise LookupError("this task is broken")
        return None if _rule(work.params) == "yields nothing" else self._run(work)

    def _run(self, work: Work) -> Steps:
        yield Call(f"{HERE}:noop", last=False)
        match _rule(work.params):
            case "raises":
                raise LookupError("this task is broken")
            case "kills its worker":
                os._exit(3)
            case "never goes on":
                time.sleep(3600)
            case "exits":
                sys.exit(3)
            case "yields no step":
                yield "ffmpeg"  # type: ignore[misc]
            case "does not end":
                try:
                    yield "ffmpeg"  # type: ignore[misc]
                finally:
                    yield Call(f"{HERE}:noop")
            case "returns nothing":
                return None  # type: ignore[return-value]
            case "claims another's file":
                return Done(products=(Made("../journal.sqlite3"),))
            case "claims what it did not make":
                return Done(products=(Made(f"{work.name}.txt"),))
            case "claims a link":
                os.symlink("/etc/hostname", work.path(f"{work.name}.txt"))
                return Done(products=(Made(f"{work.name}.txt"),))
            case "claims what was not planned":
                Path(os.fsdecode(work.path(f"{work.name}.txt"))).touch()
                return Done(products=(Made(f"{work.name}.txt", "other"),))
            case "makes no main product":
                return Done()
            case "returns no JSON":
                return Done(result=b"bytes")
            case "returns too much":
                return Done(result="x" * 70_000)
        raise AssertionError(work.params)


# ---------------------------------------------------------------- functions that are called


def noop(**given: Any) -> Any:
    """Return what it is given."""
    return given or None


def say_pid(seconds: float = 0.0) -> int:
    """Return the pid of the process, after so long."""
    time.sleep(seconds)
    return os.getpid()


def burn(seconds: float) -> None:
    """Compute for so many CPU-seconds."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def wait_for(path: str) -> None:
    """Return once there is a file."""
    while not os.path.exists(path):
        time.sleep(0.02)


def see_lines(log: str, lines: int, seconds: float, first_fails: bool = False) -> None:
    """Return once the log has so many lines, or fail after so long; at once where it has one and `first_fails`."""
    until = time.monotonic() + seconds
    while (found := len(Path(log).read_text().split())) < lines:
        if (first_fails and found == 1) or time.monotonic() > until:
            raise ValueError(f"There are {found} lines.")
        time.sleep(0.02)


def fail(text: str, forgiven: bool = False) -> None:
    """Raise."""
    raise ValueError(text)


def refuse(kind: str) -> None:
    """Raise a failure that the task's author has classified."""
    raise JobError(FailureKind(kind), "The service is closed.")


def miss(path: str) -> None:
    """Read what is not there."""
    Path(path).read_text()


def lose_connection() -> None:
    """Fail as a call that talks to a server does."""
    raise ConnectionResetError(104, "Connection reset by peer")


def ask_nobody(port: int) -> None:
    """Fail as a library does that talks to a server which is not there, with errors over errors."""
    import urllib.request  # not for all the others, whose processes start for one short call

    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)
    except OSError as error:
        raise RuntimeError("the service has no answer") from error


def use(folder: str, text: str, backend: str) -> str:
    """Use a service: it answers unless its file in the folder says how many times it does not, and what it asks for.

    The file "log" gets a line for each use: when, of what, by whom, and whether it was answered.
    """
    said = Path(folder, backend)
    with Path(folder, "log").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        down = said.exists()
        log.write(f"{time.time()} {backend} {text} {'lost' if down else 'answered'}\n")
        if not down:
            return backend
        times, _, asked = said.read_text().partition(" ")
        if int(times) > 1:
            said.write_text(f"{int(times) - 1} {asked}")
        else:
            said.unlink()
    seconds = float(asked) if asked else None
    raise JobError(FailureKind.UNAVAILABLE, f"{backend} does not answer.", retry_after_seconds=seconds)


def break_off(number: int, path: str | None = None) -> None:
    """Fail with this error number, maybe of a file."""
    raise OSError(number, os.strerror(number), path)


def chatter(lines: int, closing: str) -> int:
    """Print much, on both streams."""
    for number in range(lines):
        print("line", number, file=sys.stderr if number % 2 else sys.stdout)
    print(closing)
    return lines


def fail_after(lines: int, closing: str) -> None:
    """Print much, then raise."""
    chatter(lines, closing)
    raise ValueError("enough")


def leave(code: int, hard: bool) -> None:
    """End the process."""
    if hard:
        os._exit(code)
    sys.exit(code)


def die(number: int) -> None:
    """Die of a signal."""
    os.kill(os.getpid(), number)


def fork(marker: str) -> int:
    """Fork; both processes return, and the new one first says that it is there."""
    pid = os.fork()
    if pid == 0:
        Path(marker).write_text(str(os.getpid()))
        return 0
    os.waitpid(pid, 0)
    return pid


def daemonize(marker: str, clean: bool) -> None:
    """Leave a process behind that has a session of its own, maybe without our environment, and writes its pid."""
    program = f"import os, pathlib, time; pathlib.Path({marker!r}).write_text(str(os.getpid())); time.sleep(3600)"
    subprocess.Popen(
        [sys.executable, "-c", program],
        start_new_session=True,
        env={} if clean else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not Path(marker).exists() or not Path(marker).read_text():
        time.sleep(0.01)


def leave_thread() -> int:
    """Leave a thread that Python waits for before it ends; the id of the process."""
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return os.getpid()


def litter(megabytes: int) -> None:
    """Leave so much behind, which Python frees only when it looks for it."""
    left: list[object] = [bytes(50_000) for _ in range(megabytes * 20)]
    left.append(left)


def grow(megabytes: int, seconds: float = 0.0) -> int:
    """Hold so much memory for so long."""
    held = bytearray(megabytes << 20)
    time.sleep(seconds)
    return len(held)


def swell(megabytes: int, megabytes_a_second: int) -> int:
    """Take more and more memory, at this rate, up to so much."""
    held = []
    for number in range(megabytes):
        held.append(bytearray(1 << 20))
        held[-1][::4096] = bytes([1]) * 256  # a page is taken when it is written to
        progress(number + 1, megabytes)
        time.sleep(1 / megabytes_a_second)
    return len(held)


def never(marker: str = "", deaf: bool = False) -> None:
    """Do not return, maybe ignore SIGTERM, once the marker is written."""
    if deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if marker:
        Path(marker).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


def babble(what: str) -> None:
    """Write to the pipe of the answers."""
    descriptor = int(sys.argv[2])
    os.write(
        descriptor, {"garbage": b"\x00\xffnothing\n", "endless": b"x" * 200_000, "stranger": b'{"id":"x"}\n'}[what]
    )
    time.sleep(3600)


def answer(what: str) -> Any:
    """Return what may not be returned."""
    return {"bytes": b"x", "nan": float("nan"), "large": "x" * 70_000, "coroutine": nap(0.0)}[what]


def count_to(number: int, marker: str) -> int:
    """Report progress until the marker is there."""
    done = 0
    while not Path(marker).exists():
        done = min(done + 1, number - 1)
        progress(done, number)
        time.sleep(0.01)
    return done


async def nap(seconds: float) -> int:
    """Wait, beside others in the same process; return its pid."""
    await asyncio.sleep(seconds)
    return os.getpid()


async def meet(folder: str, many: int, seconds: float) -> int:
    """Wait for so many in the folder, and for a file "go" beside it; fail after so long. Return the pid."""
    Path(folder, str(id(asyncio.current_task()))).touch()
    async with asyncio.timeout(seconds):
        while len(os.listdir(folder)) < many or not Path(folder).with_name("go").exists():
            progress(len(os.listdir(folder)), many)
            await asyncio.sleep(0.05)
    return os.getpid()


async def nap_or_die(marker: str, seconds: float, dies: bool) -> int:
    """Wait until a file is there; then end the process, or return its pid."""
    with Path(marker).open("a") as file:
        file.write("x")
    while len(Path(marker).read_text()) < 3:
        await asyncio.sleep(0.01)
    if dies:
        os._exit(7)
    await asyncio.sleep(seconds)
    return os.getpid()


async def block(seconds: float) -> None:
    """Keep the event loop from its work."""
    time.sleep(seconds)
