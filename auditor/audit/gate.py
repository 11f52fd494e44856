"""The gate: what a change of a repository adds, leaves behind or takes away, judged against the state before it.

The state after the change is judged with every host that is going: those that either side declares, and those that the
change takes out of an inventory, a zone or a Terraform plan. What the old side knew of these (their names, addresses
and groups) is remembered, so that a reference is still understood where its host is not declared any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from auditor.api import Collector, Rule
from auditor.audit import coverage as covering
from auditor.audit import removals
from auditor.audit.engine import MENTION, Audited, Remembered, Request, Survey, judge, policy_beside, survey
from auditor.audit.lines import Lines
from auditor.audit.named import Named
from auditor.audit.removals import Gone, take_statuses
from auditor.audit.scenario import Asked
from auditor.audit.standing import GAP, compare, old_gaps
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
from auditor.policy.decisions import Policy, Settled, settle, too_many
from auditor.text import normal_name

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


@dataclass(frozen=True, slots=True)
class Bench:
    """What both sides are judged with. `progress` is told of each stage, with a count."""

    rules: Sequence[Rule]
    policy: Policy | None
    hosts: Sequence[Asked]
    """Hosts that are going whatever either side declares."""
    now: datetime
    progress: Callable[[str, int], None]

    def judge(self, found: Survey, asked: Iterable[Asked], remembered: Sequence[Remembered] = ()) -> Audited:
        """What the rules say of a side, which is thereby used up, if these and the asked hosts are going."""
        everyone = (*asked, *self.hosts)
        request = Request(Path(found.tree.label), everyone, None, self.now, policy=self.policy)
        return judge(found, request, self.rules, remembered=remembered, progress=self.progress)


@dataclass(frozen=True, slots=True)
class Change:
    """Both sides as they were read, and what the change does to hosts and to what can be seen."""

    before: Survey
    after: Survey
    old_names: Named
    new_names: Named
    lines: Lines
    declared: Mapping[str, Lifecycle]
    """The hosts that the old side has as going."""
    removed: Sequence[Gone]
    withdrawn: Sequence[str]
    """Hosts that are declared active again."""
    forgotten: Sequence[Gone]
    """Hosts that were going and whose declaration is taken out."""
    set_going: Sequence[Gone]
    lost_sight: tuple[Coverage, ...]

    @property
    def apart(self) -> dict[str, str]:
        """Names that are taken from hosts that are not taken out themselves, with these hosts."""
        return {one.name: one.of for one in self.removed if one.of}

    def going(self) -> list[Asked]:
        """What the new side is judged without: what is taken out, and the hosts that it has as going."""
        taken = [Asked(one.name, tuple(one.also)) for one in self.removed]
        return [*taken, *(Asked(record.name) for record in _going(self.after))]

    def touched(self) -> int:
        """How many hosts of the old side the change takes out or declares to be going."""
        out = {one.name for one in self.removed if not one.of and self.before.hosts.find(one.name) is not None}
        return len(out | {one.name for one in _going(self.after) if one.name not in self.declared})


@dataclass(frozen=True, slots=True)
class After:
    """What the rules say of the new side, without the lines that the change took away."""

    findings: tuple[Finding, ...] = ()
    going: tuple[Going, ...] = ()
    rules: tuple[RuleRun, ...] = ()
    failures: tuple[Failure, ...] = ()
    aside: tuple[SetAside, ...] = ()
    unseen: tuple[Coverage, ...] = ()


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
    notes = list(notes)
    before, after = _surveys(sides, collectors, now, known if known is not None else Templates(), progress, notes)
    policy, wrong = _policy(sides, rules, now, trust_head, notes)
    bench = Bench(rules, policy, hosts, now, progress)
    change = _change(sides, before, after, trust_head, notes)
    crashes = [*failures, *after.reading.failures, *wrong, *_too_much(change, policy, confirmed)]
    judged = _judge_after(change, bench)
    notes += _unnamed(judged, hosts)
    groups, of_groups = _emptied(change, judged.going, bench)
    old = _judge_before(change, bench)
    compared = compare(old, (*judged.findings, *of_groups.findings), change.lines, change.apart)
    if not sides.living:
        compared, unchanged = old_gaps(compared, judged.unseen, before, judged.going, change.lines, now)
        if unchanged:
            said = listed([one.message for one in unchanged], 3)
            notes.append(f"{said}, before the change as after it (--estate SNAPSHOT shows what is on hosts)")
    gone = [_removal(one, compared, judged.going) for one in (*change.removed, *change.forgotten, *change.set_going)]
    if diff_only:
        compared = [one for one in compared if one.standing is Standing.FIXED or change.lines.touched(one.finding)]
    crashes = list(dict.fromkeys([*crashes, *judged.failures]))
    blind = bool(crashes) or (fail_on is not Severity.BLOCK and bool(change.lost_sight or change.withdrawn))
    report = GateReport(
        passed=not blind and not any(one.fails for one in (*gone, *groups)),
        fail_on=fail_on,
        base=sides.base_name,
        head=sides.head_name,
        going=judged.going,
        removals=(*gone, *groups),
        judged=tuple(compared),
        lost_sight=change.lost_sight,
        unseen=judged.unseen,
        withdrawn=tuple(change.withdrawn),
        failures=tuple(crashes),
        rules=judged.rules,
        now=now,
        notes=tuple(notes),
        aside=(*judged.aside, *of_groups.aside),
        counts={"files": len(after.reading.bound), "changed_files": len(sides.changes)},
    )
    return replace(report, passed=report.passed and not report.failing())


def _surveys(
    sides: Sides,
    collectors: Sequence[Collector],
    now: datetime,
    known: Templates,
    progress: Callable[[str, int], None],
    notes: list[str],
) -> tuple[Survey, Survey]:
    """Both sides, the old one first; without its inventory if that is wrong. Raises EstateError, InventoryError."""
    # The new side first: what is told of a file when it is parsed is told of this one.
    after = survey(sides.head, collectors, now, known=known, progress=progress)
    try:
        before = survey(sides.base, collectors, now, known=known, progress=progress)
    except InventoryError as error:
        notes.append(f"the old {INVENTORY} is wrong, and was left out: {str(error).splitlines()[0]}")
        before = survey(sides.base_without_inventory(), collectors, now, known=known, progress=progress)
    return before, after


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


def _change(sides: Sides, before: Survey, after: Survey, trust_head: bool, notes: list[str]) -> Change:
    """What the change does. The machines of the new side thereby learn what is still going by the old one."""
    lines = Lines(sides.changes)
    old_names, new_names = Named.of(before, sides.living), Named.of(after, sides.living)
    take_statuses(before, old_names)
    take_statuses(after, new_names)
    declared = {one.name: one.lifecycle for one in _going(before)}
    removed = removals.removed(before, after, old_names, new_names, lines, trusted=trust_head)
    if len(removed) > MAX_REMOVED:
        notes.append(f"{len(removed):,} hosts and names are taken out at once: the first {MAX_REMOVED:,} were judged")
        removed = removed[:MAX_REMOVED]
    for one in removed:
        if one.of:
            after.hosts.forget(after.hosts.records[one.of], one.name)
    apart = {one.name for one in removed if one.of}
    withdrawn, forgotten = _withdrawn(before, after, declared, apart, lines) if not trust_head else ([], [])
    return Change(
        before,
        after,
        old_names,
        new_names,
        lines,
        declared,
        removed,
        withdrawn,
        forgotten,
        removals.set_going(before, after, new_names, lines),
        _lost_sight(before, after, lines),
    )


def _too_much(change: Change, policy: Policy | None, confirmed: int | None) -> Iterator[Failure]:
    """Says so if the change touches more hosts than one may unasked, and than were confirmed."""
    touched = change.touched()
    why = too_many(touched, len(change.before.hosts.records), policy)
    if why and confirmed is not None and touched > confirmed:
        hint = f"If the change is meant so, add --confirm-hosts {touched}."
        yield Failure("the change touches a large part of the estate", why, hint)


def _judge_after(change: Change, bench: Bench) -> After:
    """What the rules say of the new side. Nothing, where nothing is going."""
    asked = change.going()
    if not asked and not bench.hosts:
        return After()
    remembered = list(removals.remembered(change.before, change.new_names, change.removed))
    report = bench.judge(change.after, asked, remembered).report
    taken = {(path, item.where.line, item.where.excerpt) for _, path, _, item in remembered}
    # That nobody looked into a name that goes by itself says nothing: its host is told of in its own right.
    apart = change.apart.keys()
    found = [one for one in report.findings if one.rule != GAP or not one.hosts or not apart >= set(one.hosts)]
    kept = (_in_head(one, taken, change.new_names, change.lines) for one in found)
    return After(
        tuple(one for one in kept if one is not None),
        report.going,
        report.rules,
        report.failures,
        report.aside,
        tuple(one for one in report.coverage if one.needed and not one.seen and one.source not in apart),
    )


def _unnamed(judged: After, hosts: Iterable[Asked]) -> Iterator[str]:
    """A note of each host that was asked for and that nothing names: it has gone, or its name is spelt wrong."""
    asked = {normal_name(one.name) for one in hosts}
    for row in judged.unseen:
        if row.source in asked and row.area is Area.COVERAGE and row.outcome is Outcome.UNSEEN:
            yield f"{row.what}. {row.detail}"


def _judge_before(change: Change, bench: Bench) -> tuple[Finding, ...]:
    """What the rules say of the old side, with the hosts that it has as going."""
    if not change.declared and not bench.hosts:
        return ()
    return bench.judge(change.before, [Asked(name) for name in sorted(change.declared)]).report.findings


def _emptied(change: Change, going: Sequence[Going], bench: Bench) -> tuple[list[Removal], Settled]:
    """The groups that are left without a host, and what of that counts: the policy speaks of it as of any finding."""
    found = removals.emptied(change.old_names, change.new_names, frozenset(_called(going)), change.lines)
    settled = settle([finding for _, finding in found], (), lambda _path: False, (), bench.now, bench.policy, None)
    left = {one.fingerprint: one for one in settled.findings}
    groups = [
        Removal(one.name, one.what, tuple(one.where), (left[finding.fingerprint],))
        for one, finding in found
        if finding.fingerprint in left
    ]
    return groups, settled


def _going(found: Survey) -> list[HostRecord]:
    return [one for one in found.hosts.records.values() if one.lifecycle is not Lifecycle.ACTIVE]


def _withdrawn(
    before: Survey, after: Survey, declared: Mapping[str, Lifecycle], apart: Collection[str], lines: Lines
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
                if alias not in apart:
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
