"""Two states of an estate against each other: what appeared, vanished and changed, in facts and in findings.

A fact is an entity or a dependency as a document states it, of the host that the document is of; where it stands does
not count, so that a moved line is no change. What OLD knew and NEW could not see is neither kept nor gone: it is told
apart, with the time at which it was last seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from auditor.api import Collector, Rule
from auditor.audit.coverage import NOWHERE
from auditor.audit.engine import EMPTY_HINT, Request, Survey, judge, open_tree, policy_beside, survey
from auditor.audit.scenario import Asked
from auditor.capture.areas import area_of
from auditor.capture.reading import Bound, Combined, Reading, Templates
from auditor.capture.tree import INVENTORY, OF_THE_ESTATE
from auditor.difference import Diff, FactChange, FindingChange, Found, UnseenFinding, UnseenSource
from auditor.errors import EstateError, UsageError
from auditor.model import (
    Area,
    Attribute,
    Confidence,
    Dependency,
    Entity,
    Failure,
    Finding,
    Kind,
    Lifecycle,
    Need,
    Outcome,
    Parsed,
    Provenance,
    Ref,
    Relation,
    Report,
    Where,
)
from auditor.phrases import parse_time, timestamp

if TYPE_CHECKING:
    from auditor.inventory.schema import Inventory

_SEEN: Final = frozenset({Outcome.OK, Outcome.ABSENT})
_OF_THE_MOMENT: Final = frozenset({"probed", "answered_from", "runs_since"})
"""Attributes that are otherwise at each look, and say nothing of what is looked at; with times of what was last."""
NOBODY_ASKED: Final = "nobody asked for it"
_LOST: Final = "recorded as captured, and not among the files of the estate"
_NO_INVENTORY: Final = "there is no inventory.yaml"
_UNLED: Final = "nothing that was captured leads to it any more"

Key: TypeAlias = tuple[str, ...]
"""What makes two facts the same: kind, text and scope of the subject, the relation, the same of the provider."""


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

    Both sides are judged as of `now`, and by the policy beside NEW, or else OLD: neither time nor another policy is a
    change of the estate. Raises EstateError, InventoryError, PolicyError and UsageError.
    """
    known = Templates()
    trees = [open_tree([path]) for path in (old, new)]
    policy = policy_beside(trees[1], rules, now) or policy_beside(trees[0], rules, now)
    before, after = (survey(tree, collectors, now, known=known, progress=progress) for tree in trees)
    for one in (before, after):
        if not one.reading.bound and not one.tree.captures:
            raise EstateError(f"{one.tree.label}: no file in it that can be read", hint=EMPTY_HINT)

    def called(name: str) -> str:
        first = before.hosts.find(name) or name
        return after.hosts.find(first) or first

    first, second = _Side.of(before, called), _Side.of(after, called)
    look, look_back = _Look(second, first), _Look(first, second)
    facts = _facts(first, second, look, look_back, progress)
    given = tuple(failures)

    def judged(found: Survey, path: Path) -> Report:
        request = Request(path, hosts, lifecycle, now, going_required=False, policy=policy)
        return judge(found, request, rules, given, progress=progress).report

    earlier, later = judged(before, old), judged(after, new)
    asked_alone = [
        {name for name, record in one.hosts.records.items() if record.origins == {"asked"}} for one in (before, after)
    ]
    _require_named(earlier, later, set.intersection(*asked_alone))
    going = {one.host: one for one in (*earlier.going, *later.going)}
    found = Diff(
        old=earlier.estate,
        new=later.estate,
        now=now,
        going=tuple(going[name] for name in sorted(going)),
        appeared=tuple(facts.get("appeared", ())),
        vanished=tuple(facts.get("vanished", ())),
        changed=tuple(facts.get("changed", ())),
        not_seen=tuple(facts.get("not_seen", ())),
        sources_not_seen=tuple(look.sources),
        failures=tuple(dict.fromkeys((*earlier.failures, *later.failures))),
    )
    return _findings(found, earlier, later, look, look_back)


def _require_named(old: Report, new: Report, asked_alone: Collection[str]) -> None:
    """Raises UsageError for a host that was asked for and that neither side names: nothing of it would ever differ."""
    rows = [{row.source: row for row in one.coverage if row.what == f"{row.source} {NOWHERE}"} for one in (old, new)]
    for host in sorted(rows[0].keys() & rows[1].keys() & set(asked_alone)):
        raise UsageError(f"{host} is named nowhere in either estate", hint=rows[1][host].detail)


@dataclass(slots=True)
class _Side:
    """One of the two, by host: a range of hosts stands for each of them, the tree is the host without a name."""

    reading: Reading
    inventory: Inventory | None
    directories: dict[str, list[str]] = field(default_factory=dict)
    """Host -> its directories under hosts/."""
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Directory -> the hosts that it stands for."""
    documents: dict[str, list[Bound]] = field(default_factory=dict)
    combined: dict[str, list[Combined]] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Survey, called: Callable[[str], str]) -> _Side:
        side = cls(found.reading, found.inventory)
        for directory, names in found.tree.sources.items():
            side.hosts[directory] = tuple(dict.fromkeys(called(name) for name in names))
            for host in side.hosts[directory]:
                side.directories.setdefault(host, []).append(directory)
        for bound in found.reading.bound:
            for host in side.hosts.get(bound.file.source, ("",)):
                side.documents.setdefault(host, []).append(bound)
        for one in found.reading.combined:
            for host in side.hosts.get(one.source, ("",)):
                side.combined.setdefault(host, []).append(one)
        return side

    def place(self, host: str, path: str) -> str:
        """The estate path of a host's path: of its directories, in the one that has it."""
        if not host:
            return path
        directories = self.directories.get(host, [host])
        holder = next((one for one in directories if (one, path) in self.reading.by_path), directories[0])
        return f"hosts/{holder}{path}".rstrip("/")


class _Sight(Enum):
    """Whether one side looked at a place that the other has."""

    SEEN = auto()
    UNLED = auto()
    """All of the host was collected, and nothing refers to it: what is called by nothing is not asked for."""
    BLIND = auto()


class _Look:
    """What one side could see of what the other has."""

    def __init__(self, side: _Side, other: _Side) -> None:
        self._side, self._other = side, other
        self._tree = side.reading.tree
        self._files = {bound.file.estate_path for bound in side.reading.bound}
        self._broken = _broken(side.reading, other.reading)
        self.sources = list(self._lost())
        # A host of which something was seen before and not now: who knows what that would have led to.
        self._dim = {host for one in self.sources for host in self._hosts_at(one.path)}
        self._areas: dict[str, set[Area]] = {}

    def at(self, host: str, path: str) -> tuple[_Sight, str]:
        """Whether a place was looked at, and why not. `path` is as the host has it; without a host the estate's."""
        if not host:
            return self._at("", path, path)
        directories = self._side.directories.get(host) or self._other.directories.get(host) or [host]
        sights = [self._at(host, path, f"hosts/{one}{path}") for one in directories]
        return next((one for one in sights if one[0] is _Sight.SEEN), sights[0])

    def of(self, estate_path: str) -> tuple[_Sight, str]:
        """The same for a path of the other side: of a range of hosts, for each."""
        source, path = self._other.reading.tree.place(estate_path)
        hosts = self._other.hosts.get(source, ("",))
        seen = _Sight.SEEN, ""
        for host in hosts:
            if (sight := self.at(host, path))[0] is _Sight.BLIND:
                return sight
            seen = sight
        return seen

    def _at(self, host: str, path: str, estate_path: str) -> tuple[_Sight, str]:
        if estate_path == INVENTORY and self._side.inventory is None:
            return _Sight.BLIND, _NO_INVENTORY
        if estate_path in OF_THE_ESTATE:
            return _Sight.SEEN, ""
        if (why := self._broken.get(estate_path)) is not None:
            return _Sight.BLIND, why
        tree = self._tree
        record = tree.captures.get(estate_path)
        if estate_path in self._files:
            failed = record is not None and record.outcome not in _SEEN
            return (_Sight.BLIND, _said(record.outcome, record.detail)) if record and failed else (_Sight.SEEN, "")
        near = tree.nearest(estate_path)
        if near is None:
            return self._unrecorded(host, path, estate_path)
        if near.outcome not in _SEEN:
            return _Sight.BLIND, _said(near.outcome, near.detail)
        if tree.gone(estate_path) is not None:
            return _Sight.SEEN, ""
        if near is record:
            return _Sight.BLIND, _LOST
        base = tree.captures.get("/".join(estate_path.split("/", 2)[:2]))
        if base is not None and base.outcome is not Outcome.OK:
            return _Sight.BLIND, _said(base.outcome, base.detail)
        return (_Sight.BLIND, NOBODY_ASKED) if host in self._dim else (_Sight.UNLED, _UNLED)

    def _unrecorded(self, host: str, path: str, estate_path: str) -> tuple[_Sight, str]:
        """A place of which no record speaks: what a collection had brought is not seen where none did.

        Among files that somebody laid down there is nothing where others of its kind are.
        """
        old = self._other.reading.tree
        at = self._other.place(host, path)
        if old.nearest(at) is not None:
            return _Sight.BLIND, NOBODY_ASKED
        if not host:
            return _Sight.SEEN, ""
        area = area_of(path)
        known = self._known(host)
        if area in known or (area is Area.COVERAGE and known):
            return _Sight.SEEN, ""
        what = f"nothing of {host}" if area is Area.COVERAGE or not known else f"nothing of the {area.value} of {host}"
        return _Sight.BLIND, f"{what} is in {self._tree.label}"

    def _known(self, host: str) -> set[Area]:
        """The areas of a host of which there is a file, or of which somebody says that there is nothing."""
        if host not in self._areas:
            areas = {area_of(bound.file.path) for bound in self._side.documents.get(host, ())}
            if self._side.inventory is not None:
                from auditor.inventory.facts import declared_absent

                stated = declared_absent(self._side.inventory)
                areas |= {area for area, of, _, _ in stated if of in ("", host)}
            self._areas[host] = areas
        return self._areas[host]

    def here(self, estate_path: str) -> frozenset[str]:
        """Where a path of the other side is, or would be, on this one: of a range of hosts, for each."""
        source, path = self._other.reading.tree.place(estate_path)
        hosts = self._other.hosts.get(source, ("",))
        return frozenset(self._side.place(host, path) for host in hosts)

    def unchanged(self, estate_path: str) -> bool:
        """Whether a document of the other side is here, with the same content."""
        before = self._other.reading.by_path.get(self._other.reading.tree.place(estate_path))
        now = [self._side.reading.by_path.get(self._tree.place(one)) for one in self.here(estate_path)]
        return before is not None and all(
            one is not None and one.template.digest == before.template.digest for one in now
        )

    def last_seen(self, estate_path: str) -> str:
        """When the other side captured a path of its own, ISO 8601; empty if nothing says so."""
        when = self._other.reading.tree.time_of(estate_path)
        return timestamp(when) if when is not None else ""

    def _hosts_at(self, estate_path: str) -> tuple[str, ...]:
        """The hosts that a path is of, also of one that has no files here."""
        parts = estate_path.split("/", 2)
        if len(parts) < 2 or parts[0] != "hosts":
            return ()
        return self._side.hosts.get(parts[1]) or self._other.hosts.get(parts[1]) or (parts[1],)

    def _lost(self) -> Iterator[UnseenSource]:
        """What the other side had seen: records that failed here, and sources that nobody asked."""
        old = self._other.reading.tree
        if self._side.inventory is None and self._other.inventory is not None:
            yield UnseenSource(INVENTORY, Outcome.UNSEEN, _NO_INVENTORY, self.last_seen(INVENTORY))
        for path, record in self._tree.captures.items():
            if record.outcome in _SEEN:
                continue
            before = old.captures.get(path)
            if (before is not None and before.outcome in _SEEN) or (before is None and old.exists(path)):
                yield UnseenSource(path, record.outcome, record.detail, self.last_seen(path))
        for path, record in old.captures.items():
            whole = path.count("/") == 1 and path.startswith(("hosts/", "sources/"))
            if whole and record.outcome in _SEEN and self._tree.nearest(path) is None:
                if path.startswith("hosts/") and any(self._side.documents.get(one) for one in self._hosts_at(path)):
                    continue
                yield UnseenSource(path, Outcome.UNSEEN, NOBODY_ASKED, self.last_seen(path))


def _broken(reading: Reading, other: Reading) -> dict[str, str]:
    """Files that were not read, or not to their end, or in which a place can't be read that could be before."""
    found: dict[str, str] = {}
    for row in reading.coverage:
        if row.path and row.outcome not in _SEEN:
            found.setdefault(row.path, _said(row.outcome, row.detail))
    before = {(path, index, item.reason) for path, index, item in other.malformed}
    for path, index, item in reading.malformed:
        if (path, index, item.reason) not in before:
            line = f"line {item.where.line}: " if item.where.line else ""
            found.setdefault(path, f"can't be read as before: {line}{item.reason}")
    return found


def _said(outcome: Outcome, detail: str) -> str:
    return f"{outcome.value}: {detail}" if detail else outcome.value


@dataclass(slots=True)
class _Known:
    """What is stated of one fact, and where first. `joined` is the collector that made it from several files.

    `values` hold each value with the path that states it: several places may say different things of one name.
    """

    kind: str
    subject: str
    relation: str
    provider_kind: str
    provider: str
    path: str
    where: Where
    collected_at: str | None
    joined: int
    values: dict[str, dict[Attribute, str]] = field(default_factory=dict)


_Value: TypeAlias = tuple[str, Attribute, str]
"""A name, what is said of it, and the path that says so."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """A fact of one side that is not on the other, or of which the two say different things.

    For one host, and for all that have the same files. `gone` and `come` are values of a fact of both.
    """

    fact: _Known
    old: bool
    new: bool
    gone: tuple[_Value, ...] = ()
    come: tuple[_Value, ...] = ()
    shown: bool = False
    """Whether what the subject shows of this kind was seen on the other side, be it something else."""


_ONE_AT_A_TIME: Final = frozenset({Relation.SERVES.value})
"""Relations of which a document states all of a subject, or nothing of it."""


def _facts(
    first: _Side, second: _Side, look: _Look, look_back: _Look, progress: Callable[[str, int], None]
) -> dict[str, list[FactChange]]:
    """By what became of them, host by host. What is the same of many hosts is one change."""
    memo: dict[tuple[object, ...], list[_Difference]] = {}
    told: dict[str, dict[tuple[object, ...], tuple[list[str], FactChange]]] = {}
    judge = _Judge(first, second, look, look_back)
    hosts = sorted({*first.documents, *second.documents, *first.combined, *second.combined})
    for count, host in enumerate(hosts):
        progress("comparing", count)
        for one in _differences(first, second, host, memo):
            for word, place, before, after, why, last_seen in judge.became(one, host):
                fact = one.fact
                subject = (fact.kind, fact.subject, fact.relation, fact.provider_kind, fact.provider)
                values = tuple(sorted(before.items())), tuple(sorted(after.items()))
                key = (*subject, *values, why, last_seen, bool(host))
                group = told.setdefault(word, {})
                if key not in group:
                    at = Provenance(place)
                    if fact.path == place or place.endswith(fact.path):
                        where = fact.where
                        at = Provenance(place, where.line, where.excerpt, fact.collected_at, where.api)
                    group[key] = [], FactChange((), *subject, at, before, after, last_seen, why)
                if host:
                    group[key][0].append(host)
    return {
        word: [replace(change, hosts=tuple(names)) for names, change in group.values()] for word, group in told.items()
    }


_Became: TypeAlias = tuple[str, str, Mapping[str, Attribute], Mapping[str, Attribute], str, str]
"""What became of a fact, where it stands, its values before and after, why that is not certain, when last seen."""


class _Judge:
    """Whether what differs is known to be so, or was not seen on one side."""

    def __init__(self, first: _Side, second: _Side, look: _Look, look_back: _Look) -> None:
        self._first, self._second, self._look, self._look_back = first, second, look, look_back

    def became(self, one: _Difference, host: str) -> Iterator[_Became]:
        place = (self._second if one.new else self._first).place(host, one.fact.path)
        if one.old and one.new:
            yield from self._values(one, host, place)
        elif one.new:
            blind = self._blind(one, host, self._first, self._look_back)
            yield "appeared", place, {}, _all(one.fact), f"not seen before ({blind})" if blind else "", ""
        elif blind := self._blind(one, host, self._second, self._look):
            yield "not_seen", place, _all(one.fact), {}, blind, self._look.last_seen(place)
        else:
            sight, why = self._look.at(host, one.fact.path)
            yield "vanished", place, _all(one.fact), {}, why if sight is _Sight.UNLED else "", ""

    def _blind(self, one: _Difference, host: str, side: _Side, look: _Look) -> str:
        """Why a side could not see a fact that the other has; empty if it is not there."""
        joined = side.combined.get(host, ())
        if gap := next((some.gap for some in joined if some.gap and some.collector == one.fact.joined), ""):
            return gap
        sight, why = look.at(host, one.fact.path)
        return why if sight is _Sight.BLIND and not one.shown else ""

    def _values(self, one: _Difference, host: str, place: str) -> Iterator[_Became]:
        """A value whose document NEW could not see has not gone; one that OLD could not have seen is no change."""
        gone: list[_Value] = []
        for value in one.gone:
            sight, why = self._look.at(host, value[2])
            if sight is _Sight.BLIND:
                at = self._first.place(host, value[2])
                yield "not_seen", at, _together([value]), {}, why, self._look.last_seen(at)
            else:
                gone.append(value)
        come = []
        unsure = ""
        for value in one.come:
            sight, why = self._look_back.at(host, value[2])
            come.append(value)
            unsure = unsure or (f"not seen before ({why})" if sight is _Sight.BLIND else "")
        if gone or come:
            yield "changed", place, _together(gone), _together(come), "" if gone else unsure, ""


def _all(fact: _Known) -> dict[str, Attribute]:
    """What is stated of an entity."""
    if fact.relation:
        return {}
    return _together((name, value, "") for name, said in sorted(fact.values.items()) for value in said)


def _together(values: Iterable[_Value]) -> dict[str, Attribute]:
    """Name -> value; of several values for one name a list of them."""
    found: dict[str, list[Attribute]] = {}
    for name, value, _ in values:
        found.setdefault(name, []).append(value)
    return {name: some[0] if len(some) == 1 else tuple(sorted(map(str, some))) for name, some in found.items()}


def _differences(
    first: _Side, second: _Side, host: str, memo: dict[tuple[object, ...], list[_Difference]]
) -> list[_Difference]:
    """Documents that are the same on both sides are looked into only if others differ."""
    olds, news = first.documents.get(host, []), second.documents.get(host, [])
    old_files = frozenset((one.file.path, one.template.digest) for one in olds)
    new_files = frozenset((one.file.path, one.template.digest) for one in news)
    if old_files == new_files and host:
        return []
    joined = first.combined.get(host, []), second.combined.get(host, [])
    # Joined pieces are the same object for hosts with the same pieces.
    key = (old_files, new_files, *(tuple(id(one.items) for one in some) for some in joined))
    if key not in memo:
        old, new = _stated(first, host, olds, joined[0]), _stated(second, host, news, joined[1])
        memo[key] = list(_compared(old, new))
    return memo[key]


def _compared(old: Mapping[Key, _Known], new: Mapping[Key, _Known]) -> Iterator[_Difference]:
    old_shown, new_shown = _shown(old), _shown(new)
    for key, fact in new.items():
        if (known := old.get(key)) is None:
            same = (fact.kind, fact.subject, fact.relation, fact.path) in old_shown
            yield _Difference(fact, old=False, new=True, shown=same)
            continue
        gone, come = _values_not_in(known, fact), _values_not_in(fact, known)
        if gone or come:
            yield _Difference(fact, old=True, new=True, gone=gone, come=come)
    for key, fact in old.items():
        if key not in new:
            same = (fact.kind, fact.subject, fact.relation, fact.path) in new_shown
            yield _Difference(fact, old=True, new=False, shown=same)


def _shown(side: Mapping[Key, _Known]) -> set[tuple[str, str, str, str]]:
    return {(one.kind, one.subject, one.relation, one.path) for one in side.values() if one.relation in _ONE_AT_A_TIME}


def _values_not_in(one: _Known, other: _Known) -> tuple[_Value, ...]:
    return tuple(
        (name, value, path)
        for name, said in sorted(one.values.items())
        for value, path in said.items()
        if value not in other.values.get(name, ())
    )


def _stated(side: _Side, host: str, documents: Iterable[Bound], combined: Iterable[Combined]) -> dict[Key, _Known]:
    found: dict[Key, _Known] = {}
    for bound in documents:
        for _, item in bound.template.items:
            _add(found, item, bound.file.path, bound.collected_at)
    tree = side.reading.tree
    for one in combined:
        for item in one.items:
            if isinstance(item, (Entity, Dependency)):
                at = tree.collected(side.place(host, item.where.path))
                _add(found, item, item.where.path, at, one.collector)
    if not host and side.inventory is not None:
        _Declared(side.inventory, found).all()
    return found


def _add(found: dict[Key, _Known], item: Parsed, path: str, collected_at: str | None, joined: int = -1) -> None:
    values: dict[str, Attribute]
    if isinstance(item, Entity):
        subject, relation, provider = item.ref, "", None
        values = {name: value for name, value in item.attributes.items() if not _of_the_moment(name, value)}
    elif isinstance(item, Dependency):
        subject, relation, provider = item.consumer, item.relation.value, item.provider
        values = {"need": item.required.value}
    else:
        return
    key: Key = (*_identity(subject), relation, *(_identity(provider) if provider is not None else ()))
    known = found.get(key)
    if known is None:
        known = found[key] = _Known(
            subject.kind.value,
            subject.text or "this host",
            relation,
            provider.kind.value if provider is not None else "",
            (provider.text or "this host") if provider is not None else "",
            path,
            item.where,
            collected_at,
            joined,
        )
    for name, value in values.items():
        known.values.setdefault(name, {}).setdefault(value, path)


def _of_the_moment(name: str, value: Attribute) -> bool:
    return name in _OF_THE_MOMENT or (name.startswith(("last_", "next_")) and parse_time(value) is not None)


def _identity(ref: Ref) -> Key:
    return ref.kind.value, ref.text, ref.scope


class _Declared:
    """Takes what an inventory declares as facts, in the place of a linker."""

    def __init__(self, inventory: Inventory, found: dict[Key, _Known]) -> None:
        self._inventory, self._found = inventory, found
        self._refs: list[Ref] = []

    def all(self) -> None:
        from auditor.inventory.facts import at_line, declare_facts

        for host in self._inventory.expanded():
            told: dict[str, Attribute] = {
                "lifecycle": host.lifecycle.value,
                "since": host.since.isoformat() if host.since else "",
                "on": host.on.isoformat() if host.on else "",
                "successor": host.successor,
                "owner": host.owner,
                "site": host.site,
                "instance_id": host.instance_id or "",
                "names": tuple(sorted(host.names)),
                "addresses": tuple(sorted(host.addresses)),
                "roles": tuple(sorted(host.roles)),
                "read_only_paths": tuple(sorted(host.read_only_paths)),
            }
            self.describe(self.require(Ref(Kind.HOST, host.name)), told, at_line(self._inventory, host.line, INVENTORY))
        declare_facts(self._inventory, self, INVENTORY)

    def require(self, ref: Ref) -> int:
        self._refs.append(ref)
        return len(self._refs) - 1

    def edge(
        self,
        consumer: int,
        provider: int,
        relation: Relation,
        *,
        need: Need | None = None,
        group: str = "",
        provenance: Provenance | None = None,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        one = Dependency(
            self._refs[consumer], self._refs[provider], relation, _where(provenance), need, group, confidence
        )
        _add(self._found, one, INVENTORY, None)

    def describe(self, node: int, attributes: Mapping[str, Attribute], provenance: Provenance | None) -> None:
        told = {name: value for name, value in attributes.items() if value != "" and value != ()}
        _add(self._found, Entity(self._refs[node], _where(provenance), told), INVENTORY, None)

    def certificates_for(self, name: str) -> list[int]:
        return []

    def lineages_called(self, text: str) -> list[int]:
        return []


def _where(provenance: Provenance | None) -> Where:
    return Where(provenance.line, provenance.excerpt) if provenance is not None else Where()


def _findings(so_far: Diff, earlier: Report, later: Report, look: _Look, look_back: _Look) -> Diff:
    before, after = _by_fingerprint(earlier.findings), _by_fingerprint(later.findings)
    found: list[Found] = []
    fixed: list[Finding] = []
    changed: list[FindingChange] = []
    left: list[Finding] = []
    lost: list[UnseenFinding] = []
    for fingerprint, finding in after.items():
        known = before.get(fingerprint)
        if known is None:
            path, why = _blind(finding, look_back, later, earlier)
            found.append(Found(finding, _at(path, why)))
        elif what := _differs(known, finding, look):
            path, why = _blind(known, look, earlier, later)
            changed.append(FindingChange(known, finding, what, _at(path, why)))
        else:
            left.append(finding)
    for fingerprint, finding in before.items():
        if fingerprint in after:
            continue
        path, why = _blind(finding, look, earlier, later)
        if why:
            lost.append(UnseenFinding(finding, path, why, look.last_seen(path)))
        else:
            fixed.append(finding)
    return replace(
        so_far,
        found=tuple(found),
        fixed=tuple(fixed),
        findings_changed=tuple(changed),
        findings_left=tuple(left),
        findings_not_seen=tuple(lost),
    )


def _at(path: str, why: str) -> str:
    return f"{path}: {why}" if why else ""


def _by_fingerprint(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Findings that say the same of the same are one, with the evidence of all. Those about coverage are left out."""
    found: dict[str, Finding] = {}
    for one in findings:
        known = found.get(one.fingerprint)
        if one.area is Area.COVERAGE:
            continue
        if known is None:
            found[one.fingerprint] = one
        else:
            evidence = tuple(dict.fromkeys((*known.evidence, *one.evidence)))
            found[one.fingerprint] = replace(known, evidence=evidence)
    return found


def _differs(before: Finding, after: Finding, look: _Look) -> tuple[str, ...]:
    """What is otherwise than before. That a line reads otherwise is told among the facts, if it means something."""
    old = Counter((look.here(item.path), item.api) for item in before.evidence)
    new = Counter((frozenset({item.path}), item.api) for item in after.evidence)
    what = [
        name
        for name in ("severity", "confidence", "impact", "message", "deadline")
        if getattr(before, name) != getattr(after, name)
    ]
    return (*what, "evidence") if old != new else tuple(what)


def _blind(finding: Finding, look: _Look, one: Report, other: Report) -> tuple[str, str]:
    """Why the finding of one side may hold on the other though it is not there, and the place; empty if it does not.

    A place that it rests on was not seen; its rule crashed; or all places still stand as they were, and something
    else was not seen.
    """
    places = [*finding.evidence, *(step.evidence for step in finding.path if step.evidence is not None)]
    for place in places:
        sight, why = look.of(place.path)
        if sight is _Sight.BLIND:
            return place.path, why
    before, after = (next((run for run in some.rules if run.rule == finding.rule), None) for some in (one, other))
    first = places[0].path
    if after is not None and not after.looked_at and not after.missing:
        return first, f"the rule {finding.rule} crashed"
    if not all(look.unchanged(place.path) for place in places):
        return first, ""
    if before and after and (missing := [what for what in after.missing if what not in before.missing]):
        return first, f"the rule {finding.rule} could not look at {', '.join(missing[:3])}"
    if look.sources:
        lost = look.sources[0]
        return lost.path, _said(lost.outcome, lost.detail)
    return first, ""
