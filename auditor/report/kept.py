"""A kept run for people and machines: what is open, answered and signed off. Pure: a state in, text out."""

from __future__ import annotations

import json
from typing import Any

from auditor.model import Answered
from auditor.phrases import parse_time
from auditor.policy.chain import Chain, Record
from auditor.policy.kept import AreaState, Kept
from auditor.report.layout import Page, clean, moment, number, some
from auditor.report.summary import answer_mark, answer_said


def render_kept(state: Kept, chain: Chain, format: str, *, color: bool = False, width: int = 80) -> str:
    """The state of a file as `text` or `json`."""
    if format == "json":
        return json.dumps(_document(state, chain), indent=2) + "\n"
    page = Page(color=color, width=width)
    last = state.run
    done = sum(area.current for area in state.areas)
    word = "COMPLETE  " if state.complete else "OPEN  "
    page.hang(
        word,
        f"{done} of {number(len(state.areas), 'area')} signed off",
        label="good" if state.complete else "unseen",
        style="bold",
    )
    indent = " " * len(word)
    page.hang(indent, f"{clean(some(state.hosts))}: {_phase(state)}")
    page.hang(indent, f"last run {_when(last)}: {clean(str(last['verdict']))}, {_counts(last)}")
    page.hang(indent, f"of the estate {clean(str(last['estate']))}, SHA-256 {clean(str(last['estate_sha256']))[:16]}…")
    if chain.flaws:
        page.hang(
            indent, f"{number(len(chain.flaws), 'line')} of the file are not as written: see `verify`", style="bad"
        )
    page.gap()
    items = {str(item["item"]): item for area in last["areas"] for item in area["items"]}
    for area in state.areas:
        _area(page, state, area, items)
    page.gap()
    page.line(page.paint("RUNS", "bold"))
    for run in state.runs:
        page.hang(f"  {run['number']}. ", f"{_when(run)}: {clean(str(run['verdict']))}, {_counts(run)}", label="dim")
    page.gap()
    page.hang("", f"{number(len(chain.records), 'record')}, head {chain.head}", style="dim")
    return page.text()


def _phase(state: Kept) -> str:
    return "before the switch-off" if state.phase.value == "before" else "after the switch-off"


def _counts(run: Record) -> str:
    blockers = sum(one["severity"] == "block" for one in run["findings"])
    said = f"{number(blockers, 'blocker')}, {number(len(run['findings']), 'finding')} in all"
    return said + (f", {len(run['set_aside']):,} set aside" if run["set_aside"] else "")


def _when(record: Record) -> str:
    time = parse_time(record.get("time"))
    return moment(time) if time is not None else clean(str(record.get("time")))


def _area(page: Page, state: Kept, area: AreaState, items: dict[str, Any]) -> None:
    mark, said = _signed(area)
    owner = f" ({clean(area.owner)})" if area.owner else ""
    page.hang(f"{mark} ", f"{clean(area.title)}{owner}", label="good" if area.current else "unseen", style="bold")
    page.hang("  ", said, style="dim")
    if not area.current and area.against:
        left = list(area.against)
        if area.open_items:
            asked = number(len(area.open_items), "question")
            left = [asked if one.startswith("not answered") else one for one in left]
        page.hang("  ", f"open: {clean('; '.join(left))}")
    own = next(one for one in state.run["areas"] if one["id"] == area.id)
    for item in own["items"]:
        if item["phase"] == state.phase.value:
            answered: Answered | None = state.answers.get(str(item["item"]))
            page.hang(f"    {answer_mark(answered)} ", f"{clean(str(item['text']))} [{clean(str(item['item']))}]")
            if answered is not None:
                page.hang("      ", answer_said(answered), style="dim")


def _signed(area: AreaState) -> tuple[str, str]:
    """The mark of an area, and who has signed it off."""
    signed = area.signed
    if signed is None:
        return "☐", "not signed off"
    said = f"signed off by {clean(str(signed['by']))}, {_when(signed)}"
    if signed["despite"]:
        against = "; ".join(str(one) for one in signed["against"])
        said += f", despite {clean(against)}: {clean(str(signed['despite']))}"
    return ("☑", said) if area.current else ("☐", f"{said}; it is no longer as it was signed: look again")


def _document(state: Kept, chain: Chain) -> dict[str, Any]:
    return {
        "version": 1,
        "complete": state.complete,
        "intact": not chain.flaws,
        "records": len(chain.records),
        "head": chain.head,
        "hosts": list(state.hosts),
        "phase": state.phase.value,
        "runs": [
            {
                "number": run["number"],
                "time": run["time"],
                "verdict": run["verdict"],
                "findings": len(run["findings"]),
                "blockers": sum(one["severity"] == "block" for one in run["findings"]),
                "estate_sha256": run["estate_sha256"],
                "policy_sha256": run["policy_sha256"],
            }
            for run in state.runs
        ],
        "areas": [
            {
                "id": area.id,
                "title": area.title,
                "owner": area.owner,
                "signed_by": str(area.signed["by"]) if area.signed is not None else None,
                "signed_at": str(area.signed["time"]) if area.signed is not None else None,
                "despite": str(area.signed["despite"]) if area.signed is not None else "",
                "current": area.current,
                "against": list(area.against),
            }
            for area in state.areas
        ],
        "answers": [
            {
                "item": one.item,
                "answer": one.answer.value,
                "by": one.by,
                "time": one.time,
                "note": one.note,
                "evidence": one.evidence,
            }
            for one in state.answers.values()
        ],
    }
