"""Two states of an estate against each other, in each format: pure functions of a Diff."""

from __future__ import annotations

from typing import Final

from auditor.difference import Diff
from auditor.errors import UsageError

FORMATS: Final = ("text", "json", "markdown")
"""What `render` can write."""


def render(diff: Diff, format: str, *, color: bool = False, width: int = 80) -> str:
    """A difference in one of FORMATS. `color` and `width` (in columns) matter to text alone.

    Raises UsageError for a format that there is not.
    """
    if format == "text":
        from auditor.report.diff.text import render_text

        return render_text(diff, color=color, width=width)
    if format == "json":
        from auditor.report.diff.json_v1 import render_json

        return render_json(diff)
    if format == "markdown":
        from auditor.report.diff.markdown import render_markdown

        return render_markdown(diff)
    raise UsageError(f"there is no format {format!r}", hint=f"one of {', '.join(FORMATS)}")
