"""When each source of an estate was last captured, for whoever must know whether an answer is still worth something."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from auditor.capture.tree import INVENTORY, Tree

_GROUPED: Final = frozenset({"hosts", "services", "dns", "lookups", "tls", "aws", "webhooks"})
"""Directories of an estate that hold one source each in what is below them."""
_SUFFIXES: Final = (".jsonl", ".zone", ".json")


@dataclass(frozen=True, slots=True)
class SourceAge:
    """A source, and the oldest time at which something was captured from it; None if nothing says when.

    `kind` is the estate's directory (`hosts`, `services`, `aws`), `name` what stands below it: a host, or a range of
    hosts that are alike.
    """

    kind: str
    name: str
    collected_at: datetime | None


def source_ages(tree: Tree) -> tuple[SourceAge, ...]:
    """The sources of an estate that was read, in order of kind and name."""
    oldest: dict[tuple[str, str], datetime | None] = {("hosts", host): None for host in tree.sources}
    for path in tree.captures:
        if path == INVENTORY:
            continue
        key = _source_of(path)
        when = tree.time_of(path)
        known = oldest.get(key)
        oldest[key] = when if known is None else known if when is None else min(known, when)
    for key in [key for key, when in oldest.items() if when is None]:
        # A hand-made estate states its time once, for all.
        oldest[key] = tree.collected_at
    return tuple(SourceAge(kind, name, oldest[kind, name]) for kind, name in sorted(oldest))


def _source_of(path: str) -> tuple[str, str]:
    first, _, rest = path.partition("/")
    if first not in _GROUPED or not rest:
        return "files", first
    name = rest.split("/", 1)[0]
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return first, name
