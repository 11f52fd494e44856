"""What a kept run says: the runs of one scenario, the answers of people, and who has signed off what.

A file is about the same hosts from its first record to its last. Answers hold until they are given anew or the question
is another; a signature holds as long as its area is as it was signed: the same findings that count, the same answers,
nothing less seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, Final

from auditor.errors import UsageError
from auditor.model import (
    Answer,
    Answered,
    Area,
    Earlier,
    Phase,
    Report,
    Severity,
    Signed,
    SinceLast,
)
from auditor.phrases import timestamp
from auditor.policy.baseline import entry, plain, printed
from auditor.policy.chain import Record
from auditor.policy.decisions import credit
from auditor.redaction import redact

NAME_LIMIT: Final = 200
NOTE_LIMIT: Final = 4000
EVERY_AREA: Final = "all"


@dataclass(frozen=True, slots=True)
class AreaState:
    """An area in the last run, with what was answered and signed since.

    `signed` is the newest signature; `current` whether the area is still as it was signed.
    """

    id: str
    title: str
    owner: str
    blockers: int
    warnings: int
    notes: int
    not_looked_at: str
    open_items: tuple[str, ...]
    refused_items: tuple[str, ...]
    """Items whose answer is no."""
    signed: Record | None
    current: bool

    @property
    def against(self) -> tuple[str, ...]:
        """What speaks against signing it off, in words."""
        found = []
        if self.blockers:
            found.append(f"{self.blockers:,} {'blocker' if self.blockers == 1 else 'blockers'}")
        if self.not_looked_at:
            found.append(f"not everything was looked at ({self.not_looked_at})")
        if self.open_items:
            found.append(f"not answered: {', '.join(self.open_items)}")
        if self.refused_items:
            found.append(f"answered no: {', '.join(self.refused_items)}")
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Kept:
    """The state of a file: its last run, the answers that hold, and its areas."""

    hosts: tuple[str, ...]
    run: Record
    runs: tuple[Record, ...]
    """All runs, the first one first."""
    phase: Phase
    answers: Mapping[str, Answered]
    areas: tuple[AreaState, ...]

    @property
    def complete(self) -> bool:
        """Whether every area is signed off as it is, and every question of the phase answered."""
        return all(area.current and not area.open_items for area in self.areas)


def run_record(report: Report, exit_code: int, rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is kept of a run. `rows` are its areas, each with `id`, `blockers`, `warnings`, `notes`, `not_looked_at`."""
    from auditor import __version__

    state = {row["id"]: row for row in rows}
    return {
        "kind": "run",
        "auditor": __version__,
        "as_of": timestamp(report.now),
        "phase": report.phase.value,
        "on": timestamp(report.on) if report.on else None,
        "verdict": report.verdict.value,
        "exit_code": exit_code,
        "estate": printed(report.estate),
        "estate_sha256": report.digest,
        "hosts": [
            {
                "host": printed(one.host),
                "lifecycle": one.lifecycle.value,
                "successor": printed(one.successor) if one.successor else None,
                "since": one.since or None,
            }
            for one in report.going
        ],
        "policy_sha256": report.policy.digest or None,
        "baseline": printed(report.policy.baseline) if report.policy.baseline else None,
        "profile": report.profile.name,
        "profile_sha256": report.profile.digest or None,
        "areas": [
            {
                "id": area.id,
                "title": area.title,
                "owner": report.owners.get(area.id, ""),
                "people": list(report.signers.get(area.id, ())),
                "blockers": state[area.id]["blockers"],
                "warnings": state[area.id]["warnings"],
                "notes": state[area.id]["notes"],
                "not_looked_at": state[area.id]["not_looked_at"],
                "items": [
                    {
                        "item": item.id,
                        "text": item.text,
                        "who": item.who,
                        "evidence": item.evidence,
                        "phase": item.phase.value,
                    }
                    for item in area.items
                ],
            }
            for area in report.profile.areas
        ],
        "findings": [
            {**plain(entry(one)), "checklist_area": report.profile.area_of(one.rule, one.area).id}
            for one in report.findings
        ],
        "set_aside": [
            {
                **plain(entry(one.finding)),
                "set_aside": one.why.value,
                "reason": printed(one.reason) if one.reason else "",
                "owner": printed(one.owner) if one.owner else "",
                "expires": one.expires or None,
            }
            for one in report.aside
        ],
        "failures": [printed(f"{one.what}: {one.error}") for one in report.failures],
        "not_made": sorted(run.rule for run in report.rules if not run.looked_at),
    }


def check_hosts(records: Sequence[Record], report: Report) -> None:
    """Raises UsageError if a file is about other hosts than a report."""
    first = next((one for one in records if one.get("kind") == "run"), None)
    if first is None:
        return
    known = sorted(_hosts(first))
    now = sorted(printed(one.host) for one in report.going)
    if known != now:
        raise UsageError(
            f"the kept run is about {', '.join(known)}, and this one about {', '.join(now)}",
            hint="Give each scenario a file of its own with --run.",
        )


def since_last(records: Sequence[Record], report: Report, blind: Callable[[str], bool]) -> SinceLast | None:
    """What differs from the last run of the same phase; None if there is none. `blind` is as for `credit`."""
    last = next(
        (one for one in reversed(records) if one.get("kind") == "run" and one.get("phase") == report.phase.value), None
    )
    if last is None:
        return None
    known = {str(one["fingerprint"]) for one in last["findings"]}
    before = {one.fingerprint: one for one in map(_earlier, last["findings"]) if one is not None}
    now = {one.fingerprint for one in report.findings}
    aside = {one.finding.fingerprint for one in report.aside}
    missed = [one for one in before.values() if one.fingerprint not in now | aside]
    hosts = frozenset(printed(one.host) for one in report.going)
    fixed, unseen = credit(missed, report.rules, blind, hosts)
    # A finding of hosts that are not in this run could not be looked for.
    told = {one.fingerprint for one in (*fixed, *unseen)}
    unseen = (*unseen, *(one for one in missed if one.fingerprint not in told))
    return SinceLast(
        time=str(last.get("time")),
        new=frozenset(now - known),
        fixed=fixed,
        aside=tuple(one for one in before.values() if one.fingerprint in aside - now),
        unseen=unseen,
    )


def answers(records: Iterable[Record], texts: Mapping[str, str]) -> dict[str, Answered]:
    """The newest answer to each question, by its id. One whose text is another now is open again."""
    found: dict[str, Answered] = {}
    for record in records:
        if record.get("kind") != "answer" or texts.get(str(record.get("item"))) != record.get("text"):
            continue
        evidence = record.get("evidence") or {}
        shown = str(evidence.get("text", "")) if isinstance(evidence, dict) else ""
        if isinstance(evidence, dict) and evidence.get("sha256"):
            shown += f" (SHA-256 {str(evidence['sha256'])[:16]}…)"
        item = str(record["item"])
        answer = Answer(record["answer"])
        found[item] = Answered(
            item, answer, str(record.get("by")), str(record.get("time")), str(record.get("note", "")), shown
        )
    return found


def kept(records: Sequence[Record]) -> Kept:
    """The state of a file. Raises UsageError if it holds no run."""
    runs = tuple(one for one in records if one.get("kind") == "run")
    if not runs:
        raise UsageError("no run is kept in this file", hint="`auditor checklist HOST… --run FILE` keeps one.")
    last = runs[-1]
    phase = Phase(last["phase"])
    texts = {str(item["item"]): str(item["text"]) for area in last["areas"] for item in area["items"]}
    given = answers(records, texts)
    signatures: dict[str, Record] = {}
    for record in records:
        if record.get("kind") == "sign" and record.get("phase") == phase.value:
            signatures[str(record["area"])] = record
    return Kept(
        hosts=tuple(_hosts(last)),
        run=last,
        runs=runs,
        phase=phase,
        answers=given,
        areas=tuple(_area(last, area, phase, given, signatures.get(str(area["id"]))) for area in last["areas"]),
    )


def signatures(records: Sequence[Record], report: Report, rows: Iterable[Mapping[str, Any]]) -> dict[str, Signed]:
    """The newest signature of each area of a report that has one, by its id. `rows` are as for `run_record`.

    Whether the area still is as it was signed is said of this report, kept or not.
    """
    if not any(one.get("kind") == "sign" for one in records):
        return {}
    state = kept([*records, {**run_record(report, 0, rows), "hash": ""}])
    return {
        area.id: Signed(
            by=str(area.signed["by"]),
            time=str(area.signed.get("time")),
            note=str(area.signed["note"]),
            against=tuple(str(one) for one in area.signed["against"]),
            despite=str(area.signed["despite"]),
            current=area.current,
        )
        for area in state.areas
        if area.signed is not None
    }


def answer_record(
    records: Sequence[Record], item: str, answer: Answer, by: str, note: str, evidence: Mapping[str, str]
) -> dict[str, Any]:
    """An answer to a question of the last run. Raises UsageError if it makes no sense."""
    state = kept(records)
    items = {str(one["item"]): one for area in state.run["areas"] for one in area["items"]}
    if item not in items:
        near = get_close_matches(item, items, n=1)
        hint = f"Did you mean {near[0]}?" if near else "`auditor checklist show FILE` lists them."
        raise UsageError(f"the run asks no question {item!r}", hint=hint)
    asked = items[item]
    if answer is Answer.YES and asked["evidence"] and not evidence.get("text"):
        raise UsageError(
            f"{item} wants something to show for a yes: {asked['evidence']}",
            hint="Give it with --evidence: a link, a ticket, or a file, whose SHA-256 is kept.",
        )
    if answer is Answer.NOT_APPLICABLE and not note:
        raise UsageError(f"{item} needs a word on why it is not applicable", hint="Give it with --note.")
    return {
        "kind": "answer",
        "item": item,
        "text": asked["text"],
        "answer": answer.value,
        "by": _said(by, NAME_LIMIT, "--by"),
        "note": _said(note, NOTE_LIMIT, "--note") if note else "",
        "evidence": dict(evidence) or None,
        "run": state.run["hash"],
    }


def sign_records(records: Sequence[Record], area: str, by: str, note: str, despite: str) -> Iterator[dict[str, Any]]:
    """The signature of an area of the last run, or of every area that `by` may sign. Raises UsageError."""
    state = kept(records)
    name = _said(by, NAME_LIMIT, "--by")
    known = {one.id: one for one in state.areas}
    people = {str(one["id"]): [str(person) for person in one["people"]] for one in state.run["areas"]}
    if area != EVERY_AREA and area not in known:
        near = get_close_matches(area, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"The areas are {', '.join(known)}."
        raise UsageError(f"the run has no area {area!r}", hint=hint)
    chosen = [one for one in state.areas if area in (EVERY_AREA, one.id)]
    may = [one for one in chosen if not people[one.id] or name in (*people[one.id], one.owner)]
    if not may:
        allowed = sorted({person for one in chosen for person in people[one.id]})
        raise UsageError(
            f"{name} may not sign off {area}: the inventory names {', '.join(allowed)}",
            hint="`area_owners` in the inventory says who may; a new run takes it over.",
        )
    for one in may:
        if one.against and not despite:
            raise UsageError(
                f"{one.id} can't be signed off: {'; '.join(one.against)}",
                hint='Mend it and run the checklist again, or say why it may stay: --despite "…".',
            )
        yield {
            "kind": "sign",
            "area": one.id,
            "title": one.title,
            "owner": one.owner,
            "by": name,
            "note": _said(note, NOTE_LIMIT, "--note") if note else "",
            "despite": _said(despite, NOTE_LIMIT, "--despite") if despite and one.against else "",
            "against": list(one.against),
            "phase": state.phase.value,
            "state": _state(state.run, one.id, state.phase, state.answers),
            "run": state.run["hash"],
        }


def _area(
    run: Record, area: Mapping[str, Any], phase: Phase, given: Mapping[str, Answered], signed: Record | None
) -> AreaState:
    asked = [str(item["item"]) for item in area["items"] if item["phase"] == phase.value]
    return AreaState(
        id=str(area["id"]),
        title=str(area["title"]),
        owner=str(area["owner"]),
        blockers=int(area["blockers"]),
        warnings=int(area["warnings"]),
        notes=int(area["notes"]),
        not_looked_at=str(area["not_looked_at"]),
        open_items=tuple(item for item in asked if item not in given),
        refused_items=tuple(item for item in asked if item in given and given[item].answer is Answer.NO),
        signed=signed,
        current=signed is not None and signed["state"] == _state(run, str(area["id"]), phase, given),
    )


def _state(run: Record, area: str, phase: Phase, given: Mapping[str, Answered]) -> str:
    """A digest of what a signature is for: the findings that count, the answers, and what was not looked at."""
    own = next(one for one in run["areas"] if one["id"] == area)
    lines = [f"{one['fingerprint']} {one['severity']}" for one in run["findings"] if one["checklist_area"] == area]
    for item in own["items"]:
        answered = given.get(str(item["item"])) if item["phase"] == phase.value else None
        if answered is not None:
            lines.append(f"{item['item']} {answered.answer.value} {answered.time} {answered.by}")
    lines.append(f"not looked at: {own['not_looked_at']}")
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _hosts(run: Record) -> list[str]:
    return [str(one["host"]) for one in run["hosts"]]


def _earlier(one: Mapping[str, Any]) -> Earlier | None:
    try:
        return Earlier(
            str(one["fingerprint"]),
            str(one["rule"]),
            Area(one["area"]),
            Severity(one["severity"]),
            str(one["subject"]),
            str(one["message"]),
            tuple(str(host) for host in one["hosts"]),
            tuple(str(path) for path in one["paths"]),
        )
    except (KeyError, ValueError, TypeError):
        # Written by a later version: an area that is not known here.
        return None


def _said(text: str, limit: int, option: str) -> str:
    """What a person wrote, as one printable line without secrets. Raises UsageError if it is empty or too long."""
    said = printed(" ".join(redact(text).split())) if text.strip() else ""
    if not said:
        raise UsageError(f"{option} is empty", hint="Write who or what it is.")
    if len(said) > limit:
        raise UsageError(f"{option} is longer than {limit:,} characters", hint="Put the rest into a file or a ticket.")
    return said
