"""What a policy and a baseline do to a run: which rules run how, and which findings do not count.

Nothing is dropped: what does not count is set aside, with who decided it and where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from auditor.api import Rule
from auditor.model import (
    Aside,
    Earlier,
    Failure,
    Finding,
    Phase,
    PolicyUse,
    Provenance,
    RuleRun,
    SetAside,
    Severity,
)
from auditor.phrases import listed, plural
from auditor.policy import CONFIRM_HOSTS, CONFIRM_PERCENT
from auditor.text import excerpt

if TYPE_CHECKING:
    from auditor.policy.schema import BaselineDocument, BaselineFinding, PolicyDocument, RuleChange, Waiver

_RANK: Final[Mapping[Severity, int]] = {one: at for at, one in enumerate(Severity)}


def named_beside(path: str, other: str) -> str:
    """What problems call a file that is named in another, which they call `path`: of a directory or of a commit."""
    return path[: max(path.rfind("/"), path.rfind(":")) + 1] + other


@dataclass(frozen=True, slots=True)
class Baseline:
    """Findings that were there before, from a file."""

    path: str
    digest: str
    document: BaselineDocument


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy from a file, checked against the rules that there are."""

    path: str
    digest: str
    """SHA-256 of its bytes, in hex."""
    document: PolicyDocument
    settings: Mapping[str, Mapping[str, int | timedelta]]
    """Thresholds by rule and name."""
    lines: tuple[str, ...] = ()
    baseline: Baseline | None = None
    profile: bytes | None = None
    """The profile that it names, as it stands in its file."""

    def place(self, line: int) -> Provenance:
        """A line of it as evidence."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        return Provenance(self.path, line, excerpt(text).strip())

    def configured(self, rules: Iterable[Rule]) -> list[Rule]:
        """The rules with the thresholds that it sets."""
        return [rule.with_settings(chosen) if (chosen := self.settings.get(rule.id)) else rule for rule in rules]


@dataclass(frozen=True, slots=True)
class Settled:
    """A run's findings and rules, after all decisions."""

    findings: tuple[Finding, ...]
    aside: tuple[SetAside, ...]
    runs: tuple[RuleRun, ...]
    failures: tuple[Failure, ...]
    """Waivers that have expired."""
    use: PolicyUse


def too_many(going: int, hosts: int, policy: Policy | None) -> str:
    """Why a scenario is so large that it may be a mistake, in words; empty if it is not.

    `going` of `hosts` machines are touched.
    """
    percent = policy.document.confirm_percent if policy is not None else CONFIRM_PERCENT
    enough = policy.document.confirm_hosts if policy is not None else CONFIRM_HOSTS
    if going <= enough or going * 100 <= hosts * percent:
        return ""
    return f"{going:,} of {plural(hosts, 'host')} are going, {going * 100 // hosts} %: more than {percent} %"


def settle(
    findings: Sequence[Finding],
    runs: Sequence[RuleRun],
    blind: Callable[[str], bool],
    going: Iterable[str],
    now: datetime,
    policy: Policy | None,
    baseline: Baseline | None,
    *,
    phase: Phase = Phase.BEFORE,
) -> Settled:
    """Applies a policy and a baseline. `baseline` counts before the one that the policy names.

    `going` are the names of the hosts that this run is about; `blind` says of an estate path that it was not seen.
    """
    hosts = frozenset(going)
    baseline = baseline or (policy.baseline if policy is not None else None)
    aside: list[SetAside] = []
    failures: list[Failure] = []
    use = PolicyUse()
    left, known_runs = list(findings), list(runs)
    if policy is not None:
        known_runs = [replace(run, off=_off(policy, run)) for run in runs]
        changed = [_changed(policy, one) for one in left]
        aside += [one for one in changed if isinstance(one, SetAside)]
        left = [one for one in changed if isinstance(one, Finding)]
        left, waived, failures, unused = _waive(policy, left, hosts, now)
        aside += waived
        if phase is Phase.AFTER:
            # What was waived before the switch-off is no more.
            unused = ()
        use = replace(use, path=policy.path, digest=policy.digest, changes=tuple(_told(policy)), unused=unused)
    if baseline is not None:
        left, known = _known(baseline, left)
        aside += known
        there = {one.fingerprint for one in findings}
        asked = {run.rule for run in runs}
        missed = [
            earlier(one)
            for one in baseline.document.findings
            if one.fingerprint not in there and (phase is Phase.BEFORE or one.rule in asked)
        ]
        gone, unseen = credit(missed, known_runs, blind, hosts)
        use = replace(use, baseline=baseline.path, gone=gone, unseen=unseen)
    return Settled(tuple(left), tuple(aside), tuple(known_runs), tuple(failures), use)


def _off(policy: Policy, run: RuleRun) -> str:
    """Where and why a rule is off for every host; empty if it is not."""
    said = ""
    for change in policy.document.rules:
        if change.enabled is None or not _is_for(change, run.rule, run.area.value):
            continue
        if change.enabled:
            # Also for some hosts alone: then it must have looked.
            said = ""
        elif not change.hosts:
            said = f"{policy.path}:{change.line}: {change.reason}"
    return said


def _is_for(change: RuleChange, rule: str, area: str) -> bool:
    return (change.rule is None or fnmatchcase(rule, change.rule)) and (
        change.area is None or change.area.value == area
    )


def _changed(policy: Policy, finding: Finding) -> Finding | SetAside:
    """A finding as the entries of `rules` want it: the last that speaks of it counts."""
    off: RuleChange | None = None
    severity = finding.severity
    for change in policy.document.rules:
        if not _is_for(change, finding.rule, finding.area.value) or not _all(finding.hosts, change.hosts):
            continue
        if change.enabled is not None:
            off = None if change.enabled else change
        if change.severity is not None:
            severity = change.severity
    changed = finding if severity is finding.severity else replace(finding, severity=severity)
    if off is None:
        return changed
    return SetAside(changed, Aside.OFF, policy.place(off.line), off.reason or "")


def _all(texts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether each text meets one of the patterns. No pattern asks for nothing; no text meets no pattern."""
    if not patterns:
        return True
    return bool(texts) and all(any(fnmatchcase(text.lower(), one.lower()) for one in patterns) for text in texts)


def _waive(
    policy: Policy, findings: Iterable[Finding], hosts: frozenset[str], now: datetime
) -> tuple[list[Finding], list[SetAside], list[Failure], tuple[Provenance, ...]]:
    """What still counts, what is waived, the waivers that have expired, and those that nothing met."""
    today = now.date()
    left: list[Finding] = []
    waived: list[SetAside] = []
    met: dict[int, int] = {}
    for finding in findings:
        found = [waiver for waiver in policy.document.waivers if _meets(waiver, finding)]
        for waiver in found:
            met[waiver.line] = met.get(waiver.line, 0) + 1
        holding = next((waiver for waiver in found if waiver.expires >= today), None)
        if holding is None:
            left.append(finding)
        else:
            where = policy.place(holding.line)
            expires = holding.expires.isoformat()
            waived.append(SetAside(finding, Aside.WAIVED, where, holding.reason, holding.owner, expires))
    failures = []
    unused = []
    for waiver in policy.document.waivers:
        count = met.get(waiver.line, 0)
        if waiver.expires < today:
            failures.append(_expired(policy, waiver, count))
        elif not count and _may_meet(waiver, hosts):
            unused.append(policy.place(waiver.line))
    return left, waived, failures, tuple(unused)


def _meets(waiver: Waiver, finding: Finding) -> bool:
    if waiver.fingerprint is not None:
        return waiver.fingerprint == finding.fingerprint
    match = waiver.match
    if match is None:
        return False
    paths = tuple(dict.fromkeys(one.path for one in finding.evidence))
    return (
        (match.rule is None or fnmatchcase(finding.rule, match.rule))
        and (match.subject is None or fnmatchcase(finding.subject.lower(), match.subject.lower()))
        and (match.host is None or _all(finding.hosts, (match.host,)))
        and (match.path is None or _all(paths, (match.path,)))
    )


def _may_meet(waiver: Waiver, hosts: Iterable[str]) -> bool:
    """Whether a run about these hosts can meet a waiver: one for another host is not unused."""
    pattern = waiver.match.host if waiver.match is not None else None
    return pattern is None or any(fnmatchcase(host.lower(), pattern.lower()) for host in hosts)


def _expired(policy: Policy, waiver: Waiver, count: int) -> Failure:
    again = f"{plural(count, 'finding')} {'counts' if count == 1 else 'count'} again" if count else "nothing meets it"
    return Failure(
        f"the waiver at {policy.path}:{waiver.line} has expired",
        f"it held until {waiver.expires.isoformat()}, for {waiver.owner}: {excerpt(waiver.reason)}; {again}",
        "Mend what it waived, or decide anew and give it a later date; then remove it."
        if count
        else "Remove it: what it waived is gone.",
    )


def _known(baseline: Baseline, findings: Iterable[Finding]) -> tuple[list[Finding], list[SetAside]]:
    recorded = {one.fingerprint: one for one in baseline.document.findings}
    left: list[Finding] = []
    known: list[SetAside] = []
    for finding in findings:
        one = recorded.get(finding.fingerprint)
        if one is None or _RANK[finding.severity] < _RANK[one.severity]:
            left.append(finding)
        else:
            known.append(SetAside(finding, Aside.KNOWN, Provenance(baseline.path, one.line)))
    return left, known


def earlier(one: BaselineFinding) -> Earlier:
    """A finding of a baseline."""
    return Earlier(one.fingerprint, one.rule, one.area, one.severity, one.subject, one.message, one.hosts, one.paths)


def credit(
    missed: Iterable[Earlier], runs: Iterable[RuleRun], blind: Callable[[str], bool], going: frozenset[str]
) -> tuple[tuple[Earlier, ...], tuple[Earlier, ...]]:
    """Findings of an earlier time that this run did not make: those that are gone, and those that it could not see.

    Gone is what its rule looked for, about hosts of this run, in files all of which were seen, or are known to be no
    more. What is about other hosts is neither.
    """
    looked = {run.rule for run in runs if run.looked_at}
    gone: list[Earlier] = []
    unseen: list[Earlier] = []
    for one in missed:
        if not going.issuperset(one.hosts):
            continue
        # A rule that there is no more looks for nothing; whether the thing is gone it does not say.
        seen = one.rule in looked and not any(blind(path) for path in one.paths)
        (gone if seen else unseen).append(one)
    return tuple(gone), tuple(unseen)


def _told(policy: Policy) -> Iterator[str]:
    """What the entries of `rules` change, in words."""
    for change in policy.document.rules:
        whom = f"rules {change.rule}" if change.rule and "*" in change.rule else change.rule or ""
        if change.area is not None:
            whom = f"{whom} in {change.area.value}" if whom else f"all of {change.area.value}"
        whom += f" for {listed(change.hosts)}" if change.hosts else ""
        parts = []
        if change.enabled is not None:
            parts.append("on" if change.enabled else f"off ({change.reason})")
        if change.severity is not None:
            parts.append(f"severity {change.severity.value}")
        parts += [f"{name} {value}" for name, value in (change.settings or {}).items()]
        yield f"{whom}: {', '.join(parts)} ({policy.path}:{change.line})"
