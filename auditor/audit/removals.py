"""What a change of a repository takes out: hosts, names and machines, and the groups that it leaves without a host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditor.audit.engine import Remembered, Survey
from auditor.audit.lines import Lines
from auditor.audit.named import LEAVING, NAMING, Named
from auditor.capture.reading import items
from auditor.capture.tree import INVENTORY
from auditor.graph.hosts import HostRecord
from auditor.model import (
    Area,
    Confidence,
    Dependency,
    Finding,
    Impact,
    Lifecycle,
    Provenance,
    Relation,
    Severity,
)
from auditor.phrases import listed, plural
from auditor.text import decode, excerpt, is_hostname, normal_name

FLEET: Final = frozenset({"inventory", "ansible"})
"""Origins of hosts that say which machines there are, one as good as the other."""
ENTRY_LINES: Final = 200
"""Lines of a host's entry in the inventory that are looked through for what it was called."""
EMPTIED: Final = "group-left-empty"
_OTHER: Final = frozenset({"captured", "asked", "declared before"})
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
    of: str = ""
    """The host that it is a name or an address of, where that host is not taken out: then the name goes by itself."""


def removed(
    before: Survey, after: Survey, was: Named, now: Named, lines: Lines, *, trusted: bool = False
) -> list[Gone]:
    """What a change takes out: hosts of inventories, names of zones, machines and records that a plan destroys.

    Also, unless it is `trusted` to know, what the inventory calls a host that goes already.
    """
    change = _Removals(before, after, was, now, lines)
    change.hosts()
    change.names()
    if not trusted:
        change.known_as()
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
    out: set[str] = field(default_factory=set)
    """The hosts among it that no list has any more."""
    still_called: set[str] = field(init=False)
    """What lists of the new side call their hosts besides."""

    def __post_init__(self) -> None:
        self.still_called = {one for names in self.now.also.values() for one in names}

    def hosts(self) -> None:
        """Hosts that no list has any more."""
        shorts = Counter(one.partition(".")[0] for one in self.before.hosts.records)
        for record in self.before.hosts.records.values():
            if record.lifecycle is Lifecycle.ACTIVE and self._has_lost(record, shorts):
                self.found[record.name] = self._gone(record)
                self.out.add(record.name)

    def _has_lost(self, record: HostRecord, shorts: Mapping[str, int]) -> bool:
        """Whether lists had a host that none has any more. `shorts` counts the first labels of all hosts."""
        records = self.after.hosts.records
        there = self.after.hosts.find(record.name) or ""
        label = record.name.partition(".")[0]
        if not there and shorts[label] == 1 and label in records:
            there = label  # the list calls it by less of its name now
        origins = _origins(record, self.was.origins.get(record.name, ()))
        still = _origins(records.get(there), self.now.origins.get(there, ()))
        left = still & (FLEET | {"netbox"}) if origins & FLEET else still - _OTHER
        return not left and bool(origins - _OTHER)

    def _gone(self, record: HostRecord) -> Gone:
        """A host that is taken out, with all that it was called and that nothing else is called now."""
        now, after = self.now, self.after
        names = (name for name in record.names if name != record.name)
        called = [
            *(name for name in names if after.hosts.find(name) is None and name not in now.resolved),
            *(one for one in record.addresses if not after.hosts.at(one) and one not in now.addresses),
            *record.words,
            *self._called(record.name),
        ]
        places = [*self.was.hosts.get(record.name, ()), *([record.provenance] if record.provenance else ())]
        what = "is taken out of the inventory"
        return Gone(record.name, what, list(dict.fromkeys(called)), taken(places, self.lines))

    def names(self) -> None:
        """Names that no zone has any more: of the hosts that are gone, or by themselves."""
        for name, places in self.was.resolved.items():
            if name in self.now.resolved or "*" in name or not is_hostname(name):
                continue
            gone = self.found.get(self.before.hosts.find(name) or "")
            if gone is None:
                host = self._led_to(name)
                of = self.after.hosts.find(host) or "" if host else ""
                alone = Gone(name, "is taken out of DNS", of=of)
                gone = self.found[host] if host in self.out else self.found.setdefault(name, alone)
            if gone.name == name or name in gone.also:
                gone.where += taken(places, self.lines)
            else:
                gone.also.append(name)

    def known_as(self) -> None:
        """Names and addresses that the inventory had for hosts that go already, and that nothing has any more."""
        for record in self.before.hosts.records.values():
            there = self.after.hosts.find(record.name)
            if there is None or record.lifecycle is Lifecycle.ACTIVE:
                continue
            if self.after.hosts.records[there].lifecycle is Lifecycle.ACTIVE:
                continue
            for word, where in (*record.names.items(), *record.addresses.items()):
                declared = where is not None and where.path == INVENTORY and word != record.name
                if declared and word not in self.found and not _is_known(word, self.after, self.now):
                    places = _line_with(word, record, self.before, self.lines)
                    self.found[word] = Gone(word, "is taken out of the inventory", [], places, of=there)

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

    def _led_to(self, name: str) -> str:
        """The host that a name led to on the old side, if that has another name; else nothing."""
        seen, pending = {name}, [name]
        while pending:
            one = pending.pop()
            hosts = self.before.hosts
            host = hosts.find(one) or next(iter(hosts.at(one)), "")
            if host and host != name:
                return host
            further = [target for target in self.was.leads.get(one, ()) if target not in seen]
            seen.update(further)
            pending += further
        return ""

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


def _line_with(word: str, record: HostRecord, found: Survey, lines: Lines) -> list[Provenance]:
    """The line of a host's entry in the inventory that had a word, else its first one, of those taken away."""
    if found.inventory is None or record.provenance is None:
        return []
    others = (one.line for one in found.inventory.hosts if one.line > record.provenance.line)
    stop = min(others, default=record.provenance.line + ENTRY_LINES)
    block = range(record.provenance.line, min(stop, record.provenance.line + ENTRY_LINES))
    places = [Provenance(INVENTORY, at, found.inventory.where(at).excerpt) for at in block]
    gone = taken(places, lines)
    return [one for one in gone if word in one.excerpt][:1] or gone[:1]


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
    starts = _starts(after, now)
    found = []
    for record in after.hosts.records.values():
        old = before.hosts.records.get(before.hosts.find(record.name) or "")
        if record.lifecycle is Lifecycle.ACTIVE or (old is not None and old.lifecycle is record.lifecycle):
            continue
        what, where = _DECLARED[record.lifecycle], record.provenance
        if record.name in now.noted and "inventory" not in record.origins:
            status, where = now.noted[record.name]
            what = f"is set to {status} in NetBox"
        if where is None:
            continue
        entry = starts.get(where.path, ())
        stop = next((line for line in entry if line > where.line), 1 << 30) if entry else 0
        if (number := lines.first_new(where.path, where.line, stop)) > where.line:
            where = Provenance(where.path, number, _line(after, where.path, number))
        found.append(Gone(record.name, what, [], [where], declared=True))
    return sorted(found, key=lambda one: one.name)


def _starts(found: Survey, named: Named) -> dict[str, list[int]]:
    """The lines at which entries of hosts begin, in the files whose entries say what a host is."""
    starts: dict[str, list[int]] = {}
    places = [one.provenance for one in found.hosts.records.values() if one.provenance is not None]
    for place in (*(one for one in places if one.path == INVENTORY), *(place for _, place in named.noted.values())):
        starts.setdefault(place.path, []).append(place.line)
    return {path: sorted(lines) for path, lines in starts.items()}


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
    apart = {one.name for one in gone if one.of}

    def is_theirs(item: Dependency) -> bool:
        name, target = normal_name(item.consumer.text), item.provider.text
        if item.relation is Relation.MEMBER:
            return target in ours or before.hosts.find(target) in ours
        if item.relation is Relation.RESOLVES and name in apart:
            # What it led to is there still: the name alone is gone.
            return False
        # Where another name has the address now, it is not the machine that goes.
        still = name in now.resolved or target in now.addresses
        return not still and bool(ours & {item.consumer.text, target})

    for source, path, _, _, item in items(before.reading):
        if source or type(item) is not Dependency or item.relation not in NAMING:
            continue
        if (item.consumer, item.relation, item.provider) not in now.edges and is_theirs(item):
            yield "", path, None, item
