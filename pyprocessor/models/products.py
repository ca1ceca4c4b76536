"""What does a job leave: files and folders with names below the output root?"""

from __future__ import annotations

from dataclasses import dataclass

MAIN = "main"
"""The role of the product that the job is named after, and that is placed last."""


@dataclass(frozen=True, slots=True)
class Product:
    """One file, or one folder with what it holds; `name` is below the output root."""

    name: bytes
    role: str = MAIN
    folder: bool = False
