"""What `auditor why CONSUMER HOST` prints: the path between them, step by step, each with its evidence."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple, TypedDict

from auditor.errors import UsageError
from auditor.model import Relation, Step
from auditor.phrases import checklist_command, listed
from auditor.report.json_v1 import StepJson, step_json
from auditor.report.layout import Page, clean, cut, number, place

OTHERS: Final = 5


class Other(NamedTuple):
    """Something else that is called as was asked, and whether it depends on the host."""

    called: str
    depends: bool


class OtherJson(TypedDict):
    """One of `others`."""

    consumer: str
    depends: bool


class WhyJson(TypedDict):
    """The answer as JSON: `path` is empty if no dependency was found. `others` are what else is called so."""

    version: int
    consumer: str
    host: str
    depends: bool
    path: list[StepJson]
    others: list[OtherJson]


def render_why(
    consumer: str,
    host: str,
    path: Sequence[Step],
    format: str = "text",
    *,
    estate: str = "",
    others: Sequence[Other] = (),
    color: bool = False,
    width: int = 80,
) -> str:
    """A path from `consumer` to `host`, one step after the other; an empty path is "no dependency found".

    `estate` is the one that was asked, as people call it. `others` are what else is called as was asked.

    Raises UsageError for a format other than text and json.
    """
    if format == "json":
        answer: WhyJson = {
            "version": 1,
            "consumer": consumer,
            "host": host,
            "depends": bool(path),
            "path": [step_json(step) for step in path],
            "others": [{"consumer": one.called, "depends": one.depends} for one in others],
        }
        return json.dumps(answer, indent=2) + "\n"
    if format != "text":
        raise UsageError(f"there is no format {format!r} here", hint="text or json")
    page = Page(color=color, width=width)
    if not path:
        page.hang("", f"{clean(consumer)} does not depend on {clean(host)} as far as the estate shows.", style="bold")
        _others(page, others)
        page.hang("", "See what was looked at with: " + clean(checklist_command(host, estate)), style="dim")
        return page.text()
    if all(step.relation == Relation.MENTIONS for step in path):
        page.hang("", f"{clean(consumer)} names {clean(host)}; what reads it is not known:", style="bold")
    else:
        page.hang("", f"{clean(consumer)} depends on {clean(host)}, in {number(len(path), 'step')}:", style="bold")
    page.gap()
    page.hang("   ", clean(path[0].consumer))
    for position, step in enumerate(path, 1):
        if position > 1 and step.consumer != path[position - 2].provider:
            page.hang("   ", clean(step.consumer))
        note = f" ({clean(step.note)})" if step.note else ""
        relation = clean(step.relation).replace("-", " ")
        prefix = f"{position:>2} {relation} → "
        page.hang(prefix, f"{clean(step.provider)}{note}", label="dim")
        _evidence(page, step, host)
    if others:
        page.gap()
        _others(page, others)
    return page.text()


def _others(page: Page, others: Sequence[Other]) -> None:
    """What else is called so: a path is of one of them only."""
    for depends, said in ((True, "It is needed by these, too"), (False, "Called so as well, without a path to it")):
        names = [clean(one.called) for one in others if one.depends is depends]
        if names:
            page.hang("", f"{said}: {listed(list(dict.fromkeys(names)), OTHERS)}")


def _evidence(page: Page, step: Step, host: str) -> None:
    indent = " " * 5
    if step.evidence is None:
        page.hang(indent, "follows from the steps around it", style="dim")
        return
    page.hang(indent, place(step.evidence), unbroken=True)
    if quoted := clean(step.evidence.excerpt).strip():
        words = (step.provider, host, host.split(".")[0])
        page.line(f"{indent}  {page.paint(cut(quoted, page.width - len(indent) - 2, words), 'dim')}")
