"""`pyprocessor tasks`: which kinds of work are there, and what does each take?"""

from __future__ import annotations

import json
import shutil
from typing import Any

import click

from pyprocessor.cli.session import Session, print_result
from pyprocessor.errors import UsageError
from pyprocessor.models.wording import one_line
from pyprocessor.report.wording import aligned, grid
from pyprocessor.tasks.params import Param, params_of
from pyprocessor.tasks.registry import extras, names, offered, origin, task

VERSION = 1
LEAST_WIDTH = 40

_json = click.option("--json", "as_json", is_flag=True, help="As one JSON document.")


@click.group(invoke_without_command=True)
@click.pass_context
def tasks(ctx: click.Context) -> None:
    """List the kinds of work that jobs can be of, or show what one takes."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@tasks.command("list")
@_json
@click.pass_obj
def list_tasks(session: Session, as_json: bool) -> None:
    """List all tasks: name, what it does, and what is missing for it."""
    entries = [_entry(name) for name in names()]
    if as_json:
        session.answered = True
        print_result(json.dumps({"version": VERSION, "tasks": entries}, indent=2) + "\n")
        return
    lines = aligned([(entry["name"], _summed_up(entry)) for entry in entries], _columns())
    print_result("".join(f"{line}\n" for line in lines))


@tasks.command()
@click.argument("name")
@_json
@click.pass_obj
def show(session: Session, name: str, as_json: bool) -> None:
    """Show one task: where it is from, its inputs, and its params with types and defaults."""
    if name not in names():
        offered(name)  # raises a sentence
    entry = _entry(name)
    if as_json:
        session.answered = True
        print_result(json.dumps({"version": VERSION, **entry}, indent=2) + "\n")
        return
    rows = [("Task", name), ("What it does", entry["summary"] or "it does not say")]
    rows += [("From", entry["from"]), ("Inputs", entry["inputs"])]
    rows += [("Extra", _extra(extra, there=there)) for extra, there in entry["extras"].items()]
    rows += [("Trouble", entry["trouble"])] if entry["trouble"] else []
    lines = aligned(rows, _columns())
    if entry["params"] is None:
        lines += ["", "It does not say which params it takes."]
    elif entry["params"]:
        table = [(param["name"], param["type"], _default(param)) for param in entry["params"]]
        lines += ["", *grid(("param", "type", "default"), table)]
    else:
        lines += ["", "It takes no params."]
    print_result("".join(f"{line}\n" for line in lines))


def _entry(name: str) -> dict[str, Any]:
    """What is known of a task, as JSON; of one that cannot be loaded, why."""
    entry: dict[str, Any] = {"name": name, "summary": "", "from": origin(name), "inputs": "", "params": None}
    entry |= {"extras": extras(name), "trouble": ""}
    try:
        found: Any = task(name)
    except UsageError as error:
        return entry | {"trouble": one_line(str(error))}
    entry |= {"summary": getattr(found, "summary", ""), "inputs": _inputs(getattr(found, "inputs", (0, None)))}
    takes = getattr(found, "takes", None)
    return entry if takes is None else entry | {"params": [_param(param) for param in params_of(takes)]}


def _param(param: Param) -> dict[str, Any]:
    about: dict[str, Any] = {"name": param.name, "type": param.type, "required": param.required}
    return about if param.required else about | {"default": param.default}


def _inputs(least_and_most: tuple[int, int | None]) -> str:
    least, most = least_and_most
    if most is None:
        return f"{least} or more" if least else "any number"
    return (str(least) if least else "none") if least == most else f"{least} to {most}"


def _summed_up(entry: dict[str, Any]) -> str:
    missing = [extra for extra, there in entry["extras"].items() if not there]
    parts = [entry["summary"] or entry["trouble"]]
    parts += [f"of the package {entry['from']}"] if entry["from"] != "pyprocessor" else []
    parts += [f"not installed: {', '.join(missing)}"] if missing else []
    return "; ".join(part for part in parts if part)


def _extra(extra: str, *, there: bool) -> str:
    return f"{extra}: installed" if there else f"{extra}: not installed; pip install 'pyprocessor[{extra}]'"


def _default(param: dict[str, Any]) -> str:
    return "required" if param["required"] else json.dumps(param["default"], ensure_ascii=False)


def _columns() -> int:
    return max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns)
