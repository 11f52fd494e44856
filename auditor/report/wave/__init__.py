"""A migration wave in each format: pure functions of a Wave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from auditor.errors import UsageError
from auditor.wave import Wave

FORMATS: Final = ("text", "json", "markdown")


def render(waves: Sequence[Wave], format: str, *, color: bool = False, width: int = 80) -> str:
    """Waves in one of FORMATS. `color` and `width` (in columns) matter to text alone. Raises UsageError."""
    if format == "text":
        from auditor.report.wave.text import render_text

        return render_text(waves, color=color, width=width)
    if format == "json":
        from auditor.report.wave.json_v1 import render_json

        return render_json(waves)
    if format == "markdown":
        from auditor.report.wave.markdown import render_markdown

        return render_markdown(waves)
    raise UsageError(f"there is no format {format!r}", hint=f"one of {', '.join(FORMATS)}")
