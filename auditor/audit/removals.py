"""What a change of a repository takes out: hosts, names and machines, and the groups that it leaves without a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditor.audit.engine import Remembered, Survey
from auditor.audit.lines import Lines
from auditor.capture.reading import items
from auditor.capture.tree import INVENTORY
from auditor.graph.hosts import HostRecord
from auditor.model import (
    Area,
    Confidence,
    Dependency,
    Entity,
    Finding,
    Impact,
    Kind,
    Lifecycle,
    Provenance,
    Relation,
    Severity,
)
from auditor.phrases import listed, plural
from auditor.text import decode, excerpt, is_hostname, normal_name

FLEET: Final = frozenset({"inventory", "ansible"})
"""Origins of hosts that say which machines there are, one as good as the other."""
LEAVING: Final = frozenset({"decommissioning", "offline", "inventory"})
"""Statuses of NetBox with which a machine is on its way out, or out already."""
EMPTIED: Final = "group-left-empty"
_OTHER: Final = frozenset({"captured", "asked", "declared before"})
_NAMING: Final = frozenset({Relation.MEMBER, Relation.RESOLVES, Relation.STANDS_FOR})
_OF_GROUPS_AND_NAMES: Final = _NAMING | {Relation.SELECTS}
_NAMED: Final = frozenset({Kind.HOST, Kind.NAME})
_DECLARED: Final[Mapping[Lifecycle, str]] = {
    Lifecycle.RETIRED: "is set to retired",
    Lifecycle.RETIRING: "is set to retiring",
    Lifecycle.READ_ONLY: "is set to read-only",
}


@dataclass(slots=True)
class Gone:
    """A host or name that the change takes out, or declares to be going.

    `what` is the rest of a sentence that begins with its name. `also` is what else it is called. `declared` is whether
    it is still there, and only said to be going.
    """

    name: str
    what: str
    also: list[str] = field(default_factory=list)
    where: list[Provenance] = field(default_factory=list)
    declared: bool = False


@dataclass(slots=True)
class Named:
    """What the repository names on one side, each with its places. What is only in a snapshot beside it is left out.

    The living estate still has what a change takes out: that must not hide it.
    """

    hosts: dict[str, list[Provenance]] = field(default_factory=dict)
    origins: dict[str, set[str]] = field(default_factory=dict)
    noted: dict[str, tuple[str, Provenance]] = field(default_factory=dict)
    """Hosts of NetBox: the status, and the place."""
    also: dict[str, dict[str, None]] = field(default_factory=dict)
    """What lists of machines and the monitoring call a host, its addresses among it."""
    resolved: dict[str, list[Provenance]] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    watched: dict[str, list[Provenance]] = field(default_factory=dict)
    destroyed: dict[str, list[Provenance]] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)
    """What a Terraform plan makes or keeps."""
    edges: set[tuple[object, ...]] = field(default_factory=set)
    members: dict[str, list[tuple[Dependency, str]]] = field(default_factory=dict)
    """The members of each group, with the path that says so."""
    selected: dict[str, list[tuple[Dependency, str]]] = field(default_factory=dict)
    """What selects each group."""

    @classmethod
    def of(cls, found: Survey, living: frozenset[str]) -> Named:
        """What one side names. `living` are the labels of the estates that are read beside the repository."""
        named = cls()
        collectors = found.reading.collectors
        for source, path, _, index, item in items(found.reading):
            if type(item) is Dependency:
                if item.relation in _OF_GROUPS_AND_NAMES and not source:
                    named._dependency(path, item, own=not living or found.tree.origin(path) not in living)
            elif (
                type(item) is Entity
                and item.ref.kind in _NAMED
                and item.ref.text
                and (not living or found.tree.origin(path) not in living)
            ):
                named._entity(found, path, item, collectors[index].name)
        return named

    def _entity(self, found: Survey, path: str, item: Entity, collector: str) -> None:
        name = normal_name(item.ref.text)
        action = item.attributes.get("action")
        where = Provenance(path, item.where.line, item.where.excerpt)
        if action == "delete":
            self.destroyed.setdefault(name, []).append(where)
            return
        if collector == "terraform":
            self.planned.add(name)
        if item.ref.kind is not Kind.HOST:
            return
        known_as = item.attributes.get("known_as")
        if isinstance(known_as, tuple):
            called = found.hosts.find(name) or name
            self.also.setdefault(called, {}).update(dict.fromkeys(known_as))
        if known_as is None:
            called = found.hosts.find(name) or name
            self.hosts.setdefault(called, []).append(where)
            self.origins.setdefault(called, set()).add(str(item.attributes.get("origin", "configuration")))
        elif collector == "nagios":
            self.watched.setdefault(name, []).append(where)
        elif collector == "netbox":
            called = found.hosts.find(name) or name
            status = str(item.attributes.get("netbox_status", ""))
            self.noted[called] = (status, where)
            if status not in LEAVING:
                self.origins.setdefault(called, set()).add("netbox")

    def _dependency(self, path: str, item: Dependency, *, own: bool) -> None:
        if item.relation is not Relation.SELECTS:
            self.edges.add((item.consumer, item.relation, item.provider))
        elif item.provider.kind is Kind.GROUP:
            self.selected.setdefault(item.provider.text, []).append((item, path))
        if item.relation is Relation.MEMBER:
            self.members.setdefault(item.consumer.text, []).append((item, path))
        elif item.relation is Relation.RESOLVES and item.consumer.kind is Kind.NAME and own:
            where = Provenance(path, item.where.line, item.where.excerpt)
            self.resolved.setdefault(normal_name(item.consumer.text), []).append(where)
            if item.provider.kind is Kind.ADDRESS:
                self.addresses.add(item.provider.text)

    def own_record(self, host: str) -> set[str]:
        """Files that name a host only to say that it goes: plans that destroy it, and lists with its status."""
        status, place = self.noted.get(host, ("", None))
        listed_in = {place.path} if place is not None and status in LEAVING else set()
        return listed_in | {one.path for one in self.destroyed.get(host, ())}

    def hosts_in(self, group: str) -> set[str]:
        """The members of a group and of the groups in it, as they are written."""
        found: set[str] = set()
        seen, pending = {group}, [group]
        while pending:
            for member, _ in self.members.get(pending.pop(), ()):
                text = member.provider.text
                if member.provider.kind is not Kind.GROUP:
                    found.add(text)
                elif text not in seen:
                    seen.add(text)
                    pending.append(text)
        return found


def removed(before: Survey, after: Survey, was: Named, now: Named, lines: Lines) -> list[Gone]:
    """What a change takes out: hosts of inventories, names of zones, machines and records that a plan destroys."""
    change = _Removals(before, after, was, now, lines)
    change.hosts()
    change.names()
    change.watched()
    change.noted()
    change.destroyed()
    # Without a line that was taken away it is no act of this change (a file that can't be read any more, say).
    return [one for _, one in sorted(change.found.items()) if one.where]


@dataclass(slots=True)
class _Removals:
    """Both sides of a change, and what is found to be taken out so far, by name."""

    before: Survey
    after: Survey
    was: Named
    now: Named
    lines: Lines
    found: dict[str, Gone] = field(default_factory=dict)
    still_called: set[str] = field(init=False)
    """What lists of the new side call their hosts besides."""

    def __post_init__(self) -> None:
        self.still_called = {one for names in self.now.also.values() for one in names}

    def hosts(self) -> None:
        """Hosts that no list has any more."""
        was, now, after = self.was, self.now, self.after
        shorts = Counter(one.partition(".")[0] for one in self.before.hosts.records)
        for record in self.before.hosts.records.values():
            there = after.hosts.find(record.name) or ""
            label = record.name.partition(".")[0]
            if not there and shorts[label] == 1 and label in after.hosts.records:
                there = label  # the list calls it by less of its name now
            origins = _origins(record, was.origins.get(record.name, ()))
            still = _origins(after.hosts.records.get(there), now.origins.get(there, ()))
            left = still & (FLEET | {"netbox"}) if origins & FLEET else still - _OTHER
            if left or not origins - _OTHER or record.lifecycle is not Lifecycle.ACTIVE:
                continue
            gone = self.found[record.name] = Gone(record.name, "is taken out of the inventory")
            for name in record.names:
                if name != record.name and after.hosts.find(name) is None and name not in now.resolved:
                    gone.also.append(name)
            gone.also += [one for one in record.addresses if not after.hosts.at(one) and one not in now.addresses]
            gone.also += list(record.words)
            gone.also += [one for one in self._called(record.name) if one not in gone.also]
            places = [*was.hosts.get(record.name, ()), *([record.provenance] if record.provenance else ())]
            gone.where += taken(places, self.lines)

    def names(self) -> None:
        """Names that no zone has any more: of the hosts that are gone, or by themselves."""
        for name, places in self.was.resolved.items():
            if name in self.now.resolved or "*" in name or not is_hostname(name):
                continue
            short = self.before.hosts.find(name)
            gone = self.found.get(short or "") or self.found.setdefault(name, Gone(name, "is taken out of DNS"))
            if gone.name == name or name in gone.also:
                gone.where += taken(places, self.lines)
            else:
                gone.also.append(name)

    def watched(self) -> None:
        """Names that only the monitoring had."""
        for name, places in self.was.watched.items():
            if name not in self.now.watched and self._is_new_loss(name):
                where = taken(places, self.lines)
                self.found[name] = Gone(name, "is taken out of the monitoring", self._called(name), where)

    def noted(self) -> None:
        """Machines that only NetBox had, and not on their way out."""
        for name, (status, place) in self.was.noted.items():
            if name not in self.now.noted and status not in LEAVING and self._is_new_loss(name):
                where = taken([place], self.lines)
                self.found[name] = Gone(name, "is taken out of NetBox", self._called(name), where)

    def destroyed(self) -> None:
        """What a plan deletes. What it makes again under another address is replaced, or only renamed."""
        now = self.now
        for name, places in now.destroyed.items():
            known = name in self.was.destroyed or name in now.planned or name in now.resolved
            if not known and "*" not in name:
                self.found[name] = Gone(name, "is destroyed by the Terraform plan", [], list(places))

    def _is_new_loss(self, name: str) -> bool:
        """Whether neither side has a name elsewhere, and it is not among what is found so far."""
        there = name in self.now.resolved or self.after.hosts.find(name) is not None
        return not there and self.before.hosts.find(name) is None and name not in self.found

    def _called(self, name: str) -> list[str]:
        """What else a list called a host, and calls nothing any more."""
        words = (one for one in self.was.also.get(name, ()) if one != name and one not in self.still_called)
        return [one for one in words if not _is_known(one, self.after, self.now)]


def _is_known(word: str, after: Survey, now: Named) -> bool:
    """Whether the new side has a host, a record or a machine with a name or an address."""
    return word in now.addresses or word in now.resolved or bool(after.hosts.at(word)) or bool(after.hosts.find(word))


def _origins(record: HostRecord | None, of_files: Iterable[str]) -> set[str]:
    """Who says that there is a host: the inventory, and files of the repository."""
    declared = record.origins & {"inventory"} if record is not None else set()
    return declared | set(of_files)


def taken(places: Iterable[Provenance], lines: Lines) -> list[Provenance]:
    """Those of some places of the old side that the change took away, each at the place where it was."""
    return [lines.now(one) for one in dict.fromkeys(places) if not lines.is_left(one.path, one.line)]


def take_statuses(found: Survey, named: Named) -> None:
    """A machine that NetBox has on its way out is taken for retired, unless the inventory says what it is."""
    for name, (status, place) in named.noted.items():
        if status not in LEAVING:
            continue
        record = found.hosts.records.get(name) or found.hosts.add(name, "netbox", place)
        if record.lifecycle is Lifecycle.ACTIVE and "inventory" not in record.origins:
            record.lifecycle = Lifecycle.RETIRED


def set_going(before: Survey, after: Survey, now: Named, lines: Lines) -> list[Gone]:
    """The hosts that a change declares to be going, or going in another way than before, each with its line."""
    found = []
    declared = sorted(
        one.provenance.line
        for one in after.hosts.records.values()
        if one.provenance is not None and one.provenance.path == INVENTORY
    )
    noted = sorted((place.path, place.line) for _, place in now.noted.values())
    for record in after.hosts.records.values():
        old = before.hosts.records.get(before.hosts.find(record.name) or "")
        if record.lifecycle is Lifecycle.ACTIVE or (old is not None and old.lifecycle is record.lifecycle):
            continue
        where = record.provenance
        what = _DECLARED[record.lifecycle]
        stop = 0
        if record.name in now.noted and "inventory" not in record.origins:
            status, where = now.noted[record.name]
            what = f"is set to {status} in NetBox"
            stop = next((line for path, line in noted if path == where.path and line > where.line), 1 << 30)
        elif where is not None and where.path == INVENTORY:
            stop = next((line for line in declared if line > where.line), 1 << 30)
        if where is not None:
            if (number := lines.first_new(where.path, where.line, stop)) > where.line:
                where = Provenance(where.path, number, _line(after, where.path, number))
            found.append(Gone(record.name, what, [], [where], declared=True))
    return sorted(found, key=lambda one: one.name)


def _line(found: Survey, path: str, number: int) -> str:
    """A line of a file of the repository, as evidence; empty if it can't be read again."""
    bound = found.reading.by_path.get(("", path))
    if bound is None:
        return ""
    try:
        text = decode(found.reading.content(bound)).split("\n")
    except OSError:
        return ""
    return excerpt(text[number - 1]) if number <= len(text) else ""


def emptied(was: Named, now: Named, going: frozenset[str], lines: Lines) -> list[tuple[Gone, Finding]]:
    """Groups that had hosts, have none any more, and are selected still, though all of their hosts stay.

    Those that lose their hosts with the machine are told by the rule of the same name.
    """
    found = []
    for group in sorted(was.members):
        users = now.selected.get(group, ())
        hosts = was.hosts_in(group)
        if not users or not hosts or now.hosts_in(group) or hosts & going:
            continue
        stood = [_place(one, path) for one, path in was.members[group]]
        # A line that stands as before belongs to another group now, if it is the heading that has changed.
        places = taken(stood, lines) or [lines.now(one) for one in stood if lines.changed(one.path)]
        if not places:
            continue
        evidence = tuple(dict.fromkeys(_place(one, path) for one, path in users))
        called = group.rpartition(" ")[2]
        books = list(dict.fromkeys(one.consumer.text for one, _ in users))
        finding = Finding(
            rule=EMPTIED,
            area=Area.CONFIGURATION,
            severity=Severity.WARN,
            confidence=Confidence.HIGH,
            subject=f"group {group}",
            identity=("group", group),
            message=f"The group {called} is left without a host, and {listed(books)} "
            f"{'selects' if len(books) == 1 else 'select'} it",
            why=f"It held {listed(sorted(hosts))}. What is for a group without hosts is skipped, without any error.",
            action=f"Put a host into the group, or delete it with {plural(len(evidence), 'line')} that "
            f"{'selects' if len(evidence) == 1 else 'select'} it.",
            impact=Impact.BROKEN,
            evidence=evidence,
        )
        found.append((Gone(f"group {called}", "is left without a host", [], places), finding))
    return found


def _place(one: Dependency, path: str) -> Provenance:
    return Provenance(path, one.where.line, one.where.excerpt)


def remembered(before: Survey, now: Named, gone: Sequence[Gone]) -> Iterator[Remembered]:
    """What the old side knew of what is taken out: in which groups it was, and what its names stood for."""
    if not gone:
        return
    ours = {word for one in gone for word in (one.name, *one.also)}
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
        elif item.provider.text in now.addresses:
            # Another name has the address now: it is not the machine that goes.
            continue
        yield "", path, None, item
