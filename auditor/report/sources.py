"""What `auditor sources` prints: every collector from its own docstring, as text, JSON or the page in docs/."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypedDict

from auditor.errors import UsageError
from auditor.model import Area
from auditor.report.explain import sections
from auditor.report.layout import Page

if TYPE_CHECKING:
    from auditor.api import Collector

HEADINGS: Final = ("Reads", "Yields", "Can't see")
"""The sections of a collector's docstring, in their order."""

_INTRODUCTION: Final = """\
# What the auditor reads

Made from the collectors by `auditor sources --format markdown`. Whatever none of them claims is still searched for
names and addresses of hosts.
"""


class SourceDocumentation(TypedDict):
    """A collector as `auditor sources --format json` lists it."""

    name: str
    title: str
    area: str
    provides: list[str]
    documentation: dict[str, str]


def render_sources(
    collectors: Iterable[Collector | type[Collector]], format: str = "text", *, color: bool = False, width: int = 80
) -> str:
    """All collectors by area. Raises UsageError for a format other than text, json and markdown."""
    ranks = {area: rank for rank, area in enumerate(Area)}
    known = sorted(collectors, key=lambda one: (ranks[one.area], one.name))
    if format == "json":
        return json.dumps({"version": 1, "sources": [_documentation(one) for one in known]}, indent=2) + "\n"
    if format == "markdown":
        return _markdown(known)
    if format != "text":
        raise UsageError(f"there is no format {format!r} here", hint="text, json or markdown")
    page = Page(color=color, width=width)
    for area in Area:
        of_area = [one for one in known if one.area is area]
        if of_area:
            page.gap()
            page.line(page.paint(area.value.upper(), "bold"))
        for one in of_area:
            page.hang(f"  {one.name}: ", one.title)
            _, found = sections(one.__doc__, HEADINGS)
            if "Reads" in found:
                page.hang("      ", " ".join(found["Reads"].split()), style="dim")
    return page.text()


def _markdown(known: list[Collector | type[Collector]]) -> str:
    lines = [_INTRODUCTION]
    for area in Area:
        of_area = [one for one in known if one.area is area]
        if of_area:
            lines += [
                f"## {area.value.capitalize()}",
                "",
                "| source | reads | yields | can't see |",
                "|---|---|---|---|",
            ]
            lines += [_row(one) for one in of_area]
            lines.append("")
    return "\n".join(lines)


def _row(collector: Collector | type[Collector]) -> str:
    lead, found = sections(collector.__doc__, HEADINGS)
    cells = [f"**{collector.title}** (`{collector.name}`). {lead}", *(found.get(heading, "") for heading in HEADINGS)]
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


def _documentation(collector: Collector | type[Collector]) -> SourceDocumentation:
    lead, found = sections(collector.__doc__, HEADINGS)
    return {
        "name": collector.name,
        "title": collector.title,
        "area": collector.area.value,
        "provides": sorted(relation.value for relation in collector.provides),
        "documentation": {"Summary": lead, **found},
    }
