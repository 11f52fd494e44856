"""JSON Lines: an object a line, each with where it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from auditor.model import Malformed, Where
from auditor.text import decode, excerpt


def read_json_lines(content: bytes, limit: int) -> Iterator[tuple[Where, dict[str, Any]] | Malformed]:
    """The objects of a file, one a line, of so many lines at most; in place of a line that is none, what is wrong."""
    # Not by splitlines: a string may hold what ends lines elsewhere, such as U+2028.
    for number, line in enumerate(decode(content).split("\n"), 1):
        if not line.strip():
            continue
        if number > limit:
            yield Malformed(Where(number), f"more than {limit} lines", "the rest is not read")
            return
        where = Where(number, excerpt(line))
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            yield Malformed(where, "not JSON", "the line is left out")
            continue
        yield (where, entry) if isinstance(entry, dict) else Malformed(where, "not a mapping", "the line is left out")
