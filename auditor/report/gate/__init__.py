"""The gate's answer in each format: pure functions of a GateReport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from auditor.change import GateReport
from auditor.errors import UsageError

FORMATS: Final = ("text", "json", "markdown", "sarif", "github", "gitlab", "junit")
"""What `render` can write: `github` are workflow commands (annotations), `gitlab` is a code quality report."""


def render(report: GateReport, format: str, *, help_of: Mapping[str, str], color: bool = False, width: int = 80) -> str:
    """A gate's answer in one of FORMATS. `help_of` is the documentation of rules, as Markdown, for SARIF.

    Raises UsageError for a format that there is not.
    """
    if format == "text":
        from auditor.report.gate.text import render_text

        return render_text(report, color=color, width=width)
    if format == "markdown":
        from auditor.report.gate.markdown import render_markdown

        return render_markdown(report)
    if format == "sarif":
        from auditor.report.gate.sarif import render_sarif

        return render_sarif(report, help_of)
    if format == "json":
        from auditor.report.gate.machines import render_json

        return render_json(report)
    if format == "github":
        from auditor.report.gate.machines import render_github

        return render_github(report)
    if format == "gitlab":
        from auditor.report.gate.machines import render_gitlab

        return render_gitlab(report)
    if format == "junit":
        from auditor.report.gate.machines import render_junit

        return render_junit(report)
    raise UsageError(f"there is no format {format!r}", hint=f"one of {', '.join(FORMATS)}")
