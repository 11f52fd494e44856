"""From `inventory.yaml` to an `Inventory`: YAML, schema and checks, and every problem with its line and a hint."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from auditor.errors import InventoryError
from auditor.inventory.checks import HOST_LIMIT, check
from auditor.inventory.entries import read, told, validated, without_value
from auditor.inventory.schema import Inventory, Origin
from auditor.inventory.yaml_lines import SIZE_LIMIT, Node, Problem
from auditor.text import RANGE_LIMIT, decode, expand_range, normal_name, range_size


def load(path: Path, *, now: datetime | None = None) -> Inventory:
    """The inventory in a file.

    `now` is what dates are compared with, by default the inventory's `collected_at`. Raises InventoryError with all
    problems at once, sorted by line, each `file:line: what (hint)`.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InventoryError([f"{path}: can't be read: {error.strerror or error}"]) from error
    return loads(content, str(path), now=now)


def loads(content: bytes, path: str = "inventory.yaml", *, now: datetime | None = None) -> Inventory:
    """As `load`, from bytes. `path` is what problems call the file."""
    root, inventory, problems = read(Inventory, content, "version: 1")
    if root is not None:
        unread: set[str] = set()
        if inventory is None:
            unread = _written_names(root)
            inventory = _sound_part(root, problems)
        if inventory is not None:
            problems += check(inventory, now, unread)
        lines = {problem.line for problem in problems}
        problems += [problem for problem in without_value(root) if problem.line not in lines]
    if problems or inventory is None or root is None:
        hint = "Correct these lines; `auditor inventory schema` prints what may stand where."
        raise InventoryError(told(path, problems), hint=hint)
    inventory._origin = Origin(path, tuple(decode(content).splitlines()), root)
    return inventory


def _sound_part(root: Node, problems: Iterable[Problem]) -> Inventory | None:
    """The inventory without the entries that are wrong, so that what the others contradict is told in the same run."""
    if not isinstance(root.value, dict):
        return None
    sound = Node({}, root.line, root.key_lines)
    values: dict[str, Node] = {}
    for key, child in root.value.items():
        if isinstance(child.value, list):
            values[key] = Node([item for item in child.value if _is_sound(key, item)], child.line)
        elif _is_sound_key(key, child):
            values[key] = child
    values.setdefault("version", Node(1, root.line))
    values = {key: child for key, child in values.items() if _is_known(key)}
    sound.value = values
    return validated(Inventory, sound)[0]


def _is_known(key: str) -> bool:
    return key in Inventory.model_fields


def _is_sound(key: str, item: Node) -> bool:
    try:
        Inventory.model_validate({"version": 1, key: [item.plain()]})
    except ValidationError:
        return False
    return True


def _is_sound_key(key: str, child: Node) -> bool:
    try:
        Inventory.model_validate({"version": 1, key: child.plain()})
    except ValidationError:
        return False
    return True


def _written_names(root: Node) -> set[str]:
    """Names of all hosts, networks and keys, also of those whose entries are wrong."""
    found: set[str] = set()
    for section in ("hosts", "networks", "keys"):
        entries = root.value.get(section) if isinstance(root.value, dict) else None
        for entry in entries.value if entries is not None and isinstance(entries.value, list) else []:
            for key in ("name", "names"):
                child = entry.value.get(key) if isinstance(entry.value, dict) else None
                for text in child.value if child is not None and isinstance(child.value, list) else [child]:
                    if text is None or not isinstance(text.value, str):
                        continue
                    found.add(text.value)
                    if section == "hosts" and range_size(text.value) <= RANGE_LIMIT and len(found) < HOST_LIMIT:
                        found.update(expand_range(normal_name(text.value)))
    return found | {name.split(".", 1)[0] for name in found}
