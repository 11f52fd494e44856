"""What `auditor rules` and `auditor explain RULE` print: rules from their own docstrings, as text or JSON."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TypedDict

from auditor.errors import UsageError
from auditor.model import Area, Phase, Severity
from auditor.report.layout import Page, clean, columns, number, pad, wrap
from auditor.report.summary import RELATION_HINT, SEVERITY_SYMBOL

if TYPE_CHECKING:
    from auditor.api import Rule
    from auditor.settings import SettingDocumentation

SECTIONS: Final = ("What it does", "Why it matters", "Example", "What to do", "What it can't see")
"""The headings of a rule's docstring, in their order."""

_UNDERLINE: Final = re.compile(r"^[-=~^]{3,}$")
_STYLE: Final = {Severity.BLOCK: "bad", Severity.WARN: "warn", Severity.INFO: "dim"}


class RuleDocumentation(TypedDict):
    """A rule as `auditor rules --format json` lists it. `documentation` maps each heading to its text."""

    rule: str
    title: str
    family: str
    area: str
    severity: str
    confidence: str
    since: str
    phases: list[str]
    needs: list[str]
    settings: list[SettingDocumentation]
    documentation: dict[str, str]


def sections(docstring: str | None, headings: Sequence[str] = SECTIONS) -> tuple[str, dict[str, str]]:
    """The lead and the sections of a docstring; a rule's, unless other headings are given.

    A heading stands on a line of its own: plain, with a colon, underlined, or as a Markdown heading. Text may also
    follow the colon on the same line. Sections that are missing are missing in the result.
    """
    known = {heading.lower(): heading for heading in headings}
    pattern = re.compile(rf"^(?:#+ *)?(?P<heading>{'|'.join(headings)}) *(?::(?: +(?P<rest>\S.*))?)?$", re.IGNORECASE)
    lead: list[str] = []
    found: dict[str, list[str]] = {}
    current = lead
    for line in inspect.cleandoc(docstring or "").splitlines():
        if heading := pattern.match(line):
            current = found.setdefault(known[heading["heading"].lower()], [])
            if heading["rest"]:
                current.append(heading["rest"])
        elif not (_UNDERLINE.match(line) and current is not lead and not current):
            current.append(line)
    return _block(lead), {heading: _block(found[heading]) for heading in headings if heading in found}


def _block(lines: list[str]) -> str:
    return inspect.cleandoc("\n" + "\n".join(lines)).strip("\n")


def render_rule(rule: Rule | type[Rule], format: str = "text", *, color: bool = False, width: int = 80) -> str:
    """One rule with its documentation. Raises UsageError for a format other than text and json."""
    if format == "json":
        return json.dumps(_documentation(rule), indent=2) + "\n"
    _only_text(format)
    page = Page(color=color, width=width)
    symbol = SEVERITY_SYMBOL[rule.severity]
    page.hang(f"{symbol} ", f"{rule.id}: {rule.title}", label=_STYLE[rule.severity], style="bold")
    needs = ", ".join(sorted(relation.value for relation in rule.needs))
    page.hang("  ", in_brief(rule), style="dim")
    lead, found = sections(rule.__doc__)
    if lead:
        page.gap()
        _text(page, "", lead)
    for heading, text in found.items():
        page.gap()
        page.line(page.paint(heading, "bold"))
        _text(page, "  ", text)
    if needs:
        page.gap()
        page.line(page.paint("What it needs to see", "bold"))
        for relation in sorted(rule.needs):
            page.hang(f"  {relation.value}: ", RELATION_HINT[relation])
    if settings := [one.described() for one in rule.settings()]:
        page.gap()
        page.line(page.paint("What a policy can set", "bold"))
        for one in settings:
            page.hang(f"  {one['setting']}: ", f"{one['documentation']}; {one['default']} unless it is set")
    return page.text()


def family_of(rule: Rule | type[Rule]) -> str:
    """The package that a rule is in: `renewal` of `rules.renewal.hook`."""
    kind = rule if isinstance(rule, type) else type(rule)
    return kind.__module__.rpartition(".")[0].rpartition(".")[2]


def in_brief(rule: Rule | type[Rule]) -> str:
    """`area renewal · severity warn · confidence high · since 0.2.0`: what a rule's page begins with."""
    confidence = f"confidence {rule.confidence.value}"
    said = f"area {rule.area.value} · severity {rule.severity.value} · {confidence} · since {rule.since}"
    if Phase.AFTER not in rule.phases:
        return said
    return f"{said} · {'also ' if Phase.BEFORE in rule.phases else ''}asked with --after"


def rule_markdown(rule: Rule | type[Rule]) -> str:
    """A rule's documentation as Markdown, with its title as heading."""
    lead, found = sections(rule.__doc__)
    parts = [f"# {rule.title}", *([lead] if lead else [])]
    parts += [f"## {heading}\n\n{text}" for heading, text in found.items()]
    return "\n\n".join(parts) + "\n"


def _text(page: Page, indent: str, text: str) -> None:
    """Paragraphs and lists wrapped, indented lines and fenced blocks as they are."""
    paragraph: list[str] = []
    fenced = False

    def flush() -> None:
        if paragraph:
            page.hang(indent, " ".join(paragraph))
            paragraph.clear()

    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            flush()
            fenced = not fenced
        elif fenced or line.startswith(("    ", "\t")):
            flush()
            page.line(f"{indent}{'    ' if fenced else ''}{clean(line)}")
        elif not line.strip():
            flush()
            page.gap()
        elif item := re.match(r"(?:[-*]|\d+\.) +", line):
            flush()
            page.hang(indent + item[0], line[item.end() :])
        else:
            paragraph.append(line.strip())
    flush()


def render_rules(
    rules: Iterable[Rule | type[Rule]], format: str = "text", *, color: bool = False, width: int = 80
) -> str:
    """All rules by area: a table, or JSON with the documentation. Raises UsageError for any other format."""
    ranks = {area: rank for rank, area in enumerate(Area)}
    known = sorted(rules, key=lambda rule: (ranks[rule.area], rule.id))
    if format == "json":
        return json.dumps({"version": 1, "rules": [_documentation(rule) for rule in known]}, indent=2) + "\n"
    _only_text(format)
    page = Page(color=color, width=width)
    room = max((columns(rule.id) for rule in known), default=0)
    for area in Area:
        of_area = [rule for rule in known if rule.area is area]
        if not of_area:
            continue
        page.gap()
        page.line(f"{page.paint(area.value.upper(), 'bold')} {page.paint(number(len(of_area), 'rule'), 'dim')}")
        for rule in of_area:
            symbol = page.paint(SEVERITY_SYMBOL[rule.severity], _STYLE[rule.severity])
            head = f"{rule.severity.value:<5} {pad(rule.id, room)}"
            beside = columns(head) + 4 + columns(rule.title) <= page.width
            page.line(f"{symbol} {head}  {rule.title}" if beside else f"{symbol} {head}")
            for line in () if beside else wrap(rule.title, page.width - 8):
                page.line(f"        {line}")
    page.gap()
    page.hang("", "block: blocks · warn, info: do not · auditor explain RULE tells more of each", style="dim")
    return page.text()


def _documentation(rule: Rule | type[Rule]) -> RuleDocumentation:
    lead, found = sections(rule.__doc__)
    return {
        "rule": rule.id,
        "title": rule.title,
        "family": family_of(rule),
        "area": rule.area.value,
        "severity": rule.severity.value,
        "confidence": rule.confidence.value,
        "since": rule.since,
        "phases": sorted(phase.value for phase in rule.phases),
        "needs": sorted(relation.value for relation in rule.needs),
        "settings": [one.described() for one in rule.settings()],
        "documentation": {"Summary": lead, **found} if lead else found,
    }


def _only_text(format: str) -> None:
    if format != "text":
        raise UsageError(f"there is no format {format!r} here", hint="text or json")
