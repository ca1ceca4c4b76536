"""The examples, the documentation and the JSON Schema say what the code does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from pyprocessor import profiles
from pyprocessor.models.encoders import CONTAINERS
from pyprocessor.profiles.overrides import SHORT_VARIABLES, Overrides
from pyprocessor.profiles.schema import FLAT_SECTIONS, SECTIONS, FlatProfile, ProfileFile

DOCS = Path(__file__).parents[2] / "docs"
OF_JOBS = "pipeline.yaml"
EXAMPLES = sorted(
    path
    for path in (DOCS / "examples").iterdir()
    if path.suffix in (".json", ".jsonc", ".yaml") and path.name != OF_JOBS
)


def test_there_are_examples_of_every_form() -> None:
    """JSON with comments, YAML and the flat form are each shown."""
    assert {"film-library.yaml", "web-clips.jsonc", "older-flat.json", "limits.yaml"} <= {p.name for p in EXAMPLES}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid(example: Path) -> None:
    """Every profile among the examples loads; only the flat one has keys without effect."""
    notices = profiles.validate(str(example))
    assert bool(notices) == (example.name == "older-flat.json")


def test_the_documentation_names_every_key() -> None:
    """No key, container, variable, option or built-in profile is missing from docs/profiles.md."""
    text = (DOCS / "profiles.md").read_text()
    words = {*ProfileFile.keys, *CONTAINERS, *profiles.builtin_names()}
    for model in (FlatProfile, *SECTIONS.values(), *FLAT_SECTIONS.values()):
        words |= set(model.keys)
    words |= {f"PYPROCESSOR_{name}" for name in SHORT_VARIABLES}
    words |= {each.metadata["option"] for each in fields(Overrides)}
    assert sorted(word for word in words if f"`{word}`" not in text) == []


def test_schema_describes_every_key_and_is_closed() -> None:
    """Each key of both forms has a description, and unknown keys are refused by editors, too."""
    schema = profiles.json_schema()
    json.dumps(schema)
    definitions: dict[str, Any] = schema["$defs"]
    tables = {"ProfileFile": ProfileFile, "FlatProfile": FlatProfile}
    tables |= {name.title().replace("_", ""): table for name, table in (SECTIONS | FLAT_SECTIONS).items()}
    assert set(tables) == set(definitions)
    for name, table in tables.items():
        described = definitions[name]
        assert described["additionalProperties"] is False
        assert set(described["properties"]) == set(table.keys)
        assert all(part["description"] for part in described["properties"].values())
    percent = definitions["BatchProcessing"]["properties"]["max_memory_percent"]
    assert percent["default"] == 80
    assert {"type": "number", "minimum": 1, "maximum": 100} in percent["anyOf"]
    assert {"type": "boolean"} in definitions["ProfileFile"]["properties"]["video"]["anyOf"]


def test_the_cli_module_imports_nothing_heavy() -> None:
    """`pyprocessor profiles --help` needs no YAML."""
    code = "import sys, pyprocessor.cli.profiles; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
