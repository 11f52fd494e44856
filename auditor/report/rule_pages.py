"""The pages of docs/rules/: one for each rule, from its own docstring, and an index. Pure: names and texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from auditor.model import Area
from auditor.report.explain import in_brief, sections

if TYPE_CHECKING:
    from auditor.api import Rule

INDEX: Final = "README.md"

_INTRODUCTION: Final = """\
# Rules

Made from the rules by `make docs`. `auditor explain RULE` prints one of these pages. Only findings of severity *block*
block; what a rule needed and nobody captured makes the verdict INCOMPLETE.
"""


def rule_pages(rules: Iterable[Rule | type[Rule]]) -> dict[str, str]:
    """The files of docs/rules/ by their names."""
    known = list(rules)
    return {INDEX: render_index(known), **{f"{rule.id}.md": render_page(rule) for rule in known}}


def render_index(rules: Iterable[Rule | type[Rule]]) -> str:
    """All rules by area, each with a link to its page."""
    known = sorted(rules, key=lambda rule: rule.id)
    lines = [_INTRODUCTION]
    for area in Area:
        of_area = [rule for rule in known if rule.area is area]
        if of_area:
            lines += [f"## {area.value.capitalize()}", "", "| rule | severity | what it finds |", "|---|---|---|"]
            lines += [
                f"| [{rule.id}]({rule.id}.md) | {rule.severity.value} | {_cell(sections(rule.__doc__)[0])} |"
                for rule in of_area
            ]
            lines.append("")
    return "\n".join(lines)


def render_page(rule: Rule | type[Rule]) -> str:
    """One rule as Markdown."""
    lead, found = sections(rule.__doc__)
    lines = [
        f"# {rule.id}",
        "",
        f"**{rule.title}.** {in_brief(rule).capitalize()}",
        "",
        lead,
    ]
    for heading, text in found.items():
        lines += ["", f"## {heading}", "", text]
    if settings := [one.described() for one in rule.settings()]:
        lines += ["", "## What a policy can set", "", "| setting | default | it is |", "|---|---|---|"]
        lines += [f"| `{one['setting']}` | `{one['default']}` | {_cell(one['documentation'])} |" for one in settings]
    if rule.needs:
        needs = ", ".join(f"`{relation.value}`" for relation in sorted(rule.needs))
        lines += ["", "## What it needs to see", "", f"{needs}: where nobody looked, the verdict is INCOMPLETE."]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
