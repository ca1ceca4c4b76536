"""What does a job leave behind under a name of its own?"""

from __future__ import annotations

from dataclasses import dataclass

MAIN = "main"
"""The role of the product that the job is named after, and that is placed last."""


@dataclass(frozen=True, slots=True)
class Product:
    """A file or folder by its name below the output root; `role` tells a job's products apart."""

    name: bytes
    role: str = MAIN
    folder: bool = False
