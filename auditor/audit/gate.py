"""The gate: what a change of a repository adds, leaves behind or takes away, judged against the state before it.

The state after the change is judged with every host that is going: those that either side declares, and those that the
change takes out of an inventory, a zone or a Terraform plan. What the old side knew of these (their names, addresses
and groups) is remembered, so that a reference is still understood where its host is not declared any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from auditor.api import Collector, Rule
from auditor.audit import coverage as covering
from auditor.audit import removals
from auditor.audit.engine import Audited, Remembered, Request, Survey, judge, policy_beside, survey
from auditor.audit.lines import Lines
from auditor.audit.removals import Gone, Named, take_statuses
from auditor.audit.scenario import Asked
from auditor.capture.git import FileChange
from auditor.capture.reading import Templates
from auditor.capture.tree import INVENTORY, Tree
from auditor.change import GateReport, Judged, Removal, Standing
from auditor.errors import InventoryError, PolicyError
from auditor.graph.hosts import HostRecord
from auditor.model import (
    Area,
    Coverage,
    Failure,
    Finding,
    Going,
    Lifecycle,
    Outcome,
    RuleRun,
    SetAside,
    Severity,
)
from auditor.phrases import listed
from auditor.policy import POLICY
from auditor.policy.decisions import Policy, settle, too_many

_RANK: Final[Mapping[Severity, int]] = {one: at for at, one in enumerate(Severity)}
MENTION: Final = "mention"
GAP: Final = "coverage-gap"
MAX_REMOVED: Final = 2000
"""Hosts and names that one change may take out and that are judged. More is an inventory that moved elsewhere."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared: two trees, what differs between them, and what people call them.

    `base_without_inventory` makes the old one anew, for when its inventory is wrong.
    """

    base: Tree
    head: Tree
    base_without_inventory: Callable[[], Tree]
    changes: Sequence[FileChange]
    base_name: str
    head_name: str
    living: frozenset[str] = frozenset()
    """The labels of the estates that are read beside both."""


def gate(
    sides: Sides,
    collectors: Sequence[Collector],
    rules: Sequence[Rule],
    failures: Iterable[Failure],
    now: datetime,
    *,
    hosts: Sequence[Asked] = (),
    fail_on: Severity = Severity.BLOCK,
    diff_only: bool = False,
    trust_head: bool = False,
    confirmed: int | None = None,
    known: Templates | None = None,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
    notes: Iterable[str] = (),
) -> GateReport:
    """Judges a change. `trust_head` lets it declare hosts active again. Raises EstateError, UsageError, InventoryError.

    `hosts` are going, too, whatever either side declares. `diff_only` keeps findings that have a place among the lines
    that the change wrote, and removals. The policy is that of the old side (with `trust_head` of the new one), so that
    a change can't waive what it brings. `confirmed` is how many hosts a change may touch, as `Request.confirmed`.
    `known` is what was parsed before, by the same collectors. `notes` are the report's first ones.
    """
    known = known if known is not None else Templates()
    notes = list(notes)
    # The new side first: what is told of a file when it is parsed is told of this one.
    after = survey(sides.head, collectors, now, known=known, progress=progress)
    try:
        before = survey(sides.base, collectors, now, known=known, progress=progress)
    except InventoryError as error:
        notes.append(f"the old {INVENTORY} is wrong, and was left out: {str(error).splitlines()[0]}")
        before = survey(sides.base_without_inventory(), collectors, now, known=known, progress=progress)
    policy, wrong = _policy(sides, rules, now, trust_head, notes)
    lines = Lines(sides.changes)
    old_names, new_names = Named.of(before, sides.living), Named.of(after, sides.living)
    take_statuses(before, old_names)
    take_statuses(after, new_names)
    declared = {one.name: one.lifecycle for one in _going(before)}
    removed = removals.removed(before, after, old_names, new_names, lines)
    if len(removed) > MAX_REMOVED:
        notes.append(f"{len(removed):,} hosts and names are taken out at once: the first {MAX_REMOVED:,} were judged")
        removed = removed[:MAX_REMOVED]
    withdrawn, forgotten = _withdrawn(before, after, declared, lines) if not trust_head else ([], [])
    set_going = removals.set_going(before, after, new_names, lines)
    lost = _lost_sight(before, after, lines)
    asked = [
        *(Asked(one.name, tuple(one.also)) for one in removed),
        *(Asked(record.name) for record in _going(after)),
        *hosts,
    ]
    crashes = [*failures, *after.reading.failures, *wrong]
    touched = {one.name for one in removed if before.hosts.find(one.name) is not None}
    touched |= {one.name for one in _going(after) if one.name not in declared}
    why = too_many(len(touched), len(before.hosts.records), policy)
    if why and confirmed is not None and len(touched) > confirmed:
        hint = f"If the change is meant so, add --confirm-hosts {len(touched)}."
        crashes.append(Failure("the change touches a large part of the estate", why, hint))
    old: tuple[Finding, ...] = ()
    new: tuple[Finding, ...] = ()
    going: tuple[Going, ...] = ()
    runs: tuple[RuleRun, ...] = ()
    aside: tuple[SetAside, ...] = ()
    unseen: tuple[Coverage, ...] = ()
    if asked:
        remembered = list(removals.remembered(before, new_names, removed))
        judged = _judge(after, asked, rules, now, remembered, policy, progress)
        aside = judged.report.aside
        unseen = tuple(one for one in judged.report.coverage if one.needed and not one.seen)
        new, going, runs = judged.report.findings, judged.report.going, judged.report.rules
        crashes = list(dict.fromkeys([*crashes, *judged.report.failures]))
        taken = {(path, item.where.line, item.where.excerpt) for _, path, _, item in remembered}
        new = tuple(kept for one in new if (kept := _in_head(one, taken, new_names, lines)) is not None)
    empty = removals.emptied(old_names, new_names, frozenset(_called(going)), lines)
    # The policy speaks of these as of what a rule has found.
    settled = settle([finding for _, finding in empty], (), lambda _path: False, (), now, policy, None)
    new, aside = (*new, *settled.findings), (*aside, *settled.aside)
    left = {one.fingerprint: one for one in settled.findings}
    if declared or hosts:
        was = _judge(before, [*(Asked(name) for name in sorted(declared)), *hosts], rules, now, (), policy, progress)
        old = was.report.findings
    compared = compare(old, new, lines)
    if not sides.living:
        compared, unchanged = _old_gaps(compared, unseen, before, going, lines, now)
        if unchanged:
            said = listed([one.message for one in unchanged], 3)
            notes.append(f"{said}, before the change as after it (--estate SNAPSHOT shows what is on hosts)")
    gone = [_removal(one, compared, going) for one in (*removed, *forgotten, *set_going)]
    gone += [
        Removal(one.name, one.what, tuple(one.where), (left[finding.fingerprint],))
        for one, finding in empty
        if finding.fingerprint in left
    ]
    if diff_only:
        compared = [one for one in compared if one.standing is Standing.FIXED or lines.touched(one.finding)]
    blind = bool(crashes) or (fail_on is not Severity.BLOCK and (bool(lost) or bool(withdrawn)))
    report = GateReport(
        passed=not blind and not any(one.fails for one in gone),
        fail_on=fail_on,
        base=sides.base_name,
        head=sides.head_name,
        going=going,
        removals=tuple(gone),
        judged=tuple(compared),
        lost_sight=lost,
        unseen=unseen,
        withdrawn=tuple(withdrawn),
        failures=tuple(crashes),
        rules=runs,
        now=now,
        notes=tuple(notes),
        aside=aside,
        counts={"files": len(after.reading.bound), "changed_files": len(sides.changes)},
    )
    return replace(report, passed=report.passed and not report.failing())


def _judge(
    found: Survey,
    asked: Sequence[Asked],
    rules: Sequence[Rule],
    now: datetime,
    remembered: Sequence[Remembered],
    policy: Policy | None,
    progress: Callable[[str, int], None],
) -> Audited:
    request = Request(Path(found.tree.label), tuple(asked), None, now, policy=policy)
    return judge(found, request, rules, remembered=remembered, progress=progress)


def _policy(
    sides: Sides, rules: Sequence[Rule], now: datetime, trust_head: bool, notes: list[str]
) -> tuple[Policy | None, list[Failure]]:
    """The policy that counts, and what is wrong with the one that the change writes."""
    wrong = []
    new = None
    try:
        new = policy_beside(sides.head, rules, now)
    except PolicyError as error:
        wrong.append(Failure(f"{POLICY} is wrong", error.problems[0], error.hint))
    if trust_head:
        return new, wrong
    try:
        old = policy_beside(sides.base, rules, now)
    except PolicyError as error:
        notes.append(f"the old {POLICY} is wrong, and was left out: {error.problems[0]}")
        return None, wrong
    if not wrong and (old.digest if old is not None else "") != (new.digest if new is not None else ""):
        notes.append(f"what the change does to {POLICY} counts once it is merged")
    return old, wrong


def compare(old: Iterable[Finding], new: Iterable[Finding], lines: Lines) -> list[Judged]:
    """Findings of both sides, matched: by their fingerprint, then by what they say of the same lines elsewhere.

    The second is for renamed files and lines that moved: one of each side, no more. What stands in more places than
    before, or is more severe, is worse.
    """
    before: dict[str, Finding] = {one.fingerprint: one for one in old}
    after: dict[str, Finding] = {one.fingerprint: one for one in new}
    pairs = {key: before[key] for key in after if key in before}
    moved: dict[tuple[object, ...], list[Finding]] = {}
    for key, one in before.items():
        if key not in after:
            moved.setdefault(_sense(one), []).append(one)
    for key, one in after.items():
        if key not in pairs and (same := moved.get(_sense(one))):
            pairs[key] = same.pop()
    judged = []
    for key, one in after.items():
        was = pairs.get(key)
        added = tuple(place for place in one.evidence if lines.wrote(place))
        if was is None:
            judged.append(Judged(one, Standing.NEW, added))
            continue
        there = Counter(place.excerpt.strip() for place in was.evidence)
        more = [place for place in added if not _take(there, place.excerpt.strip())]
        worse = _RANK[one.severity] < _RANK[was.severity] or (more and len(one.evidence) > len(was.evidence))
        judged.append(Judged(one, Standing.WORSENED if worse else Standing.KNOWN, tuple(more) if worse else ()))
    matched = {one.fingerprint for one in pairs.values()}
    judged += [Judged(one, Standing.FIXED) for key, one in before.items() if key not in matched]
    return judged


def _old_gaps(
    compared: Iterable[Judged],
    unseen: Iterable[Coverage],
    before: Survey,
    going: Sequence[Going],
    lines: Lines,
    now: datetime,
) -> tuple[list[Judged], list[Finding]]:
    """Findings about what nobody saw, as old ones where the old side saw no more of it: the change is not the cause.

    Also returns those that are old for this reason.
    """
    result, unchanged = list(compared), []
    if not any(one.finding.rule == GAP and one.standing is Standing.NEW for one in result):
        return result, []
    # That nothing but its declaration names a host is no finding of this kind.
    rows = covering.of_estate(before.reading, before.inventory, before.hosts, going, (), INVENTORY, now)
    was = {_gap_key(one, lines.path(one.path)) for one in rows if not one.seen}
    worse = {(one.source, one.outcome.value) for one in unseen if _gap_key(one, one.path) not in was}
    for at, one in enumerate(result):
        if one.finding.rule == GAP and one.standing is Standing.NEW and one.finding.identity[:2] not in worse:
            result[at] = Judged(one.finding, Standing.KNOWN)
            unchanged.append(one.finding)
    return result, unchanged


def _gap_key(one: Coverage, path: str) -> tuple[object, ...]:
    return one.source, one.area, one.outcome, path or one.what


def _sense(one: Finding) -> tuple[object, ...]:
    return one.rule, one.hosts, one.severity, tuple(sorted(place.excerpt.strip() for place in one.evidence))


def _take(left: Counter[str], text: str) -> bool:
    if left[text] <= 0:
        return False
    left[text] -= 1
    return True


def _going(found: Survey) -> list[HostRecord]:
    return [one for one in found.hosts.records.values() if one.lifecycle is not Lifecycle.ACTIVE]


def _withdrawn(
    before: Survey, after: Survey, declared: Mapping[str, Lifecycle], lines: Lines
) -> tuple[list[str], list[Gone]]:
    """Hosts that were going and that the change says nothing of any more: they stay as they were.

    Those that it still has are declared active again; the others are taken out with their declaration.
    """
    names, forgotten = [], []
    for name, lifecycle in sorted(declared.items()):
        found = after.hosts.records.get(after.hosts.find(name) or "")
        record = found or after.hosts.add_full(name, "declared before")
        if record.lifecycle is Lifecycle.ACTIVE:
            was = before.hosts.records[name]
            record.lifecycle = lifecycle
            record.successor = record.successor or was.successor
            if found is not None and "declared before" not in found.origins:
                names.append(name)
            elif was.provenance is not None and (places := removals.taken([was.provenance], lines)):
                forgotten.append(Gone(name, "is taken out of the inventory", [], places))
            for alias in was.names:
                after.hosts.alias(record, alias)
            for address in was.addresses:
                if not after.hosts.at(address):
                    after.hosts.address(record, address)
    return names, forgotten


def _in_head(one: Finding, remembered: set[tuple[str, int, str]], named: Named, lines: Lines) -> Finding | None:
    """A finding without the lines that the change took away, and without those that only say that a host goes.

    None if nothing else speaks for it.
    """
    places = []
    for place in one.evidence:
        if (place.path, place.line, place.excerpt) not in remembered:
            places.append(place)
        elif lines.is_left(place.path, place.line):
            # What the line means is remembered (a list of Nagios, a host of which is not defined any more).
            places.append(lines.now(place))
    left = tuple(dict.fromkeys(places))
    if one.rule == MENTION:
        records = {path for host in one.hosts for path in named.own_record(host)}
        left = tuple(place for place in left if place.path not in records)
    if not left:
        return None
    return replace(one, evidence=left) if left != one.evidence else one


def _called(going: Iterable[Going]) -> Iterator[str]:
    """All that the going hosts are called."""
    for one in going:
        yield from (one.host, *one.names, *one.addresses)


def _removal(one: Gone, compared: Sequence[Judged], going: Sequence[Going]) -> Removal:
    host = next((g.host for g in going if one.name in (g.host, *g.names)), one.name)
    needs = tuple(
        judged.finding
        for judged in compared
        if host in judged.finding.hosts
        and judged.standing is not Standing.FIXED
        and judged.finding.severity is not Severity.INFO
        and judged.finding.area is not Area.COVERAGE
    )
    return Removal(one.name, one.what, tuple(one.where), needs, one.declared)


def _lost_sight(before: Survey, after: Survey, lines: Lines) -> tuple[Coverage, ...]:
    """What the change hides: what it brings or alters and can't be read, and lines that were understood before."""
    was = {(lines.path(one.path), one.detail) for one in _gaps(before)}
    known = {lines.path(one.file.estate_path) for one in before.reading.bound}
    whole = {path for path, _, item in after.reading.malformed if item.whole}
    found: dict[tuple[str, str], Coverage] = {}
    for one in _gaps(after):
        # A line of a new file that is not understood takes nothing away that anybody could see.
        hides = not one.line or one.path in known or one.path in whole
        if hides and (one.path, one.detail) not in was:
            found.setdefault((one.path, one.detail), one)
    return tuple(found.values())


def _gaps(found: Survey) -> list[Coverage]:
    """What could not be read, files that were not understood as a whole, and lines that may name any host."""
    gaps = [one for one in found.reading.coverage if one.outcome not in (Outcome.OK, Outcome.ABSENT)]
    return gaps + [one for one in covering.malformed(found.reading, {}, ()) if one.needed]
