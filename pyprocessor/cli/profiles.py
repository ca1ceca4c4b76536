"""`pyprocessor profiles`: which profiles are there, what is in one, and is a file a valid one?"""

from __future__ import annotations

import json

import click

# The profiles package brings PyYAML, so each command imports it only when it runs.


@click.group(invoke_without_command=True)
@click.pass_context
def profiles(ctx: click.Context) -> None:
    """List, show and check profiles."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@profiles.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of lines.")
def list_profiles(as_json: bool) -> None:
    """List the built-in profiles."""
    from pyprocessor.profiles import builtin_names, describe

    described = [(name, describe(name)) for name in builtin_names()]
    if as_json:
        click.echo(json.dumps([{"name": name, "description": text} for name, text in described], indent=2))
        return
    width = max(len(name) for name, _ in described)
    for name, text in described:
        click.echo(f"{name:<{width}}  {text}")


@profiles.command("show")
@click.argument("name", metavar="NAME|FILE")
def show_profile(name: str) -> None:
    """Print a profile as YAML, with every default filled in."""
    from pyprocessor.profiles import show

    click.echo(show(name), nl=False)


@profiles.command("validate", short_help="Check a profile file and list every error in it.")
@click.argument("file", metavar="FILE")
def validate_profile(file: str) -> None:
    """Check a profile file; exit code 2 and every error in it where it cannot be used."""
    from pyprocessor.profiles import validate

    notices = validate(file)
    for notice in notices:
        click.echo(f"Notice: {notice}")
    click.echo(f"{click.format_filename(file)} is valid.")


@profiles.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of profile files, for editors."""
    from pyprocessor.profiles import json_schema

    click.echo(json.dumps(json_schema(), indent=2))
