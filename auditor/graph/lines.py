"""Lines of configuration, for what is known by where it stands: how far they are indented, and which are too long."""

from __future__ import annotations

from typing import Final

LONGEST: Final = 4096
"""Characters of a line that is still looked at; nobody wrote a longer one by hand."""


def indent_of(line: str) -> int:
    """Columns before the text of a line; -1 for an empty one."""
    return len(line) - len(line.lstrip()) if line.strip() else -1
