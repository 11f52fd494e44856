"""The gate: what a change of a repository adds, leaves behind or takes away, judged against the state before it.

The state after the change is judged with every host that is going: those that either side declares, and those that the
change takes out of an inventory, a zone or a Terraform plan. What the old side knew of these (their names, addresses
and groups) is remembered, so that a reference is still understood where its host is not declared any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from auditor.api import Collector, Rule
from auditor.audit.engine import Audited, Remembered, Request, Survey, judge, policy_beside, survey
from auditor.audit.scenario import Asked
from auditor.capture.git import FileChange
from auditor.capture.reading import Templates, items
from auditor.capture.tree import INVENTORY, Tree
from auditor.change import GateReport, Judged, Removal, Standing
from auditor.errors import InventoryError, PolicyError
from auditor.graph.hosts import HostRecord
from auditor.model import (
    Coverage,
    Dependency,
    Entity,
    Failure,
    Finding,
    Going,
    Kind,
    Lifecycle,
    Outcome,
    Provenance,
    Relation,
    RuleRun,
    SetAside,
    Severity,
)
from auditor.policy import POLICY
from auditor.policy.decisions import Policy, too_many
from auditor.text import is_hostname, normal_name

_RANK: Final[Mapping[Severity, int]] = {one: at for at, one in enumerate(Severity)}
_NAMING: Final = frozenset({Relation.MEMBER, Relation.RESOLVES, Relation.STANDS_FOR})
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


@dataclass(slots=True)
class _Gone:
    """A host or name that the change takes out."""

    name: str
    what: str
    also: list[str] = field(default_factory=list)
    where: list[Provenance] = field(default_factory=list)


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
) -> GateReport:
    """Judges a change. `trust_head` lets it declare hosts active again. Raises EstateError, UsageError, InventoryError.

    `hosts` are going, too, whatever either side declares. `diff_only` keeps findings that have a place among the lines
    that the change wrote, and removals. The policy is that of the old side (with `trust_head` of the new one), so that
    a change can't waive what it brings. `confirmed` is how many hosts a change may touch, as `Request.confirmed`.
    `known` is what was parsed before, by the same collectors.
    """
    known = known if known is not None else Templates()
    notes: list[str] = []
    # The new side first: what is told of a file when it is parsed is told of this one.
    after = survey(sides.head, collectors, now, known=known, progress=progress)
    try:
        before = survey(sides.base, collectors, now, known=known, progress=progress)
    except InventoryError as error:
        notes.append(f"the old {INVENTORY} is wrong, and was left out: {str(error).splitlines()[0]}")
        before = survey(sides.base_without_inventory(), collectors, now, known=known, progress=progress)
    policy, wrong = _policy(sides, rules, now, trust_head, notes)
    lines = _Lines(sides.changes)
    declared = _declared(before.hosts.records.values())
    named = _Named.of(after)
    removed = _removed(before, after, _Named.of(before), named, lines)
    if len(removed) > MAX_REMOVED:
        notes.append(f"{len(removed):,} hosts and names are taken out at once: the first {MAX_REMOVED:,} were judged")
        removed = removed[:MAX_REMOVED]
    withdrawn = _withdrawn(before, after, declared) if not trust_head else []
    gaps_before = {(lines.path(one.path), one.detail) for one in _gaps(before)}
    lost = tuple(one for one in _gaps(after) if (one.path, one.detail) not in gaps_before)
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
    if asked:
        remembered = list(_remembered(before, named, removed))
        judged = _judge(after, asked, rules, now, remembered, policy, progress)
        aside = judged.report.aside
        new, going, runs = judged.report.findings, judged.report.going, judged.report.rules
        crashes = list(dict.fromkeys([*crashes, *judged.report.failures]))
        taken = {(path, item.where.line, item.where.excerpt) for _, path, _, item in remembered}
        new = tuple(kept for one in new if (kept := _in_head(one, taken)) is not None)
    if declared or hosts:
        was = _judge(before, [*(Asked(name) for name in sorted(declared)), *hosts], rules, now, (), policy, progress)
        old = was.report.findings
    compared = compare(old, new, lines)
    if diff_only:
        compared = [one for one in compared if one.standing is Standing.FIXED or lines.touched(one.finding)]
    removals = tuple(_removal(one, compared, going) for one in removed)
    failing = [one for one in compared if one.fails and _RANK[one.finding.severity] <= _RANK[fail_on]]
    # Who takes a host out says that nothing needs it: there a warning is enough to be wrong.
    failing_removals = [one for one in removals if any(f.severity is not Severity.INFO for f in one.dependents)]
    blind = bool(crashes) or (fail_on is not Severity.BLOCK and (bool(lost) or bool(withdrawn)))
    return GateReport(
        passed=not failing and not failing_removals and not blind,
        fail_on=fail_on,
        base=sides.base_name,
        head=sides.head_name,
        going=going,
        removals=removals,
        judged=tuple(compared),
        lost_sight=lost,
        withdrawn=tuple(withdrawn),
        failures=tuple(crashes),
        rules=runs,
        now=now,
        notes=tuple(notes),
        aside=aside,
        counts={"files": len(after.reading.bound), "changed_files": len(sides.changes)},
    )


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


class _Lines:
    """What a change does to lines: where one of the old side stands now, and which of the new side it wrote."""

    def __init__(self, changes: Iterable[FileChange]) -> None:
        self._before = {one.before: one for one in changes if one.before}
        self._after = {one.after: one for one in changes if one.after}

    def path(self, path: str) -> str:
        """What a file of the old side is called now; as before, if it is gone."""
        change = self._before.get(path)
        return change.after or path if change is not None else path

    def is_left(self, path: str, line: int) -> bool:
        """Whether a line of the old side is still there as it was."""
        change = self._before.get(path)
        return change is None or bool(change.after and change.line_after(line))

    def now(self, one: Provenance) -> Provenance:
        """The place of the new side for one of the old: of a line that was taken away, where it was."""
        change = self._before.get(one.path)
        if change is None:
            return one
        return replace(one, path=change.after or one.path, line=change.place_of(one.line) if change.after else 1)

    def wrote(self, one: Provenance) -> bool:
        """Whether the change wrote a line of the new side. Line 0 is the file: whether that is new."""
        change = self._after.get(one.path)
        if change is None:
            return False
        return change.is_new(one.line) if one.line else not change.before

    def touched(self, finding: Finding) -> bool:
        return any(self.wrote(one) for one in finding.evidence)


def compare(old: Iterable[Finding], new: Iterable[Finding], lines: _Lines) -> list[Judged]:
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


def _sense(one: Finding) -> tuple[object, ...]:
    return one.rule, one.hosts, one.severity, tuple(sorted(place.excerpt.strip() for place in one.evidence))


def _take(left: Counter[str], text: str) -> bool:
    if left[text] <= 0:
        return False
    left[text] -= 1
    return True


def _declared(records: Iterable[HostRecord]) -> dict[str, Lifecycle]:
    return {one.name: one.lifecycle for one in records if one.lifecycle is not Lifecycle.ACTIVE}


def _going(found: Survey) -> list[HostRecord]:
    return [one for one in found.hosts.records.values() if one.lifecycle is not Lifecycle.ACTIVE]


def _withdrawn(before: Survey, after: Survey, declared: Mapping[str, Lifecycle]) -> list[str]:
    """Hosts that were going and that the change declares active, or nothing of: they stay as they were."""
    names = []
    for name, lifecycle in sorted(declared.items()):
        record = after.hosts.records.get(after.hosts.find(name) or "") or after.hosts.add_full(name, "declared before")
        if record.lifecycle is Lifecycle.ACTIVE:
            was = before.hosts.records[name]
            record.lifecycle = lifecycle
            record.successor = record.successor or was.successor
            if "declared before" not in record.origins:
                names.append(name)
            for alias in was.names:
                after.hosts.alias(record, alias)
            for address in was.addresses:
                if not after.hosts.at(address):
                    after.hosts.address(record, address)
    return names


FLEET: Final = frozenset({"inventory", "ansible"})
"""Origins of hosts that say which machines there are, one as good as the other."""
_OTHER: Final = frozenset({"captured", "asked", "declared before"})


def _removed(before: Survey, after: Survey, was: _Named, now: _Named, lines: _Lines) -> list[_Gone]:
    """What a change takes out: hosts of inventories, names of zones, machines that a plan destroys."""
    found: dict[str, _Gone] = {}
    for record in before.hosts.records.values():
        there = after.hosts.records.get(after.hosts.find(record.name) or "")
        fleet = bool(record.origins & FLEET)
        left = bool(there and (there.origins & FLEET if fleet else there.origins - _OTHER))
        if left or not (record.origins - _OTHER) or record.lifecycle is not Lifecycle.ACTIVE:
            continue
        gone = found[record.name] = _Gone(record.name, "from the inventory")
        for name in record.names:
            if name != record.name and after.hosts.find(name) is None and name not in now.resolved:
                gone.also.append(name)
        gone.also += [one for one in record.addresses if not after.hosts.at(one) and one not in now.addresses]
        gone.also += list(record.words)
        places = [*was.hosts.get(record.name, ()), *([record.provenance] if record.provenance else ())]
        gone.where += [lines.now(one) for one in dict.fromkeys(places) if not lines.is_left(one.path, one.line)]
    for name, places in was.resolved.items():
        if name in now.resolved or "*" in name or not is_hostname(name):
            continue
        short = before.hosts.find(name)
        gone = found.get(short or "") or found.setdefault(name, _Gone(name, "from DNS"))
        if gone.name == name or name in gone.also:
            gone.where += [lines.now(one) for one in places if not lines.is_left(one.path, one.line)]
        else:
            gone.also.append(name)
    for name, places in was.watched.items():
        known = name in now.watched or name in now.resolved or after.hosts.find(name) is not None
        if not known and before.hosts.find(name) is None and name not in found:
            where = [lines.now(one) for one in places if not lines.is_left(one.path, one.line)]
            found[name] = _Gone(name, "from the monitoring", [], where)
    for name, places in now.destroyed.items():
        if name not in was.destroyed:
            found[name] = _Gone(name, "destroyed by the Terraform plan", [], list(places))
    # Without a line that was taken away it is no act of this change (a file that can't be read any more, say).
    return [one for _, one in sorted(found.items()) if one.where]


@dataclass(slots=True)
class _Named:
    """What one side declares, each with its places."""

    hosts: dict[str, list[Provenance]] = field(default_factory=dict)
    resolved: dict[str, list[Provenance]] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    watched: dict[str, list[Provenance]] = field(default_factory=dict)
    destroyed: dict[str, list[Provenance]] = field(default_factory=dict)
    edges: set[tuple[object, ...]] = field(default_factory=set)

    @classmethod
    def of(cls, found: Survey) -> _Named:
        named = cls()
        collectors = found.reading.collectors
        for source, path, _, index, item in items(found.reading):
            if type(item) is Entity and item.ref.kind is Kind.HOST and item.ref.text:
                named._host(found, Provenance(path, item.where.line, item.where.excerpt), item, collectors[index].name)
            elif type(item) is Dependency and not source and item.relation in _NAMING:
                named.edges.add((item.consumer, item.relation, item.provider))
                if item.relation is Relation.RESOLVES and item.consumer.kind is Kind.NAME:
                    where = Provenance(path, item.where.line, item.where.excerpt)
                    named.resolved.setdefault(normal_name(item.consumer.text), []).append(where)
                    if item.provider.kind is Kind.ADDRESS:
                        named.addresses.add(item.provider.text)
        return named

    def _host(self, found: Survey, where: Provenance, item: Entity, collector: str) -> None:
        name = normal_name(item.ref.text)
        if item.attributes.get("action") == "delete":
            self.destroyed.setdefault(name, []).append(where)
        elif "known_as" not in item.attributes:
            self.hosts.setdefault(found.hosts.find(name) or name, []).append(where)
        elif collector == "nagios":
            self.watched.setdefault(name, []).append(where)


def _remembered(before: Survey, now: _Named, removed: Sequence[_Gone]) -> Iterator[Remembered]:
    """What the old side knew of what is taken out: in which groups it was, and what its names stood for."""
    if not removed:
        return
    ours = {word for one in removed for word in (one.name, *one.also)}
    for source, path, _, _, item in items(before.reading):
        if source or type(item) is not Dependency or item.relation not in _NAMING:
            continue
        if (item.consumer, item.relation, item.provider) in now.edges:
            continue
        if item.relation is Relation.MEMBER:
            if item.provider.text not in ours and before.hosts.find(item.provider.text) not in ours:
                continue
        elif normal_name(item.consumer.text) in now.resolved or not ours & {item.consumer.text, item.provider.text}:
            continue
        yield "", path, None, item


def _in_head(one: Finding, remembered: set[tuple[str, int, str]]) -> Finding | None:
    """A finding without the lines that the change took away; None if nothing else speaks for it."""
    left = tuple(place for place in one.evidence if (place.path, place.line, place.excerpt) not in remembered)
    if not left:
        return None
    return replace(one, evidence=left) if len(left) < len(one.evidence) else one


def _removal(one: _Gone, compared: Sequence[Judged], going: Sequence[Going]) -> Removal:
    host = next((g.host for g in going if one.name in (g.host, *g.names)), one.name)
    needs = tuple(
        judged.finding for judged in compared if host in judged.finding.hosts and judged.standing is not Standing.FIXED
    )
    return Removal(one.name, one.what, tuple(one.where), needs)


def _gaps(found: Survey) -> list[Coverage]:
    """What could not be read, and files that were not understood as a whole."""
    gaps = [one for one in found.reading.coverage if one.outcome not in (Outcome.OK, Outcome.ABSENT)]
    for path, index, item in found.reading.malformed:
        if item.whole:
            collector = found.reading.collectors[index]
            detail = f"{collector.name}: {item.reason}"
            gaps.append(
                Coverage("", collector.area, path, Outcome.PARTIAL, detail=detail, path=path, line=item.where.line)
            )
    return gaps
