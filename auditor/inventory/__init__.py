"""The inventory: `inventory.yaml`, which declares what is known of an estate beforehand.

Light to import: pydantic and YAML are loaded when an inventory is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from auditor.inventory.schema import Inventory

__all__ = ["inventory_json_schema", "load_inventory", "starter"]


def load_inventory(path: Path, *, now: datetime | None = None) -> Inventory:
    """The inventory in a file of at most 16 MiB.

    `now` (aware) is what dates are compared with, by default the inventory's own `collected_at`. Raises InventoryError
    with all problems at once, each `file:line: what (hint)`.
    """
    from auditor.inventory.loading import load

    return load(path, now=now)


def inventory_json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `inventory.yaml`, for editors."""
    from auditor.inventory.schema import json_schema

    return json_schema()


def starter() -> str:
    """A commented `inventory.yaml` to start from, itself valid."""
    from auditor.inventory.starter_text import STARTER

    return STARTER
