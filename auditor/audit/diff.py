"""Two states of an estate against each other: what appeared, vanished and changed, in facts and in findings.

A fact is an entity or a dependency as a document states it, of the host that the document is of; where it stands does
not count, so that a moved line is no change. What OLD knew and NEW could not see is neither kept nor gone: it is told
apart, with the time at which it was last seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

from auditor.api import Collector, Rule
from auditor.audit.engine import Request, judge, load_from, survey
from auditor.audit.scenario import Asked
from auditor.capture.estates import open_estates
from auditor.capture.reading import Bound, Combined, Reading, Templates, estate_path_of
from auditor.capture.tree import CAPTURES, INVENTORY, Tree
from auditor.model import (
    Attribute,
    Dependency,
    Entity,
    Failure,
    Finding,
    Going,
    Lifecycle,
    Outcome,
    Parsed,
    Provenance,
    Ref,
    Report,
)
from auditor.text import expand_range, normal_name

_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})
_OF_THE_ESTATE: Final = frozenset({INVENTORY, CAPTURES, "snapshot.json"})
NOBODY_ASKED: Final = "nobody asked for it this time"

Key: TypeAlias = tuple[str, ...]
"""What makes two facts the same: host, kind of the subject, its text, relation, kind and text of the provider."""


@dataclass(frozen=True, slots=True)
class FactChange:
    """One fact that differs.

    `host` is empty for the tree. `relation` and `provider` are empty for an entity. `before` and `after` hold what is
    stated of it and differs: attributes, or the need of a dependency. `last_seen` and `why` are set for what NEW could
    not see.
    """

    host: str
    kind: str
    subject: str
    relation: str
    provider_kind: str
    provider: str
    where: Provenance
    before: Mapping[str, Attribute] = field(default_factory=dict)
    after: Mapping[str, Attribute] = field(default_factory=dict)
    last_seen: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class UnseenFinding:
    """A finding of OLD that is not in NEW, where NEW could not see what it rests on."""

    finding: Finding
    path: str
    last_seen: str
    why: str


@dataclass(frozen=True, slots=True)
class UnseenSource:
    """A place that OLD had seen and NEW could not."""

    path: str
    outcome: Outcome
    detail: str
    last_seen: str


@dataclass(frozen=True, slots=True)
class Diff:
    """All that differs. Findings are compared by fingerprint; `open` are those of NEW that were there before."""

    old: str
    new: str
    going: tuple[Going, ...]
    appeared: tuple[FactChange, ...]
    vanished: tuple[FactChange, ...]
    changed: tuple[FactChange, ...]
    not_seen: tuple[FactChange, ...]
    found: tuple[Finding, ...]
    fixed: tuple[Finding, ...]
    open: tuple[Finding, ...]
    findings_not_seen: tuple[UnseenFinding, ...]
    sources_not_seen: tuple[UnseenSource, ...]
    failures: tuple[Failure, ...]

    @property
    def differs(self) -> bool:
        """Whether anything is known to be otherwise than before."""
        return bool(self.appeared or self.vanished or self.changed or self.found or self.fixed)

    @property
    def complete(self) -> bool:
        """Whether NEW saw all that OLD had, and nothing of the audit failed."""
        return not (self.not_seen or self.findings_not_seen or self.sources_not_seen or self.failures)


@dataclass(slots=True)
class _Known:
    """What is stated of one fact, and where first."""

    kind: str
    subject: str
    relation: str
    provider_kind: str
    provider: str
    where: Provenance
    values: dict[str, Attribute]


def compare(
    old: Path,
    new: Path,
    hosts: tuple[Asked, ...],
    lifecycle: Lifecycle | None,
    now: datetime,
    collectors: Sequence[Collector],
    rules: Sequence[Rule],
    failures: Iterable[Failure] = (),
    *,
    progress: Callable[[str, int], None] = lambda _what, _count: None,
) -> Diff:
    """Compares two estates. Findings are of the hosts given, else of those that each inventory declares as going.

    Raises EstateError, InventoryError and UsageError.
    """
    known = Templates()
    sides: list[tuple[Tree, Reading, Report]] = []
    for path in (old, new):
        tree = open_estates([path], lambda one: _stated(one))
        found = survey(tree, collectors, now, known=known, progress=progress)
        request = Request(path, hosts, lifecycle, now, going_required=False)
        sides.append((tree, found.reading, judge(found, request, rules, failures, progress=progress).report))
    (_, before, first), (_, after, second) = sides
    look = _Look(before, after)
    appeared, vanished, changed, not_seen = _facts(before, after, look)
    earlier = {one.fingerprint: one for one in first.findings}
    later = {one.fingerprint: one for one in second.findings}
    fixed: list[Finding] = []
    lost: list[UnseenFinding] = []
    for fingerprint, finding in earlier.items():
        if fingerprint in later:
            continue
        places = [*finding.evidence, *(step.evidence for step in finding.path if step.evidence is not None)]
        blind = next(((one.path, why) for one in places if (why := look.blind(one.path))), None)
        if blind is None:
            fixed.append(finding)
        else:
            lost.append(UnseenFinding(finding, blind[0], look.last_seen(blind[0]), blind[1]))
    going = {one.host: one for one in (*first.going, *second.going)}
    return Diff(
        old=first.estate,
        new=second.estate,
        going=tuple(going[name] for name in sorted(going)),
        appeared=appeared,
        vanished=vanished,
        changed=changed,
        not_seen=not_seen,
        found=tuple(one for fingerprint, one in later.items() if fingerprint not in earlier),
        fixed=tuple(fixed),
        open=tuple(one for fingerprint, one in later.items() if fingerprint in earlier),
        findings_not_seen=tuple(lost),
        sources_not_seen=tuple(look.sources()),
        failures=tuple(dict.fromkeys((*first.failures, *second.failures))),
    )


def _stated(tree: Tree) -> datetime | None:
    from auditor.errors import AuditorError

    try:
        inventory = load_from(tree)
    except AuditorError:
        return None
    return inventory.collected_at if inventory is not None else None


class _Look:
    """What NEW could see of what OLD had."""

    def __init__(self, old: Reading, new: Reading) -> None:
        self._old, self._new = old, new
        self._files = {bound.file.estate_path for bound in new.bound}
        self._hosts = _by_host(old), _by_host(new)
        # What was captured in part, or could not be read to its end.
        self._partly = {
            row.path: row.detail or row.outcome.value for row in new.coverage if row.path and row.outcome not in _SEEN
        }

    def blind(self, path: str) -> str:
        """Why a path of OLD was not seen in NEW; empty if it was, or is known to be gone."""
        if path in _OF_THE_ESTATE:
            return ""
        tree = self._new.tree
        if path in self._partly:
            return self._partly[path]
        record = tree.captures.get(path)
        if path in self._files:
            failed = record is not None and record.outcome not in _SEEN
            return _said(record.outcome, record.detail) if record is not None and failed else ""
        if not tree.recorded or tree.gone(path) is not None:
            return ""
        near = tree.nearest(path)
        if near is not None and near.outcome not in _SEEN:
            return _said(near.outcome, near.detail)
        if near is None and not path.startswith("hosts/"):
            # A file that someone laid beside the captures.
            return ""
        return NOBODY_ASKED

    def last_seen(self, path: str) -> str:
        """When OLD captured a path, ISO 8601; empty if nothing says so."""
        when = self._old.tree.time_of(path)
        return when.strftime("%Y-%m-%dT%H:%M:%SZ") if when is not None else ""

    def sources(self) -> Iterator[UnseenSource]:
        """Records of NEW that failed, of what OLD had seen."""
        old = self._old.tree
        for path, record in self._new.tree.captures.items():
            if record.outcome in _SEEN:
                continue
            before = old.captures.get(path)
            if (before is not None and before.outcome in _SEEN) or (before is None and old.exists(path)):
                yield UnseenSource(path, record.outcome, record.detail, self.last_seen(path))


def _said(outcome: Outcome, detail: str) -> str:
    return f"{outcome.value}: {detail}" if detail else outcome.value


def _by_host(reading: Reading) -> dict[str, list[Bound]]:
    """Documents by the host that they are of; a range of hosts stands for each. The tree is the host without a name."""
    names: dict[str, list[str]] = {"": [""]}
    for source in reading.tree.sources:
        names[source] = [normal_name(one) for one in expand_range(source)]
    found: dict[str, list[Bound]] = {}
    for bound in reading.bound:
        for name in names[bound.file.source]:
            found.setdefault(name, []).append(bound)
    return found


def _combined(reading: Reading) -> dict[str, list[Combined]]:
    found: dict[str, list[Combined]] = {}
    for one in reading.combined:
        for name in [normal_name(host) for host in expand_range(one.source)] if one.source else [""]:
            found.setdefault(name, []).append(one)
    return found


def _facts(
    before: Reading, after: Reading, look: _Look
) -> tuple[tuple[FactChange, ...], tuple[FactChange, ...], tuple[FactChange, ...], tuple[FactChange, ...]]:
    """Host by host. Documents that are the same on both sides are looked into only if others differ."""
    appeared: list[FactChange] = []
    vanished: list[FactChange] = []
    changed: list[FactChange] = []
    not_seen: list[FactChange] = []
    old_documents, new_documents = _by_host(before), _by_host(after)
    old_combined, new_combined = _combined(before), _combined(after)
    for host in sorted({*old_documents, *new_documents, *old_combined, *new_combined}):
        olds, news = old_documents.get(host, []), new_documents.get(host, [])
        same = {(one.file.path, one.template.digest) for one in olds} & {
            (one.file.path, one.template.digest) for one in news
        }
        if len(same) == len(olds) == len(news) and host:
            continue
        old = _stated_by(before, olds, old_combined.get(host, ()))
        new = _stated_by(after, news, new_combined.get(host, ()))
        for key, fact in new.items():
            if (known := old.get(key)) is None:
                appeared.append(_change(host, fact))
            elif known.values != fact.values:
                names = {*known.values, *fact.values}
                differ = sorted(name for name in names if known.values.get(name) != fact.values.get(name))
                changed.append(
                    _change(
                        host,
                        fact,
                        {name: known.values[name] for name in differ if name in known.values},
                        {name: fact.values[name] for name in differ if name in fact.values},
                    )
                )
        for key, fact in old.items():
            if key in new:
                continue
            if why := look.blind(fact.where.path):
                not_seen.append(_change(host, fact, last_seen=look.last_seen(fact.where.path), why=why))
            else:
                vanished.append(_change(host, fact))
    return tuple(appeared), tuple(vanished), tuple(changed), tuple(not_seen)


def _change(
    host: str,
    fact: _Known,
    before: Mapping[str, Attribute] | None = None,
    after: Mapping[str, Attribute] | None = None,
    *,
    last_seen: str = "",
    why: str = "",
) -> FactChange:
    return FactChange(
        host,
        fact.kind,
        fact.subject,
        fact.relation,
        fact.provider_kind,
        fact.provider,
        fact.where,
        before or {},
        after or {},
        last_seen,
        why,
    )


def _stated_by(reading: Reading, documents: Iterable[Bound], combined: Iterable[Combined]) -> dict[Key, _Known]:
    found: dict[Key, _Known] = {}
    for bound in documents:
        for _, item in bound.template.items:
            _add(found, item, bound.file.estate_path, bound.collected_at)
    for one in combined:
        for item in one.items:
            if isinstance(item, (Entity, Dependency)):
                path = estate_path_of(reading, one.source, item.where.path) if one.source else item.where.path
                _add(found, item, path, reading.tree.collected(path))
    return found


def _add(found: dict[Key, _Known], item: Parsed, path: str, collected_at: str | None) -> None:
    if isinstance(item, Entity):
        subject, relation, provider = item.ref, "", None
        values: dict[str, Attribute] = dict(item.attributes)
    elif isinstance(item, Dependency):
        subject, relation, provider = item.consumer, item.relation.value, item.provider
        values = {"need": item.required.value}
    else:
        return
    key: Key = (*_identity(subject), relation, *(_identity(provider) if provider is not None else ()))
    known = found.get(key)
    if known is not None:
        # Several places may state the same; what is said of it is what they say together, in an order of its own.
        for name, value in values.items():
            known.values[name] = max(known.values.get(name, value), value, key=repr)
        return
    where = Provenance(path, item.where.line, item.where.excerpt, collected_at, item.where.api)
    found[key] = _Known(
        subject.kind.value,
        subject.text or "this host",
        relation,
        provider.kind.value if provider is not None else "",
        (provider.text or "this host") if provider is not None else "",
        where,
        values,
    )


def _identity(ref: Ref) -> Key:
    return ref.kind.value, ref.text, ref.scope
