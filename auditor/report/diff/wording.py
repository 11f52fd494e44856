"""What the renderers of a difference share: how it is said, and which facts stand together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from auditor.difference import Diff, FactChange
from auditor.model import Attribute, Finding, Outcome, Severity
from auditor.phrases import listed, ranged
from auditor.report.layout import number
from auditor.report.summary import ordered

SAME, DIFFERS, UNSEEN = 0, 1, 4
EXIT_MEANING: Final = (
    "0 the same, 1 differs, 2 usage or bad estate, 3 crash, 4 no difference seen, and not all was seen"
)
_WORDS: Final = ((Severity.BLOCK, "blocker"), (Severity.WARN, "warning"), (Severity.INFO, "note"))


def exit_code(diff: Diff) -> int:
    """What the command ends with. A difference that is known goes before what is not known."""
    if diff.differs:
        return DIFFERS
    return SAME if diff.complete else UNSEEN


def verdict(diff: Diff) -> str:
    """The answer in a word or three."""
    return ("SAME", "DIFFERS")[diff.differs] if diff.differs or diff.complete else "NOT ALL SEEN"


def headline(diff: Diff) -> list[str]:
    """The answer in one sentence each for findings, facts and what was not seen; the last only if there is any."""
    found = [
        (_severities([one.finding for one in diff.found]), "new"),
        (len(diff.fixed) and f"{len(diff.fixed):,}", "gone"),
        (len(diff.findings_changed) and f"{len(diff.findings_changed):,}", "changed"),
        (len(diff.findings_left) and f"{len(diff.findings_left):,}", "as before"),
    ]
    findings = listed([f"{count} {word}" for count, word in found if count], 4)
    facts = listed(
        [
            f"{len(some):,} {word}"
            for some, word in ((diff.appeared, "appeared"), (diff.vanished, "vanished"), (diff.changed, "changed"))
            if some
        ]
    )
    about = f"findings: {findings or 'none'}" if diff.going or findings else "findings: no host is going"
    said = [about, f"facts: {facts or 'the same'}"]
    lost = listed(
        [
            number(len(some), noun)
            for some, noun in (
                (diff.sources_not_seen, "source"),
                (diff.findings_not_seen, "finding"),
                (diff.not_seen, "fact"),
            )
            if some
        ]
    )
    return [*said, f"not seen this time: {lost}"] if lost else said


def _severities(findings: Iterable[Finding]) -> str:
    counted = Counter(one.severity for one in findings)
    return listed([number(counted[severity], word) for severity, word in _WORDS if counted[severity]])


@dataclass(frozen=True, slots=True)
class Subject:
    """What differs of one thing, or of several that one line of a file makes: themselves, and what they depend on."""

    kind: str
    names: tuple[str, ...]
    hosts: tuple[str, ...]
    why: str
    last_seen: str
    changes: tuple[FactChange, ...]
    both: bool
    """Whether it is on both sides."""

    @property
    def first(self) -> FactChange:
        """The change whose place is shown."""
        return self.changes[0]

    @property
    def title(self) -> str:
        """`job /etc/cron.d/x: root /opt/x on web[01:09]`."""
        what = f"{self.kind} {listed(ranged(self.names), 3)}" if self.names != ("this host",) else ""
        on = f"on {listed(ranged(self.hosts), 3)}" if self.hosts else ""
        return " ".join(part for part in (what, on) if part)

    @property
    def details(self) -> list[str]:
        """What differs, a line each: its dependencies, then values of the thing."""
        lines = []
        targets: dict[tuple[str, str, str], list[str]] = {}
        for one in self.changes:
            if one.relation:
                targets.setdefault((one.relation, one.provider_kind, "; ".join(values(one, self.both))), []).append(
                    one.provider
                )
        for (relation, kind, differs), providers in targets.items():
            what = "this host" if providers == ["this host"] else f"{kind} {listed(ranged(providers), 3)}"
            lines.append(f"{relation.replace('-', ' ')} {what}" + (f" ({differs})" if differs else ""))
        return [
            *lines,
            *dict.fromkeys(said for one in self.changes if not one.relation for said in values(one, self.both)),
        ]


def subjects(changes: Sequence[FactChange], *, both: bool = False) -> list[Subject]:
    """Changes by what they are about, sorted. What one line of a file says of several things alike is one.

    `both` for what is on both sides.
    """
    things: dict[tuple[str, str, tuple[str, ...], str, str], list[FactChange]] = {}
    for one in sorted(changes, key=_order):
        things.setdefault((one.kind, one.subject, one.hosts, one.why, one.last_seen), []).append(one)
    alike: dict[tuple[object, ...], list[tuple[str, list[FactChange]]]] = {}
    for (kind, subject, hosts, why, last_seen), some in things.items():
        at = some[0].where.path, some[0].where.line
        shape = tuple((one.relation, one.provider_kind, tuple(values(one, both))) for one in some)
        alike.setdefault((kind, hosts, why, last_seen, at, shape), []).append((subject, some))
    return [
        Subject(
            some[0][1][0].kind,
            tuple(name for name, _ in some),
            some[0][1][0].hosts,
            some[0][1][0].why,
            some[0][1][0].last_seen,
            tuple(one for _, changes in some for one in changes),
            both,
        )
        for some in alike.values()
    ]


def _order(one: FactChange) -> tuple[object, ...]:
    return one.kind, one.subject, one.hosts, one.why, one.last_seen, one.relation, one.provider_kind, one.provider


@dataclass(frozen=True, slots=True)
class Unseen:
    """A place that NEW could not see, with what OLD knew by it."""

    path: str
    why: str
    last_seen: str
    findings: tuple[Finding, ...]
    subjects: tuple[Subject, ...]
    facts: int

    @property
    def rests(self) -> str:
        """`7 findings and 776 facts`."""
        counted = ((len(self.findings), "finding"), (self.facts, "fact"))
        return listed([number(count, noun) for count, noun in counted if count])


def unseen(diff: Diff) -> list[Unseen]:
    """All that NEW could not see, by place: sources as they are recorded, then what facts and findings rest on."""
    places: dict[str, tuple[str, str]] = {}
    for source in diff.sources_not_seen:
        said = f"{source.outcome.value}: {source.detail}" if source.detail else source.outcome.value
        places[source.path] = said if source.outcome is not Outcome.UNSEEN else source.detail, source.last_seen
    findings: dict[str, list[Finding]] = {}
    for lost in diff.findings_not_seen:
        places.setdefault(lost.path, (lost.why, lost.last_seen))
        findings.setdefault(lost.path, []).append(lost.finding)
    facts: dict[str, list[FactChange]] = {}
    for fact in diff.not_seen:
        places.setdefault(fact.where.path, (fact.why, fact.last_seen))
        facts.setdefault(fact.where.path, []).append(fact)
    return [
        Unseen(
            path,
            why,
            last_seen,
            ordered(findings.get(path, ())),
            tuple(subjects(facts.get(path, ()))),
            len(facts.get(path, ())),
        )
        for path, (why, last_seen) in places.items()
    ]


def values(one: FactChange, both: bool) -> Iterator[str]:
    """`lifecycle: active → read-only` for each value that differs; of lists what was added and taken away.

    Of a thing that only one side has, what is said of it.
    """
    for name in sorted({*one.before, *one.after}):
        before, after = one.before.get(name), one.after.get(name)
        if not both:
            said = _value(after if before is None else before)
        elif isinstance(before, tuple) and isinstance(after, tuple):
            added = [f"+{item}" for item in after if item not in before]
            taken = [f"-{item}" for item in before if item not in after]
            said = listed([*added, *taken], 6) or "in another order"
        else:
            said = f"{_value(before)} → {_value(after)}"
        yield f"{name.replace('_', ' ')}: {said}"


def _value(value: Attribute | None) -> str:
    if value is None or value in ("", ()):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return listed(value, 6) if isinstance(value, tuple) else str(value)
