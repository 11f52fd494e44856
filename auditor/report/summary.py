"""What every renderer says alike: the verdict's line, the order of findings, the state of each area, what was not seen.

Nothing is left out here; what is grouped is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Final, NamedTuple

from auditor.model import (
    PLAIN,
    Answer,
    Answered,
    Area,
    Aside,
    ChecklistArea,
    Confidence,
    Coverage,
    Earlier,
    Finding,
    FleetPart,
    Going,
    Impact,
    Lifecycle,
    ManualItem,
    Outcome,
    Phase,
    Profile,
    Provenance,
    Relation,
    Report,
    RuleRun,
    SetAside,
    Severity,
    SinceLast,
    Verdict,
)
from auditor.phrases import day, parse_time, ranged
from auditor.report.layout import clean, in_utc, moment, number, some, time_left

EXIT_CODES: Final[Mapping[Verdict, int]] = MappingProxyType(
    {Verdict.CLEAR: 0, Verdict.BLOCKED: 1, Verdict.INCOMPLETE: 4}
)
"""What a command that ends with this verdict returns. 2 is a usage error, 3 a crash."""

EXIT_MEANING: Final = "0 clear, 1 blocked, 2 usage or bad estate, 3 crash, 4 incomplete"

SEVERITY_SYMBOL: Final[Mapping[Severity, str]] = MappingProxyType(
    {Severity.BLOCK: "✗", Severity.WARN: "!", Severity.INFO: "!"}
)
ALIKE: Final = 3
"""Findings of one rule that differ in their message alone share their heading from this number on."""
NO_CHECK: Final = "no check here"
"""Why an area is unseen for which there is neither a rule nor a capture."""
NONE_SEEN: Final = "none seen"
"""What is said of an area that has rules, of which nothing was captured, nor had to be: it is no tick, and no gap."""
BEYOND: Final = 5
"""Gaps that rule out nothing and that are named beside the verdict; the others are counted."""
NO_GAP: Final = frozenset({"", NO_CHECK, NONE_SEEN})
_READ: Final = frozenset({Outcome.OK, Outcome.PARTIAL})
_SEVERITY_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}
_CONFIDENCE_RANK: Final = {confidence: rank for rank, confidence in enumerate(Confidence)}
_AREA_RANK: Final = {area: rank for rank, area in enumerate(Area)}

NOBODY_LOOKED: Final = "nobody looked"
NEEDED_THERE: Final = "What goes may be needed there"
"""How what is said of hosts that nobody looked into begins: each format says it once, with the reason."""
OUTCOME_HINT: Final[Mapping[Outcome, str]] = MappingProxyType(
    {
        Outcome.DENIED: "give the collecting account read access, and collect again",
        Outcome.UNREACHABLE: "collect again when it answers, or add the files by hand",
        Outcome.UNSUPPORTED: "no parser reads it: go through it by hand",
        Outcome.PARTIAL: "only a part could be read: look at the rest by hand, or repair it",
        Outcome.UNSEEN: "nobody looked: capture it, or declare in the inventory that there is nothing",
    }
)
RELATION_HINT: Final[Mapping[str, str]] = MappingProxyType(
    {
        Relation.RENEWED_BY: "the ACME client's configuration, such as /etc/letsencrypt/renewal",
        Relation.DEPLOYED_BY: "the ACME client's configuration and hooks, such as /etc/letsencrypt/renewal-hooks",
        Relation.VALIDATED_THROUGH: "the ACME client's configuration, such as /etc/letsencrypt/renewal",
        Relation.ISSUED_BY: "the ACME client's configuration, such as /etc/letsencrypt/renewal",
        Relation.STORED_AT: "the certificate files (PEM or DER)",
        Relation.SERVES: "the certificate files and the web servers' configuration",
        Relation.CERTIFIED_BY: "the certificate files and the ACME client's configuration",
        Relation.RUNS_ON: "the hosts' crontabs and systemd units, of Windows the scheduled tasks",
        Relation.CALLS: "the hosts' crontabs, systemd units, and the scripts that they call",
        Relation.TRIGGERED_BY: "the hosts' crontabs and systemd timers",
        Relation.CONNECTS: "the scripts that jobs and units call",
        Relation.READS: "the scripts that jobs and units call",
        Relation.WRITES: "the scripts that jobs and units call",
        Relation.MOUNTS: "the hosts' /etc/fstab and /proc/self/mountinfo",
        Relation.WATCHES: "the monitoring's configuration and rules, such as prometheus.yml and its rule files",
        Relation.NOTIFIES: "the alerting's routes, such as alertmanager.yml",
        Relation.DELIVERS: "the webhook lists, such as GitHub's hook JSON",
        Relation.RESOLVES: "the zone files",
        Relation.RECORDS: "the zone files",
        Relation.STANDS_FOR: "the inventory, zone files or /etc/hosts, which say what names and addresses stand for",
        Relation.MEMBER: "the configuration management's inventory",
        Relation.SELECTS: "the playbooks and their inventory",
        Relation.BACKED_BY: "the load balancers' configuration",
        Relation.MENTIONS: "the text files and repositories that may name it",
    }
)


AREA_HINT: Final[Mapping[Area, str]] = MappingProxyType(
    {
        Area.TRAFFIC: "the load balancers' and proxies' configuration, and resolv.conf of the hosts",
        Area.LOGS: "the hosts' /etc/rsyslog.conf, rsyslog.d and /etc/postfix",
        Area.IDENTITY: "the hosts' /etc/ssh, authorized_keys and hosts.allow",
    }
)
"""Where an area's checks ask for connections of its own kind, which no script of a job shows."""


def ordered(findings: Iterable[Finding], profile: Profile = PLAIN) -> tuple[Finding, ...]:
    """Findings in the order of urgency, the same in each format.

    Areas with a blocker first, each set in the order of the profile; in an area by severity, then by deadline,
    confidence and rule, those that say the same together. The last key is the fingerprint, so that the order never
    depends on how findings were made.
    """
    found = tuple(findings)
    place = {finding.fingerprint: area_of(finding, profile) for finding in found}
    ranks = {area.id: rank for rank, area in enumerate(profile.areas)}
    blocked = {place[one.fingerprint].id for one in found if one.severity is Severity.BLOCK}

    def urgency(finding: Finding) -> tuple[object, ...]:
        deadline = in_utc(finding.deadline).timestamp() if finding.deadline else float("inf")
        area = place[finding.fingerprint].id
        return (
            area not in blocked,
            ranks[area],
            _SEVERITY_RANK[finding.severity],
            deadline,
            _CONFIDENCE_RANK[finding.confidence],
            finding.rule,
            finding.why,
            finding.action,
            finding.subject,
            finding.message,
            finding.fingerprint,
        )

    return tuple(sorted(found, key=urgency))


def area_of(finding: Finding, profile: Profile) -> ChecklistArea:
    """The part of the checklist that a finding belongs to."""
    return profile.area_of(finding.rule, finding.area)


def evidence_of(finding: Finding) -> tuple[Provenance, ...]:
    """Evidence of a finding and of its path's steps, each place once, the finding's own first."""
    places: dict[tuple[str, int, str], Provenance] = {}
    # That a name is its host's is where every path ends: its line in the inventory tells nobody anything.
    steps = (step.evidence for step in finding.path if step.relation != Relation.STANDS_FOR)
    for item in (*finding.evidence, *steps):
        if item is not None:
            places.setdefault((item.path, item.line, item.api), item)
    return tuple(places.values())


@dataclass(frozen=True, slots=True)
class AreaSummary:
    """One row of the checklist's table."""

    area: ChecklistArea
    blockers: int
    warnings: int
    notes: int
    seen: int
    """Files that were looked at."""
    rules: int
    unseen: str
    """Why nothing, or not everything, was looked at; empty if all was."""
    asked: int = 0
    """Manual items of this phase."""
    answered: int = 0
    by_hand: bool = False
    """Whether there is nothing in it for a machine to look at."""
    aside: str = ""
    """`2 waived`: what was found in it and does not count; empty if there is nothing."""

    @property
    def symbol(self) -> str:
        """✗ has a blocker, ! has a warning or note, ? not looked at, ✓ looked at and nothing found.

        ☐ is for people alone, and not answered; ☑ is answered. ~ has only what was set aside.
        """
        if self.blockers:
            return "✗"
        if self.warnings or self.notes:
            return "!"
        if self.by_hand:
            return "☑" if self.answered == self.asked else "☐"
        if self.unseen:
            return "?"
        return "~" if self.aside else "✓"

    @property
    def remark(self) -> str:
        """What else is to be said of it: why not everything was looked at, and what was set aside."""
        return ", ".join(part for part in (self.unseen, self.aside) if part)

    @property
    def marks(self) -> str:
        """The symbol, and a `?` behind it if there are findings and a part was not looked at."""
        return f"{self.symbol}?" if self.unseen and self.symbol != "?" else self.symbol


def areas(report: Report) -> tuple[AreaSummary, ...]:
    """The state of each area, in the order of the profile."""
    severities: dict[str, Counter[Severity]] = {}
    for finding in report.findings:
        severities.setdefault(area_of(finding, report.profile).id, Counter())[finding.severity] += 1
    aside: dict[str, list[SetAside]] = {}
    for one in report.aside:
        aside.setdefault(area_of(one.finding, report.profile).id, []).append(one)
    return tuple(
        _summarize(report, area, severities.get(area.id, Counter()), aside.get(area.id, ()))
        for area in report.profile.areas
    )


def _summarize(
    report: Report, area: ChecklistArea, severities: Counter[Severity], aside: Iterable[SetAside]
) -> AreaSummary:
    coverage = [line for line in report.coverage if line.area in area.covers]
    known = [run for run in report.rules if report.profile.area_of(run.rule, run.area) is area]
    rules = [run for run in known if not run.off]
    items = [item for item in area.items if item.phase is report.phase]
    missed = [line for line in coverage if line.needed and not line.seen]
    blind = [run for run in rules if not run.looked_at]
    reasons: list[str] = []
    if _found_by(report, blind):
        reasons.append(f"{len(blind)} of {number(len(rules), 'check')} not made in full")
    elif rules and len(blind) == len(rules):
        reasons.append("not looked at")
    elif blind:
        reasons.append(f"{len(blind)} of {number(len(rules), 'check')} not made")
    if off := len(known) - len(rules):
        reasons.append(f"{off} of {number(len(known), 'check')} off" if rules else "switched off")
    outcomes: Counter[Outcome] = Counter()
    for line in missed:
        outcomes[line.outcome] += max(line.count, 1)
    reasons.extend(f"{count:,} {outcome.value}" for outcome, count in sorted(outcomes.items()))
    if Area.COVERAGE in area.covers:
        # This area is about all the others: it is complete as long as none of them has a gap.
        if count := sum(gap.needed for gap in gaps(report)):
            reasons.append(number(count, "gap"))
        if report.failures:
            reasons.append(number(len(report.failures), "failure"))
    elif not _looked(coverage) and not severities and not reasons and (known or not items):
        reasons.append(NONE_SEEN if known else NO_CHECK)
    return AreaSummary(
        area=area,
        blockers=severities[Severity.BLOCK],
        warnings=severities[Severity.WARN],
        notes=severities[Severity.INFO],
        seen=sum(line.count for line in coverage if line.outcome in _READ and not line.hosts),
        rules=len(rules) - len(blind),
        unseen=", ".join(reasons),
        asked=len(items),
        answered=sum(item.id in report.answers for item in items),
        by_hand=bool(items) and not known and not _looked(coverage),
        aside=aside_tally(aside),
    )


def _looked(coverage: Iterable[Coverage]) -> bool:
    """Whether anybody looked, or had to."""
    return any(line.needed or line.outcome is not Outcome.UNSEEN for line in coverage)


def _found_by(report: Report, runs: Iterable[RuleRun]) -> bool:
    """Whether some of these checks found something all the same."""
    rules = {run.rule for run in runs}
    return any(finding.rule in rules for finding in report.findings)


def counted(row: AreaSummary) -> str:
    """`9 blockers, 15 warnings`; what is none is left out."""
    pairs = ((row.blockers, "blocker"), (row.warnings, "warning"), (row.notes, "note"))
    return ", ".join(number(count, noun) for count, noun in pairs if count)


def open_items(report: Report) -> int:
    """Manual items of this phase that nobody has answered."""
    return sum(item.id not in report.answers for item in report.profile.items(report.phase))


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not looked at, alike gaps of several sources in one."""

    area: Area
    what: str
    why: str
    sources: tuple[str, ...]
    places: tuple[Provenance, ...]
    action: str
    needed: bool
    """Whether it rules out CLEAR."""


def gaps(report: Report) -> tuple[Gap, ...]:
    """All that was not looked at, by area: captures that failed, and checks that had nothing to look at.

    Lines of coverage that rule out nothing stand together in one gap an area, after the others.
    """
    found = [*_of_captures(report), *_of_hosts(report.coverage)]
    for area in Area:
        runs = [run for run in report.rules if run.area is area and not run.off]
        blind = [run for run in runs if not run.looked_at and run.missing]
        if blind:
            # Each of these checks says what it needs, so that "nobody looked" adds nothing.
            found = [gap for gap in found if not (gap.area is area and gap.why == NOBODY_LOOKED)]
            found.append(_of_checks(area, blind, len(runs), found_something=_found_by(report, blind)))
        found.extend(
            Gap(
                area, f"{clean(run.rule)} did not end", "the check failed", (), (), "see the failures of this run", True
            )
            for run in runs
            if not run.looked_at and not run.missing
        )
    return tuple(sorted(found, key=lambda gap: (not gap.needed, _AREA_RANK[gap.area])))


def _of_captures(report: Report) -> Iterator[Gap]:
    """The lines of coverage that no finding tells and that are of no host as a whole, alike ones in one gap."""
    told = {
        (one.path, one.line) for finding in report.findings if finding.area is Area.COVERAGE for one in finding.evidence
    }
    lines = [
        line for line in report.coverage if not line.seen and not line.hosts and (line.path, line.line) not in told
    ]
    for (_, minor, _, detail, what), group in groupby(sorted(lines, key=_alike), key=_alike):
        yield _of_lines(list(group), minor, detail, what)


def _alike(line: Coverage) -> tuple[int, bool, str, str, str]:
    """What the lines of one gap have in common: area, whether they rule out nothing, outcome, detail and what."""
    rank = _AREA_RANK[line.area]
    if not line.needed:
        told = (line.detail, line.what) if line.outcome is Outcome.UNSEEN else ("", "")
        return (rank, True, line.outcome.value, *told)
    # A place is shown as such: many places with the same trouble are one gap.
    what = "" if line.path and line.what.startswith(line.path) else line.what
    return (rank, False, line.outcome.value, line.detail, what)


def _of_lines(lines: Sequence[Coverage], minor: bool, detail: str, what: str) -> Gap:
    first = lines[0]
    said = clean(detail)
    why, action = first.outcome.value + (f": {said}" if said else ""), OUTCOME_HINT.get(first.outcome, "")
    if first.outcome is Outcome.UNSEEN:
        why, action = NOBODY_LOOKED, said.removeprefix("To see it, ").removeprefix("To see them, ")
        why += ", and that rules out nothing" if minor else ""
    elif minor:
        reasons = some(sorted({clean(line.detail) for line in lines if line.detail}))
        why = f"{first.outcome.value}, and rules out nothing" + (f": {reasons}" if reasons else "")
    places = {Provenance(line.path, line.line, estate=line.estate) for line in lines if line.path}
    return Gap(
        area=first.area,
        what=clean(what) or _together(lines),
        why=why,
        sources=tuple(sorted({clean(line.source) for line in lines if line.source and line.source not in what})),
        places=tuple(sorted(places, key=_by_place)),
        action=action,
        needed=not minor,
    )


def _of_checks(area: Area, blind: Sequence[RuleRun], count: int, *, found_something: bool) -> Gap:
    """The checks of an area, of so many, that did not have all that they look at."""
    checks, asking = number(count, "check"), some((clean(run.rule) for run in blind), len(blind))
    what = f"none of {checks} made" if len(blind) == count else f"{len(blind)} of {checks} not made"
    why = f"nothing in the estate shows what {asking} ask"
    if found_something:
        what = f"{len(blind)} of {checks} not made in full"
        why = f"the estate does not show all that {asking} ask"
    return Gap(
        area=area,
        what=what,
        why=why,
        sources=(),
        places=(),
        action=f"add to the estate: {_wanted((name for run in blind for name in run.missing), area)}",
        needed=True,
    )


def _together(lines: Sequence[Coverage]) -> str:
    """What several lines of coverage are about: places, or what each of them says where it has none."""
    if any(line.path for line in lines):
        return number(len(lines), "place")
    return some(clean(line.what) for line in lines)


def _of_hosts(coverage: Iterable[Coverage]) -> Iterator[Gap]:
    """Hosts that stay and of which nothing, or a part alone, was captured, each in up to four gaps: those of which
    nobody says why, those of which what somebody said has ended, and, ruling out nothing, those that the inventory
    leaves out and those it does not have."""
    kinds: dict[tuple[bool, bool, bool], list[Coverage]] = {}
    for line in coverage:
        if line.hosts and not line.seen:
            kinds.setdefault((not line.needed, bool(line.path), line.outcome is Outcome.PARTIAL), []).append(line)
    for (minor, stated, partly), lines in sorted(kinds.items()):
        count = number(sum(line.count for line in lines), "host")
        known = f"{count} known only in part" if partly else count
        first, _, rest = lines[0].detail.partition(". ")
        what, action = lines[0].what, rest if partly else lines[0].detail.removeprefix(f"{NEEDED_THERE}. ")
        why = "nobody looked, and what goes may be needed there"
        if minor:
            why = "nobody looked there, and that rules out nothing"
        elif partly:
            why = f"what goes may be needed where nobody looked. {first}"
        if stated:
            reasons = some(dict.fromkeys(clean(line.detail) for line in lines))
            what = f"{known} that the inventory leaves out"
            why = f"nobody looked{' further' if partly else ''}, and that rules out nothing: {reasons}"
            action = ""
        if stated and not minor:
            what = f"{known} that the inventory left out until a day that is over"
            why = f"nobody looked there, and what was said of it has ended: {reasons}"
            action = "Collect from there, or find out whether the reason still holds, and write a new `until`."
        yield Gap(
            area=lines[0].area,
            what=clean(what),
            why=clean(why),
            sources=tuple(ranged(clean(host) for line in lines for host in line.hosts)),
            places=tuple(Provenance(line.path, line.line, estate=line.estate) for line in lines if line.path),
            action=clean(action),
            needed=not minor,
        )


def _wanted(missing: Iterable[str], area: Area) -> str:
    """The files to add for relations that nobody looked at, written `runs-on` or `runs-on on web-01`."""
    wanted: dict[str, dict[str, None]] = {}
    for text in missing:
        relation, _, host = text.partition(" on ")
        hint = AREA_HINT.get(area) if relation == Relation.CONNECTS else None
        hosts = wanted.setdefault(hint or RELATION_HINT.get(relation, clean(relation)), {})
        if host:
            hosts[clean(host)] = None
    of = some(sorted({host for hosts in wanted.values() for host in hosts}))
    local = "; ".join(hint for hint, hosts in wanted.items() if hosts)
    anywhere = "; ".join(hint for hint, hosts in wanted.items() if not hosts)
    return "; ".join(part for part in (f"of {of}: {local}" if local else "", anywhere) if part)


def _by_place(place: Provenance) -> tuple[str, int]:
    return (place.path, place.line)


def seen_by_area(report: Report) -> tuple[tuple[Area, tuple[tuple[str, int], ...], tuple[str, ...]], ...]:
    """What was looked at: for each area the kinds of captures with their number, and the kinds known to be absent."""
    rows = []
    for area in Area:
        counts: Counter[str] = Counter()
        absent: set[str] = set()
        for line in report.coverage:
            if line.area is area and line.count and line.outcome in _READ and not line.hosts:
                counts[clean(line.what)] += line.count
            elif line.area is area and line.outcome is Outcome.ABSENT:
                absent.add(clean(line.what))
        if counts or absent:
            rows.append((area, tuple(sorted(counts.items())), tuple(sorted(absent - counts.keys()))))
    return tuple(rows)


def passed(report: Report) -> tuple[tuple[str, str], ...]:
    """What rules looked at and found as it should be, with the rule, in the order of `Area`."""
    runs = sorted(report.rules, key=lambda run: (_AREA_RANK[run.area], run.rule))
    return tuple((clean(text), clean(run.rule)) for run in runs for text in run.passed)


def files(report: Report) -> int:
    """How many files were looked at: the engine's count, or else the most that one area has."""
    return report.counts.get("files", max((row.seen for row in areas(report)), default=0))


def fleet_said(report: Report) -> tuple[str, ...]:
    """How far the hosts that stay were looked into: all together, then each part with how many of them have it, have
    none and are unknown; what is unknown of all of them comes last, in one. Empty if no host stays."""
    fleet = report.fleet
    if fleet is None:
        return ()
    known = f"{number(fleet.hosts, 'host')} that {'stays' if fleet.hosts == 1 else 'stay'}"
    if fleet.whole == fleet.hosts:
        known += ", collected whole"
    elif fleet.whole:
        known += f", {fleet.whole:,} of them collected whole"
    unknown = [part.what for part in fleet.parts if part.unknown == fleet.hosts]
    if len(unknown) == len(fleet.parts):
        return (f"{known}, of which nothing is known",)
    last = [f"known of none: {', '.join(unknown)}"] if unknown else []
    return (known, *(_part_said(part) for part in fleet.parts if part.unknown < fleet.hosts), *last)


def _part_said(part: FleetPart) -> str:
    """`web servers and proxies 120, none 215, unknown 14`."""
    counts = ((part.seen, ""), (part.none, "none "), (part.unknown, "unknown "))
    return f"{part.what} {', '.join(f'{word}{count:,}' for count, word in counts if count)}"


def other_counts(report: Report) -> tuple[tuple[str, int], ...]:
    """The report's other counts with their names as words."""
    return tuple((clean(name).replace("_", " "), count) for name, count in report.counts.items() if name != "files")


def basis(report: Report) -> str:
    """What the verdict rests on: `1,412 files of 7 sources, 11 checks in 9 areas`."""
    made = [run for run in report.rules if run.looked_at]
    sources = len({line.source for line in report.coverage if line.seen})
    covered = len({run.area for run in made})
    looked = f"{number(files(report), 'file')} of {number(sources, 'source')}"
    return f"{looked}, {number(len(made), 'check')} in {number(covered, 'area')}"


def beyond(report: Report) -> str:
    """What the verdict says nothing of, in few words: `2 hosts that the inventory leaves out; traffic, anywhere`; empty
    if there is nothing."""
    said = all_beyond(report)
    return "; ".join(said[:BEYOND]) + (f"; and {len(said) - BEYOND:,} more" if len(said) > BEYOND else "")


def all_beyond(report: Report) -> list[str]:
    """What the verdict says nothing of, though that rules out nothing: hosts first, single places that can't be read
    last."""
    minor = [gap for gap in gaps(report) if not gap.needed]
    minor.sort(key=lambda gap: (gap.area is not Area.COVERAGE, bool(gap.places)))
    return [f"{gap.what} in {gap.area.value}" if gap.what.endswith(("place", "places")) else gap.what for gap in minor]


def tally(report: Report) -> str:
    """`6 blockers, 4 warnings, 1 note`; what is none is left out."""
    severities = Counter(finding.severity for finding in report.findings)
    nouns = ((Severity.BLOCK, "blocker"), (Severity.WARN, "warning"), (Severity.INFO, "note"))
    return ", ".join(number(severities[severity], noun) for severity, noun in nouns if severities[severity])


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in words, without the verdict's own word."""

    claim: str
    """Which host can, can't or may not go."""
    counts: str
    """What was found and what was not seen; empty if there is nothing to count."""

    def __str__(self) -> str:
        return f"{self.claim}: {self.counts}" if self.counts else self.claim


def headline(report: Report) -> Headline:
    """`legacy-cert-01.eventide.net can't be made read-only` and `6 blockers, 4 warnings`."""
    counts = "; ".join(part for part in (tally(report), _unseen(report), aside_tally(report.aside)) if part)
    if not report.going:
        return Headline("no host of this estate is going", counts)
    who = _who(report.going)
    if report.phase is Phase.AFTER:
        return _afterwards(report.verdict, who, len(report.going) != 1, counts)
    asked = all(host.origin == "asked" for host in report.going)
    lifecycles = {host.lifecycle for host in report.going}
    fate = lifecycles.pop() if len(lifecycles) == 1 else None
    plural = len(report.going) != 1
    if report.verdict is Verdict.BLOCKED:
        return Headline(f"{who} can't {_go(fate)}" if asked else f"{_is(who, fate, plural)}, and still needed", counts)
    if report.verdict is Verdict.INCOMPLETE:
        counts = counts or "not everything was looked at"
        return Headline(f"can't tell whether {who} can {_go(fate) if asked else 'go'}", counts)
    if asked:
        return Headline(f"{who} can {_go(fate)}", counts or f"nothing found that needs {'them' if plural else 'it'}")
    return Headline(f"{_is(who, fate, plural)}, and nothing more is needed of {'them' if plural else 'it'}", counts)


def _afterwards(verdict: Verdict, who: str, plural: bool, counts: str) -> Headline:
    """Whether hosts that are said to be gone are."""
    are, them = ("are", "them") if plural else ("is", "it")
    if verdict is Verdict.BLOCKED:
        return Headline(f"{who} {are} not gone as {'they' if plural else 'it'} should be", counts)
    if verdict is Verdict.INCOMPLETE:
        return Headline(f"can't tell whether {who} {are} gone", counts or "not everything was looked at")
    return Headline(f"{who} {are} gone", counts or f"nothing answers, and nothing refers to {them} any more")


def _unseen(report: Report) -> str:
    """What was not seen, in a few words: `2 areas not fully looked at, 5 hosts not looked at`."""
    parts = []
    rows = [row for row in areas(report) if row.unseen not in NO_GAP and Area.COVERAGE not in row.area.covers]
    if rows:
        parts.append(f"{number(len(rows), 'area')} not fully looked at")
    hosts: Counter[Outcome] = Counter()
    for line in report.coverage:
        if line.hosts and line.needed and not line.seen:
            hosts[line.outcome] += line.count
    for outcome, how_far in ((Outcome.UNSEEN, "not looked at"), (Outcome.PARTIAL, "known only in part")):
        if hosts[outcome]:
            parts.append(f"{number(hosts[outcome], 'host')} {how_far}")
    if report.failures:
        parts.append(f"{number(len(report.failures), 'part')} of the audit failed")
    return ", ".join(parts)


def _who(going: tuple[Going, ...]) -> str:
    names = [clean(host.host) for host in going]
    return names[0] if len(names) == 1 else f"{number(len(names), 'host')} ({some(names, 2)})"


def _go(fate: Lifecycle | None) -> str:
    return {Lifecycle.READ_ONLY: "be made read-only", None: "go as planned"}.get(fate, "be retired")


def _is(who: str, fate: Lifecycle | None, plural: bool) -> str:
    return f"{who} {'are' if plural else 'is'} {fate.value if fate else 'going'}"


class Soonest(NamedTuple):
    """The deadline that comes first, the finding that has it, its number, and how many later deadlines there are."""

    deadline: datetime
    position: int
    finding: Finding
    later: int


def soonest(report: Report) -> Soonest | None:
    """The soonest deadline; None if no finding has one."""
    numbered = enumerate(ordered(report.findings, report.profile), 1)
    dated = [(in_utc(found.deadline), position, found) for position, found in numbered if found.deadline]
    if not dated:
        return None
    deadline, position, finding = min(dated, key=lambda item: item[:2])
    return Soonest(deadline, position, finding, len({at for at, _, _ in dated if at > deadline}))


def next_deadline(report: Report) -> str:
    """`34 h left, until Sat 2025-11-22 08:00 UTC: *.eventide.net (see 1)`, for the soonest deadline; empty if none."""
    found = soonest(report)
    if found is None:
        return ""
    more = f"; {number(found.later, 'later deadline')}" if found.later else ""
    left = _left(found.deadline, report.now)
    return f"{left}: {clean(found.finding.subject)} (see {found.position}{more})"


def _left(deadline: datetime, now: datetime) -> str:
    since = "since" if in_utc(deadline) < in_utc(now) else "until"
    return f"{time_left(deadline, now)}, {since} {moment(deadline)}"


def weight(finding: Finding, report: Report) -> str:
    """What is at stake and how soon: `Broken, 34 h left (until Sat 2025-11-22 08:00 UTC)`. May be empty."""
    parts = []
    if finding.impact is not Impact.NONE:
        parts.append(finding.impact.value)
    if finding.confidence is not Confidence.HIGH:
        parts.append(f"{finding.confidence.value} confidence")
    # Rules that know of certificates say it themselves, with what ends then.
    if finding.deadline and day(finding.deadline) not in finding.message + finding.why:
        parts.append(_left(finding.deadline, report.now))
    said = ", ".join(parts)
    return said[:1].upper() + said[1:]


def shape(finding: Finding, report: Report) -> tuple[str, Severity, str, str, str]:
    """What findings must share to stand under one heading."""
    return (finding.rule, finding.severity, weight(finding, report), finding.why, finding.action)


def fate_of(host: Going) -> str:
    """`read-only since 2025-06-20 (asked)`."""
    since = f" since {clean(host.since)}" if host.since else ""
    return f"{host.lifecycle.value}{since} ({clean(host.origin)})"


ASIDE_NOUN: Final[Mapping[Aside, str]] = MappingProxyType(
    {Aside.WAIVED: "waived", Aside.KNOWN: "known before", Aside.OFF: "switched off"}
)


def aside_tally(aside: Iterable[SetAside]) -> str:
    """`2 waived, 14 known before`: what was found and does not count; empty if there is nothing."""
    counted = Counter(one.why for one in aside)
    return ", ".join(f"{counted[why]:,} {noun}" for why, noun in ASIDE_NOUN.items() if counted[why])


def aside_said(one: SetAside) -> str:
    """Who has decided that a finding does not count, why and where."""
    where = clean(f"{one.where.path}:{one.where.line}" if one.where.line else one.where.path)
    if one.why is Aside.WAIVED:
        return f"waived until {one.expires} by {clean(one.owner)}: {clean(one.reason)} ({where})"
    if one.why is Aside.OFF:
        return f"switched off: {clean(one.reason)} ({where})"
    return f"known before ({where})"


GONE: Final = "GONE"
NOT_SEEN_AGAIN: Final = "NOT SEEN AGAIN"


def changes(report: Report) -> tuple[tuple[str, str, tuple[Earlier, ...]], ...]:
    """What was there before and is not now, under a title and with a sentence: what is gone, what could not be seen."""
    use, since = report.policy, report.since
    gone = {one.fingerprint: one for one in (*use.gone, *(since.fixed if since else ()))}
    unseen = {one.fingerprint: one for one in (*use.unseen, *(since.unseen if since else ()))}
    parts = [f"the baseline {clean(use.baseline)}"] if use.baseline else []
    parts += [f"the run of {_when(since.time)}"] if since else []
    known = " and ".join(parts)
    rows = (
        (GONE, f"{known[:1].upper()}{known[1:]} had these, and they are no more.", tuple(gone.values())),
        (NOT_SEEN_AGAIN, f"These are of {known}; this run could not look for them.", tuple(unseen.values())),
    )
    return tuple(row for row in rows if row[2])


def since_said(report: Report, since: SinceLast) -> str:
    """`Since the run of Thu 2025-11-20 22:00 UTC: 2 new, 3 fixed, 9 still open`."""
    fresh = sum(one.fingerprint in since.new for one in report.findings)
    parts = [f"{fresh:,} new", f"{len(since.fixed):,} fixed", f"{len(report.findings) - fresh:,} still open"]
    parts += [f"{len(since.aside):,} set aside since"] if since.aside else []
    parts += [f"{len(since.unseen):,} not seen again"] if since.unseen else []
    return f"Since the run of {_when(since.time)}: {', '.join(parts)}"


def _when(time: str) -> str:
    known = parse_time(time)
    return moment(known) if known is not None else clean(time)


def only_owner(report: Report) -> str:
    """Who signs off all areas, if that is the same for each; else empty."""
    owners = {report.owners.get(area.id, "") for area in report.profile.areas}
    return owners.pop() if len(owners) == 1 else ""


_ANSWER_MARK: Final = {Answer.YES: "☑", Answer.NO: "☒", Answer.NOT_APPLICABLE: "☑"}


def answer_mark(answered: Answered | None) -> str:
    """☐ open, ☑ yes or not applicable, ☒ no."""
    return _ANSWER_MARK[answered.answer] if answered is not None else "☐"


def answer_said(answered: Answered) -> str:
    """`yes by Ada on 2025-11-20: walked it twice; evidence: CHG-1`."""
    said = "not applicable" if answered.answer is Answer.NOT_APPLICABLE else answered.answer.value
    said += f" by {clean(answered.by)} on {answered.time[:10]}"
    said += f": {clean(answered.note)}" if answered.note else ""
    return said + (f"; evidence: {clean(answered.evidence)}" if answered.evidence else "")


def signature_said(report: Report, area: ChecklistArea) -> str:
    """`signed off by Ada on 2025-11-20, despite 1 blocker; reason: it moves tomorrow`; who is to sign if nobody has."""
    one = report.signed.get(area.id)
    if one is None:
        owner = report.owners.get(area.id, "")
        return f"to be signed off by {clean(owner)}" if owner and not only_owner(report) else ""
    said = f"signed off by {clean(one.by)} on {one.time[:10]}"
    if one.despite:
        said += f", despite {clean('; '.join(one.against))}; reason: {clean(one.despite)}"
    said += f": {clean(one.note)}" if one.note else ""
    return said if one.current else f"{said}; no longer as it was signed: look again"


def signatures_said(report: Report) -> str:
    """`7 of 13 areas are signed off, 1 no longer as it was signed`; empty if none is."""
    if not report.signed:
        return ""
    now = sum(one.current for one in report.signed.values())
    said = f"{now} of {number(len(report.profile.areas), 'area')} {'is' if now == 1 else 'are'} signed off"
    stale = len(report.signed) - now
    return said + (f", {stale} no longer as {'it was' if stale == 1 else 'they were'} signed" if stale else "")


def item_said(item: ManualItem) -> str:
    """`for security; wanted: the certificate of destruction`."""
    return f"for {clean(item.who)}" + (f"; wanted: {clean(item.evidence)}" if item.evidence else "")


def path_parts(finding: Finding) -> list[str]:
    """The nodes of a finding's path from consumer to host, a step's note in brackets."""
    if not finding.path:
        return []
    parts = [clean(finding.path[0].consumer)]
    for step in finding.path:
        note = f" ({clean(step.note)})" if step.note else ""
        parts.append(clean(step.provider) + note)
    return parts
