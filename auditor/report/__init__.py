"""Reports as text: pure functions of a report. Nothing here filters, reads files or asks the clock."""

from __future__ import annotations

from typing import Final

from auditor.errors import UsageError
from auditor.model import Report

FORMATS: Final = ("text", "json", "markdown")
"""What `render` can write."""


def render(report: Report, format: str, *, color: bool = False, width: int = 80) -> str:
    """A report in one of FORMATS. `color` and `width` (in columns) matter to text alone.

    Raises UsageError for a format that there is not.
    """
    if format == "text":
        from auditor.report.text import render_text

        return render_text(report, color=color, width=width)
    if format == "json":
        from auditor.report.json_v1 import render_json

        return render_json(report)
    if format == "markdown":
        from auditor.report.markdown import render_markdown

        return render_markdown(report)
    raise UsageError(f"there is no format {format!r}", hint=f"one of {', '.join(FORMATS)}")
