"""The profile that counts where no other is given. A test holds it to the schema, so that no run has to load that."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from auditor.inventory.yaml_lines import read_yaml
from auditor.model import Area, ChecklistArea, ManualItem, Phase, Profile

BUILT_IN: Final = Path(__file__).parent / "built_in_profile.yaml"


@cache
def built_in() -> Profile:
    """The built-in profile."""
    content = BUILT_IN.read_bytes()
    root, problems = read_yaml(content)
    if root is None or problems:
        raise ValueError(f"{BUILT_IN} is damaged: {problems}")
    document = root.plain()
    return Profile(document["name"], tuple(_area(one) for one in document["areas"]), sha256(content).hexdigest())


def _area(one: Mapping[str, Any]) -> ChecklistArea:
    return ChecklistArea(
        one["id"],
        one["title"],
        covers=tuple(Area(area) for area in one.get("covers", ())),
        rules=tuple(one.get("rules", ())),
        owner=one.get("owner", ""),
        items=tuple(_item(item) for item in one.get("items", ())),
        must_see=one.get("must_see", False),
    )


def _item(one: Mapping[str, Any]) -> ManualItem:
    when = Phase(one.get("when", Phase.BEFORE))
    return ManualItem(one["id"], one["text"], one["who"], one.get("evidence", ""), when)
